"""Records into their tables: whole columns, each newer answer in place of its scopes' older rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Self

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from propkit.kinds import HOME_COUNTY
from propkit.records import RECORD_TYPES, STORED_TYPES, Record
from propkit.store.feeding import Feeds
from propkit.store.schema import record_schema
from propkit.store.scopes import StoredScopes

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNSAID = "unsaid_columns"
"""The column of marks: bit k is set where a row leaves column k of its table unsaid."""
_TIME = pa.timestamp("us", tz="UTC")
STAMPS = (
    pa.field(UNSAID, pa.int64()),
    pa.field("batch_id", pa.string()),
    pa.field("changed_at", _TIME),
)
"""What comes with the rows besides their columns: also who brings them, and as of when."""
_STARTED = pa.field("started_at", _TIME)


class Kind:
    """What is asked of a record table again and again."""

    def __init__(self, kind: type[Record]) -> None:
        columns = [field.name for field in fields(kind)]
        optional = {field.name for field in fields(kind) if "None" in str(field.type)}

        def same(table: str, some: Sequence[str], other: str = "new") -> str:
            # A plain = where it will do: only that prunes what is read of the stored table.
            return " AND ".join(
                f"{table}.{column} {'IS NOT DISTINCT FROM' if column in optional else '='}"
                f" {other}.{column}"
                for column in some
            )

        self.table = kind.table
        self.identity = kind.identity
        self.columns = tuple(columns)
        self.is_one_row = kind.scope == kind.identity
        self.noted = kind.noted
        self.open_columns = frozenset(columns).difference(kind.identity, kind.noted)
        self._lists = frozenset(field.name for field in fields(kind) if field.default == ())
        self.bits = {column: 1 << place for place, column in enumerate(columns)}
        self.schema = record_schema(kind)
        # Of a row, its values in the columns' order.
        self.get_scope = itemgetter(*map(columns.index, kind.scope))
        self.get_identity = itemgetter(*map(columns.index, kind.identity))
        self.same_scope = same(kind.table, kind.scope)
        self.same_identity = same("old", kind.identity)
        self.scope = kind.scope
        self.has_history = kind.table in RECORD_TYPES
        """Whether its older values are kept; those of outlines are not."""
        self._same_taken = same("old", kind.scope, "taken")

    def value(self, column: str) -> str:
        """Return the SQL of what a new row says, the old one's value where it says nothing."""
        if column in self.noted:  # what an answer says ends what was noted before it
            return f"CASE WHEN old.{column} > new.collected_at THEN old.{column} END"
        if column not in self.open_columns:
            return f"new.{column}"
        is_absent = f"new.{column} IS NULL"
        if column in self._lists:
            is_absent = f"coalesce(len(new.{column}), 0) = 0"
        is_open = f"{is_absent} AND new.{UNSAID} & {self.bits[column]} <> 0"
        return f"CASE WHEN {is_open} THEN old.{column} ELSE new.{column} END"

    def delete(self, new: str) -> str:
        """Return the statement that deletes the rows whose scopes are taken; it returns them."""
        scopes = new
        if not self.is_one_row:
            scopes = f"(SELECT DISTINCT {', '.join(self.scope)} FROM {new})"
        delete = f"DELETE FROM {self.table} USING {scopes} AS new WHERE {self.same_scope}"
        return f"{delete} {self._returning()}"

    def is_older(self, also: str) -> str:
        """Return the condition that a row is of a parcel of ``new``, and was said before."""
        return f"{self.table}.apn = new.apn AND {self.table}.collected_at < new.collected_at AND {also}"

    def delete_older(self, gone: str, also: str) -> str:
        """Return the statement that deletes parcels' rows said before ``gone``; it returns them."""
        where = self.is_older(also)
        return f"DELETE FROM {self.table} USING {gone} AS new WHERE {where} {self._returning()}"

    def delete_found(self, found: str) -> str:
        """Return the statement that deletes the rows that are ``found``; it returns them."""
        rows = f"SELECT {self.table}.rowid {found}"
        return f"DELETE FROM {self.table} WHERE rowid IN ({rows}) {self._returning()}"

    def _returning(self) -> str:
        if not self.has_history:
            return ""
        returned = ", ".join(f"{self.table}.{column}" for column in self.schema.names)
        return f"RETURNING {returned}, {_started(self.table)}"

    def insert(self, new: str) -> str:
        """Return the statement that inserts rows where there were none before."""
        left_out = ", ".join(stamp.name for stamp in STAMPS)
        since = ", nullif(changed_at, collected_at) AS unchanged_since" if self.has_history else ""
        return f"INSERT INTO {self.table} BY NAME FROM {new} SELECT * EXCLUDE ({left_out}){since}"

    def insert_over(self, new: str, old: str) -> str:
        """Return the statement that inserts rows in place of old ones."""
        values = [self.value(column) for column in self.columns]
        return (
            f"INSERT INTO {self.table} BY NAME SELECT"
            f" {', '.join(f'{v} AS {c}' for v, c in zip(values, self.columns, strict=True))},"
            f" new.source, new.collected_at, CASE WHEN old.source IS NOT NULL AND NOT"
            f" ({self._differs()}) THEN nullif(old.started_at, new.collected_at) ELSE"
            " nullif(greatest(new.changed_at, old.started_at), new.collected_at) END"
            f" AS unchanged_since FROM {new} AS new LEFT JOIN {old} AS old ON {self.same_identity}"
            " RETURNING unchanged_since < collected_at AS is_confirmed"
        )

    def note(self, new: str, old: str) -> str:
        """Return the statement that keeps what old rows said otherwise, or that they are gone."""
        taken, others = "new", ""
        if not self.is_one_row:
            taken = "taken"
            scopes = ", ".join((*self.scope, "source", "batch_id", "changed_at"))
            others = f" JOIN (SELECT DISTINCT {scopes} FROM {new}) AS taken ON {self._same_taken}"
        return self._note(new, old, taken, others)

    def note_gone(self, new: str, gone: str, old: str, same: Sequence[str]) -> str:
        """Return the statement that keeps what old rows said that are as ``gone`` in some columns."""
        is_same = " AND ".join(f"old.{column} = taken.{column}" for column in same)
        others = f" JOIN {gone} AS taken ON {is_same}"
        return self._note(f"(FROM {new} WHERE false)", old, "taken", others)

    def _note(self, new: str, old: str, taken: str, others: str) -> str:
        pairs = ", ".join(
            f"{{column_name: '{c}', old: old.{c}::VARCHAR, new: ({v})::VARCHAR}}"
            for c, v in [*((c, self.value(c)) for c in self.columns), ("source", "new.source")]
            if c not in self.identity
        )
        apn = "coalesce(new.apn, old.apn)" if "apn" in self.columns else "NULL"
        county = "lower(old.county)" if "county" in self.columns else f"'{HOME_COUNTY}'"
        identity = ", ".join(f"old.{column}::VARCHAR" for column in self.identity)
        return (
            "INSERT INTO changes BY NAME SELECT * FROM (SELECT"
            f" greatest({taken}.changed_at, old.started_at) AS changed_at, {taken}.batch_id,"
            f" {taken}.source, {county} AS county, {apn} AS apn, '{self.table}' AS table_name,"
            f" [{identity}] AS identity, new.source IS NULL AS is_removed,"
            " old.started_at AS old_started_at, old.collected_at AS old_collected_at,"
            f" unnest([{pairs}], recursive := true) FROM {old} AS old{others}"
            f" LEFT JOIN {new} AS new ON {self.same_identity}"
            f" WHERE new.source IS NULL OR {self._differs()})"
            " WHERE old IS DISTINCT FROM new"
        )

    def _differs(self) -> str:
        columns = [column for column in self.columns if column not in self.identity]
        old = ", ".join(f"old.{column}" for column in (*columns, "source"))
        new = ", ".join((*map(self.value, columns), "new.source"))
        return f"row({old}) IS DISTINCT FROM row({new})"


