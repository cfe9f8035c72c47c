"""How posting is judged, and that it is measured (a short run)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.benchmarks import posting, tables, targets
from tests.benchmarks.jobs import HostJob, Job

ROWS = int(os.environ.get("BENCH_POSTING_ROWS", "2"))
"""Rows of the short run; 72 are the scenario's own."""


def test_a_row_is_judged_beside_the_same_clicks() -> None:
    median = {"own_ms": 840.0, "hand_ms": 800.0, "to_hand": 1.05}
    found = {"entries": [{"contender": "postings", "median": median}]}

    checks = targets.check_posting(found)

    assert [(check.value, check.is_met) for check in checks] == [(1.05, True)]
    assert tables.posting_table(found)[2:] == [
        "| propkit | 840 |  |",
        "| Playwright by hand | 800 | 1.05 × |",
    ]
    assert targets.check_posting({"entries": []}) == []


@pytest.mark.browser
@pytest.mark.timeout(300)
def test_both_ways_post_every_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "_ROUNDS", 1)
    keys = [str(number) for number in range(ROWS)]
    host = HostJob(base_url="http://127.0.0.1:9", keys=keys, requests_per_second=None)

    median = posting.postings(Job(hosts=[host], pace="none"), tmp_path)()

    assert (median["rows"], median["own_ms"] > 0, median["to_hand"] > 0) == (ROWS, True, True)
