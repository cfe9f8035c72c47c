"""The one writer: results are gathered and committed in groups, each group in one transaction.

A crash can therefore repeat a fetch, but never half-store or double-store an item.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from propkit.errors import InvalidAnswerError, StoreError
from propkit.items import ENDED, Item, State
from propkit.pages import Page
from propkit.records import RECORD_TYPES, Record
from propkit.store.schema import LEDGER_SCHEMAS, record_schema

GROUP_ITEMS = 400
GROUP_SECONDS = 1.0

_ITEM_COLUMNS = tuple(field.name for field in fields(Item))
_RECORD_COLUMNS = {
    table: tuple(field.name for field in fields(kind)) for table, kind in RECORD_TYPES.items()
}

_BAD_VALUES = (
    pa.ArrowException,
    duckdb.ConstraintException,
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    OverflowError,
    UnicodeError,
)
"""What a value that no column can hold raises; anything else is the store's own trouble."""

Row = dict[str, Any]
Work = Callable[[duckdb.DuckDBPyConnection], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Everything that one item leaves behind, stored together or not at all.

    ``follow_ups`` are new items of the same batch. ``checked_at`` (aware UTC) is when the
    source answered; None when it did not, and then nothing becomes fresh.
    """

    batch_id: str
    item: Item
    parser_version: int
    pages: Sequence[Page] = ()
    records: Sequence[Record] = ()
    follow_ups: Sequence[Item] = ()
    checked_at: datetime | None = None


class Writer:
    """A thread that owns all writing to one store.

    Parameters
    ----------
    connect
        Opens a connection to the file; asked again when a commit left the connection dead.
    """

    def __init__(self, connect: Callable[[], duckdb.DuckDBPyConnection]) -> None:
        self._connect = connect
        self._connection = connect()
        self._inbox: queue.SimpleQueue[Result | tuple[Work, Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._failure: StoreError | None = None
        self.commits = 0
        self._thread = threading.Thread(target=self._run, name="propkit-writer", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """How many results wait to be committed."""
        return self._inbox.qsize()

    def put(self, result: Result) -> None:
        """Hand over a result; it is durable after the next :meth:`flush`.

        Raises
        ------
        StoreError
            An earlier commit failed for good.
        """
        self._check()
        self._inbox.put(result)

    def flush(self) -> Future[None]:
        """Return a future that is done when everything put so far is committed."""
        return self.submit(lambda _: None)

    def submit(self, work: Work) -> Future[Any]:
        """Run ``work`` in a transaction of its own, after everything put so far."""
        self._check()
        future: Future[Any] = Future()
        self._inbox.put((work, future))
        return future

    def close(self) -> None:
        """Commit what is pending and end the thread; what comes later is refused."""
        self._inbox.put(None)
        self._thread.join()
        self._failure = self._failure or StoreError("the store is closed")
        while not self._inbox.empty():  # put while the thread ended: nobody would answer
            message = self._inbox.get()
            if isinstance(message, tuple):
                message[1].set_exception(self._failure)
        self._connection.close()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        group: list[Result] = []
        deadline = 0.0
        while True:
            try:
                wait = max(0.0, deadline - time.monotonic()) if group else None
                message = self._inbox.get(timeout=wait)
            except queue.Empty:
                self._commit_group(group)
                group = []
                continue
            if isinstance(message, Result):
                deadline = deadline if group else time.monotonic() + GROUP_SECONDS
                group.append(message)
                if len(group) >= GROUP_ITEMS:
                    self._commit_group(group)
                    group = []
                continue
            self._commit_group(group)
            group = []
            if message is None:
                return
            self._do(*message)

    def _do(self, work: Work, future: Future[Any]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        if self._failure is not None:
            future.set_exception(self._failure)
            return
        try:
            future.set_result(self._transact(work))
        except StoreError as error:
            future.set_exception(error)
        except Exception as error:  # noqa: BLE001 -- who waits is told, and the thread lives on
            failure = StoreError(f"the store could not be written: {error}")
            failure.__cause__ = error
            future.set_exception(failure)

    def _commit_group(self, group: list[Result]) -> None:
        if not group or self._failure is not None:
            return
        try:
            self._transact(lambda connection: write_results(connection, group))
        except Exception as error:  # noqa: BLE001 -- a value that Arrow refuses ends no thread
            self._repeat_missing(group, error)

    def _repeat_missing(self, group: list[Result], error: Exception) -> None:
        """After a failed commit: its outcome is unknown, so look, and repeat what is missing."""
        try:
            self._connection.close()
            self._connection = self._connect()
            stored = _ended_items(self._connection, group)
            rest = [r for r in group if (r.batch_id, *r.item.identity) not in stored]
            for result in rest:
                self._store_one(result)
        except Exception as again:  # noqa: BLE001 -- as above
            self._failure = StoreError(
                f"the store could not be written: {error}; after opening it again: {again}. "
                "Nothing is half stored; what was not stored will be collected again."
            )

    def _store_one(self, result: Result) -> None:
        """Store one result; records that no table can hold are the item's failure, no more."""
        try:
            self._transact(lambda connection: write_results(connection, [result]))
        except _BAD_VALUES as error:
            failed = replace(
                result.item,
                state=State.FAILED,
                failure_class=InvalidAnswerError.failure_class,
                error=f"the records cannot be stored: {error}",
                missing=(),
            )
            bare = replace(result, item=failed, records=(), checked_at=None)
            self._transact(lambda connection: write_results(connection, [bare]))

    def _transact(self, work: Work) -> Any:
        connection = self._connection
        connection.execute("BEGIN")
        try:
            value = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            try:
                connection.execute("ROLLBACK")
            except duckdb.Error:
                self._connection = self._connect()
            raise
        self.commits += 1
        return value


def write_results(connection: duckdb.DuckDBPyConnection, results: Iterable[Result]) -> None:
    """Write results inside the caller's transaction; of two answers to one key the later wins."""
    records: dict[str, dict[tuple[Any, ...], list[Row]]] = defaultdict(dict)
    ledgers: dict[str, list[Row]] = {table: [] for table in LEDGER_SCHEMAS}
    new_items: list[Row] = []
    payloads: dict[str, Row] = {}
    for result in results:
        _add_records(records, result)
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


def _add_records(records: dict[str, dict[tuple[Any, ...], list[Row]]], result: Result) -> None:
    seen: set[tuple[str, tuple[Any, ...]]] = set()
    for record in result.records:
        scope = (record.table, tuple(getattr(record, column) for column in record.scope))
        rows = records[scope[0]]
        if scope not in seen:  # a newer answer takes the whole scope
            seen.add(scope)
            rows[scope[1]] = []
        row = {column: getattr(record, column) for column in _RECORD_COLUMNS[record.table]}
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


def _ended_items(
    connection: duckdb.DuckDBPyConnection, group: Sequence[Result]
) -> set[tuple[str, str, str]]:
    batches = sorted({result.batch_id for result in group})
    rows = connection.execute(
        "SELECT batch_id, source, key FROM items WHERE batch_id IN (SELECT unnest(?))"
        " AND state IN (SELECT unnest(?))",
        [batches, sorted(state.value for state in ENDED)],
    ).fetchall()
    return set(rows)


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
