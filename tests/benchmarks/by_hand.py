"""What a competent person writes for one task: read the assessor's answer, store it by Arrow.

No payloads, no freshness, no ledger of items: the least that gives the same rows. Every contender
but propkit and dlt stores with this sink; all but propkit read with this reader.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa

GROUP = 1000
"""Parcels stored in one transaction."""

Rows = dict[str, list[dict[str, Any]]]

_TEXT, _INT, _NUMBER, _DATE, _BOOL = pa.string(), pa.int64(), pa.float64(), pa.date32(), pa.bool_()

# Column, type and the answer's key; "owner." and "house." are its nested objects.
_PARCEL = {
    "property_type": (_TEXT, "PropertyType"), "situs": (_TEXT, "PropertyAddress"),
    "owner_name": (_TEXT, "owner.Ownership"), "in_care_of": (_TEXT, "owner.InCareOf"),
    "mailing_address": (_TEXT, "mailing_lines"),
    "mailing_city": (_TEXT, "owner.MailingCity"), "mailing_state": (_TEXT, "owner.MailingState"),
    "mailing_zip": (_TEXT, "owner.MailingZip"), "legal_description": (_TEXT, "PropertyDescription"),
    "subdivision": (_TEXT, "SubdivisionName"), "mcr": (_TEXT, "MCR"),
    "section_township_range": (_TEXT, "SectionTownshipRange"), "lot_size_sqft": (_INT, "LotSize"),
    "jurisdiction": (_TEXT, "LocalJusidiction"),
    "elementary_school_district": (_TEXT, "ElementarySchoolDistrict"),
    "high_school_district": (_TEXT, "HighSchoolDistrict"), "tax_area_code": (_TEXT, "TaxAreaCode"),
    "use_code": (_TEXT, "PropertyUseCode"), "use_description": (_TEXT, "PEPropUseDesc"),
    "is_rental": (_BOOL, "IsRental"), "latitude": (_NUMBER, "geo.lat"),
    "longitude": (_NUMBER, "geo.long"),
    "deed_number": (_TEXT, "owner.MostCurrentDeed"), "deed_date": (_DATE, "owner.DeedDate"),
    "deed_type": (_TEXT, "owner.DeedType"),
}  # fmt: skip
_RESIDENCE = {
    "construction_year": (_INT, "house.ConstructionYear"),
    "original_construction_year": (_INT, "house.OriginalConstructionYear"),
    "livable_area_sqft": (_INT, "house.LivableSpace"), "pool_area_sqft": (_INT, "house.Pool"),
    "detached_livable_area_sqft": (_INT, "house.Detached_Livable_sqft"),
    "quality_grade": (_TEXT, "house.ImprovementQualityGrade"),
    "covered_patios": (_INT, "house.NumberOfCoveredPatios"),
    "uncovered_patios": (_INT, "house.NumberOfUncoveredPatios"),
    "patio_type": (_TEXT, "house.PatioType"), "exterior_walls": (_TEXT, "house.ExteriorWalls"),
    "roof_type": (_TEXT, "house.RoofType"), "bath_fixtures": (_INT, "house.BathFixtures"),
    "cooling": (_TEXT, "house.Cooling"), "heating": (_TEXT, "house.Heating"),
    "garage_stalls": (_INT, "house.NumberOfGarages"),
    "carport_stalls": (_INT, "house.NumberOfCarports"),
    "physical_condition": (_TEXT, "house.PhysicalCondition"),
    "market_area": (_TEXT, "house.AssessorMarket"), "neighborhood": (_TEXT, "house.AreaNeighborhood"),
}  # fmt: skip
_VALUATION = {
    "tax_year": (_INT, "TaxYear"), "full_cash_value": (_NUMBER, "FullCashValue"),
    "limited_property_value": (_NUMBER, "LimitedPropertyValue"),
    "property_class": (_TEXT, "LegalClassificationCode"),
    "property_class_description": (_TEXT, "LegalClassification"),
    "assessment_ratio": (_NUMBER, "AssessmentRatioPercentage"),
    "assessed_full_cash_value": (_NUMBER, "AssessedFCV"),
    "assessed_limited_property_value": (_NUMBER, "AssessedLPV"),
    "valuation_source": (_TEXT, "ValuationSource"), "use_code": (_TEXT, "PropertyUseCode"),
    "use_description": (_TEXT, "PEPropUseDesc"), "tax_area_code": (_TEXT, "TaxAreaCode"),
    "is_pending_change": (_BOOL, "NoticeOfChangeIndc"),
}  # fmt: skip
_SALE = {
    "sold_on": (_DATE, "owner.SaleDate"), "recording_number": (_TEXT, "owner.MostCurrentDeed"),
    "sale_price": (_NUMBER, "owner.SalePrice"),
}  # fmt: skip

_COLUMNS = {"parcels": _PARCEL, "residences": _RESIDENCE, "valuations": _VALUATION, "sales": _SALE}
TABLES = tuple(_COLUMNS)
IDENTITIES = {
    "parcels": ("apn",),
    "residences": ("apn",),
    "valuations": ("apn", "tax_year"),
    "sales": ("apn", "sold_on", "recording_number"),
}
"""The columns that tell a table's rows apart."""

