"""The one HTTP client: every request to a county goes through here.

It keeps each host's pace, obeys robots.txt and Retry-After, says who it is, tries again what can
heal and maps every other outcome to an error of :mod:`propkit.errors`. It never tries to get
past a captcha, a challenge or a login: such a page is a ``SourceBlockedError``.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Self

import aiohttp
from protego import Protego
from yarl import URL

from propkit import answers
from propkit.errors import (
    InvalidAnswerError,
    SourceBlockedError,
    SourceError,
    SourceRejectedError,
    SourceTimeoutError,
    SourceUnavailableError,
)
from propkit.http_exchange import Exchange, Origin
from propkit.items import RetryPolicy
from propkit.pace import Pace
from propkit.pages import Expect, Page
from propkit.time_limits import TimeLimit, TimeLimits
from propkit.usage import Usage

log = logging.getLogger(__name__)

ROBOT_NAME = "propkit"
_MAX_REDIRECTS = 5
_REFUSALS_PER_ATTEMPT = 2
_SLOW_SECONDS, _MOST_SLOW = 5.0, 100
_REFUSALS = frozenset({429, 503})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Host:
    """How one source's host is asked: the address, the pace and what every request carries."""

    base_url: str
    pace: Pace
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_session_bound: bool = False
    obey_robots: bool = True
    item_pace: Pace | None = None
    """The pace at which items start; None: only requests are spaced."""


