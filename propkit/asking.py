"""What every way of asking shares: the host's pace and robots, the item's time, trying again."""

from __future__ import annotations

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from propkit import answers
from propkit.errors import SourceError
from propkit.evidence import Sight
from propkit.items import RetryPolicy
from propkit.pace import Pace
from propkit.pages import Page
from propkit.time_limits import TimeLimit
from propkit.usage import Usage

log = logging.getLogger(__name__)

REFUSALS = frozenset({429, 503})
_REFUSALS_PER_ATTEMPT = 2
_SLOW_SECONDS, _MOST_SLOW = 5.0, 100
_IDENTITY = frozenset({"user-agent", "x-client"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Host:
    """How one source's host is asked: the address, the pace and what every request carries."""

    base_url: str
    pace: Pace
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_session_bound: bool = False
    obey_robots: bool = True
    may_lead_away: bool = False
    """Whether its redirects may lead to another site: where files are offered, they do."""
    item_pace: Pace | None = None
    """The pace at which items start; None: only requests are spaced."""

    def elsewhere(self, root: str) -> Host:
        """Return how another site is asked at this host's pace: it hears who asks, no more."""
        said = {name: text for name, text in self.headers.items() if name.lower() in _IDENTITY}
        return replace(self, base_url=root, headers=said, item_pace=None)


@dataclass(frozen=True, slots=True)
class Failure:
    """A try that failed: why, on which page, and the seconds that the host asks to wait."""

    error: SourceError
    page: Page | None = None
    retry_after: float | None = None

    @property
    def status(self) -> int | None:
        """The answer's status, where there was one."""
        return None if self.page is None else self.page.status


Once = Callable[[float, bool], Awaitable[Page | Failure]]
"""One try: given the pause for a host that refuses without one, and whether it is the last."""


Where = TypeVar("Where")
"""What a way of asking takes for an address; its text is the address itself."""


class AskedPlace:
    """A place of a host's pace for one request of an item, as a context; gives when it was had.

    A class, for a generator would take thrice as long, for every request.
    """

    __slots__ = ("_asking", "_pace", "_url")

    def __init__(self, asking: Asking[Any], url: object) -> None:
        self._asking = asking
        self._pace = asking.host.pace
        self._url = url

    async def __aenter__(self) -> float:
        asking = self._asking
        if asking.is_free:
            asking.usage.spend()
            started_at = self._pace.take()
        else:
            started_at = await self._wait(asking)
        asking.had_no_effect = False
        return started_at

    async def _wait(self, asking: Asking[Any]) -> float:
        asking.usage.check()
        # To wait for a place, or as a host asks, is no delay of the item's own.
        left = asking.stop_time()
        is_first = await asking.start_item(self._url)
        longest = asking.retry.retry_after_max
        place = self._pace.place(longest, url=self._url, rank=asking.rank)
        await place.__aenter__()
        try:
            if left is not None:
                asking.go_on(left)
            if is_first and asking.host.item_pace is not None:
                asking.host.item_pace.restart()
            asking.usage.spend()  # the wait may have been long
        except BaseException:
            self._pace.leave()
            raise
        return place.started_at

    async def __aexit__(self, *_: object) -> None:
        self._pace.leave()


class Asking(ABC, Generic[Where]):
    """What one item asks with, whatever the way.

    ``pages`` holds every page that was kept, those that failed the item included, as evidence;
    ``attempts`` is the number of the last attempt that a request of the item needed. ``time_limit``,
    when given, stands still while a place is waited for. ``had_no_effect``: the last request was
    never sent, or certainly refused.
    """

    def __init__(self, host: Host, usage: Usage, rank: int, retry: RetryPolicy) -> None:
        self.pages: list[Page] = []
        self.attempts = 1
        self.had_no_effect = True
        self.time_limit: TimeLimit | None = None
        self.host = host
        self.usage = usage
        self.rank = rank
        self.retry = retry
        self._is_started = host.item_pace is None

    @abstractmethod
    async def check_robots(self, url: Where) -> None:
        """Raise ``SourceBlockedError`` when the host's robots.txt forbids the address."""

    @abstractmethod
    def address(self, path: str, params: Mapping[str, str] | None) -> Where:
        """Return the address of a path at the host."""

    async def allowed(self, path: str, params: Mapping[str, str] | None) -> Where:
        """Return the address, unless robots.txt forbids it."""
        url = self.address(path, params)
        if self.host.obey_robots:
            await self.check_robots(url)
        return url

    async def until_good(
        self, url: object, name: str, ask_once: Once, *, is_sent_once: bool = False
    ) -> Page:
        """Ask until an answer is good, or cannot heal; a failed one is kept as evidence."""
        attempt, refusals = 0, 0
        while True:
            attempt += 1
            self.attempts = max(self.attempts, attempt)
            is_last = is_sent_once or attempt == self.retry.attempts
            pause = self.retry.pause_seconds(attempt, random.random())
            tried = await ask_once(pause, is_last)
            if isinstance(tried, Page):
                return tried
            error = tried.error
            if tried.status in REFUSALS:
                pause = 0.0  # the pace's own pause
                is_asked = tried.retry_after is not None
                is_waiting = refusals < _REFUSALS_PER_ATTEMPT * self.retry.attempts
                if is_asked and is_waiting and not is_sent_once:
                    # Waiting as long as the host asks is no failed attempt.
                    refusals, attempt = refusals + 1, attempt - 1
                    continue
            if is_last or not answers.can_heal(error, tried.status):
                if tried.page is not None:
                    self.pages.append(replace(tried.page, name=f"{name} (failed)"))
                raise error
            log.info("attempt %d of %s failed (%s); again in %.1f s", attempt, url, error, pause)
            await asyncio.sleep(pause)

    async def look(self, failure: SourceError) -> Sight:
        """Return what is to be seen of a failed item: the answer it failed on, where one is kept."""
        pages = [page for page in self.pages if failure.url in {None, page.url}]
        page = pages[-1] if pages else None
        return Sight(
            url=failure.url or (page.url if page else self.host.base_url),
            seen_at=datetime.now(UTC),
            status=page.status if page else None,
            page=page,
        )

    def place(self, url: object) -> AskedPlace:
        """Return what waits for a place of the host's pace, holds it, and counts one request."""
        return AskedPlace(self, url)

    async def start_item(self, url: object) -> bool:
        """Wait until the item may start, where items are spaced; return whether it is its first."""
        if self._is_started:
            return False
        self._is_started = True
        assert self.host.item_pace is not None  # noqa: S101 -- else it has started when it is made
        longest = self.retry.retry_after_max
        async with self.host.item_pace.place(longest, url=url, rank=self.rank):
            return True

    @property
    def is_free(self) -> bool:
        """Whether the next request may start at once."""
        return self._is_started and self.host.pace.is_free()

    def note_received(self, url: object, size: int, seconds: float) -> None:
        """Count an answer's bytes, and remember it where it took long."""
        self.usage.received_bytes += size
        if seconds > _SLOW_SECONDS and len(self.usage.slow) < _MOST_SLOW:
            self.usage.slow.append((str(url), seconds))

    def stop_time(self) -> float | None:
        """Let the item's time stand still; return the seconds that are left of it."""
        return None if self.time_limit is None else self.time_limit.stop()

    def go_on(self, left: float) -> None:
        """Let the item's time run on."""
        if self.time_limit is not None:
            self.time_limit.go_on(left)
