"""The one HTTP client: every request to a county goes through here.

It keeps each host's pace, obeys robots.txt and Retry-After, says who it is, tries again what can
heal and maps every other outcome to an error of :mod:`propkit.errors`. It never tries to get
past a captcha, a challenge or a login: such a page is a ``SourceBlockedError``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

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
from propkit.items import RetryPolicy
from propkit.pages import Expect, Page
from propkit.usage import Usage

ROBOT_NAME = "propkit"
_MAX_REDIRECTS = 5
_MAX_BODY_BYTES = 64 * 2**20


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
        self.shared = self.session(aiohttp.DummyCookieJar())
        self._robots: dict[str, asyncio.Task[Protego]] = {}

    async def __aenter__(self) -> Self:
        """Return the client; leaving closes every connection."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        for task in self._robots.values():
            task.cancel()
        await self.shared.close()
        await self._connector.close()

    def ask(self, host: Host, usage: Usage, *, rank: int = 0) -> HttpAsk:
        """Give what one item asks with; a session-bound site gets cookies of its own.

        ``rank`` is the priority's.
        """
        if not host.is_session_bound:
            return HttpAsk(self, host, self.shared, usage, rank)
        # aiohttp's default jar drops the cookies of hosts that are IP addresses.
        return HttpAsk(self, host, self.session(aiohttp.CookieJar(unsafe=True)), usage, rank)

    def session(self, jar: aiohttp.abc.AbstractCookieJar) -> aiohttp.ClientSession:
        """Return a new session over the shared connections."""
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

    async def check_robots(self, url: URL, asker: Asking) -> None:
        """Raise ``SourceBlockedError`` when the host's robots.txt forbids the address."""
        root = str(url.origin())
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

    async def _read_robots(self, root: str, asker: Asking) -> Protego:
        """Read robots.txt as RFC 9309 says: 4xx allows everything, 5xx allows nothing."""
        usage = Usage()  # the rules are read to the end, whoever asked for them first
        alone = HttpAsk(self, replace(asker.host, item_pace=None), self.shared, usage, 0)
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


class HttpAsk(Asking):
    """What a source asks with, for one item; implements :class:`propkit.sources._base.Ask`."""

    def __init__(
        self,
        client: HttpClient,
        host: Host,
        session: aiohttp.ClientSession,
        usage: Usage,
        rank: int,
    ) -> None:
        super().__init__(host, usage, rank, client.retry)
        self._client = client
        self._session = session

    async def __aenter__(self) -> Self:
        """Return what asks; leaving forgets the cookies."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Forget the cookies of a session that was the item's own."""
        if self._session is not self._client.shared:
            await self._session.close()

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

    async def check_robots(self, url: URL) -> None:
        """Raise ``SourceBlockedError`` when the host's robots.txt forbids the address."""
        await self._client.check_robots(url, self)

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

        async def ask_once(pause: float, is_last: bool) -> Page | Failure:  # noqa: FBT001
            return await self._try(url, name, expect, accept, pause, body=body, is_last=is_last)

        return await self.until_good(url, name, ask_once, is_sent_once=is_sent_once)

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
    ) -> Page | Failure:
        """Ask once; every foreign exception ends here."""
        self.had_no_effect = True
        try:
            page, seconds, retry_after = await self._follow(url, name, pause, body)
        except SourceError as refusal:
            return Failure(refusal)
        except TimeoutError:
            return Failure(SourceTimeoutError(f"{name}: no answer in time", url=str(url)))
        except aiohttp.ClientPayloadError:
            return Failure(InvalidAnswerError(f"{name}: the answer was cut short", url=str(url)))
        except aiohttp.ClientConnectorError as cause:
            self.had_no_effect = True
            why = f"cannot connect to {cause.host}: {cause.os_error.strerror or 'no such host'}"
            return Failure(SourceUnavailableError(f"{name}: {why}", url=str(url)))
        except aiohttp.ClientError as cause:
            text = f"{name}: {type(cause).__name__}: {cause}"
            return Failure(SourceUnavailableError(text, url=str(url)))
        self.had_no_effect = page.status in answers.NO_EFFECT
        error = answers.judge(page, expect, accept, is_last=is_last)
        if error is None:
            self.host.pace.succeed(seconds)
            return page
        return Failure(error, page, retry_after)

    async def _follow(
        self, url: URL, name: str, pause: float, body: object
    ) -> tuple[Page, float, float | None]:
        """Ask once, following redirects within the host; each hop takes a place of the pace.

        Returns the page, the seconds of the last hop, from its start to the end of its body, and
        those of its Retry-After. A host that refuses without one is left alone for ``pause``.
        """
        start = url
        clock = asyncio.get_running_loop().time
        for _ in range(_MAX_REDIRECTS):
            async with self.place(url) as place:
                asked_at = clock()
                method, headers = "GET" if body is None else "POST", self.host.headers
                async with self._session.request(
                    method, url, headers=headers, json=body, allow_redirects=False
                ) as answer:
                    content = await _read_body(answer, name)
                seconds, headers, asked = clock() - asked_at, answer.headers, None
                if answer.status in REFUSALS:  # before the place goes to the next in turn
                    asked = answers.read_retry_after(headers.get("Retry-After"), datetime.now(UTC))
                    self.host.pace.pause(pause if asked is None else asked, place.started_at)
                    self.usage.refused += 1
            self.note_received(url, len(content), seconds)
            target = headers.get("Location") if answer.status in answers.REDIRECTS else None
            if target and body is None:
                url = answers.read_redirect(start, url, target, name)
                continue
            page = Page(
                name=name,
                url=str(url),
                fetched_at=datetime.now(UTC),
                status=answer.status,
                content_type=headers.get("Content-Type", ""),
                body=content,
            )
            return page, seconds, asked
        raise InvalidAnswerError(f"{name}: more than {_MAX_REDIRECTS} redirects", url=str(start))


async def _read_body(answer: aiohttp.ClientResponse, name: str) -> bytes:
    length = answer.content_length
    if (
        length is not None
        and length <= _MAX_BODY_BYTES
        and "Content-Encoding" not in answer.headers
    ):
        return await answer.read()
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise InvalidAnswerError(f"{name}: the answer is too large", url=str(answer.url))
    return bytes(body)
