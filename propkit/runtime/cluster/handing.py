"""Chunks of items as tasks of Dask's: handed out, followed, and handed out again where one is lost."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from propkit.batch_run import Run
from propkit.errors import InvalidAnswerError
from propkit.item_asker import Outcome
from propkit.runtime.cluster.asker import work_chunk
from propkit.runtime.cluster.parts import MOST_DEATHS, Chunk, Out, failed, unasked
from propkit.store.writer import Writer

log = logging.getLogger(__name__)

MOST_ITEMS = 50
LEAST_ITEMS = 10
"""A chunk has so many items at least, where so many wait."""
_SPARE = 12
"""A worker that has fewer items of a host left than it works on, and these, gets the next chunk."""
_GATHER_SECONDS = 0.02
_MOST_FAILURES = 3


class Chunks:
    """The items of a run that are out, or wait to be.

    None goes out while ``writer`` is full. ``start`` starts a task that is watched, ``lose`` ends
    the run for want of its cluster, ``on_death`` hears the name of an asker that is gone,
    ``hear_all`` takes in what was said until now. ``workers`` are those that may be asked, but for
    ``refused``.
    """

    def __init__(
        self,
        run: Run,
        run_id: str,
        *,
        writer: Writer,
        start: Callable[[Callable[[], Any]], None],
        lose: Callable[[str], None],
        on_death: Callable[[str], None],
        hear_all: Callable[[], Awaitable[None]],
    ) -> None:
        self.client: Any = None
        self.workers: set[str] = set()
        self.refused: set[str] = set()
        self.chunks: dict[str, Chunk] = {}
        self.arrived = asyncio.Event()
        self.failures = 0
        self.is_stopped = self.is_over = False
        self._run = run
        self._id = run_id
        self._writer = writer
        self._per_worker = run.workers
        self._start = start
        self._lose = lose
        self._on_death = on_death
        self._hear_all = hear_all
        self._blamed: set[str | None] = set()
        self._lines: dict[str, deque[Out]] = {}
        self._number = 0

    def add(self, out: Out) -> None:
        """Let an item wait for a chunk."""
        self._lines.setdefault(out.host, deque()).append(out)
        self.arrived.set()

    def drop(self, number: int) -> None:
        """Take note that an item has ended."""
        for chunk in self.chunks.values():
            chunk.items.pop(number, None)
        self.failures = 0
        self.arrived.set()

    def withdraw_lost(self) -> None:
        """Take back what was given to workers that are gone, as soon as there are others.

        Dask itself does so too, but for tasks of which no worker was left that may do them.
        """
        for chunk in self.chunks.values():
            is_lost = chunk.worker is not None and chunk.worker not in self.workers
            if is_lost and chunk.future is not None and self.workers and not chunk.is_withdrawn:
                chunk.is_withdrawn = True
                self._start(partial(self.client.cancel, [chunk.future]))

    def stop(self) -> None:
        """Hand nothing more out; what no worker has begun with comes back unasked."""
        self.is_stopped = True
        left = [out for line in self._lines.values() for out in line]
        self._lines.clear()
        for chunk in self.chunks.values():
            if chunk.asker is None:
                left += chunk.items.values()
                chunk.items.clear()
        for out in left:
            out.settle(unasked(out.item))

    async def hand_out(self) -> None:
        """Make chunks of what waits, as it comes."""
        while True:
            await self.arrived.wait()
            await asyncio.sleep(_GATHER_SECONDS)  # as many as come at once go together
            self.arrived.clear()
            await asyncio.wrap_future(self._writer.room())
            for host, line in list(self._lines.items()):
                while line and self._hand_out_chunk(host, line):
                    pass

    def _hand_out_chunk(self, host: str, line: deque[Out]) -> bool:
        """Hand a chunk of a host's items to the worker that has the fewest; False: all have enough."""
        left: dict[str | None, int] = dict.fromkeys(self.workers - self.refused, 0)
        if not self.workers:  # a chunk that waits for some has an adaptive cluster start one
            left[None] = 0
        for chunk in self.chunks.values():
            if chunk.host == host and chunk.worker in left:
                left[chunk.worker] += len(chunk.items)
        if not left:
            return False
        worker = min(left, key=lambda name: left[name])
        if left[worker] >= self._per_worker + _SPARE:
            return False
        if line[0].deaths:
            items = [line.popleft()]
        else:
            alike = [name for name in left if left[name] == left[worker]]
            fair = -(-len(line) // len(alike))
            size = min(len(line), MOST_ITEMS, max(LEAST_ITEMS, fair))
            items = []
            while line and len(items) < size and not line[0].deaths:
                items.append(line.popleft())
        self._number += 1
        name = f"propkit-{self._id[:8]}-{self._number}"
        chunk = Chunk(name, host, worker, {out.number: out for out in items})
        chunk.is_alone = bool(items[0].deaths)
        self.chunks[name] = chunk
        self._start(lambda: self._follow(chunk))
        return True

    async def _follow(self, chunk: Chunk) -> None:
        """Have a chunk worked on as a task of Dask's; what it leaves is handed out again."""
        where = {} if chunk.worker is None else {"workers": [chunk.worker]}
        chunk.future = self.client.submit(
            work_chunk, self._id, chunk.name, key=chunk.name, pure=False, retries=0,
            allow_other_workers=bool(where), **where,
        )  # fmt: skip
        error = await self.wait_for(chunk.future)
        chunk.future.release()
        if self.is_over:
            return
        if error is None:
            if chunk.items:  # its last words may be on their way
                await self._hear_all()
            if chunk.items and not self.is_stopped:
                self._note_failure(chunk, RuntimeError("it ended without some of its items"))
        elif chunk.is_withdrawn or type(error).__name__ == "KilledWorker":
            self.note_death(chunk)
        else:
            self._note_failure(chunk, error)
        del self.chunks[chunk.name]
        self._line_up(list(chunk.items.values()))

    async def wait_for(self, future: Any) -> BaseException | None:
        """Return what a task has failed of, None where it went well."""
        try:
            await future
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return error
        except Exception as error:  # noqa: BLE001 -- it is told by who waits
            return error
        return None

    def _note_failure(self, chunk: Chunk, error: BaseException) -> None:
        """Ask a worker for nothing more that cannot do it; end the run where none can."""
        why = f"{type(error).__name__}: {error}".partition("\n")[0]
        log.warning("chunk %s on %s failed: %s", chunk.name, chunk.worker, why)
        self.failures += chunk.asker is None or chunk.asker not in self._blamed
        self._blamed.add(chunk.asker)
        self._run.note("cluster", f"a worker failed ({chunk.worker}): {why}", level="warning")
        if self.failures >= _MOST_FAILURES:
            self._lose(f"the cluster's workers fail: {why}")

    def note_death(self, chunk: Chunk) -> None:
        """Count a worker's death for the items that it may have died of, and split them off."""
        if chunk.asker is not None:
            self._on_death(chunk.asker)
        unbegun = [out for out in chunk.items.values() if not out.is_begun]
        begun = [out for out in chunk.items.values() if out.is_begun]
        suspects = begun or unbegun[: self._per_worker]
        for out in suspects:
            out.deaths += 1
            out.is_begun = False
            chunk.items.pop(out.number, None)
            if out.deaths >= MOST_DEATHS:
                error = InvalidAnswerError(
                    f"{out.deaths} workers of the cluster died while they had this item in work"
                )
                out.settle(Outcome(item=failed(out.item, error)))
        self._line_up([out for out in suspects if out.deaths < MOST_DEATHS])
        self._run.note(
            "cluster",
            f"a worker of the cluster was lost ({chunk.worker});"
            f" {len(suspects) + len(chunk.items)} items are handed out again",
            level="warning",
        )

    def _line_up(self, outs: Iterable[Out]) -> None:
        """Let items wait for a chunk again, before all others; once stopped they come back."""
        if self.is_stopped:
            for out in outs:
                out.settle(unasked(out.item))
            return
        for out in reversed(list(outs)):
            if not out.answer.done():
                self._lines.setdefault(out.host, deque()).appendleft(out)
        self.arrived.set()
