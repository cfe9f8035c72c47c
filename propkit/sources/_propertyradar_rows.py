"""The rows of PropertyRadar: the envelope around them, rows by object or by column, their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from operator import itemgetter
from typing import Any, Final, NamedTuple

import pyarrow as pa

from propkit.errors import (
    BudgetSpentError,
    InvalidAnswerError,
    LayoutChangedError,
    SourceError,
    SourceRejectedError,
)
from propkit.pages import Page
from propkit.record_block import RecordBlock
from propkit.records import Lead
from propkit.sources._base import (
    Parsed,
    read_bool,
    read_date,
    read_decimal,
    read_float,
    read_int,
    read_text,
)
from propkit.sources._plain_columns import Kind, make_column, read_plain
from propkit.sources._readers import read_apn

_MOST_WHOLE: Final = 2**63 - 1
_MOST_MONEY: Final = Decimal(10) ** 12
_CENT: Final = Decimal("0.01")

_REFUSALS: Final[Mapping[int, type[SourceError]]] = {
    402: BudgetSpentError,
    403: SourceRejectedError,
}

_Reader = Callable[[Any], object]
_NUMBERS: Final = {int, float, bool}
_PLAIN: Final = {str, type(None), *_NUMBERS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What stands around the rows: how many these are, how many there are, what they cost.

    ``free_remaining`` is what is left of the month's quota. Both it and ``cost`` (USD) are None
    where the answer does not say.
    """

    rows: tuple[Mapping[str, Any], ...]
    count: int
    total: int
    cost: Decimal | None
    free_remaining: int | None


def read_envelope(page: Page) -> Envelope:
    """Read an answer that holds rows, or only counts them.

    Raises
    ------
    SourceRejectedError
        The account may not (403).
    BudgetSpentError
        The account's quota is exhausted (402).
    InvalidAnswerError
        The API says that something is wrong, whatever the status is.
    LayoutChangedError
        There are no rows where they are looked for.
    """
    answer = page.json()
    if isinstance(answer, dict) and answer.get("error"):
        text = read_text(answer.get("error_description")) or read_text(answer["error"])
        raise _REFUSALS.get(page.status, InvalidAnswerError)(
            f"{page.name}: the source says {text!r}", url=page.url
        )
    if not isinstance(answer, dict) or not isinstance(answer.get("results"), (list, dict)):
        raise LayoutChangedError(f"{page.name}: no object with results", url=page.url)
    rows = _read_rows(answer["results"], page)
    count = read_int(answer.get("resultCount"), "resultCount")
    total = read_int(answer.get("totalResultCount"), "totalResultCount")
    count = len(rows) if count is None else count
    return Envelope(
        rows=rows,
        count=count,
        total=count if total is None else total,
        cost=read_decimal(answer.get("totalCost"), "totalCost"),
        free_remaining=read_int(answer.get("quantityFreeRemaining"), "quantityFreeRemaining"),
    )


def _read_rows(results: Any, page: Page) -> tuple[Mapping[str, Any], ...]:
    """Return rows as objects; an object of arrays has one for each field."""
    if isinstance(results, dict):
        if any(not isinstance(values, list) for values in results.values()):
            raise LayoutChangedError(f"{page.name}: results are neither rows nor columns")
        if len({len(values) for values in results.values()}) > 1:
            raise LayoutChangedError(f"{page.name}: columns of different lengths")
        results = [
            dict(zip(results, row, strict=True)) for row in zip(*results.values(), strict=True)
        ]
    if any(not isinstance(row, dict) for row in results):
        raise LayoutChangedError(f"{page.name}: a row that is no object")
    return tuple(results)


def read_leads(
    rows: Sequence[Mapping[str, Any]], criteria_id: str, where: str
) -> tuple[RecordBlock, frozenset[str], tuple[str, ...]]:
    """Return each lead once, as it comes last, the columns that not every row has, and notes.

    Rows are paid for: one odd value makes that value absent, never the row, and is noted.
    """
    columns, unsaid = _take_fields(rows)
    held = _read_ids(columns.pop("radar_id"), where)
    ids = held.to_pylist()
    newest = dict(zip(ids, range(len(ids)), strict=True))
    if len(newest) < len(ids):
        ids = list(newest)
        held = make_column(ids, "text")
        columns = {
            column: [values[place] for place in newest.values()]
            for column, values in columns.items()
        }
    plain = read_plain(columns, _KINDS)
    notes: list[str] = []
    read = {
        column: plain[column]
        if column in plain
        else _read_column(ids, field, columns[column], notes)
        for column, field in _COLUMNS.items()
    }
    block = {"radar_id": held, "criteria_id": [criteria_id] * len(ids), **read}
    return RecordBlock({Lead: block}), unsaid, tuple(notes)


