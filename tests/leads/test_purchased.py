"""What a batch that buys leads tells of itself: leads and their cost, not only its pages."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from propkit.progress import describe
from propkit.store.purchases import Purchased
from tests.leads.selling import CAPS, CRITERIA, WAIT, leads_kit

if TYPE_CHECKING:
    from pathlib import Path

    from propkit.demo_county import County
    from propkit.runtime.report import BatchReport

NOTHING = Decimal("0.00")


def lines(report: BatchReport, *beginnings: str) -> list[str]:
    """Return the lines of a report that begin so."""
    return [line for line in str(report).splitlines() if line.startswith(beginnings)]


def test_a_report_counts_leads_and_what_they_cost(county: County, path: Path):
    """In words, as columns beside those that every report has, and while it goes on."""
    with leads_kit(county, path, progress_seconds=0.001) as kit:
        told: list[str] = []
        preview = kit.leads(CRITERIA, page_size=100)
        batch = preview.buy(max_records=250, max_cost=0, listener=lambda p: told.append(p.reach))
        report = batch.wait(WAIT)
        shown, said = repr(batch), describe(batch.progress)
        collected = kit.collect(county.apns(1), datasets=["parcels"], progress=False)

    assert report.purchased == Purchased(
        leads=250, expected=250, pages=3, charged=250, cost=NOTHING, unsettled=0, lost=0
    )
    assert lines(report, "250", "pages", "propertyradar") == [
        "250 of 250 leads bought in 3 pages, 250 charged, 0.00 USD beyond the quota",
        "pages               done",
        "propertyradar          3",
    ]
    assert re.search(r"^4 requests, .* MB, [0-9.]+ leads/s$", str(report), re.MULTILINE)
    (row,) = report.frame().to_dict("records")
    assert row["done"] == 3
    assert list(row)[-6:] == [
        *("leads", "leads_expected", "leads_charged", "leads_unsettled", "leads_lost", "cost")
    ]
    assert list(row.values())[-6:] == [250, 250, 250, 0, 0, NOTHING]
    assert told[-1] == "250 of 250 leads, 3 of 3 pages"
    assert shown.endswith("completed, 250 of 250 leads, 3 of 3 pages>")
    assert said.startswith("Bought 250 of 250 leads, 3 of 3 pages (100 %): 3 done, ")
    assert collected.purchased is None
    assert list(collected.frame().columns)[-1] == "seconds_p95"


def test_a_report_says_what_is_unsettled_and_what_is_lost(county: County, path: Path):
    """Until it has come; a batch that is gone on with counts what it had bought before."""
    with leads_kit(county, path) as kit:
        drop = {"kind": "drop", "system": "propertyradar", "path": "Purchase=1", "nth": 2}
        county.switch(faults=[drop])
        batch = kit.leads(CRITERIA, page_size=50).buy(max_records=120, max_cost=0)
        broken = batch.wait(WAIT)
        kit.settle()
        settled = batch.report
        rest = batch.resume().wait(WAIT)
        said = batch.progress.reach if batch.progress else ""
        kit.settle(again=True, **CAPS)
        again = batch.report

    figures = {"expected": 120, "cost": NOTHING, "unsettled": 0, "lost": 0}
    assert [one.purchased for one in (broken, settled, rest, again)] == [
        Purchased(**{**figures, "leads": 50, "pages": 1, "charged": 50, "unsettled": 50}),
        Purchased(**{**figures, "leads": 50, "pages": 1, "charged": 100, "lost": 50}),
        Purchased(**{**figures, "leads": 70, "pages": 2, "charged": 120, "lost": 50}),
        Purchased(**{**figures, "leads": 120, "pages": 3, "charged": 170}),
    ]
    unsettled = (
        "! 50 leads are unsettled: whether they were bought is not known; kit.settle() asks the"
        " account"
    )
    lost = (
        "! 50 leads are paid for and never arrived: kit.settle(again=True, max_records=…,"
        " max_cost=…) asks for them again"
    )
    told = [lines(one, "! 50") for one in (broken, settled, rest, again)]
    assert told == [[unsettled], [lost], [lost], []]
    assert said == "70 of 120 leads, 3 of 3 pages"
