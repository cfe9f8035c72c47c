"""The contenders: each collects the job's parcels into a DuckDB file and prints what it cost.

``python -m tests.benchmarks.contenders NAME JOB.json STORE.duckdb``. Imports are not counted,
opening and closing the store are. The clients other than propkit are what a competent person
writes for this one task: fetch, read, gather, insert by Arrow.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.benchmarks.by_hand import TABLES, Sink, read_parcel

Job = dict[str, Any]
Finish = Callable[[], None]


def propkit(job: Job, store: Path) -> Finish:
    """Collect with the kit, its tables counted like everybody's."""
    import propkit as pk
    from propkit.sources import configure_sources

    limits = {"requests_per_second": 100_000, "max_in_flight": job["in_flight"]}
    source = {"base_url": job["base_url"], "token": job["token"], **limits}
    settings = pk.Settings.load(sources={"maricopa_assessor": source})
    configure_sources(settings)  # loads everything before the clock starts

    def collect() -> None:
        with pk.open(store, settings=settings) as kit:
            report = kit.collect(
                job["apns"],
                datasets=list(TABLES),
                max_age=0,
                workers=job["in_flight"],
                progress=False,
            )
        assert report.state == "completed", report

    return collect


def aiohttp_by_hand(job: Job, store: Path) -> Finish:
    """Collect with a small client of one's own."""
    import aiohttp

    async def collect() -> None:
        headers = {"AUTHORIZATION": job["token"]}
        waiting = iter(job["apns"])
        with Sink(store) as sink:
            async with aiohttp.ClientSession(headers=headers) as session:

                async def work() -> None:
                    for apn in waiting:
                        async with session.get(f"{job['base_url']}/parcel/{apn}") as answer:
                            sink.add(read_parcel(apn, await answer.read()))

                await asyncio.gather(*(work() for _ in range(job["in_flight"])))

    return lambda: asyncio.run(collect())


def requests_threads(job: Job, store: Path) -> Finish:
    """Collect with requests in five threads, a session each."""
    import threading

    import requests

    local = threading.local()

    def fetch(apn: str) -> tuple[str, bytes]:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        answer = local.session.get(
            f"{job['base_url']}/parcel/{apn}",
            headers={"AUTHORIZATION": job["token"]},
            timeout=30,
        )
        return apn, answer.content

    def collect() -> None:
        with ThreadPoolExecutor(5) as threads, Sink(store) as sink:
            for apn, body in threads.map(fetch, job["apns"]):
                sink.add(read_parcel(apn, body))

    return collect


def requests_one_by_one(job: Job, store: Path) -> Finish:
    """Collect with requests, one parcel after the other."""
    import requests

    def bodies() -> Iterator[tuple[str, bytes]]:
        with requests.Session() as session:
            session.headers["AUTHORIZATION"] = job["token"]
            for apn in job["apns"]:
                answer = session.get(f"{job['base_url']}/parcel/{apn}", timeout=30)
                yield apn, answer.content

    def collect() -> None:
        with Sink(store) as sink:
            for apn, body in bodies():
                sink.add(read_parcel(apn, body))

    return collect


def county_capacity(job: Job, store: Path) -> Finish:
    """Only fetch: what the county itself can answer."""
    import aiohttp

    async def fetch() -> None:
        waiting = iter(job["apns"])
        async with aiohttp.ClientSession(headers={"AUTHORIZATION": job["token"]}) as session:

            async def work() -> None:
                for apn in waiting:
                    async with session.get(f"{job['base_url']}/parcel/{apn}") as answer:
                        await answer.read()

            await asyncio.gather(*(work() for _ in range(job["in_flight"])))

    return lambda: asyncio.run(fetch())


CONTENDERS = {
    contender.__name__: contender
    for contender in (
        propkit, aiohttp_by_hand, requests_threads, requests_one_by_one, county_capacity,
    )
}  # fmt: skip


def count_rows(store: Path, tables: Iterable[str]) -> dict[str, int]:
    """Count what was stored."""
    import duckdb

    if not store.exists():
        return {}  # the capacity run stores nothing
    with duckdb.connect(str(store), read_only=True) as connection:
        count = "SELECT count(*) FROM {}"
        return {t: connection.execute(count.format(t)).fetchall()[0][0] for t in tables}


def main() -> None:
    """Run one contender."""
    name, job, store = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    collect = CONTENDERS[name](json.loads(job.read_text("utf-8")), store)
    started, cpu = time.perf_counter(), time.process_time()
    collect()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "peak_mb": round(peak, 1),
        "rows": count_rows(store, TABLES),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
