"""A batch as the notebook holds it: watch it, wait for it, cancel, retry or resume it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import CancelledError, Future, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from propkit.batch_run import Run, SourceGuard, run_batch
from propkit.collector import Collector
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
from propkit.runtime.report import BatchReport, make_report
from propkit.runtime.running import learned_of, make_guards, make_run
from propkit.runtime.thread import CollectorThread
from propkit.store.batches import (
    UNFINISHED,
    BatchHead,
    cancel_waiting,
    count_items,
    read_head,
    read_items,
    requeue_items,
    set_state,
    skip_collected,
    write_log,
)
from propkit.store.coverage import save_coverage
from propkit.store.statistics import SourceRun, write_runs

if TYPE_CHECKING:
    import pandas as pd

STOPPING = (
    SourceBlockedError.failure_class,
    SourceRejectedError.failure_class,
    PurchaseUnsettledError.failure_class,
)
"""Failures after which a person looks before the batch is resumed."""

POLL_SECONDS = 0.2
"""How often a waiting cell looks up, so that Interrupt and buttons work."""


class Display(Protocol):
    """What shows a batch's progress where it is waited for."""

    def show(self, progress: Progress) -> None:
        """Show an event."""
        ...

    def end(self, progress: Progress | None) -> None:
        """Show the last event."""
        ...


@dataclass(frozen=True, slots=True)
class Outlets:
    """What a kit does for its batches.

    ``make_display`` gives a display for a cell that awaits, or None where there is no notebook;
    ``export`` writes the workbook of a batch that asks for one.
    """

    make_display: Callable[[], Display | None]
    export: Callable[[str], Path]


