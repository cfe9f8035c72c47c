"""How the browser scenarios are judged, and that leaking pages are measured (a short run)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.benchmarks import browsers, tables, targets
from tests.benchmarks.jobs import HostJob, Job

PAGES = int(os.environ.get("BENCH_LEAK_PAGES", "24"))
"""Pages of the short run; 1100 are the scenario's own."""


def test_pages_are_judged_beside_playwright_by_hand() -> None:
    median = {
        "own_per_second": 9.0,
        "reused_per_second": 10.0,
        "new_per_second": 2.0,
        "to_reused": 0.9,
        "to_new": 4.5,
    }
    found = {"entries": [{"contender": "browser_pages", "median": median}]}

    checks = targets.check_browser(found)

    assert [(check.value, check.is_met) for check in checks] == [(0.9, True), (4.5, False)]
    assert tables.browser_table(found)[2:] == [
        "| propkit | 9.0 |  |",
        "| Playwright, reused pages | 10.0 | 0.90 × |",
        "| Playwright, a new browser each | 2.0 | 4.5 × |",
    ]
    assert targets.check_browser({"entries": []}) == []


@pytest.mark.browser
@pytest.mark.timeout(900)
def test_leaking_pages_stay_below_the_ceiling_and_none_is_lost(tmp_path: Path) -> None:
    keys = [str(number) for number in range(PAGES)]
    host = HostJob(base_url="http://127.0.0.1:9", keys=keys, requests_per_second=None)

    median = browsers.browser_leak(Job(hosts=[host], pace="none"), tmp_path)()
    found = {"entries": [{"contender": "browser_leak", "median": median}]}

    assert [check.is_met for check in targets.check_leak(found)] == [True, True]
    assert median["pages"] == PAGES
    assert median["most_mb"] > 100
    assert len(tables.leak_table(found)) == 3
    assert targets.check_leak({"entries": []}) == []
