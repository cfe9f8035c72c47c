"""Parcels collected through a browser: the same records, every fault named, nothing lost."""

from __future__ import annotations

import logging
import queue
import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from propkit.cli._common import exit_code
from propkit.items import State
from propkit.notices import EndListener, Notice
from propkit.server.service import Service
from propkit.store.jobs import list_jobs
from propkit.widgets.collect_panel import CollectPanel
from propkit.widgets.jobs_panel import JobsPanel
from propkit.widgets.panel import Panel
from tests.browsing.conftest import DEADLINE, left_of, pids_of
from tests.collecting import in_order, note_places, quick_kit, table_as_truth
from tests.test_fault_matrix import FAILURE_OF, apns_known_everywhere, rule_of
from tests.widgets.panels import actions, blocks, facts

if TYPE_CHECKING:
    from pathlib import Path

    import propkit as pk
    from propkit.demo_county import County

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

DELAY = 0.2
TAXES = ["tax_bills", "tax_payments"]
BROWSER = "maricopa_treasurer_browser"

FAILURES = {**FAILURE_OF, "wrong_charset": None}
"""What a fault makes of an item; a browser reads UTF-16 by its byte order mark."""

PATIENT = {"request_timeout": 60.0, "retry_attempts": 2, "breaker_failures": 1000}
HURRIED = {**PATIENT, "request_timeout": 2.0, "retry_attempts": 1}
"""For a county that is silent; whatever is late is as good as silent, so no clock decides."""


def taxes_of(kit: pk.Kit) -> dict[str, list[dict[str, object]]]:
    return {table: table_as_truth(kit, table) for table in TAXES}


def truth_of(county: County, apns: list[str]) -> dict[str, list[dict[str, Any]]]:
    truth = county.truth(apns)
    return {table: in_order(truth[table]) for table in TAXES}


@pytest.mark.parametrize(
    "switches",
    [
        {"layout": "list", "year_table": "divBackTaxes", "button": "input"},
        {"layout": "table", "year_table": "gvTaxYears", "button": "div"},
    ],
    ids=["list-input", "table-div"],
)
def test_http_and_browser_give_equal_records(
    county: County, tmp_path: Path, switches: dict[str, Any]
) -> None:
    """Known and unknown parcels, with and without a split letter, both layouts and buttons."""
    apns = county.apns(4, seed=11)
    split = next(apn for apn in county.apns() if not apn.isdigit())
    apns = [*apns, split]
    county.switch(**switches)
    found, counts = {}, {}
    for mode in ("api", "browser"):
        path = tmp_path / f"{mode}.duckdb"
        with quick_kit(county, path, has_browser=True, workers=4, request_timeout=60) as kit:
            report = kit.collect(apns, datasets=TAXES, mode=mode, progress=False)
            found[mode] = taxes_of(kit)
            counts[mode] = list(report.counts.values())

    assert found["browser"] == found["api"] == truth_of(county, apns)
    assert counts["browser"] == counts["api"]


def test_every_fault_has_the_name_that_it_has_by_http(county: County, tmp_path: Path) -> None:
    """One item each; a wall is named too, and the next batch asks again."""
    (apn,) = apns_known_everywhere(county, 1)
    named = {}
    kinds = {"patient": [kind for kind in FAILURES if kind != "hang"], "hurried": ["hang"]}
    options = {"datasets": TAXES, "mode": "browser", "max_age": 0, "progress": False}
    for name, settings in {"hurried": HURRIED, "patient": PATIENT}.items():
        path = tmp_path / f"{name}.duckdb"
        with quick_kit(county, path, has_browser=True, **settings) as kit:
            for kind in kinds[name]:
                if kind == "token_expiry":  # of the assessor only
                    continue
                county.switch(faults=[rule_of(kind, "treasurer")])
                report = kit.collect([apn], **options)
                classes = [item.failure_class for item in report.failures]
                named[kind] = classes[0] if classes else None
                assert kit.store.duplicates() == {}, kind
                assert len(kit.evidence()) == (FAILURES[kind] is not None), kind
            found = taxes_of(kit)

    assert named == {kind: what for kind, what in FAILURES.items() if kind != "token_expiry"}
    assert found == truth_of(county, [apn])


