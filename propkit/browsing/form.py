"""A form that is filled in: every field is read back, and the last click is sent once at most."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propkit.browsing.window import Selectors, Window, exactly
from propkit.errors import LayoutChangedError, PostingError, SourceTimeoutError

if TYPE_CHECKING:
    from playwright.async_api import Route

_VALUE = """field => field.tagName === 'SELECT'
    ? (field.selectedOptions[0]?.text ?? '').trim().replace(/\\s+/g, ' ') : field.value"""
_OPTIONS = """(field, group) => (field.tagName === 'SELECT' ? [...field.options]
    : field.type === 'radio' || field.role === 'radio' ? [...group] : []).map(one => (
        one.ariaLabel ?? one.labels?.[0]?.innerText ?? one.text ?? one.innerText
    ).trim().replace(/\\s+/g, ' '))"""
_LOOK_AT_FIELDS = f"""(_, fields) => Object.fromEntries(Object.entries(fields).flatMap(([name, places]) => {{
    const place = places.find(one => document.querySelector(one))
    return place === undefined ? [] : [[name, [place, ({_OPTIONS})(
        document.querySelector(place), document.querySelectorAll(place))]]]
}}))"""
"""Where each field is, and what it offers to choose from."""
_READ_BACK = f"""async ([fields, ticked, counted, shown, waited]) => {{
    const all = place => [...document.querySelectorAll(place)]
    const seen = place => all(place).filter(one => one.getClientRects().length)
        .map(one => one.innerText.trim().replace(/\\s+/g, ' '))
    if (waited) {{
        const [place, failed, count, seconds] = waited, end = performance.now() + 1000 * seconds
        while (all(place).length < count && !document.querySelector(failed)
                && performance.now() < end)
            await new Promise(later => setTimeout(later, 10))
    }}
    const map = (given, read) => Object.fromEntries(
        Object.entries(given).map(([name, place]) => [name, read(place)]))
    return {{
        values: map(fields, place => ({_VALUE})(document.querySelector(place) ?? {{value: ''}})),
        ticked: map(ticked, ([place, nth]) => {{
            const one = all(place)[nth]
            return one?.checked ?? one?.ariaChecked === 'true'
        }}),
        counts: Object.fromEntries(counted.map(place => [place, all(place).length])),
        texts: map(shown, place => seen(place)[0] ?? ''),
        failed: waited ? all(waited[1]).map(one => one.innerText.trim()) : [],
    }}
}}"""
"""Everything that the form has got, when the files are there or the time is over."""
_OFFERED = """async ([place, words, seconds]) => {
    // What fits is waited for: what is offered first may be for the first letters only.
    const end = performance.now() + 1000 * seconds
    for (;;) {
        const seen = [...document.querySelectorAll(place)]
            .filter(one => one.getClientRects().length)
            .map(one => one.innerText.trim().replace(/\\s+/g, ' '))
        const fits = text => words.every(word => text.toLowerCase().includes(word))
        if (seen.some(fits) || performance.now() > end) return seen
        await new Promise(later => setTimeout(later, 10))
    }
}"""
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
        self._ticked: dict[str, tuple[str, int]] = {}
        self._counted: dict[str, tuple[str, int]] = {}
        self._files: tuple[str, str] | None = None
        self._upload_seconds = 0.0

    async def find(self, elements: Mapping[str, Selectors]) -> None:
        """Wait for the first of the form's fields; find each by the first selector that is there.

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
            there = self._window.locate(next(iter(elements.values()))).first
            found: dict[str, Any] = await there.evaluate(_LOOK_AT_FIELDS, plain)
            for name, selectors in elements.items():
                for one in selectors:
                    if name not in found and one.startswith("role="):
                        locator = self._window.page.locator(one)
                        if await locator.count():
                            found[name] = [one, await locator.first.evaluate(_OPTIONS, [])]
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
        self._find_choice(name, label)
        async with self._window.mapped(name):
            await self._window.page.locator(self._places[name]).first.select_option(label=label)
        self._given[name] = label

    async def tick(self, name: str, label: str) -> None:
        """Tick one of a group of radio buttons by its label, its case left aside."""
        nth = self._find_choice(name, label, is_like=str.casefold)
        async with self._window.mapped(name):
            button = self._window.page.locator(self._places[name]).nth(nth)
            await button.press("Space", no_wait_after=True)  # half of what a click costs
        self._ticked[name] = (self._places[name], nth)

    def _find_choice(self, name: str, label: str, *, is_like: Callable[[str], str] = str) -> int:
        """Return the place of a choice among those that the form offers."""
        offered = self._offered.get(name, [])
        for nth, one in enumerate(offered):
            if is_like(one) == is_like(label):
                return nth
        choices = ", ".join(one for one in offered if one)
        raise PostingError(f"{name} {label!r} is not offered; there are: {choices}")

    async def add(self, name: str, button: str, text: str, chips: str) -> None:
        """Put a text into a box and press the button that adds it to a list of chips (CSS)."""
        async with self._window.mapped(name):
            await self._window.page.locator(self._places[name]).first.fill(text)
            place = self._window.page.locator(self._places[button])
            await place.first.click(no_wait_after=True)
        self._counted[name] = (chips, self._counted.get(name, (chips, 0))[1] + 1)

    async def attach(
        self, name: str, files: Sequence[Path], *, shown: str, failed: str, seconds: float
    ) -> None:
        """Give files to a box; that so many show (CSS), and none failed, :meth:`check` waits for."""
        async with self._window.mapped(name):
            place = self._window.page.locator(self._places[name])
            await place.first.set_input_files(list(files))
        self._counted[name] = (shown, len(files))
        self._files, self._upload_seconds = (name, failed), seconds

    async def choose_option(self, name: str, text: str, options: str, *, seconds: float) -> None:
        """Type into a box that offers options (CSS) and click the one that has the text.

        What is typed does not count for a site; only the option that was clicked does.
        """
        page = self._window.page
        words = re.findall(r"\w+", text.lower())
        async with self._window.mapped(name):
            await page.locator(self._places[name]).first.press_sequentially(text)
            async with asyncio.timeout(seconds + self._window.seconds):
                texts: list[str] = await page.evaluate(_OFFERED, [options, words, seconds])
            fitting = [one for one in texts if all(word in one.lower() for word in words)]
            if not fitting:
                others = f", but {', '.join(texts)}" if texts else ""
                raise PostingError(f"{name}: the site offers nothing for {text!r}{others}")
            if len(fitting) != 1 and text not in fitting:
                choices = ", ".join(fitting)
                raise PostingError(f"{name} {text!r} is not clear; the site offers: {choices}")
            wanted = text if text in fitting else fitting[0]
            offered = page.locator(options).filter(visible=True, has_text=exactly(wanted))
            await offered.first.click(no_wait_after=True)
        self._given[name] = wanted
        if text == wanted:  # the text alone does not tell; a list that has closed does
            self._counted[name] = (options, 0)

    async def check(self, *shown: str) -> dict[str, str]:
        """Read everything back that was put into the form, when its files have arrived.

        Parameters
        ----------
        shown
            Elements, of those that were found, whose text is to be returned.

        Raises
        ------
        PostingError
            A field did not take its value, or has lost it since; a file did not arrive in time.
            The message names the field.
        """
        wrong, texts = await self._find_wrong(shown, self._upload_seconds)
        if wrong:  # a page may take a moment to show what it has
            await asyncio.sleep(_QUICK_SECONDS)
            async with self._window.mapped("the form"):
                for place, nth in self._ticked.values():
                    button = self._window.page.locator(place).nth(nth)
                    if not await button.is_checked():  # a site may hear the mouse only
                        await button.click(no_wait_after=True)
            wrong, texts = await self._find_wrong(shown, 0.0)
        if wrong:
            raise PostingError("; ".join(wrong))
        return texts

    async def _find_wrong(
        self, shown: Sequence[str], seconds: float
    ) -> tuple[list[str], dict[str, str]]:
        page, files = self._window.page, self._files
        plain = {n: self._places[n] for n in self._given if not self._places[n].startswith("role=")}
        places = [place for place, _ in self._counted.values()]
        asked = {name: self._places[name] for name in shown}
        waited = None
        if files is not None:
            place, count = self._counted[files[0]]
            waited = [place, files[1], count, seconds]
        async with self._window.mapped("the form"), asyncio.timeout(seconds + self._window.seconds):
            given = [plain, self._ticked, places, asked, waited]
            found: dict[str, Any] = await page.evaluate(_READ_BACK, given)
            values, counts = found["values"], found["counts"]
            for name in self._given.keys() - plain.keys():
                values[name] = await page.locator(self._places[name]).first.evaluate(_VALUE)
        wrong = [
            f"the field {name} did not take {wanted!r}: it holds {values[name]!r}"
            for name, wanted in self._given.items()
            if _as_typed(values[name]) != _as_typed(wanted)
        ]
        wrong += [
            f"the field {name} did not take its choice"
            for name, is_ticked in found["ticked"].items()
            if not is_ticked
        ]
        for name, (place, wanted) in self._counted.items():
            if files is not None and name == files[0]:
                why = f" ({found['failed'][0]})" if found["failed"] else ""
                if counts[place] != wanted or why:
                    wrong.append(f"the site has {counts[place]} of {wanted} {name}{why}")
            elif counts[place] != wanted:
                wrong.append(
                    f"the field {name} did not take it: {counts[place]} of {wanted} ({place})"
                )
        return wrong, found["texts"]

    # --- the last click -------------------------------------------------------------------------

    @asynccontextmanager
    async def sent_once(self, sending: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Await `sending`; then the page's requests that change something are sent once at most.

        Chromium by itself sends a form again where a connection that it had used before closes
        without an answer (seen: two listings by one click). So these requests are sent outside
        of its network stack, with its cookies and headers, and never again.
        """
        page = self._window.page
        self._window.is_cut.clear()
        await self._window.settle()
        guarding = asyncio.create_task(page.route("**/*", _send_once))
        try:
            await sending()
            async with self._window.mapped("the last click"):
                await guarding
            yield
        finally:
            guarding.cancel()
            self._window.later(page.unroute("**/*", _send_once))

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
