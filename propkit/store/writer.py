"""The one writer: results are gathered and committed in groups, each group in one transaction.

A crash can therefore repeat a fetch, but never half-store or double-store an item.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import duckdb
import pyarrow as pa

from propkit.errors import InvalidAnswerError, StoreError
from propkit.items import ENDED, State
from propkit.store.results import Result, write_results

GROUP_ITEMS = 400
GROUP_SECONDS = 1.0

_BAD_VALUES = (
    pa.ArrowException,
    duckdb.ConstraintException,
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    OverflowError,
    UnicodeError,
)
"""What a value that no column can hold raises; anything else is the store's own trouble."""

Work = Callable[[duckdb.DuckDBPyConnection], Any]


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
