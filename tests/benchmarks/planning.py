"""Planning against a whole county: 50,000 identifiers, a store of 1.7 million parcels.

The store is written straight into its file: each parcel with its record, its answers of all three
systems (half of them older than a day) and its items of a batch that has ended. Making it is not
measured; opening it, the first plan and further ones are, each for itself.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

import propkit as pk
from tests.benchmarks.guests import make_parcels
from tests.benchmarks.jobs import Job

PARCELS_FOR_EACH, IDENTIFIERS_FOR_EACH = 1700, 50
"""Parcels in the store, and identifiers to plan, for each key of the job."""
_PLANS = 7


def plans(job: Job, folder: Path) -> Callable[[], dict[str, Any]]:
    """Measure plans for identifiers as they are pasted: with dashes, some twice, some unknown."""
    path = folder / "store-0.duckdb"
    count = len(job.hosts[0].keys)
    make_county(path, PARCELS_FOR_EACH * count)
    identifiers = pasted(IDENTIFIERS_FOR_EACH * count, PARCELS_FOR_EACH * count)
    settings, open_kit = pk.Settings.load(), pk.open

    def measure() -> dict[str, Any]:
        began = time.perf_counter()
        with open_kit(path, settings=settings) as kit:
            opened = time.perf_counter() - began
            took, cpu = [], time.process_time()
            for _ in range(_PLANS):
                began = time.perf_counter()
                plan = kit.plan(identifiers)
                took.append(time.perf_counter() - began)
                assert {"due", "fresh", "duplicate", "invalid"} <= plan.counts.keys(), plan.counts
            cpu = time.process_time() - cpu
        return {
            "plan_cpu_ms": 1000 * cpu / _PLANS,
            "identifiers": len(identifiers),
            "stored": PARCELS_FOR_EACH * count,
            "open_ms": 1000 * opened,
            "first_ms": 1000 * took[0],
            "plan_ms": 1000 * statistics.median(took[1:]),
            "most_ms": 1000 * max(took),
        }

    return measure


def make_county(path: Path, parcels: int) -> None:
    """Make a store that has collected so many parcels at all three systems."""
    make_parcels(path, parcels)
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for system, key in (("assessor", "apn"), ("treasurer", "apn"), ("recorder", "deed_number")):
            connection.execute(
                f"INSERT INTO freshness BY NAME SELECT 'maricopa_{system}' AS source, {key} AS key,"
                " now() - to_hours((rowid % 48)::INTEGER) AS checked_at, true AS is_found,"
                " []::VARCHAR[] AS missing FROM parcels"
            )
        connection.execute(
            "INSERT INTO batch_heads BY NAME SELECT 'whole-county' AS batch_id, 1 AS number,"
            " 'comprehensive' AS kind, 'completed' AS state, '{}' AS criteria, now() AS created_at,"
            " now() AS updated_at"
        )
        connection.execute(
            "INSERT INTO items BY NAME SELECT 'whole-county' AS batch_id, source, key, 1 AS priority,"
            " 0 AS sequence, 'done' AS state, 1 AS attempts, missing FROM freshness"
        )


def pasted(identifiers: int, parcels: int) -> list[str]:
    """Return identifiers from all over the county; of 100 one twice, one unknown, one no APN."""
    step = max(1, parcels // identifiers)
    numbers = [10_000_000 + place * step for place in range(identifiers)]
    apns = [f"{number:08d}" for number in numbers]
    texts = [f"{apn[:3]}-{apn[3:5]}-{apn[5:]}" for apn in apns]
    for place in range(0, identifiers, 100):
        texts[place : place + 3] = [texts[place + 3], f"999-99-{place % 1000:03d}", "no parcel"]
    return texts