def _started(table: str) -> str:
    since = f"{table}.unchanged_since"
    return f"coalesce({since}, {table}.collected_at) AS {_STARTED.name}"


KINDS = {kind: Kind(kind) for kind in STORED_TYPES.values()}

RECORD_FEEDS = {
    **{kind.table: pa.schema([*kind.schema, *STAMPS]) for kind in KINDS.values()},
    **{f"old_{kind.table}": kind.schema.append(_STARTED) for kind in KINDS.values()},
}
"""The columns of a replacement's data, by table, and of what stood in its place."""


class Replacement:
    """The new rows of one table: ``data``, with the columns of ``STAMPS`` behind its own."""

    def __init__(self, kind: Kind, data: pa.Table) -> None:
        self.table = kind.table
        self.scope = kind.scope
        self.data = data
        self.kind = kind


def replace_records(
    replacements: Sequence[Replacement], new: Feeds, stored: StoredScopes
) -> set[str]:
    """Write what was gathered, inside the caller's transaction, from where it stands.

    Where a record leaves a column unsaid and has no value, the value of the row in its place
    stays. What old rows said otherwise is kept in ``changes``. Return the tables where a scope of
    the new rows may have had rows before.
    """
    found = stored.find(new, {each.table: each.scope for each in replacements})
    for each in replacements:
        kind, rows = each.kind, new[each.table]
        is_over = False
        if each.table in found and kind.has_history:
            is_over = _replace_rows(kind, new)
        elif each.table in found:
            new.execute(kind.delete(rows))
        if not is_over:
            new.execute(kind.insert(rows))
    return found


