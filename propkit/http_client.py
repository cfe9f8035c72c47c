"""The one HTTP client: every request to a county goes through here.

It keeps each host's pace, obeys robots.txt and Retry-After, says who it is, tries again what can
heal and maps every other outcome to an error of :mod:`propkit.errors`. It never tries to get
past a captcha, a challenge or a login: such a page is a ``SourceBlockedError``.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager as Entering
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Self

import aiohttp
from protego import Protego
from yarl import URL

from propkit.errors import (
    CollectionCancelledError,
    InvalidAnswerError,
    SourceBlockedError,
    SourceError,
    SourceRejectedError,
    SourceTimeoutError,
    SourceUnavailableError,
)
from propkit.items import RetryPolicy
from propkit.pace import Pace
from propkit.pages import Expect, Page, check_page, find_block

log = logging.getLogger(__name__)

ROBOT_NAME = "propkit"
_MAX_REDIRECTS = 5
_REFUSALS_PER_ATTEMPT = 2
_MAX_BODY_BYTES = 64 * 2**20
# 520 to 524 are Cloudflare's words for a site behind it that does not answer.
_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})


@dataclass(frozen=True, slots=True, kw_only=True)
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
        self._timeout = aiohttp.ClientTimeout(total=request_timeout)
        self._connector = aiohttp.TCPConnector(limit=0)
        self._shared = self._session(aiohttp.DummyCookieJar())
        self._robots: dict[str, asyncio.Task[Protego]] = {}

    async def __aenter__(self) -> Self:
        """Return the client; leaving closes every connection."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        for task in self._robots.values():
            task.cancel()
        await self._shared.close()
        await self._connector.close()

    @asynccontextmanager
    async def ask(
        self, host: Host, should_stop: Callable[[], bool] = lambda: False
    ) -> AsyncIterator[HttpAsk]:
        """Give what one item asks with; a session-bound site gets cookies of its own.

        Once ``should_stop`` says so, no further request is sent.
        """
        if not host.is_session_bound:
            yield HttpAsk(self, host, self._shared, should_stop)
            return
        # aiohttp's default jar drops the cookies of hosts that are IP addresses.
        async with self._session(aiohttp.CookieJar(unsafe=True)) as session:
            yield HttpAsk(self, host, session, should_stop)

    def _session(self, jar: aiohttp.abc.AbstractCookieJar) -> aiohttp.ClientSession:
        session = aiohttp.ClientSession(
            connector=self._connector,
            connector_owner=False,
            cookie_jar=jar,
            timeout=self._timeout,
            skip_auto_headers=("User-Agent",),
        )
        # aiohttp would send a dropped request again by itself, without a place of the pace.
        session._retry_connection = False  # noqa: SLF001
        return session

    async def check_robots(self, url: URL, host: Host) -> None:
        """Raise ``SourceBlockedError`` when the host's robots.txt forbids the address."""
        root = str(url.origin())
        task = self._robots.get(root)
        if task is None:
            task = asyncio.create_task(self._read_robots(root, host))
            self._robots[root] = task
        try:
            rules = await asyncio.shield(task)
        except SourceError:
            if self._robots.get(root) is task:
                del self._robots[root]  # ask again with the next item
            raise
        if not rules.can_fetch(str(url), ROBOT_NAME):
            raise SourceBlockedError("the host's robots.txt forbids this address", url=str(url))
        if delay := rules.crawl_delay(ROBOT_NAME):
            host.pace.slow_to(float(delay))

    async def _read_robots(self, root: str, host: Host) -> Protego:
        """Read robots.txt as RFC 9309 says: 4xx allows everything, 5xx allows nothing."""
        asker = HttpAsk(self, replace(host, item_pace=None), self._shared, lambda: False)
        try:
            page = await asker.request(
                URL(root) / "robots.txt", name="robots.txt", accept=lambda page: page.status < 500
            )
        except (SourceRejectedError, SourceBlockedError):  # 401, 403, a wall: no rules to be had
            return Protego.parse("")
        is_rules = page.status == 200 and "html" not in page.content_type
        return Protego.parse(page.body.decode("utf-8", "replace") if is_rules else "")


