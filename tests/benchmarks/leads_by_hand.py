"""What a competent person writes to buy leads: ask page after page, read the rows, store by Arrow.

No count before a page, no caps, no journal of what was paid for, no bodies: the least that gives
the same rows. All but propkit read with this reader; who stops in the middle has paid for pages
that nobody knows of.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa

PAGE_SIZE = 400
CRITERIA: dict[str, Any] = {"State": "AZ"}
"""They fit every lead that the server has."""

_TEXT, _INT, _NUMBER, _DATE, _BOOL = pa.string(), pa.int64(), pa.float64(), pa.date32(), pa.bool_()

# Column, the answer's field and type.
_COLUMNS = {
    "radar_id": ("RadarID", _TEXT), "apn": ("APN", _TEXT), "p_type": ("PType", _TEXT),
    "advanced_property_type": ("AdvancedPropertyType", _TEXT), "address": ("Address", _TEXT),
    "city": ("City", _TEXT), "state": ("State", _TEXT), "zip_five": ("ZipFive", _TEXT),
    "county": ("County", _TEXT), "fips": ("FIPS", _TEXT), "latitude": ("Latitude", _NUMBER),
    "longitude": ("Longitude", _NUMBER), "subdivision": ("Subdivision", _TEXT),
    "owner": ("Owner", _TEXT), "owner2": ("Owner2", _TEXT),
    "ownership_type": ("OwnershipType", _TEXT), "sq_ft": ("SqFt", _INT), "beds": ("Beds", _INT),
    "baths": ("Baths", _NUMBER), "stories": ("Stories", _NUMBER), "units": ("Units", _INT),
    "year_built": ("YearBuilt", _INT), "lot_size": ("LotSize", _INT), "pool": ("Pool", _BOOL),
    "avm": ("AVM", _NUMBER), "assessed_value": ("AssessedValue", _NUMBER),
    "annual_taxes": ("AnnualTaxes", _NUMBER), "available_equity": ("AvailableEquity", _NUMBER),
    "equity_percent": ("EquityPercent", _NUMBER), "cltv": ("CLTV", _NUMBER),
    "total_loan_balance": ("TotalLoanBalance", _NUMBER), "number_loans": ("NumberLoans", _INT),
    "first_amount": ("FirstAmount", _NUMBER), "first_date": ("FirstDate", _DATE),
    "first_rate": ("FirstRate", _NUMBER), "last_transfer_rec_date": ("LastTransferRecDate", _DATE),
    "last_transfer_value": ("LastTransferValue", _NUMBER),
    "last_transfer_type": ("LastTransferType", _TEXT), "delinquent_year": ("DelinquentYear", _INT),
    "delinquent_amount": ("DelinquentAmount", _NUMBER),
    "foreclosure_stage": ("ForeclosureStage", _TEXT),
    "phone_availability": ("PhoneAvailability", _BOOL),
    "email_availability": ("EmailAvailability", _BOOL),
    "is_same_mailing_or_exempt": ("isSameMailingOrExempt", _BOOL),
    "is_site_vacant": ("isSiteVacant", _BOOL), "is_listed_for_sale": ("isListedForSale", _BOOL),
    "in_foreclosure": ("inForeclosure", _BOOL), "in_tax_delinquency": ("inTaxDelinquency", _BOOL),
    "is_deceased_property": ("isDeceasedProperty", _BOOL),
    "in_bankruptcy_property": ("inBankruptcyProperty", _BOOL),
}  # fmt: skip
_SCHEMA = pa.schema(
    [
        *((column, kind) for column, (_, kind) in _COLUMNS.items()),
        ("collected_at", pa.timestamp("us", tz="UTC")),
    ]
)
_SQL_TYPES = {_TEXT: "VARCHAR", _INT: "BIGINT", _NUMBER: "DOUBLE", _DATE: "DATE", _BOOL: "BOOLEAN"}
COMPARED = {column: _SQL_TYPES[kind] for column, (_, kind) in _COLUMNS.items()}
"""The columns that everybody must store alike, as which SQL type."""


def page_query(start: int) -> dict[str, str]:
    """Return the parameters of the request that buys a page."""
    fields = ",".join(name for name, _ in _COLUMNS.values())
    return {"Purchase": "1", "Fields": fields, "Limit": str(PAGE_SIZE), "Start": str(start)}


def page_body() -> dict[str, Any]:
    """Return the body of the request that buys a page."""
    return {"Criteria": [{"name": name, "value": [value]} for name, value in CRITERIA.items()]}


def read_leads(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Read the rows of a page."""
    now = datetime.now(UTC)
    return [
        {column: _value(row[name], kind) for column, (name, kind) in _COLUMNS.items()}
        | {"apn": row["APN"].replace("-", ""), "collected_at": now}
        for row in rows
    ]


def _value(value: Any, kind: pa.DataType) -> Any:
    if value is None or value == "":
        return None
    if kind is _TEXT:
        return value.strip()
    if kind is _BOOL:
        return value == 1
    if kind is _DATE:
        return date.fromisoformat(value)
    return int(value) if kind is _INT else float(value)


class LeadSink:
    """A DuckDB file that takes pages of leads, each in a transaction of its own."""

    def __init__(self, path: Path) -> None:
        self._connection = duckdb.connect(str(path))
        self._insert("CREATE TABLE leads AS FROM", [])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Take a page's rows."""
        self._insert("INSERT INTO leads FROM", rows)

    def _insert(self, statement: str, rows: list[dict[str, Any]]) -> None:
        self._connection.register("new_rows", pa.Table.from_pylist(rows, schema=_SCHEMA))
        self._connection.execute(f"{statement} new_rows")
        self._connection.unregister("new_rows")
