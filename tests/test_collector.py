"""What collecting leaves in the store, against the county's own truth and its ledger."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from propkit.http_exchange import Address, Answer, Exchange, Origin
from propkit.items import State
from propkit.records import RECORD_TYPES
from propkit.sources import configure_sources
from propkit.store import Store
from tests.collecting import (
    QUICK,
    be_patient,
    in_order,
    note_places,
    quick_kit,
    quick_settings,
    table_as_truth,
)

if TYPE_CHECKING:
    from propkit.demo_county import County

SYSTEMS = {
    "maricopa_assessor": "assessor",
    "maricopa_treasurer": "treasurer",
    "maricopa_recorder": "recorder",
}


def outcomes(kit: pk.Kit) -> Counter[tuple[str, str]]:
    """Count the last batch's items by source and state."""
    rows = kit.batch("last").items()
    return Counter(zip(rows["source"], rows["state"], strict=True))


def failures(kit: pk.Kit, source: str) -> Counter[str | None]:
    """Count the last batch's failure classes at one source, None for items without failure."""
    rows = kit.batch("last").items()
    return Counter(
        None if value is None else str(value)
        for value in rows[rows["source"] == source]["failure_class"].tolist()
    )


def expected_outcomes(county: County, apns: list[str]) -> Counter[tuple[str, str]]:
    """Tell from the county's truth what each source will say of the parcels."""
    truth = county.truth(apns)
    billed = {row["apn"] for row in truth["tax_bills"]}
    deeds = {row["deed_number"] for row in truth["parcels"] if row["deed_number"]}
    recorded = {row["recording_number"] for row in truth["documents"]}
    counted = Counter(
        {
            ("maricopa_assessor", "done"): len(truth["parcels"]),
            ("maricopa_assessor", "not_found"): len(apns) - len(truth["parcels"]),
            ("maricopa_treasurer", "done"): len(billed),
            ("maricopa_treasurer", "not_found"): len(apns) - len(billed),
            ("maricopa_recorder", "done"): len(deeds & recorded),
            ("maricopa_recorder", "not_found"): len(deeds - recorded),
        }
    )
    return +counted


def test_every_stored_field_of_500_parcels_is_the_countys_own_truth(
    county: County, tmp_path: Path
) -> None:
    """Record for record and field for field; items by outcome; requests by the ledger."""
    apns = county.apns(500, seed=11)
    with quick_kit(county, tmp_path / "a.duckdb", workers=6) as kit:
        kit.collect(apns, progress=False)

        stored = {table: table_as_truth(kit, table) for table in RECORD_TYPES}
        counted = outcomes(kit)
        duplicates = kit.store.duplicates()

    truth = {table: in_order(rows) for table, rows in county.truth(apns).items()}
    for table in RECORD_TYPES:
        assert stored[table] == truth[table], table
    expected = expected_outcomes(county, apns)
    assert counted == expected
    assert duplicates == {}
    assert expected[("maricopa_assessor", "not_found")] > 0
    asked = Counter(entry["system"] for entry in county.ledger())
    del asked["root"]  # robots.txt, once
    assert asked == {
        # A missing parcel is confirmed by one search before it is called missing.
        "assessor": 500 + expected[("maricopa_assessor", "not_found")],
        "treasurer": 4 * expected[("maricopa_treasurer", "done")]
        + 2 * expected[("maricopa_treasurer", "not_found")],
        "recorder": sum(n for (name, _), n in expected.items() if name == "maricopa_recorder"),
    }


@pytest.mark.parametrize(
    "switches",
    [
        {"one_call": False, "envelope": "real_property"},
        {"unknown_parcel": "500", "layout": "list", "year_table": "divBackTaxes"},
        {"layout": "table", "year_table": "gvTaxYears"},
    ],
    ids=["sections", "list-back-taxes", "table-tax-years"],
)
def test_every_shape_of_the_county_gives_the_same_tables(
    county: County, tmp_path: Path, switches: dict[str, Any]
) -> None:
    """The sections in place of the one call, both envelopes, both layouts and year tables."""
    apns = county.apns(60, seed=5)
    county.switch(**switches)

    with quick_kit(county, tmp_path / "a.duckdb") as kit:
        kit.collect(apns, progress=False)
        stored = {table: table_as_truth(kit, table) for table in RECORD_TYPES}
        counted = outcomes(kit)

    assert stored == {table: in_order(rows) for table, rows in county.truth(apns).items()}
    assert counted == expected_outcomes(county, apns)