def test_a_wall_stops_the_source_and_shows_what_was_seen(county: County, tmp_path: Path) -> None:
    """The screenshot and the page are kept; nobody asks again, by no other way."""
    apns = apns_known_everywhere(county, 4)
    county.switch(faults=[{"kind": "captcha", "system": "treasurer"}])
    settings = {"workers": 1, "request_timeout": 60}
    with quick_kit(county, tmp_path / "a.duckdb", has_browser=True, **settings) as kit:
        by_http = kit.collect(apns, datasets=TAXES, progress=False)
        asked = len(county.ledger("treasurer"))
        report = kit.collect(apns, datasets=TAXES, mode="browser", max_age=0, progress=False)
        shown = kit.evidence()
        files = shown.save(tmp_path / "seen")
        by_apn = kit.evidence(apns[0])
        as_html = shown._repr_html_()
        frame = shown.frame()

    # By HTTP the wall was seen first: the browser is not sent to the same host.
    assert by_http.counts == {"maricopa_treasurer": {"failed": 1, "waiting": 3}}
    assert asked == 1
    assert report.counts == {BROWSER: {"failed": 1, "waiting": 3}}
    assert report.state == "paused"
    assert len(county.ledger("treasurer")) == asked + 1
    (seen,) = shown
    assert (seen.source, seen.key, seen.failure_class) == (BROWSER, apns[0], "blocked")
    assert seen.url == f"{county.base_url('treasurer')}/"
    assert seen.status == 200
    assert b"captcha" in seen.html
    assert seen.screenshot is not None
    assert seen.screenshot.startswith(b"\xff\xd8\xff")
    assert [path.suffix for path in files] == [".html", ".jpg"]
    assert files[1].read_bytes() == seen.screenshot
    assert {one.source for one in by_apn} == {BROWSER, "maricopa_treasurer"}
    assert "data:image/jpeg;base64," in as_html
    assert frame.loc[0, "url"] == seen.url
    assert report.failures[0].has_screenshot
    assert "[screenshot]" in str(report)
    assert f"kit.evidence('{report.batch_id}')" in str(report)


def counts_of(counted: Any) -> tuple[int, ...]:
    return (counted.total, counted.processed, counted.success_count, counted.error_count)


def seen_by_all(kit: pk.Kit, batch: pk.Batch) -> dict[str, Any]:
    """Return what each reader says of the last batch: how many in all, at an end, well, failed."""
    progress = batch.progress
    assert progress is not None
    well = progress.counts.get(State.DONE, 0)
    told: queue.Queue[Notice] = queue.Queue()
    EndListener([told.put], 0.0, tells_failures=True)(progress)
    notice = told.get(timeout=DEADLINE)
    (job,) = list_jobs(kit.store).jobs
    service = Service(kit.settings, kit.store.path, logging.getLogger("test"))
    service._opened = kit
    by_rest = service.read(batch.id)
    (row,) = kit.frame("batches").to_dict("records")
    panel, jobs = CollectPanel(kit), JobsPanel(kit)
    (shown,) = [one["rows"][0] for one in blocks(jobs) if one.get("key") == "jobs"]
    return {
        "progress": (progress.total, progress.ended, well, progress.counts.get(State.FAILED, 0)),
        "notice": (notice.total, notice.ended, notice.failed),
        "job": counts_of(job),
        "job details": job.error_details,
        "rest": counts_of(by_rest),
        "rest details": by_rest.error_details,
        "event": counts_of(service.event(batch.id)),
        "batches": [row[name] for name in ("total", "done", "failed", "replaced")],
        "statuses": [panel.grid.value(place, "status") for place in range(len(panel.grid.rows))],
        "summary": (facts(panel, "summary")["Answers"], actions(panel, "summary")),
        "jobs panel": (shown[3], shown[4], shown[8]),
        "statistics": {
            one.source: (one.items, one.failed) for one in kit.statistics("last").sources
        },
        "evidence": sorted((one.source, one.key) for one in kit.evidence()),
    }