def _read_ids(values: Sequence[Any], where: str) -> pa.Array:
    ids = read_plain({"radar_id": values}, {"radar_id": "text"}).get("radar_id")
    if ids is None:
        ids = make_column(list(map(_read_clean, values)), "text")
    if ids.null_count:
        raise LayoutChangedError(f"{where}: a row without RadarID")
    return ids


def _take_fields(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Sequence[Any]], frozenset[str]]:
    """Return the values of each column, and the columns whose field not every row has."""
    fields = {"radar_id": _RADAR_ID, **_COLUMNS}
    try:
        values = list(zip(*map(_get_fields, rows), strict=True)) or [()] * len(fields)
    except KeyError:
        named = set(FIELDS).intersection(*rows)
        unsaid = frozenset(c for c, field in _COLUMNS.items() if field.name not in named)
        return {c: [row.get(field.name) for row in rows] for c, field in fields.items()}, unsaid
    return dict(zip(fields, values, strict=True)), frozenset()


def read_ids(parsed: Parsed) -> list[str]:
    """Return the RadarIDs of the leads that were read from a page."""
    records = parsed.records
    if not isinstance(records, RecordBlock) or not records:
        return []
    held: Any = records.columns[Lead]["radar_id"]  # an array, as read_leads made it
    return list(held.to_pylist())


def _read_column(
    ids: Sequence[str], field: _Field, values: Sequence[Any], notes: list[str]
) -> pa.Array:
    """Read a field's values, each different one once; of what cannot be read take a note."""
    types = set(map(type, values))
    try:
        # 1, 1.0 and True are the same key, but not the same to read; a list is no key at all.
        if not types <= _PLAIN or len(types & _NUMBERS) > 1:
            said = list(map(field.read, values))
        else:
            known = {value: field.read(value) for value in set(values)}
            said = list(map(known.__getitem__, values))
    except LayoutChangedError:
        said = []
        for radar_id, value in zip(ids, values, strict=True):
            try:
                said.append(field.read(value))
            except LayoutChangedError:
                said.append(None)
                notes.append(f"{radar_id}: {field.name} {value!r:.40} cannot be read")
    return make_column(said, field.kind)


def read_contacts(rows: Iterable[Mapping[str, Any]], at: datetime) -> list[dict[str, Any]]:
    """Return persons as rows of the table ``lead_persons``; ``at`` (aware UTC) is when they came.

    RadarID is the lead's where it was given, else an empty text: unlocking does not say it.
    """
    found = []
    for row in rows:
        key = _read_clean(row.get("PersonKey"))
        if key is None:
            raise LayoutChangedError("persons: a row without PersonKey")
        found.append(
            {
                "person_key": key,
                "radar_id": _read_clean(row.get("RadarID")) or "",
                "first_name": _read_clean(row.get("FirstName")),
                "last_name": _read_clean(row.get("LastName")),
                "person_type": _read_clean(row.get("PersonType")),
                "is_primary_contact": read_bool(row.get("isPrimaryContact"), "isPrimaryContact"),
                "age": _read_whole("Age", row.get("Age")),
                "phones": _read_links(row.get("Phones")),
                "emails": _read_links(row.get("Emails")),
                "source": "propertyradar",
                "collected_at": at,
            }
        )
    return found


def _read_links(value: Any) -> list[str]:
    """Return the texts of phone numbers or addresses: texts, or objects with ``linktext``."""
    links = value if isinstance(value, list) else []
    texts = [_read_clean(one.get("linktext") if isinstance(one, dict) else one) for one in links]
    return [text for text in texts if text]


def _read_clean(value: Any) -> str | None:
    """Read text; half a surrogate pair, which no column holds, becomes a question mark."""
    text = read_text(value)
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def _read_lead_apn(value: Any) -> str | None:
    return read_apn(value) or _read_clean(value)


def _read_whole(name: str, value: Any) -> int | None:
    number = read_int(value, name)
    if number is not None and not -_MOST_WHOLE - 1 <= number <= _MOST_WHOLE:
        raise LayoutChangedError(f"{name}: {value!r} is beyond measure")
    return number


