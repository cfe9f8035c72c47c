"""The contenders: each does a job in a process of its own and writes down what it cost.

``python -m tests.benchmarks.contenders NAME JOB.json FOLDER`` stores into ``FOLDER/*.duckdb`` and
writes ``FOLDER/measured.json``. Imports are not counted, opening and closing the store are.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from tests.benchmarks.jobs import Finish, Job

CONTENDERS = {
    "propkit": "propkit_client:propkit_kits",
    "propkit_with_bars": "propkit_client:propkit_with_bars",
    "aiohttp_by_hand": "aiohttp_client:aiohttp_by_hand",
    "crawlee": "crawlee_client:crawlee_crawler",
    "scrapy": "scrapy_client:scrapy_spider",
    "requests_threads": "requests_clients:requests_threads",
    "requests_one_by_one": "requests_clients:requests_one_by_one",
    "dlt": "dlt_client:dlt_pipeline",
    "aiohttp_fetch_only": "aiohttp_client:aiohttp_fetch_only",
    "server_alone": "raw_client:server_alone",
    "propkit_leads": "propkit_client:propkit_leads",
    "aiohttp_leads": "aiohttp_client:aiohttp_leads",
    "dlt_leads": "dlt_client:dlt_leads",
    "propkit_area": "propkit_client:propkit_area",
    "aiohttp_layer": "layer_by_hand:aiohttp_layer",
    "guests": "guests:guests_at_once",
    "plans": "planning:plans",
    "listings": "listing:listings",
    "reparse": "reparsing:reparse_kept",
    "browser_pages": "browsers:browser_pages",
    "browser_leak": "browsers:browser_leak",
    "postings": "posting:postings",
}
"""Each contender's module and function."""

FETCH_ONLY = ("aiohttp_fetch_only", "server_alone")
"""They store nothing."""

NOT_COMPARED = (
    *FETCH_ONLY,
    "guests",
    "plans",
    "listings",
    "reparse",
    "browser_pages",
    "browser_leak",
    "postings",
)
"""Their rows are not compared: they store none, or check them by themselves."""

_LOADED_BEFORE = ("pandas", "pyarrow.compute", "pyarrow.pandas_compat", "pyarrow.parquet")
"""What DuckDB and pyarrow load only when they first take rows."""


def main() -> None:
    """Run one contender."""
    name, job, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    for lazily_loaded in _LOADED_BEFORE:
        import_module(lazily_loaded)
    module, _, function = CONTENDERS[name].partition(":")
    prepare: Callable[[Job, Path], Finish] = getattr(
        import_module(f"tests.benchmarks.{module}"), function
    )
    finish = prepare(Job.read(job), folder)
    started, cpu = time.perf_counter(), _cpu_seconds()
    extra = finish() or {}
    seconds, cpu_seconds = time.perf_counter() - started, _cpu_seconds() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    measured = {
        "seconds": round(seconds, 4),
        "cpu_seconds": round(cpu_seconds, 4),
        # Linux counts kB, macOS bytes.
        "peak_mb": round(peak / (2**20 if sys.platform == "darwin" else 1024), 1),
        **extra,
    }
    (folder / "measured.json").write_text(json.dumps(measured), "utf-8")


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
