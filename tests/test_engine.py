"""The engine over a real county: several batches at once, limits, trouble, and what is kept."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import propkit as pk
from propkit import planning
from propkit.demo_county import start_county
from propkit.errors import RequestError
from propkit.identifier_lists import read_identifiers
from propkit.progress import describe
from propkit.runtime import work
from propkit.sources import Parsed, Payload, configure_sources
from propkit.sources.maricopa_assessor import MaricopaAssessor
from propkit.store import Store, writer
from propkit.store.batches import set_state
from propkit.store.results import write_results
from tests.collecting import (
    QUICK,
    free_county,
    in_order,
    quick_kit,
    quick_settings,
    table_as_truth,
)
from tests.guests.notebooks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from propkit.demo_county import County

SYSTEMS = ("assessor", "treasurer", "recorder")
ROLL = ["parcels", "residences", "valuations", "sales"]
LAST = 60
IN_FLIGHT = 2
"""So many requests a paced kit makes at once, unless a test wants another number."""
HELD = {"system": "assessor", "kind": "slow", "seconds": 3600}
"""Every answer comes when this is taken back."""
NOBODY = "http://127.0.0.1:9/nobody"


@pytest.fixture(scope="module")
def _small_county() -> Iterator[County]:
    with start_county(parcels=300) as county:
        yield county


@pytest.fixture
def county(_small_county: County) -> County:
    """Return a county of few parcels: no faults, no limits, an empty ledger."""
    free_county(_small_county)
    return _small_county


def asked(county: County, system: str) -> list[str]:
    """Return the paths that were asked of a system, robots.txt left out."""
    paths = [entry["path"] for entry in county.ledger(system)]
    return [path for path in paths if not path.endswith("robots.txt")]


def paced_kit(
    county: County, path: Path, rate: float | str, max_in_flight: int = IN_FLIGHT, **collect: Any
) -> pk.Kit:
    """Open a kit that asks the assessor so often, with so many requests in flight."""
    quick = {"requests_per_second": 5000, "max_in_flight": 8}
    sources = {name: {**values, **quick} for name, values in county.settings().items()}
    sources["maricopa_assessor"].update(requests_per_second=rate, max_in_flight=max_in_flight)
    settings = pk.Settings.load(sources=sources, collect={**QUICK, **collect})
    return pk.Kit(Store.open(path), settings, configure_sources(settings))


def test_while_a_group_is_committed_only_the_rest_of_it_is_asked_for(
    county: County, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """So a crash costs no more than one group, and what is in flight, however slow the disk is."""
    group, workers, uncommitted = 20, 3, []
    monkeypatch.setattr(writer, "GROUP_ITEMS", group)
    with quick_kit(county, tmp_path / "a.duckdb") as kit:

        def write_slowly(*args: Any) -> None:
            # The first commit lasts until nobody asks for more; half a second more shows it.
            deadline = time.monotonic() + 60
            while not uncommitted and not kit.store.writer.is_full and time.monotonic() < deadline:
                time.sleep(0.01)
            until = time.monotonic() + (0 if uncommitted else 0.5)
            while True:
                stored = kit.store.writer.items
                uncommitted.append(len(asked(county, "assessor")) - stored)
                if time.monotonic() >= until:
                    break
                time.sleep(0.01)
            write_results(*args)

        monkeypatch.setattr(writer, "write_results", write_slowly)
        kit.start(county.apns(90), datasets=ROLL, workers=workers).wait(timeout=60)

    assert group <= max(uncommitted) <= group + workers


# ---------------------------------------------------------------- several batches at once


def test_two_batches_with_the_same_parcels_ask_once(county: County, tmp_path: Path):
    """Every parcel is asked for once; both batches end complete."""
    apns = county.apns(40)
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        first = kit.plan(apns, datasets=ROLL, max_age=0)
        second = kit.plan(apns, datasets=ROLL, max_age=0)
        batches = [kit.start(first), kit.start(second)]
        reports = [batch.wait(LAST) for batch in batches]

    assert sorted(asked(county, "assessor")) == sorted(set(asked(county, "assessor")))
    assert [report.state for report in reports] == ["completed", "completed"]
    assert reports[0].totals == reports[1].totals
    assert sum(report.cache_hits for report in reports) == 40


def slowly(county: County, do: Callable[..., Any]) -> Callable[..., Any]:
    """Return what lets the assessor answer, and does the same once it was asked four times more."""

    def wait_and_do(*args: Any, **options: Any) -> Any:
        enough = len(asked(county, "assessor")) + 4
        county.switch(faults=[])
        while len(asked(county, "assessor")) < enough:
            time.sleep(0.05)
        return do(*args, **options)

    return wait_and_do


def test_what_ends_while_a_plan_is_made_is_not_asked_for_again(
    county: County, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It is not stored yet when the plan looks, and not under way any more when its batch begins."""
    apns = county.apns(16)
    county.switch(faults=[HELD])
    with paced_kit(county, tmp_path / "one.duckdb", 30) as kit:
        first = kit.start(apns, datasets=ROLL)
        monkeypatch.setattr(planning, "read_identifiers", slowly(county, read_identifiers))
        second = kit.start(apns, datasets=ROLL)
        reports = [batch.wait(LAST) for batch in (first, second)]

    assert sorted(asked(county, "assessor")) == sorted(set(asked(county, "assessor")))
    assert [report.state for report in reports] == ["completed", "completed"]
    assert reports[1].cache_hits == 16


