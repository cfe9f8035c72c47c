"""Kept answers read again: what that would change in the store, and what it changes.

What a reading says is compared with the record tables, column by column, and only where it differs
are they written: as if the answer had been read so when it came.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import duckdb
import pandas as pd
import pyarrow as pa

from propkit.record_block import Emptied
from propkit.records import STORED_TYPES, Parcel, Record, Sale
from propkit.store.database import Store
from propkit.store.gathering import Answer, gather_records
from propkit.store.kept import KeptAnswer
from propkit.store.reading import Reading, to_frame
from propkit.store.replacing import (
    KINDS,
    RECORD_FEEDS,
    Kind,
    Replacement,
    join_tables,
    make_table,
    replace_records,
)
from propkit.store.results import append_rows, replace_rows
from propkit.store.retiring import (
    EMPTIED,
    EMPTIED_SCHEMA,
    KNOWN,
    NOT_FOUND,
    NOT_FOUND_SCHEMA,
    TOLD_AGAIN,
    WITHDRAWN,
    WITHDRAWN_SCHEMA,
    find_withdrawn,
    is_emptied,
    retire_rows,
)

DIFFERENCES: Final = ("key", "apn", "table", "row", "column", "old", "new")
"""The columns of what a reading changes, all text: ``row`` tells apart the rows of one parcel."""

_SCHEMA = pa.schema([(name, pa.string()) for name in DIFFERENCES])
_PARCEL: Final = ("county", "apn")
_Ask = Callable[[str, pa.Table], pa.Table]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reread:
    """What a parser has read of a kept answer.

    ``tables`` are those that it was read for; None: for all. ``answered`` tells, where one answer
    is about many keys, which of them were found.
    """

    answer: KeptAnswer
    records: Sequence[Record]
    unsaid: Mapping[str, frozenset[str]]
    is_found: bool
    missing: tuple[str, ...]
    emptied: tuple[Emptied, ...] = ()
    answered: Mapping[str, bool] = field(default_factory=dict)
    tables: frozenset[str] | None = None

    @property
    def not_found(self) -> list[str]:
        """The keys that the office does not know, where it was read for all tables."""
        if self.tables is not None:
            return []
        answered = self.answered or {self.answer.key: self.is_found}
        return [key for key, is_found in answered.items() if not is_found]

    def is_for(self, table: str) -> bool:
        """Whether the answer was read for a table."""
        return self.tables is None or table in self.tables


@dataclass(frozen=True, slots=True)
class Reader:
    """Whose answers are read: the source's name, its tables, and the version of its parser."""

    source: str
    provides: Collection[str]
    parser_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """What differs.

    ``answers`` are those that are not outdated, with the key in place of the source; ``gone`` has
    by table the keys of those that once said more than what is read in them now.
    """

    differences: pa.Table
    answers: list[Answer]
    gone: Mapping[str, frozenset[str]]


def compare_kept(store: Reading, reader: Reader, read: Sequence[Reread]) -> pd.DataFrame:
    """Return what the readings would change, as a frame of :data:`DIFFERENCES`."""

    def ask(sql: str, wanted: pa.Table) -> pa.Table:
        return store.table(sql, wanted=wanted)

    return to_frame(_compare(ask, reader, read).differences)


def store_kept(
    store: Store, reader: Reader, read: Sequence[Reread], reparse_id: str
) -> pd.DataFrame:
    """Store the readings where they change something; return what was changed.

    All in one transaction: the records with the time of their answer, the differences in
    ``reparse_changes``, and what has become known of which tables an answer leaves out.
    """
    source = reader.source

    def work(connection: duckdb.DuckDBPyConnection) -> pa.Table:
        def ask(sql: str, wanted: pa.Table) -> pa.Table:
            connection.register("wanted", wanted)
            try:
                return connection.sql(sql).to_arrow_table()
            finally:
                connection.unregister("wanted")

        compared = _compare(ask, reader, read)
        changed = set(compared.differences["key"].to_pylist())
        now = datetime.now(UTC)
        replacements = gather_records(
            [
                replace(answer, source=source, batch_id=reparse_id, changed_at=now)
                for answer in compared.answers
                if answer.source in changed and answer.records
            ]
        )
        tables = {each.table: each.data for each in replacements}
        who = (reparse_id, now)
        emptied = [
            (*empty, source, one.answer.at, *who)
            for one in read
            if one.answer.key in changed
            for empty in one.emptied
        ]
        withdrawn = [
            (table, one.answer.apn, source, one.answer.at, *who)
            for table, keys in compared.gone.items()
            for one in read
            if one.answer.key in keys
        ]
        if emptied:
            tables[EMPTIED] = make_table(EMPTIED_SCHEMA, emptied)
        not_found = [
            (apn, source, one.answer.at, *who)
            for one in read
            if one.answer.key in changed
            for apn in one.not_found
        ]
        if not_found:
            tables[NOT_FOUND] = make_table(NOT_FOUND_SCHEMA, not_found)
        if withdrawn:
            tables[WITHDRAWN] = make_table(WITHDRAWN_SCHEMA, withdrawn)
        stored = store.writer.stored
        new = stored.feeds(connection)
        with new.filled(tables):
            known = replace_records(replacements, new, stored.scopes)
            retire_rows(new, stored.scopes, known)
        known_anew = [row for one in _newly(read) for row in _freshness(source, one)]
        replace_rows(connection, "freshness", known_anew, "source", "key", "checked_at")
        append_rows(
            connection,
            "reparse_changes",
            [
                {
                    "reparse_id": reparse_id,
                    "source": source,
                    "parser_version": reader.parser_version,
                }
                | {"changed_at": now, "table_name": row["table"], "column_name": row["column"]}
                | {name: row[name] for name in ("key", "apn", "row", "old", "new")}
                for row in compared.differences.to_pylist()
            ],
        )
        return compared.differences

    return to_frame(store.writer.submit(work).result())


