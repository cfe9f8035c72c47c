"""A form that is filled in: every field is read back, and the last click is sent once at most."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propkit.browsing.window import Selectors, Window, exactly
from propkit.errors import LayoutChangedError, PostingError, SourceTimeoutError

if TYPE_CHECKING:
    from playwright.async_api import Route

_VALUE = """field => field.tagName === 'SELECT'
    ? (field.selectedOptions[0]?.text ?? '').trim().replace(/\\s+/g, ' ') : field.value"""
_OPTIONS = """field => [...field.options ?? []].map(one => one.text.trim().replace(/\\s+/g, ' '))"""
_LOOK_AT_FIELDS = f"""fields => Object.fromEntries(Object.entries(fields).flatMap(([name, places]) => {{
    const place = places.find(one => document.querySelector(one))
    return place === undefined ? []
        : [[name, [place, ({_OPTIONS})(document.querySelector(place))]]]
}}))"""
"""Where each field is, and what it offers to choose from."""
_READ_BACK = f"""([fields, counted]) => [
    Object.fromEntries(Object.entries(fields).map(
        ([name, place]) => [name, ({_VALUE})(document.querySelector(place) ?? {{value: ''}})])),
    Object.fromEntries(counted.map(place => [place, document.querySelectorAll(place).length])),
]"""
_FILES_ARE_IN = """([shown, failed, count]) => document.querySelector(failed)
    || document.querySelectorAll(shown).length >= count"""
_CHOICE_SECONDS = 2.0
_QUICK_SECONDS, _AFTER_SECONDS = 0.5, 60.0
"""What else the site may show is looked for only after this: looking costs the page time."""


class Form:
    """The form in a window: what is put into it is read back as a whole, by :meth:`check`.

    A field that does not hold what it was given is a `PostingError` that names it. Otherwise as
    :class:`propkit.browsing.window.Window`.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._places: dict[str, str] = {}
        self._offered: dict[str, list[str]] = {}
        self._given: dict[str, str] = {}
        self._ticked: dict[str, str] = {}
        self._counted: dict[str, tuple[str, int]] = {}

    async def find(self, elements: Mapping[str, Selectors]) -> None:
        """Find the form's fields, each by the first of its selectors that is there.

        Raises
        ------
        LayoutChangedError
            Some are not; the message names every one.
        """
        plain = {
            name: [one for one in selectors if not one.startswith("role=")]
            for name, selectors in elements.items()
        }
        async with self._window.mapped("the form"):
            found: dict[str, Any] = await self._window.page.evaluate(_LOOK_AT_FIELDS, plain)
            for name, selectors in elements.items():
                for one in selectors:
                    if name not in found and one.startswith("role="):
                        locator = self._window.page.locator(one)
                        if await locator.count():
                            found[name] = [one, await locator.first.evaluate(_OPTIONS)]
        if missing := [name for name in elements if name not in found]:
            text = f"the form has no {', '.join(missing)}"
            raise LayoutChangedError(text, url=self._window.url)
        self._places = {name: place for name, (place, _) in found.items()}
        self._offered = {name: offered for name, (_, offered) in found.items() if offered}

    async def fill(self, name: str, text: str) -> None:
        """Put a text into a box."""
        async with self._window.mapped(name):
            await self._window.page.locator(self._places[name]).first.fill(text)
        self._given[name] = text

    def expect(self, name: str, text: str) -> None:
        """Let :meth:`check` see that a box has a text which it got already."""
        self._given[name] = text

    async def choose(self, name: str, label: str) -> None:
        """Choose an entry of a list by its text."""
        offered = self._offered.get(name, [])
        if label not in offered:
            choices = ", ".join(one for one in offered if one)
            raise PostingError(f"{name} {label!r} is not offered; there are: {choices}")
        async with self._window.mapped(name):
            await self._window.page.locator(self._places[name]).first.select_option(label=label)
        self._given[name] = label

    async def tick(self, name: str, selector: str) -> None:
        """Tick one of a group of radio buttons."""
        from playwright.async_api import TimeoutError as PlaywrightTimeoutError

        async with self._window.mapped(name):
            button = self._window.page.locator(selector).first
            try:
                await button.click(no_wait_after=True, timeout=_CHOICE_SECONDS * 1000)
            except PlaywrightTimeoutError as error:
                if not await button.count():
                    text = f"{name}: there is no such choice ({selector})"
                    raise PostingError(text) from error
                await button.click(no_wait_after=True)  # a slow page; ticked twice it is ticked
        self._ticked[name] = selector

    async def add(self, name: str, button: str, text: str, chips: str) -> None:
        """Put a text into a box and press the button that adds it to a list of chips (CSS)."""
        async with self._window.mapped(name):
            await self._window.page.locator(self._places[name]).first.fill(text)
            place = self._window.page.locator(self._places[button])
            await place.first.click(no_wait_after=True)
        self._counted[name] = (chips, self._counted.get(name, (chips, 0))[1] + 1)

    async def attach(self, name: str, files: Sequence[Path]) -> None:
        """Give files to a box; that they arrive is for :meth:`wait_for_files` to see."""
        async with self._window.mapped(name):
            place = self._window.page.locator(self._places[name])
            await place.first.set_input_files(list(files))

    async def wait_for_files(
        self, name: str, count: int, *, shown: str, failed: str, seconds: float
    ) -> None:
        """Wait until so many files show (CSS), or one says that it failed.

        Raises
        ------
        PostingError
            There are fewer in time, or some say that they failed.
        """
        from playwright.async_api import TimeoutError as PlaywrightTimeoutError

        page = self._window.page
        async with self._window.mapped(name):
            with contextlib.suppress(PlaywrightTimeoutError):
                await page.wait_for_function(
                    _FILES_ARE_IN, arg=[shown, failed, count], timeout=seconds * 1000
                )
            got = await page.locator(shown).count()
            said = await page.locator(failed).all_inner_texts()
        if got != count or said:
            why = f" ({said[0]})" if said else ""
            raise PostingError(f"the site has {got} of {count} {name}{why}")
        self._counted[name] = (shown, count)

    async def choose_option(self, name: str, text: str, options: str, *, seconds: float) -> None:
        """Type into a box that offers options (CSS) and click the one that has the text.

        What is typed does not count for a site; only the option that was clicked does.
        """
        from playwright.async_api import TimeoutError as PlaywrightTimeoutError

        async with self._window.mapped(name):
            await self._window.page.locator(self._places[name]).first.press_sequentially(text)
            offered = self._window.page.locator(options).filter(visible=True)
            try:
                await offered.first.wait_for(timeout=seconds * 1000)
            except PlaywrightTimeoutError as error:
                await self._window.check_alive(error)
                raise PostingError(f"{name}: the site offers nothing for {text!r}") from error
            texts = [" ".join(one.split()) for one in await offered.all_inner_texts()]
            words = re.findall(r"\w+", text.lower())
            fitting = [one for one in texts if all(word in one.lower() for word in words)]
            if len(fitting) != 1 and text not in fitting:
                choices = ", ".join(fitting or texts)
                raise PostingError(f"{name} {text!r} is not clear; the site offers: {choices}")
            wanted = text if text in fitting else fitting[0]
            await offered.filter(has_text=exactly(wanted)).first.click(no_wait_after=True)
        self._given[name] = wanted
        if text == wanted:  # the text alone does not tell; a list that has closed does
            self._counted[name] = (options, 0)

    async def check(self) -> None:
        """Read everything back that was put into the form.

        Raises
        ------
        PostingError
            A field did not take its value, or has lost it since; the message names the field.
        """
        wrong = await self._find_wrong()
        if wrong:  # a page may take a moment to show what it has
            await asyncio.sleep(_QUICK_SECONDS)
            wrong = await self._find_wrong()
        if wrong:
            raise PostingError("; ".join(wrong))

    async def _find_wrong(self) -> list[str]:
        page = self._window.page
        plain = {n: self._places[n] for n in self._given if not self._places[n].startswith("role=")}
        places = [place for place, _ in self._counted.values()]
        async with self._window.mapped("the form"):
            values, counts = await page.evaluate(_READ_BACK, [plain, places])
            for name in self._given.keys() - plain.keys():
                values[name] = await page.locator(self._places[name]).first.evaluate(_VALUE)
            ticked = {n: await page.locator(s).first.is_checked() for n, s in self._ticked.items()}
        wrong = [
            f"the field {name} did not take {wanted!r}: it holds {values[name]!r}"
            for name, wanted in self._given.items()
            if _as_typed(values[name]) != _as_typed(wanted)
        ]
        wrong += [
            f"the field {name} did not take its choice" for name in ticked if not ticked[name]
        ]
        return wrong + [
            f"the field {name} did not take it: {counts[place]} of {wanted} ({place})"
            for name, (place, wanted) in self._counted.items()
            if counts[place] != wanted
        ]

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
        said = asyncio.create_task(self._look_for(others, seconds))
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

    async def _look_for(self, others: Mapping[str, Selectors], seconds: float) -> str:
        await asyncio.sleep(_QUICK_SECONDS)
        return await self._window.first_of(others, seconds=seconds + _AFTER_SECONDS)


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