@pytest.mark.usefixtures("hasty_cancel")
def test_what_ends_while_a_batch_is_gone_on_with_is_not_asked_for_again(
    county: County, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What it has left is shared with a batch that runs, as if it were new."""
    apns = county.apns(16)
    county.switch(faults=[HELD])
    with paced_kit(county, tmp_path / "one.duckdb", 30) as kit:
        second = kit.start(apns, datasets=ROLL)
        wait_until(lambda: len(asked(county, "assessor")) == IN_FLIGHT)  # or they come afterwards
        second.leave()
        county.clear_ledger()
        first = kit.start(apns, datasets=ROLL)
        monkeypatch.setattr(work, "read_items", slowly(county, work.read_items))
        second.resume()
        reports = [batch.wait(LAST) for batch in (first, second)]

    assert sorted(asked(county, "assessor")) == sorted(set(asked(county, "assessor")))
    assert [report.state for report in reports] == ["completed", "completed"]


def test_an_answer_that_two_batches_share_leads_each_on_to_what_it_wants(
    county: County, tmp_path: Path
):
    """Only the second batch wants documents: the deeds' numbers come with the first one's answer."""
    apns = county.apns(20)
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        first = kit.plan(apns, datasets=["parcels"], max_age=0)
        second = kit.plan(apns, datasets=["documents"], max_age=0)
        reports = [batch.wait(LAST) for batch in [kit.start(first), kit.start(second)]]
        documents = table_as_truth(kit, "documents")

    assert sorted(asked(county, "assessor")) == sorted(set(asked(county, "assessor")))
    assert [report.state for report in reports] == ["completed", "completed"]
    assert documents == in_order(county.truth(apns)["documents"])


def test_older_records_stand_too_where_another_batch_found_the_source_down(
    county: County, tmp_path: Path
):
    """One request serves both; what comes of its failure each batch says for itself."""
    apns = county.apns(3)
    with quick_kit(county, tmp_path / "one.duckdb", retry_attempts=1) as kit:
        kit.collect(apns, datasets=ROLL, progress=False)
        county.switch(faults=[{"system": "assessor", "kind": "status", "status": 500}])
        plans = [kit.plan(apns, datasets=ROLL, max_age=0) for _ in range(2)]
        batches = [kit.start(plans[0]), kit.start(plans[1], stale_ok=True)]
        totals = [batch.wait(LAST).totals for batch in batches]

    assert totals == [{"failed": 3}, {"skipped": 3}]


def test_a_plan_says_what_another_batch_has_in_work(county: County, tmp_path: Path):
    """Its items are active, cost no request, and are part of the plan all the same."""
    apns = county.apns(10)
    with paced_kit(county, tmp_path / "one.duckdb", 2) as kit:
        batch = kit.start(apns, datasets=ROLL)
        plan = kit.plan(apns, datasets=ROLL)
        batch.cancel()

    assert set(plan.counts) <= {"active", "fresh"}
    assert sum(plan.requests.values()) == 0
    assert len(plan.items) == 10


def test_a_critical_parcel_overtakes_a_running_batch(county: County, tmp_path: Path):
    """At most the requests that were under way go before it."""
    *many, one = county.apns(300)
    sent = threading.Event()
    with paced_kit(county, tmp_path / "one.duckdb", 10) as kit:
        low = kit.start(
            many,
            datasets=ROLL,
            priority="low",
            workers=10,
            listener=lambda event: event.counts.get("done", 0) > 3 and sent.set(),
        )
        assert sent.wait(LAST)
        batch = kit.start(one, datasets=ROLL, priority="critical")
        report = batch.wait(LAST)
        state = low.cancel().state
        begun = batch.items()["started_at"].iloc[0].timestamp()
    times = {entry["path"]: entry["started_at"] for entry in county.ledger("assessor")}
    turn = times[f"/parcel/{one}"]

    assert report.is_complete
    # Its turn, that is: planning may take as long as it likes.
    assert sum(begun < time < turn for time in times.values()) <= 3
    assert state == "cancelled"


def test_a_low_batch_is_not_starved_by_a_busier_one(county: County, tmp_path: Path):
    """Waiting makes it more urgent: both are asked for, as many as wait for each."""
    apns = county.apns(300)
    with paced_kit(county, tmp_path / "a.duckdb", 20, 1, ageing_seconds=0.1) as kit:
        high = kit.start(apns[:-5], datasets=ROLL, priority="critical", workers=8)
        low = kit.start(apns[-5:], datasets=ROLL, priority="low", workers=2)
        ended = low.wait(LAST)
        left = high.cancel()

    assert ended.state == "completed"
    assert left.state == "cancelled"


def test_two_kits_over_one_store_share_the_pace(county: County, tmp_path: Path):
    """Together they ask no more often than one of them may."""
    # Where the county stalls, what was in flight arrives with what follows. Twice as many a second
    # would be refused all the same.
    county.switch(limits={"assessor": {"requests_per_second": 20, "burst": 10}})
    path = tmp_path / "one.duckdb"
    with paced_kit(county, path, 20) as one, paced_kit(county, path, 20) as two:
        batches = [
            one.start(county.apns(10), datasets=ROLL),
            two.start(county.apns(25, seed=5), datasets=ROLL),
        ]
        reports = [batch.wait(LAST) for batch in batches]

    assert [report.state for report in reports] == ["completed", "completed"]
    assert sum(report.refused for report in reports) == 0


# ---------------------------------------------------------------- limits of a run


def test_a_cap_on_requests_is_never_exceeded(county: County, tmp_path: Path):
    """The rest waits, with the reason named, and the next run goes on."""
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        report = kit.collect(
            county.apns(30), datasets=ROLL, max_requests={"maricopa_assessor": 12}, progress=False
        )
        capped = len(county.ledger())
        kit.batch("last").resume().wait(LAST)
        kit.batch("last").resume().wait(LAST)
        again = len(county.ledger())

    assert report.state == "paused"
    assert capped == 12
    assert "the cap of 12 requests is reached" in (report.error or "")
    assert again <= 36


def test_the_last_requests_of_a_cap_are_not_spent_on_many_parcels_by_halves(
    county: County, tmp_path: Path
):
    """A parcel takes four requests at the treasurer: each run of six gets one of them done."""
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        batch = kit.start(county.apns(3), datasets=["tax_bills"], mode="api", max_requests=6)
        done = [batch.wait(LAST).totals["done"]]
        done += [batch.resume().wait(LAST).totals["done"] for _ in range(2)]

    assert done == [1, 2, 3]


def test_the_figures_of_a_batch_that_was_gone_on_with_are_those_of_all_its_runs(
    county: County, tmp_path: Path
):
    """Requests add up to the ledger's; an item that is fresh counts once, not once a run."""
    apns = county.apns(7)
    with quick_kit(county, tmp_path / "one.duckdb", retry_attempts=1) as kit:
        kit.collect(apns[:2], datasets=ROLL, progress=False)
        county.clear_ledger()
        batch = kit.start(apns, datasets=ROLL, max_requests={"maricopa_assessor": 2})
        reports = [batch.wait(LAST)]
        county.switch(faults=[{"system": "assessor", "kind": "status", "status": 500}])
        reports.append(batch.resume().wait(LAST))
        county.switch(faults=[])
        reports.append(batch.retry().wait(LAST))
        reports.append(batch.resume().wait(LAST))
        (job,) = kit.store.rows(f"FROM batch_jobs WHERE id = '{batch.id}'")

    skipped = {"skipped": 2}
    assert [report.totals for report in reports] == [
        {"done": 2, "waiting": 3, **skipped},
        {"done": 2, "failed": 1, "waiting": 2, **skipped},
        {"done": 4, "waiting": 1, **skipped},
        {"done": 5, **skipped},
    ]
    assert [report.requests for report in reports] == [2, 4, 6, 7]
    assert [report.cache_hits for report in reports] == [2] * 4
    assert len(county.ledger("assessor")) == 7
    assert (job["state"], job["processed"], job["success_count"]) == ("COMPLETED", 7, 7)


def test_a_cap_below_the_requests_of_one_parcel_spends_none(county: County, tmp_path: Path):
    """It is said, the parcels wait, and a second way at the same host is not sent instead."""
    with quick_kit(county, tmp_path / "one.duckdb", has_browser=True) as kit:
        plan = kit.plan(county.apns(2), datasets=["tax_bills"])
        report = kit.collect(plan, max_requests=3, progress=False)

    assert plan.fallbacks == {"maricopa_treasurer": ("maricopa_treasurer_browser",)}
    assert (report.state, report.counts) == ("paused", {"maricopa_treasurer": {"waiting": 2}})
    assert report.error == (
        "maricopa_treasurer is stopped (budget): "
        "the cap of 3 requests is below the 4 that an item takes"
    )
    assert county.ledger("treasurer") == []


def test_sources_that_share_a_host_share_its_cap(county: County, tmp_path: Path):
    """The cap is the host's, whichever of its sources asks."""
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        plan = kit.plan(county.apns(10), datasets=["tax_bills", "tax_levies"], mode="api")
        report = kit.collect(plan, max_requests=12, progress=False)

    assert len(plan.sources) > 1
    assert len(plan.requests) == 1
    assert report.state == "paused"
    assert len(county.ledger()) == report.requests == 12


def test_a_batch_size_leaves_the_other_parcels_for_the_next_run(county: County, tmp_path: Path):
    """Ten parcels at a time, everything of each of them."""
    apns = county.apns(25)
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        batch = kit.start(apns, batch_size=10)
        states, parcels = [batch.wait(LAST).state], [len(kit.frame("parcels"))]
        for _ in range(2):
            states.append(batch.resume().wait(LAST).state)
            parcels.append(len(kit.frame("parcels")))
        truth = {table: in_order(rows) for table, rows in county.truth(apns).items()}
        tables = {table: table_as_truth(kit, table) for table in truth}

    assert states == ["paused", "paused", "completed"]
    assert parcels[0] <= 10 < parcels[1] <= 20 < parcels[2]
    assert tables == truth


def test_a_batch_size_waits_for_no_canary_of_a_later_run(county: County, tmp_path: Path):
    """Parcels that were collected before are asked first, but only those of this run."""
    apns = county.apns(20)
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        kit.collect(apns, datasets=ROLL, progress=False)
        batch = kit.start(apns, datasets=ROLL, max_age=0, batch_size=4)
        totals = [batch.wait(LAST).totals, batch.resume().wait(LAST).totals]

    assert totals == [{"done": 4, "waiting": 16}, {"done": 8, "waiting": 12}]


def test_older_records_stand_for_what_further_answers_ask_for(county: County, tmp_path: Path):
    """``stale_ok`` reaches the deeds too, though only the parcels' answers ask for them."""
    apns = county.apns(3)
    with quick_kit(county, tmp_path / "one.duckdb", retry_attempts=1) as kit:
        kit.collect(apns, progress=False)
        before = table_as_truth(kit, "documents")
        county.switch(faults=[{"system": "recorder", "kind": "status", "status": 500}])
        report = kit.collect(apns, max_age=0, stale_ok=True, progress=False)
        after = table_as_truth(kit, "documents")

    assert report.state == "completed"
    assert {item.source for item in report.stale} == {"maricopa_recorder"}
    assert len(report.stale) == len({row["recording_number"] for row in before})
    assert (after, report.is_complete) == (before, False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 0}, "workers must be a whole number from 1 to 1000, not 0"),
        ({"workers": 10**9}, "workers must be a whole number from 1 to 1000, not 1000000000"),
        ({"strategy": "wild"}, "no strategy 'wild'; expected one of parallel, hybrid, sequential"),
        (
            {"profile": "wild"},
            "no profile 'wild'; expected one of conservative, balanced, fast, auto",
        ),
        ({"batch_size": True}, "batch_size must be a whole number from 1 up, not True"),
        ({"max_requests": -1}, "max_requests must be a whole number from 1 up, not -1"),
        ({"max_requests": {"nowhere": 3}}, "max_requests: no host or source 'nowhere'"),
        ({"stale_ok": "yes"}, "stale_ok must be True or False, not 'yes'"),
        ({"export_to": "x.csv"}, "'x.csv' is no workbook's name; expected one ending in .xlsx"),
        ({"budget": -1}, "budget must be a number of credits from 0 up, not -1"),
        ({"kind": "wild"}, "no kind 'wild'"),
    ],
)
def test_a_wrong_option_starts_nothing(county: County, tmp_path: Path, options: Any, said: str):
    """The error names the value and what was expected; no batch was made."""
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        with pytest.raises(RequestError) as caught:
            kit.start(county.apns(1), **options)
        batches = len(kit.batches())

    assert said in str(caught.value)
    assert batches == 0
    assert county.ledger() == []