def test_what_is_fresh_costs_no_request(county: County, tmp_path: Path) -> None:
    """A second run asks nothing; max_age=0 asks everything again and changes nothing."""
    apns = county.apns(20, seed=2)
    with quick_kit(county, tmp_path / "a.duckdb") as kit:
        kit.collect(apns, progress=False)
        before = {table: table_as_truth(kit, table) for table in RECORD_TYPES}
        county.clear_ledger()

        report = kit.collect(apns, progress=False)
        asked_again = len(county.ledger())
        kit.collect(apns, max_age=0, progress=False)

        assert asked_again == 0
        assert set(report.totals) == {"skipped"}
        assert {table: table_as_truth(kit, table) for table in RECORD_TYPES} == before
        assert len(county.ledger()) >= 20 * 5


HEALED = {
    "503": {"kind": "status", "status": 503},
    "429": {"kind": "status", "status": 429},
    "drop": {"kind": "drop"},
    "cut": {"kind": "cut"},
    "html": {"kind": "html200", "system": "assessor"},
    "empty": {"kind": "empty200"},
    "charset": {"kind": "wrong_charset"},
    "session": {"kind": "session_loss", "system": "treasurer", "path": "List=All"},
}


@pytest.mark.parametrize("name", list(HEALED))
def test_a_fault_that_passes_loses_and_doubles_nothing(
    county: County, tmp_path: Path, name: str
) -> None:
    """Each address fails once; the tables are those of an undisturbed run."""
    apns = county.apns(15, seed=9)
    county.switch(faults=[{**HEALED[name], "first": 1, "per": "url"}])

    with quick_kit(county, tmp_path / "a.duckdb") as kit:
        report = kit.collect(apns, progress=False)
        stored = {table: table_as_truth(kit, table) for table in RECORD_TYPES}

    assert report.state == "completed"
    assert stored == {table: in_order(rows) for table, rows in county.truth(apns).items()}
    assert any(entry["fault"] for entry in county.ledger())


LASTING = {
    "503": ({"kind": "status", "status": 503}, "unavailable"),
    "429": ({"kind": "status", "status": 429}, "unavailable"),
    "drop": ({"kind": "drop"}, "unavailable"),
    "hang": ({"kind": "hang", "seconds": 30}, "timeout"),
    "cut": ({"kind": "cut"}, "invalid_answer"),
    "empty": ({"kind": "empty200"}, "invalid_answer"),
    "charset": ({"kind": "wrong_charset"}, "invalid_answer"),
}


@pytest.mark.parametrize("source", list(SYSTEMS))
@pytest.mark.parametrize("name", list(LASTING))
def test_a_fault_that_lasts_is_named_and_the_other_sources_go_on(
    county: County, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, name: str
) -> None:
    """The right failure class for every item of the source, and nothing of it is stored."""
    rule, failure_class = LASTING[name]
    apns = apns_known_everywhere(county, 4)
    county.switch(faults=[{**rule, "system": SYSTEMS[source]}])
    be_patient(monkeypatch, lambda url: name == "hang" and f"/{SYSTEMS[source]}/" in url)
    seconds = 0.5 if name == "hang" else QUICK["request_timeout"]

    with quick_kit(
        county, tmp_path / "a.duckdb", retry_attempts=2, request_timeout=seconds, workers=4
    ) as kit:
        report = kit.collect(apns, progress=False)
        stored = {table: table_as_truth(kit, table) for table in RECORD_TYPES}
        classes = failures(kit, source)

    assert classes == {failure_class: 4}
    assert report.counts[source] == {"failed": 4}
    truth = {table: in_order(rows) for table, rows in county.truth(apns).items()}
    lost = {table for table in RECORD_TYPES if stored[table] != truth[table]}
    gone = {
        "maricopa_assessor": {
            *("parcels", "residences", "improvements", "valuations", "sales", "documents")
        },
        "maricopa_treasurer": {"tax_bills", "tax_payments"},
        "maricopa_recorder": {"documents"},
    }[source]
    assert lost <= gone
    assert all(stored[table] == [] for table in gone)


