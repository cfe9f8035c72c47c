"""A listing sheet posted through a browser: propkit beside Playwright by hand, the same clicks.

Both log in once and post every row with a photo, a tag and a place to the demo county's site, in
turns of a few rows. propkit is the whole of it (sheet, checks, intent and proof in the ledger, every
field read back, status written into the workbook), Playwright by hand only fills in and clicks.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openpyxl
from playwright.async_api import Page, async_playwright

import propkit as pk
from propkit.browser import LaunchOptions, find_browser
from propkit.demo_county import County, start_county
from tests.benchmarks.jobs import Job
from tests.posters.selling import TEXT, make_settings, picture

_ROUNDS = 3
_HEADERS = (
    "id", "title", "description", "price", "tags", "images", "condition", "seller", "location",
)  # fmt: skip


def postings(job: Job, folder: Path) -> Callable[[], dict[str, Any]]:
    """Measure the seconds per row, propkit and by hand, in rounds of a part of the rows each."""
    rows = max(_ROUNDS, len(job.hosts[0].keys))

    def measure() -> dict[str, Any]:
        image = picture(folder, 1)
        own: list[float] = []
        hand: list[float] = []
        numbers = [range(start, rows, _ROUNDS) for start in range(_ROUNDS)]
        with ThreadPoolExecutor(1) as thread:  # what looks for a browser may have no loop around it
            options = thread.submit(find_browser).result().launch_options()
        with start_county(parcels=50, limits={"classifieds": None}) as county:
            for part in numbers:
                seconds = asyncio.run(_post_by_hand(options, county, part, image))
                hand.append(seconds / len(part))
                path = folder / f"{part.start}.xlsx"
                _write_sheet(path, part, image)
                started_at = time.perf_counter()
                report = pk.run_batch(path, poster="kijiji", settings=make_settings(county))
                own.append((time.perf_counter() - started_at) / len(part))
                assert report.successful_posts == len(part), report.message
            titles = sorted(ad["title"] for ad in county.postings())
        both = sorted(
            [_title("own", n) for n in range(rows)] + [_title("hand", n) for n in range(rows)]
        )
        assert titles == both
        return {
            "rows": rows,
            "own_ms": 1000 * statistics.median(own),
            "hand_ms": 1000 * statistics.median(hand),
            # Round by round, since what else the machine does changes from one to the next.
            "to_hand": statistics.median(a / b for a, b in zip(own, hand, strict=True)),
        }

    return measure


def _title(way: str, number: int) -> str:
    return f"Bucket truck {way} {number}"


def _write_sheet(path: Path, numbers: Sequence[int], image: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(_HEADERS)
    for n in numbers:
        more = ("boom", image.name, "New", "Owner", "Mesa")
        sheet.append((f"BT{n:04}", _title("own", n), TEXT, 9000 + n, *more))
    book.save(path)


async def _post_by_hand(
    options: LaunchOptions, county: County, numbers: Sequence[int], image: Path
) -> float:
    given = county.poster_settings()["kijiji"]
    started_at = time.perf_counter()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(**options)
        page = await browser.new_page()
        await page.goto(f"{given['base_url']}/p-post-ad.html")
        await page.fill("#email", given["account"])
        await page.fill("#password", given["password"])
        await page.click("button:has-text('Sign in')")
        await page.wait_for_selector("#AdTitle")
        for n in numbers:
            await _post_one(page, given["base_url"], n, image)
        await browser.close()
    return time.perf_counter() - started_at


async def _post_one(page: Page, url: str, number: int, image: Path) -> None:
    await page.goto(f"{url}/p-post-ad.html", wait_until="domcontentloaded")
    await page.fill("#AdTitle", _title("hand", number))
    await page.click("#next")
    await page.click("[data-testid^=suggested-category]")
    await page.click("[data-testid=package-0-bottom-select]")
    await page.set_input_files("#photos", image)
    await page.fill("#pstad-descrptn", TEXT)
    await page.fill("#PriceAmount", str(9000 + number))
    await page.select_option("#condition_s", label="New")
    await page.click("#seller-Owner")
    await page.fill("#tags", "boom")
    await page.click("#add-tag")
    await page.locator("#location").press_sequentially("Mesa")
    await page.click("[role=listbox] [role=option]")
    await page.wait_for_selector("[data-testid=image-thumbnail]")
    await page.click("[data-testid=checkout-post-btn]")
    await page.wait_for_url("**/v-*/**", wait_until="commit")