_SQL_TYPES = {_TEXT: "VARCHAR", _INT: "BIGINT", _NUMBER: "DOUBLE", _DATE: "DATE", _BOOL: "BOOLEAN"}
COMPARED = {
    table: {"apn": "VARCHAR"}
    | {name: _SQL_TYPES[kind] for name, (kind, _) in columns.items() if name != "situs"}
    for table, columns in _COLUMNS.items()
}
"""The columns that everybody must store alike, as which SQL type.

propkit keeps the situs address in three columns and some columns more.
"""
_SCHEMAS = {
    table: pa.schema(
        [
            ("apn", _TEXT),
            *((column, kind) for column, (kind, _) in columns.items()),
            ("collected_at", pa.timestamp("us", tz="UTC")),
        ]
    )
    for table, columns in _COLUMNS.items()
}


def read_parcel(apn: str, body: bytes) -> Rows:
    """Read one answer of /parcel/{apn}; an empty list means that there is no such parcel.

    Raises ValueError for what is no JSON.
    """
    answer = json.loads(body)
    if not answer:
        return {}
    now = datetime.now(UTC)
    owner = answer.get("Owner") or {}
    lines = ((owner.get(f"MailingAddress{line}") or "").strip() for line in (1, 2))
    flat = {
        **answer,
        "mailing_lines": " ".join(line for line in lines if line),
        **{f"geo.{key}": value for key, value in (answer.get("Geo") or {}).items()},
        **{f"owner.{key}": value for key, value in owner.items()},
        **{f"house.{k}": v for k, v in (answer.get("ResidentialPropertyData") or {}).items()},
    }
    rows: Rows = {
        "parcels": [_row("parcels", apn, now, flat)],
        "valuations": [_row("valuations", apn, now, row) for row in answer["Valuations"]],
    }
    house = _row("residences", apn, now, flat)
    if house["construction_year"] or house["livable_area_sqft"]:
        rows["residences"] = [house]
    sale = _row("sales", apn, now, flat)
    if sale["sold_on"] or sale["sale_price"]:
        rows["sales"] = [sale]
    return rows


def _row(table: str, apn: str, now: datetime, answer: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"apn": apn, "collected_at": now}
    for column, (kind, key) in _COLUMNS[table].items():
        row[column] = _value(answer.get(key), kind)
    return row


def _value(value: Any, kind: pa.DataType) -> Any:
    if kind is _BOOL:
        return None if value is None else value in (True, "Y")
    text = "" if value is None or value is False else str(value).strip()
    if text in ("", "na"):
        return None
    if kind is _TEXT:
        return text
    if kind is _DATE:
        month, day, year = text.split("/")
        return date(int(year), int(month), int(day))
    number = float(text.replace(",", ""))
    return int(number) if kind is _INT else number


class Sink:
    """A DuckDB file that takes rows in groups."""

    def __init__(self, path: Path) -> None:
        self._connection = duckdb.connect(str(path))
        for table, schema in _SCHEMAS.items():
            empty = schema.empty_table()
            self._connection.register("empty", empty)
            self._connection.execute(f"CREATE TABLE {table} AS FROM empty")
            self._connection.unregister("empty")
        self._rows: Rows = {table: [] for table in TABLES}
        self._parcels = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._connection.close()

    def add(self, rows: Rows) -> None:
        """Take one parcel's rows."""
        for table, found in rows.items():
            self._rows[table] += found
        self._parcels += 1
        if self._parcels % GROUP == 0:
            self._flush()

    def _flush(self) -> None:
        self._connection.execute("BEGIN")
        for table, rows in self._rows.items():
            data = pa.Table.from_pylist(rows, schema=_SCHEMAS[table])
            self._connection.register("new_rows", data)
            self._connection.execute(f"INSERT INTO {table} FROM new_rows")
            self._connection.unregister("new_rows")
        self._connection.execute("COMMIT")
        self._rows = {table: [] for table in TABLES}
