"""A batch as the notebook holds it: watch it, wait for it, cancel, retry or resume it."""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import Callable, Generator
from math import isnan
from typing import TYPE_CHECKING, Any, Protocol

from propkit.errors import RequestError
from propkit.progress import Progress
from propkit.runtime.report import BatchReport, make_report
from propkit.store import Reading
from propkit.store.askers import StoreClosedError
from propkit.store.batches import BatchHead, read_head

if TYPE_CHECKING:
    import pandas as pd

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


class Workplace(Protocol):
    """Where batches run: in this process, or in the one that owns the store."""

    @property
    def store(self) -> Reading:
        """The store, to be asked."""
        ...

    def is_running(self, batch_id: str) -> bool:
        """Whether a batch runs there."""
        ...

    def will_run(self, batch_id: str) -> bool:
        """Whether a batch runs there, or waits there for its turn."""
        ...

    def progress(self, batch_id: str) -> Progress | None:
        """Return a batch's newest event; None when it did not run there."""
        ...

    def wait(self, batch_id: str, seconds: float) -> bool:
        """Wait for a batch's end, at most so long; return whether it has ended."""
        ...

    def cancel(self, batch_id: str) -> None:
        """Stop a batch and cancel what it has left."""
        ...

    def leave(self, batch_id: str) -> None:
        """Stop a batch; what it has left waits."""
        ...

    def retry(self, batch_id: str, only: str | None, *, cluster: object = None) -> None:
        """Collect what failed again."""
        ...

    def resume(self, batch_id: str, *, cluster: object = None) -> None:
        """Go on with a batch."""
        ...

    def free(self, batch_id: str) -> None:
        """Leave a batch that hangs, so that it can be gone on with."""
        ...

    def delete(self, batch_id: str) -> None:
        """Forget a batch; what it collected stays."""
        ...


