"""How much a user may ask for: so many requests a second, and so many streams at once."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from propkit.server.problems import ProblemError

MOST_STREAMS: Final = 20
"""How many streams one user may have open."""
_BURST_SECONDS: Final = 2.0
_MOST_USERS: Final = 10_000
_COME_AGAIN_SECONDS: Final = 5


class RateLimit:
    """A bucket of requests for each user, filled at ``per_second``; never less than one deep."""

    def __init__(self, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._depth = max(1.0, per_second * _BURST_SECONDS)
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, user: str) -> int:
        """Take a request; return 0, or the whole seconds after which there is one again."""
        now = self._clock()
        left, seen_at = self._buckets.get(user, (self._depth, now))
        left = min(self._depth, left + (now - seen_at) * self._per_second)
        is_allowed = left >= 1
        self._buckets[user] = (left - 1 if is_allowed else left, now)
        if len(self._buckets) > _MOST_USERS:
            self._forget(now)
        return 0 if is_allowed else max(1, math.ceil((1 - left) / self._per_second))

    def _forget(self, now: float) -> None:
        """Forget those whose bucket is full again: they start with a full one anyway."""
        self._buckets = {
            user: (left, seen_at)
            for user, (left, seen_at) in self._buckets.items()
            if left + (now - seen_at) * self._per_second < self._depth
        }


class Streams:
    """The streams that are open, by user; used on the server's loop only."""

    def __init__(self) -> None:
        self._open: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def follow(self, user: str, ending: asyncio.Event) -> Iterator[None]:
        """Count a stream for as long as the block lasts; ``ending`` is set to end it."""
        own = self._open.setdefault(user, set())
        if len(own) >= MOST_STREAMS:
            raise ProblemError(
                429,
                f"{MOST_STREAMS} streams are open already; close one first.",
                headers={"Retry-After": str(_COME_AGAIN_SECONDS)},
            )
        own.add(ending)
        try:
            yield
        finally:
            own.discard(ending)
            if not own:
                self._open.pop(user, None)

    def end(self) -> None:
        """End them all."""
        for own in self._open.values():
            for ending in own:
                ending.set()
