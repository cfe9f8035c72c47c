"""Kept answers: which pages make up what a source answered about a key, and what they would change.

The pages of one answer stand side by side in ``fetches``: a page of the same name begins the next.
What a reading of them says is compared with the record tables, column by column, and only where it
differs are they written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import duckdb
import pandas as pd
import pyarrow as pa

from propkit.pages import Page
from propkit.records import Record
from propkit.store.database import Store
from propkit.store.gathering import Answer, gather_records
from propkit.store.reading import Reading, to_frame
from propkit.store.replacing import Kind, Replacement, replace_records
from propkit.store.results import append_rows

FAILED_SUFFIX: Final = " (failed)"
"""What the name of a page ends in that failed its item."""

KEYS_AT_ONCE: Final = 2000
_KEPT: Final = (
    "FROM fetches f LEFT JOIN items i USING (batch_id, source, key)"
    " LEFT JOIN batch_heads b USING (batch_id)"
    " WHERE f.source = $1 AND coalesce(b.kind, '') NOT IN (SELECT unnest($2))"
)
_OTHER_KINDS = ("validation", "search")
_READ = ("done", "not_found", "skipped")
_UNREAD = ("layout_changed", "invalid_answer")

DIFFERENCES: Final = ("key", "apn", "table", "row", "column", "old", "new")
"""The columns of what a reading changes, all text: ``row`` tells apart the rows of one parcel."""

_PARCEL: Final = ("county", "apn")
_Ask = Callable[[str, pa.Table, Sequence[Any]], pa.Table]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """What a source once answered about a key.

    ``pages`` have no bodies yet; ``digests`` are theirs, in their order. ``was_read``: a parser
    has read it then, and left out the tables ``missing``.
    """

    key: str
    apn: str | None
    pages: tuple[Page, ...]
    digests: tuple[str, ...]
    was_read: bool
    missing: tuple[str, ...]

    @property
    def at(self) -> datetime:
        """When it came, aware UTC."""
        return max(page.fetched_at for page in self.pages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reread:
    """What a parser has read of a kept answer."""

    answer: KeptAnswer
    records: Sequence[Record]
    unsaid: Mapping[str, frozenset[str]]
    is_found: bool
    missing: tuple[str, ...]


def iter_kept(
    store: Reading, source: str, at_once: int = KEYS_AT_ONCE
) -> Iterator[dict[str, list[KeptAnswer]]]:
    """Yield the answers of a source by key, newest first, that a parser may be able to read.

    So many keys are held at once, in their order, however many there are. Left out are answers to
    validations and searches, and those of items that failed for another reason than that they
    could not be read.
    """
    last: str | None = None
    while True:
        keys = store.table(
            f"SELECT DISTINCT f.key {_KEPT} AND ($3::VARCHAR IS NULL OR f.key > $3::VARCHAR)"
            f" ORDER BY f.key LIMIT {int(at_once)}",
            [source, list(_OTHER_KINDS), last],
        )["key"].to_pylist()
        if not keys:
            return
        yield find_answers(store, source, keys)
        last = keys[-1]


def find_answers(store: Reading, source: str, keys: Sequence[str]) -> dict[str, list[KeptAnswer]]:
    """Return the answers to some keys, which are all there are between the first and the last."""
    rows = store.table(
        "SELECT f.key, f.apn, f.page, f.url, f.status, f.content_type, f.fetched_at, f.sha256,"
        f" f.batch_id, i.state, i.failure_class, i.missing {_KEPT}"
        " AND f.key BETWEEN $3 AND $4 ORDER BY f.key, f.rowid",
        [source, list(_OTHER_KINDS), keys[0], keys[-1]],
    ).to_pylist()
    found: dict[str, list[KeptAnswer]] = {}
    group: list[dict[str, Any]] = []
    for row in [*rows, None]:
        if group and (row is None or _begins_another(group, row)):
            # Of several tries in one batch the item's state is that of the last.
            is_last = row is None or (row["key"], row["batch_id"]) != _whose(group)
            if (answer := _make_answer(group, is_last=is_last)) is not None:
                found.setdefault(answer.key, []).insert(0, answer)
            group = []
        if row is not None:
            group.append(row)
    return found


def add_bodies(answer: KeptAnswer, bodies: Mapping[str, bytes]) -> tuple[Page, ...] | None:
    """Return the pages with their bodies; None where one was pruned."""
    if any(digest not in bodies for digest in answer.digests):
        return None
    return tuple(
        replace(page, body=bodies[digest])
        for page, digest in zip(answer.pages, answer.digests, strict=True)
    )


def compare_kept(store: Reading, read: Sequence[Reread]) -> pd.DataFrame:
    """Return what the readings would change, as a frame of :data:`DIFFERENCES`."""

    def ask(sql: str, wanted: pa.Table, params: Sequence[Any] = ()) -> pa.Table:
        return store.table(sql, list(params), wanted=wanted)

    return to_frame(_compare(ask, read)[0])


def store_kept(
    store: Store, source: str, parser_version: int, read: Sequence[Reread], reparse_id: str
) -> pd.DataFrame:
    """Store the readings where they change something; return what was changed.

    All in one transaction: the records with the time of their answer, the differences in
    ``reparse_changes``, and what has become known of which tables an answer leaves out.
    """

    def work(connection: duckdb.DuckDBPyConnection) -> pa.Table:
        def ask(sql: str, wanted: pa.Table, params: Sequence[Any] = ()) -> pa.Table:
            connection.register("wanted", wanted)
            try:
                return connection.sql(sql, params=list(params)).to_arrow_table()
            finally:
                connection.unregister("wanted")

        differences, usable = _compare(ask, read)
        changed = set(differences["key"].to_pylist())
        now = datetime.now(UTC)
        replacements = gather_records(
            [
                replace(answer, source=source, batch_id=reparse_id, changed_at=now)
                for answer in usable
                if answer.source in changed and answer.records
            ]
        )
        stored = store.writer.stored
        new = stored.prepare(connection)
        with new.filled({each.table: each.data for each in replacements}):
            replace_records(replacements, new, stored.scopes)
        append_rows(connection, "freshness", [_freshness(source, one) for one in _newly(read)])
        append_rows(
            connection,
            "reparse_changes",
            [
                {"reparse_id": reparse_id, "source": source, "parser_version": parser_version}
                | {"changed_at": now, "table_name": row["table"], "column_name": row["column"]}
                | {name: row[name] for name in ("key", "apn", "row", "old", "new")}
                for row in differences.to_pylist()
            ],
        )
        return differences

    return to_frame(store.writer.submit(work).result())


def _newly(read: Iterable[Reread]) -> list[Reread]:
    """Return the readings that say something else of what is missing than was known."""
    return [
        one
        for one in read
        if not one.answer.was_read or sorted(one.missing) != sorted(one.answer.missing)
    ]


def _freshness(source: str, one: Reread) -> dict[str, Any]:
    return {
        "source": source,
        "key": one.answer.key,
        "checked_at": one.answer.at,
        "is_found": one.is_found,
        "missing": list(one.missing),
    }


# --- which pages belong together --------------------------------------------------------------


def _whose(group: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    return group[0]["key"], group[0]["batch_id"]


def _begins_another(group: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> bool:
    names = {one["page"].removesuffix(FAILED_SUFFIX) for one in group}
    return (row["key"], row["batch_id"]) != _whose(group) or (
        row["page"].removesuffix(FAILED_SUFFIX) in names
    )


def _make_answer(group: Sequence[Mapping[str, Any]], *, is_last: bool) -> KeptAnswer | None:
    first = group[0]
    # The rows of items may be gone, with their batch.
    was_read = is_last and first["state"] in (*_READ, None)
    if not (was_read or (is_last and first["failure_class"] in _UNREAD)):
        return None
    return KeptAnswer(
        key=first["key"],
        apn=first["apn"],
        pages=tuple(
            Page(
                name=row["page"],
                url=row["url"],
                fetched_at=row["fetched_at"],
                status=row["status"],
                content_type=row["content_type"],
                body=b"",
            )
            for row in group
        ),
        digests=tuple(row["sha256"] for row in group),
        was_read=was_read,
        missing=tuple(first["missing"] or ()),
    )


# --- comparing --------------------------------------------------------------------------------

_SCHEMA = pa.schema([(name, pa.string()) for name in DIFFERENCES])


def _compare(ask: _Ask, read: Sequence[Reread]) -> tuple[pa.Table, list[Answer]]:
    """Return the differences, and the answers with the key in place of the source.

    Records whose place a later answer has taken are left out of them.
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
    tables = [ask(sql, each.data, ()) for each in replacements for sql in _differences(each)]
    return pa.concat_tables([_SCHEMA.empty_table(), *tables]).combine_chunks(), answers


