"""What the scenarios of planning and of listing reckon with, on a small county."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks import listing, planning, tables, targets
from tests.benchmarks.jobs import HostJob, Job


def test_a_small_county_is_planned(tmp_path: Path) -> None:
    keys = [str(number) for number in range(4)]
    host = HostJob(base_url="http://127.0.0.1:9", keys=keys, requests_per_second=None)

    median = planning.plans(Job(pace="none", hosts=[host]), tmp_path)() or {}

    assert (median["identifiers"], median["stored"]) == (200, 6800)
    assert 0 < median["plan_ms"] <= median["most_ms"]
    found = {"entries": [{"contender": "plans", "median": {**median, "most_ms": 1001.0}}]}
    (check,) = targets.check_plan(found)
    assert (check.value, check.is_met) == (1.001, False)
    assert tables.plan_table(found)[3].startswith("| first plan: 200 identifiers, 6,800 parcels |")
    assert targets.check_plan({"entries": []}) == []


def test_a_store_of_jobs_is_filled(tmp_path: Path) -> None:
    listing.fill_store(tmp_path / "jobs.duckdb", 30)

    median = {"jobs": 30, "asked": 1500} | {
        f"{way}_{of}ms": value
        for way, value in (("owner", 99.0), ("guest", 101.0))
        for of in ("", "p95_", "most_")
    }
    found = {"entries": [{"contender": "listings", "median": median}]}
    assert [(one.value, one.is_met) for one in targets.check_listing(found)] == [
        (99.0, True),
        (101.0, False),
    ]
    assert tables.listing_table(found)[2] == "| the owner | 30 | 1,500 | 99.0 | 99.0 | 99.0 |"
    assert targets.check_listing({"entries": []}) == []
