"""What an item leaves behind, and how it is written: records replaced by scope, ledgers appended.

All of a group is written by whole columns: a Python object for each cell, or a statement for each
row, would hold the interpreter's lock while the collector needs it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

import duckdb
import pyarrow as pa

from propkit.evidence import Sight
from propkit.items import Item
from propkit.pages import Page
from propkit.record_block import Emptied, RecordBlock
from propkit.records import Parcel, ParcelShape, Record
from propkit.store.answered import make_freshness, make_not_found
from propkit.store.feeding import Feeds
from propkit.store.gathering import Answer, gather_records
from propkit.store.payloads import StoredPayloads
from propkit.store.replacing import (
    RECORD_FEEDS,
    Registered,
    make_table,
    replace_records,
)
from propkit.store.retiring import (
    EMPTIED,
    EMPTIED_SCHEMA,
    NOT_FOUND,
    NOT_FOUND_SCHEMA,
    WITHDRAWN,
    WITHDRAWN_SCHEMA,
    retire_rows,
)
from propkit.store.schema import LEDGER_SCHEMAS
from propkit.store.scopes import StoredScopes

_ITEM_COLUMNS = tuple(field.name for field in fields(Item))
_ITEM_IDENTITY = ("batch_id", "source", "key")
_ENDING = (
    *("state", "attempts", "failure_class", "error", "replaced_by", "started_at", "ended_at"),
    "missing",
)
_END_ITEM = (
    f"UPDATE items SET {', '.join(f'{column} = ?' for column in _ENDING[:-1])}"
    f" WHERE {' AND '.join(f'{column} = ?' for column in _ITEM_IDENTITY)}"
)
_ENDED_SCHEMA = pa.schema(
    [LEDGER_SCHEMAS["items"].field(column) for column in (*_ITEM_IDENTITY, *_ENDING)]
)
_SEARCHES_SCHEMA = pa.schema([("by", pa.string()), ("query", pa.string())])
_APPENDED = ("fetches", "freshness", "items", "hits", "payloads", "payload_blocks", "evidence")
_FEEDS = {
    **RECORD_FEEDS,
    **{
        table: LEDGER_SCHEMAS[table]
        for table in (*_APPENDED, "batch_logs", "purchases", "batch_identifiers")
    },
    "ended": _ENDED_SCHEMA,
    "searches": _SEARCHES_SCHEMA,
    EMPTIED: EMPTIED_SCHEMA,
    WITHDRAWN: WITHDRAWN_SCHEMA,
    NOT_FOUND: NOT_FOUND_SCHEMA,
}
_HIT_COLUMNS = LEDGER_SCHEMAS["hits"].names[3:-2]
_get_item = attrgetter(*_ITEM_COLUMNS)
_get_ending = attrgetter(*_ENDING)
_get_page = attrgetter("name", "url", "status", "content_type", "fetched_at")

_ITEMS_AT_ONCE = 5000
_RECORDS_A_WEIGHT = 20

Row = dict[str, Any]
_Answered = tuple["Result", Page, str]  # a result, a page of it, its digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What came of a purchase; see :mod:`propkit.store.purchases`. ``answered_at`` is aware UTC."""

    purchase_id: str
    state: str
    answered_at: datetime
    records: int | None = None
    cost: Decimal | None = None
    free_after: int | None = None
    error: str | None = None
    settled_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Everything that one item leaves behind, stored together or not at all.

    ``follow_ups`` are new items of the same batch. ``checked_at`` (aware UTC) is when the
    source answered; None when it did not, and then nothing becomes fresh. In the columns of
    ``unsaid`` (by table) an absent value is not known to be absent: a stored one stays. Of what
    ``emptied`` names there are no rows any more: those of its source go into the history.
    ``hits`` are the rows that a search found, in the source's order, of the columns of the table
    ``hits`` (other keys are left out); ``hits_of`` says what was searched (by what, and the
    query), and its older hits are replaced. None means that the item was no search.
    ``settlement`` says what came of the purchase that brought the records. Where one answer is
    about many keys, ``answered`` says which were found, and they become fresh in the item's
    place. ``made_at`` is when the batch was made: older shapes of its parcels are taken away.
    ``sight`` is what was to be seen where the item failed.
    """

    batch_id: str
    item: Item
    parser_version: int
    pages: Sequence[Page] = ()
    records: Sequence[Record] = ()
    follow_ups: Sequence[Item] = ()
    checked_at: datetime | None = None
    unsaid: Mapping[str, frozenset[str]] = field(default_factory=dict)
    emptied: Sequence[Emptied] = ()
    hits: Sequence[Mapping[str, str | None]] = ()
    hits_of: tuple[str, str] | None = None
    settlement: Settlement | None = None
    answered: Mapping[str, bool] = field(default_factory=dict)
    made_at: datetime | None = None
    sight: Sight | None = None

    @property
    def weight(self) -> int:
        """How many parcels' answers it takes the room of: a page of a layer holds hundreds."""
        records = self.records
        return 1 + len(records) // _RECORDS_A_WEIGHT if isinstance(records, RecordBlock) else 1