@pytest.mark.parametrize("strategy", ["sequential", "hybrid", "parallel"])
def test_a_strategy_bounds_what_is_in_flight(county: County, tmp_path: Path, strategy: str):
    """Sequential: one request at all; hybrid: one on each host; the answers are the same."""
    county.switch(latency=0.05)
    apns = county.apns(8)
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        report = kit.collect(apns, strategy=strategy, progress=False)

    most = {
        system: max(entry["in_flight"] for entry in county.ledger(system)) for system in SYSTEMS
    }
    assert report.is_complete
    if strategy != "parallel":
        assert most == dict.fromkeys(SYSTEMS, 1)


# ---------------------------------------------------------------- kinds of batch


def test_a_validation_asks_once_a_parcel_and_stores_no_records(county: County, tmp_path: Path):
    """Known parcels are done, unknown ones not found; no table is filled."""
    apns = [*county.apns(6), "99999998"]
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        plan = kit.plan(apns, kind="validation")
        report = kit.collect(plan, progress=False)
        parcels = len(kit.frame("parcels"))
        again = kit.plan(apns).counts

    known = {row["apn"] for row in county.truth(apns)["parcels"]}
    assert sum(plan.requests.values()) == len(asked(county, "assessor"))
    assert report.totals == {"done": len(known), "not_found": len(apns) - len(known)}
    assert parcels == 0
    assert again == {"due": 7}


