"""A background thread with an event loop of its own, where collectors live.

Never a task on the kernel's loop: it would stall while a cell computes. All kits over one store
share one thread, and with it the paces of hosts and what is in work.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from propkit.errors import StoreError
from propkit.loops import new_loop
from propkit.sources import SourceConfig
from propkit.store import Store
from propkit.store.paces import read_paces
from propkit.traffic import Traffic

if TYPE_CHECKING:
    from propkit.runtime.work import BatchWork

T = TypeVar("T")

_MOST_ENDED: Final = 1000
"""Batches that ended here and are remembered; a worker runs for weeks."""


class CollectorThread:
    """The thread of one store; ``submit`` hands it work from any other thread.

    ``works`` are the batches that run or ran here, by id, whichever kit started them; of those that
    ended, the last thousand. One batch at a time looks up what it begins with, ``looking_up``: many that are started at once would take
    the processor from those who wait for the answer that theirs is started.
    """

    _threads: ClassVar[dict[Store, CollectorThread]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, store: Store) -> None:
        self.works: dict[str, BatchWork] = {}
        self.looking_up = asyncio.Lock()
        self._store = store
        self._uses = 0
        self._loop = new_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="propkit-collector", daemon=True
        )
        self._thread.start()
        self.traffic = self.make(lambda: Traffic(store))

    @classmethod
    def share(cls, store: Store) -> CollectorThread:
        """Return the store's thread, started when it is first asked for; close it once for each."""
        with cls._lock:
            thread = cls._threads.get(store)
            if thread is None:
                thread = cls._threads[store] = cls(store)
            thread._uses += 1
            return thread

    @classmethod
    def find(cls, store: Store) -> CollectorThread | None:
        """Return the store's thread where one runs."""
        with cls._lock:
            return cls._threads.get(store)

    def run(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine function in the thread and return what it gives."""
        return self.submit(function()).result()

    def make(self, function: Callable[[], T]) -> T:
        """Call a plain function in the thread and return what it gives."""

        async def call() -> T:
            return function()

        return self.submit(call()).result()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine in the thread and return its future."""
        if self._loop.is_closed():
            work.close()
            raise StoreError("the kit is closed; open it again")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, function: Callable[[], object]) -> None:
        """Call a plain function in the thread, soon."""
        self._loop.call_soon_threadsafe(function)

    def make_room(self) -> None:
        """Let go of what nobody asks about any more: old events, and what ended long ago."""
        works = list(self.works.values())  # other kits' threads add theirs meanwhile
        for work in works:
            work.forget_events()
        ended = [work for work in works if work.is_at_rest]
        for work in ended[:-_MOST_ENDED]:
            self.works.pop(work.id, None)

    def close(self) -> None:
        """End the thread once everyone who shares it has closed it."""
        with self._lock:
            self._uses -= 1
            if self._uses:
                return
            del self._threads[self._store]
        self.make(self.traffic.save)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def kept_rates(store: Store, sources: Mapping[str, SourceConfig]) -> dict[str, float]:
    """Return the requests per second that each host is asked now, or was when last learned."""
    thread = CollectorThread.find(store)
    if thread is not None:
        return thread.traffic.rates()
    learned = {config.host for config in sources.values() if config.is_pace_learned}
    paces = read_paces(store).values()
    return {one.host: one.requests_per_second for one in paces if one.host in learned}
