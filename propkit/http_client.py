"""The one HTTP client: every request to a county goes through here.

It keeps each host's pace, obeys robots.txt and Retry-After, says who it is, tries again what can
heal and maps every other outcome to an error of :mod:`propkit.errors`. It never tries to get
past a captcha, a challenge or a login: such a page is a ``SourceBlockedError``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlencode

import aiohttp
from protego import Protego
from yarl import URL

from propkit import answers
from propkit.asking import REFUSALS, Asking, Failure, Host
from propkit.errors import (
    InvalidAnswerError,
    SourceBlockedError,
    SourceError,
    SourceRejectedError,
    SourceTimeoutError,
    SourceUnavailableError,
)
from propkit.http_exchange import Address, Exchange, Origin
from propkit.items import RetryPolicy
from propkit.pages import Expect, Page
from propkit.time_limits import TimeLimits
from propkit.usage import Usage

ROBOT_NAME = "propkit"
_MAX_REDIRECTS = 5
_ROBOTS_SECONDS: Final = 86_400.0
"""RFC 9309, 2.4: what a robots.txt said holds for a day, then it is read anew."""


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
        self._robots: dict[str, _Reading] = {}

    async def __aenter__(self) -> Self:
        """Return the client; leaving closes every connection."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        for reading in self._robots.values():
            reading.task.cancel()
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

    async def check_robots(self, url: object, root: str, asker: Asking[Any]) -> None:
        """Raise ``SourceBlockedError`` when the robots.txt of ``root`` forbids the address."""
        reading, now = self._robots.get(root), time.monotonic()
        if reading is None or now - reading.began_at > _ROBOTS_SECONDS:
            reading = _Reading(asyncio.create_task(self._read_robots(root, asker)), now)
            self._robots[root] = reading
        task = reading.task
        try:
            rules = task.result() if task.done() else await asyncio.shield(task)
        except SourceError:
            if self._robots.get(root) is reading:
                del self._robots[root]  # ask again with the next item
            raise
        if rules is _NO_RULES:
            return
        if not rules.can_fetch(str(url), ROBOT_NAME):
            raise SourceBlockedError("the host's robots.txt forbids this address", url=str(url))
        if delay := rules.crawl_delay(ROBOT_NAME):
            asker.host.pace.slow_to(float(delay))

    async def _read_robots(self, root: str, asker: Asking[Any]) -> Protego:
        """Read robots.txt as RFC 9309 says: 4xx allows everything, 5xx allows nothing."""
        usage = Usage()  # the rules are read to the end, whoever asked for them first
        host = asker.host
        is_own = root == self.origin(host).root
        host = replace(host, item_pace=None) if is_own else host.elsewhere(root)
        alone = HttpAsk(self, host, None, usage, 0)
        try:
            page = await alone.request(
                Address(f"{root}/robots.txt", "/robots.txt"),
                name="robots.txt",
                accept=lambda page: page.status < 500,
            )
        except (SourceRejectedError, SourceBlockedError):  # 401, 403, a wall: no rules to be had
            return _NO_RULES
        finally:
            self._origins.pop(host, None)  # nobody asks with this one again
            asker.usage.count(usage.requests, usage.refused)
        is_rules = page.status == 200 and "html" not in page.content_type
        return Protego.parse(page.body.decode("utf-8", "replace")) if is_rules else _NO_RULES


class _Reading(NamedTuple):
    """A robots.txt that is read, or was, and when that began."""

    task: asyncio.Task[Protego]
    began_at: float


_NO_RULES = Protego.parse("")


