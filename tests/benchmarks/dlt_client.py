"""dlt: a resource of addresses, a transformer that fetches in threads, DuckDB as the destination.

Loaded by way of Parquet files, which is much faster here than dlt's default for DuckDB.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
from dlt.sources.helpers.requests import Client
from requests import Response

from tests.benchmarks.by_hand import read_parcel
from tests.benchmarks.jobs import Finish, Job
from tests.benchmarks.leads_by_hand import page_body, page_query, read_leads


def dlt_pipeline(job: Job, folder: Path) -> Finish:
    """Collect with dlt, its tables and types made by its own schema inference."""
    os.environ |= {
        "EXTRACT__MAX_PARALLEL_ITEMS": str(job.in_flight * 2),
        "EXTRACT__WORKERS": str(job.in_flight),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "CRITICAL",
    }
    client = Client(retry_condition=_is_no_json)

    @dlt.resource
    def addresses() -> Iterator[tuple[str, str]]:
        for host in job.hosts:
            for apn in host.keys:
                yield f"{host.base_url}/parcel/{apn}", apn

    @dlt.transformer(data_from=addresses, parallelized=True)
    def answers(asked: tuple[str, str]) -> Iterator[Any]:
        url, apn = asked
        answer = client.get(url, headers={"AUTHORIZATION": job.token})
        for table, rows in read_parcel(apn, answer.content).items():
            yield dlt.mark.with_table_name(rows, table)

    return lambda: _run_pipeline(answers, folder)


def dlt_leads(job: Job, folder: Path) -> Finish:
    """Buy leads with dlt, one page after the other, as aiohttp_leads does."""
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}
    client, host = Client(), job.hosts[0]

    @dlt.resource
    def leads() -> Iterator[Any]:
        start, total = 0, 1
        while start < total:
            answer = client.post(
                f"{host.base_url}/v1/properties",
                params=page_query(start),
                json=page_body(),
                headers={"Authorization": f"Bearer {job.token}"},
            )
            page = answer.json()
            yield read_leads(page["results"])
            total = page["totalResultCount"]
            start += len(page["results"])

    return lambda: _run_pipeline(leads, folder)


def _run_pipeline(resource: Any, folder: Path) -> None:
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(folder / "dlt"),
        destination=dlt.destinations.duckdb(str(folder / "store.duckdb")),
        dataset_name="bench",
    )
    pipeline.run(resource, loader_file_format="parquet")


def _is_no_json(answer: Response | None, error: BaseException | None) -> bool:
    if answer is None or answer.status_code != 200:
        return False
    try:
        json.loads(answer.content)
    except ValueError:
        return True
    return False
