"""One page of a browser in a context of its own, used by one item after the other.

Opening a context costs several times what a page costs, so a page is used again. Before that it
is wiped: no script of the old page runs any more, and cookies and everything that a site can store
are gone. A page that cannot be wiped for certain is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from yarl import URL

from propkit.browsing.engine import Engine
from propkit.errors import SourceError
from propkit.sections import BrowsingSettings

if TYPE_CHECKING:
    from playwright.async_api import (
        BrowserContext,
        CDPSession,
        ConsoleMessage,
        Frame,
        Page,
        Request,
        Response,
    )

Identity = tuple[tuple[str, str], ...]
"""The headers that every request of a page carries, the name of the browser among them."""

DataRequest = Callable[[str], Awaitable[None]]
"""What a page's own request for data waits for, given its address; an error refuses it."""

_DATA = ("XHR", "Fetch", "EventSource")
_DATA_TYPES = {kind.lower() for kind in _DATA}
_MOST_LINES, _LONGEST_LINE = 50, 500
_WIPE_SECONDS = 10.0
_BLANK = "/.well-known/propkit-blank"
_EMPTY_PAGE = "PCFkb2N0eXBlIGh0bWw+"  # <!doctype html>
_FORGET = "() => { sessionStorage.clear(); window.name = '' }"


class Slot:
    """A page and its context; see :meth:`open`.

    ``console`` has what the page complained of, oldest first; ``data_answers`` the status (None:
    none came) and the Retry-After of each answer to a request for data that it made by itself.
    """

    def __init__(self, engine: Engine, context: BrowserContext, identity: Identity) -> None:
        self.engine = engine
        self.context = context
        self.identity = identity
        self.items = 0
        self.console: deque[str] = deque(maxlen=_MOST_LINES)
        self.on_data: DataRequest | None = None
        self.is_crashed = False
        self.data_answers: list[tuple[int | None, str | None]] = []
        self.page: Page
        self._session: CDPSession
        self._origins: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._block: tuple[str, ...] = ()
        self._is_watching = False

    @classmethod
    async def open(cls, engine: Engine, identity: Identity, settings: BrowsingSettings) -> Slot:
        """Open a page in a new context; what goes wrong is Playwright's own error."""
        headers = dict(identity)
        context = await engine.browser.new_context(
            user_agent=headers.pop("User-Agent", None),
            extra_http_headers=headers,
            accept_downloads=False,
            service_workers="block",
        )
        slot = cls(engine, context, identity)
        slot._block = tuple(kind.capitalize() for kind in settings.block)
        await slot.open_tab()
        return slot

    async def open_tab(self) -> None:
        """Open a new tab in the same session, in place of one that a failure has spoilt."""
        self._is_watching = False
        self.page = page = await self.context.new_page()
        page.on("crash", self._note_crash)
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self._note(f"error: {error}"))
        page.on("framenavigated", self._note_frame)
        self._session = await self.context.new_cdp_session(page)
        self._session.on("Fetch.requestPaused", self._pause)
        kinds = (*self._block, *_DATA, "Ping")
        patterns: list[dict[str, str]] = [{"resourceType": kind} for kind in kinds]
        patterns.append({"urlPattern": f"*{_BLANK}", "resourceType": "Document"})
        patterns.append({"urlPattern": "*/favicon.ico"})  # the browser's own wish
        await self._session.send("Fetch.enable", {"patterns": patterns})

    async def let_all_pass(self) -> None:
        """Let the page load and send what it likes; such a page cannot be wiped."""
        await self._session.send("Fetch.disable")

    def watch_data(self) -> None:
        """Note the answers to the page's own requests from now on, until the tab is closed."""
        # Only where they matter: each answer costs a message from the browser.
        if not self._is_watching:
            self._is_watching = True
            self.page.on("response", self._note_response)
            self.page.on("requestfailed", self._note_failed)

    @property
    def is_lost(self) -> bool:
        """Whether nothing more can be had from the page: its process or its browser is gone."""
        return self.is_crashed or self.page.is_closed() or not self.engine.is_alive

    async def heap_bytes(self) -> int:
        """Return what the scripts of the page hold."""
        told = await self._session.send("Runtime.getHeapUsage")
        return int(told["usedSize"])

    async def wipe(self, *, most_heap_bytes: int) -> bool:
        """Make the page as good as new; False where that cannot be had for certain."""
        from playwright.async_api import Error

        self.on_data = None
        if self.is_lost or len(self._origins) > 1 or len(self.context.pages) > 1:
            return False
        try:
            async with asyncio.timeout(_WIPE_SECONDS):
                if await self.heap_bytes() > most_heap_bytes:
                    return False
                for origin in self._origins:
                    # Answered here, by nobody else: a page of the site without any script.
                    await self.page.goto(f"{origin}{_BLANK}", wait_until="commit")
                    kinds = {"origin": origin, "storageTypes": "all"}
                    await asyncio.gather(
                        self.page.evaluate(_FORGET),
                        self._session.send("Storage.clearDataForOrigin", kinds),
                        self.context.clear_cookies(),
                    )
        except (Error, TimeoutError):
            return False
        self._origins.clear()
        self.console.clear()
        return not self.is_lost

    async def close(self) -> None:
        """Close the page and its context."""
        from playwright.async_api import Error

        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(Error, TimeoutError):
            async with asyncio.timeout(_WIPE_SECONDS):
                await self.context.close()

    def _note_crash(self, page: Page) -> None:
        self.is_crashed = self.is_crashed or page is self.page

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._note(f"{message.type}: {message.text}")

    def _note(self, line: str) -> None:
        self.console.append(line[:_LONGEST_LINE])

    def _note_frame(self, frame: Frame) -> None:
        url = URL(frame.url)
        if url.scheme in {"http", "https"}:
            self._origins.add(str(url.origin()))

    def _note_response(self, response: Response) -> None:
        if response.request.resource_type in _DATA_TYPES:
            self.data_answers.append((response.status, response.headers.get("retry-after")))

    def _note_failed(self, request: Request) -> None:
        if request.resource_type in _DATA_TYPES:
            self.data_answers.append((None, None))

    def _pause(self, event: Mapping[str, Any]) -> None:
        task = asyncio.create_task(self._decide(event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _decide(self, event: Mapping[str, Any]) -> None:
        """Let a request of the page go on, or not."""
        from playwright.async_api import Error

        what: dict[str, object] = {"requestId": event["requestId"]}
        action = "Fetch.failRequest"
        if event["resourceType"] == "Document":
            action = "Fetch.fulfillRequest"
            headers = [{"name": "Content-Type", "value": "text/html"}]
            what |= {"responseCode": 200, "body": _EMPTY_PAGE, "responseHeaders": headers}
        elif event["resourceType"] in _DATA and self.on_data is not None:
            with contextlib.suppress(SourceError):
                await self.on_data(event["request"]["url"])
                action = "Fetch.continueRequest"
        if action == "Fetch.failRequest":
            what["errorReason"] = "BlockedByClient"
        with contextlib.suppress(Error):
            await self._session.send(action, what)
