"""Records into their tables: whole columns, each newer answer in place of its scopes' older rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Self

import duckdb
import pyarrow as pa

from propkit.records import STORED_TYPES, Record
from propkit.store.feeding import Feeds
from propkit.store.schema import record_schema
from propkit.store.scopes import StoredScopes

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNSAID = "unsaid_columns"
"""The column of marks: which row leaves which columns unsaid."""
MARKS = pa.field(UNSAID, pa.int32())


class Kind:
    """What is asked of a record table again and again."""

    def __init__(self, kind: type[Record]) -> None:
        columns = [field.name for field in fields(kind)]
        optional = {field.name for field in fields(kind) if "None" in str(field.type)}

        def same(table: str, some: Sequence[str]) -> str:
            # A plain = where it will do: only that prunes what is read of the stored table.
            return " AND ".join(
                f"{table}.{column} {'IS NOT DISTINCT FROM' if column in optional else '='}"
                f" new.{column}"
                for column in some
            )

        self.table = kind.table
        self.identity = kind.identity
        self.columns = tuple(columns)
        self.is_one_row = kind.scope == kind.identity
        self.open_columns = frozenset(columns).difference(kind.identity)
        self.schema = record_schema(kind)
        self.get_scope = attrgetter(*kind.scope)
        self.get_identity = attrgetter(*kind.identity)
        self.same_scope = same(kind.table, kind.scope)
        self.same_identity = same("old", kind.identity)
        self.scope = kind.scope


KINDS = {kind: Kind(kind) for kind in STORED_TYPES.values()}

RECORD_FEEDS = {kind.table: kind.schema.append(MARKS) for kind in KINDS.values()}
"""The columns of a replacement's data, by table."""


class Replacement:
    """The new rows of one table: ``data``, and the columns in which one has no value, unsaid.

    ``unsaid`` has with each column the marks of the rows concerned; the marks stand in a column
    of the data.
    """

    def __init__(self, kind: Kind, data: pa.Table, unsaid: Mapping[str, Sequence[str]]) -> None:
        self.table = kind.table
        self.scope = kind.scope
        self.data = data
        self.kind = kind
        self.unsaid = unsaid

    def remove(self, new: Feeds) -> pa.Table | None:
        """Delete the rows in whose place the new ones come; return what may have to be kept."""
        kind, unsaid = self.kind, self.unsaid
        scopes = new[self.table]
        if not kind.is_one_row:
            scopes = f"(SELECT DISTINCT {', '.join(kind.scope)} FROM {scopes})"
        delete = f"DELETE FROM {kind.table} USING {scopes} AS new WHERE {kind.same_scope}"
        if not unsaid:
            new.execute(delete)
            return None
        returned = ", ".join(f"{kind.table}.{column}" for column in (*kind.identity, *unsaid))
        old = new.connection.sql(f"{delete} RETURNING {returned}").to_arrow_table()
        return old if old.num_rows else None

    def insert(self, new: Feeds, old: Registered | None) -> None:
        """Insert the new rows; what they leave unsaid is taken from the old ones, if any."""
        if old is None:
            new.execute(
                f"INSERT INTO {self.table} BY NAME FROM {new[self.table]} SELECT * EXCLUDE {UNSAID}"
            )
            return
        kept = ", ".join(
            f"CASE WHEN new.{column} IS NULL AND {UNSAID} IN ({', '.join(marks)})"
            f" THEN old.{column} ELSE new.{column} END AS {column}"
            for column, marks in self.unsaid.items()
        )
        new.connection.execute(
            f"INSERT INTO {self.table} BY NAME"
            f" SELECT new.* EXCLUDE {UNSAID} REPLACE ({kept}) FROM {new[self.table]} AS new"
            f" LEFT JOIN {old[self.table]} AS old ON {self.kind.same_identity}"
        )


def replace_records(replacements: Sequence[Replacement], new: Feeds, stored: StoredScopes) -> None:
    """Write what was gathered, inside the caller's transaction, from where it stands.

    Where a record leaves a column unsaid and has no value, the value of the row in its place
    stays.
    """
    found = stored.find(new, {each.table: each.scope for each in replacements})
    old = {}
    for each in replacements:
        kept = each.remove(new) if each.table in found else None
        if kept is not None:
            old[each.table] = kept
    with Registered(new.connection, old, "propkit_old_rows") as registered:
        for each in replacements:
            each.insert(new, registered if each.table in old else None)


def make_table(schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Return rows, whose values stand in the schema's order, as an Arrow table."""
    columns = zip(zip(*rows, strict=True), schema.types, strict=True)
    return pa.Table.from_arrays([make_array(values, of) for values, of in columns], schema=schema)


def make_array(values: Sequence[Any], of: pa.DataType) -> pa.Array:
    """Return values as an Arrow array; one that the type cannot hold is a ``pa.ArrowException``."""
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
            length = max(table.num_rows for table in self._tables.values())
            columns = [_make_column(table, length) for table in self._tables.values()]
            rows = pa.Table.from_arrays(columns, names=list(self._tables))
            self._connection.register(self.name, rows)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if (
            kind is None and self._tables
        ):  # else the rollback takes it away, and the failure is told
            self._connection.unregister(self.name)


def _make_column(table: pa.Table, length: int) -> pa.ChunkedArray:
    """Return a table as one column of structs, with nulls to the length behind them."""
    columns = [column.combine_chunks() for column in table.columns]
    rows = pa.StructArray.from_arrays(columns, fields=list(table.schema))
    return pa.chunked_array([rows, pa.nulls(length - len(rows), rows.type)])
