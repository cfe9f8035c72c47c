"""Rows that an answer takes away without others in the very place: they go into the history.

Rows of a scope are replaced (:mod:`propkit.store.replacing`). Three things are not in one: that a
parcel has no row of a table any more, that a sale is told with another date or deed, and that the
same answer, read again, does not say what was once read in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from propkit.records import STORED_TYPES, Parcel, Sale
from propkit.store.feeding import Feeds
from propkit.store.replacing import KINDS, RECORD_FEEDS, Kind
from propkit.store.scopes import StoredScopes

EMPTIED = "emptied"
WITHDRAWN = "withdrawn"
NOT_FOUND = "not_found"
_WHO = [
    RECORD_FEEDS[Sale.table].field(name)
    for name in ("source", "collected_at", "batch_id", "changed_at")
]
EMPTIED_SCHEMA = pa.schema(
    [("table_name", pa.string()), ("apn", pa.string()), ("tax_year", pa.int64()), *_WHO]
)
"""Which table an answer says a parcel has no row of (null: of no year); who says so, and when."""
WITHDRAWN_SCHEMA = pa.schema([("table_name", pa.string()), ("apn", pa.string()), *_WHO])
"""Of which table an answer is read again (null: about many parcels); whose it is, when it came."""
NOT_FOUND_SCHEMA = pa.schema([("apn", pa.string()), *_WHO])
"""Which parcel a source does not know; when it said so."""

TOLD_AGAIN = (
    "(sales.recording_number = new.recording_number"
    " OR (sales.sold_on = new.sold_on AND sales.sale_price = new.sale_price))"
)
"""The condition that a sale is one of ``new`` of the same parcel, as another date or deed has it."""
KNOWN = (
    "parcels.apn = new.apn AND parcels.source = new.source"
    " AND parcels.collected_at < new.collected_at AND parcels.not_found_since IS NULL"
)
"""The condition that a parcel was known to a source before it said, in ``new``, that it is not."""


def retire_rows(new: Feeds, stored: StoredScopes, known: Iterable[str]) -> None:
    """Take away what the group's answers say is there no more, after their records were written.

    ``known`` has the tables in which rows stood before where the group has written.
    """
    for kind, gone in _find_emptied(new, stored):
        _retire(kind, new, gone, is_emptied(kind))
    if Sale.table in new and {"parcels", Sale.table}.intersection(known):
        _retire(KINDS[Sale], new, new[Sale.table], TOLD_AGAIN)
    for kind in _find_kinds(new, WITHDRAWN):
        read = f"(FROM {new[WITHDRAWN]} WHERE table_name = '{kind.table}')"
        old = new.fetch(kind.delete_found(find_withdrawn(kind, read, new[kind.table])))
        if kind.has_history:
            _note(kind, new, read, old, ("source", "collected_at"))
    if NOT_FOUND in new:
        _note_not_found(new)


def _note_not_found(new: Feeds) -> None:
    """Mark stored parcels that their source says it does not know any more, since when it does.

    What was known of them stays: it is what was so until then.
    """
    kind, (noted,) = KINDS[Parcel], Parcel.noted
    started = "coalesce(parcels.unchanged_since, parcels.collected_at)"
    changed = f"greatest(new.changed_at, {started})"
    identity = ", ".join(f"parcels.{column}" for column in kind.identity)
    new.execute(
        f"INSERT INTO changes BY NAME SELECT {changed} AS changed_at, new.batch_id, new.source,"
        f" lower(parcels.county) AS county, parcels.apn, '{kind.table}' AS table_name,"
        f" [{identity}] AS identity, false AS is_removed, {started} AS old_started_at,"
        f" parcels.collected_at AS old_collected_at, '{noted}' AS column_name, NULL AS old,"
        f" new.collected_at::VARCHAR AS new FROM {new[NOT_FOUND]} AS new JOIN parcels ON {KNOWN}"
    )
    new.execute(
        f"UPDATE parcels SET {noted} = new.collected_at, unchanged_since = {changed}"
        f" FROM {new[NOT_FOUND]} AS new WHERE {KNOWN}"
    )


def is_emptied(kind: Kind) -> str:
    """Return the condition that an older row of a parcel is one that ``new`` says is not there."""
    # Another source may know what this one does not.
    condition = f"{kind.table}.source = new.source"
    if "tax_year" in kind.columns:
        condition += f" AND coalesce(new.tax_year, {kind.table}.tax_year) = {kind.table}.tax_year"
    return condition


def find_withdrawn(kind: Kind, read: str, said: str, *, by_parcel: bool = False) -> str:
    """Return how to find the rows that answers of ``read`` brought and are not in ``said``.

    With ``by_parcel`` each answer is about one parcel.
    """
    parcel = "new.apn" if by_parcel else f"coalesce(new.apn, {kind.table}.apn)"
    return (
        f"FROM {kind.table} JOIN {read} AS new ON {kind.table}.source = new.source"
        f" AND {kind.table}.collected_at = new.collected_at"
        f" AND {kind.table}.apn IS NOT DISTINCT FROM {parcel}"
        f" ANTI JOIN {said} AS said ON {kind.same_scope.replace('new.', 'said.')}"
    )


def _find_kinds(new: Feeds, feed: str) -> list[Kind]:
    tables = set(new.rows(feed)["table_name"].to_pylist()) if feed in new else ()
    return [KINDS[STORED_TYPES[table]] for table in sorted(tables)]


def _find_emptied(new: Feeds, stored: StoredScopes) -> list[tuple[Kind, str]]:
    """Return the tables of which parcels may have lost their rows, and what says which parcels."""
    gone = {
        kind: f"(FROM {new[EMPTIED]} WHERE table_name = '{kind.table}')"
        for kind in _find_kinds(new, EMPTIED)
    }
    by_parcel = {kind: rows for kind, rows in gone.items() if kind.scope == ("apn",)}
    stored_ones = stored.may_have(
        new, {kind.table: (kind.scope, rows) for kind, rows in by_parcel.items()}
    )
    return [
        (kind, rows)
        for kind, rows in gone.items()
        if kind not in by_parcel or kind.table in stored_ones
    ]


def _retire(kind: Kind, new: Feeds, gone: str, also: str) -> None:
    """Delete rows of parcels in ``gone`` that were said before it, and keep what they said."""
    _note(kind, new, gone, new.fetch(kind.delete_older(gone, also)), ("apn",))


def _note(kind: Kind, new: Feeds, gone: str, old: pa.Table, same: Sequence[str]) -> None:
    """Keep what deleted rows said; ``same`` has the columns in which they are as ``gone``."""
    if old.num_rows:
        name, columns = f"old_{kind.table}", ", ".join(same)
        # As of the last of those who say so.
        others = ", ".join(
            f"max({column}) AS {column}" if column == "changed_at"
            else f"arg_max({column}, changed_at) AS {column}"
            for column in ("changed_at", "source", "batch_id") if column not in same
        )  # fmt: skip
        taken = f"(SELECT {columns}, {others} FROM {gone} GROUP BY {columns})"
        with new.filled({name: old}):
            new.execute(kind.note_gone(new[kind.table], taken, new[name], same))