def apns_known_everywhere(county: County, count: int) -> list[str]:
    """Return parcels that every system knows."""
    truth = county.truth(county.apns(200, seed=4))
    recorded = {row["apn"] for row in truth["documents"]}
    billed = {row["apn"] for row in truth["tax_bills"]}
    known = [r["apn"] for r in truth["parcels"] if r["apn"] in recorded and r["apn"] in billed]
    return known[:count]


@pytest.mark.parametrize(
    ("rule", "failure_class"),
    [
        ({"kind": "captcha", "system": "treasurer"}, "blocked"),
        ({"kind": "captcha", "system": "treasurer", "status": 403}, "blocked"),
    ],
)
def test_a_wall_stops_that_source_and_the_rest_waits(
    county: County, tmp_path: Path, rule: dict[str, Any], failure_class: str
) -> None:
    """No further request goes to a source that shows a captcha; the person is told."""
    apns = apns_known_everywhere(county, 12)
    county.switch(faults=[rule])
    with quick_kit(county, tmp_path / "a.duckdb", workers=1) as kit:
        report = kit.collect(apns, progress=False)

        assert report.state == "paused"
        assert report.counts["maricopa_treasurer"] == {"failed": 1, "waiting": 11}
        assert report.counts["maricopa_assessor"] == {"done": 12}
        assert [item.failure_class for item in report.failures] == [failure_class]
        assert report.error is not None
        assert "maricopa_treasurer is stopped (blocked)" in report.error
        assert len(county.ledger("treasurer")) == 1

        county.switch(faults=[])
        batch = kit.batch("last")
        batch.retry().wait()
        after = batch.report

    assert after.state == "completed"
    assert after.counts["maricopa_treasurer"] == {"done": 12}


def test_a_token_that_expires_stops_the_assessor_and_a_new_one_finishes(
    county: County, tmp_path: Path
) -> None:
    """Items after the expiry are rejected or wait, never "not found"."""
    apns = apns_known_everywhere(county, 20)
    county.switch(faults=[{"kind": "token_expiry", "system": "assessor", "after": 5}])
    with quick_kit(county, tmp_path / "a.duckdb", workers=1) as kit:
        report = kit.collect(apns, progress=False)
        counts = report.counts["maricopa_assessor"]

    assert counts == {"done": 5, "failed": 1, "waiting": 14}
    assert [item.failure_class for item in report.failures] == ["rejected"]
    assert "PROPKIT_SOURCES__MARICOPA_ASSESSOR__TOKEN" in str(report)

    county.switch(faults=[])
    with quick_kit(county, tmp_path / "a.duckdb") as kit:
        batch = kit.batch("last")
        batch.retry().wait()

        assert batch.report.is_complete
        assert table_as_truth(kit, "parcels") == in_order(county.truth(apns)["parcels"])


def test_a_changed_layout_is_named_and_nothing_of_it_is_stored(
    county: County, tmp_path: Path
) -> None:
    """Renamed ids are layout_changed at once, without a retry; the page is kept."""
    apns = apns_known_everywhere(county, 3)
    county.switch(faults=[{"kind": "layout_v2", "system": "treasurer"}])
    with quick_kit(county, tmp_path / "a.duckdb") as kit:
        report = kit.collect(apns, datasets=["tax_bills", "tax_payments"], progress=False)

        assert report.counts == {"maricopa_treasurer": {"failed": 3}}
        assert {item.failure_class for item in report.failures} == {"layout_changed"}
        assert kit.store.rows("SELECT * FROM tax_bills") == []
        assert kit.store.rows("SELECT count(DISTINCT key) AS n FROM fetches") == [{"n": 3}]