class Batch:
    """One run of a plan, running or ended, by id.

    ``await batch`` waits without blocking buttons and returns the report; ``batch.wait()``
    blocks.
    """

    def __init__(
        self,
        collector: Collector,
        thread: CollectorThread,
        batch_id: str,
        outlets: Outlets,
    ) -> None:
        self.id = batch_id
        self.collector = collector
        self._outlets = outlets
        self._store = collector.store
        self._thread = thread
        self._run: Run | None = None
        self._future: Future[None] | None = None

    def __repr__(self) -> str:
        """Return id, state and how far it is."""
        progress = self.progress
        far = f", {progress.ended} of {progress.total} items" if progress else ""
        return f"<Batch {self.id}: {self.state}{far}>"

    @property
    def head(self) -> BatchHead:
        """The batch's row: kind, criteria, times."""
        return read_head(self._store, self.id)

    @property
    def state(self) -> str:
        """``running``, ``completed``, ``cancelled``, ``paused``, ``interrupted`` or ``failed``."""
        return self.head.state

    @property
    def is_running(self) -> bool:
        """Whether it runs in this process."""
        return self._future is not None and not self._future.done()

    @property
    def progress(self) -> Progress | None:
        """The newest event; None when the batch did not run in this process."""
        return self._run.progress if self._run else None

    def items(self) -> pd.DataFrame:
        """Return the items as stored: one row an item, the columns of the table ``items``."""
        return self._store.frame(
            "SELECT * FROM items WHERE batch_id = $1 ORDER BY sequence, source, key", [self.id]
        )

    def log(self) -> pd.DataFrame:
        """Return the batch's log: logged_at, level, event, source, key, seconds, message."""
        return self._store.frame(
            "SELECT logged_at, level, event, source, key, seconds, message FROM batch_logs"
            " WHERE batch_id = $1 ORDER BY logged_at",
            [self.id],
        )

    @property
    def report(self) -> BatchReport:
        """What the batch did so far, from the store."""
        return make_report(self._store, self.id)

    def start(
        self,
        *,
        items: Sequence[Item] | None = None,
        fresh_keys: frozenset[tuple[str, str]] = frozenset(),
        listeners: Iterable[Listener] = (),
        planned_at: datetime | None = None,
    ) -> None:
        """Begin to collect what waits; propkit's own, used by ``kit.start``.

        ``items`` are those of the batch, where they are at hand; None reads them.
        """
        items = read_items(self._store, self.id) if items is None else items
        run = make_run(
            self.collector,
            self.head,
            items,
            fresh_keys=fresh_keys,
            listeners=listeners,
            planned_at=planned_at,
        )
        self._run = run
        self._future = self._thread.submit(self._work(run, make_guards(self.collector, run)))

    def cancel(self) -> BatchReport:
        """Stop asking at once, keep everything fetched, leave the rest cancelled.

        Requests in flight get up to 4 s to end. A batch that has ended stays as it is.
        """
        if self.is_running and self._run is not None:
            self._thread.call(self._run.cancelled.set)
            self.wait()
        elif self.state in UNFINISHED:
            cancel_waiting(self._store, self.id)
            set_state(self._store, self.id, "cancelled")
        return self.report

    def leave(self) -> None:
        """Stop without cancelling: what is not collected waits for :meth:`resume`."""
        if self.is_running and self._run is not None:
            self._run.is_left = True
            self._thread.call(self._run.cancelled.set)
            self.wait()

    def retry(self, only: str | None = None) -> Batch:
        """Collect the failed items again; ``only`` keeps to one failure class.

        Raises
        ------
        RequestError
            The batch is running, or there is no such failure class.
        """
        self._refuse_running()
        if only is not None and only not in FAILURE_CLASSES:
            raise RequestError(
                f"no failure class {only!r}; expected one of {', '.join(FAILURE_CLASSES)}"
            )
        requeue_items(self._store, self.id, State.FAILED, None if only is None else [only])
        if self._has_waiting():
            self._start_again()
        return self

    def resume(self) -> Batch:
        """Go on with the items that wait or were cancelled; without any, nothing happens.

        So do those that failed because their source was blocked or refused the token: a person
        has looked since. What another batch has collected since this one was made is skipped.

        Raises
        ------
        RequestError
            The batch is running.
        """
        self._refuse_running()
        head = self.head
        requeue_items(self._store, self.id, State.CANCELLED)
        requeue_items(self._store, self.id, State.FAILED, STOPPING)
        skip_collected(self._store, self.id, since=head.created_at)
        if self._has_waiting():
            self._start_again()
        elif head.state in UNFINISHED:
            set_state(self._store, self.id, "completed")
        return self

    def _has_waiting(self) -> bool:
        counts = count_items(self._store, self.id)
        return any(outcome == State.WAITING for _, outcome, _ in counts)

    def _start_again(self) -> None:
        set_state(self._store, self.id, "running", log="batch resumed")
        self.start()

    def wait(self, timeout: float | None = None) -> BatchReport:
        """Wait until the batch ends, at most ``timeout`` seconds, and return the report.

        Raises
        ------
        StoreError
            The store could not be written.
        TimeoutError
            It is still running after ``timeout`` seconds; it goes on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._future is not None and not self._future.done():
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"batch {self.id} is still running after {timeout} s")
            left = POLL_SECONDS if deadline is None else deadline - time.monotonic()
            wait([self._future], timeout=min(POLL_SECONDS, max(0.0, left)))
        return self._outcome()

    def __await__(self) -> Generator[Any, None, BatchReport]:
        """Wait without blocking the kernel; return the report."""
        return self._wait_async().__await__()

    async def _wait_async(self) -> BatchReport:
        display = self._outlets.make_display() if self.is_running else None
        # Interrupt is only noticed when the kernel's loop wakes: look up now and then.
        while self.is_running:
            await asyncio.sleep(POLL_SECONDS)
            if display and self.progress:
                display.show(self.progress)
        if display:
            display.end(self.progress)
        return self._outcome()

    def _outcome(self) -> BatchReport:
        if self._future is not None:
            try:
                self._future.result()
            except CancelledError:
                raise StoreError(f"batch {self.id} was ended with its kit") from None
        return self.report

    def _refuse_running(self) -> None:
        if self.is_running:
            raise RequestError(f"batch {self.id} is running; wait for it or cancel it first")

    async def _work(self, run: Run, guards: dict[str, SourceGuard]) -> None:
        started_at = datetime.now(UTC)
        self._store.writer.on_slow = lambda event, seconds: run.note(
            "slow", f"the store: {event}", seconds=seconds
        )
        try:
            with self._store.running():
                state = await run_batch(self.collector, run, guards)
        except StoreError:
            raise  # nothing can be written
        except Exception as error:
            set_state(self._store, self.id, "failed", error=repr(error))
            raise
        if state == "cancelled":
            cancel_waiting(self._store, self.id)
        self._keep_figures(run, guards, started_at)
        path = self.head.criteria.get("export_to")
        if path is not None and state != "interrupted":
            await self._export(run, path)
        for warning in run.warnings:
            run.note("warning", warning, level="warning")
        for source, usage in run.usage.items():
            for url, seconds in usage.slow:
                run.note("slow", url, source=source, seconds=seconds)
        write_log(self._store, self.id, run.log)
        notes = [*run.stopped.values(), *run.warnings]
        set_state(self._store, self.id, state, error="; ".join(notes) or None)

    def _keep_figures(self, run: Run, guards: dict[str, SourceGuard], started_at: datetime) -> None:
        ended_at = datetime.now(UTC)
        write_runs(
            self._store,
            [
                SourceRun(
                    batch_id=self.id,
                    source=source,
                    host=self.collector.configs[source].host,
                    started_at=started_at,
                    ended_at=ended_at,
                    requests=usage.requests,
                    refused=usage.refused,
                    bytes=usage.received_bytes,
                    fresh=run.fresh[source],
                    joined=run.joined[source],
                )
                for source, usage in run.usage.items()
            ],
        )
        save_coverage(self._store, learned_of(self.collector, guards))

    async def _export(self, run: Run, path: str) -> None:
        """Write the workbook that the batch asks for; what goes wrong with it is told."""
        try:
            await asyncio.to_thread(self._outlets.export, path)
        except (PropkitError, OSError) as error:
            run.warnings.append(f"the workbook was not written: {error}")
        else:
            run.note("exported", f"workbook {Path(path).name} written")
