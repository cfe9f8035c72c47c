"""Pages of a browser: propkit's pool beside Playwright by hand, and pages that leak.

All of them read the treasurer of a demo county, parcel by parcel: the form is opened, filled in and
sent, then the list of all years and the payments are opened; four pages a parcel. propkit is the
whole of it (plan, pace, checks, records in DuckDB), Playwright by hand only reads the pages' HTML.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Self

import psutil
from playwright.async_api import Browser, Page, Playwright, Route, async_playwright

import propkit as pk
from propkit.browser import LaunchOptions, find_browser
from propkit.browsing.memory import ProcessTree
from propkit.demo_county import County, start_county
from tests.benchmarks.jobs import Job

PAGES_A_PARCEL = 4
AT_ONCE = 4
_ROUNDS = 3
_PAGES_OF_NEW_BROWSERS = 12
_BLOCKED = {"image", "font", "media"}
_TAXES = ["tax_bills", "tax_payments"]

LEAK_MB = 25.0
CEILING_MB = 1024
_SAMPLE_SECONDS = 0.2


def browser_pages(job: Job, folder: Path) -> Callable[[], dict[str, Any]]:
    """Measure pages per second: propkit, reused pages by hand, a new browser for each page."""
    parcels = max(2, len(job.hosts[0].keys) // PAGES_A_PARCEL)

    def measure() -> dict[str, Any]:
        own: list[float] = []
        reused: list[float] = []
        new: list[float] = []
        with _county() as county:
            apns = _billed(county, parcels)
            few = apns[: max(1, _PAGES_OF_NEW_BROWSERS // PAGES_A_PARCEL)]
            pages = len(apns) * PAGES_A_PARCEL
            for number in range(_ROUNDS):
                seconds, lost, _ = _collect(county, folder / f"{number}.duckdb", apns)
                assert lost == 0, f"{lost} parcels are lost"
                own.append(pages / seconds)
                reused.append(pages / asyncio.run(_by_hand(_reuse_pages, county, apns)))
                seconds = asyncio.run(_by_hand(_open_browsers, county, few))
                new.append(len(few) * PAGES_A_PARCEL / seconds)
        return {
            "pages": pages,
            "own_per_second": statistics.median(own),
            "reused_per_second": statistics.median(reused),
            "new_per_second": statistics.median(new),
            # Round by round, since what else the machine does changes from one to the next.
            "to_reused": statistics.median(a / b for a, b in zip(own, reused, strict=True)),
            "to_new": statistics.median(a / b for a, b in zip(own, new, strict=True)),
        }

    return measure


def browser_leak(job: Job, folder: Path) -> Callable[[], dict[str, Any]]:
    """Measure the browsers' memory while every page takes some and lets nothing go."""
    parcels = max(2, len(job.hosts[0].keys) // PAGES_A_PARCEL)

    def measure() -> dict[str, Any]:
        with _county() as county:
            apns = _billed(county, parcels)
            county.switch(leak_mb=LEAK_MB)
            path = folder / "leak.duckdb"
            with _Watch() as watch:
                seconds, lost, most = _collect(county, path, apns, memory_mb=CEILING_MB)
        pages = len(apns) * PAGES_A_PARCEL
        return {
            "pages": pages,
            "lost_parcels": lost,
            "own_per_second": pages / seconds,
            "most_mb": watch.most_bytes / 2**20,
            "seen_by_pool_mb": most / 2**20,
            "ceiling_mb": CEILING_MB,
        }

    return measure


def _county() -> County:
    limits = dict.fromkeys(("assessor", "treasurer", "recorder"))
    return start_county(parcels=2000, limits=limits)


def _billed(county: County, count: int) -> list[str]:
    """Return parcels that the treasurer knows."""
    truth = county.truth(county.apns(min(2000, count + 100)))
    return list(dict.fromkeys(row["apn"] for row in truth["tax_bills"]))[:count]


def _collect(
    county: County, path: Path, apns: Sequence[str], **browsing: Any
) -> tuple[float, int, int]:
    """Collect through the browser; return the seconds, what was lost, and the most memory."""
    sources = {
        name: {**given, "requests_per_second": 5000, "max_in_flight": 64}
        for name, given in county.settings().items()
    }
    settings = pk.Settings.load(sources=sources, browsing={"pages": AT_ONCE, **browsing})
    started_at = time.perf_counter()
    with pk.open(path, settings=settings) as kit:
        report = kit.collect(
            list(apns), datasets=_TAXES, mode="browser", workers=AT_ONCE, progress=False
        )
        most = kit._place.collector()[0].browsers.most_bytes
    seconds = time.perf_counter() - started_at
    if not report.is_complete:
        sys.stderr.write(f"{report}\n")
    return seconds, len(apns) - report.totals.get("done", 0), most


# --- by hand --------------------------------------------------------------------------------------


async def _by_hand(
    read: Callable[[Playwright, str, list[str]], Any], county: County, apns: Sequence[str]
) -> float:
    _options()
    left = list(apns)
    url = county.base_url("treasurer")
    started_at = time.perf_counter()
    async with async_playwright() as playwright:
        await read(playwright, url, left)
    return time.perf_counter() - started_at


async def _reuse_pages(playwright: Playwright, url: str, left: list[str]) -> None:
    browser = await _launch(playwright)

    async def worker() -> None:
        page = await _new_page(browser)
        while left:
            apn = left.pop()
            await _open_form(page, url)
            await _send_form(page, apn)
            await _open(page, f"{url}/Parcel/Summary.aspx?List=All")
            await _open(page, f"{url}/Parcel/Activities.aspx")

    await asyncio.gather(*[worker() for _ in range(AT_ONCE)])
    await browser.close()


async def _open_browsers(playwright: Playwright, url: str, left: list[str]) -> None:
    """Open each page in a browser of its own; only the first page of each four has a session."""

    async def worker() -> None:
        while left:
            left.pop()
            for _ in range(PAGES_A_PARCEL):
                browser = await _launch(playwright)
                await _open_form(await _new_page(browser), url)
                await browser.close()

    await asyncio.gather(*[worker() for _ in range(AT_ONCE)])


async def _launch(playwright: Playwright) -> Browser:
    return await playwright.chromium.launch(**_options())


@cache
def _options() -> LaunchOptions:
    """Return how the same browser is opened by hand."""
    with ThreadPoolExecutor(1) as thread:  # what looks for it may have no loop around it
        return thread.submit(find_browser).result().launch_options()


async def _new_page(browser: Browser) -> Page:
    page = await (await browser.new_context()).new_page()

    async def decide(route: Route) -> None:
        if route.request.resource_type in _BLOCKED:
            await route.abort()
        else:
            await route.continue_()

    await page.route("**/*", decide)
    return page


async def _open(page: Page, url: str) -> str:
    await page.goto(url, wait_until="domcontentloaded")
    return await page.content()


async def _open_form(page: Page, url: str) -> None:
    await _open(page, f"{url}/")


async def _send_form(page: Page, apn: str) -> None:
    parts = (apn[:3], apn[3:5], apn[5:8], apn[8:])
    for box, part in zip(("Book", "Map", "Item", "Split"), parts, strict=True):
        await page.fill(f"#txtParcelNum{box}", part)
    async with page.expect_navigation(wait_until="domcontentloaded"):
        await page.click("#btnGo")
    html = await page.content()
    assert f"{apn[:3]}-{apn[3:5]}-{apn[5:8]}" in html


class _Watch:
    """Measures what all browsers of this process hold, apart from propkit."""

    def __init__(self) -> None:
        self.most_bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        own = psutil.Process()
        while not self._ended.wait(_SAMPLE_SECONDS):
            total = 0
            with suppress(psutil.Error):
                for child in own.children(recursive=True):
                    with suppress(psutil.Error):
                        is_main = "--type=" not in " ".join(child.cmdline())
                        if "chrom" in child.name() and is_main:
                            total += ProcessTree(child.pid).measure()
            self.most_bytes = max(self.most_bytes, total)