def test_a_search_batch_keeps_its_hits(county: County, tmp_path: Path):
    """One item a query; the hits are a frame, and may be collected."""
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        apn = county.apns(1)[0]
        now = kit.search(apn, by="apn")
        report = kit.collect([apn, "  ", apn], kind="search", by="apn", progress=False)
        hits = kit.frame("hits")

    assert report.totals == {"done": 1}
    assert list(hits["apn"]) == list(now["apn"]) == [apn]
    assert list(report.not_usable) == [""]


def test_taxes_only_asks_the_treasurer_only(county: County, tmp_path: Path):
    """The other offices are left alone."""
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        report = kit.collect(county.apns(3), kind="taxes", progress=False)

    assert report.kind == "taxes"
    assert list(report.counts) == ["maricopa_treasurer"]
    assert {entry["system"] for entry in county.ledger()} == {"treasurer", "root"}


# ---------------------------------------------------------------- in the background


def test_hits_are_enhanced_in_the_background_and_a_pause_stops_it(county: County, tmp_path: Path):
    """The first of them at low priority; paused they wait, and go on later."""
    hits = county.apns(30)
    county.switch(faults=[{"kind": "hang", "system": "assessor"}])  # it may not end before
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        batch = kit.enhance(hits, top=5)
        assert batch is not None
        kit.pause()
        state = batch.state
        with pytest.raises(RequestError, match=r"is paused: kit.unpause\(\) goes on with it"):
            kit.enhance(hits, top=10)
        county.switch(faults=[])
        kit.unpause()
        report = kit.batch(batch.id).wait(LAST)
        again = kit.enhance(hits, top=5)
        items = batch.items()

    assert state == "interrupted"
    assert report.state == "completed"
    assert again is None
    assert set(items["priority"]) == {3}
    assert set(items["apn"]) == set(hits[:5])


def test_the_last_batch_is_the_last_that_a_person_started(county: County, tmp_path: Path):
    """What runs in the background does not take its place."""
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        mine = kit.start(county.apns(1), datasets=ROLL)
        mine.wait(LAST)
        other = kit.enhance(county.apns(3, seed=9), top=2)
        assert other is not None
        other.wait(LAST)
        last = kit.batch("last").id

    assert last == mine.id


