"""The one writer: results are gathered and committed in groups, each group in one transaction.

A crash can therefore repeat a fetch, but never half-store or double-store an item. Of what it
repeats no more than one group was ever handed over: while one is committed only the rest of
``GROUP_ITEMS`` may follow.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Any

import duckdb
import pyarrow as pa

from propkit.errors import InvalidAnswerError, PropkitError, StoreError
from propkit.items import ENDED, State
from propkit.store.memory import Memory
from propkit.store.results import Result, Stored, write_results

GROUP_ITEMS = 400
"""Results that may be put and not committed: what a crash costs, and what memory they take."""
GROUP_SECONDS = 1.0
_ENOUGH = 0.75
"""A group is committed at this share, so that others may come meanwhile."""
SLOW_SECONDS = 2.0
TIMINGS = 1000

_BAD_VALUES = (
    pa.ArrowException,
    duckdb.ConstraintException,
    duckdb.ConversionException,
    duckdb.OutOfRangeException,
    OverflowError,
    UnicodeError,
)
"""What a value that no column can hold raises; anything else is the store's own trouble."""

log = logging.getLogger(__name__)

Work = Callable[[duckdb.DuckDBPyConnection], Any]
_Asked = tuple[Work | None, Future[Any], bool, Collection[str]]
"""A work (None: a flush), its answer, whether it goes ahead of the last results, and its batch."""
SlowListener = Callable[[str, float], object]
"""Told of what took longer than ``SLOW_SECONDS``: the event's name (``commit``), its seconds."""


