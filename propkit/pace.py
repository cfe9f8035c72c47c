"""One pace per host: at most so many requests a second, at most so many in flight.

Requests get places on a time line, ``spacing_seconds`` apart, in the order in which they ask; a
host that says Retry-After pauses them all. A host that refuses is asked less often, and by and by
as often as before; where the limit is not known, it is learned in the same way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from propkit.errors import SourceUnavailableError

# Exactly at a host's limit up to 1 % of requests are refused (clocks differ): stay below.
_BELOW_LIMIT = 1.015

# The rate after a refusal, and how good answers mend it: it doubles in a few seconds up to a
# little below the rate at which the host last refused, and creeps beyond. Found by trying against
# token buckets of 2 to 20 requests/s.
_AFTER_REFUSAL = 0.75
_SAFE_SHARE = 0.9
_DOUBLING_SECONDS = 6.0
_CREEPING_SECONDS = 300.0
_SETTLING_SECONDS = 2.0
_FASTEST_LEARNED = 50.0
_SLOWEST = 1 / 60


class Pace:
    """The pace of one host.

    Parameters
    ----------
    requests_per_second
        The host's limit; where it is learned, the rate to begin with.
    max_in_flight
        Most requests under way at once.
    is_learned
        The limit is not known: go faster until the host refuses.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        requests_per_second: float,
        max_in_flight: int,
        *,
        is_learned: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spacing_seconds = _BELOW_LIMIT / requests_per_second
        self._least_spacing = (
            1 / max(_FASTEST_LEARNED, requests_per_second) if is_learned else self.spacing_seconds
        )
        self._knee = 0.0 if is_learned else self.spacing_seconds
        self._cut_at = float("-inf")
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
        self._least_spacing = max(self._least_spacing, spacing_seconds)
        self.spacing_seconds = max(self.spacing_seconds, spacing_seconds)

    def succeed(self) -> None:
        """Take note of a good answer: a pace that was cut, or is learned, gets faster."""
        if self.spacing_seconds > self._least_spacing:
            is_below = self.spacing_seconds > self._knee
            doubling = _DOUBLING_SECONDS if is_below else _CREEPING_SECONDS
            growth = 2 ** (self.spacing_seconds / doubling)
            self.spacing_seconds = max(self._least_spacing, self.spacing_seconds / growth)

    def pause(self, seconds: float) -> None:
        """Take note of a refusal: no request starts for so long, and then fewer do.

        Refusals of requests that were under way when the pace was cut are one refusal.
        """
        self.refused += 1
        if self._clock() - self._cut_at > _SETTLING_SECONDS:
            self._cut_at = self._clock() + seconds
            self._knee = max(self._least_spacing, self.spacing_seconds / _SAFE_SHARE)
            self.spacing_seconds = min(self.spacing_seconds / _AFTER_REFUSAL, 1 / _SLOWEST)
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

    def restart(self) -> None:
        """Measure the spacing from now: what took a place has started only now."""
        self._next_at = max(self._next_at, self._clock() + self.spacing_seconds)

    async def _wait(self, max_wait: float, url: str | None) -> None:
        while (wait := self.wait_seconds) > 0:
            if (pause := self.pause_seconds) > max_wait:
                raise SourceUnavailableError(
                    f"the host asks to be left alone for {pause:.0f} s", url=url
                )
            await asyncio.sleep(wait)
        self._next_at = max(self._next_at, self._clock()) + self.spacing_seconds
        self.requests += 1
