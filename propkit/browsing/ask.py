"""What a source asks with where a browser is the way in: paced, retried, errors mapped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

from yarl import URL

from propkit import answers
from propkit.asking import REFUSALS, Asking, Failure, Host
from propkit.browsing.engine import OPEN_SECONDS
from propkit.browsing.navigation import (
    LOOK_AT_FORM,
    Act,
    explain,
    go_to,
    lose,
    open_page,
    press_button,
    wait_for,
    wait_for_quiet,
)
from propkit.browsing.pool import BrowserPool
from propkit.browsing.slot import Slot
from propkit.errors import (
    BrowserLostError,
    InvalidAnswerError,
    LayoutChangedError,
    SourceError,
    SourceUnavailableError,
)
from propkit.evidence import MOST_HTML_BYTES, MOST_SCREENSHOT_BYTES, RENDERED, Sight
from propkit.http_client import HttpClient
from propkit.items import RetryPolicy
from propkit.pages import Expect, Page
from propkit.usage import Usage

_SIGHT_SECONDS = 5.0
_SETTLE_MS = 2_000


class BrowserAsk(Asking[URL]):
    """Opens pages for one item, all in one session that nobody else has.

    A main navigation takes a place of the host's pace, and so does each redirect (after it) and
    each request for data (XHR, fetch) that a page makes by itself; its scripts and styles take
    none, images, fonts and media are not loaded.
    """

    def __init__(
        self,
        pool: BrowserPool,
        client: HttpClient,
        host: Host,
        usage: Usage,
        *,
        rank: int,
        retry: RetryPolicy,
        request_timeout: float,
    ) -> None:
        super().__init__(host, usage, rank, retry)
        self._pool = pool
        self._client = client
        self._seconds = request_timeout
        self._slot: Slot | None = None
        self._refused: SourceError | None = None

    async def __aenter__(self) -> Self:
        """Return what asks; leaving gives the page back."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Give the page back, to be wiped; after an error it is closed."""
        slot, self._slot = self._slot, None
        if slot is not None:
            self._pool.give_back(slot, is_good=kind is None)

    async def check_robots(self, url: URL) -> None:
        """Raise ``SourceBlockedError`` when the host's robots.txt forbids the address."""
        await self._client.check_robots(url, str(url.origin()), self)

    def address(self, path: str, params: Mapping[str, str] | None) -> URL:
        """Return the address of a path at the host."""
        return self._client.origin(self.host).address(path, params).url

    async def get(
        self,
        path: str,
        *,
        name: str,
        params: Mapping[str, str] | None = None,
        expect: Expect = "html",
        accept: Callable[[Page], bool] | None = None,
    ) -> Page:
        """Open one page; its body is the answer as it came."""
        page = await self._get(path, params, name, expect, accept, ready=None)
        self.pages.append(page)
        return page

    async def render(
        self,
        path: str,
        *,
        name: str,
        ready: str,
        params: Mapping[str, str] | None = None,
    ) -> Page:
        """Open a page that scripts fill; its body is the HTML once ``ready`` (CSS) is there."""
        page = await self._get(path, params, name, "html", None, ready=ready)
        self.pages.append(page)
        return page

    async def submit(
        self,
        path: str,
        *,
        name: str,
        fields: Mapping[str, str],
        button: str,
        accept: Callable[[Page], bool] | None = None,
    ) -> Page:
        """Open a page with a form, fill it in, press the button and return the page behind it.

        Parameters
        ----------
        path
            Of the page with the form, relative to the source's ``base_url``.
        name
            That of the page behind the form; the form's own page is not kept.
        fields
            Texts by the box's selector (CSS); one that is empty is cleared.
        button
            The selector of what is pressed, whatever kind of element it is.
        accept
            As for :meth:`get`.

        Raises
        ------
        LayoutChangedError
            The page has no such box or button.
        """
        start = await self.allowed(path, None)

        async def ask_once(pause: float, is_last: bool) -> Page | Failure:  # noqa: FBT001
            opened = await self._try(start, f"{name} (form)", go_to(start), pause, is_last=is_last)
            if isinstance(opened, Failure):
                return opened
            try:
                await self._check_form(name, (*fields, button))
            except BrowserLostError:
                raise
            except SourceError as error:
                return Failure(error, opened)
            press = press_button(fields, button)
            return await self._try(start, name, press, pause, accept=accept, is_last=is_last)

        page = await self.until_good(start, name, ask_once)
        self.pages.append(page)
        return page

    async def look(self, failure: SourceError) -> Sight:
        """Return what is to be seen of a failed item; what the browser can not show is left out."""
        seen = await super().look(failure)
        slot = self._slot
        if slot is None:
            return seen
        screenshot, html = None, None
        if not slot.is_lost:
            from playwright.async_api import Error

            with contextlib.suppress(Error, TimeoutError):
                async with asyncio.timeout(_SIGHT_SECONDS):
                    with contextlib.suppress(Error):
                        await slot.page.wait_for_load_state("load", timeout=_SETTLE_MS)
                    html = (await slot.page.content()).encode("utf-8", "replace")
                    screenshot = await slot.page.screenshot(type="jpeg", quality=60)
        page = seen.page
        if html is not None and slot.page.url.startswith("http"):
            page = Page(
                name=RENDERED,
                url=slot.page.url,
                fetched_at=datetime.now(UTC),
                status=seen.status or 0,
                content_type="text/html; charset=utf-8",
                body=html[:MOST_HTML_BYTES],
            )
            self.pages.append(page)
        is_small = screenshot is not None and len(screenshot) <= MOST_SCREENSHOT_BYTES
        return Sight(
            url=page.url if page is not None else seen.url,
            seen_at=datetime.now(UTC),
            status=seen.status,
            page=page,
            screenshot=screenshot if is_small else None,
            console=tuple(slot.console),
        )

    # --- one page -------------------------------------------------------------------------------

    async def _get(
        self,
        path: str,
        params: Mapping[str, str] | None,
        name: str,
        expect: Expect,
        accept: Callable[[Page], bool] | None,
        *,
        ready: str | None,
    ) -> Page:
        url = await self.allowed(path, params)

        async def ask_once(pause: float, is_last: bool) -> Page | Failure:  # noqa: FBT001
            return await self._try(
                url, name, go_to(url), pause,
                expect=expect, accept=accept, is_last=is_last, ready=ready,
            )  # fmt: skip

        return await self.until_good(url, name, ask_once)

    async def _try(
        self,
        url: URL,
        name: str,
        act: Act,
        pause: float,
        *,
        is_last: bool,
        expect: Expect = "html",
        accept: Callable[[Page], bool] | None = None,
        ready: str | None = None,
    ) -> Page | Failure:
        """Open a page once; every foreign exception ends here.

        Raises
        ------
        BrowserLostError
            The browser is gone, and the session with it: the item is to be started again.
        """
        from playwright.async_api import Error

        slot = await self._page()
        self.had_no_effect, self._refused = True, None
        slot.data_answers.clear()
        if ready is not None:
            slot.watch_data()
        try:
            async with self.place(url) as started_at:
                opened = await open_page(slot, url, name, act, self._seconds)
                self.note_received(url, len(opened.page.body), opened.seconds)
                if opened.page.status in REFUSALS:
                    asked = opened.retry_after
                    self.host.pace.pause(pause if asked is None else asked, started_at)
                    self.usage.refused += 1
            for _ in range(opened.redirects):  # each was a request of its own, made by the browser
                async with self.place(url):
                    pass
            page = opened.page
            self.had_no_effect = page.status in answers.NO_EFFECT
            error = answers.judge(page, expect, accept, is_last=is_last)
            if error is None and ready is not None and page.status == 200:
                filled = await self._fill_in(slot, page, ready)
                if isinstance(filled, Failure):
                    return self._note_refusal(filled, pause)
                page = filled
                error = answers.judge(page, expect, accept, is_last=is_last)
        except SourceError as refusal:
            return Failure(refusal)
        except (Error, TimeoutError) as failure:
            error = await explain(slot, failure, url, name)
            if not slot.is_lost:
                await self._renew(slot)
            return Failure(error)
        if error is None:
            self.host.pace.succeed(opened.seconds)
            return page
        return Failure(error, page, opened.retry_after)

    def _note_refusal(self, failure: Failure, pause: float) -> Failure:
        """Let the host's pace rest where it refuses a page's data."""
        if failure.status in REFUSALS:
            asked = failure.retry_after
            now = asyncio.get_running_loop().time()
            self.host.pace.pause(pause if asked is None else asked, now)
            self.usage.refused += 1
        return failure

    async def _fill_in(self, slot: Slot, page: Page, ready: str) -> Page | Failure:
        """Wait until the page's scripts have filled it, and return it as it stands then.

        Where nothing moves any more and ``ready`` is not there, the parser has to say what it is.
        """
        async with asyncio.timeout(self._seconds):
            filled = asyncio.create_task(wait_for(slot, ready))
            quiet = asyncio.create_task(wait_for_quiet(slot))
            try:
                await asyncio.wait([filled, quiet], return_when=asyncio.FIRST_COMPLETED)
                for task in (filled, quiet):
                    if task.done():
                        task.result()
            finally:
                filled.cancel()
                quiet.cancel()
                await asyncio.gather(filled, quiet, return_exceptions=True)
            body = (await slot.page.content()).encode("utf-8", "replace")
        if self._refused is not None:
            raise self._refused
        page = replace(
            page,
            fetched_at=datetime.now(UTC),
            content_type="text/html; charset=utf-8",
            body=body,
        )
        for status, retry_after in slot.data_answers:
            if status is None or status >= 500 or status in answers.RETRIED_STATUSES:
                what = "no answer" if status is None else f"HTTP {status}"
                error = SourceUnavailableError(f"{page.name}: {what} to its data", url=page.url)
                asked = answers.read_retry_after(retry_after, datetime.now(UTC))
                return Failure(error, replace(page, status=status or page.status), asked)
        return page

    async def _check_form(self, name: str, selectors: tuple[str, ...]) -> None:
        """Raise unless the form is whole and may be sent where it goes."""
        from playwright.async_api import Error

        slot = await self._page()
        try:
            async with asyncio.timeout(self._seconds):
                missing, action, boxes = await slot.page.evaluate(LOOK_AT_FORM, list(selectors))
        except (Error, TimeoutError) as failure:
            raise await explain(slot, failure, URL(slot.page.url), name) from failure
        if len(missing) == len(selectors) and boxes < len(selectors) - 1:
            # No form by other names, but another page: it may be here the next time.
            raise InvalidAnswerError(f"{name}: the page has no such form", url=slot.page.url)
        if missing:
            text = f"{name}: the form has no {', '.join(missing)}"
            raise LayoutChangedError(text, url=slot.page.url)
        if self.host.obey_robots and action:
            await self.check_robots(URL(action))

    async def _page(self) -> Slot:
        """Return the item's page, lent with the first request."""
        if self._slot is None:
            left = self.stop_time()  # to wait for a page is no delay of the item's own
            identity = tuple(sorted(self.host.headers.items()))
            self._slot = await self._pool.lend(identity)
            self._slot.on_data = self._allow_data
            if left is not None:
                self.go_on(left)
        return self._slot

    async def _allow_data(self, url: str) -> None:
        """Let a page's own request for data wait for its place."""
        try:
            if self.host.obey_robots:
                await self.check_robots(URL(url))
            longest = self.retry.retry_after_max
            async with self.host.pace.place(longest, url=url, rank=self.rank):
                self.usage.spend()
        except SourceError as error:
            self._refused = error
            raise

    async def _renew(self, slot: Slot) -> None:
        """Go on in a new tab of the same session: what failed may still be under way in the old.

        A tab is the browser's to open: how long the office may take to answer does not count here.
        """
        from playwright.async_api import Error

        old = slot.page
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await slot.open_tab()
                await old.close()
        except (Error, TimeoutError) as error:
            lose(slot, error)
