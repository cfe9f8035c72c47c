"""Pages of browsers, lent to one item each: few, recycled, healed, and never left behind.

Lives in one event loop, that of the collector. A browser is opened when the first page is asked
for. Pages and browsers are closed for new ones by count and by memory. When the browsers together
near their ceiling pages are not used again; when they reach it, the largest is killed, and what was
open in it is asked again in another, with one page less at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING

from propkit.browser import Browser as Found
from propkit.browser import find_browser
from propkit.browsing.engine import OPEN_SECONDS, Engine
from propkit.browsing.slot import Identity, Slot
from propkit.errors import BrowserNotFoundError, SourceUnavailableError
from propkit.sections import BrowsingSettings

if TYPE_CHECKING:
    from playwright.async_api import Playwright

log = logging.getLogger(__name__)

_MIB = 2**20
_WATCH_SECONDS, _CLOSE_WATCH_SECONDS = 0.5, 0.05
_NEAR, _REACHED = 0.5, 0.9
"""Shares of the ceiling: from the first on pages are closed after their item and the watch is
close, at the second a browser is killed before the next look can find it above."""
_OPEN_TRIES = 3
_STOP_SECONDS = 5.0


class BrowserPool:
    """Lends pages. ``path`` is the browser's, where the settings name one."""

    def __init__(self, settings: BrowsingSettings, path: Path | None = None) -> None:
        self.settings = settings
        self.engines: list[Engine] = []
        self.most_bytes = 0
        """The most memory that the browsers were found to hold."""
        self.path = path
        self._found: Found | None = None
        self._playwright: Playwright | None = None
        self._idle: list[Slot] = []
        self._lent: set[Slot] = set()
        self._turns = asyncio.Semaphore(settings.pages)
        self._opening = asyncio.Lock()
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self._is_closed = False
        self._pages = settings.pages
        self._owed = 0

    async def lend(self, identity: Identity) -> Slot:
        """Return a page that nobody else uses, as good as new; wait for one when all are lent.

        Raises
        ------
        SourceUnavailableError
            No browser can be opened; the message says why.
        """
        await self._turns.acquire()
        try:
            slot = self._take_idle(identity) or await self._open(identity)
        except BaseException:
            self._turns.release()
            raise
        self._lent.add(slot)
        return slot

    def give_back(self, slot: Slot, *, is_good: bool) -> None:
        """Take a page back; one that is not good is closed."""
        self._lent.discard(slot)
        self._start(self._take_back(slot, is_good=is_good))

    async def close(self) -> None:
        """Close every page and browser; none of their processes is left."""
        self._is_closed = True
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*[engine.end() for engine in self.engines])
        self.engines.clear()
        self._idle.clear()
        await self._stop_playwright()

    # --- pages ----------------------------------------------------------------------------------

    def _take_idle(self, identity: Identity) -> Slot | None:
        for slot in self._idle:
            if slot.identity == identity and not slot.is_lost:
                self._idle.remove(slot)
                return slot
        if self._idle:  # another name, or lost: its place is wanted
            self._drop(self._idle.pop(0))
        return None

    async def _open(self, identity: Identity) -> Slot:
        from playwright.async_api import Error

        why = ""
        for _ in range(_OPEN_TRIES):
            async with self._opening:
                engine = await self._choose_engine()
                engine.pages += 1
            try:
                async with asyncio.timeout(OPEN_SECONDS):
                    return await Slot.open(engine, identity, self.settings)
            except (Error, TimeoutError) as error:
                why = str(error).partition("\n")[0] or "it does not answer"
                log.warning("browser %d opens no page: %s", engine.tree.pid, why)
                engine.pages -= 1
                engine.kill()
                self._retire(engine)
            except BaseException:
                engine.pages -= 1
                raise
        raise SourceUnavailableError(f"the browser opens no page: {why}")

    async def _take_back(self, slot: Slot, *, is_good: bool) -> None:
        engine, settings = slot.engine, self.settings
        try:
            slot.items += 1
            engine.items += 1
            # Closed pages give their memory back; where that is not enough the browser holds it.
            engine.closed_near = engine.closed_near + 1 if self._is_near() else 0
            is_full = engine.closed_near > settings.pages
            if is_full or engine.items >= settings.items_per_browser or not engine.is_alive:
                self._retire(engine)
            is_kept = (
                is_good
                and not engine.is_retired
                and not engine.closed_near
                and slot.items < settings.items_per_page
                and await slot.wipe(most_heap_bytes=settings.page_memory_mb * _MIB)
            )
            if is_kept and not engine.is_retired and not self._is_closed:
                self._idle.append(slot)
            else:
                await self._close(slot)
        finally:
            if self._owed:
                self._owed -= 1
            else:
                self._turns.release()

    def _drop(self, slot: Slot) -> None:
        self._start(self._close(slot))

    async def _close(self, slot: Slot) -> None:
        await slot.close()
        slot.engine.pages -= 1
        self._end_if_empty(slot.engine)

    # --- browsers -------------------------------------------------------------------------------

    async def _choose_engine(self) -> Engine:
        """Return the browser with the fewest pages, opened when there is none or all have some."""
        while self.engines and self._is_near() and any(one.is_retired for one in self.engines):
            # Before a new one takes its share the one that holds too much has to be gone.
            self._changed.clear()
            await self._changed.wait()
        for engine in self.engines:
            if not engine.is_alive:
                self._retire(engine)
        usable = [engine for engine in self.engines if not engine.is_retired]
        is_wanted = len(usable) < self.settings.browsers and all(one.pages for one in usable)
        if is_wanted:
            usable.append(await self._open_engine())
            self.engines.append(usable[-1])
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._keep_watch())
        return min(usable, key=lambda one: one.pages)

    async def _open_engine(self) -> Engine:
        from playwright.async_api import Error

        for is_last in (False, True):
            try:
                playwright, found = await self._start_playwright()
                return await Engine.open(playwright, found, self.settings)
            except BrowserNotFoundError as error:
                raise SourceUnavailableError(str(error)) from error
            except Error as error:
                # Playwright's own process may have died with the last browser.
                await self._stop_playwright()
                if is_last:
                    why = error.message.partition("\n")[0]
                    raise SourceUnavailableError(f"the browser does not open: {why}") from error
        raise AssertionError("unreachable")  # pragma: no cover

    async def _start_playwright(self) -> tuple[Playwright, Found]:
        from playwright.async_api import async_playwright

        if self._found is None:
            self._found = await asyncio.to_thread(find_browser, self.path)
            if reason := self._found.no_sandbox_reason:
                log.warning("Chromium runs without its sandbox: %s", reason)
        if self._playwright is None:
            self._playwright = await async_playwright().start()
        return self._playwright, self._found

    async def _stop_playwright(self) -> None:
        playwright, self._playwright = self._playwright, None
        if playwright is None:
            return  # without a page there was no need to load it, which takes 0.3 s of CPU
        from playwright.async_api import Error

        with contextlib.suppress(Error, TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await playwright.stop()

    def _retire(self, engine: Engine) -> None:
        """Give a browser no more items; it is ended with the last that it has."""
        engine.is_retired = True
        for slot in [one for one in self._idle if one.engine is engine]:
            self._idle.remove(slot)
            self._drop(slot)
        self._end_if_empty(engine)

    def _end_if_empty(self, engine: Engine) -> None:
        if engine.is_retired and not engine.pages and engine in self.engines:
            self.engines.remove(engine)
            self._start(self._end(engine))

    async def _end(self, engine: Engine) -> None:
        await engine.end()
        log.info("browser %d ended after %d items", engine.tree.pid, engine.items)
        self._changed.set()

    # --- the watch ------------------------------------------------------------------------------

    async def _keep_watch(self) -> None:
        clock = asyncio.get_running_loop().time
        used_at = clock()
        while self.engines:
            await asyncio.sleep(_CLOSE_WATCH_SECONDS if self._is_near() else _WATCH_SECONDS)
            if self._lent or self._tasks:
                used_at = clock()
            for engine in list(self.engines):
                if not engine.is_alive:
                    self._retire(engine)
                else:
                    await engine.measure(is_exact=self._is_near())
            self._keep_ceiling()
            if clock() - used_at >= self.settings.idle_seconds:
                for engine in list(self.engines):
                    self._retire(engine)

    def _keep_ceiling(self) -> None:
        total = self._bytes()
        self.most_bytes = max(self.most_bytes, total)
        ceiling = self.settings.memory_mb * _MIB
        # What came since the last look may come again until the next.
        grown = sum(engine.grown_bytes for engine in self.engines)
        if total and total + grown >= _REACHED * ceiling:
            largest = max(self.engines, key=lambda one: one.bytes)
            log.warning(
                "browser %d is killed: browsers hold %d of %d MiB (memory_mb), with %d pages",
                largest.tree.pid, total // _MIB, self.settings.memory_mb, largest.pages,
            )  # fmt: skip
            largest.kill()
            self._retire(largest)
            if self._pages > 1 and largest.pages > 1:
                # So many at once are too many: the same ones would come to the same end.
                self._pages -= 1
                self._owed += 1

    def _bytes(self) -> int:
        return sum(engine.bytes for engine in self.engines)

    def _is_near(self) -> bool:
        return self._bytes() >= _NEAR * self.settings.memory_mb * _MIB

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