def _scope_of(record: Record) -> tuple[Any, ...]:
    return tuple(getattr(record, column) for column in record.scope)


def _find_newer(ask: _Ask, new: Replacement) -> set[tuple[Any, ...]]:
    """Return the scopes for which a later answer is stored."""
    columns = ", ".join(f"new.{column}" for column in new.scope)
    rows = ask(
        f"SELECT DISTINCT {columns} FROM wanted AS new JOIN {new.table} ON {new.kind.same_scope}"
        f" WHERE {new.table}.collected_at > new.collected_at",
        new.data,
        (),
    )
    return {tuple(row[column] for column in new.scope) for row in rows.to_pylist()}


def _differences(new: Replacement) -> list[str]:
    """Return the queries that tell the differences of one table."""
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
        pairs = ", ".join(f"old.{c} AS old_{c}, NULL AS new_{c}" for c in kind.columns)
        scope = ", ".join(kind.scope)
        same_scope = kind.same_scope.replace(f"{kind.table}.", "old.")
        gone = (
            f"SELECT new.key, {_label(kind, 'old')}, {pairs} FROM {kind.table} AS old"
            f" JOIN (SELECT DISTINCT source AS key, {scope} FROM wanted) AS new ON {same_scope}"
            f" ANTI JOIN (FROM wanted) AS still ON"
            f" {kind.same_identity.replace('new.', 'still.')}"
        )
        queries.append(_unpivot(kind, gone))
    return queries


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