def _replace_rows(kind: Kind, new: Feeds) -> bool:
    """Put rows in place of old ones, and keep what those said otherwise; False: there are none."""
    rows, name = new[kind.table], f"old_{kind.table}"
    old = new.fetch(kind.delete(rows))
    if not old.num_rows:
        return False
    with new.filled({name: old}):
        confirmed = new.fetch(kind.insert_over(rows, new[name]))
        if pc.sum(confirmed["is_confirmed"]).as_py() != old.num_rows:
            new.execute(kind.note(rows, new[name]))
    return True


def make_table(schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Return rows, whose values stand in the schema's order, as an Arrow table."""
    columns = zip(zip(*rows, strict=True), schema.types, strict=True)
    return pa.Table.from_arrays([make_array(values, of) for values, of in columns], schema=schema)


def make_array(values: Sequence[Any], of: pa.DataType) -> pa.Array:
    """Return values as an Arrow array; one that the type cannot hold is a ``pa.ArrowException``."""
    if isinstance(values, pa.Array):
        return values.cast(of)
    if not pa.types.is_timestamp(of):
        return pa.array(values, of)
    try:  # Arrow asks each aware time for its zone, which takes four times as long
        spans = [None if value is None else value - _EPOCH for value in values]
    except TypeError:
        return pa.array(values, of)
    return pa.array(spans, pa.duration("us")).cast(pa.int64()).cast(of)


class Registered:
    """Tables visible to SQL for a while; asked for one by name, it gives what to select from.

    All stand side by side in one: each object that DuckDB is told of costs about a millisecond
    under the interpreter's lock, as much as making 200 rows.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        tables: Mapping[str, pa.Table],
        name: str = "propkit_rows",
    ) -> None:
        self._connection = connection
        self._tables = tables
        self.name = name

    def __contains__(self, table: str) -> bool:
        return table in self._tables

    def __getitem__(self, table: str) -> str:
        return f"(SELECT unnest({table}) FROM {self.name} WHERE {table} IS NOT NULL)"

    def __enter__(self) -> Self:
        if self._tables:
            self._connection.register(self.name, join_tables(self._tables))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if (
            kind is None and self._tables
        ):  # else the rollback takes it away, and the failure is told
            self._connection.unregister(self.name)


def join_tables(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Return tables side by side in one, each a column of structs; nulls are behind the shorter."""
    length = max(table.num_rows for table in tables.values())
    columns = [_make_column(table, length) for table in tables.values()]
    return pa.Table.from_arrays(columns, names=list(tables))


def _make_column(table: pa.Table, length: int) -> pa.ChunkedArray:
    """Return a table as one column of structs, with nulls to the length behind them."""
    columns = [column.combine_chunks() for column in table.columns]
    rows = pa.StructArray.from_arrays(columns, fields=list(table.schema))
    return pa.chunked_array([rows, pa.nulls(length - len(rows), rows.type)])