# ---------------------------------------------------------------- what is kept


def test_a_learned_pace_is_kept_for_the_next_process(county: County, tmp_path: Path):
    """The next kit begins at the rate that the last one ended with, and plans with it."""
    county.switch(limits={"assessor": {"requests_per_second": 12, "burst": 2}})
    path = tmp_path / "one.duckdb"
    with paced_kit(county, path, "learn") as kit:
        host = kit.sources["maricopa_assessor"].host
        begun = kit._place.collector()[0].hosts["maricopa_assessor"].pace.requests_per_second
        kit.collect(county.apns(40), datasets=ROLL, progress=False)
        learned = kit.statistics().rates
    with paced_kit(county, path, "learn") as kit:
        plan = kit.plan(county.apns(100), datasets=ROLL, max_age=0)
        rate = kit._place.collector()[0].hosts["maricopa_assessor"].pace.requests_per_second

    assert learned[host] != pytest.approx(begun, rel=0.02)
    assert rate == pytest.approx(learned[host], rel=0.02)
    assert plan.minutes == pytest.approx(100 / learned[host] / 60, rel=0.02)


def test_a_long_pause_outlives_the_process(county: County, tmp_path: Path):
    """A host that asked for ten minutes is not asked by the next process either."""
    path = tmp_path / "one.duckdb"
    rule = {"system": "assessor", "kind": "status", "status": 429, "retry_after": 600, "first": 1}
    county.switch(faults=[rule])
    with quick_kit(county, path) as kit:
        first = kit.collect(county.apns(3), datasets=ROLL, workers=1, progress=False)
    before = len(county.ledger("assessor"))
    with quick_kit(county, path) as kit:
        second = kit.batch("last").resume().wait(LAST)

    assert first.state == second.state == "paused"
    assert len(county.ledger("assessor")) == before


def test_a_workbook_is_written_when_the_batch_ends(county: County, tmp_path: Path):
    """By itself, also after a resume, of one that was killed before, too.

    A batch whose workbook fails is told of and complete.
    """
    book = tmp_path / "book.xlsx"
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        report = kit.collect(county.apns(2), datasets=ROLL, export_to=book, progress=False)
        is_written = book.stat().st_size > 1000
        book.unlink()
        set_state(kit.store, report.batch_id, "interrupted")  # killed when all was collected
        resumed = kit.batch("last").resume().wait(LAST)
        is_written_again = book.stat().st_size > 1000
        book.unlink()
        book.mkdir()
        failed = kit.collect(
            county.apns(2), datasets=ROLL, max_age=0, export_to=book, progress=False
        )

    assert report.state == resumed.state == "completed"
    assert is_written
    assert is_written_again
    assert (resumed.counts, resumed.requests) == (report.counts, report.requests)
    assert failed.state == "completed"
    assert "the workbook was not written" in (failed.error or "")


def test_a_workbook_is_written_when_what_was_interrupted_is_cancelled(
    county: County, tmp_path: Path
):
    """That is its end; where the file cannot be written, the report says so."""
    book = tmp_path / "book.xlsx"
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        batch = kit.start(county.apns(2), datasets=ROLL, batch_size=1, export_to=book)
        batch.wait(LAST)
        book.unlink()
        set_state(kit.store, batch.id, "interrupted")  # killed before it was written
        written = batch.cancel()
        parcels = pd.read_excel(book, sheet_name="parcels", engine="calamine")
        events = batch.log()["event"].tolist()
        book.unlink()
        book.mkdir()
        set_state(kit.store, batch.id, "interrupted")
        failed = batch.cancel()

    assert (written.state, written.error) == (failed.state, None) == ("cancelled", None)
    assert written.totals == {"done": 1, "cancelled": 1}
    assert len(parcels) == 1
    assert events[-2:] == ["cancelled", "exported"]
    assert "the workbook was not written" in (failed.error or "")