class Stored:
    """What one writer knows of what is stored already, for as long as nobody else writes."""

    def __init__(self) -> None:
        self.payloads = StoredPayloads()
        self._has_missing: bool | None = None
        self.has_holes = False
        """Whether rows were replaced since it was last looked at."""
        self.scopes = StoredScopes()
        self._feeds: Feeds | None = None

    def feeds(self, connection: duckdb.DuckDBPyConnection) -> Feeds:
        """Return what new rows go through, made once for each connection."""
        if self._feeds is None or self._feeds.connection is not connection:
            self._feeds = Feeds(connection, _FEEDS)
        return self._feeds

    def has_missing(self, new: Feeds, group: Sequence[Result]) -> bool:
        """Whether an item of a group, or a stored one, may have tables missing."""
        if self._has_missing is None:
            some = new.connection.execute("SELECT EXISTS (FROM items WHERE len(missing) > 0)")
            self._has_missing = some.fetchall()[0][0]
        self._has_missing |= any(result.item.missing for result in group)
        return self._has_missing

    def forget_feeds(self) -> None:
        """Make that anew: a transaction was rolled back."""
        if self._feeds is not None:
            self._feeds.forget()


def write_results(
    connection: duckdb.DuckDBPyConnection,
    results: Iterable[Result],
    stored: Stored,
) -> None:
    """Write results inside the caller's transaction; of two answers to one key the later wins."""
    group = list(results)
    new = stored.feeds(connection)
    replacements = gather_records(
        [
            Answer(r.records, r.unsaid, r.item.source, r.checked_at, r.batch_id)
            for r in group
            if r.records
        ]
    )
    tables = {each.table: each.data for each in replacements}
    pages = [
        (result, page, hashlib.sha256(page.body).hexdigest())
        for result in group
        for page in result.pages
    ]
    rows = {
        "fetches": _make_fetches(pages),
        "items": [(r.batch_id, *_get_item(item)) for r in group for item in r.follow_ups],
        "hits": _make_hits(group),
        "evidence": _make_evidence(group),
    }
    tables |= {
        table: make_table(LEDGER_SCHEMAS[table], some) for table, some in rows.items() if some
    }
    tables |= (
        make_freshness(group)
        | stored.payloads.pack(new, {d: page.body for _, page, d in pages})
        | _make_searches(group)
        | _make_emptied(group)
        | make_not_found(group)
    )
    with new.filled(tables):
        _remove_old_shapes(new, group)
        known = replace_records(replacements, new, stored.scopes)
        stored.has_holes |= bool(known)
        retire_rows(new, stored.scopes, known)
        if "searches" in new:
            new.execute(
                f"DELETE FROM hits USING {new['searches']} AS new"
                ' WHERE hits."by" = new."by" AND hits.query = new.query'
            )
        if "evidence" in new:
            same = " AND ".join(f"evidence.{name} = new.{name}" for name in _ITEM_IDENTITY)
            new.execute(f"DELETE FROM evidence USING {new['evidence']} AS new WHERE {same}")
        for table in _APPENDED:
            if table in new:
                new.execute(f"INSERT INTO {table} BY NAME FROM {new[table]}")
        _end_items(new, group, stored)  # at last: new ones may have ended already
    for result in group:
        if result.settlement is not None:
            settle_purchase(connection, result.settlement)


def settle_purchase(connection: duckdb.DuckDBPyConnection, settlement: Settlement) -> None:
    """Write what came of a purchase, inside the caller's transaction."""
    values = asdict(settlement)
    sets = ", ".join(f"{column} = ${column}" for column in values)
    connection.execute(
        f"UPDATE purchases SET {sets} WHERE purchase_id = $purchase_id", values
    ).fetchall()


def append_rows(connection: duckdb.DuckDBPyConnection, table: str, rows: list[Row]) -> None:
    """Append rows to a ledger table."""
    if rows:
        with Registered(connection, {table: make_rows(table, rows)}) as new:
            connection.execute(f"INSERT INTO {table} BY NAME FROM {new[table]}")


def feed_tables(
    connection: duckdb.DuckDBPyConnection, stored: Stored, tables: Mapping[str, pa.Table]
) -> None:
    """Append rows to ledgers that change as a batch goes on, by plans that are kept."""
    new = stored.feeds(connection)
    with new.filled(tables):
        for table in tables:
            new.execute(f"INSERT INTO {table} BY NAME FROM {new[table]}")


def make_rows(table: str, rows: list[Row]) -> pa.Table:
    """Return rows of a ledger table, ready to be appended."""
    return pa.Table.from_pylist(rows, schema=LEDGER_SCHEMAS[table])


def replace_rows(
    connection: duckdb.DuckDBPyConnection, table: str, rows: list[Row], *scope: str
) -> None:
    """Put rows in place of those that are equal to one of them in the columns of ``scope``."""
    if rows:
        data = pa.Table.from_pylist(rows, schema=LEDGER_SCHEMAS[table])
        columns = ", ".join(scope)
        with Registered(connection, {table: data}) as new:
            connection.execute(
                f"DELETE FROM {table} WHERE ({columns}) IN (SELECT ({columns}) FROM {new[table]})"
            )
            connection.execute(f"INSERT INTO {table} BY NAME FROM {new[table]}")