class Writer:
    """A thread that owns all writing to one store.

    Parameters
    ----------
    connect
        Opens a connection to the file; asked again when a commit left the connection dead.
    memory
        Of which what was asked for has all that it needs, and groups of results little.
    prepare
        Called before each transaction.

    Attributes
    ----------
    commits, items
        How many transactions were committed, and how many results in them.
    stored
        What is known of what is stored already; for work that writes records, on this thread only.
    timings
        How long the last commits took, work and all, in seconds.
    """

    def __init__(
        self,
        connect: Callable[[], duckdb.DuckDBPyConnection],
        memory: Memory,
        prepare: Callable[[], object],
    ) -> None:
        self._connect = connect
        self._memory = memory
        self._prepare = prepare
        self._connection = connect()
        # Not a queue: who puts a result would wake this thread each time, for nothing.
        self._inbox: deque[Result | _Asked | None] = deque()
        self._wake = threading.Event()
        self._put_weight = self._taken_weight = self._ended_weight = 0
        self._kept_weight = 0  # since DuckDB was last asked to let go of what it keeps
        self._is_idle = True
        self._asking = threading.Lock()
        self._asked = self._answered = 0
        self._kept_out: list[Future[None]] = []
        self._failure: StoreError | None = None
        self.stored = Stored()
        self.commits = 0
        self.items = 0
        self.timings: deque[float] = deque(maxlen=TIMINGS)
        self._slow_listeners: dict[str, SlowListener] = {}
        self._thread = threading.Thread(target=self._run, name="propkit-writer", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """How many results are not committed yet, by their weight."""
        return self._put_weight - self._ended_weight

    @property
    def is_full(self) -> bool:
        """Whether a group's results are not committed: who can wait puts no more."""
        return self._put_weight - self._ended_weight >= GROUP_ITEMS

    def room(self) -> Future[None]:
        """Return a future that is done when it is not full; also when it has failed or is closed."""
        future: Future[None] = Future()
        with self._asking:
            if self.is_full and self._thread.is_alive():
                self._kept_out.append(future)
            else:
                future.set_result(None)
        return future

    def put(self, result: Result) -> None:
        """Hand over a result; it is durable after the next :meth:`flush`.

        Raises
        ------
        StoreError
            An earlier commit failed for good.
        """
        self._check()
        self._put_weight += result.weight
        self._inbox.append(result)
        if self._is_idle or self._has_enough:
            self._wake.set()

    def flush(self) -> Future[None]:
        """Return a future that is done when everything put so far is committed."""
        self._check()
        future: Future[None] = Future()
        self._ask((None, future, False, ()))
        return future

    def submit(
        self, work: Work, *, is_ahead: bool = False, batch_id: str | None = None
    ) -> Future[Any]:
        """Run ``work`` after everything put so far, in a transaction of its own.

        ``batch_id`` is the batch that it is done for. With ``is_ahead`` it runs before the results that still wait for their group: who waits for it does
        not wait for them. They are committed right behind it. It is small, and needs no memory.
        """
        self._check()
        future: Future[Any] = Future()
        self._ask((work, future, is_ahead, () if batch_id is None else (batch_id,)))
        return future

    @contextmanager
    def telling(self, batch_id: str, listener: SlowListener) -> Iterator[None]:
        """Tell a listener, on the writer's thread, of what takes long of this batch meanwhile.

        It must not wait for the writer.
        """
        self._slow_listeners[batch_id] = listener
        try:
            yield
        finally:
            if self._slow_listeners.get(batch_id) is listener:  # and not that of a later run
                del self._slow_listeners[batch_id]

    def close(self) -> None:
        """Commit what is pending and end the thread; what comes later is refused."""
        self._ask(None)
        self._thread.join()
        self._failure = self._failure or StoreError("the store is closed")
        self._tell(self._kept_out)
        while self._inbox:  # put while the thread ended: nobody would answer
            message = self._inbox.popleft()
            if isinstance(message, tuple):
                message[1].set_exception(self._failure)
        self._connection.close()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _ask(self, message: _Asked | None) -> None:
        with self._asking:
            self._asked += 1
        self._inbox.append(message)
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wait()
            group: list[Result] = []
            weight = 0
            while self._inbox:
                message = self._inbox[0]
                if isinstance(message, Result):
                    group.append(message)
                    weight += message.weight
                    self._taken_weight += message.weight
                    self._inbox.popleft()
                    if weight >= GROUP_ITEMS:
                        self._commit_group(group)
                        group, weight = [], 0
                        if not self._has_enough and not self._is_urgent:
                            break  # the rest waits for more, as long as it may
                    continue
                self._answered += 1
                if not self._answer(self._inbox.popleft(), group):
                    return
                if not group:
                    weight = 0
                    if not self._has_enough and not self._is_urgent:
                        break  # as above: nobody has asked for what came meanwhile
            self._commit_group(group)

    def _answer(self, message: Any, group: list[Result]) -> bool:
        """Commit and empty a group, and do what was asked for after it; return whether to go on.

        Apart, so that nothing keeps what a work holds, perhaps all items of a batch, once it is done.
        """
        if message is None or not message[2]:
            self._commit_group(group)
            group.clear()
        if message is None:
            return False
        work, future, is_ahead, batch_ids = message
        if future.set_running_or_notify_cancel():
            self._do(work, future, is_small=is_ahead, batch_ids=batch_ids)
        return True

    def _wait(self) -> None:
        """Wait until a group is full or old enough, or somebody waits for the writer."""
        self._is_idle = True
        self._wake.clear()
        if not self._inbox:
            self._wake.wait()
        self._is_idle = False
        deadline = time.monotonic() + GROUP_SECONDS
        while not self._has_enough and not self._is_urgent:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._wake.clear()
            if not self._has_enough and not self._is_urgent:
                self._wake.wait(left)

    @property
    def _has_enough(self) -> bool:
        """Whether it is worth a commit."""
        return self._put_weight - self._taken_weight >= _ENOUGH * GROUP_ITEMS

    @property
    def _is_urgent(self) -> bool:
        """Whether somebody waits for the writer."""
        return self._asked != self._answered

    def _do(
        self,
        work: Work | None,
        future: Future[Any],
        *,
        is_small: bool,
        batch_ids: Collection[str],
    ) -> None:
        if self._failure is not None:
            future.set_exception(self._failure)
            return
        if work is None:
            future.set_result(None)
            return
        try:
            # To change what DuckDB may take costs more than to write a row.
            with nullcontext() if is_small else self._memory.ample():
                value = self._transact(work, batch_ids)
            future.set_result(value)
        except PropkitError as error:
            future.set_exception(error)
        except Exception as error:  # noqa: BLE001 -- who waits is told, and the thread lives on
            failure = StoreError(f"the store could not be written: {error}")
            failure.__cause__ = error
            future.set_exception(failure)

    def _commit_group(self, group: list[Result]) -> None:
        try:
            if group and self._failure is None:
                self._write(group)
                self.items += len(group)
                self._let_in()
                self._kept_weight += sum([result.weight for result in group])
                is_due = self._kept_weight >= _ENOUGH * GROUP_ITEMS
                self._memory.squeeze(self._connection, is_due=is_due)
                self._kept_weight *= not is_due
        except Exception as error:  # noqa: BLE001 -- a value that Arrow refuses ends no thread
            self._repeat_missing(group, error)
        finally:
            self._let_in()

    def _let_in(self) -> None:
        """Count what was taken as ended, all of which is in the group; tell who waits for room."""
        with self._asking:
            self._ended_weight = self._taken_weight
            let_in = [] if self.is_full else self._kept_out
            if let_in:
                self._kept_out = []
        self._tell(let_in)

    def _tell(self, waiting: Sequence[Future[None]]) -> None:
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_result(None)

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
            self._write([result])
        except _BAD_VALUES as error:
            failed = replace(
                result.item,
                state=State.FAILED,
                failure_class=InvalidAnswerError.failure_class,
                error=f"the records cannot be stored: {error}",
                missing=(),
            )
            bare = replace(
                result, item=failed, records=(), emptied=(), hits=(), hits_of=None, checked_at=None
            )
            self._write([bare])
        self.items += 1

    def _write(self, results: Sequence[Result]) -> None:
        self._transact(
            lambda connection: write_results(connection, results, self.stored),
            {result.batch_id for result in results},
        )
        if self.stored.has_holes:
            self.stored.has_holes = False
            self._memory.merge(self._connection)

    def _transact(self, work: Work, batch_ids: Collection[str]) -> Any:
        connection = self._connection
        self._prepare()
        began = time.perf_counter()
        connection.execute("BEGIN")
        try:
            value = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            self.stored.forget_feeds()
            try:
                connection.execute("ROLLBACK")
            except duckdb.Error:
                self._connection = self._connect()
            raise
        self.commits += 1
        seconds = time.perf_counter() - began
        self.timings.append(seconds)
        if seconds > SLOW_SECONDS:
            self._tell_slow(batch_ids, seconds)
        return value

    def _tell_slow(self, batch_ids: Collection[str], seconds: float) -> None:
        found = [self._slow_listeners.get(batch_id) for batch_id in batch_ids]
        listeners = [one for one in found if one is not None]
        if not listeners:
            log.info("a commit took %.1f s", seconds)
        for listener in listeners:
            with suppress(Exception):  # the commit stands, whatever the listener makes of it
                listener("commit", seconds)


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
