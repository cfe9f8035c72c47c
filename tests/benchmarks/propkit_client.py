"""propkit as its user has it: a kit for each host, one batch each, all at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import propkit as pk
from propkit.sources import configure_sources
from propkit.widgets import ProgressBars
from tests.benchmarks.by_hand import TABLES
from tests.benchmarks.jobs import Finish, HostJob, Job

_UNLIMITED = 100_000.0


def propkit_kits(job: Job, folder: Path) -> Finish:
    """Collect with kits; the parcels, houses, values and sales of the assessor."""
    kits = [(_settings(job, host), host.apns) for host in job.hosts]
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
    settings, apns = _settings(job, job.hosts[0]), job.hosts[0].apns
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


def _settings(job: Job, host: HostJob) -> pk.Settings:
    rates = {"none": _UNLIMITED, "known": host.requests_per_second, "learn": "learn"}
    source = {
        "base_url": host.base_url,
        "token": job.token,
        "requests_per_second": rates[job.pace],
        "max_in_flight": job.in_flight,
    }
    return pk.Settings.load(sources={"maricopa_assessor": source})