def make_items(batch_id: str, items: Sequence[Item]) -> list[pa.Table]:
    """Return the items of a new batch, ready to be appended, some thousands in each table."""
    return [
        make_table(
            LEDGER_SCHEMAS["items"],
            [(batch_id, *_get_item(item)) for item in items[first : first + _ITEMS_AT_ONCE]],
        )
        for first in range(0, len(items), _ITEMS_AT_ONCE)
    ]


def _remove_old_shapes(new: Feeds, group: Sequence[Result]) -> None:
    """Delete shapes from before the batch, of the parcels that a layer's answers bring.

    A new edition of the layer may number them otherwise: nothing would come in their place.
    """
    made_at: dict[str, datetime] = {}
    for result in group:
        records, at = result.records, result.made_at
        if at is not None and isinstance(records, RecordBlock) and Parcel in records.columns:
            made_at[result.item.source] = min(made_at.get(result.item.source, at), at)
    tables = [table for table in (Parcel.table, ParcelShape.table) if table in new]
    parcels = " UNION ".join(f"SELECT county, apn, source FROM {new[table]}" for table in tables)
    for source, at in made_at.items():
        # To find that there is none costs a tenth of deleting none.
        older = "SELECT 1 FROM parcel_shapes WHERE collected_at < ? AND source = ? LIMIT 1"
        if not new.connection.execute(older, [at, source]).fetchall():
            continue
        new.connection.execute(
            f"DELETE FROM parcel_shapes USING ({parcels}) AS new WHERE new.source = ?"
            " AND parcel_shapes.county = new.county AND parcel_shapes.apn = new.apn"
            " AND parcel_shapes.collected_at < ?",
            [source, at],
        )


def _make_fetches(pages: Sequence[_Answered]) -> list[tuple[Any, ...]]:
    return [
        (
            r.item.source,
            r.item.key,
            r.item.apn,
            *_get_page(page),
            digest,
            r.parser_version,
            r.batch_id,
        )
        for r, page, digest in pages
    ]


def _newest_searches(group: Sequence[Result]) -> dict[tuple[str, str], Result]:
    return {result.hits_of: result for result in group if result.hits_of is not None}


def _make_searches(group: Sequence[Result]) -> dict[str, pa.Table]:
    searches = list(_newest_searches(group))
    return {"searches": make_table(_SEARCHES_SCHEMA, searches)} if searches else {}


def _make_hits(group: Sequence[Result]) -> list[tuple[Any, ...]]:
    return [
        (*search, position, *map(hit.get, _HIT_COLUMNS), result.item.source, result.checked_at)
        for search, result in _newest_searches(group).items()
        for position, hit in enumerate(result.hits, start=1)
    ]


def _make_emptied(group: Sequence[Result]) -> dict[str, pa.Table]:
    rows = [
        (*empty, r.item.source, r.checked_at, r.batch_id, r.checked_at)
        for r in group
        for empty in r.emptied
    ]
    return {EMPTIED: make_table(EMPTIED_SCHEMA, rows)} if rows else {}


def _make_evidence(group: Sequence[Result]) -> list[tuple[Any, ...]]:
    newest = {(r.batch_id, *r.item.identity): r.sight for r in group if r.sight is not None}
    return [
        (
            *identity,
            sight.url,
            sight.status,
            sight.seen_at,
            None if sight.page is None else hashlib.sha256(sight.page.body).hexdigest(),
            sight.screenshot,
            sight.console,
        )
        for identity, sight in newest.items()
    ]


def _end_items(new: Feeds, group: Sequence[Result], stored: Stored) -> None:
    """Bring stored items to the state of the group's, of two results of one item the later."""
    newest = {(result.batch_id, *result.item.identity): result.item for result in group}
    # An update of a list deletes and appends the whole row, so only where it says something.
    has_missing = stored.has_missing(new, group)
    if len(newest) == 1 and not has_missing:  # a join would take three times as long
        ((identity, item),) = newest.items()
        new.connection.execute(_END_ITEM, [*_get_ending(item)[:-1], *identity]).fetchall()
        return
    rows = [(*identity, *_get_ending(item)) for identity, item in newest.items()]
    same = " AND ".join(f"items.{column} = new.{column}" for column in _ITEM_IDENTITY)
    sets = ", ".join(f"{column} = new.{column}" for column in _ENDING[:-1])
    with new.filled({"ended": make_table(_ENDED_SCHEMA, rows)}):
        new.execute(f"UPDATE items SET {sets} FROM {new['ended']} AS new WHERE {same}")
        if has_missing:
            new.execute(
                f"UPDATE items SET missing = new.missing FROM {new['ended']} AS new WHERE {same}"
                " AND items.missing IS DISTINCT FROM new.missing"
            )
