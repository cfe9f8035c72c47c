"""Paid requests without a clear answer: nothing more is bought, and the account says what became."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from propkit.errors import RequestError
from propkit.leads.settling import judge_purchase
from propkit.store.purchases import Purchase
from tests.guests.notebooks import wait_until
from tests.leads.selling import (
    CAPS,
    CRITERIA,
    WAIT,
    leads_kit,
    paid_ids,
    paid_requests,
    states,
    stored_ids,
    time_out,
)

if TYPE_CHECKING:
    from pathlib import Path

    from propkit.demo_county import County

PAGE = 100
SECOND = {"system": "propertyradar", "path": "Purchase=1", "nth": 2}

COMMITTED: dict[str, dict[str, Any]] = {
    "dropped": {"faults": [{**SECOND, "kind": "drop"}]},
    "cut": {"faults": [{**SECOND, "kind": "cut"}]},
    "truncated": {"faults": [{**SECOND, "kind": "truncated"}]},
    "empty": {"faults": [{**SECOND, "kind": "empty200"}]},
}
NOT_COMMITTED: dict[str, dict[str, Any]] = {
    "hang": {"faults": [{**SECOND, "kind": "hang"}]},
    "500": {"faults": [{**SECOND, "kind": "status", "status": 500}]},
    "503 with Retry-After": {
        "faults": [{**SECOND, "kind": "status", "status": 503, "retry_after": 0}]
    },
    "HTML under 200": {"faults": [{**SECOND, "kind": "html200"}]},
    "204": {"faults": [{**SECOND, "kind": "204"}]},
}


@pytest.mark.parametrize("fault", NOT_COMMITTED)
def test_a_page_that_was_not_bought_is_bought_after_settling(
    county: County, path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
):
    """It is shown, not repeated; the account's quota says no; the batch goes on to its end."""
    county.switch(**NOT_COMMITTED[fault])
    if fault == "hang":
        time_out(monkeypatch, nth=2, when=lambda: paid_requests(county) == 2)
    with leads_kit(county, path) as kit:
        batch = kit.leads(CRITERIA, purchase=True, page_size=PAGE, **CAPS)
        report = batch.wait(WAIT)

        assert report.state == "paused"
        assert report.failure_classes == {"unsettled": 1}
        assert "kit.settle() asks the account" in str(report)
        assert states(kit) == ["bought", "asked"]
        assert paid_requests(county) == 2

        again = batch.resume().wait(WAIT)  # not settled: nothing more is bought
        assert again.state == "paused"
        assert paid_requests(county) == 2
        with pytest.raises(RequestError, match="was bought is not known yet"):
            kit.leads({"City": "MESA"}, purchase=True, **CAPS)

        settled, second = kit.settle(), kit.settle()
        assert list(settled["verdict"]) == ["not_bought"]
        assert second.empty
        assert states(kit) == ["bought", "not_bought"]

        county.switch(faults=[])
        after = batch.resume().wait(WAIT)
        assert after.is_complete
        assert paid_ids(county) == stored_ids(kit)
        assert set(paid_ids(county).values()) == {1}


@pytest.mark.parametrize("fault", COMMITTED)
def test_a_page_that_was_bought_and_lost_is_never_bought_again_by_itself(
    county: County, path: Path, fault: str
):
    """The journal holds exactly what the account charged; the rest of the batch is complete."""
    county.switch(**COMMITTED[fault])
    with leads_kit(county, path) as kit:
        batch = kit.leads(CRITERIA, purchase=True, page_size=PAGE, **CAPS)
        assert batch.wait(WAIT).failure_classes == {"unsettled": 1}
        assert county.account()["records"] == 2 * PAGE

        assert list(kit.settle()["verdict"]) == ["lost"]
        after = batch.resume().wait(WAIT)
        retried = batch.retry().wait(WAIT)

        assert after.state == retried.state == "completed"
        assert retried.failure_classes == {"invalid_answer": 1}
        assert "its 100 records never arrived" in str(retried)
        purchases = kit.purchases()
        assert sum(purchases["records"]) == county.account()["records"]
        assert list(purchases["state"][:2]) == ["bought", "lost"]
        assert set(paid_ids(county).values()) == {1}
        lost = set(paid_ids(county)) - set(stored_ids(kit))
        assert len(lost) == PAGE


def test_lost_pages_are_asked_for_again_when_the_person_says_so(county: County, path: Path):
    """Where the account delivers again without a charge, ledger and store are equal."""
    county.switch(**COMMITTED["dropped"], leads={"rebuys": "free"})
    with leads_kit(county, path) as kit:
        batch = kit.leads(CRITERIA, purchase=True, page_size=PAGE, **CAPS)
        batch.wait(WAIT)
        first = kit.settle()
        batch.resume().wait(WAIT)
        found = kit.settle(again=True, max_records=PAGE, max_cost=0)
        repeated = kit.settle(again=True, max_records=PAGE, max_cost=0)

        assert list(first["verdict"]) == ["lost"]
        assert list(found["verdict"]) == ["bought"]
        assert repeated.empty
        assert paid_ids(county) == stored_ids(kit)
        assert set(paid_ids(county).values()) == {1}
        assert batch.report.is_complete
        assert set(batch.items()["state"]) == {"done"}


def test_asking_again_keeps_its_caps(county: County, path: Path):
    """Charged again, and within the caps of the call: one record less than the page has."""
    county.switch(**COMMITTED["dropped"])
    with leads_kit(county, path) as kit:
        batch = kit.leads(CRITERIA, purchase=True, page_size=PAGE, **CAPS)
        batch.wait(WAIT)
        kit.settle()
        before = county.account()["records"]
        found = kit.settle(again=True, max_records=PAGE - 1, max_cost=0)

        assert county.account()["records"] == before + PAGE - 1
        assert list(found["verdict"]) == ["bought"]


