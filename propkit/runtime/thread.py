"""A background thread with an event loop of its own, where the collector lives.

Never a task on the kernel's loop: it would stall while a cell computes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from propkit.collector import Collector
from propkit.errors import StoreError

T = TypeVar("T")


class CollectorThread:
    """Runs one collector; ``submit`` hands it work from any other thread."""

    def __init__(self, make_collector: Callable[[], Collector]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="propkit-collector", daemon=True
        )
        self._thread.start()

        async def make() -> Collector:
            return make_collector()

        self.collector = self.submit(make()).result()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine in the thread and return its future."""
        if self._loop.is_closed():
            work.close()
            raise StoreError("the kit is closed; open it again")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, function: Callable[[], object]) -> None:
        """Call a plain function in the thread, soon."""
        self._loop.call_soon_threadsafe(function)

    def close(self) -> None:
        """Close the collector and end the thread; a second call does nothing."""
        if self._loop.is_closed():
            return
        self.submit(self.collector.close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
