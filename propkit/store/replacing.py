"""Records into their tables: whole columns, each newer answer in place of its scopes' older rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Self

import duckdb
import pyarrow as pa

from propkit.records import RECORD_TYPES, Record, RecordColumns
from propkit.store.feeding import Feeds
from propkit.store.schema import record_schema
from propkit.store.scopes import StoredScopes

Answer = tuple[Sequence[Record], Mapping[str, frozenset[str]], str, datetime | None]
"""An item's records, the columns by table in which it leaves things unsaid, its source, its time."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNSAID = "unsaid_columns"
"""The column of marks: which row leaves which columns unsaid."""
_MARKS = pa.field(UNSAID, pa.int32())
_NOTHING: frozenset[str] = frozenset()


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


_KINDS = {kind: Kind(kind) for kind in RECORD_TYPES.values()}

RECORD_FEEDS = {kind.table: kind.schema.append(_MARKS) for kind in _KINDS.values()}
"""The columns of a replacement's data, by table."""


class _Rows:
    """The rows that a group's answers leave in one table; answers go by their number."""

    def __init__(self, kind: Kind, answers: Sequence[Answer]) -> None:
        self.kind = kind
        self.says = [unsaid.get(kind.table, _NOTHING) for _, unsaid, _, _ in answers]
        self.records: dict[Any, Record] = {}  # by identity
        self.unsaid: dict[Any, frozenset[str]] = {}  # by identity, where it is not as says has it
        self.numbers: dict[Any, int] = {}  # the answer of each record, by identity
        self._owners: dict[Any, int] = {}  # the last answer, by scope
        self._members: dict[Any, list[Any]] = defaultdict(list)  # identities by scope
        # What the answer before left, by scope: record and unsaid columns by identity.
        self._earlier: dict[Any, dict[Any, tuple[Record, frozenset[str]]]] = {}

    def add(self, record: Record, number: int) -> None:
        """Take a record of an answer, which thereby takes the record's whole scope."""
        scope = self.kind.get_scope(record)
        identity = self.kind.get_identity(record)
        before = self._owners.setdefault(scope, number)
        if before != number:
            self._owners[scope] = number
            taken = [scope] if self.kind.is_one_row else self._members.pop(scope)
            for key in taken:
                del self.numbers[key]
            self._earlier[scope] = {
                key: (self.records.pop(key), self.unsaid.pop(key, self.says[before]))
                for key in taken
            }
        is_new = identity not in self.records
        if not is_new or scope in self._earlier:
            record = self._follow(record, scope, identity, self.says[number])
        if is_new and not self.kind.is_one_row:
            self._members[scope].append(identity)
        self.records[identity] = record
        self.numbers[identity] = number

    def _follow(self, record: Record, scope: Any, identity: Any, unsaid: frozenset[str]) -> Record:
        """Return a record that has others of its scope before it, with what it leaves unsaid."""
        if identity in self.records:
            before = self.records[identity]
            open_before = self.unsaid.get(identity, unsaid)
        elif identity in self._earlier[scope]:
            before, open_before = self._earlier[scope][identity]
        else:  # the answer before took the row away
            before, open_before = record, _NOTHING
        absent = [
            column for column in unsaid & self.kind.open_columns if getattr(record, column) is None
        ]
        kept: dict[str, Any] = {column: getattr(before, column) for column in absent}
        self.unsaid[identity] = frozenset(
            column for column in absent if kept[column] is None and column in open_before
        )
        return replace(record, **kept)


def gather_records(answers: Sequence[Answer]) -> list[Replacement]:
    """Return what the answers leave in each table, ready to be registered and written.

    Each answer takes the whole of its records' scopes, of two answers the later.
    """
    if len(answers) == 1 and isinstance(answers[0][0], RecordColumns):
        return [_gather_columns(answers[0][0], answers)]
    tables: dict[type[Record], _Rows] = {}
    for number, (records, _, _, _) in enumerate(answers):
        for record in records:
            rows = tables.get(type(record))
            if rows is None:
                rows = tables[type(record)] = _Rows(_KINDS[type(record)], answers)
            rows.add(record, number)
    return [_gather_rows(rows, answers) for rows in tables.values()]


def _gather_columns(records: RecordColumns, answers: Sequence[Answer]) -> Replacement:
    """Return the rows of the only answer, which has them by column."""
    kind, size = _KINDS[records.kind], len(records)
    columns = [records.columns[name] for name in kind.columns]
    says = answers[0][1].get(kind.table, _NOTHING)
    return Replacement(kind, *_make_data(kind, columns, [0] * size, [says] * size, answers))


def _gather_rows(rows: _Rows, answers: Sequence[Answer]) -> Replacement:
    numbers, records = list(rows.numbers.values()), list(rows.records.values())
    columns = [list(map(attrgetter(name), records)) for name in rows.kind.columns]
    says = [
        rows.unsaid.get(identity, rows.says[number])
        for identity, number in zip(rows.records, numbers, strict=True)
    ]
    return Replacement(rows.kind, *_make_data(rows.kind, columns, numbers, says, answers))


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


def _make_data(
    kind: Kind,
    columns: Sequence[Sequence[Any]],
    numbers: Sequence[int],
    says: Sequence[frozenset[str]],
    answers: Sequence[Answer],
) -> tuple[pa.Table, dict[str, list[str]]]:
    """Return rows as an Arrow table, and the columns in which one has no value, unsaid.

    Those columns come with the marks of the rows concerned, which stand in a column of their own.
    ``numbers`` has the answer of each row, ``says`` what it leaves unsaid.
    """
    schema = kind.schema
    places = pa.array(numbers, pa.int32())
    sources = make_array([source for _, _, source, _ in answers], schema.types[-2])
    times = make_array([at for _, _, _, at in answers], schema.types[-1])
    arrays = [make_array(values, of) for values, of in zip(columns, schema.types, strict=False)]
    data = pa.Table.from_arrays([*arrays, sources.take(places), times.take(places)], schema=schema)
    marks = {unsaid: mark for mark, unsaid in enumerate(set(says))}
    unsaid: dict[str, list[str]] = defaultdict(list)
    for some, mark in marks.items():
        for column in some & kind.open_columns:
            if data[column].null_count:
                unsaid[column].append(str(mark))
    noted = [marks[some] for some in says] if unsaid else [None] * len(says)
    return data.append_column(_MARKS, pa.array(noted, _MARKS.type)), unsaid


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
