"""One pace per host: at most so many requests a second, at most so many in flight.

A pace is shared by everything that asks the host in this process. Requests get places on a time
line, ``spacing_seconds`` apart, in the order in which they ask; a host that says Retry-After
pauses them all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from propkit.errors import SourceUnavailableError

# Exactly at a host's limit up to 1 % of requests are refused (clocks differ): stay below.
_BELOW_LIMIT = 1.015


class Pace:
    """The pace of one host.

    Parameters
    ----------
    requests_per_second
        The host's limit.
    max_in_flight
        Most requests under way at once.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        requests_per_second: float,
        max_in_flight: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spacing_seconds = _BELOW_LIMIT / requests_per_second
        self.requests = 0
        self.refused = 0
        self._clock = clock
        self._next_at = 0.0
        self._paused_until = 0.0
        self._turn = asyncio.Lock()
        self._places = asyncio.Semaphore(max_in_flight)

    @property
    def requests_per_second(self) -> float:
        """The rate that is kept."""
        return 1 / self.spacing_seconds

    @property
    def wait_seconds(self) -> float:
        """Seconds until the next request may start."""
        return max(0.0, self._next_at - self._clock(), self.pause_seconds)

    @property
    def pause_seconds(self) -> float:
        """Seconds for which the host still asks to be left alone."""
        return max(0.0, self._paused_until - self._clock())

    def slow_to(self, spacing_seconds: float) -> None:
        """Keep at least this spacing from now on (a crawl delay)."""
        self.spacing_seconds = max(self.spacing_seconds, spacing_seconds)

    def pause(self, seconds: float) -> None:
        """Let no request start for so long (Retry-After)."""
        self.refused += 1
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    @asynccontextmanager
    async def place(self, max_wait: float, *, url: str | None = None) -> AsyncIterator[None]:
        """Wait for a place on the time line and hold one of the places in flight.

        Raises
        ------
        SourceUnavailableError
            The host asked for a pause of more than ``max_wait`` seconds.
        """
        async with self._turn:  # only the next in turn may hold a place without being in flight
            await self._places.acquire()
            try:
                await self._wait(max_wait, url)
            except BaseException:
                self._places.release()
                raise
        try:
            yield
        finally:
            self._places.release()

    async def _wait(self, max_wait: float, url: str | None) -> None:
        while (wait := self.wait_seconds) > 0:
            if (pause := self.pause_seconds) > max_wait:
                raise SourceUnavailableError(
                    f"the host asks to be left alone for {pause:.0f} s", url=url
                )
            await asyncio.sleep(wait)
        self._next_at = max(self._next_at, self._clock()) + self.spacing_seconds
        self.requests += 1
