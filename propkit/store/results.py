"""What an item leaves behind, and how it is written: records replaced by scope, ledgers appended."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from propkit.items import Item, State
from propkit.pages import Page
from propkit.records import RECORD_TYPES, Record
from propkit.store.schema import LEDGER_SCHEMAS, record_schema

_ITEM_COLUMNS = tuple(field.name for field in fields(Item))
_RECORD_COLUMNS = {
    table: tuple(field.name for field in fields(kind)) for table, kind in RECORD_TYPES.items()
}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Everything that one item leaves behind, stored together or not at all.

    ``follow_ups`` are new items of the same batch. ``checked_at`` (aware UTC) is when the
    source answered; None when it did not, and then nothing becomes fresh. In the columns of
    ``unsaid`` (by table) an absent value is not known to be absent: a stored one stays.
    """

    batch_id: str
    item: Item
    parser_version: int
    pages: Sequence[Page] = ()
    records: Sequence[Record] = ()
    follow_ups: Sequence[Item] = ()
    checked_at: datetime | None = None
    unsaid: Mapping[str, frozenset[str]] = field(default_factory=dict)


def write_results(connection: duckdb.DuckDBPyConnection, results: Iterable[Result]) -> None:
    """Write results inside the caller's transaction; of two answers to one key the later wins."""
    records: dict[str, dict[tuple[Any, ...], list[Row]]] = defaultdict(dict)
    ledgers: dict[str, list[Row]] = {table: [] for table in LEDGER_SCHEMAS}
    new_items: list[Row] = []
    payloads: dict[str, Row] = {}
    for result in results:
        _add_records(records, result, _stored_rows(connection, result))
        for page in result.pages:
            digest = hashlib.sha256(page.body).hexdigest()
            payloads[digest] = _payload_row(digest, page.body)
            ledgers["fetches"].append(_fetch_row(result, page, digest))
        ledgers["items"].append(item_row(result.batch_id, result.item))
        new_items += [item_row(result.batch_id, item) for item in result.follow_ups]
        if result.checked_at is not None:
            ledgers["freshness"].append(
                {
                    "source": result.item.source,
                    "key": result.item.key,
                    "checked_at": result.checked_at,
                    "is_found": result.item.state is not State.NOT_FOUND,
                    "missing": list(result.item.missing),
                }
            )
    for table, scopes in records.items():
        _replace(connection, table, scopes)
    _append_payloads(connection, payloads)
    append_rows(connection, "fetches", ledgers["fetches"])
    append_rows(connection, "freshness", ledgers["freshness"])
    append_rows(connection, "items", new_items)  # before the update: they may have ended already
    update_items(connection, ledgers["items"])


def append_rows(connection: duckdb.DuckDBPyConnection, table: str, rows: list[Row]) -> None:
    """Append rows to a ledger table."""
    if rows:
        data = pa.Table.from_pylist(rows, schema=LEDGER_SCHEMAS[table])
        with _registered(connection, data) as name:
            connection.execute(f"INSERT INTO {table} BY NAME FROM {name}")


def update_items(connection: duckdb.DuckDBPyConnection, rows: list[Row]) -> None:
    """Bring stored items to the state of ``rows``."""
    if not rows:
        return
    data = pa.Table.from_pylist(rows, schema=LEDGER_SCHEMAS["items"])
    changed = ["state", "attempts", "failure_class", "error", "started_at", "ended_at", "missing"]
    sets = ", ".join(f"{column} = new.{column}" for column in changed)
    with _registered(connection, data) as name:
        connection.execute(
            f"UPDATE items SET {sets} FROM {name} AS new"
            " WHERE items.batch_id = new.batch_id AND items.source = new.source"
            " AND items.key = new.key"
        )


def item_row(batch_id: str, item: Item) -> Row:
    """Return an item as a row of the table ``items``."""
    row: Row = {column: getattr(item, column) for column in _ITEM_COLUMNS}
    row.update(batch_id=batch_id, state=item.state.value, missing=list(item.missing))
    return row


