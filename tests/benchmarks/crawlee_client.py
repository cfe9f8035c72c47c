"""Crawlee: an HttpCrawler with its queue in memory, and the sink in the request handler.

Where the limits are not known its autoscaling is left as it comes. Refusals are its own to
handle: by default it takes status 429 for a blocked session and rotates to another.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from pathlib import Path

from crawlee import ConcurrencySettings, Request
from crawlee.configuration import Configuration
from crawlee.crawlers import HttpCrawler, HttpCrawlingContext
from crawlee.storage_clients import MemoryStorageClient

from tests.benchmarks.by_hand import Sink, read_parcel
from tests.benchmarks.jobs import Finish, Job


def crawlee_crawler(job: Job, folder: Path) -> Finish:
    """Collect with Crawlee."""
    logging.disable(logging.CRITICAL)

    async def collect() -> None:
        places = job.in_flight * len(job.hosts)
        fixed = ConcurrencySettings(
            min_concurrency=places, max_concurrency=places, desired_concurrency=places
        )
        crawler = HttpCrawler(
            storage_client=MemoryStorageClient(),
            configuration=Configuration(storage_dir=str(folder / "crawlee")),
            concurrency_settings=None if job.pace == "learn" else fixed,
            configure_logging=False,
            status_message_logging_interval=timedelta(hours=1),
        )
        with Sink(folder / "store.duckdb") as sink:

            @crawler.router.default_handler
            async def handle(context: HttpCrawlingContext) -> None:
                apn = context.request.url.rpartition("/")[2]
                sink.add(read_parcel(apn, await context.http_response.read()))

            headers = {"AUTHORIZATION": job.token}
            await crawler.run(
                [
                    Request.from_url(f"{host.base_url}/parcel/{apn}", headers=headers)
                    for host in job.hosts
                    for apn in host.keys
                ]
            )

    return lambda: asyncio.run(collect())
