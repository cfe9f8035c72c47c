"""Jobs listed over HTTP while others ask too.

A real Jupyter server over a store of 10,000 jobs is asked for all its pages of 50 in turn, at 100
requests a second, each at its moment whether or not earlier ones have been answered. Every page has
been asked for once before. Once the server owns the store, once it is the guest of another process
that does.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp

from propkit.demo_county import start_county
from propkit.store import Store
from tests.benchmarks.guests import p95
from tests.benchmarks.jobs import Job
from tests.guests.notebooks import notebook, settings_of
from tests.server.serving import JOBS, Jupyter, jupyter

JOBS_FOR_EACH, ITEMS_EACH = 10, 20
"""Jobs in the store for each key of the job that is measured, and items of each."""
PER_SECOND, SECONDS = 100, 10
_PER_PAGE = 50


def listings(job: Job, folder: Path) -> Callable[[], dict[str, Any]]:
    """Ask a server that owns the store, then one that is a guest."""
    jobs = JOBS_FOR_EACH * len(job.hosts[0].keys)
    roots = {way: folder / way for way in ("owner", "guest")}
    for root in roots.values():
        root.mkdir()
        fill_store(root / "propkit.duckdb", jobs)

    def measure() -> dict[str, Any]:
        figures: dict[str, Any] = {"jobs": jobs, "asked": PER_SECOND * SECONDS}
        county = start_county(parcels=10)
        try:
            for way, root in roots.items():
                with ExitStack() as ends:
                    if way == "guest":
                        owner = notebook(root / "propkit.duckdb", settings_of(county))
                        ends.enter_context(owner)
                    server = ends.enter_context(jupyter(root, county, requests_per_second=1000))
                    times, failures = asyncio.run(ask_at_pace(server, jobs // _PER_PAGE))
                assert not failures, f"{failures} requests were not answered"
                figures |= {
                    f"{way}_ms": statistics.median(times),
                    f"{way}_p95_ms": p95(times),
                    f"{way}_most_ms": max(times),
                }
        finally:
            county.stop()
        return figures

    return measure


def fill_store(path: Path, jobs: int) -> None:
    """Make a store of finished jobs."""
    store = Store.open(path)
    store.writer.submit(
        lambda connection: connection.execute(
            "INSERT INTO batch_heads BY NAME SELECT strftime(TIMESTAMP '2026-01-01' + to_minutes(n),"
            " '%Y%m%d-%H%M%S') || '-' || printf('%08x', n) AS batch_id, n::INTEGER AS number,"
            " 'comprehensive' AS kind, ['completed', 'cancelled', 'paused'][n % 3 + 1] AS state,"
            """ '{"origin": "list", "sources": ["maricopa_assessor"], "workers": 3}' AS criteria,"""
            " 'ana' AS created_by, now() AS created_at, now() AS started_at,"
            " now() AS completed_at, now() AS updated_at FROM range(1, $1 + 1) AS jobs(n)",
            [jobs],
        ).fetchall()
    ).result()
    store.writer.submit(
        lambda connection: connection.execute(
            "INSERT INTO items BY NAME SELECT batch_id, 'maricopa_assessor' AS source,"
            " (number * 1000 + place)::VARCHAR AS key, (number * 1000 + place)::VARCHAR AS apn,"
            " 1 AS priority, place AS sequence, 'done' AS state, 1 AS attempts, [] AS missing"
            " FROM batch_heads, range($1) AS places(place)",
            [ITEMS_EACH],
        ).fetchall()
    ).result()
    store.close()


async def ask_at_pace(server: Jupyter, pages: int) -> tuple[list[float], int]:
    """Ask for pages at a fixed pace; return milliseconds each, and how many were not answered."""
    times: list[float] = []
    failures = 0
    url = f"http://127.0.0.1:{server.port}{JOBS}"
    connector = aiohttp.TCPConnector(limit=0)
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=jar, headers={"Authorization": f"token {server.token}"}
    ) as session:

        async def ask(number: int, due_at: float) -> None:
            nonlocal failures
            await asyncio.sleep(due_at - time.monotonic())
            async with session.get(url, params={"page": str(number % pages + 1)}) as answer:
                await answer.read()
                failures += answer.status != 200
            # From the moment it was due, so that a server that stalls is not let off.
            times.append(1000 * (time.monotonic() - due_at))

        for number in range(pages):  # the store is opened, and each page has been asked for once
            await ask(number, time.monotonic())
        times.clear()
        begin = time.monotonic() + 0.1
        count = PER_SECOND * SECONDS
        await asyncio.gather(*(ask(n, begin + n / PER_SECOND) for n in range(count)))
    return times, failures