def test_an_unfinished_batch_goes_on_by_itself_when_the_setting_says_so(
    county: County, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """``auto_resume``: opening the store is enough."""
    path = tmp_path / "one.duckdb"
    with quick_kit(county, path) as kit:
        batch = kit.start(county.apns(12), datasets=ROLL, batch_size=5)
        batch.wait(LAST)
    settings = quick_settings(county, auto_resume=True)
    with pk.open(path, settings=settings) as kit:
        report = kit.batch("last").wait(LAST)
        waiting = report.totals.get("waiting", 0)

    assert report.state == "paused"
    assert waiting == 2


def test_statistics_and_the_log_tell_what_was_done(county: County, tmp_path: Path):
    """Requests as the county counted them, sizes, times; the log in the order of events."""
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        report = kit.collect(county.apns(5), datasets=ROLL, progress=False)
        statistics = kit.statistics()
        log = kit.batch("last").log()
        frame = report.frame()

    sent = len(county.ledger())
    assert report.requests == sent
    assert frame.loc["maricopa_assessor", "requests"] == sent
    assert frame.loc["maricopa_assessor", "seconds_p95"] > 0
    assert report.received_bytes > 1000
    assert statistics.frame().loc["maricopa_assessor", "success_rate"] == 1.0
    assert statistics.store.rows["items"] == 5
    assert statistics.store.file_bytes > 10_000
    assert [log["event"].iloc[0], log["event"].iloc[-1]] == ["created", "completed"]
    assert county.token not in log.to_string()


def test_what_is_old_is_pruned_only_when_told(county: County, tmp_path: Path):
    """The plan says what would go; the newest answer of each page stays."""
    apns = county.apns(4)
    with quick_kit(county, tmp_path / "one.duckdb") as kit:
        kit.collect(apns, datasets=ROLL, progress=False)
        kit.collect(apns, datasets=ROLL, max_age=0, progress=False)
        before = kit.statistics().store.rows
        pruning = kit.prune(0)
        between = kit.statistics().store.rows
        done = kit.prune(0, apply=True)
        after = kit.statistics().store.rows

    assert before == between
    assert pruning.rows == done.rows
    assert pruning.fetches == before["fetches"] - after["fetches"] == before["fetches"] // 2
    assert after["parcels"] == before["parcels"]


# ---------------------------------------------------------------- other ways in, and money


class PaidAssessor(MaricopaAssessor):
    """The assessor's API, as if each parcel cost three credits."""

    name = "paid_assessor"
    credits_per_item = 3.0


class SecondAssessor(MaricopaAssessor):
    """The same tables and keys by another way in, which costs a request more."""

    name = "second_assessor"
    requests_per_item = 2


class CheapAssessor(SecondAssessor):
    """The second way once more, in a release that needs one request."""

    requests_per_item = 1


class ThirdAssessor(SecondAssessor):
    """Yet another way in."""

    name = "third_assessor"
    requests_per_item = 3


class SmallAssessor(SecondAssessor):
    """Another way in that gives the roll and nothing else."""

    name = "small_assessor"
    provides = ("parcels",)

    def parse(self, payload: Payload) -> Parsed:
        parsed = super().parse(payload)
        return replace(parsed, records=[r for r in parsed.records if r.table == "parcels"])


class BrowserAssessor(MaricopaAssessor):
    """Stands where a browser source will, for plans: none of its pages is for a browser."""

    name = "browser_assessor"
    transport = "browser"


@contextmanager
def kit_with(county: County, path: Path, sources: dict[str, Any]) -> Iterator[pk.Kit]:
    """Open a kit over sources of the test's own, by name, each at a base address."""
    settings = quick_settings(county, retry_attempts=1)
    model = configure_sources(settings)["maricopa_assessor"]
    configs = {
        source.name: replace(model, source=source, base_url=base_url, host=base_url)
        for source, base_url in sources.values()
    }
    with pk.Kit(Store.open(path), settings, configs) as kit:
        yield kit


def test_a_budget_is_never_overspent(county: County, tmp_path: Path):
    """Ten credits buy three parcels at three each; the plan and the report say what is left out."""
    apns = county.apns(8)
    source = {"paid": (PaidAssessor(), county.base_url("assessor"))}
    with kit_with(county, tmp_path / "one.duckdb", source) as kit:
        plan = kit.plan(apns, datasets=ROLL, budget=10)
        report = kit.collect(plan, progress=False)
        said = describe(kit.batch("last").progress)
        whole = kit.plan(apns, datasets=ROLL)

    assert (plan.credits, len(plan.due)) == (9, 3)
    assert plan.counts == {"due": 3, "over_budget": 5}
    assert len(asked(county, "assessor")) == 3
    assert report.totals == {"done": 3, "skipped": 5}
    assert (len(report.over_budget), report.cache_hits, report.is_complete) == (5, 0, False)
    assert "3.0 credits do not fit the budget of 10" in str(report)
    assert ": 3 done, 5 skipped, " in said
    assert whole.credits == 15


def test_what_is_asked_again_is_charged_again(county: County, tmp_path: Path):
    """A budget is for all that a batch asks for, however often it is retried and gone on with."""
    source = {"paid": (PaidAssessor(), county.base_url("assessor"))}
    with kit_with(county, tmp_path / "one.duckdb", source) as kit:
        county.switch(faults=[{"system": "assessor", "kind": "status", "status": 500}])
        batch = kit.start(kit.plan(county.apns(3), datasets=ROLL, budget=12))  # three credits each
        first = batch.wait(LAST)
        county.switch(faults=[])
        county.clear_ledger()
        again = [batch.retry().wait(LAST)]
        again += [batch.resume().wait(LAST) for _ in range(2)]

    assert (first.totals, len(asked(county, "assessor"))) == ({"failed": 3}, 1)
    assert [(report.state, report.totals) for report in again] == [
        ("paused", {"done": 1, "waiting": 2})
    ] * 3
    assert "0.0 credits are left and an item costs 3.0" in (again[-1].error or "")


@pytest.mark.usefixtures("hasty_cancel")
@pytest.mark.parametrize("end", ["leave", "cancel"])
def test_what_was_under_way_at_the_end_of_a_run_is_charged(
    county: County, tmp_path: Path, end: str
):
    """It may have been paid for, and so it is written before it is asked: also for a kill."""
    apns = county.apns(3)
    source = {"paid": (PaidAssessor(), county.base_url("assessor"))}
    with kit_with(county, tmp_path / "one.duckdb", source) as kit:
        county.switch(faults=[{"system": "assessor", "kind": "hang", "path": apns[0]}])
        batch = kit.start(kit.plan(apns, datasets=ROLL, budget=9), workers=1)
        wait_until(lambda: bool(asked(county, "assessor")))
        under_way = batch.items()["attempts"].tolist()
        getattr(batch, end)()
        county.switch(faults=[])
        report = batch.resume().wait(LAST)

    assert under_way == [1, 0, 0]
    assert (report.state, report.totals) == ("paused", {"done": 2, "waiting": 1})
    assert "0.0 credits are left and an item costs 3.0" in (report.error or "")


def test_another_way_in_is_tried_when_the_first_is_down(county: County, tmp_path: Path):
    """Each failed parcel is asked of the next way in, and is stored once."""
    apns = county.apns(4)
    sources = {
        "first": (MaricopaAssessor(), NOBODY),
        "second": (SecondAssessor(), county.base_url("assessor")),
    }
    with kit_with(county, tmp_path / "one.duckdb", sources) as kit:
        plan = kit.plan(apns, datasets=ROLL)
        report = kit.collect(plan, progress=False)
        parcels = table_as_truth(kit, "parcels")
        requests = len(asked(county, "assessor"))
        again = kit.plan(apns, datasets=ROLL)
        retried = kit.batch("last").retry().wait(LAST)
        asked_again = len(asked(county, "assessor")) - requests
        progress = kit.batch("last").progress

    assert plan.fallbacks == {"maricopa_assessor": ("second_assessor",)}
    assert report.counts["maricopa_assessor"] == {"replaced": 4}
    assert report.counts["second_assessor"] == {"done": 4}
    assert report.is_complete
    assert (report.totals, report.failures, report.failure_classes) == ({"done": 4}, (), {})
    assert [(one.key, one.replaced_by, one.replaced_state) for one in report.replaced] == [
        (apn, "second_assessor", "done") for apn in apns
    ]
    assert f"{apns[0]}: collected by second_assessor after maricopa_assessor failed: una" in str(
        report
    )
    assert list(report.frame()["replaced"]) == [4, 0]
    assert progress is not None
    assert (progress.total, progress.ended, progress.replaced) == (4, 4, 4)
    # What a second way has delivered is asked for again by nobody.
    assert again.counts == {"fresh": 4}
    assert again.entries[0].reason.startswith("second_assessor: ")
    assert (retried.counts, asked_again) == (report.counts, 0)
    assert parcels == in_order(county.truth(apns)["parcels"])


def test_ways_in_are_tried_in_turn(county: County, tmp_path: Path):
    """Where the second fails too the third is asked, and a retry asks nobody again."""
    apns = county.apns(2)
    sources = {
        "first": (MaricopaAssessor(), NOBODY),
        "second": (SecondAssessor(), f"{NOBODY}/else"),
        "third": (ThirdAssessor(), county.base_url("assessor")),
    }
    with kit_with(county, tmp_path / "one.duckdb", sources) as kit:
        report = kit.collect(apns, datasets=ROLL, progress=False)
        requests = len(asked(county, "assessor"))
        retried = kit.batch("last").retry().wait(LAST)
        more = len(asked(county, "assessor")) - requests

    assert report.counts == {
        "maricopa_assessor": {"replaced": 2},
        "second_assessor": {"replaced": 2},
        "third_assessor": {"done": 2},
    }
    assert (report.totals, report.is_complete) == ({"done": 2}, True)
    assert (retried.counts, more) == (report.counts, 0)


def test_the_third_way_is_asked_also_when_the_batch_was_gone_on_with(
    county: County, tmp_path: Path
):
    """What failed before, and which way came in its place, is in the store."""
    apns, path = county.apns(1), tmp_path / "one.duckdb"
    first = (MaricopaAssessor(), NOBODY)
    third = (ThirdAssessor(), county.base_url("assessor"))
    ways = {"first": first, "second": (SecondAssessor(), f"{NOBODY}/else"), "third": third}
    with kit_with(county, path, ways) as kit:
        cap = {"second_assessor": 1}  # below what an item takes: it waits
        paused = kit.collect(apns, datasets=ROLL, max_requests=cap, progress=False)
    ways["second"] = (CheapAssessor(), f"{NOBODY}/else")
    with kit_with(county, path, ways) as kit:
        report = kit.batch("last").resume().wait(LAST)

    assert paused.totals == {"waiting": 1}
    assert report.counts == {
        "maricopa_assessor": {"replaced": 1},
        "second_assessor": {"replaced": 1},
        "third_assessor": {"done": 1},
    }


def test_a_wall_is_not_got_past_by_the_third_way_either(county: County, tmp_path: Path):
    """The host that shows a captcha is asked no more, though another way has failed since."""
    apns = county.apns(1)
    sources = {
        "first": (MaricopaAssessor(), county.base_url("assessor")),
        "second": (SecondAssessor(), NOBODY),
        "third": (ThirdAssessor(), county.base_url("assessor")),
    }
    county.switch(faults=[{"system": "assessor", "kind": "captcha"}])
    with kit_with(county, tmp_path / "one.duckdb", sources) as kit:
        report = kit.collect(apns, datasets=ROLL, progress=False)

    assert report.counts == {"maricopa_assessor": {"replaced": 1}, "second_assessor": {"failed": 1}}
    assert len(asked(county, "assessor")) == 1


def test_an_older_record_stands_only_where_no_way_in_is_left(county: County, tmp_path: Path):
    """``stale_ok`` is for what cannot be had: a second way that answers has something newer."""
    apns, up, counts = county.apns(1), county.base_url("assessor"), []
    ways = {"first": (MaricopaAssessor(), up), "second": (SecondAssessor(), up)}
    down = {"system": "assessor", "kind": "status", "status": 500}
    with kit_with(county, tmp_path / "one.duckdb", ways) as kit:
        # A way that is down makes two requests: the last time the first two fail.
        for faults in ([], [down], [{**down, "first": 2}]):
            county.switch(faults=faults)
            report = kit.collect(apns, datasets=ROLL, max_age=0, stale_ok=True, progress=False)
            counts.append(report.counts)

    instead = {"maricopa_assessor": {"replaced": 1}}
    assert counts == [
        {"maricopa_assessor": {"done": 1}},
        {**instead, "second_assessor": {"skipped": 1}},
        {**instead, "second_assessor": {"done": 1}},
    ]


def test_what_another_batch_collected_by_a_second_way_is_not_asked_for_again(
    county: County, tmp_path: Path
):
    """A batch that is gone on with skips it, though its own items are the first way's."""
    apns = county.apns(3)
    ways = {
        "first": (MaricopaAssessor(), NOBODY),
        "second": (SecondAssessor(), county.base_url("assessor")),
    }
    with kit_with(county, tmp_path / "one.duckdb", ways) as kit:
        begun = kit.collect(apns, datasets=ROLL, batch_size=1, progress=False)
        other = kit.collect(apns, datasets=ROLL, progress=False)
        requests = len(asked(county, "assessor"))
        report = kit.batch(begun.batch_id).resume().wait(LAST)
        more = len(asked(county, "assessor")) - requests

    assert begun.totals == {"done": 1, "waiting": 2}
    assert other.totals == {"done": 2, "skipped": 1}
    assert (report.totals, report.is_complete, more) == ({"done": 1, "skipped": 2}, True, 0)


def test_an_older_record_of_a_second_way_stands_too(county: County, tmp_path: Path):
    """``stale_ok`` keeps it, when neither way can be asked."""
    apns, path = county.apns(2), tmp_path / "one.duckdb"
    for second in (county.base_url("assessor"), NOBODY):
        ways = {"first": (MaricopaAssessor(), NOBODY), "second": (SecondAssessor(), second)}
        with kit_with(county, path, ways) as kit:
            report = kit.collect(apns, datasets=ROLL, max_age=0, stale_ok=True, progress=False)

    assert report.counts == {
        "maricopa_assessor": {"replaced": 2},
        "second_assessor": {"skipped": 2},
    }
    assert [item.key for item in report.stale] == apns


def test_a_second_way_that_gives_less_leaves_its_parcels_partial(county: County, tmp_path: Path):
    """What only the first way has is missing, in the report and in the next plan."""
    apns = county.apns(2)
    sources = {
        "first": (MaricopaAssessor(), NOBODY),
        "second": (SmallAssessor(), county.base_url("assessor")),
    }
    with kit_with(county, tmp_path / "one.duckdb", sources) as kit:
        report = kit.collect(apns, datasets=["parcels", "valuations"], progress=False)
        missing = list(kit.batch("last").items()["missing"])
        whole = kit.plan(apns, datasets=["parcels", "valuations"])
        roll = kit.plan(apns, datasets="parcels")

    assert report.counts == {"maricopa_assessor": {"replaced": 2}, "small_assessor": {"partial": 2}}
    assert [list(one) for one in missing] == [[], ["valuations"]] * 2
    assert not report.is_complete
    assert whole.counts == {"incomplete": 2}
    assert whole.entries[0].reason == "small_assessor: valuations missing"
    assert roll.counts == {"fresh": 2}


@pytest.mark.parametrize(
    ("again", "fault"),
    [("retry", {"kind": "status", "status": 503}), ("resume", {"kind": "captcha"})],
)
def test_what_failed_both_ways_is_asked_by_the_first_again_and_the_second_is_forgotten(
    county: County, tmp_path: Path, again: str, fault: dict[str, Any]
):
    """Once the first way answers, the batch tells of no other, and of each parcel once."""
    apns = county.apns(4)
    sources = {
        "first": (MaricopaAssessor(), county.base_url("assessor")),
        "second": (SecondAssessor(), NOBODY),
    }
    county.switch(faults=[{**fault, "system": "assessor"}])
    with kit_with(county, tmp_path / "one.duckdb", sources) as kit:
        report = kit.collect(apns, datasets=ROLL, workers=1, progress=False)
        county.switch(faults=[])
        batch = kit.batch("last")
        getattr(batch, again)()
        healed = batch.wait(LAST)
        items = batch.items()
        parcels = table_as_truth(kit, "parcels")

    assert report.counts == {"maricopa_assessor": {"replaced": 4}, "second_assessor": {"failed": 4}}
    assert report.totals == {"failed": 4}
    assert {one.source for one in report.failures} == {"second_assessor"}
    assert [one.replaced_state for one in report.replaced] == ["failed"] * 4
    assert healed.counts == {"maricopa_assessor": {"done": 4}}
    assert sorted(items["key"]) == sorted(apns)
    assert parcels == in_order(county.truth(apns)["parcels"])


def test_a_mode_keeps_to_its_ways_in(county: County, tmp_path: Path):
    """``api`` asks no browser, ``browser`` nothing else, ``all`` both."""
    apns = county.apns(2)
    sources = {
        "http": (MaricopaAssessor(), county.base_url("assessor")),
        "browser": (BrowserAssessor(), county.base_url("assessor")),
    }
    with kit_with(county, tmp_path / "one.duckdb", sources) as kit:
        chosen = {
            mode: set(kit.plan(apns, datasets=ROLL, mode=mode).sources)
            for mode in ("auto", "api", "browser", "all")
        }

    both = {"maricopa_assessor", "browser_assessor"}
    assert chosen == {
        "auto": {"maricopa_assessor"},
        "api": {"maricopa_assessor"},
        "browser": {"browser_assessor"},
        "all": both,
    }