def _newly(read: Iterable[Reread]) -> list[Reread]:
    """Return the readings that say something else than was known of what there is."""
    return [
        one
        for one in read
        if not one.answer.was_read
        or one.answer.was_found not in {None, one.is_found}
        or sorted(one.missing) != sorted(one.answer.missing)
    ]


def _freshness(source: str, one: Reread) -> list[dict[str, Any]]:
    return [
        {
            "source": source,
            "key": key,
            "checked_at": one.answer.at,
            "is_found": is_found,
            "missing": list(one.missing),
        }
        for key, is_found in (one.answered or {one.answer.key: one.is_found}).items()
    ]


# --- comparing --------------------------------------------------------------------------------


def _compare(ask: _Ask, reader: Reader, read: Sequence[Reread]) -> _Compared:
    """Compare the readings with what is stored.

    Records whose place a later answer has taken are left out of the answers.
    """
    answers: list[Answer] = [
        Answer(one.records, one.unsaid, one.answer.key, one.answer.at, "")
        for one in read
        if one.records
    ]
    replacements = gather_records(answers)
    newer = {each.table: _find_newer(ask, each) for each in replacements}
    if any(newer.values()):
        answers = [
            replace(
                answer, records=[r for r in answer.records if _scope_of(r) not in newer[r.table]]
            )
            for answer in answers
        ]
        replacements = gather_records([answer for answer in answers if answer.records])
    tables = [ask(sql, each.data) for each in replacements for sql in _differences(each)]
    said = {each.table: each.data for each in replacements}
    marks = _Marks(reader.source, read)
    gone = {}
    for table in sorted({*reader.provides, *said, *marks.emptied}):
        kind = KINDS[STORED_TYPES[table]]
        rows = said.get(table, RECORD_FEEDS[table].empty_table())
        found = [ask(sql, wanted) for sql, wanted in marks.queries(kind, rows)]
        tables += found
        # The last of the queries is that of what the same answer does not say any more.
        gone[table] = frozenset(found[-1]["key"].to_pylist())
    whole = pa.concat_tables([_SCHEMA.empty_table(), *tables]).combine_chunks()
    return _Compared(differences=whole, answers=answers, gone=gone)


class _Marks:
    """Which rows are gone by what was read, besides those that others take the place of."""

    def __init__(self, source: str, read: Sequence[Reread]) -> None:
        self.emptied: dict[str, pa.Table] = {}
        self._source = source
        self._read = read
        self._is_by_parcel = all(one.answer.apn is not None for one in read)
        key = pa.field("key", pa.string())
        self._schema = WITHDRAWN_SCHEMA.append(key)
        rows: dict[str, list[tuple[Any, ...]]] = {}
        for one in read:
            for empty in one.emptied:
                row = (*empty, source, one.answer.at, None, None, one.answer.key)
                rows.setdefault(empty.table, []).append(row)
        for table, some in rows.items():
            self.emptied[table] = make_table(EMPTIED_SCHEMA.append(key), some)

    def queries(self, kind: Kind, rows: pa.Table) -> list[tuple[str, pa.Table]]:
        """Return the queries, each with what it names ``wanted``."""
        said, marks = _take("said"), _take("marks")
        unsaid = f"ANTI JOIN {said} AS said ON {kind.same_scope.replace('new.', 'said.')}"
        queries = []
        if kind.table in self.emptied:
            wanted = join_tables({"said": rows, "marks": self.emptied[kind.table]})
            find = f"FROM {kind.table} JOIN {marks} AS new ON {kind.is_older(is_emptied(kind))}"
            queries.append((_gone(kind, "new.key", f"{find} {unsaid}"), wanted))
        if kind is KINDS[Sale]:
            find = f"FROM {kind.table} JOIN {said} AS new ON {kind.is_older(TOLD_AGAIN)}"
            queries.append(
                (_gone(kind, "new.source", f"{find} {unsaid}"), join_tables({"said": rows}))
            )
        not_found = [
            (kind.table, apn, self._source, one.answer.at, None, None, one.answer.key)
            for one in self._read
            for apn in one.not_found
        ]
        if kind is KINDS[Parcel] and not_found:
            pairs = ", ".join(
                f"parcels.{column} AS old_{column},"
                f" {'new.collected_at' if column in kind.noted else f'parcels.{column}'} AS new_{column}"
                for column in kind.columns
            )
            find = f"FROM parcels JOIN {marks} AS new ON {KNOWN}"
            sql = f"SELECT new.key AS key, {_label(kind, kind.table)}, {pairs} {find} {unsaid}"
            wanted = join_tables({"said": rows, "marks": make_table(self._schema, not_found)})
            queries.append((_unpivot(kind, sql), wanted))
        answers = [
            (kind.table, one.answer.apn, self._source, one.answer.at, None, None, one.answer.key)
            for one in self._read
            if one.is_for(kind.table)
        ]
        read = make_table(self._schema, answers) if answers else self._schema.empty_table()
        find = find_withdrawn(kind, marks, said, by_parcel=self._is_by_parcel)
        wanted = join_tables({"said": rows, "marks": read})
        return [*queries, (_gone(kind, "new.key", find), wanted)]