@dataclass(frozen=True, slots=True)
class _Failure:
    """A try that failed: why, with which status, and the seconds that the host asks to wait."""

    error: SourceError
    status: int | None = None
    retry_after: float | None = None


class HttpAsk:
    """What a source asks with, for one item; implements :class:`propkit.sources._base.Ask`.

    ``pages`` holds every page that was kept, ``attempts`` the number of the last attempt that a
    request of the item needed. ``timeout``, when given, stands still while a place is waited for.
    """

    def __init__(
        self,
        client: HttpClient,
        host: Host,
        session: aiohttp.ClientSession,
        should_stop: Callable[[], bool],
    ) -> None:
        self.pages: list[Page] = []
        self.attempts = 1
        self.timeout: asyncio.Timeout | None = None
        self._client = client
        self._host = host
        self._session = session
        self._should_stop = should_stop
        self._is_started = False

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
        url = URL(self._host.base_url.rstrip("/") + "/" + path.lstrip("/")).update_query(params)
        if self._host.obey_robots:
            await self._client.check_robots(url, self._host)
        page = await self.request(url, name=name, expect=expect, accept=accept)
        self.pages.append(page)
        return page

    async def request(
        self,
        url: URL,
        *,
        name: str,
        expect: Expect | None = None,
        accept: Callable[[Page], bool] | None = None,
    ) -> Page:
        """Ask until an answer is good, means something to ``accept``, or cannot heal."""
        retry = self._client.retry
        attempt, refusals = 0, 0
        while True:
            attempt += 1
            self.attempts = max(self.attempts, attempt)
            is_last = attempt == retry.attempts
            pause = retry.pause_seconds(attempt, random.random())
            tried = await self._try(url, name, expect, accept, is_last=is_last)
            if isinstance(tried, Page):
                self._host.pace.succeed()
                return tried
            error, asked = tried.error, tried.retry_after
            if tried.status in {429, 503}:
                self._host.pace.pause(pause if asked is None else asked)
                pause = 0.0
                if asked is not None and refusals < _REFUSALS_PER_ATTEMPT * retry.attempts:
                    # Waiting as long as the host asks is no failed attempt.
                    refusals, attempt = refusals + 1, attempt - 1
                    continue
            if is_last or not _can_heal(error, tried.status):
                raise error
            log.info("attempt %d of %s failed (%s); again in %.1f s", attempt, url, error, pause)
            await asyncio.sleep(pause)

    async def _try(
        self,
        url: URL,
        name: str,
        expect: Expect | None,
        accept: Callable[[Page], bool] | None,
        *,
        is_last: bool,
    ) -> Page | _Failure:
        """Ask once; every foreign exception ends here."""
        try:
            page, headers = await self._follow(url, name)
        except SourceError as refusal:
            return _Failure(refusal)
        except TimeoutError:
            return _Failure(SourceTimeoutError(f"{name}: no answer in time", url=str(url)))
        except aiohttp.ClientPayloadError:
            return _Failure(InvalidAnswerError(f"{name}: the answer was cut short", url=str(url)))
        except aiohttp.ClientConnectorError as cause:
            why = f"cannot connect to {cause.host}: {cause.os_error.strerror or 'no such host'}"
            return _Failure(SourceUnavailableError(f"{name}: {why}", url=str(url)))
        except aiohttp.ClientError as cause:
            why = f"{type(cause).__name__}: {cause}"
            return _Failure(SourceUnavailableError(f"{name}: {why}", url=str(url)))
        error = _judge(page, expect, accept, is_last=is_last)
        if error is None:
            return page
        asked = read_retry_after(headers.get("Retry-After"), datetime.now(UTC))
        return _Failure(error, page.status, asked)

    async def _follow(self, url: URL, name: str) -> tuple[Page, Mapping[str, str]]:
        """Ask once, following redirects within the host; each hop takes a place of the pace."""
        start = url
        for _ in range(_MAX_REDIRECTS):
            self._check_stop()
            async with (
                self._place(str(url)),
                self._get(url) as answer,
            ):
                body = await _read_body(answer, name)
                target = answer.headers.get("Location")
                if answer.status in {301, 302, 303, 307, 308} and target:
                    url = _join(url, target, name)
                    if not _is_same_site(start, url):
                        raise SourceBlockedError(f"{name}: sent to {url.host}", url=str(start))
                    continue
                page = Page(
                    name=name,
                    url=str(url),
                    fetched_at=datetime.now(UTC),
                    status=answer.status,
                    content_type=answer.headers.get("Content-Type", ""),
                    body=body,
                )
                return page, answer.headers
        raise InvalidAnswerError(f"{name}: more than {_MAX_REDIRECTS} redirects", url=str(start))

    def _get(self, url: URL) -> Entering[aiohttp.ClientResponse]:
        self._check_stop()  # the wait for the place may have been long
        return self._session.get(url, headers=dict(self._host.headers), allow_redirects=False)

    @asynccontextmanager
    async def _place(self, url: str) -> AsyncIterator[None]:
        """Hold a place of the host's pace; the item's first request starts the item as well."""
        longest, item_pace = self._client.retry.retry_after_max, self._host.item_pace
        is_first, self._is_started = not self._is_started, True
        async with AsyncExitStack() as places:
            with self._untimed():
                if item_pace is not None and is_first:
                    await places.enter_async_context(item_pace.place(longest, url=url))
                await places.enter_async_context(self._host.pace.place(longest, url=url))
            if item_pace is not None and is_first:
                item_pace.restart()
            yield

    @contextmanager
    def _untimed(self) -> Iterator[None]:
        """Let the item's time stand still: to wait for a place, or as a host asks, is no delay."""
        timeout = self.timeout
        if timeout is None or (due := timeout.when()) is None:
            yield
            return
        loop = asyncio.get_running_loop()
        left = due - loop.time()
        timeout.reschedule(None)
        try:
            yield
        finally:
            timeout.reschedule(loop.time() + left)

    def _check_stop(self) -> None:
        if self._should_stop():
            raise CollectionCancelledError("the batch was cancelled")


