"""Rows that an answer takes away without others in the very place: they go into the history.

Rows of a scope are replaced (:mod:`propkit.store.replacing`). Two things are not in one: that a
parcel has no row of a table any more, and that a sale is told with another date or deed.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from propkit.records import RECORD_TYPES, Sale
from propkit.store.feeding import Feeds
from propkit.store.replacing import KINDS, RECORD_FEEDS, Kind
from propkit.store.scopes import StoredScopes

EMPTIED = "emptied"
EMPTIED_SCHEMA = pa.schema(
    [("table_name", pa.string()), ("apn", pa.string()), ("tax_year", pa.int64())]
    + [RECORD_FEEDS[Sale.table].field(name) for name in ("source", "collected_at")]
    + [RECORD_FEEDS[Sale.table].field(name) for name in ("batch_id", "changed_at")]
)
"""Which table an answer says a parcel has no row of (null: of no year); who says so, and when."""

_TOLD_AGAIN = (
    "sales.recording_number = new.recording_number"
    " OR (sales.sold_on = new.sold_on AND sales.sale_price = new.sale_price)"
)


def retire_rows(new: Feeds, stored: StoredScopes, known: Iterable[str]) -> None:
    """Take away what the group's answers say is there no more, after their records were written.

    ``known`` has the tables in which rows stood before where the group has written.
    """
    if EMPTIED in new:
        rows = new.execute(f"SELECT DISTINCT table_name FROM {new[EMPTIED]} ORDER BY 1").fetchall()
        for (table,) in rows:
            _retire_emptied(KINDS[RECORD_TYPES[table]], new, stored)
    if Sale.table in new and {"parcels", Sale.table}.intersection(known):
        _retire(KINDS[Sale], new, new[Sale.table], f"AND ({_TOLD_AGAIN})")


def _retire_emptied(kind: Kind, new: Feeds, stored: StoredScopes) -> None:
    gone = f"(FROM {new[EMPTIED]} WHERE table_name = '{kind.table}')"
    if kind.scope == ("apn",) and not stored.may_have(new, kind.table, kind.scope, gone):
        return
    # Another source may know what this one does not.
    also = f"AND {kind.table}.source = new.source"
    if "tax_year" in kind.columns:
        also += f" AND coalesce(new.tax_year, {kind.table}.tax_year) = {kind.table}.tax_year"
    _retire(kind, new, gone, also)


def _retire(kind: Kind, new: Feeds, gone: str, also: str) -> None:
    """Delete rows of parcels in ``gone`` that were said before it, and keep what they said."""
    old = new.fetch(kind.delete_older(gone, also))
    if old.num_rows:
        name = f"old_{kind.table}"
        taken = (
            "(SELECT apn, max(changed_at) AS changed_at, arg_max(source, changed_at) AS source,"
            f" arg_max(batch_id, changed_at) AS batch_id FROM {gone} GROUP BY apn)"
        )
        with new.filled({name: old}):
            new.execute(kind.note_gone(new[kind.table], taken, new[name]))