def _take(column: str) -> str:
    return f"(SELECT unnest({column}) FROM wanted WHERE {column} IS NOT NULL)"


def _scope_of(record: Record) -> tuple[Any, ...]:
    return tuple(getattr(record, column) for column in record.scope)


def _find_newer(ask: _Ask, new: Replacement) -> set[tuple[Any, ...]]:
    """Return the scopes for which a later answer is stored."""
    columns = ", ".join(f"new.{column}" for column in new.scope)
    same = new.kind.same_scope
    if new.kind is KINDS[Sale]:
        same = f"sales.apn = new.apn AND ({same} OR {TOLD_AGAIN})"
    rows = ask(
        f"SELECT DISTINCT {columns} FROM wanted AS new JOIN {new.table} ON {same}"
        f" WHERE {new.table}.collected_at > new.collected_at",
        new.data,
    )
    return {tuple(row[column] for column in new.scope) for row in rows.to_pylist()}


def _differences(new: Replacement) -> list[str]:
    """Return the queries that tell the differences of one table, in the scopes of what is new."""
    kind = new.kind
    values = {column: kind.value(column) for column in kind.columns}
    old = ", ".join(f"old.{column}" for column in kind.columns)
    pairs = ", ".join(f"old.{c} AS old_{c}, {value} AS new_{c}" for c, value in values.items())
    changed = (
        f"SELECT new.source AS key, {_label(kind, 'new')}, {pairs} FROM wanted AS new"
        f" LEFT JOIN {kind.table} AS old ON {kind.same_identity}"
        f" WHERE row({old}) IS DISTINCT FROM row({', '.join(values.values())})"
    )
    queries = [_unpivot(kind, changed)]
    if not kind.is_one_row:
        scopes = f"(SELECT DISTINCT source AS key, {', '.join(kind.scope)} FROM wanted)"
        still = kind.same_identity.replace("old.", f"{kind.table}.").replace("new.", "still.")
        find = f"FROM {kind.table} JOIN {scopes} AS new ON {kind.same_scope}"
        queries.append(
            _gone(kind, "new.key", f"{find} ANTI JOIN (FROM wanted) AS still ON {still}")
        )
    return queries


def _gone(kind: Kind, key: str, find: str) -> str:
    """Return the query that tells of rows which are found that they are gone."""
    pairs = ", ".join(f"{kind.table}.{c} AS old_{c}, NULL AS new_{c}" for c in kind.columns)
    return _unpivot(
        kind, f"SELECT DISTINCT {key} AS key, {_label(kind, kind.table)}, {pairs} {find}"
    )


def _label(kind: Kind, table: str) -> str:
    apn = f"{table}.apn" if "apn" in kind.columns else "NULL::VARCHAR"
    others = [f"{table}.{column}" for column in kind.identity if column not in _PARCEL]
    row = f"concat_ws(' ', {', '.join(others)})" if others else "''"
    return f'{apn} AS apn, {row} AS "row"'


def _unpivot(kind: Kind, pairs: str) -> str:
    """Return the query of one row for each column that differs, as text."""
    each = " UNION ALL ".join(
        f'SELECT key, apn, \'{kind.table}\' AS "table", "row", \'{column}\' AS "column",'
        f" old_{column}::VARCHAR AS old, new_{column}::VARCHAR AS new FROM pairs"
        f" WHERE old_{column} IS DISTINCT FROM new_{column}"
        for column in kind.columns
    )
    return f"WITH pairs AS MATERIALIZED ({pairs}) {each}"
