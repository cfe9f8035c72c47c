"""A batch as the notebook holds it: watch it, wait for it, cancel, retry or resume it."""

from __future__ import annotations

import asyncio
import html
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import CancelledError, Future, wait
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from propkit.batch_run import Run, run_batch
from propkit.errors import RequestError, StoreError
from propkit.items import Item, State
from propkit.progress import Progress
from propkit.runtime.thread import CollectorThread
from propkit.store import Store
from propkit.store.batches import (
    UNFINISHED,
    BatchHead,
    cancel_waiting,
    read_head,
    read_items,
    requeue_items,
    set_state,
    skip_collected,
    write_log,
)

if TYPE_CHECKING:
    import pandas as pd

POLL_SECONDS = 0.2
"""How often a waiting cell looks up, so that Interrupt and buttons work."""

OUTCOMES = ("done", "partial", "not_found", "failed", "waiting", "cancelled", "skipped")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """What a batch did. ``counts`` is items by source and outcome; times are aware UTC.

    ``failures`` are the items that failed; ``partial`` those that are done with tables missing.
    ``not_usable`` are the identifiers that were no APN, with the reason.
    """

    batch_id: str
    state: str
    counts: Mapping[str, Mapping[str, int]]
    failures: tuple[Item, ...]
    partial: tuple[Item, ...]
    not_usable: Mapping[str, str]
    error: str | None
    started_at: datetime | None
    completed_at: datetime | None

    @property
    def is_complete(self) -> bool:
        """Whether everything asked for is at hand: no failure, no part missing, none unusable."""
        unfinished = sum(
            counted.get(outcome, 0)
            for counted in self.counts.values()
            for outcome in ("failed", "partial", "waiting", "cancelled")
        )
        return self.state == "completed" and not unfinished and not self.not_usable

    @property
    def totals(self) -> dict[str, int]:
        """Items by outcome, over all sources."""
        totals: Counter[str] = Counter()
        for counted in self.counts.values():
            totals.update(counted)
        return {outcome: totals[outcome] for outcome in OUTCOMES if totals[outcome]}

    def frame(self) -> pd.DataFrame:
        """Return counts: index source (text), one int64 column an outcome."""
        import pandas as pd

        frame = pd.DataFrame(
            [[counted.get(outcome, 0) for outcome in OUTCOMES] for counted in self.counts.values()],
            index=pd.Index(list(self.counts), name="source", dtype="string"),
            columns=list(OUTCOMES),
        )
        return frame.astype("int64")

    def __str__(self) -> str:
        """Return the report as a small text table, failures below."""
        shown = [o for o in OUTCOMES if any(c.get(o) for c in self.counts.values())] or ["done"]
        width = max([len(source) for source in self.counts] + [6])
        lines = [f"Batch {self.batch_id}: {self.state}{self._duration()}"]
        lines.append("  ".join(["source".ljust(width), *(f"{o:>9}" for o in shown)]))
        for source, counted in self.counts.items():
            numbers = (f"{counted.get(outcome, 0):>9}" for outcome in shown)
            lines.append("  ".join([source.ljust(width), *numbers]))
        if self.error:
            lines.append(f"! {self.error}")
        for kind, items in (("failed", self.failures), ("partial", self.partial)):
            lines += [
                f"  {kind}: {item.source} {item.key}: "
                f"{item.failure_class or ', '.join(item.missing) + ' missing'}: {item.error}"
                for item in items[:5]
            ]
            if len(items) > 5:
                lines.append(f"  … and {len(items) - 5} more {kind}; see batch.items()")
        lines += [f"  not usable: {raw!r}: {why}" for raw, why in self.not_usable.items()]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre style='white-space: pre-wrap'>{html.escape(str(self))}</pre>"

    def _duration(self) -> str:
        if self.started_at is None or self.completed_at is None:
            return ""
        return f" in {(self.completed_at - self.started_at).total_seconds():.1f} s"


class Display(Protocol):
    """What shows a batch's progress where it is waited for."""

    def show(self, progress: Progress) -> None:
        """Show an event."""
        ...

    def end(self, progress: Progress | None) -> None:
        """Show the last event."""
        ...


MakeDisplay = Callable[[], Display | None]
"""Gives a display for a cell that awaits, or None where there is no notebook."""


class Batch:
    """One run of a plan, running or ended, by id.

    ``await batch`` waits without blocking buttons and returns the report; ``batch.wait()``
    blocks.
    """

    def __init__(
        self,
        store: Store,
        thread: CollectorThread,
        batch_id: str,
        make_display: MakeDisplay = lambda: None,
    ) -> None:
        self.id = batch_id
        self._make_display = make_display
        self._store = store
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

    @property
    def report(self) -> BatchReport:
        """What the batch did so far, from the store."""
        head = self.head
        items = read_items(self._store, self.id)
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for item in items:
            counts[item.source]["partial" if item.is_partial else item.state.value] += 1
        return BatchReport(
            batch_id=head.batch_id,
            state=head.state,
            counts={source: dict(counted) for source, counted in counts.items()},
            failures=tuple(item for item in items if item.state is State.FAILED),
            partial=tuple(item for item in items if item.is_partial),
            not_usable=head.criteria.get("not_usable", {}),
            error=head.error,
            started_at=head.started_at,
            completed_at=head.completed_at,
        )

    def start(self, run: Run) -> None:
        """Begin to collect; propkit's own, used by ``kit.start``."""
        self._run = run
        self._future = self._thread.submit(self._work(run))

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
            The batch is running.
        """
        self._refuse_running()
        requeue_items(self._store, self.id, State.FAILED, only)
        if any(item.state is State.WAITING for item in read_items(self._store, self.id)):
            self._start_again(self.head)
        return self

    def resume(self) -> Batch:
        """Go on with the items that wait or were cancelled; without any, nothing happens.

        What another batch has collected since this one was made is skipped.

        Raises
        ------
        RequestError
            The batch is running.
        """
        self._refuse_running()
        head = self.head
        requeue_items(self._store, self.id, State.CANCELLED)
        skip_collected(self._store, self.id, since=head.created_at)
        if any(item.state is State.WAITING for item in read_items(self._store, self.id)):
            self._start_again(head)
        elif head.state in UNFINISHED:
            set_state(self._store, self.id, "completed")
        return self

    def _start_again(self, head: BatchHead) -> None:
        set_state(self._store, self.id, "running", log="batch resumed")
        items = read_items(self._store, self.id)
        self.start(
            Run(
                batch_id=self.id,
                items=items,
                sources=frozenset(head.criteria["sources"]) | {item.source for item in items},
                workers=head.criteria["workers"],
            )
        )

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
        display = self._make_display() if self.is_running else None
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

    async def _work(self, run: Run) -> None:
        try:
            state = await run_batch(self._thread.collector, run)
        except StoreError:
            raise  # nothing can be written
        except Exception as error:
            set_state(self._store, self.id, "failed", error=repr(error))
            raise
        if state == "cancelled":
            cancel_waiting(self._store, self.id)
        notes = [*run.stopped.values(), *run.warnings]
        if notes:
            write_log(self._store, self.id, notes, "warning")
        set_state(self._store, self.id, state, error="; ".join(notes) or None)