async def _read_body(answer: aiohttp.ClientResponse, name: str) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise InvalidAnswerError(f"{name}: the answer is too large", url=str(answer.url))
    return bytes(body)


def _join(url: URL, target: str, name: str) -> URL:
    try:
        return url.join(URL(target))
    except ValueError as error:
        raise InvalidAnswerError(f"{name}: sent to {target!r}", url=str(url)) from error


def _is_same_site(start: URL, url: URL) -> bool:
    """Whether a redirect stays where the token may go: the same origin, or its move to https."""
    if url.host != start.host:
        return False
    return url.origin() == start.origin() or (start.scheme, url.scheme) == ("http", "https")


def read_retry_after(text: str | None, now: datetime) -> float | None:
    """Read a Retry-After header: seconds, or an HTTP date; None when it says neither."""
    text = (text or "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())


def _judge(
    page: Page,
    expect: Expect | None,
    accept: Callable[[Page], bool] | None,
    *,
    is_last: bool,
) -> SourceError | None:
    """Return what is wrong with an answer, or None."""
    status, where = page.status, f"{page.name}: HTTP {page.status}"
    block = find_block(page)
    if block is not None and not (status == 403 and accept is not None and accept(page)):
        return SourceBlockedError(f"{page.name}: the site shows {block}", url=page.url)
    if status == 401:
        return SourceRejectedError(
            f"{where}: the source refuses the token, or wants one", url=page.url
        )
    can_wait = status in _RETRIED_STATUSES and not is_last
    if accept is not None and not can_wait and accept(page):
        return None
    if status in {402, 403}:
        return SourceRejectedError(f"{where}: the source refuses the request", url=page.url)
    if status in _RETRIED_STATUSES or status >= 500:
        return SourceUnavailableError(where, url=page.url)
    if not 200 <= status < 300:
        return InvalidAnswerError(where, url=page.url)
    if expect is None:
        return None
    try:
        check_page(page, expect)
    except InvalidAnswerError as error:
        return error
    return None


def _can_heal(error: SourceError, status: int | None) -> bool:
    """Whether the same request may go better next time."""
    if isinstance(error, (SourceBlockedError, SourceRejectedError, CollectionCancelledError)):
        return False
    return status is None or status in _RETRIED_STATUSES or status < 300
