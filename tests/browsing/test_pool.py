"""Pages and browsers: isolated, recycled, kept below a ceiling, healed, and never left behind."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import suppress

import psutil
import pytest
from aiohttp import web
from selectolax.lexbor import LexborHTMLParser

from propkit.browsing import BrowserPool
from propkit.browsing import engine as engines
from propkit.browsing import pool as pools
from propkit.browsing.slot import Slot
from propkit.errors import BrowserLostError, SourceError, SourceTimeoutError
from tests.browsing.conftest import (
    IDENTITY,
    Site,
    asking,
    pids_of,
    pooled,
    running,
    wait_until,
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]


async def test_nothing_of_one_item_is_left_for_the_next_in_the_same_page(
    site: Site, pool: BrowserPool
) -> None:
    slots: list[Slot] = []
    for _ in range(2):
        async with asking(pool, site) as ask:
            await ask.render("/storing", name="storing", ready="#stored")
            slots.append(ask._slot)
        async with asking(pool, site) as ask:
            page = await ask.render("/looking", name="looking", ready="#seen")
            slots.append(ask._slot)
        seen = json.loads(LexborHTMLParser(page.text).css_first("#seen").text())
        last = site.asked[-1]

        assert seen == ["", 0, 0, "", [], []]
        assert "Cookie" not in last.headers
    assert len({id(slot) for slot in slots}) == 1  # the page was used again


async def test_who_asks_is_said_and_pictures_fonts_and_films_are_not_loaded(
    site: Site, pool: BrowserPool
) -> None:
    async with asking(pool, site) as ask:
        page = await ask.get("/kinds", name="kinds")
        await ask._slot.page.wait_for_load_state("load")

    assert page.text.startswith("<!doctype html>")
    assert sorted(site.paths) == ["/a.css", "/a.js", "/kinds"]
    asked = next(request for request in site.asked if request.path == "/kinds")
    assert asked.headers["User-Agent"] == "propkit/test (+me@example.org)"
    assert asked.headers["X-Client"] == "test"


async def test_pages_and_browsers_are_closed_for_new_ones_by_count(site: Site) -> None:
    async with pooled(pages=1, items_per_page=2, items_per_browser=4) as pool:
        pages, browsers = [], []
        for _ in range(6):
            async with asking(pool, site) as ask:
                await ask.get("/plain", name="plain")
                pages.append(ask._slot)
                browsers.append(ask._slot.engine.tree.pid)
        first, second = pids_of(browsers[0]), browsers[-1]
        await wait_until(lambda: not running(first))

        assert [pages.index(page) for page in pages] == [0, 0, 2, 2, 4, 4]
        assert [browsers.index(pid) for pid in browsers] == [0, 0, 0, 0, 4, 4]
        assert running({second}) == {second}


async def test_two_browsers_share_the_pages_which_share_nothing(site: Site) -> None:
    """Open side by side, a page sees nothing of its neighbour and outlives the neighbour's process.

    Whatever Chromium's limit of processes is: contexts are never in one.
    """
    async with pooled(pages=4, browsers=2) as pool:
        slots = await asyncio.gather(*[pool.lend(IDENTITY) for _ in range(4)])
        found = sorted(engine.pages for engine in pool.engines)
        (neighbour,) = [one for one in slots[1:] if one.engine is slots[0].engine]
        await neighbour.page.goto(f"{site.url}/storing", timeout=0)
        await neighbour.page.wait_for_selector("#stored", state="attached", timeout=0)
        seen = []
        for is_alone in (False, True):
            if is_alone:
                crash = asyncio.create_task(neighbour._session.send("Page.crash"))
                await wait_until(lambda: neighbour.is_crashed)
                crash.cancel()
                await asyncio.gather(crash, return_exceptions=True)
            await slots[0].page.goto(f"{site.url}/looking", timeout=0)
            text = await slots[0].page.text_content("#seen", timeout=0)
            seen.append((json.loads(text), "Cookie" in site.asked[-1].headers))
        waiting = asyncio.create_task(pool.lend(IDENTITY))
        pool.give_back(slots[0], is_good=True)
        fifth = await waiting
        for slot in (*slots[1:], fifth):
            pool.give_back(slot, is_good=True)

    assert found == [2, 2]
    assert seen == [(["", 0, 0, "", [], []], False)] * 2
    assert fifth is slots[0]


async def test_a_browser_that_is_killed_costs_its_pages_and_no_more(
    site: Site, pool: BrowserPool
) -> None:
    async with asking(pool, site) as ask:
        opening = asyncio.create_task(ask.get("/slow", name="slow"))
        await site.come.wait()
        pid = pool.engines[0].tree.pid
        psutil.Process(pid).kill()
        with pytest.raises(BrowserLostError):
            await opening
    site.go_on.set()
    async with asking(pool, site) as ask:
        page = await ask.get("/slow", name="slow")

    assert "at last" in page.text
    assert [engine.tree.pid != pid for engine in pool.engines] == [True]


async def test_a_page_that_crashes_is_lost_and_the_browser_stays(
    site: Site, pool: BrowserPool
) -> None:
    async with asking(pool, site) as ask:
        await ask.get("/plain", name="plain")
        pid = ask._slot.engine.tree.pid
        crash = asyncio.create_task(ask._slot._session.send("Page.crash"))
        await wait_until(lambda: ask._slot.is_crashed)
        with pytest.raises(BrowserLostError, match="the page crashed under the item"):
            await ask.get("/plain", name="plain")
        crash.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await crash
    async with asking(pool, site) as ask:
        await ask.get("/plain", name="plain")

        assert ask._slot.engine.tree.pid == pid


async def test_a_browser_that_hangs_is_killed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_ANSWER_SECONDS", 0.5)
    async with pooled(pages=1) as pool:
        async with asking(pool, site, seconds=1.0) as ask:
            await ask._page()
            tree = pids_of(pool.engines[0].tree.pid)
            psutil.Process(pool.engines[0].tree.pid).send_signal(signal.SIGSTOP)
            with pytest.raises(BrowserLostError):
                await ask.get("/plain", name="plain")
        await wait_until(lambda: not running(tree))
        async with asking(pool, site) as ask:
            assert (await ask.get("/plain", name="plain")).status == 200


async def test_a_site_that_hangs_is_no_fault_of_the_browser(
    site: Site, pool: BrowserPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it one that a busy browser takes longer to open a tab than a site may to answer."""
    seconds, open_tab = 0.2, Slot.open_tab

    async def open_late(slot: Slot) -> None:
        await asyncio.sleep(2 * seconds)
        await open_tab(slot)

    monkeypatch.setattr(Slot, "open_tab", open_late)
    async with asking(pool, site, seconds=seconds) as ask:
        with pytest.raises(SourceTimeoutError):
            await ask.get("/slow", name="slow")
        pid = pool.engines[0].tree.pid
    async with asking(pool, site) as ask:
        await ask.get("/plain", name="plain")

        assert ask._slot.engine.tree.pid == pid


