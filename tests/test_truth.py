"""Every field of every record equals the county's truth, through each way in.

A few parcels by default; ``PROPKIT_TEST_TRUTH_PARCELS=500`` takes as many, for which the browser
needs minutes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from propkit.kinds import ALL_DATASETS
from tests.collecting import in_order, quick_kit, table_as_truth

if TYPE_CHECKING:
    from pathlib import Path

    from propkit.demo_county import County

ASKED = os.environ.get("PROPKIT_TEST_TRUTH_PARCELS")
BY_BROWSER = ("tax_bills", "tax_payments", "documents")


def some_parcels(county: County, usual: int) -> list[str]:
    """Return parcels from all over the county, shops and unknown ones among them."""
    return county.apns(int(ASKED) if ASKED else usual, seed=17)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "switches",
    [
        {"layout": "list", "year_table": "gvTaxYears", "envelope": "results"},
        {"one_call": False, "layout": "table", "year_table": "divBackTaxes"},
    ],
    ids=["in one call", "by sections"],
)
def test_every_field_is_the_countys_truth(
    county: County, tmp_path: Path, switches: dict[str, Any]
) -> None:
    apns = some_parcels(county, 60)
    county.switch(**switches)
    with quick_kit(county, tmp_path / "a.duckdb", workers=6) as kit:
        kit.collect(apns, datasets=ALL_DATASETS, progress=False)
        found = {table: table_as_truth(kit, table) for table in ALL_DATASETS}
        duplicates = kit.store.duplicates()

    truth = {**county.truth(apns), **_details(county, apns)}
    assert found == {table: in_order(truth[table]) for table in ALL_DATASETS}
    assert [table for table, rows in found.items() if not rows] == []
    assert duplicates == {}


@pytest.mark.browser
@pytest.mark.timeout(3600)
def test_every_field_is_the_countys_truth_by_browser(county: County, tmp_path: Path) -> None:
    apns = some_parcels(county, 6)
    path = tmp_path / "a.duckdb"
    with quick_kit(county, path, has_browser=True, workers=4, request_timeout=60) as kit:
        # The recorder is asked by the deed's number, which the assessor knows.
        kit.collect(apns, datasets="parcels", mode="api", progress=False)
        kit.collect(apns, datasets=BY_BROWSER, mode="browser", progress=False)
        found = {table: table_as_truth(kit, table) for table in BY_BROWSER}
        ways = kit.store.rows(
            "SELECT DISTINCT source FROM tax_bills UNION SELECT DISTINCT source FROM documents"
            " ORDER BY source"
        )

    truth = county.truth(apns)
    assert found == {table: in_order(truth[table]) for table in BY_BROWSER}
    assert [row["source"] for row in ways] == [
        "maricopa_recorder_portal",
        "maricopa_treasurer_browser",
    ]


def _details(county: County, apns: list[str]) -> dict[str, list[dict[str, Any]]]:
    further = county.truth(apns, details=True)
    return {table: rows for table, rows in further.items() if rows}
