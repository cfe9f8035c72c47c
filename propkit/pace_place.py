"""A place on the time line of a host's pace: waited for, held as long as the request takes."""

from __future__ import annotations

import asyncio
from typing import Protocol, Self

from propkit.errors import SourceUnavailableError


class Placing(Protocol):
    """What a place needs of its pace."""

    def is_free(self) -> bool:
        """Whether a request may start at once."""
        ...

    def take(self) -> float:
        """Take the next place of the time line; return the moment."""
        ...

    def wait_for(self, place: Place, rank: int) -> None:
        """Queue up."""
        ...

    def leave(self) -> None:
        """Give a place in flight back."""
        ...


class Place:
    """A place of a pace, waited for and held as a context."""

    __slots__ = ("_pace", "max_wait", "rank", "ready", "started_at", "url")

    def __init__(self, pace: Placing, max_wait: float, url: object, rank: int) -> None:
        self._pace = pace
        self.rank = rank
        self.max_wait = max_wait
        self.url = url
        self.ready: asyncio.Future[None]
        self.started_at: float

    def refusal(self, pause: float) -> SourceUnavailableError:
        """Return what is said where the host asks for a longer pause than anybody waits."""
        return SourceUnavailableError(
            f"the host asks to be left alone for {pause:.0f} s",
            url=None if self.url is None else str(self.url),
        )

    async def __aenter__(self) -> Self:
        pace = self._pace
        if pace.is_free():
            self.started_at = pace.take()
            return self
        self.ready = asyncio.get_running_loop().create_future()
        pace.wait_for(self, self.rank)
        try:
            await self.ready
        except asyncio.CancelledError:
            if self.ready.done() and not self.ready.cancelled() and not self.ready.exception():
                pace.leave()  # the place was given just now
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pace.leave()