def test_a_missing_section_makes_a_partial_item_that_is_asked_again(
    county: County, tmp_path: Path
) -> None:
    """Bills are stored, payments are named as missing, and the next plan is incomplete."""
    apns = apns_known_everywhere(county, 3)
    county.switch(
        faults=[{"kind": "status", "status": 500, "system": "treasurer", "path": "Activities"}]
    )
    with quick_kit(county, tmp_path / "a.duckdb", retry_attempts=2) as kit:
        report = kit.collect(apns, datasets=["tax_bills", "tax_payments"], progress=False)
        partial = [(item.key, item.missing) for item in report.partial]
        county.switch(faults=[])
        plan = kit.plan(apns, datasets=["tax_bills", "tax_payments"])
        kit.collect(plan, progress=False)
        stored = {table: table_as_truth(kit, table) for table in ("tax_bills", "tax_payments")}

    assert not report.is_complete
    assert report.counts == {"maricopa_treasurer": {"partial": 3}}
    assert sorted(partial) == sorted((apn, ("tax_payments",)) for apn in apns)
    assert plan.counts == {"incomplete": 3}
    truth = county.truth(apns)
    assert stored == {table: in_order(truth[table]) for table in stored}


def test_concurrent_parcels_at_the_treasurer_never_share_a_session(
    county: County, tmp_path: Path
) -> None:
    """One cookie jar an item: every session in the ledger asked for one parcel."""
    apns = apns_known_everywhere(county, 30)
    with quick_kit(county, tmp_path / "a.duckdb", workers=8) as kit:
        kit.collect(apns, datasets=["tax_bills", "tax_payments"], progress=False)

    asked: dict[str, set[str]] = {}
    for entry in county.ledger("treasurer"):
        if entry["session"] and "Parcel=" in entry["query"]:
            asked.setdefault(entry["session"], set()).add(entry["query"])
    sessions = [entry["session"] for entry in county.ledger("treasurer") if entry["session"]]
    assert len(set(sessions)) == 30
    assert all(len(queries) == 1 for queries in asked.values())


def test_known_limits_are_kept_and_nothing_is_refused(county: County, tmp_path: Path) -> None:
    """At the county's enforced limit every request is answered."""
    apns = county.apns(10, seed=8)
    limit = {"requests_per_second": 20, "burst": 3, "max_in_flight": 2}
    county.switch(limits=dict.fromkeys(SYSTEMS.values(), limit))
    sources = {
        name: {**values, "requests_per_second": 20, "max_in_flight": 2}
        for name, values in county.settings().items()
    }
    with pk.open(tmp_path / "a.duckdb", settings=pk.Settings.load(sources=sources)) as kit:
        report = kit.collect(apns, progress=False)

    assert report.state == "completed"
    ledger = county.ledger()
    assert [entry for entry in ledger if entry["status"] == 429] == []
    for system in SYSTEMS.values():
        assert max(entry["in_flight"] for entry in ledger if entry["system"] == system) <= 2


def test_cancel_keeps_what_was_fetched_and_leaves_the_rest_cancelled(
    county: County, tmp_path: Path
) -> None:
    """No request starts after the cancel; what is done is stored; a new run finishes."""
    apns = county.apns(200, seed=6)
    county.switch(latency=0.1)  # or it may be over before it is cancelled
    with quick_kit(county, tmp_path / "a.duckdb") as kit:
        going = threading.Event()
        batch = kit.start(apns, listener=lambda event: event.ended > 20 and going.set())
        assert going.wait(60)
        report = batch.cancel()
        county.switch(latency=0)
        asked = len(county.ledger())
        stored = len(kit.frame("parcels"))

        totals = report.totals
        assert report.state == "cancelled"
        assert totals["cancelled"] > 0
        assert batch.progress is not None
        assert batch.progress.counts[State.CANCELLED] == totals["cancelled"]
        assert stored == report.counts["maricopa_assessor"]["done"]
        assert len(county.ledger()) == asked

        again = kit.collect(apns, progress=False)
        assert again.state == "completed"
        assert table_as_truth(kit, "parcels") == in_order(county.truth(apns)["parcels"])