Stored = dict[tuple[str, tuple[Any, ...]], Row]


def _stored_rows(connection: duckdb.DuckDBPyConnection, result: Result) -> Stored:
    """Return the stored rows that a poorer answer must not empty, by table and identity."""
    stored: Stored = {}
    for record in result.records:
        if record.table in result.unsaid:
            identity = tuple(getattr(record, column) for column in record.identity)
            same = " AND ".join(f"{column} IS NOT DISTINCT FROM ?" for column in record.identity)
            found = connection.execute(
                f"SELECT {', '.join(_RECORD_COLUMNS[record.table])} FROM {record.table} WHERE {same}",
                list(identity),
            ).fetchall()
            for values in found:
                row = dict(zip(_RECORD_COLUMNS[record.table], values, strict=True))
                stored[record.table, identity] = row
    return stored


def _add_records(
    records: dict[str, dict[tuple[Any, ...], list[Row]]], result: Result, stored: Stored
) -> None:
    seen: set[tuple[str, tuple[Any, ...]]] = set()
    for record in result.records:
        scope = (record.table, tuple(getattr(record, column) for column in record.scope))
        rows = records[scope[0]]
        if scope not in seen:  # a newer answer takes the whole scope
            seen.add(scope)
            rows[scope[1]] = []
        row = {column: getattr(record, column) for column in _RECORD_COLUMNS[record.table]}
        identity = tuple(getattr(record, column) for column in record.identity)
        kept = stored.get((record.table, identity), {})
        for column in result.unsaid.get(record.table, ()) if kept else ():
            row[column] = kept[column] if row[column] is None else row[column]
        row.update(source=result.item.source, collected_at=result.checked_at)
        rows[scope[1]].append(row)


def _replace(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    scopes: Mapping[tuple[Any, ...], list[Row]],
) -> None:
    kind = RECORD_TYPES[table]
    schema = record_schema(kind)
    unique: dict[tuple[Any, ...], Row] = {}
    for rows in scopes.values():
        for row in rows:
            unique[tuple(row[column] for column in kind.identity)] = row
    data = pa.Table.from_pylist(list(unique.values()), schema=schema)
    same = " AND ".join(
        f"{table}.{column} IS NOT DISTINCT FROM new.{column}" for column in kind.scope
    )
    with _registered(connection, data) as name:
        connection.execute(f"DELETE FROM {table} USING {name} AS new WHERE {same}")
        connection.execute(f"INSERT INTO {table} BY NAME FROM {name}")


def _append_payloads(connection: duckdb.DuckDBPyConnection, payloads: Mapping[str, Row]) -> None:
    if not payloads:
        return
    data = pa.Table.from_pylist(list(payloads.values()), schema=LEDGER_SCHEMAS["payloads"])
    with _registered(connection, data) as name:
        connection.execute(
            f"INSERT INTO payloads BY NAME FROM {name}"
            " WHERE sha256 NOT IN (SELECT sha256 FROM payloads)"
        )


def _payload_row(digest: str, body: bytes) -> Row:
    try:
        text: str | None = body.decode()
    except UnicodeDecodeError:
        text = None
    return {"sha256": digest, "body_text": text, "body_bytes": body if text is None else None}


def _fetch_row(result: Result, page: Page, digest: str) -> Row:
    return {
        "source": result.item.source,
        "key": result.item.key,
        "apn": result.item.apn,
        "page": page.name,
        "url": page.url,
        "status": page.status,
        "content_type": page.content_type,
        "fetched_at": page.fetched_at,
        "sha256": digest,
        "parser_version": result.parser_version,
        "batch_id": result.batch_id,
    }


class _registered:  # noqa: N801 -- reads as a verb phrase where it is used
    """A table visible to SQL under a passing name."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, data: pa.Table) -> None:
        self._connection = connection
        self._data = data

    def __enter__(self) -> str:
        self._connection.register("propkit_rows", self._data)
        return "propkit_rows"

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:  # else the rollback takes it away, and the failure itself is to be told
            self._connection.unregister("propkit_rows")
