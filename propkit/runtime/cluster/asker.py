"""On a worker: asks for the items of chunks, at the paces that are leased to it.

One asker a process and run, in an event loop of its own thread. It is made by the first chunk that
comes and ends with the run, with the worker, or when the owner is not heard any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import uuid
from collections import deque
from concurrent.futures import Future, wait
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from propkit import __version__
from propkit.browsing import BrowserPool
from propkit.errors import (
    ProcessEndsError,
    SourceBlockedError,
    SourceRejectedError,
)
from propkit.item_asker import ItemAsker, Outcome
from propkit.items import Item
from propkit.loops import new_loop
from propkit.runtime.cluster.leased import LeasedPace
from propkit.runtime.cluster.messages import (
    LEASE_SECONDS,
    SIGN_SECONDS,
    SILENCE_SECONDS,
    FromOwner,
    FromWorker,
    Setup,
    close_queue,
    dump,
    is_gone,
    load,
    open_queue,
)
from propkit.usage import Cap, Usage

log = logging.getLogger(__name__)

_IDLE_SECONDS = 0.1
"""A lease that nobody has needed for so long goes back."""
_CHECK_SECONDS, _LOOK_SECONDS = 0.02, 0.2
_STOPPING = {SourceBlockedError.failure_class, SourceRejectedError.failure_class}


def work_chunk(run_id: str, chunk: str) -> None:
    """Ask for the items of a chunk, which the owner of the run tells; they go back to it as they end.

    This is the task that Dask sees; it waits outside of the worker's own threads, for what it waits
    for takes no processor.
    """
    from distributed import get_worker, secede

    worker = get_worker()
    asker = Asker.of(run_id, worker)
    done = asker.work(chunk)
    secede()
    while not wait([done], timeout=_LOOK_SECONDS).done:
        if worker.status.name not in {"running", "paused"}:
            asker.leave()
    done.result()


class Asker:
    """Asks on one worker for one run."""

    _askers: ClassVar[dict[tuple[str, str], Asker]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def of(cls, run_id: str, worker: Any) -> Asker:
        """Return the asker of a run in this process, begun when it is first wanted."""
        with cls._lock:
            name = (run_id, worker.address)
            asker = cls._askers.get(name)
            if asker is None or asker.is_over:
                asker = cls._askers[name] = cls(run_id, worker)
            return asker

    def __init__(self, run_id: str, worker: Any) -> None:
        self.id = f"{worker.address}#{uuid.uuid4().hex[:8]}"
        self.is_over = False
        self._run_id = run_id
        self._worker = worker
        self._chunks: dict[str, Future[None]] = {}
        self._finished: list[Future[None]] = []
        self._loop = new_loop()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._live, name="propkit-asker", daemon=True)
        self._thread.start()

    def work(self, chunk: str) -> Future[None]:
        """Work on a chunk; the future ends when all of its items have."""
        done: Future[None] = Future()
        with self._lock:
            if self.is_over:  # just now: the owner hands the chunk out again
                done.set_result(None)
                return done
            self._chunks[chunk] = done
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._want, chunk)
        return done

    def leave(self) -> None:
        """End: the worker goes."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end)

    # --- the thread ------------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            self._loop.run_until_complete(self._main())
        except Exception:
            log.exception("the asker of run %s failed", self._run_id)
        finally:
            with self._lock:
                self.is_over = True
                self._askers.pop((self._run_id, self._worker.address), None)
            for done in [*self._chunks.values(), *self._finished]:
                if not done.done():
                    done.set_result(None)
            self._loop.close()

    async def _main(self) -> None:
        from distributed import Client

        self._over = asyncio.Event()
        self._news = asyncio.Event()
        self._heard_at = time.monotonic()
        self._number = 0
        self._sent_at: dict[int, float] = {}
        self._setup: Setup | None = None
        self._paces: dict[str, LeasedPace] = {}
        self._usage: dict[str, Usage] = {}
        self._caps: dict[str, Cap] = {}
        self._lines: dict[str, deque[tuple[str, int, Item, bool]]] = {}
        self._arrivals: dict[str, asyncio.Event] = {}
        self._left: dict[str, int] = {}
        self._wanted: list[str] = []
        self._told: set[str] = set()
        self._begun: list[int] = []
        self._ended: list[tuple[int, Outcome | None]] = []
        self._slow: list[tuple[str, str, float]] = []
        self._failure: str | None = None
        self._runners: list[asyncio.Task[None]] = []
        self._in_work = self._alone = 0
        self._calm = asyncio.Condition()
        self._asker: ItemAsker | None = None
        self._is_stopped = False
        worker = self._worker
        async with Client(
            worker.scheduler.address, security=worker.security, asynchronous=True,
            set_as_default=False, name="propkit-asker",
        ) as client:  # fmt: skip
            up = await open_queue(f"propkit-{self._run_id}", client)
            down = await open_queue(f"propkit-{self.id}", client)
            work = (self._talk(up), self._listen(down), self._watch())
            tasks = [asyncio.create_task(part) for part in work]
            over = asyncio.create_task(self._over.wait())
            self._ready.set_result(None)
            for chunk in list(self._chunks):
                self._want(chunk)
            await asyncio.wait([over, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in [over, *tasks, *self._runners]:
                task.cancel()
            await asyncio.gather(over, *tasks, *self._runners, return_exceptions=True)
            if self._asker is not None:
                await self._asker.close()
            is_silent = time.monotonic() - self._heard_at >= SILENCE_SECONDS
            close_queue(down, 1 + is_silent)
            owner = self._setup.owner if is_silent and self._setup is not None else None
            close_queue(up, 1 + (owner is not None and await is_gone(owner, client)))  # its, too

    def _want(self, chunk: str) -> None:
        if self._ready.done() and chunk not in self._told:
            self._told.add(chunk)
            self._wanted.append(chunk)
            self._news.set()

    def _end(self) -> None:
        if self._ready.done():
            self._over.set()

    # --- what is said ----------------------------------------------------------------------------

    async def _talk(self, up: Any) -> None:
        """Say what is new as it comes, and give a sign of life when nothing is."""
        while True:
            self._news.clear()
            self._number += 1
            self._sent_at[self._number] = time.monotonic()
            if len(self._sent_at) > 1000:
                del self._sent_at[next(iter(self._sent_at))]
            finished, self._finished = self._finished, []
            await up.put(dump(self._message()))
            for done in finished:  # only now: what they end with is on its way before
                done.set_result(None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SIGN_SECONDS):
                    await self._news.wait()

    def _message(self) -> FromWorker:
        for source, usage in self._usage.items():
            self._slow += [(source, url, seconds) for url, seconds in usage.slow]
            usage.slow.clear()
        paces = {name: pace.report() for name, pace in self._paces.items()}
        message = FromWorker(
            asker=self.id,
            number=self._number,
            wall=time.time(),
            version=__version__,
            paces=paces,
            usage={
                source: (usage.requests, usage.refused, usage.received_bytes)
                for source, usage in self._usage.items()
            },
            slow=self._slow,
            begun=self._begun,
            ended=self._ended,
            chunks=self._wanted,
            failure=self._failure,
        )
        self._slow, self._begun, self._ended, self._wanted = [], [], [], []
        return message

    async def _watch(self) -> None:
        """Give leases back in time; end when the owner is not heard any more."""
        while time.monotonic() - self._heard_at < SILENCE_SECONDS:
            for pace in self._paces.values():
                pace.check(_IDLE_SECONDS)
            await asyncio.sleep(_CHECK_SECONDS)
        log.warning("the owner of run %s is not heard any more", self._run_id)

    # --- what is heard ---------------------------------------------------------------------------

    async def _listen(self, down: Any) -> None:
        while True:
            body = await down.get()
            self._heard_at = time.monotonic()
            try:
                said: FromOwner = load(body)  # a source's own package may be missing here
                if said.is_over:
                    self._over.set()
                    return
                self._hear(said)
            except Exception as error:
                log.exception("run %s cannot be worked on", self._run_id)
                self._failure = repr(error)
                self._news.set()

    def _hear(self, said: FromOwner) -> None:
        if said.setup is not None and self._setup is None:
            self._begin(said.setup)
        if said.is_stopped:
            self._stop()
        for host, seconds in said.pauses.items():
            self._pace(host).rest(seconds)
        valid_until = self._sent_at.get(said.heard, float("-inf")) + LEASE_SECONDS
        for host, lease in said.leases.items():
            for name, left in lease.caps.items():
                cap = self._caps[name]
                cap.most = cap.spent + left
            self._pace(host).lease(lease, valid_until)
        for host in said.returns:
            self._pace(host).give_back()
        for source in said.recalled:
            self._put_back(source)
        for chunk, items in said.chunks.items():
            self._take(chunk, items)

    def _begin(self, setup: Setup) -> None:
        self._setup = setup
        self._caps = {name: Cap(0) for names in setup.cap_names.values() for name in names}
        for source in setup.configs:
            self._usage[source] = Usage(
                caps=[self._caps[name] for name in setup.cap_names.get(source, ())],
                should_stop=lambda: self._is_stopped,
            )
        # The owner's browser may be nowhere here; the variable PROPKIT_BROWSER names this one's.
        browser = setup.browser if setup.browser and setup.browser.exists() else None
        self._asker = ItemAsker(
            setup.configs, setup.collect, BrowserPool(setup.browsing, browser), self._make_pace
        )
        for host in {config.host for config in setup.configs.values()}:
            self._lines[host] = deque()
            self._arrivals[host] = asyncio.Event()
            self._runners += [
                asyncio.create_task(self._run_items(host)) for _ in range(setup.workers)
            ]

    def _make_pace(
        self, name: str, requests_per_second: float, max_in_flight: int, *, is_learned: bool
    ) -> LeasedPace:
        del requests_per_second, max_in_flight, is_learned  # the owner's pace has them
        return self._pace(name)

    def _pace(self, name: str) -> LeasedPace:
        pace = self._paces.get(name)
        if pace is None:
            seconds = self._setup.collect.ageing_seconds if self._setup else 30.0
            pace = self._paces[name] = LeasedPace(seconds, self._news.set)
        return pace

    def _stop(self) -> None:
        """Ask for nothing new from now on; what is under way may end."""
        self._is_stopped = True
        for pace in self._paces.values():
            pace.stop()
        for source in self._usage:
            self._put_back(source)

    # --- items -----------------------------------------------------------------------------------

    def _take(self, chunk: str, items: list[tuple[int, Item, bool]]) -> None:
        """Take in the items of a chunk; those to be asked for alone wait until nothing else is."""
        assert self._setup is not None  # noqa: S101 -- it comes with the first chunk
        self._left[chunk] = len(items)
        if not items:
            self._finish(chunk)
        for number, item, is_alone in items:
            if self._is_stopped:
                self._note_end(chunk, number, None)
                continue
            host = self._setup.configs[item.source].host
            self._lines[host].append((chunk, number, item, is_alone))
            self._arrivals[host].set()

    def _put_back(self, source: str) -> None:
        """Give what waits of a source back unasked."""
        for line in self._lines.values():
            for entry in [entry for entry in line if entry[2].source == source]:
                line.remove(entry)
                self._note_end(entry[0], entry[1], None)

    async def _run_items(self, host: str) -> None:
        line, arrivals = self._lines[host], self._arrivals[host]
        while True:
            while not line:
                arrivals.clear()
                await arrivals.wait()
            chunk, number, item, is_alone = line.popleft()
            async with self._calm:
                # What may have ended a worker before is asked for with nothing else under way.
                if is_alone:
                    self._alone += 1
                    await self._calm.wait_for(lambda: not self._in_work)
                else:
                    await self._calm.wait_for(lambda: not self._alone)
                self._in_work += 1
            try:
                outcome = await self._ask(number, item)
            finally:
                async with self._calm:
                    self._in_work -= 1
                    self._alone -= is_alone
                    self._calm.notify_all()
            self._note_end(chunk, number, outcome)
            if outcome is not None and outcome.item.failure_class in _STOPPING:
                self._put_back(item.source)  # the owner says whether to go on

    async def _ask(self, number: int, item: Item) -> Outcome | None:
        assert self._asker is not None  # noqa: S101 -- as in _take
        assert self._setup is not None  # noqa: S101 -- as in _take
        self._begun.append(number)
        self._news.set()
        begun = replace(item, started_at=datetime.now(UTC))
        try:
            outcome = await self._asker.collect_item(
                begun, self._usage[item.source], self._setup.way, self._setup.order
            )
        except ProcessEndsError:
            self._over.set()
            return None
        for page in outcome.pages:
            page.forget()
        return outcome

    def _note_end(self, chunk: str, number: int, outcome: Outcome | None) -> None:
        self._ended.append((number, outcome))
        self._news.set()
        self._left[chunk] -= 1
        if not self._left[chunk]:
            self._finish(chunk)

    def _finish(self, chunk: str) -> None:
        self._left.pop(chunk, None)
        done = self._chunks.pop(chunk, None)
        if done is not None:
            self._finished.append(done)
            self._news.set()
