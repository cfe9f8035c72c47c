"""propkit as its user has it: a kit for each host, one batch each, all at once; leads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import propkit as pk
from propkit.sources import configure_sources
from tests.benchmarks.by_hand import TABLES
from tests.benchmarks.jobs import Finish, HostJob, Job
from tests.benchmarks.layer_by_hand import IN_FLIGHT as AREA_IN_FLIGHT
from tests.benchmarks.leads_by_hand import CRITERIA, PAGE_SIZE

_UNLIMITED = 100_000.0


def propkit_kits(job: Job, folder: Path) -> Finish:
    """Collect with kits; the parcels, houses, values and sales of the assessor."""
    kits = [(_settings(job, host), host.keys) for host in job.hosts]
    # Both load what they need on first use: before the clock starts.
    configure_sources(kits[0][0])
    open_kit = pk.open

    def collect() -> None:
        with ExitStack() as ends:
            batches = [
                ends.enter_context(
                    open_kit(folder / f"store-{number}.duckdb", settings=settings)
                ).start(apns, datasets=list(TABLES), max_age=0, workers=job.in_flight)
                for number, (settings, apns) in enumerate(kits)
            ]
            for batch in batches:
                report = batch.wait()
                assert report.state == "completed", report

    return collect


def propkit_with_bars(job: Job, folder: Path) -> Callable[[], dict[str, float]]:
    """Collect while the notebook's bars show it, and say what that costs the main thread."""
    from propkit.widgets import ProgressBars  # here: nobody else has the widgets loaded

    settings, apns = _settings(job, job.hosts[0]), job.hosts[0].keys
    configure_sources(settings)
    open_kit, bars = pk.open, ProgressBars()

    def collect() -> dict[str, float]:
        with open_kit(folder / "store-0.duckdb", settings=settings) as kit:
            batch = kit.start(apns, datasets=list(TABLES), max_age=0, workers=job.in_flight)
            began, cpu = time.perf_counter(), time.thread_time()
            while batch.is_running:
                try:
                    batch.wait(timeout=0.2)
                except TimeoutError:
                    if batch.progress:
                        bars.show(batch.progress)
            share = (time.thread_time() - cpu) / (time.perf_counter() - began)
            assert batch.wait().state == "completed"
        return {"ui_share": round(share, 5)}

    return collect


def propkit_leads(job: Job, folder: Path) -> Callable[[], dict[str, float]]:
    """Buy leads as a cell does that awaits the batch, and say how long its loop hung at most."""
    host = job.hosts[0]
    source = {
        "base_url": f"{host.base_url}/v1",
        "token": job.token,
        "requests_per_second": _UNLIMITED,
    }
    settings = pk.Settings.load(sources={"propertyradar": source})
    configure_sources(settings)
    open_kit = pk.open

    async def buy() -> float:
        with open_kit(folder / "store-0.duckdb", settings=settings) as kit:
            preview = kit.leads(CRITERIA, page_size=PAGE_SIZE)
            watching = asyncio.create_task(longest_gap())
            batch = preview.buy(max_records=len(host.keys), max_cost=0)
            report = await batch
            watching.cancel()
            assert report.state == "completed", report
            return await watching

    return lambda: {"gap_ms": round(1000 * asyncio.run(buy()), 2)}


def propkit_area(job: Job, folder: Path) -> Finish:
    """Collect an area of a map layer in one call."""
    host = job.hosts[0]
    source = {
        "base_url": f"{host.base_url}/MapServer/0",
        "requests_per_second": _UNLIMITED,
        "max_in_flight": AREA_IN_FLIGHT,
    }
    settings = pk.Settings.load(
        sources={"maricopa_parcels": source}, collect={"workers": AREA_IN_FLIGHT}
    )
    configure_sources(settings)
    open_kit = pk.open

    def collect() -> None:
        with open_kit(folder / "store-0.duckdb", settings=settings) as kit:
            where = f"OBJECTID <= {len(host.keys)}"
            report = kit.collect_area(where=where, progress=False)
            assert report.is_complete, report

    return collect


async def longest_gap(tick_seconds: float = 0.005) -> float:
    """Return, once cancelled, by how many seconds this loop was late at worst."""
    loop, longest = asyncio.get_running_loop(), 0.0
    due = loop.time() + tick_seconds
    try:
        while True:
            await asyncio.sleep(due - loop.time())
            longest = max(longest, loop.time() - due)
            due = loop.time() + tick_seconds
    except asyncio.CancelledError:
        return max(longest, loop.time() - due)


def _settings(job: Job, host: HostJob) -> pk.Settings:
    rates = {"none": _UNLIMITED, "known": host.requests_per_second, "learn": "learn"}
    source = {
        "base_url": host.base_url,
        "token": job.token,
        "requests_per_second": rates[job.pace],
        "max_in_flight": job.in_flight,
    }
    return pk.Settings.load(sources={"maricopa_assessor": source})