KILLED = """
import sys
from tests.collecting import quick_settings
import propkit as pk
from propkit.sources import configure_sources
from propkit.store import Store

class Given:
    def settings(self):
        return {settings}

settings = quick_settings(Given())
sources = configure_sources(settings)
for name in [n for n, c in sources.items() if c.source.transport == "browser"]:
    del sources[name]
kit = pk.Kit(Store.open({path!r}), settings, sources)
batch = kit.start({apns!r}, listener=lambda event: print(event.ended, flush=True))
batch.wait()
"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_killed_run_is_resumed_and_ends_as_an_undisturbed_one(
    county: County, tmp_path: Path, seed: int
) -> None:
    """SIGKILL at a seeded moment: every item once, tables equal to the truth."""
    apns = county.apns(150, seed=seed)
    path = tmp_path / "a.duckdb"
    script = KILLED.format(settings=county.settings(), path=str(path), apns=apns)
    moment = random.Random(seed).randrange(1, 400)
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= moment:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()

    with quick_kit(county, path) as kit:
        batch = kit.batch("last")
        state = batch.state
        report = batch.resume().wait()

        assert state in {"interrupted", "completed"}
        assert report.state == "completed"
        assert outcomes(kit) == expected_outcomes(county, apns)
        assert kit.store.duplicates() == {}
        stored = {table: table_as_truth(kit, table) for table in RECORD_TYPES}
        assert stored == {table: in_order(rows) for table, rows in county.truth(apns).items()}


def test_progress_tells_every_item_once_and_ends_with_the_state(
    county: County, tmp_path: Path
) -> None:
    """The changed items of all events bring a listener from nothing to the final counts."""
    apns = county.apns(40, seed=3)
    events: list[pk.Progress] = []
    with quick_kit(county, tmp_path / "a.duckdb") as kit:
        kit.collect(apns, progress=events.append)
        expected = outcomes(kit)

    last = {item.identity: item for event in events for item in event.changed}
    assert Counter((item.source, item.state.value) for item in last.values()) == expected
    assert events[-1].state == "completed"
    assert events[-1].ended == events[-1].total == sum(expected.values())
    assert all(event.state == "running" for event in events[:-1])


def test_a_parser_that_stumbles_fails_its_item_only(
    county: County, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in reading one answer is layout_changed for that item, and the batch goes on."""
    from propkit.sources.maricopa_recorder import MaricopaRecorder

    apns = apns_known_everywhere(county, 5)
    real = MaricopaRecorder.parse
    broken = county.truth(apns)["documents"][0]["recording_number"]

    def parse(self: MaricopaRecorder, payload: Any) -> Any:
        return {}[payload.key] if payload.key == broken else real(self, payload)

    monkeypatch.setattr(MaricopaRecorder, "parse", parse)
    with quick_kit(county, tmp_path / "a.duckdb") as kit:
        report = kit.collect(apns, progress=False)

    assert report.counts["maricopa_recorder"] == {"done": 4, "failed": 1}
    assert [(item.key, item.failure_class) for item in report.failures] == [
        (broken, "layout_changed")
    ]


def test_a_host_that_asks_for_a_long_pause_is_left_alone_and_its_items_wait(
    county: County, tmp_path: Path
) -> None:
    """Retry-After beyond what a batch waits: one request, the rest waits, the others go on."""
    apns = apns_known_everywhere(county, 8)
    rule = {"kind": "status", "status": 503, "retry_after": 3600, "system": "treasurer"}
    county.switch(faults=[rule])
    with quick_kit(county, tmp_path / "a.duckdb", workers=1) as kit:
        report = kit.collect(apns, progress=False)

    assert report.state == "paused"
    assert report.counts["maricopa_treasurer"] == {"failed": 1, "waiting": 7}
    assert report.counts["maricopa_assessor"] == {"done": 8}
    assert "asks to be left alone" in str(report.error)
    assert len(county.ledger("treasurer")) == 1