async def test_the_pool_heals_when_playwrights_own_process_is_killed(
    site: Site, pool: BrowserPool
) -> None:
    async with asking(pool, site) as ask:
        await ask.get("/plain", name="plain")
        tree = pids_of(pool.engines[0].tree.pid)
        driver = psutil.Process(pool.engines[0].tree.pid).parent()
        assert "node" in driver.name()
        driver.kill()
        with pytest.raises(BrowserLostError):
            await ask.get("/plain", name="plain")
    async with asking(pool, site) as ask:
        assert (await ask.get("/plain", name="plain")).status == 200
    await wait_until(lambda: not running(tree))


async def test_browsers_stay_below_their_ceiling_and_no_item_is_lost(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page takes 200 MB, as the browser itself: two at once are too much.

    Side by side they take it bit by bit, each when the pool has looked: so what grows between two
    looks stays small, however busy the machine is.
    """
    monkeypatch.setattr(pools, "_WATCH_SECONDS", pools._CLOSE_WATCH_SECONDS)
    ceiling, read, most = 700, 0, 0
    looked = asyncio.Event()

    async with pooled(pages=2, memory_mb=ceiling) as pool:

        async def may(_: web.Request) -> web.Response:
            if len(pool._lent) > 1:
                await looked.wait()
            return web.Response()

        site.pages["/may"] = may
        keep_ceiling = pool._keep_ceiling

        def keep_and_tell() -> None:
            keep_ceiling()
            looked.set()
            looked.clear()

        pool._keep_ceiling = keep_and_tell

        async def measure() -> None:
            nonlocal most
            while True:
                sizes = [await asyncio.to_thread(e.tree.measure) for e in list(pool.engines)]
                most = max(most, sum(sizes))
                await asyncio.sleep(0.1)

        async def item() -> None:
            nonlocal read
            while True:
                with suppress(BrowserLostError):
                    async with asking(pool, site) as ask:
                        await ask.render("/leaking", name="leaking", ready="#leaked")
                    read += 1
                    return

        watching = asyncio.create_task(measure())
        await asyncio.gather(*[item() for _ in range(4)])
        watching.cancel()

    assert read == 4
    assert most < ceiling * 2**20


async def test_idle_browsers_are_closed(site: Site) -> None:
    async with pooled(pages=1, idle_seconds=0.1) as pool:
        async with asking(pool, site) as ask:
            await ask.get("/plain", name="plain")
            tree = pids_of(pool.engines[0].tree.pid)
        await wait_until(lambda: not running(tree))

        assert pool.engines == []


async def test_a_cancelled_item_leaves_no_page_behind(site: Site, pool: BrowserPool) -> None:

    async def item() -> None:
        async with asking(pool, site) as ask:
            await ask.get("/slow", name="slow")

    task = asyncio.create_task(item())
    await site.come.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asking(pool, site) as ask:  # the one page there may be is free again
        assert (await ask.get("/plain", name="plain")).status == 200


async def test_without_a_browser_the_item_says_what_to_do(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROPKIT_BROWSER", "/no/such/browser")
    async with pooled() as pool, asking(pool, site) as ask:
        with pytest.raises(SourceError, match="PROPKIT_BROWSER is '/no/such/browser'"):
            await ask.get("/plain", name="plain")
