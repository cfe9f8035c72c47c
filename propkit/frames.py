"""DataFrames out: one function a question, each with stated columns.

All frames have Arrow dtypes: ids are text, money is ``decimal128`` (exact), counts ``int64``,
dates ``date32``, times ``timestamp[us, tz=UTC]``, lists ``list<string>``; absent is NA.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pandas as pd

from propkit.document_codes import DEED_LABELS, DOCUMENT_CODES
from propkit.errors import RequestError
from propkit.lookups import LOOKUPS
from propkit.records import RECORD_TYPES
from propkit.store import Reading
from propkit.store.history import read_as_of
from propkit.store.not_collected import NOT_COLLECTED, read_not_collected
from propkit.terms import Terms

_ORDERS = {
    **{table: ", ".join(kind.identity) for table, kind in RECORD_TYPES.items()},
    "parcel_shapes": "county, apn, object_id",
    "layers": "source",
    "hits": '"by", query, position',
    "items": "batch_id, sequence, source, key",
    "batches": "number",
    "batch_logs": "logged_at",
    "lead_criteria": "created_at, criteria_id",
    "lead_persons": "radar_id, person_key",
    "tax_liens": "apn, tax_year",
    "reparse_changes": "changed_at, source, key, table_name, row, column_name",
    "purchases": "asked_at, purchase_id",
    "listings": "poster, sheet, row_key",
    "postings": "intent_at, posting_id",
}

_HANDED_OVER = ("lead_persons", "layers")
"""Tables that a workbook has besides the records, where they hold anything."""
_LOOKUP_DTYPES = {
    "text": "string[pyarrow]",
    "texts": "object",
    "int": "int64[pyarrow]",
    "bool": "bool[pyarrow]",
    "date": "date32[day][pyarrow]",
}

FRAMES = (*_ORDERS, NOT_COLLECTED)
"""The names of the frames."""

HIT_COLUMNS = (
    "apn",
    "owner_name",
    "situs_address",
    "situs_city",
    "situs_zip",
    "property_type",
    "subdivision",
    "mcr",
    "section_township_range",
    "rental_id",
)
"""The columns of a search's hits."""


def table_frame(
    store: Reading,
    name: str,
    *,
    as_of: datetime | None = None,
    float_money: bool = False,
    terms: Iterable[Terms] = (),
) -> pd.DataFrame:
    """Return a whole table: a range index, the table's columns in the schema's order.

    Rows are ordered by the table's identity. ``as_of`` (aware UTC) gives a record table as it
    stood then; ``float_money`` turns exact decimals into float64. ``not_collected`` is no table:
    see :func:`propkit.store.not_collected.read_not_collected`, which the sources' ``terms`` are for.

    Raises
    ------
    RequestError
        There is no such frame, or no history of it; the message lists those there are.
    """
    if not isinstance(name, str) or name not in FRAMES:
        raise RequestError(f"no frame {name!r}; expected one of {', '.join(FRAMES)}")
    if as_of is not None and name not in RECORD_TYPES:
        raise RequestError(f"no history of {name!r}; there is of {', '.join(RECORD_TYPES)}")
    if name == NOT_COLLECTED:
        return read_not_collected(store, terms)
    if as_of is not None:
        frame = read_as_of(store, name, as_of, _ORDERS[name])
    else:
        columns = "* EXCLUDE unchanged_since" if name in RECORD_TYPES else "*"
        frame = store.frame(f"SELECT {columns} FROM {name} ORDER BY {_ORDERS[name]}")  # noqa: S608
    if float_money:
        decimals = [c for c in frame.columns if "decimal" in str(frame[c].dtype)]
        frame = frame.astype(dict.fromkeys(decimals, "double[pyarrow]"))
    return frame


def hits_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return search hits: a range index, :data:`HIT_COLUMNS`, all text."""
    data = [[row.get(column) for column in HIT_COLUMNS] for row in rows]
    return pd.DataFrame(data, columns=list(HIT_COLUMNS), dtype="string[pyarrow]")


def lookup_frame(what: str, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return what was looked up: a range index and the columns of :data:`propkit.lookups.LOOKUPS`.

    Text, whole numbers, flags and days have Arrow dtypes; lists are lists of text.
    """
    data = {
        column: pd.Series(
            [_as_value(row.get(column), kind) for row in rows], dtype=_LOOKUP_DTYPES[kind]
        )
        for column, kind in LOOKUPS[what].items()
    }
    return pd.DataFrame(data)


def deeds_frame(store: Reading) -> pd.DataFrame:
    """Return the deeds with the prices that were declared, each with its source; a range index.

    Columns: apn, recording_number, suffix, recorded_on, deed_kind (what the code means), names,
    sold_on, sale_price, deed_source, price_source. A deed of trust is no deed. A price stands with
    the deed of the same recording number; without one sold_on and sale_price are absent.
    """
    return store.frame(
        "SELECT coalesce(d.apn, s.apn) AS apn, d.recording_number, d.suffix, d.recorded_on,"
        " k.meaning AS deed_kind, d.names, s.sold_on, s.sale_price, d.source AS deed_source,"
        " s.source AS price_source"
        " FROM documents d JOIN (SELECT unnest($1) AS label, unnest($2) AS meaning) k"
        " ON k.label = list_filter(d.document_codes, lambda c: list_contains($1, c))[1]"
        " LEFT JOIN sales s ON s.recording_number = d.recording_number AND d.suffix IS NULL"
        " ORDER BY d.recorded_on, d.recording_number, d.suffix, s.apn",
        [list(DEED_LABELS), [DOCUMENT_CODES[label].meaning for label in DEED_LABELS]],
    )


def _as_value(value: Any, kind: str) -> Any:
    return date.fromisoformat(value) if kind == "date" and value is not None else value


def choose_frames(
    store: Reading, names: Iterable[str] | None, terms: Iterable[Terms] = ()
) -> dict[str, pd.DataFrame]:
    """Return frames by name; None is every record table, and what else there is to hand over.

    Those are persons that were bought, and the layers that parcels came from: so the licence of
    what was collected goes where the data goes.
    """
    named = [names] if isinstance(names, str) else names
    if not (named is None or isinstance(named, Iterable)):
        raise RequestError(f"frames must be names of frames, or frames by name, not {names!r}")
    chosen = tuple(RECORD_TYPES) if named is None else tuple(named)
    for more in _HANDED_OVER if named is None else ():
        if store.rows(f"SELECT 1 FROM {more} LIMIT 1"):  # noqa: S608
            chosen += (more,)
    return {name: table_frame(store, name, terms=terms) for name in chosen}