def test_sources_that_share_a_host_share_its_slowest_pace(county: County, tmp_path: Path) -> None:
    """One address for all three systems: nobody may ask it faster than the slowest allows."""
    base = county.url
    rates = {"maricopa_assessor": 50, "maricopa_treasurer": 15, "maricopa_recorder": 20}
    sources = {
        name: {"base_url": base, "requests_per_second": rate} for name, rate in rates.items()
    }
    with pk.open(tmp_path / "a.duckdb", settings=pk.Settings.load(sources=sources)) as kit:
        plan = kit.plan(["132-38-011"])

        hosts = kit._place.collector()[0].hosts
        paces = {hosts[name].pace for name in rates}

    assert len(paces) == 1
    assert round(paces.pop().requests_per_second, 1) == round(15 / 1.015, 1)
    assert plan.minutes * 60 == (1 + 4 + 1) / 15


def test_the_treasurer_starts_one_parcel_every_so_often_whatever_the_workers(
    county: County, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items keep a spacing of their own: three workers do not start three parcels at once."""
    starts: list[float] = []
    ask = Exchange.ask

    async def listen(self: Exchange, origin: Origin, address: Address, **more: Any) -> Answer:
        if "Parcel=" in address.target:
            starts.append(time.monotonic())  # not when a loaded county gets to read it
        return await ask(self, origin, address, **more)

    monkeypatch.setattr(Exchange, "ask", listen)
    apns = apns_known_everywhere(county, 4)
    county.switch(faults=[{"kind": "slow", "system": "treasurer", "every": 3, "seconds": 0.9}])
    settings = quick_settings(county)
    configs = configure_sources(settings)
    treasurer = replace(
        configs["maricopa_treasurer"], seconds_per_item=1.8, requests_per_second=2.5
    )
    configs = {**configs, "maricopa_treasurer": treasurer}
    with pk.Kit(Store.open(tmp_path / "a.duckdb"), settings, configs) as kit:
        kit.collect(apns, datasets=["tax_bills"], workers=3, progress=False)

    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert len(gaps) == 3
    assert min(gaps) > 1.45  # a start that waits for its place among requests would shrink one


def test_the_treasurers_own_pace_is_two_seconds_a_parcel_unless_a_rate_is_set() -> None:
    """The default of the house, and what a rate of one's own makes of it."""
    own = configure_sources(pk.Settings.load())["maricopa_treasurer"]
    set_ = configure_sources(
        pk.Settings.load(sources={"maricopa_treasurer": {"requests_per_second": 9}})
    )["maricopa_treasurer"]

    assert (own.requests_per_second, own.seconds_per_item) == (2.0, 2.0)
    assert (set_.requests_per_second, set_.seconds_per_item) == (9.0, 0.0)


def test_a_batch_says_whose_robots_txt_it_did_not_obey(county: County, tmp_path: Path) -> None:
    """In its criteria, its log and its report; another one, after the setting is gone, does not."""
    apns = apns_known_everywhere(county, 1)
    county.switch(robots={"root": "User-agent: *\nDisallow: /treasurer/\n"})
    settings = quick_settings(county)
    settings.sources["maricopa_treasurer"].obey_robots = False
    found = []
    for given in (settings, quick_settings(county)):
        with pk.Kit(Store.open(tmp_path / "a.duckdb"), given, configure_sources(given)) as kit:
            report = kit.collect(
                apns, datasets=["tax_bills"], mode="api", max_age=0, progress=False
            )
            batch = kit.batch("last")
            log = batch.log().query("event == 'robots'")["message"]
            said = [line for line in str(report).splitlines() if "robots.txt was" in line]
            found.append((report.totals, batch.head.criteria["robots_ignored"], list(log), said))

    name = "maricopa_treasurer"
    assert found == [
        (
            {"done": 1},
            [name],
            [f"robots.txt is not obeyed (obey_robots): {name}"],
            [f"! robots.txt was not obeyed, as the settings say: {name}"],
        ),
        ({"failed": 1}, [], [], []),
    ]


def test_a_pause_that_the_host_asked_for_is_no_failed_attempt(
    county: County, tmp_path: Path
) -> None:
    """Twice as many obeyed refusals as attempts are borne; then they count."""
    apns = apns_known_everywhere(county, 2)
    rule = {"kind": "status", "status": 429, "retry_after": 0, "system": "assessor", "per": "url"}
    options = {"datasets": ["parcels"], "progress": False}
    with quick_kit(county, tmp_path / "a.duckdb", retry_attempts=2) as kit:
        county.switch(faults=[{**rule, "first": 5}])
        healed = kit.collect(apns[:1], **options)
        county.switch(faults=[{**rule, "first": 9}])
        county.clear_ledger()
        given_up = kit.collect(apns[1:], **options)

    assert healed.totals == {"done": 1}
    assert [item.failure_class for item in given_up.failures] == ["unavailable"]
    assert len(county.ledger("assessor")) == 2 * 2 + 2


def test_resuming_asks_for_nothing_that_was_collected_meanwhile(
    county: County, tmp_path: Path
) -> None:
    """A cancelled batch goes on where it was; what another batch has done by then is skipped."""
    apns = apns_known_everywhere(county, 60)
    started = threading.Event()
    with quick_kit(county, tmp_path / "a.duckdb", workers=1) as kit:
        county.switch(latency=0.1)  # or it may be over before it is cancelled
        batch = kit.start(apns, listener=lambda event: event.ended > 5 and started.set())
        assert started.wait(60)
        assert batch.cancel().totals["cancelled"] > 20
        county.switch(latency=0)
        left = [
            item["apn"] for item in batch.items().to_dict("records") if item["state"] == "cancelled"
        ]
        kit.collect(left[:10], progress=False)
        kit.collect(left[10:15], datasets=["parcels"], progress=False)  # not all that is wanted
        county.clear_ledger()

        report = batch.resume().wait()
        asked_again = {entry["path"] for entry in county.ledger("assessor")}
        county.clear_ledger()
        batch.resume()

        assert county.ledger() == []
        assert report.state == "completed"
        assert set(report.totals) == {"done", "skipped"}
        assert not asked_again & {f"/parcel/{apn}" for apn in left[:10]}
        for table in ("parcels", "tax_bills", "documents"):
            assert table_as_truth(kit, table) == in_order(county.truth(apns)[table])


def test_a_poorer_answer_empties_nothing_that_is_known(county: County, tmp_path: Path) -> None:
    """The one call fails on a refresh: what only it tells stays as it was stored."""
    apns = apns_known_everywhere(county, 3)
    with quick_kit(county, tmp_path / "a.duckdb", retry_attempts=1) as kit:
        kit.collect(apns, datasets=["parcels"], progress=False)
        kit.store.writer.submit(
            lambda connection: connection.execute("UPDATE parcels SET lot_number = '7'")
        ).result()
        rule = {"kind": "status", "status": 500, "system": "assessor", "path": r"/parcel/\d+\w?$"}
        county.switch(faults=[rule])

        report = kit.collect(apns, datasets=["parcels"], max_age=0, progress=False)
        stored = table_as_truth(kit, "parcels")

    assert report.is_complete
    expected = [{**row, "lot_number": "7"} for row in county.truth(apns)["parcels"]]
    assert stored == in_order(expected)


def test_waiting_for_a_place_does_not_use_up_an_items_time(
    county: County, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow pace is no fault of the item: four requests take longer than the item may."""
    apns, places, ask = apns_known_everywhere(county, 1), note_places(monkeypatch), Exchange.ask

    async def ask_in_no_time(self: Exchange, *args: Any, **more: Any) -> Answer:
        task = asyncio.current_task()
        left = {limit: limit.stop() for limit in self._limits.running if limit._task is task}
        answer = await ask(self, *args, **more)
        for limit, seconds in left.items():
            limit.go_on(seconds)
        return answer

    monkeypatch.setattr(Exchange, "ask", ask_in_no_time)  # a busy machine answers late
    settings = quick_settings(county, item_timeout=1)
    settings.sources["maricopa_treasurer"].obey_robots = False
    configs = configure_sources(settings)
    slow = replace(configs["maricopa_treasurer"], requests_per_second=2)
    configs = {**configs, "maricopa_treasurer": slow}
    with pk.Kit(Store.open(tmp_path / "a.duckdb"), settings, configs) as kit:
        report = kit.collect(apns, datasets=["tax_bills"], progress=False)

    assert report.counts == {"maricopa_treasurer": {"done": 1}}
    assert places[-1][1] - places[0][1] > 1