class HttpClient:
    """Sessions, robots.txt and the retry policy for one event loop.

    Parameters
    ----------
    retry
        When a failed request is tried again.
    request_timeout
        Seconds for one answer.
    """

    def __init__(self, *, retry: RetryPolicy, request_timeout: float) -> None:
        self.retry = retry
        self.limits = TimeLimits()
        self.exchange = Exchange(request_timeout, self.limits)
        self._origins: dict[Host, Origin] = {}
        self._robots: dict[str, asyncio.Task[Protego]] = {}

    async def __aenter__(self) -> Self:
        """Return the client; leaving closes every connection."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        for task in self._robots.values():
            task.cancel()
        await self.exchange.close()

    def ask(self, host: Host, usage: Usage, *, rank: int = 0) -> HttpAsk:
        """Give what one item asks with; a session-bound site gets cookies of its own.

        ``rank`` is the priority's.
        """
        # aiohttp's default jar drops the cookies of hosts that are IP addresses.
        jar = aiohttp.CookieJar(unsafe=True) if host.is_session_bound else None
        return HttpAsk(self, host, jar, usage, rank)

    def origin(self, host: Host) -> Origin:
        """Return what all requests to a host have in common."""
        origin = self._origins.get(host)
        if origin is None:
            origin = self._origins[host] = Origin(URL(host.base_url), host.headers)
        return origin

    async def check_robots(self, url: URL, root: str, asker: HttpAsk) -> None:
        """Raise ``SourceBlockedError`` when the robots.txt of ``root`` forbids the address."""
        task = self._robots.get(root)
        if task is None:
            task = asyncio.create_task(self._read_robots(root, asker))
            self._robots[root] = task
        try:
            rules = task.result() if task.done() else await asyncio.shield(task)
        except SourceError:
            if self._robots.get(root) is task:
                del self._robots[root]  # ask again with the next item
            raise
        if rules is _NO_RULES:
            return
        if not rules.can_fetch(str(url), ROBOT_NAME):
            raise SourceBlockedError("the host's robots.txt forbids this address", url=str(url))
        if delay := rules.crawl_delay(ROBOT_NAME):
            asker.host.pace.slow_to(float(delay))

    async def _read_robots(self, root: str, asker: HttpAsk) -> Protego:
        """Read robots.txt as RFC 9309 says: 4xx allows everything, 5xx allows nothing."""
        usage = Usage()  # the rules are read to the end, whoever asked for them first
        alone = HttpAsk(self, replace(asker.host, item_pace=None), None, usage, 0)
        try:
            page = await alone.request(
                URL(root) / "robots.txt", name="robots.txt", accept=lambda page: page.status < 500
            )
        except (SourceRejectedError, SourceBlockedError):  # 401, 403, a wall: no rules to be had
            return _NO_RULES
        finally:
            asker.usage.requests += usage.requests
            asker.usage.refused += usage.refused
        is_rules = page.status == 200 and "html" not in page.content_type
        return Protego.parse(page.body.decode("utf-8", "replace")) if is_rules else _NO_RULES


_NO_RULES = Protego.parse("")


@dataclass(frozen=True, slots=True)
class _Failure:
    """A try that failed: why, on which page, and the seconds that the host asks to wait."""

    error: SourceError
    page: Page | None = None
    retry_after: float | None = None

    @property
    def status(self) -> int | None:
        return None if self.page is None else self.page.status


class HttpAsk:
    """What a source asks with, for one item; implements :class:`propkit.sources._base.Ask`.

    ``pages`` holds every page that was kept, those that failed the item included, as evidence;
    ``attempts`` is the number of the last attempt that a request of the item needed. ``time_limit``,
    when given, stands still while a place is waited for. ``had_no_effect``: the last request was
    never sent, or certainly refused.
    """

    def __init__(
        self,
        client: HttpClient,
        host: Host,
        jar: aiohttp.CookieJar | None,
        usage: Usage,
        rank: int,
    ) -> None:
        self.pages: list[Page] = []
        self.attempts = 1
        self.had_no_effect = True
        self.time_limit: TimeLimit | None = None
        self.host = host
        self.usage = usage
        self.rank = rank
        self._client = client
        self._jar = jar
        self._is_started = host.item_pace is None

    async def __aenter__(self) -> Self:
        """Return what asks; leaving forgets the cookies."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Forget the item's cookies."""
        if self._jar is not None:
            self._jar.clear()

    async def get(
        self,
        path: str,
        *,
        name: str,
        params: Mapping[str, str] | None = None,
        expect: Expect = "json",
        accept: Callable[[Page], bool] | None = None,
    ) -> Page:
        """Get one page; see the protocol for the parameters and the errors."""
        url = await self._allowed(path, params)
        page = await self.request(url, name=name, expect=expect, accept=accept)
        self.pages.append(page)
        return page

    async def send(
        self,
        path: str,
        *,
        name: str,
        params: Mapping[str, str] | None = None,
        body: object = None,
        is_paid: bool = False,
    ) -> Page:
        """Get a page of JSON, or post ``body`` for it; see the protocol ``PayingAsk``."""
        self.had_no_effect = True
        url = await self._allowed(path, params)
        page = await self.request(
            url,
            name=name,
            expect="json",
            accept=answers.explains_refusal,
            body=body,
            is_sent_once=is_paid,
        )
        self.pages.append(page)
        return page

    async def _allowed(self, path: str, params: Mapping[str, str] | None) -> URL:
        """Return the address, unless robots.txt forbids it."""
        origin = self._client.origin(self.host)
        url = origin.url(path, params)
        if self.host.obey_robots:
            await self._client.check_robots(url, origin.root, self)
        return url

    async def request(
        self,
        url: URL,
        *,
        name: str,
        expect: Expect | None = None,
        accept: Callable[[Page], bool] | None = None,
        body: object = None,
        is_sent_once: bool = False,
    ) -> Page:
        """Ask, or post ``body``, until an answer is good, accepted, or cannot heal."""
        retry = self._client.retry
        attempt, refusals = 0, 0
        while True:
            attempt += 1
            self.attempts = max(self.attempts, attempt)
            is_last = is_sent_once or attempt == retry.attempts
            pause = retry.pause_seconds(attempt, random.random())
            tried = await self._try(url, name, expect, accept, pause, body=body, is_last=is_last)
            if isinstance(tried, Page):
                return tried
            error = tried.error
            if tried.status in _REFUSALS:
                pause = 0.0  # the pace's own pause
                is_asked = tried.retry_after is not None
                is_waiting = refusals < _REFUSALS_PER_ATTEMPT * retry.attempts
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

    async def _try(
        self,
        url: URL,
        name: str,
        expect: Expect | None,
        accept: Callable[[Page], bool] | None,
        pause: float,
        *,
        body: object,
        is_last: bool,
    ) -> Page | _Failure:
        """Ask once; every foreign exception ends here."""
        self.had_no_effect = True
        try:
            page, seconds, retry_after = await self._follow(url, name, pause, body)
        except SourceError as refusal:
            return _Failure(refusal)
        except TimeoutError:
            return _Failure(SourceTimeoutError(f"{name}: no answer in time", url=str(url)))
        except aiohttp.ClientPayloadError:
            return _Failure(InvalidAnswerError(f"{name}: the answer was cut short", url=str(url)))
        except aiohttp.ClientConnectorError as cause:
            self.had_no_effect = True
            why = f"cannot connect to {cause.host}: {cause.os_error.strerror or 'no such host'}"
            return _Failure(SourceUnavailableError(f"{name}: {why}", url=str(url)))
        except aiohttp.ClientError as cause:
            text = f"{name}: {type(cause).__name__}: {cause}"
            return _Failure(SourceUnavailableError(text, url=str(url)))
        self.had_no_effect = page.status in answers.NO_EFFECT
        error = answers.judge(page, expect, accept, is_last=is_last)
        if error is None:
            self.host.pace.succeed(seconds)
            return page
        return _Failure(error, page, retry_after)

    async def _follow(
        self, url: URL, name: str, pause: float, body: object
    ) -> tuple[Page, float, float | None]:
        """Ask once, following redirects within the host; each hop takes a place of the pace.

        Returns the page, the seconds of the last hop, from its start to the end of its body, and
        those of its Retry-After. A host that refuses without one is left alone for ``pause``.
        """
        start, origin = url, self._client.origin(self.host)
        pace, usage, limit = self.host.pace, self.usage, self.time_limit
        longest = self._client.retry.retry_after_max
        for _ in range(_MAX_REDIRECTS):
            usage.check()
            # To wait for a place, or as a host asks, is no delay of the item's own.
            left = None
            if limit is not None and not (self._is_started and pace.is_free()):
                left = limit.stop()
            is_first, self._is_started = not self._is_started, True
            if is_first and self.host.item_pace is not None:
                async with self.host.item_pace.place(longest, url=url, rank=self.rank):
                    pass
            async with pace.place(longest, url=url, rank=self.rank) as place:
                if left is not None and limit is not None:
                    limit.go_on(left)
                if is_first and self.host.item_pace is not None:
                    self.host.item_pace.restart()
                usage.spend()  # the wait may have been long
                asked_at, self.had_no_effect = time.monotonic(), False
                answer = await self._client.exchange.ask(
                    origin, url, name=name, jar=self._jar, body=body
                )
                seconds, headers, asked = time.monotonic() - asked_at, answer.headers, None
                if answer.status in _REFUSALS:  # before the place goes to the next in turn
                    asked = answers.read_retry_after(headers.get("Retry-After"), datetime.now(UTC))
                    pace.pause(pause if asked is None else asked, place.started_at)
                    usage.refused += 1
            usage.received_bytes += len(answer.body)
            if seconds > _SLOW_SECONDS and len(usage.slow) < _MOST_SLOW:
                usage.slow.append((str(url), seconds))
            target = headers.get("Location") if answer.status in answers.REDIRECTS else None
            if target and body is None:
                url = answers.read_redirect(start, url, target, name)
                origin = Origin(url, self.host.headers)
                continue
            page = Page(
                name=name,
                url=str(url),
                fetched_at=datetime.now(UTC),
                status=answer.status,
                content_type=headers.get("Content-Type", ""),
                body=answer.body,
            )
            return page, seconds, asked
        raise InvalidAnswerError(f"{name}: more than {_MAX_REDIRECTS} redirects", url=str(start))
