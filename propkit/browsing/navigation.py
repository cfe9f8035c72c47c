"""What is done in a page, and what it means when that fails."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from yarl import URL

from propkit import answers
from propkit.asking import REFUSALS
from propkit.browsing.slot import Slot
from propkit.errors import (
    BrowserLostError,
    InvalidAnswerError,
    SourceError,
    SourceTimeoutError,
    SourceUnavailableError,
)
from propkit.pages import Page

if TYPE_CHECKING:
    from playwright.async_api import Error, Response

Act = Callable[[Slot], Awaitable["Response | None"]]
"""What leads to another page; the page's answer, None where there was none."""

_LOST = re.compile(r"has been closed|crashed|Connection closed|browser has disconnected")
LOOK_AT_FORM = """selectors => {
    const missing = selectors.filter(one => !document.querySelector(one))
    const form = document.querySelector(selectors[0])?.closest('form')
    return [missing, form ? form.action : null, document.querySelectorAll('input:not([type=hidden])').length]
}"""
"""Which of some selectors are not there, where the form of the first goes, how many boxes there are."""
_QUIET_SECONDS = 1.0
_NET_ERROR = re.compile(r"net::(ERR_\w+)")
_CUT = {"ERR_CONTENT_LENGTH_MISMATCH", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_ABORTED"}
"""An answer came, but no whole page; ERR_ABORTED is what a 204 looks like."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A page as it was opened: seconds it took, those of its Retry-After, redirects before it."""

    page: Page
    seconds: float
    retry_after: float | None
    redirects: int


def go_to(url: URL) -> Act:
    """Return what opens an address."""

    async def act(slot: Slot) -> Response | None:
        return await slot.page.goto(str(url), wait_until="commit", timeout=0)

    return act


def press_button(fields: Mapping[str, str], button: str) -> Act:
    """Return what fills a form in and presses its button."""

    async def act(slot: Slot) -> Response | None:
        page = slot.page
        for selector, text in fields.items():
            await page.fill(selector, text, timeout=0)
        async with page.expect_navigation(wait_until="commit", timeout=0) as navigation:
            await page.click(button, timeout=0, no_wait_after=True)
        return await navigation.value

    return act


async def open_page(slot: Slot, url: URL, name: str, act: Act, most_seconds: float) -> Opened:
    """Navigate and return the page that came."""
    clock = asyncio.get_running_loop().time
    started_at = clock()
    async with asyncio.timeout(most_seconds):
        response = await act(slot)
        if response is None:
            raise InvalidAnswerError(f"{name}: no page came", url=str(url))
        body = await response.body()
        await slot.page.wait_for_load_state("domcontentloaded")
    seconds = clock() - started_at
    at = answers.read_redirect(url, url, response.url, name)
    headers = response.headers
    kind = headers.get("content-type", "")
    if not kind.startswith("application/") and _is_utf8(body):
        # The browser has read it by its charset already.
        kind = f"{kind.partition(';')[0] or 'text/html'}; charset=utf-8"
    page = Page(
        name=name,
        url=str(at),
        fetched_at=datetime.now(UTC),
        status=response.status,
        content_type=kind,
        body=body,
    )
    asked = None
    if response.status in REFUSALS:
        asked = answers.read_retry_after(headers.get("retry-after"), datetime.now(UTC))
    redirects, before = 0, response.request.redirected_from
    while before is not None:
        redirects, before = redirects + 1, before.redirected_from
    return Opened(page, seconds, asked, redirects)


async def wait_for(slot: Slot, selector: str) -> None:
    """Wait until an element is there, whoever has put it."""
    await slot.page.wait_for_selector(selector, state="attached", timeout=0)


async def wait_for_quiet(slot: Slot) -> None:
    """Wait until the page has asked for nothing for a while."""
    await slot.page.wait_for_load_state("networkidle", timeout=0)
    await asyncio.sleep(_QUIET_SECONDS)


async def explain(slot: Slot, failure: Error | TimeoutError, url: URL, name: str) -> SourceError:
    """Return what Playwright's error means.

    Raises
    ------
    BrowserLostError
        The browser is gone, or hangs and was killed.
    """
    from playwright.async_api import TimeoutError as PlaywrightTimeoutError

    if isinstance(failure, (TimeoutError, PlaywrightTimeoutError)):
        if not slot.is_lost and not await slot.engine.answers():
            slot.engine.kill()
        if slot.is_lost:
            lose(slot, failure)
        return SourceTimeoutError(f"{name}: no page in time", url=str(url))
    message = str(failure)
    if slot.is_lost or _LOST.search(message):
        lose(slot, failure)
    found = _NET_ERROR.search(message)
    if found is None and "getResponseBody" not in message:
        why = message.partition("\n")[0]
        return SourceUnavailableError(f"{name}: {why}", url=str(url))
    if found is None or found[1] in _CUT:
        return InvalidAnswerError(f"{name}: the answer was cut short", url=str(url))
    return SourceUnavailableError(f"{name}: {found[1]}", url=str(url))


def lose(slot: Slot, cause: BaseException) -> NoReturn:
    """Raise the error that starts an item again."""
    what = "page crashed" if slot.is_crashed else "browser died"
    raise BrowserLostError(f"the {what} under the item") from cause


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
