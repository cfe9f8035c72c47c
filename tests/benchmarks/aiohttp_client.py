"""A minimal client by hand: aiohttp, a queue, the sink. The practical limit of what Python does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from tests.benchmarks.by_hand import Rows, Sink, read_parcel
from tests.benchmarks.jobs import ATTEMPTS, Finish, HostJob, Job, backoff
from tests.benchmarks.leads_by_hand import LeadSink, page_body, page_query, read_leads


class _Pacer:
    """Gives starts ``1 / rate`` seconds apart."""

    def __init__(self, requests_per_second: float) -> None:
        self._spacing = 1 / requests_per_second
        self._next_at = 0.0

    async def wait(self) -> None:
        now = asyncio.get_running_loop().time()
        start_at = max(now, self._next_at)
        self._next_at = start_at + self._spacing
        if start_at > now:
            await asyncio.sleep(start_at - now)


def aiohttp_by_hand(job: Job, folder: Path) -> Finish:
    """Collect with workers for each host; a refusal is waited out, whatever fails is retried."""

    async def collect() -> None:
        headers = {"AUTHORIZATION": job.token}
        with Sink(folder / "store.duckdb") as sink:
            async with aiohttp.ClientSession(headers=headers) as session:

                async def work(host: HostJob, waiting: list[str], pacer: _Pacer | None) -> None:
                    while waiting:
                        apn = waiting.pop()
                        rows = await _fetch(session, f"{host.base_url}/parcel/{apn}", apn, pacer)
                        sink.add(rows)

                async with asyncio.TaskGroup() as workers:
                    for host in job.hosts:
                        rate = host.requests_per_second if job.pace == "known" else None
                        pacer = _Pacer(rate) if rate else None
                        waiting = host.keys[::-1]
                        for _ in range(job.in_flight):
                            workers.create_task(work(host, waiting, pacer))

    return lambda: asyncio.run(collect())


async def _fetch(session: aiohttp.ClientSession, url: str, apn: str, pacer: _Pacer | None) -> Rows:
    attempt = 0
    while attempt < ATTEMPTS:
        attempt += 1
        pause = backoff(attempt)
        if pacer:
            await pacer.wait()
        try:
            async with session.get(url) as answer:
                if answer.status == 200:
                    return read_parcel(apn, await answer.read())
                if "Retry-After" in answer.headers:
                    pause = float(answer.headers["Retry-After"])
                    attempt -= 1  # waiting as long as the host asks is no failed attempt
        except (aiohttp.ClientError, TimeoutError, ValueError):
            pass
        await asyncio.sleep(pause)
    return {}


def aiohttp_fetch_only(job: Job, folder: Path) -> Finish:
    """Only fetch, to read and store nothing: what the client alone costs."""

    async def fetch() -> None:
        async with aiohttp.ClientSession(headers={"AUTHORIZATION": job.token}) as session:
            host = job.hosts[0]
            waiting = iter(host.keys)

            async def work() -> None:
                for apn in waiting:
                    async with session.get(f"{host.base_url}/parcel/{apn}") as answer:
                        await answer.read()

            await asyncio.gather(*(work() for _ in range(job.in_flight)))

    return lambda: asyncio.run(fetch())


def aiohttp_leads(job: Job, folder: Path) -> Finish:
    """Buy leads page after page, as the total tells, without counting them first."""

    async def buy() -> None:
        host, start, total = job.hosts[0], 0, 1
        headers = {"Authorization": f"Bearer {job.token}"}
        with LeadSink(folder / "store.duckdb") as sink:
            async with aiohttp.ClientSession(headers=headers) as session:
                while start < total:
                    url = f"{host.base_url}/v1/properties"
                    query, body = page_query(start), page_body()
                    async with session.post(url, params=query, json=body) as answer:
                        answer.raise_for_status()
                        page = await answer.json()
                    sink.add(read_leads(page["results"]))
                    total = page["totalResultCount"]
                    start += len(page["results"])

    return lambda: asyncio.run(buy())