def _read_money(name: str, value: Any) -> Decimal | None:
    # The most of them are plain numbers, also as text; all others are read with care.
    if type(value) is int:
        amount: Decimal | None = Decimal(value)
    else:
        text = repr(value) if type(value) is float else value if type(value) is str else ""
        is_plain = text.isascii() and text.replace(".", "", 1).isdecimal()
        amount = Decimal(text) if is_plain else read_decimal(value, name)
    if amount is not None and abs(amount) >= _MOST_MONEY:
        raise LayoutChangedError(f"{name}: {value!r} is beyond measure")
    return None if amount is None else amount.quantize(_CENT)


def _read_flag(name: str, value: Any) -> bool | None:
    return read_bool(value, name)


def _read_number(name: str, value: Any) -> float | None:
    return read_float(value, name)


def _read_day(name: str, value: Any) -> date | None:
    if type(value) is str and len(value) == 10 and value[4] == value[7] == "-":
        with suppress(ValueError):
            return date.fromisoformat(value)
    return read_date(value, name)


class _Field(NamedTuple):
    """A field of the answer: its name, what it is read as, and what reads one value."""

    name: str
    kind: Kind
    read: _Reader


def _text(name: str) -> _Field:
    return _Field(name, "text", _read_clean)


def _whole(name: str) -> _Field:
    return _Field(name, "whole", partial(_read_whole, name))


def _number(name: str) -> _Field:
    return _Field(name, "number", partial(_read_number, name))


def _money(name: str) -> _Field:
    return _Field(name, "money", partial(_read_money, name))


def _flag(name: str) -> _Field:
    return _Field(name, "flag", partial(_read_flag, name))


def _day(name: str) -> _Field:
    return _Field(name, "day", partial(_read_day, name))


_RADAR_ID: Final = _text("RadarID")
_COLUMNS: Final[Mapping[str, _Field]] = {
    "apn": _Field("APN", "apn", _read_lead_apn),
    "p_type": _text("PType"),
    "advanced_property_type": _text("AdvancedPropertyType"),
    "address": _text("Address"),
    "city": _text("City"),
    "state": _text("State"),
    "zip_five": _text("ZipFive"),
    "county": _text("County"),
    "fips": _text("FIPS"),
    "latitude": _number("Latitude"),
    "longitude": _number("Longitude"),
    "subdivision": _text("Subdivision"),
    "owner": _text("Owner"),
    "owner2": _text("Owner2"),
    "ownership_type": _text("OwnershipType"),
    "sq_ft": _whole("SqFt"),
    "beds": _whole("Beds"),
    "baths": _number("Baths"),
    "stories": _number("Stories"),
    "units": _whole("Units"),
    "year_built": _whole("YearBuilt"),
    "lot_size": _whole("LotSize"),
    "pool": _flag("Pool"),
    "avm": _money("AVM"),
    "assessed_value": _money("AssessedValue"),
    "annual_taxes": _money("AnnualTaxes"),
    "available_equity": _money("AvailableEquity"),
    "equity_percent": _number("EquityPercent"),
    "cltv": _number("CLTV"),
    "total_loan_balance": _money("TotalLoanBalance"),
    "number_loans": _whole("NumberLoans"),
    "first_amount": _money("FirstAmount"),
    "first_date": _day("FirstDate"),
    "first_rate": _number("FirstRate"),
    "last_transfer_rec_date": _day("LastTransferRecDate"),
    "last_transfer_value": _money("LastTransferValue"),
    "last_transfer_type": _text("LastTransferType"),
    "delinquent_year": _whole("DelinquentYear"),
    "delinquent_amount": _money("DelinquentAmount"),
    "foreclosure_stage": _text("ForeclosureStage"),
    "phone_availability": _flag("PhoneAvailability"),
    "email_availability": _flag("EmailAvailability"),
    "is_same_mailing_or_exempt": _flag("isSameMailingOrExempt"),
    "is_site_vacant": _flag("isSiteVacant"),
    "is_listed_for_sale": _flag("isListedForSale"),
    "in_foreclosure": _flag("inForeclosure"),
    "in_tax_delinquency": _flag("inTaxDelinquency"),
    "is_deceased_property": _flag("isDeceasedProperty"),
    "in_bankruptcy_property": _flag("inBankruptcyProperty"),
}
"""Each column's field; with RadarID 50 fields, the most one request may name."""

_KINDS: Final = {column: field.kind for column, field in _COLUMNS.items()}

FIELDS: Final = (_RADAR_ID.name, *(field.name for field in _COLUMNS.values()))
"""The names of the fields that are asked for."""

_get_fields: Final = itemgetter(*FIELDS)
