"""A form that is filled in: every field is read back, and the last click is sent once at most."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from propkit.browsing.window import Selectors, Window
from propkit.errors import PostingError, SourceTimeoutError

if TYPE_CHECKING:
    from playwright.async_api import Route


class Form:
    """The form in a window.

    A field that does not hold what it was given is a `PostingError` that names it. Otherwise as
    :class:`propkit.browsing.window.Window`.
    """

    def __init__(self, window: Window) -> None:
        self._window = window

    async def fill(self, name: str, selectors: Selectors, text: str) -> None:
        """Put a text into a box and see that it stands there.

        Raises
        ------
        PostingError
            The box did not take its value; the message names the field.
        """
        async with self._window.mapped(name):
            box = self._window.locate(selectors).first
            await box.fill(text)
            got = await box.input_value()
        if _as_typed(got) != _as_typed(text):
            raise _not_taken(name, text, got)

    async def fill_secret(self, name: str, selectors: Selectors, text: str) -> None:
        """Put a text into a box so that no error shows it."""
        from playwright.async_api import Error

        try:
            box = self._window.locate(selectors).first
            await box.fill(text)
            is_taken = await box.input_value() == text
        except Error:
            # Playwright's own message has the text in it.
            is_taken = False
        if not is_taken:
            raise PostingError(f"the field {name} did not take its value")

    async def choose(self, name: str, selectors: Selectors, label: str) -> None:
        """Choose an entry of a list by its text and see that it is chosen."""
        async with self._window.mapped(name):
            box = self._window.locate(selectors).first
            offered = [
                " ".join(one.split()) for one in await box.locator("option").all_inner_texts()
            ]
            if label not in offered:
                choices = ", ".join(one for one in offered if one)
                raise PostingError(f"{name} {label!r} is not offered; there are: {choices}")
            await box.select_option(label=label)
            chosen = await box.locator("option:checked").all_inner_texts()
        if [" ".join(one.split()) for one in chosen] != [label]:
            raise _not_taken(name, label, ", ".join(chosen))

    async def tick(self, name: str, selector: str) -> None:
        """Tick one of a group of radio buttons and see that it is ticked."""
        async with self._window.mapped(name):
            button = self._window.page.locator(selector).first
            if not await button.count():
                raise PostingError(f"{name}: there is no such choice ({selector})")
            await button.click(no_wait_after=True)
            is_checked = await button.is_checked()
        if not is_checked:
            raise _not_taken(name, selector, "nothing")

    async def attach(self, selectors: Selectors, files: Sequence[Path]) -> None:
        """Give files to a box; that they arrive is for `wait_for_count` to see."""
        async with self._window.mapped("photos"):
            await self._window.locate(selectors).first.set_input_files(list(files))

    async def wait_for_count(
        self, name: str, selectors: Selectors, count: int, *, failed: Selectors, seconds: float
    ) -> None:
        """Wait until there are so many elements, and as many that say they failed make no more.

        Raises
        ------
        PostingError
            There are fewer in time, or some say that they failed.
        """
        clock = asyncio.get_running_loop().time
        ends_at = clock() + seconds
        while True:
            got, lost = await self._window.count(selectors), await self._window.count(failed)
            if got >= count or lost or clock() >= ends_at:
                break
            await asyncio.sleep(0.02)
        if got != count or lost:
            said = f" ({await self._window.text(failed)})" if lost else ""
            raise PostingError(f"the site has {got} of {count} {name}{said}")

    async def choose_option(
        self, name: str, box: Selectors, options: Selectors, text: str, *, seconds: float
    ) -> str:
        """Type into a box that offers options, click the one that has the text, and return it.

        What is typed does not count for a site; only the option that was clicked does.
        """
        from playwright.async_api import TimeoutError as PlaywrightTimeoutError

        async with self._window.mapped(name):
            typed = self._window.locate(box).first
            await typed.fill("")
            await typed.press_sequentially(text)
            offered = self._window.locate(options).filter(visible=True)
            words = re.findall(r"\w+", text.lower())
            try:
                await offered.first.wait_for(timeout=seconds * 1000)
            except PlaywrightTimeoutError as error:
                await self._window.check_alive(error)
                raise PostingError(f"{name}: the site offers nothing for {text!r}") from error
            texts = [" ".join(one.split()) for one in await offered.all_inner_texts()]
            fitting = [one for one in texts if all(word in one.lower() for word in words)]
            if len(fitting) != 1 and text not in fitting:
                choices = ", ".join(fitting or texts)
                raise PostingError(f"{name} {text!r} is not clear; the site offers: {choices}")
            wanted = text if text in fitting else fitting[0]
            await offered.nth(texts.index(wanted)).click(no_wait_after=True)
            got = await typed.input_value()
            is_closed = not await offered.count()
        if got != wanted or not is_closed:
            raise _not_taken(name, wanted, got)
        return wanted

    # --- the last click -------------------------------------------------------------------------

    @asynccontextmanager
    async def sent_once(self) -> AsyncIterator[None]:
        """Within this the page's requests that change something reach the site once at most.

        Chromium by itself sends a form again where a connection that it had used before closes
        without an answer (seen: two listings by one click). So these requests are sent outside
        of its network stack, with its cookies and headers, and never again.
        """
        page = self._window.page
        self._window.is_cut.clear()
        await page.route("**/*", _send_once)
        try:
            yield
        finally:
            from playwright.async_api import Error

            with contextlib.suppress(Error):
                await page.unroute("**/*", _send_once)

    async def wait_for_end(
        self, address: re.Pattern[str], others: Mapping[str, Selectors], *, seconds: float
    ) -> str | None:
        """Wait for an address, or for an element that tells something else.

        Returns
        -------
        str | None
            The element's name; None where the page has the address.

        Raises
        ------
        SourceTimeoutError
            Neither comes in time, or the connection was cut: nobody can tell what happened.
        """
        there = asyncio.create_task(
            self._window.page.wait_for_url(address, timeout=0, wait_until="commit")
        )
        said = asyncio.create_task(self._window.first_of(others, seconds=seconds + 60))
        cut = asyncio.create_task(self._window.is_cut.wait())
        tasks = (there, said, cut)
        try:
            async with self._window.mapped("after the last click"):
                await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                if there.done():
                    there.result()
                    return None
                if said.done():
                    return said.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        why = "the connection was cut" if cut.done() and not cut.cancelled() else "no page came"
        raise SourceTimeoutError(f"after the last click {why}", url=self._window.url)


async def _send_once(route: Route) -> None:
    from playwright.async_api import Error

    if route.request.method in {"GET", "HEAD", "OPTIONS"}:
        await route.continue_()
        return
    try:
        answer = await route.fetch(max_redirects=0, max_retries=0, timeout=0)
    except Error:
        with contextlib.suppress(Error):
            await route.abort("connectionreset")
        return
    with contextlib.suppress(Error):
        await route.fulfill(response=answer)


def _as_typed(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def _not_taken(name: str, wanted: str, got: str) -> PostingError:
    return PostingError(f"the field {name} did not take {wanted!r}: it holds {got!r}")