class Batch:
    """One run of a plan, running or ended, by id.

    ``await batch`` waits without blocking buttons and returns the report; ``batch.wait()``
    blocks. ``make_display`` gives a display for a cell that awaits, or None where there is no
    notebook; ``on_again`` hears that the batch was gone on with.
    """

    def __init__(
        self,
        place: Workplace,
        batch_id: str,
        make_display: Callable[[], Display | None],
        on_again: Callable[[Batch], object],
    ) -> None:
        self.id = batch_id
        self._place = place
        self._make_display = make_display
        self._on_again = on_again

    def move_to(self, place: Workplace) -> None:
        """Look for it in another place from now on."""
        self._place = place

    def __repr__(self) -> str:
        """Return id, state and how far it is."""
        try:
            progress, state = self.progress, self.state
        except StoreClosedError:
            return f"<Batch {self.id}: the store is closed>"
        except RequestError:
            return f"<Batch {self.id}: deleted>"
        far = f", {progress.reach}" if progress else ""
        return f"<Batch {self.id}: {state}{far}>"

    def _repr_html_(self) -> str:
        return f"<pre style='white-space: pre-wrap'>{html.escape(repr(self))}</pre>"

    @property
    def head(self) -> BatchHead:
        """The batch's row: kind, criteria, times."""
        return read_head(self._place.store, self.id)

    @property
    def state(self) -> str:
        """How it is, in one word; see :class:`propkit.store.batches.BatchHead`."""
        return self.head.state

    @property
    def is_running(self) -> bool:
        """Whether it runs in this process, or in the one that owns the store."""
        return self._place.is_running(self.id)

    @property
    def progress(self) -> Progress | None:
        """The newest event; None when the batch did not run in the process that owns the store."""
        return self._place.progress(self.id)

    def items(self) -> pd.DataFrame:
        """Return the items as stored: one row an item, the columns of the table ``items``.

        One with ``replaced_by`` failed, and counts no more: the item of that second way does.
        """
        return self._place.store.frame(
            "SELECT * FROM items WHERE batch_id = $1 ORDER BY sequence, source, key", [self.id]
        )

    def log(self) -> pd.DataFrame:
        """Return the batch's log: logged_at, level, event, source, key, seconds, message."""
        return self._place.store.frame(
            "SELECT logged_at, level, event, source, key, seconds, message FROM batch_logs"
            " WHERE batch_id = $1 ORDER BY logged_at",
            [self.id],
        )

    @property
    def report(self) -> BatchReport:
        """What the batch did so far, from the store."""
        return make_report(self._place.store, self.id)

    def cancel(self) -> BatchReport:
        """Stop asking at once, keep everything fetched, leave the rest cancelled.

        Requests in flight get up to 4 s to end. A batch that has ended stays as it is.
        """
        self._place.cancel(self.id)
        return self.report

    def leave(self) -> None:
        """Stop without cancelling: what is not collected waits for :meth:`resume`."""
        self._place.leave(self.id)

    def retry(self, only: str | None = None, *, cluster: object = None) -> Batch:
        """Collect the failed items again; ``only`` keeps to one failure class.

        What a second way has delivered has not failed; where it failed too, the first way is
        asked again. ``cluster`` is as for :meth:`propkit.Kit.start`; without it they are collected
        here.

        Raises
        ------
        RequestError
            The batch is running, or there is no such failure class.
        """
        self._place.retry(self.id, only, cluster=cluster)
        self._on_again(self)
        return self

    def free(self) -> Batch:
        """Leave a batch that hangs (see :func:`propkit.store.jobs.stuck_jobs`).

        Raises
        ------
        RequestError
            It does not run.
        """
        self._place.free(self.id)
        return self

    def resume(self, *, cluster: object = None) -> Batch:
        """Go on with the items that wait or were cancelled; without any, only bring it to its end.

        So do those that failed because their source was blocked or refused the token: a person
        has looked since. What another batch has collected since this one was made is skipped.
        ``cluster`` is as for :meth:`propkit.Kit.start`; without it they are collected here.

        Raises
        ------
        RequestError
            The batch is running.
        """
        self._place.resume(self.id, cluster=cluster)
        self._on_again(self)
        return self

    def delete(self) -> None:
        """Forget the batch, with its items and its log; what it collected stays.

        Raises
        ------
        RequestError
            The batch is running, or it is deleted already.
        """
        self._place.delete(self.id)

    def wait(self, timeout: float | None = None) -> BatchReport:
        """Wait until the batch ends, at most ``timeout`` seconds, and return the report.

        Raises
        ------
        RequestError
            ``timeout`` is no number of seconds, or the batch waits for its turn, and nobody is
            there to give it one.
        StoreError
            The store could not be written.
        TimeoutError
            It is still running after ``timeout`` seconds; it goes on.
        """
        self.wait_for_end(timeout)
        return self.report

    def wait_for_end(self, timeout: float | None = None) -> None:
        """Wait as :meth:`wait` does, without reading the report."""
        if timeout is not None and (not isinstance(timeout, int | float) or isnan(timeout)):
            raise RequestError(f"timeout must be a number of seconds or None, not {timeout!r}")
        deadline = None if timeout is None else time.monotonic() + timeout
        left = POLL_SECONDS if timeout is None else min(POLL_SECONDS, max(0.0, timeout))
        while not self._place.wait(self.id, left):
            if deadline is not None:
                left = min(POLL_SECONDS, deadline - time.monotonic())
                if left <= 0:
                    raise TimeoutError(f"batch {self.id} is still running after {timeout} s")

    def __await__(self) -> Generator[Any, None, BatchReport]:
        """Wait without blocking the kernel; return the report."""
        return self._wait_async().__await__()

    async def _wait_async(self) -> BatchReport:
        display = self._make_display() if self._place.will_run(self.id) else None
        # In a thread, which knows of the end at once; but Interrupt is only noticed when the
        # kernel's loop wakes: look up now and then.
        while not await asyncio.to_thread(self._place.wait, self.id, POLL_SECONDS):
            if display and (progress := self.progress):
                display.show(progress)
        if display:
            display.end(self.progress)
        return self.report
