"""One browser process: opened, counted, measured, asked whether it is alive, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from propkit.browser import Browser as Found
from propkit.sections import BrowsingSettings

if TYPE_CHECKING:
    from playwright.async_api import Browser, Playwright

    from propkit.browsing.memory import ProcessTree

log = logging.getLogger(__name__)

OPEN_SECONDS = 60.0
"""So long may a browser take to open, or to open a page."""
_NO_SPARE_PROCESS = "--renderer-process-limit=1"
"""Chromium opens a process ahead of each navigation and throws most of them away: a fifth of the
CPU. At its limit it does not. Contexts share no process at any limit, so each page keeps its own."""
_END_SECONDS = 5.0
_ANSWER_SECONDS = 15.0


class Engine:
    """A browser that pages are opened in.

    ``pages`` are open, ``items`` were read so far; ``closed_near`` pages in a row were closed while
    the browsers' memory was near its ceiling.
    """

    def __init__(self, browser: Browser, tree: ProcessTree) -> None:
        self.browser = browser
        self.tree = tree
        self.pages = 0
        self.items = 0
        self.bytes = 0
        self.grown_bytes = 0
        self._is_exact = False
        self.closed_near = 0
        self.is_retired = False

    @classmethod
    async def open(cls, playwright: Playwright, found: Found, settings: BrowsingSettings) -> Engine:
        """Open a browser; what goes wrong is Playwright's own error."""
        from propkit.browsing.memory import ProcessTree  # here: without a browser nobody needs it

        options = found.launch_options()
        options["headless"] = not settings.headed
        # A page that takes twice its share ends by itself, before it takes everything.
        heap = f"--js-flags=--max-old-space-size={2 * settings.page_memory_mb}"
        options["args"] = [*options["args"], heap, _NO_SPARE_PROCESS]
        browser = await playwright.chromium.launch(timeout=OPEN_SECONDS * 1000, **options)
        session = await browser.new_browser_cdp_session()
        told = await session.send("SystemInfo.getProcessInfo")
        await session.detach()
        (pid,) = (one["id"] for one in told["processInfo"] if one["type"] == "browser")
        log.info("browser %s opened, process %d", browser.version, pid)
        engine = cls(browser, ProcessTree(pid))
        await engine.measure(is_exact=False)
        return engine

    @property
    def is_alive(self) -> bool:
        """Whether the browser is there, as far as anybody has heard."""
        return self.browser.is_connected() and self.tree.is_running

    async def answers(self) -> bool:
        """Return whether the browser says something when it is asked; one that hangs does not."""
        from playwright.async_api import Error

        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                session = await self.browser.new_browser_cdp_session()
                await session.send("Browser.getVersion")
                await session.detach()
        except (Error, TimeoutError):
            return False
        return True

    async def measure(self, *, is_exact: bool) -> None:
        """Look what the browser's processes hold: exactly, or about so much."""
        look = self.tree.measure if is_exact else self.tree.estimate
        before, self.bytes = self.bytes, await asyncio.to_thread(look)
        # An estimate and a measure are not to be compared.
        self.grown_bytes = max(0, self.bytes - before) if is_exact and self._is_exact else 0
        self._is_exact = is_exact

    async def end(self) -> None:
        """Close the browser; one that does not close is killed."""
        from playwright.async_api import Error

        with contextlib.suppress(Error, TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await self.browser.close()
        self.tree.kill()

    def kill(self) -> None:
        """End the browser at once, with every page that is open in it."""
        self.is_retired = True
        self.bytes = self.grown_bytes = 0
        self.tree.kill()
