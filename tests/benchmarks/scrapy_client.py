"""Scrapy: a spider, and a pipeline that stores with the sink.

Each host is a download slot. Where the limits are not known AutoThrottle is on, as it comes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import scrapy
from scrapy.crawler import AsyncCrawlerProcess, Crawler
from scrapy.downloadermiddlewares.retry import get_retry_request
from scrapy.http import Request, Response

from tests.benchmarks.by_hand import Sink, read_parcel
from tests.benchmarks.jobs import Finish, Job


class ParcelSpider(scrapy.Spider):
    """Asks for every parcel of the job."""

    name = "parcels"

    def __init__(self, job: Job, folder: Path) -> None:
        super().__init__()
        self.job = job
        self.folder = folder

    async def start(self) -> AsyncIterator[Request]:
        headers = {"AUTHORIZATION": self.job.token}
        waiting = [(host.base_url, apn) for host in self.job.hosts for apn in host.keys]
        if len(self.job.hosts) > 1:
            # In turns, so that no host waits for the requests of another.
            waiting.sort(key=lambda asked: hash(asked[1]))
        for base_url, apn in waiting:
            yield Request(
                f"{base_url}/parcel/{apn}",
                headers=headers,
                meta={"download_slot": base_url},
                cb_kwargs={"apn": apn},
            )

    def parse(self, response: Response, apn: str) -> Iterator[Request | dict[str, Any]]:
        try:
            rows = read_parcel(apn, response.body)
        except ValueError:
            again = get_retry_request(response.request, spider=self, reason="no JSON")
            if again is not None:
                yield again
        else:
            yield {"rows": rows}


class SinkPipeline:
    """Stores what the spider yields."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> SinkPipeline:
        return cls(crawler)

    def open_spider(self) -> None:
        self._sink = Sink(self._crawler.spider.folder / "store.duckdb")

    def process_item(self, item: dict[str, Any]) -> dict[str, Any]:
        self._sink.add(item["rows"])
        return item

    def close_spider(self) -> None:
        self._sink.__exit__()


def scrapy_spider(job: Job, folder: Path) -> Finish:
    """Collect with Scrapy, with settings for throughput or to keep to limits."""
    settings: dict[str, Any] = {
        "AUTOTHROTTLE_ENABLED": job.pace == "learn",
        # A response yields one item; by default Scrapy makes 100 tasks for each response.
        "CONCURRENT_ITEMS": 1,
        "CONCURRENT_REQUESTS": job.in_flight * len(job.hosts),
        "CONCURRENT_REQUESTS_PER_DOMAIN": job.in_flight,
        "COOKIES_ENABLED": False,
        "ITEM_PIPELINES": {SinkPipeline: 100},
        "LOG_ENABLED": False,
        "LOG_INSTALL_ROOT_HANDLER": False,
        "TELNETCONSOLE_ENABLED": False,
    }
    process = AsyncCrawlerProcess(settings)
    process.crawl(ParcelSpider, job=job, folder=folder)  # starts with the process

    def collect() -> None:
        process.start()

    return collect
