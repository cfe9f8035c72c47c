"""One account's own page, worked in step by step, where every step proves its result.

A source opens pages and reads them; a poster fills a form in and presses buttons whose effect
cannot be taken back. So nothing here is done and hoped for: a box is read after it was filled in,
a choice is looked at after it was made, and what is not there is an error that names it.

An element is named by the text that errors use and found by the first of several selectors that
is visible, so that a site's older and newer forms can stand in one table.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from yarl import URL

from propkit.browsing.navigation import explain
from propkit.browsing.pool import BrowserPool
from propkit.browsing.slot import Identity, Slot
from propkit.errors import LayoutChangedError, PostingError

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page, Request

Selectors = Sequence[str]
"""Where an element is found: Playwright's selectors, CSS among them, the one to prefer first."""

_PICTURE_SECONDS = 5.0
_QUICK_SECONDS = 0.5
_MOST_GOES = 10


class Window:
    """A page of one account in a session of its own; an async context manager.

    ``state`` is the file in which the login is kept (cookies and what the site stores), readable
    by its owner only. ``seconds`` is how long a step may take.

    Every method raises `BrowserLostError` where the browser is gone, and a `SourceError` that says
    what did not happen in time.
    """

    def __init__(
        self,
        pool: BrowserPool,
        base_url: str,
        *,
        identity: Identity = (),
        state: Path | None = None,
        seconds: float = 30.0,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.seconds = seconds
        self._pool = pool
        self._identity = identity
        self._state = state
        self._slot: Slot | None = None
        self._later: asyncio.Task[None] | None = None
        self.is_cut = asyncio.Event()
        """Set when a page did not come, because its connection was cut."""

    async def open(self) -> None:
        """Open the page, logged in as the last time; one that was lost is opened anew."""
        if self._slot is not None:
            if not self._slot.is_lost:
                return
            self._pool.give_back(self._slot, is_good=False)
            self._slot = None
        slot = await self._pool.lend(self._identity)
        self._slot = slot
        async with self.mapped("the window"):
            await slot.let_all_pass()
        slot.page.set_default_timeout(self.seconds * 1000)
        slot.page.on("requestfailed", self._note_failed)
        if self._state is not None and self._state.is_file():
            kept = json.loads(self._state.read_text("utf-8"))
            async with self.mapped("the kept login"):
                await slot.context.set_storage_state(kept)

    async def close(self) -> None:
        """Close the page; its session is over."""
        await self.settle()
        slot, self._slot = self._slot, None
        if slot is not None:
            self._pool.give_back(slot, is_good=False)

    async def keep_login(self) -> None:
        """Write cookies and the site's storage to the file, at once or not at all."""
        if self._state is None:
            return
        async with self.mapped("the login"):
            kept = await self.page.context.storage_state()
        self._state.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = self._state.with_suffix(".new")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(kept, file)
        beside.replace(self._state)

    @property
    def url(self) -> str:
        """The address that the page has now."""
        return self.page.url

    # --- going and looking ----------------------------------------------------------------------

    async def go(self, path: str) -> None:
        """Open a path of the site, or a whole address of it."""
        address = path if path.startswith("http") else f"{self.base_url}{path}"
        self.is_cut.clear()
        from playwright.async_api import Error

        # A page asked for while its guard is being taken off may be held for ever by Chromium.
        await self.settle()
        async with self.mapped(path):
            for attempt in range(1, _MOST_GOES + 1):
                try:
                    await self.page.goto(address, wait_until="domcontentloaded")
                except Error as error:
                    is_last = attempt == _MOST_GOES
                    if is_last or "interrupted by another navigation" not in error.message:
                        raise
                    # The page before was just going somewhere by itself: let it arrive.
                    await self.page.wait_for_load_state("domcontentloaded")
                else:
                    return

    async def first_of(
        self, elements: Mapping[str, Selectors], *, seconds: float | None = None
    ) -> str:
        """Wait until one of some elements can be seen and return its name.

        Where several can be, it is the first in the mapping's order.

        Raises
        ------
        LayoutChangedError
            None comes in time: the page is not the one that is known.
        """
        from playwright.async_api import TimeoutError as PlaywrightTimeoutError

        name = next(iter(elements))
        if await self.is_there_soon(elements[name]):
            # What is wanted first mostly is, and looking for all of them costs the page time.
            return name
        found = {name: self.locate(selectors) for name, selectors in elements.items()}
        either, *others = found.values()
        for other in others:
            either = either.or_(other)
        most = self.seconds if seconds is None else seconds
        async with self.mapped(" or ".join(elements)):
            try:
                await either.filter(visible=True).first.wait_for(timeout=most * 1000)
            except PlaywrightTimeoutError as error:
                await self.check_alive(error)
                text = f"the page shows none of: {', '.join(elements)}"
                raise LayoutChangedError(text, url=self.url) from error
            for name, locator in found.items():
                if await locator.filter(visible=True).count():
                    return name
        return next(iter(elements))  # gone again; the next step will tell

    async def is_visible(self, selectors: Selectors) -> bool:
        """Whether one of such elements can be seen now."""
        async with self.mapped("an element"):
            return bool(await self.locate(selectors).filter(visible=True).count())

    async def text(self, selectors: Selectors) -> str:
        """Return the text of the first element that can be seen; empty where none is."""
        async with self.mapped("a text"):
            texts = await self.locate(selectors).filter(visible=True).all_inner_texts()
        return " ".join(texts[0].split()) if texts else ""

    async def texts(self, selectors: Selectors) -> list[str]:
        """Return the texts of all such elements that can be seen."""
        async with self.mapped("texts"):
            found = await self.locate(selectors).filter(visible=True).all_inner_texts()
        return [" ".join(one.split()) for one in found]

    async def rows(self, selector: str, parts: Mapping[str, str]) -> list[dict[str, str]]:
        """Return a list's rows: the text, or for a link the address, of each row's parts (CSS)."""
        script = """(rows, parts) => rows.map(row => Object.fromEntries(
            Object.entries(parts).map(([name, selector]) => {
                const part = row.querySelector(selector)
                return [name, !part ? '' : name === 'url' ? part.href : part.innerText.trim()]
            })))"""
        async with self.mapped("a list"):
            found = await self.page.locator(selector).evaluate_all(script, dict(parts))
        return cast("list[dict[str, str]]", found)

    # --- doing ----------------------------------------------------------------------------------

    async def press(self, name: str, selectors: Selectors, *, text: str | None = None) -> None:
        """Click an element; with `text` the one of them that has it."""
        async with self.mapped(name):
            locator = self.locate(selectors).filter(visible=True)
            if text is not None:
                locator = locator.filter(has_text=exactly(text))
            await locator.first.click(no_wait_after=True)

    async def is_there_soon(self, selectors: Selectors) -> bool:
        """Whether an element can be seen now or soon."""
        from playwright.async_api import TimeoutError as PlaywrightTimeoutError

        async with self.mapped("an element"):
            with contextlib.suppress(PlaywrightTimeoutError):
                found = self.locate(selectors).filter(visible=True).first
                await found.wait_for(timeout=_QUICK_SECONDS * 1000)
                return True
        return False

    async def write(
        self, name: str, selectors: Selectors, text: str, *, is_secret: bool = False
    ) -> None:
        """Put a text into a box and see that it stands there; no error shows a secret one.

        Raises
        ------
        PostingError
            The box did not take its value; the message names the field.
        """
        from playwright.async_api import Error

        failure: Error | None = None
        got = ""
        try:
            box = self.locate(selectors).first
            await box.fill(text)
            got = await box.input_value()
        except Error as error:
            failure = error
        if failure is not None and not is_secret:
            async with self.mapped(name):
                raise failure
        if got != text:
            # Playwright's own message would have the secret in it.
            shown = "its value" if is_secret else f"{text!r}: it holds {got!r}"
            raise PostingError(f"the field {name} did not take {shown}")

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something of no consequence while the work goes on; :meth:`settle` waits for it."""
        self._later = asyncio.create_task(work)

    async def settle(self) -> None:
        """Wait for what was to be done :meth:`later`; what takes longer than a page is left."""
        later, self._later = self._later, None
        if later is None:
            return
        await asyncio.wait({later}, timeout=self.seconds)
        later.cancel()
        await asyncio.gather(later, return_exceptions=True)

    async def picture(self) -> bytes | None:
        """Return what the window shows, as JPEG; None where that cannot be had."""
        from playwright.async_api import Error

        if self._slot is None or self._slot.is_lost:
            return None
        with contextlib.suppress(Error, TimeoutError):
            async with asyncio.timeout(_PICTURE_SECONDS):
                return await self.page.screenshot(type="jpeg", quality=60, full_page=True)
        return None

    # --- within ---------------------------------------------------------------------------------

    @property
    def page(self) -> Page:
        """The page itself."""
        if self._slot is None:
            raise RuntimeError("the window is not open")
        return self._slot.page

    def locate(self, selectors: Selectors) -> Locator:
        """Return what any of the selectors finds."""
        first, *others = selectors
        found = self.page.locator(first)
        for other in others:
            found = found.or_(self.page.locator(other))
        return found

    @asynccontextmanager
    async def mapped(self, name: str) -> AsyncIterator[None]:
        """Let every foreign exception end here."""
        from playwright.async_api import Error

        slot = self._slot
        if slot is None:
            raise RuntimeError("the window is not open")
        try:
            yield
        except (Error, TimeoutError) as failure:
            raise await explain(slot, failure, URL(slot.page.url), name) from failure

    async def check_alive(self, failure: Any) -> None:
        """Raise where it was the browser that is gone, and no element."""
        if self._slot is not None:
            await explain(self._slot, failure, URL(self._slot.page.url), "the page")

    def _note_failed(self, request: Request) -> None:
        is_main = request.is_navigation_request() and request.frame.parent_frame is None
        if is_main and request.failure != "net::ERR_ABORTED":  # that one was left for another page
            self.is_cut.set()


def exactly(text: str) -> re.Pattern[str]:
    """Return a pattern for a whole text, blanks around it and its case left aside."""
    return re.compile(rf"^\s*{re.escape(text)}\s*$", re.IGNORECASE)
