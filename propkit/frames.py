"""DataFrames out: one function a question, each with stated columns.

All frames have Arrow dtypes: ids are text, money is ``decimal128`` (exact), counts ``int64``,
dates ``date32``, times ``timestamp[us, tz=UTC]``, lists ``list<string>``; absent is NA.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from propkit.errors import RequestError
from propkit.records import RECORD_TYPES
from propkit.store import Reading

_ORDERS = {
    **{table: ", ".join(kind.identity) for table, kind in RECORD_TYPES.items()},
    "hits": '"by", query, position',
    "items": "batch_id, sequence, source, key",
    "batches": "number",
    "batch_logs": "logged_at",
    "lead_criteria": "created_at, criteria_id",
    "lead_persons": "radar_id, person_key",
    "tax_liens": "apn, tax_year",
    "reparse_changes": "changed_at, source, key, table_name, row, column_name",
    "purchases": "asked_at, purchase_id",
}

FRAMES = tuple(_ORDERS)
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


def table_frame(store: Reading, name: str, *, float_money: bool = False) -> pd.DataFrame:
    """Return a whole table: a range index, the table's columns in the schema's order.

    Rows are ordered by the table's identity. ``float_money`` turns exact decimals into float64.

    Raises
    ------
    RequestError
        There is no such frame; the message lists them.
    """
    if name not in _ORDERS:
        raise RequestError(f"no frame {name!r}; expected one of {', '.join(FRAMES)}")
    frame = store.frame(f"SELECT * FROM {name} ORDER BY {_ORDERS[name]}")  # noqa: S608
    if float_money:
        decimals = [c for c in frame.columns if "decimal" in str(frame[c].dtype)]
        frame = frame.astype(dict.fromkeys(decimals, "double[pyarrow]"))
    return frame


def hits_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return search hits: a range index, :data:`HIT_COLUMNS`, all text."""
    data = [[row.get(column) for column in HIT_COLUMNS] for row in rows]
    return pd.DataFrame(data, columns=list(HIT_COLUMNS), dtype="string[pyarrow]")


def choose_frames(store: Reading, names: Iterable[str] | None) -> dict[str, pd.DataFrame]:
    """Return frames by name; None is every record table."""
    named = [names] if isinstance(names, str) else names
    chosen = tuple(RECORD_TYPES) if named is None else tuple(named)
    return {name: table_frame(store, name) for name in chosen}