def test_whoever_looks_at_a_batch_counts_each_parcel_by_its_best_way(
    county: County, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One parcel came by HTTP, two by the form after HTTP had failed: three done, none failed.

    The same to all who look; everybody can see what the first way failed at, too.
    """
    monkeypatch.setattr(Panel, "begin", lambda panel: panel.turn(None))
    apns = apns_known_everywhere(county, 3)
    # The address with these parcels in it is gone; the form still works.
    fault = {"kind": "status", "status": 503, "system": "treasurer"}
    county.switch(faults=[{**fault, "path": f"Parcel={apn}"} for apn in apns[1:]])
    first, ways = "maricopa_treasurer", {"datasets": TAXES, "mode": "api_then_browser"}
    settings = {"retry_attempts": 2, "request_timeout": 60}
    with quick_kit(county, tmp_path / "a.duckdb", has_browser=True, **settings) as kit:
        plan = kit.plan(apns, **ways)
        report = kit.collect(plan, progress=False)
        batch = kit.batch("last")
        seen = seen_by_all(kit, batch)
        again = kit.plan(apns, **ways)
        by_http = kit.plan(apns, datasets=TAXES, mode="api")
        requests = len(county.ledger("treasurer"))
        retried = batch.retry().wait(DEADLINE)
        resumed = batch.resume().wait(DEADLINE)
        asked = len(county.ledger("treasurer")) - requests
        items = batch.items().sort_values(["source", "key"])
        found = taxes_of(kit)

    assert plan.fallbacks == {first: (BROWSER,)}
    assert found == truth_of(county, apns)
    assert report.counts == {first: {"done": 1, "replaced": 2}, BROWSER: {"done": 2}}
    assert (report.totals, report.failures, report.is_complete) == ({"done": 3}, (), True)
    assert str(report).count(f"collected by {BROWSER} after {first} failed: unavailable: ") == 2
    assert exit_code(report) == 0
    assert (retried.counts, resumed.counts, asked) == (report.counts, report.counts, 0)
    assert again.counts == {"fresh": 3}
    assert [entry.reason.split(": ")[0] for entry in again.entries] == [first, BROWSER, BROWSER]
    assert by_http.counts == {"due": 2, "fresh": 1}  # that way has not
    assert seen == {
        "progress": (3, 3, 3, 0),
        "notice": (3, 3, 0),
        "job": (3, 3, 3, 0),
        "job details": {"replaced": {"unavailable": 2}},
        "rest": (3, 3, 3, 0),
        "rest details": {"replaced": {"unavailable": 2}},
        "event": (3, 3, 3, 0),
        "batches": [3, 3, 0, 2],
        "statuses": ["complete"] * 3,
        "summary": ("3 done", ["export"]),
        "jobs panel": ("3 of 3", "3 / 0", "2 to a second way"),
        # What a source failed at is told as it was.
        "statistics": {
            first: ({"done": 1, "replaced": 2}, {"unavailable": 2}),
            BROWSER: ({"done": 2}, {}),
        },
        "evidence": sorted((first, apn) for apn in apns[1:]),
    }
    done, failed = ("done", None, None), ("failed", "unavailable", BROWSER)
    columns = items[["source", "key", "state", "failure_class", "replaced_by"]].astype(object)
    rows = [tuple(row) for row in columns.where(columns.notna(), None).to_numpy()]
    assert rows == [
        *((first, apn, *(failed if apn in apns[1:] else done)) for apn in sorted(apns)),
        *((BROWSER, apn, *done) for apn in sorted(apns[1:])),
    ]


def test_a_new_layout_in_mid_run_is_noticed_and_overwrites_nothing(
    county: County, tmp_path: Path
) -> None:
    """As by HTTP: a few answers in a row that nobody can read stop the source, the rest waits."""
    apns = apns_known_everywhere(county, 10)
    workers, enough = 2, 3
    settings = {"request_timeout": 60, "workers": workers, "breaker_failures": enough}
    with quick_kit(county, tmp_path / "a.duckdb", has_browser=True, **settings) as kit:
        kit.collect(apns, datasets=TAXES, mode="api", progress=False)
        learned = taxes_of(kit)
        # Five requests a parcel: some are read before the pages change.
        county.switch(faults=[{"kind": "layout_v2", "system": "treasurer", "after": 15}])
        report = kit.collect(apns, datasets=TAXES, mode="browser", max_age=0, progress=False)
        stored = taxes_of(kit)
        county.switch(faults=[])
        batch = kit.batch("last")
        batch.retry()
        retried = batch.wait()
        stored_at_last = taxes_of(kit)

    assert learned == truth_of(county, apns)
    counts = report.counts[BROWSER]
    assert enough <= counts["failed"] <= enough + workers
    assert counts["waiting"] == len(apns) - counts["failed"] - counts.get("done", 0) > 0
    assert report.state == "paused"
    assert report.failure_classes == {"layout_changed": counts["failed"]}
    assert all(item.has_screenshot for item in report.failures)
    assert stored == learned
    assert retried.is_complete
    assert stored_at_last == learned


def test_a_browser_killed_in_mid_run_costs_no_item(county: County, tmp_path: Path) -> None:
    """Killed by its process id, twice, before the next item ends; every parcel is there, once."""
    apns = apns_known_everywhere(county, 8)
    with quick_kit(county, tmp_path / "a.duckdb", has_browser=True, request_timeout=60) as kit:
        moments, killed = [2, 6], []

        def kill(event: pk.Progress) -> None:
            alive = [engine.tree.pid for engine in pool.engines if engine.is_alive]
            if alive and moments and event.ended >= moments[0]:
                moments.pop(0)
                killed.extend(alive)
                psutil.Process(alive[0]).kill()

        pool = kit._place.collector()[0].browsers
        batch = kit.start(apns, datasets=TAXES, mode="browser", workers=4, listener=kill)
        report = batch.wait()
        found = taxes_of(kit)
        duplicates = kit.store.duplicates()
        assert report.counts == {BROWSER: {"done": 8}}
        assert report.is_complete
    assert len(set(killed)) == len(killed) == 2
    assert found == truth_of(county, apns)
    assert duplicates == {}


def test_cancel_and_close_leave_no_browser(
    county: County, tmp_path: Path, hasty_cancel: None
) -> None:
    apns = apns_known_everywhere(county, 4)
    # The first parcel has its five requests; after them the county is silent.
    county.switch(faults=[{"kind": "hang", "system": "treasurer", "seconds": 200, "after": 5}])
    with quick_kit(county, tmp_path / "a.duckdb", has_browser=True, request_timeout=600) as kit:
        going = threading.Event()
        batch = kit.start(
            apns,
            datasets=TAXES,
            mode="browser",
            workers=1,
            listener=lambda event: event.ended and going.set(),
        )
        assert going.wait(DEADLINE)
        pool = kit._place.collector()[0].browsers
        tree = pids_of(pool.engines[0].tree.pid)
        report = batch.cancel()
        stored = {row["apn"] for row in kit.store.rows("SELECT DISTINCT apn FROM tax_bills")}

    assert report.state == "cancelled"
    assert report.totals == {"done": 1, "cancelled": 3}
    assert len(stored) == 1
    assert left_of(tree) == set()


def test_robots_and_the_crawl_delay_bind_the_browser_too(
    county: County, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host is asked no faster than it says; a page that is forbidden is not opened."""
    apns = apns_known_everywhere(county, 2)
    places = note_places(monkeypatch)
    robots = f"User-agent: *\nCrawl-delay: {DELAY}\nDisallow: /treasurer/Parcel/A"
    county.switch(robots={"root": robots})
    with quick_kit(county, tmp_path / "a.duckdb", has_browser=True, request_timeout=60) as kit:
        report = kit.collect(apns, datasets=TAXES, mode="browser", progress=False)
        rates = kit._place.rates()

    pages = [entry for entry in county.ledger("treasurer") if entry["path"] != "/robots.txt"]
    assert not [entry for entry in pages if "Activities" in entry["path"]]
    assert {item.failure_class for item in report.failures} == {"blocked"}
    (rate,) = (rate for host, rate in rates.items() if host.endswith("/treasurer"))
    assert rate <= 1 / DELAY  # 5,000 were set
    # Every request that came had a place of the pace, and these lie as far apart as was asked:
    # when one arrives is for the machine to say.
    taken = [at for url, at in places if "/treasurer" in url]
    assert len(taken) == len(pages) >= 6
    assert min(after - before for before, after in pairwise(taken)) >= 0.99 * DELAY


def test_the_portal_gives_the_documents_that_the_api_gives(county: County, tmp_path: Path) -> None:
    """Restricted ones and unknown numbers too; each page and its data wait for their place."""
    apns = county.apns(14, seed=4)
    found, counts = {}, {}
    names = {"api": "maricopa_recorder", "browser": "maricopa_recorder_portal"}
    for mode, name in names.items():
        path = tmp_path / f"{mode}.duckdb"
        with quick_kit(county, path, has_browser=True, workers=4, request_timeout=60) as kit:
            kit.collect(apns, datasets="parcels", mode="api", progress=False)
            county.clear_ledger()
            report = kit.collect(apns, datasets="documents", mode=mode, progress=False)
            found[mode] = table_as_truth(kit, "documents")
            counts[mode] = report.counts[name]
            asked = [entry["path"] for entry in county.ledger("recorder")]

    assert found["browser"] == found["api"]
    assert counts["browser"] == counts["api"]
    assert len(asked) == 2 * sum(counts["browser"].values()) == report.requests


def test_a_portal_whose_data_fails_is_named(county: County, tmp_path: Path) -> None:
    """The page itself is whole each time: only what its script asks for is not."""
    (apn,) = apns_known_everywhere(county, 1)
    rules = {
        "unavailable": {"kind": "status", "status": 503},
        "invalid_answer": {"kind": "html200"},
        "timeout": {"kind": "hang", "seconds": 30},
    }
    named = []
    path = tmp_path / "a.duckdb"
    for failure, rule in rules.items():
        settings = HURRIED if failure == "timeout" else PATIENT
        county.switch(faults=[])
        with quick_kit(county, path, has_browser=True, **settings) as kit:
            if not named:
                kit.collect([apn], datasets="parcels", mode="api", progress=False)
            county.switch(faults=[{**rule, "system": "recorder", "path": "^/documents/"}])
            report = kit.collect(
                [apn], datasets="documents", mode="browser", max_age=0, progress=False
            )
            named += [item.failure_class for item in report.failures]
            documents = kit.store.rows("SELECT * FROM documents WHERE source LIKE '%portal'")

    assert named == list(rules)
    assert documents == []
