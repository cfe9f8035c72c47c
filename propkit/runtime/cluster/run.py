"""The owner's side of a run on a cluster: items go out in chunks, outcomes come back one by one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Self

from propkit.batch_run import Run
from propkit.collector import Collector
from propkit.errors import RequestError
from propkit.item_asker import COLLECT, Outcome
from propkit.items import Item
from propkit.layers.areas import Area
from propkit.runtime.cluster.address import Cluster, check_version
from propkit.runtime.cluster.handing import MOST_ITEMS, Chunks
from propkit.runtime.cluster.lending import Lender
from propkit.runtime.cluster.messages import (
    SIGN_SECONDS,
    SILENCE_SECONDS,
    FromOwner,
    FromWorker,
    Lease,
    close_queue,
    dump,
    load,
    open_queue,
)
from propkit.runtime.cluster.parts import (
    AskerSeen,
    Out,
    caps_of,
    count_usage,
    make_setup,
    say_lost,
    set_right,
    unasked,
)
from propkit.usage import Usage

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_END_SECONDS = 5.0
_LEAST_WORKERS = 4
_MOST_IN_WORK = 2000
_OTHER_CLOCK_SECONDS = 1.0


class ClusterRun:
    """Stands where the collector stands in a run, and has a cluster's workers ask for its items.

    A context manager: it connects to the scheduler and, at its end, ends what it has there.
    """

    def __init__(self, collector: Collector, run: Run, cluster: Cluster) -> None:
        self._collector = collector
        self._run = run
        self._cluster = cluster
        self._id = uuid.uuid4().hex
        self._client: Any = None
        self._up: Any = None
        self._askers: dict[str, AskerSeen] = {}
        self._lenders: dict[str, Lender] = {}
        self._chunks = Chunks(
            run,
            self._id,
            writer=collector.store.writer,
            start=self._start,
            lose=self._lose,
            on_death=lambda name: self._forget(self._askers[name]),
            hear_all=self._hear_all,
        )
        self._out: dict[int, Out] = {}
        self._number = 0
        self._marks: dict[int, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost: str | None = None
        self._has_workers = True
        self._is_stopped = self._is_closing = False
        self._per_worker = run.workers

    async def __aenter__(self) -> Self:
        """Connect; what goes wrong is told by the batch, which can be gone on with."""
        from distributed import Client

        run = self._run
        for source in run.sources:
            self._collector.hosts[source]  # has its pace made, where nobody has asked it yet
        try:
            self._client = await Client(
                self._cluster.address, security=self._cluster.security, asynchronous=True,
                set_as_default=False, name="propkit-owner",
            )  # fmt: skip
            self._up = await open_queue(f"propkit-{self._id}", self._client)
            self._chunks.client = self._client
            await self._look_at_workers()
        except Exception as error:  # noqa: BLE001 -- Dask's own and the network's are many
            self._lose(say_lost(self._cluster, error))
            return self
        count = max(len(self._chunks.workers), _LEAST_WORKERS)
        run.workers = min((2 * MOST_ITEMS + self._per_worker) * count, _MOST_IN_WORK)
        run.note(
            "cluster",
            f"collected by {len(self._chunks.workers)} workers of the cluster {self._cluster.address}",
        )
        for work in (self._listen, self._chunks.hand_out, self._watch, self._watch_workers):
            self._start(work)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the askers, or what they ask for yet is asked twice; let go of all at the scheduler."""
        self._is_closing = self._chunks.is_over = True
        self._give_all_back()
        if self._client is not None and self._client.status == "running":
            for asker in self._askers.values():
                asker.news.is_over = True
                asker.is_due.set()
            ends: list[Any] = [one.talking for one in self._askers.values() if one.talking]
            ends += [self._chunks.wait_for(one.future) for one in self._chunks.chunks.values()]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await asyncio.gather(*ends, return_exceptions=True)
        tasks = [*self._tasks, *[one.talking for one in self._askers.values() if one.talking]]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for lender in self._lenders.values():
            await lender.close()
        if self._client is None:
            return
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_END_SECONDS):
                for asker in self._askers.values():
                    if asker.queue is not None:
                        close_queue(asker.queue, 1 + asker.is_lost)
                if self._up is not None:
                    close_queue(self._up, 1 + sum([a.is_lost for a in self._askers.values()]))
                await self._client.close()

    async def collect_item(
        self,
        item: Item,
        usage: Usage,
        way: str = COLLECT,
        order: Area | Any = None,
    ) -> Outcome:
        """Have an item asked for; it comes back ``waiting`` where nobody has.

        What it uses is counted for the run's own ``usage``; ``way`` and ``order`` are the run's.
        """
        del usage, way, order
        if self._lost is not None:
            return unasked(item)
        self._number += 1
        host = self._collector.configs[item.source].host
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        out = Out(self._number, item, host, answer)
        if self._is_stopped:
            return unasked(item)
        self._out[out.number] = out
        self._chunks.add(out)
        try:
            return await answer
        finally:
            self._out.pop(out.number, None)

    # --- what is heard ---------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Hear what comes; all that is there at once, or many workers say more than is heard."""
        while True:
            bodies = [await self._up.get()]
            while bodies:
                for said in map(load, bodies):
                    if isinstance(said, FromWorker):
                        self._hear(said)
                    else:
                        self._marks.pop(said).set()
                bodies = await self._up.get(batch=True)

    async def _hear_all(self) -> None:
        """Take in all that was said until now: what is put there now comes behind it."""
        self._number += 1
        mark, number = asyncio.Event(), self._number
        self._marks[number] = mark
        await self._up.put(dump(number))
        await mark.wait()

    def _hear(self, said: FromWorker) -> None:
        asker = self._askers.get(said.asker)
        if asker is None:
            worker = said.asker.partition("#")[0]
            asker = self._askers[said.asker] = AskerSeen(said.asker, worker)
            asker.news.is_stopped = self._is_stopped
            asker.talking = asyncio.create_task(self._talk(asker))
            try:
                check_version(worker, said.version)
            except RequestError as error:
                self._refuse(asker, str(error))
        if asker.is_lost:  # what it had is handed out again as soon as it lets go
            asker.news.is_over = True
            asker.is_due.set()
            return
        asker.heard, asker.heard_at = said.number, time.monotonic()
        ahead = said.wall - time.time()
        asker.ahead_seconds = max(ahead, asker.ahead_seconds or ahead)
        count_usage(self._run, asker, said)
        for host, report in said.paces.items():
            self._lender(host).hear(asker.name, report)
        for number in said.begun:
            if number in self._out:
                self._out[number].is_begun = True
        for number, outcome in said.ended:
            self._take(asker, number, outcome)
        for name in said.chunks:
            self._begin(asker, name)
        if said.failure is not None:
            self._refuse(asker, said.failure)
        self._recall(asker)

    def _begin(self, asker: AskerSeen, name: str) -> None:
        """Tell an asker the items of a chunk; that it is not the first means that another died."""
        chunk = self._chunks.chunks.get(name)
        if chunk is None or chunk.is_withdrawn:
            asker.news.chunks[name] = []
        else:
            if chunk.asker is not None and chunk.asker != asker.name:
                self._chunks.note_death(chunk)
            chunk.asker, chunk.worker = asker.name, asker.worker
            items = chunk.items.values()
            asker.news.chunks[name] = [(out.number, out.item, chunk.is_alone) for out in items]
        if not asker.has_setup:
            asker.has_setup = True
            asker.news.setup = make_setup(
                self._collector, self._run, self._client.id,
                self._per_worker, len(self._chunks.workers),
            )  # fmt: skip
        asker.is_due.set()

    def _take(self, asker: AskerSeen, number: int, outcome: Outcome | None) -> None:
        out = self._out.get(number)
        self._chunks.drop(number)
        if out is not None:
            if outcome is None:
                outcome = unasked(out.item)
            elif abs(asker.ahead_seconds or 0.0) > _OTHER_CLOCK_SECONDS:
                outcome = set_right(outcome, timedelta(seconds=asker.ahead_seconds or 0.0))
            out.settle(outcome)

    def _recall(self, asker: AskerSeen) -> None:
        """Have items come back unasked whose source was stopped, or is left alone just now."""
        run = self._run
        for source in run.sources:
            breaker = self._collector.traffic.breaker(source, self._collector.settings)
            if source in run.stopped or breaker.is_open:
                asker.news.recalled.add(source)
                asker.is_due.set()

    # --- what is said ----------------------------------------------------------------------------

    async def _talk(self, asker: AskerSeen) -> None:
        """Say what there is as it comes; a sign of life when there is nothing."""
        asker.queue = await open_queue(f"propkit-{asker.name}", self._client)
        while True:
            news, asker.news = asker.news, FromOwner()
            asker.is_due.clear()
            await asker.queue.put(dump(news))
            if news.is_over:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SIGN_SECONDS * 2):
                    await asker.is_due.wait()

    def _lender(self, host: str) -> Lender:
        lender = self._lenders.get(host)
        if lender is None:
            lender = self._lenders[host] = Lender(
                self._collector.traffic.known_pace(host),
                caps_of(self._collector, self._run, host),
                send=lambda name, lease: self._say_lease(name, host, lease),
                call_back=lambda name: self._say_return(name, host),
                tell_pause=lambda seconds: self._say_pause(host, seconds),
            )
            self._start(lender.watch)
            if self._is_stopped:
                lender.stop()
        return lender

    def _say_lease(self, name: str, host: str, lease: Lease) -> None:
        if (asker := self._askers.get(name)) is not None:
            asker.say_lease(host, lease)

    def _say_return(self, name: str, host: str) -> None:
        if (asker := self._askers.get(name)) is not None:
            asker.news.returns.add(host)
            asker.is_due.set()

    def _say_pause(self, host: str, seconds: float) -> None:
        for asker in self._askers.values():
            asker.news.pauses[host] = seconds
            asker.is_due.set()

    # --- ends ------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Look after the cancel, the workers, and the client that was given."""
        while True:
            if self._run.cancelled.is_set() and not self._is_stopped:
                self._stop()
            if self._cluster.is_given_up:
                self._lose("the Dask client was closed")
            if self._client.status != "running":
                self._lose(say_lost(self._cluster, "its scheduler does not answer any more"))
            for asker in list(self._askers.values()):
                self._recall(asker)
                if time.monotonic() - asker.heard_at > SILENCE_SECONDS:
                    self._forget(asker)
            await asyncio.sleep(0.05)

    async def _watch_workers(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._look_at_workers()
            self._chunks.arrived.set()

    async def _look_at_workers(self) -> None:
        self._chunks.workers = set(await self._client.nthreads())
        self._chunks.withdraw_lost()
        if bool(self._chunks.workers) != self._has_workers:
            self._has_workers = bool(self._chunks.workers)
            text = "the cluster has workers again"
            if not self._has_workers:
                text = "the cluster has no workers: its items wait for some"
            self._run.note("cluster", text, level="warning")

    def _stop(self) -> None:
        """Let nothing new be asked; what waits here comes back at once."""
        self._is_stopped = True
        for lender in self._lenders.values():
            lender.stop()
        for asker in self._askers.values():
            asker.news.is_stopped = True
            asker.is_due.set()
        self._chunks.stop()

    def _give_all_back(self) -> None:
        for out in list(self._out.values()):
            out.settle(unasked(out.item))

    def _lose(self, why: str) -> None:
        """End the run for want of its cluster: what is not collected waits for the next."""
        if self._lost is not None or self._is_closing:
            return
        self._lost = why
        log.warning("the batch is left: %s", why)
        self._run.warnings.append(f"{why}; batch.resume() goes on with what waits")
        self._run.is_left = True
        self._run.cancelled.set()
        self._give_all_back()

    def _refuse(self, asker: AskerSeen, why: str) -> None:
        """Hand nothing more to a worker."""
        self._chunks.refused.add(asker.worker)
        self._run.note("cluster", why, level="warning")
        asker.news.is_over = True
        asker.is_due.set()
        self._forget(asker)
        if not self._chunks.workers - self._chunks.refused:
            self._lose(why)

    def _forget(self, asker: AskerSeen) -> None:
        """Take an asker for lost."""
        if not asker.is_lost:
            asker.is_lost = True
            for lender in self._lenders.values():
                lender.forget(asker.name)

    def _start(self, work: Callable[[], Any]) -> None:
        task = asyncio.create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Callable[[], Any]) -> None:
        """Run a part of this; where it fails the scheduler is gone, as far as one can tell."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 -- as when it connects
            if not self._is_closing:
                log.warning("the cluster at %s: %r", self._cluster.address, error)
                self._lose(say_lost(self._cluster, error))