class HttpAsk(Asking[Address]):
    """What a source asks with, for one item; implements :class:`propkit.sources._base.Ask`."""

    def __init__(
        self,
        client: HttpClient,
        host: Host,
        jar: aiohttp.CookieJar | None,
        usage: Usage,
        rank: int,
    ) -> None:
        super().__init__(host, usage, rank, client.retry)
        self._client = client
        self._jar = jar

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
        url = await self.allowed(path, params)
        page = await self.request(url, name=name, expect=expect, accept=accept)
        self.pages.append(page)
        return page

    async def post_form(
        self, path: str, *, name: str, form: Mapping[str, str], expect: Expect = "json"
    ) -> Page:
        """Get one page by posting a form, which changes nothing; see ``FormAsk``."""
        url = await self.allowed(path, None)
        page = await self.request(url, name=name, expect=expect, body=urlencode(form).encode())
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
        url = await self.allowed(path, params)
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

    def address(self, path: str, params: Mapping[str, str] | None) -> Address:
        """Return the address of a path at the host."""
        return self._client.origin(self.host).address(path, params)

    async def check_robots(self, url: object) -> None:
        """Raise ``SourceBlockedError`` when the host's robots.txt forbids the address."""
        await self._client.check_robots(url, self._client.origin(self.host).root, self)

    async def request(
        self,
        address: Address,
        *,
        name: str,
        expect: Expect | None = None,
        accept: Callable[[Page], bool] | None = None,
        body: object = None,
        is_sent_once: bool = False,
    ) -> Page:
        """Ask, or post ``body``, until an answer is good, accepted, or cannot heal."""

        def ask_once(pause: float, is_last: bool) -> Awaitable[Page | Failure]:  # noqa: FBT001
            return self._try(address, name, expect, accept, pause=pause, body=body, is_last=is_last)

        return await self.until_good(address, name, ask_once, is_sent_once=is_sent_once)

    async def _try(
        self,
        address: Address,
        name: str,
        expect: Expect | None,
        accept: Callable[[Page], bool] | None,
        *,
        pause: float,
        body: object,
        is_last: bool,
    ) -> Page | Failure:
        """Ask once; every foreign exception ends here."""
        self.had_no_effect = True
        try:
            page, seconds, retry_after = await self._follow(address, name, pause, body)
        except SourceError as refusal:
            return Failure(refusal)
        except TimeoutError:
            return Failure(SourceTimeoutError(f"{name}: no answer in time", url=address.text))
        except aiohttp.ClientPayloadError:
            return Failure(
                InvalidAnswerError(f"{name}: the answer was cut short", url=address.text)
            )
        except aiohttp.ClientConnectorError as cause:
            self.had_no_effect = True
            why = f"cannot connect to {cause.host}: {cause.os_error.strerror or 'no such host'}"
            return Failure(SourceUnavailableError(f"{name}: {why}", url=address.text))
        except aiohttp.ClientError as cause:
            text = f"{name}: {type(cause).__name__}: {cause}"
            return Failure(SourceUnavailableError(text, url=address.text))
        self.had_no_effect = page.status in answers.NO_EFFECT
        error = answers.judge(page, expect, accept, is_last=is_last)
        if error is None:
            self.host.pace.succeed(seconds)
            return page
        return Failure(error, page, retry_after)

    async def _follow(
        self, start: Address, name: str, pause: float, body: object
    ) -> tuple[Page, float, float | None]:
        """Ask once, following redirects, as far as the host may lead; each takes a place of the pace.

        Returns the page, the seconds of the last hop, from its start to the end of its body, and
        those of its Retry-After. A host that refuses without one is left alone for ``pause``.
        """
        address, origin = start, self._client.origin(self.host)
        for _ in range(_MAX_REDIRECTS):
            async with self.place(address) as started_at:
                asked_at = time.monotonic()
                answer = await self._client.exchange.ask(
                    origin, address, name=name, jar=self._jar, body=body
                )
                seconds, asked = time.monotonic() - asked_at, None
                if answer.status in REFUSALS:  # before the place goes to the next in turn
                    asked = answers.read_retry_after(answer.retry_after, datetime.now(UTC))
                    self.host.pace.pause(pause if asked is None else asked, started_at)
                    self.usage.refused += 1
            self.note_received(address, len(answer.body), seconds)
            if answer.location and body is None and answer.status in answers.REDIRECTS:
                url = answers.read_redirect(
                    start.url,
                    address.url,
                    answer.location,
                    name,
                    may_lead_away=self.host.may_lead_away,
                )
                host, root = self.host, str(url.origin())
                if url.host != start.url.host:
                    host = host.elsewhere(root)
                    if host.obey_robots and not url.path.endswith("/robots.txt"):
                        await self._client.check_robots(url, root, self)
                address, origin = Address.of(url), Origin(url, host.headers)
                continue
            page = Page(
                name=name,
                url=address.text,
                fetched_at=datetime.now(UTC),
                status=answer.status,
                content_type=answer.content_type,
                body=answer.body,
            )
            return page, seconds, asked
        raise InvalidAnswerError(f"{name}: more than {_MAX_REDIRECTS} redirects", url=start.text)