def test_a_timed_out_page_that_takes_effect_late_is_not_judged_too_soon(
    county: County, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Not yet charged means nothing while the request may still take effect."""
    county.switch(faults=[{**SECOND, "kind": "hang", "nth": 1}])
    time_out(monkeypatch, nth=1, when=lambda: paid_requests(county) == 1)
    with leads_kit(county, path, settle_seconds=600) as kit:
        kit.leads(CRITERIA, purchase=True, page_size=PAGE, **CAPS).wait(WAIT)
        found = kit.settle()

        assert list(found["verdict"]) == ["unknown"]
        assert "may still take effect" in found["reason"][0]
        assert states(kit) == ["asked"]


def test_an_answer_after_the_time_out_is_a_lost_page(
    county: County, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The account charged at once and answered too late."""
    county.switch(leads={"answer_after": 3600})
    time_out(monkeypatch, nth=1, when=lambda: county.account()["records"] == PAGE)
    with leads_kit(county, path) as kit:
        batch = kit.leads(CRITERIA, purchase=True, page_size=PAGE, **CAPS)
        report = batch.wait(WAIT)
        county.switch(leads={"answer_after": 0})

        assert report.failure_classes == {"unsettled": 1}
        assert list(kit.settle()["verdict"]) == ["lost"]


def test_an_unsettled_last_page_leaves_the_batch_paused(county: County, path: Path):
    """Nothing else waits, and yet it is not at its end: resumed, it buys the page."""
    county.switch(faults=NOT_COMMITTED["500"]["faults"])
    with leads_kit(county, path) as kit:
        batch = kit.leads(CRITERIA, purchase=True, page_size=5, max_records=10, max_cost=0)
        report = batch.wait(WAIT)
        unfinished = kit.unfinished
        kit.settle()
        after = batch.resume().wait(WAIT)

    assert report.counts == {"propertyradar": {"done": 1, "failed": 1}}
    assert (report.state, unfinished) == ("paused", [batch.id])
    assert after.is_complete


@pytest.mark.parametrize(("bought", "word"), [(True, "lost"), (False, "not_bought")])
def test_what_the_account_does_not_decide_the_person_does(
    county: County, path: Path, bought: bool, word: str
):
    """Beyond the quota its rest says nothing: unknown, until it is said."""
    county.switch(**COMMITTED["dropped"], leads={"quota": 0})
    with leads_kit(county, path) as kit:
        kit.leads(CRITERIA, purchase=True, page_size=PAGE, max_records=500, max_cost=50).wait(WAIT)
        unknown = kit.settle()
        said = kit.settle(bought=bought)

        assert list(unknown["verdict"]) == ["unknown"]
        assert list(said["verdict"]) == [word]
        assert list(kit.purchases()["settled_by"])[1] == "person"
        assert kit.settle(bought=bought).empty


def test_a_page_under_way_is_waited_for_and_not_settled(county: County, path: Path):
    """Settling takes its turn behind the page that is being bought."""
    county.switch(leads={"answer_after": 0.5})
    with leads_kit(county, path) as kit:
        batch = kit.leads(CRITERIA, purchase=True, max_records=PAGE, max_cost=0)
        wait_until(lambda: "Purchase=1" in str(county.ledger("propertyradar")))
        settled = kit.settle()

        assert settled.empty
        assert batch.wait(WAIT).is_complete


@pytest.mark.usefixtures("hasty_cancel")
def test_a_cancelled_batch_leaves_its_last_page_unsettled(county: County, path: Path):
    """What was sent before the cancel may be bought: it is shown, and settled."""
    county.switch(leads={"answer_after": 3600})
    with leads_kit(county, path) as kit:
        batch = kit.leads(CRITERIA, purchase=True, page_size=PAGE, **CAPS)
        wait_until(lambda: county.account()["records"] == PAGE)
        report = batch.cancel()
        county.switch(leads={"answer_after": 0})

        assert report.state == "cancelled"
        assert states(kit) == ["asked"]
        assert list(kit.settle()["verdict"]) == ["lost"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bought": 1}, "bought must be True, False or None, not 1"),
        ({"again": True}, "needs max_records, .*, not None"),
        ({"again": True, "max_records": 5}, "needs max_cost, .*, not None"),
        ({"max_records": 5}, "say again=True too"),
    ],
)
def test_a_bad_option_of_settling_is_named(
    county: County, path: Path, options: dict[str, Any], says: str
):
    """Asking again is a purchase, and needs both caps."""
    with leads_kit(county, path) as kit, pytest.raises(RequestError, match=says):
        kit.settle(**options)

    assert county.ledger("propertyradar") == []


NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "now", "age", "verdict"),
    [
        (1000, 1000, 61, "not_bought"),
        (1000, 1000, 59, "unknown"),
        (1000, 600, 0, "lost"),
        (1000, 601, 61, "unknown"),
        (300, 0, 0, "lost"),  # the last of the quota
        (0, 0, 61, "unknown"),
        (1000, 10_000, 61, "unknown"),  # a new month
        (None, 1000, 61, "unknown"),
        (1000, None, 61, "unknown"),
    ],
)
def test_the_quota_decides_what_it_can(
    before: int | None, now: int | None, age: float, verdict: str
):
    """A page of 400: gone from the quota, untouched, or neither."""
    purchase = Purchase(
        source="propertyradar",
        kind="leads",
        key="0123456789ab:0+400",
        records_asked=400,
        cost_expected=Decimal(0),
        free_before=before,
        asked_at=NOON,
    )

    found = judge_purchase(purchase, now, age_seconds=age, settle_seconds=60)

    assert (found.verdict, found.key) == (verdict, purchase.key)
    assert found.reason
