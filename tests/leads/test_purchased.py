"""What a batch that buys leads tells of itself: leads and their cost, not only its pages."""

from __future__ import annotations

import queue
import re
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from propkit import buying
from propkit.progress import describe
from propkit.store.purchases import Purchased
from tests.leads.selling import CAPS, CRITERIA, WAIT, leads_kit
from tests.listening import Hook, Mail, listening

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from propkit.demo_county import County
    from propkit.notices import Notice
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


def test_the_note_of_an_end_says_leads_and_their_cost(
    county: County, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """By mail, by webhook and to her own function; what an answer does not price cost its quote."""
    read_envelope = buying.read_envelope
    monkeypatch.setattr(
        buying, "read_envelope", lambda page: replace(read_envelope(page), cost=None)
    )
    county.switch(leads={"quota": 100, "price": "0.10"})
    own: queue.Queue[Notice] = queue.Queue()
    with listening(Mail) as mail, listening(Hook) as hook:
        notify = {
            "after_seconds": 0,
            "mail_to": ["ada@example.org"],
            "smtp_host": "127.0.0.1",
            "smtp_port": mail.port,
            "webhook": f"http://127.0.0.1:{hook.port}/",
        }
        with leads_kit(county, path, notify=notify) as kit:
            kit.notify(own.put)
            preview = kit.leads(CRITERIA, page_size=50)
            report = preview.buy(max_records=150, max_cost=5).wait(WAIT)
            notice = own.get(timeout=WAIT)
            _, message = mail.heard.get(timeout=WAIT)
            _, _, posted = hook.heard.get(timeout=WAIT)

    title = "propkit: batch completed, 150 of 150 leads, 5.00 USD beyond the quota"
    assert notice.title == message["Subject"] == posted["text"] == title
    assert message.get_payload().splitlines()[1:] == [
        "150 of 150 leads bought, 5.00 USD beyond the quota.",
        "3 of 3 pages, 0 failed.",
    ]
    told = ("leads", "leads_expected", "leads_cost")
    assert [posted[name] for name in told] == [150, 150, "5.00"]
    assert report.purchased is not None
    assert [getattr(notice, name) for name in told] == [
        *(report.purchased.leads, report.purchased.expected, report.purchased.cost)
    ]


def test_the_note_of_a_failure_says_how_far_the_leads_were(county: County, path: Path):
    """Also where it is the watch that tells of it."""
    drop = {"kind": "drop", "system": "propertyradar", "path": "Purchase=1", "nth": 2}
    county.switch(faults=[drop])
    own: queue.Queue[Notice] = queue.Queue()
    with (
        listening(Hook) as hook,
        leads_kit(county, path, notify={"webhook": f"http://127.0.0.1:{hook.port}/"}) as kit,
    ):
        kit.notify(own.put)
        kit.leads(CRITERIA, page_size=50).buy(max_records=120, max_cost=0).wait(WAIT)
        notice = own.get(timeout=WAIT)
        _, _, posted = hook.heard.get(timeout=WAIT)

    title = (
        "propkit: batch paused, 50 of 120 leads, 0.00 USD beyond the quota, 2 of 3 pages, 1 failed"
    )
    assert (notice.event, notice.title) == (posted["event"], posted["text"]) == ("failed", title)
