"""A batch in work in this process: started, stopped, gone on with."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future, wait
from datetime import UTC, datetime
from typing import TypedDict, Unpack

from propkit.batch_run import Run, SourceGuard
from propkit.collector import Collector
from propkit.ending import check_process
from propkit.errors import (
    FAILURE_CLASSES,
    PropkitError,
    PurchaseUnsettledError,
    RequestError,
    SourceBlockedError,
    SourceRejectedError,
    StoreError,
)
from propkit.items import Item, State
from propkit.progress import Listener, Progress
from propkit.runtime.cluster import Cluster, run_anywhere
from propkit.runtime.exporting import Export, export_cancelled, export_run
from propkit.runtime.running import (
    charge_repeated,
    learned_of,
    make_guards,
    make_run,
    runs_of,
    skip_known,
)
from propkit.runtime.thread import CollectorThread
from propkit.store.batches import (
    UNFINISHED,
    BatchHead,
    beat,
    count_items,
    delete_batch,
    read_head,
    read_items,
    set_state,
    write_log,
)
from propkit.store.coverage import save_coverage
from propkit.store.requeueing import cancel_waiting, requeue_cancelled, requeue_failed
from propkit.store.statistics import write_runs

STOPPING = (
    SourceBlockedError.failure_class,
    SourceRejectedError.failure_class,
    PurchaseUnsettledError.failure_class,
)
"""Failures after which a person looks before the batch is resumed."""

_KEPT_EVENTS = 50
_KEPT_SECONDS = 30.0
_SLICE_SECONDS = 0.2
_HEARTBEAT_SECONDS = 10.0
_LOG_SECONDS = 1.0
_END_SECONDS = 10.0


class Beginning(TypedDict, total=False):
    """How a run begins: what need not be asked, who listens, and the cluster that asks, if one."""

    fresh_keys: frozenset[tuple[str, str]]
    listeners: Iterable[Listener]
    planned_at: datetime | None
    cluster: Cluster | None


class BatchWork:
    """What one batch does here, by id; ``export`` writes the workbook that it may ask for.

    ``make_listeners`` gives those who hear of every run of it, whoever starts it or goes on;
    ``on_end`` is called when a run has ended and its state is stored.
    """

    def __init__(
        self,
        collector: Collector,
        thread: CollectorThread,
        batch_id: str,
        export: Export,
        *,
        make_listeners: Callable[[], list[Listener]] = list,
        on_end: Callable[[], object] = lambda: None,
    ) -> None:
        self.id = batch_id
        self.collector = collector
        self._export_to = export
        self._make_listeners = make_listeners
        self._on_end = on_end
        self._store = collector.store
        self._thread = thread
        self._run: Run | None = None
        self._future: Future[None] | None = None
        self._lock = threading.RLock()
        self._events: deque[tuple[int, Progress]] = deque(maxlen=_KEPT_EVENTS)

    @property
    def head(self) -> BatchHead:
        """The batch's row: kind, criteria, times."""
        return read_head(self._store, self.id)

    @property
    def is_running(self) -> bool:
        """Whether it runs; who just begins it is waited for."""
        with self._lock:
            return self._future is not None and not self._future.done()

    @property
    def has_begun(self) -> bool:
        """Whether it runs, or ran here; who just begins it is waited for."""
        with self._lock:
            return self._future is not None

    @property
    def is_at_rest(self) -> bool:
        """Whether it has ended, and nobody begins it just now; nobody is waited for."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            return self._future is not None and self._future.done()
        finally:
            self._lock.release()

    @property
    def progress(self) -> Progress | None:
        """The newest event; None when it did not run here."""
        return self._run.progress if self._run else None

    def events(self, after: int) -> list[tuple[int, Progress]]:
        """Return the last events later than ``after`` (nanoseconds of the clock), with their own."""
        return [event for event in self._events.copy() if event[0] > after]

    def forget_events(self) -> None:
        """Let go of the events of a batch that ended a while ago: who follows it has them."""
        events = self._events.copy()
        if events and not self.is_running and time.time_ns() - events[-1][0] > _KEPT_SECONDS * 1e9:
            self._events.clear()

    def start(
        self,
        make: Callable[[], BatchHead],
        items: Sequence[Item],
        **how: Unpack[Beginning],
    ) -> None:
        """Have the batch made, and begin to collect its ``items``."""
        with self._lock:  # who looks for it meanwhile finds it running
            self._begin(make(), items, **how)

    def _begin(self, head: BatchHead, items: Sequence[Item], **how: Unpack[Beginning]) -> None:
        run = make_run(
            self.collector,
            head,
            items,
            fresh_keys=how.get("fresh_keys", frozenset()),
            listeners=[*how.get("listeners", ()), *self._make_listeners(), self._keep_event],
            planned_at=how.get("planned_at"),
        )
        self._run = run
        self._thread.works[self.id] = self  # it may have been let go of before
        self._future = self._thread.submit(self._work(run, how.get("cluster")))
        self._future.add_done_callback(lambda _: self._on_end())

    def cancel(self) -> None:
        """Stop asking at once, keep everything fetched, leave the rest cancelled.

        What was interrupted ends here: only now its workbook is written.
        """
        with self._lock:
            run = self._run if self.is_running else None
            head = self.head
            is_at_rest = run is None and head.state in UNFINISHED
            if is_at_rest:
                cancel_waiting(self._store, self.id)
                set_state(self._store, self.id, "cancelled")
        if run is not None:
            self._thread.call(run.cancelled.set)
            self._wait_for_end()
        elif is_at_rest and head.started_at is not None and head.state != "paused":
            export_cancelled(self._store, head, self._export_to)

    def leave(self) -> None:
        """Stop without cancelling: what is not collected waits for :meth:`resume`."""
        if self.is_running and self._run is not None:
            self._run.is_left = True
            self._thread.call(self._run.cancelled.set)
            self._wait_for_end()

    def abandon(self, seconds: float) -> bool:
        """Ask it to stop, and wait for at most so long; return whether it has ended.

        What hangs does not end.
        """
        if self.is_running and self._run is not None:
            self._run.is_left = True
            self._thread.call(self._run.cancelled.set)
        return self.wait(seconds)

    def forget(self) -> None:
        """Look after what hangs no more: when it ends after all, the batch is another run's."""
        if self._run is not None:
            self._run.is_forgotten = True
            self._thread.call(lambda: self._thread.traffic.forget(self.id))
        self._thread.works.pop(self.id, None)

    def retry(self, only: str | None = None, *, cluster: Cluster | None = None) -> None:
        """Collect the failed items again; ``only`` keeps to one failure class.

        What a second way has delivered has not failed; where it failed too, the first begins anew.

        Raises
        ------
        RequestError
            The batch is running, or there is no such failure class.
        """
        with self._lock:
            self._refuse_running()
            if only is not None and only not in FAILURE_CLASSES:
                raise RequestError(
                    f"no failure class {only!r}; expected one of {', '.join(FAILURE_CLASSES)}"
                )
            self._requeue_failed(None if only is None else [only])
            if self._has_waiting():
                self._start_again(cluster=cluster)

    def resume(self, *, only_if: str | None = None, cluster: Cluster | None = None) -> None:
        """Go on with the items that wait or were cancelled; without any, only bring it to its end.

        So do those that failed because their source was blocked or refused the token: a person
        has looked since. What another batch has collected since this one was made is skipped.

        Raises
        ------
        RequestError
            The batch is running, or its state is not ``only_if``: somebody was quicker.
        """
        with self._lock:
            self._refuse_running()
            head = self.head
            if head.state != (only_if or head.state):
                raise RequestError(f"batch {self.id} is {head.state} by now")
            looked_at = datetime.now(UTC)  # what ends from here on is skipped, or joined
            requeue_cancelled(self._store, self.id)
            self._requeue_failed(STOPPING)
            skip_known(self.collector, head)
            is_unfinished = head.state in UNFINISHED
            # A process that dies once all is collected leaves the workbook to be written.
            if self._has_waiting() or (is_unfinished and head.criteria.get("export_to")):
                self._start_again(looked_at, cluster)
            elif is_unfinished:
                set_state(self._store, self.id, "completed")

    def delete(self) -> None:
        """Forget the batch, with its items and its log; what it collected stays.

        Raises
        ------
        RequestError
            The batch is running, or there is no such batch.
        """
        with self._lock:
            self._refuse_running()
            delete_batch(self._store, self.head.batch_id)

    def _requeue_failed(self, failure_classes: Sequence[str] | None) -> None:
        ways = self.head.criteria.get("fallbacks", {})
        requeue_failed(self._store, self.id, ways, failure_classes)

    def _has_waiting(self) -> bool:
        return any(state == State.WAITING for _, state, _ in count_items(self._store, self.id))

    def _start_again(
        self, planned_at: datetime | None = None, cluster: Cluster | None = None
    ) -> None:
        state = self.head.state
        charge_repeated(self.collector, self.id)
        set_state(self._store, self.id, "running", log="batch resumed")
        try:
            items = read_items(self._store, self.id)
            self._begin(self.head, items, planned_at=planned_at, cluster=cluster)
        except PropkitError:
            set_state(self._store, self.id, state)
            raise

    def wait(self, seconds: float) -> bool:
        """Wait for the end, at most so long; return whether it has ended.

        Raises
        ------
        StoreError
            The store could not be written.
        """
        with self._lock:  # who goes on with it just now has set the state, but not begun
            future = self._future
        if future is None:
            return True
        wait([future], timeout=seconds)
        if not future.done():
            return False
        try:
            future.result()
        except CancelledError:
            raise StoreError(f"batch {self.id} was ended with its kit") from None
        return True

    def _wait_for_end(self) -> None:
        while not self.wait(_SLICE_SECONDS):
            pass

    def _keep_event(self, progress: Progress) -> None:
        last = self._events[-1][0] if self._events else 0
        self._events.append((max(time.time_ns(), last + 1), progress))

    def _refuse_running(self) -> None:
        if self._future is not None and self.is_running and self.head.state != "running":
            wait([self._future], timeout=_END_SECONDS)  # its end is stored, it is all but over
        if self.is_running:
            raise RequestError(f"batch {self.id} is running; wait for it or cancel it first")

    async def _work(self, run: Run, cluster: Cluster | None) -> None:
        with self._store.writer.telling(self.id, run.note_slow):
            await self._run_to_end(run, cluster)

    async def _run_to_end(self, run: Run, cluster: Cluster | None) -> None:
        started_at = datetime.now(UTC)
        ends = [
            asyncio.create_task(self._beat(run, started_at)),
            asyncio.create_task(self._log(run)),
        ]
        try:
            # Looked up here, not where it is started: who starts a batch does not wait for it.
            async with self._thread.looking_up:
                guards = await asyncio.to_thread(make_guards, self.collector, run)
            with self._store.sparing():
                state = await run_anywhere(self.collector, run, guards, cluster)
        except StoreError:
            raise  # nothing can be written
        except Exception as error:
            check_process(error)  # the next process finds it interrupted
            self._end(run, "failed", repr(error))
            raise
        finally:
            for task in ends:
                task.cancel()
            run.fresh_keys, run.stale, run.listeners = frozenset(), {}, []  # may be megabytes
        if run.is_forgotten:
            return
        if state == "cancelled":
            cancel_waiting(self._store, self.id)
        self._keep_figures(run, guards, started_at)
        if state != "interrupted":
            await export_run(run, self._export_to)
        for warning in run.warnings:
            run.note("warning", warning, level="warning")
        for source, usage in run.usage.items():
            for url, seconds in usage.slow:
                run.note("slow", url, source=source, seconds=seconds)
        self._end(run, state, "; ".join([*run.stopped.values(), *run.warnings]) or None)

    def _end(self, run: Run, state: str, error: str | None) -> None:
        set_state(
            self._store,
            self.id,
            state,
            error=error,
            entries=run.take_log(),
            unless=lambda: run.is_forgotten,
        )

    async def _beat(self, run: Run, started_at: datetime) -> None:
        """Give signs of life, with the figures until then: a run that is killed has no others."""
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            if run.is_forgotten:
                return
            beat(self._store, self.id)
            write_runs(self._store, runs_of(self.collector, run, started_at))

    async def _log(self, run: Run) -> None:
        """Write what is noted as it comes: of a run that is killed it tells the most."""
        while not run.is_forgotten:
            await asyncio.sleep(_LOG_SECONDS)
            if entries := run.take_log():
                write_log(self._store, self.id, entries)

    def _keep_figures(self, run: Run, guards: dict[str, SourceGuard], started_at: datetime) -> None:
        write_runs(self._store, runs_of(self.collector, run, started_at))
        if guards:
            save_coverage(self._store, learned_of(self.collector, guards))
