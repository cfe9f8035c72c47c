"""Every fault of the demo county at every source: the right name for it, nothing lost or doubled."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from propkit.demo_county.faults import FAULT_KINDS, SYSTEMS_OF, example_rule
from propkit.records import RECORD_TYPES
from tests.collecting import be_patient, in_order, quick_kit, table_as_truth

if TYPE_CHECKING:
    from pathlib import Path

    import propkit as pk
    from propkit.demo_county import County
    from propkit.runtime.batch import Batch

FAILURE_OF = {
    "status": "unavailable",
    "hang": "timeout",
    "slow": None,
    "cut": "invalid_answer",
    "truncated": "invalid_answer",
    "html200": "invalid_answer",
    "captcha": "blocked",
    "layout_v2": "layout_changed",
    "empty200": "invalid_answer",
    "204": "invalid_answer",
    "wrong_charset": "invalid_answer",
    "token_expiry": "rejected",
    "drop": "unavailable",
    "session_loss": "invalid_answer",
}
"""What a fault makes of an item that it always strikes; None: nothing, it is done."""

NO_EVIDENCE = {"hang", "cut", "drop"}
"""Faults that leave no whole answer to be kept."""

STOPPING = {"captcha", "token_expiry"}
"""Faults after which a person has to look: the source is asked for nothing more."""

HEALING = sorted(set(FAULT_KINDS) - STOPPING - {"layout_v2", "lose_field"})
"""Faults that the next try may not meet."""

HURRIED = {"hang": {"request_timeout": 0.4}}
"""The settings with which a silent county costs no minutes."""

TABLES_OF = {
    "assessor": {"parcels", "residences", "improvements", "valuations", "sales", "documents"},
    "treasurer": {"tax_bills", "tax_payments"},
    "recorder": {"documents"},
}
"""What cannot be known without a system: of documents only the assessor knows the numbers."""

BREAKER = {
    "retry_attempts": 1,
    "breaker_failures": 5,
    "breaker_probes": 3,
    "breaker_seconds": 0.02,
}

CASES = [
    (kind, system)
    for kind in FAULT_KINDS
    for system in SYSTEMS_OF[kind]
    if kind != "lose_field"  # what lacks a field is a subject of its own, below
]


@cache
def apns_known_everywhere(county: County, count: int) -> list[str]:
    """Return parcels that every system knows, each with a house."""
    truth = county.truth(county.apns(100, seed=4))
    recorded = {row["apn"] for row in truth["documents"]}
    billed = {row["apn"] for row in truth["tax_bills"]}
    known = [row["apn"] for row in truth["residences"]]
    return [apn for apn in known if apn in recorded and apn in billed][:count]


@cache
def truth_of(county: County, count: int) -> dict[str, list[dict[str, Any]]]:
    """Return the county's truth about these parcels, in order."""
    truth = county.truth(apns_known_everywhere(county, count))
    return {table: in_order(rows) for table, rows in truth.items()}


def tables_of(kit: pk.Kit) -> dict[str, list[dict[str, Any]]]:
    """Return every record table, written as the truth is."""
    return {table: table_as_truth(kit, table) for table in RECORD_TYPES}


def assert_once(kit: pk.Kit) -> None:
    """Check that no record and no item stands twice."""
    items = kit.batch("last").items()
    found = Counter(zip(items["source"], items["key"], strict=True))
    assert set(found.values()) == {1}
    assert kit.store.duplicates() == {}


def rule_of(kind: str, system: str, **often: int) -> dict[str, object]:
    """Return the rule for a fault; one that is to be waited for lasts longer than anybody waits."""
    lasting = {"seconds": 30} if kind == "hang" else {}
    return {**example_rule(kind, system), **lasting, **often}


def events_of(batch: Batch) -> list[str]:
    """Return what the batch's log tells of, in order; what took long is for the machine to say."""
    return [event for event in batch.log()["event"] if event != "slow"]


@pytest.mark.parametrize(("kind", "system"), CASES)
def test_a_fault_that_never_ends_is_named_and_costs_nothing_but_its_source(
    county: County, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, system: str
) -> None:
    """All else is as the truth; once the fault is over, what it struck is so too."""
    apns = apns_known_everywhere(county, 4)
    truth = truth_of(county, 4)
    failure, source = FAILURE_OF[kind], f"maricopa_{system}"
    is_stopping, struck = kind in STOPPING, {f"{county.base_url(system)}/"}
    be_patient(monkeypatch, lambda url: url.startswith(tuple(struck)))
    county.switch(faults=[rule_of(kind, system)])
    settings = {"retry_attempts": 2, "breaker_failures": 100, **HURRIED.get(kind, {})}
    with quick_kit(county, tmp_path / "a.duckdb", **settings) as kit:
        report = kit.collect(apns, workers=1 if is_stopping else 4, progress=False)
        found = tables_of(kit)
        assert_once(kit)
        county.switch(faults=[])
        struck.clear()
        batch = kit.batch("last")
        after = (batch.resume() if is_stopping else batch.retry()).wait()
        found_after = tables_of(kit)
        assert_once(kit)

    done = {f"maricopa_{name}": {"done": 4} for name in TABLES_OF}
    expected = dict(done)
    if failure is not None:
        expected[source] = {"failed": 1, "waiting": 3} if is_stopping else {"failed": 4}
        if system == "assessor":
            del expected["maricopa_recorder"]
    gone = TABLES_OF[system] if failure else set()
    assert report.counts == expected
    assert report.state == ("paused" if is_stopping else "completed")
    assert {item.failure_class for item in report.failures} == ({failure} if failure else set())
    assert {item.evidence_sha256 is None for item in report.failures} <= {kind in NO_EVIDENCE}
    assert found == {table: [] if table in gone else truth[table] for table in RECORD_TYPES}
    assert after.counts == done
    assert after.is_complete
    assert found_after == truth


@pytest.mark.parametrize("kind", HEALING)
def test_a_fault_of_some_requests_heals_by_itself(
    county: County, tmp_path: Path, kind: str
) -> None:
    """At all systems at once: the batch is complete without any help, and equal to the truth."""
    apns = apns_known_everywhere(county, 6)
    # A lost session costs all four requests of the item.
    every = 9 if kind == "session_loss" else 5
    county.switch(faults=[rule_of(kind, system, every=every) for system in SYSTEMS_OF[kind]])
    # Which requests hang only the county knows: a machine that stood still is asked once more.
    settings = {**HURRIED.get(kind, {}), "retry_attempts": 20}
    with quick_kit(county, tmp_path / "a.duckdb", **settings) as kit:
        report = kit.collect(apns, progress=False)
        found = tables_of(kit)
        assert_once(kit)

    assert report.is_complete
    assert report.counts == {f"maricopa_{system}": {"done": 6} for system in TABLES_OF}
    assert found == truth_of(county, 6)
    struck = {entry["system"] for entry in county.ledger() if entry["fault"] == kind}
    assert struck == set(SYSTEMS_OF[kind])


def test_a_source_that_is_down_is_left_alone_probed_and_given_up(
    county: County, tmp_path: Path
) -> None:
    """Five items in a row, three probes, no request more; the rest waits until somebody resumes."""
    apns = apns_known_everywhere(county, 20)
    truth = truth_of(county, 20)
    county.switch(faults=[example_rule("status", "treasurer")])
    with quick_kit(county, tmp_path / "a.duckdb", **BREAKER) as kit:
        report = kit.collect(apns, workers=1, progress=False)
        found = tables_of(kit)
        asked = len(county.ledger("treasurer"))
        batch = kit.batch("last")
        events = events_of(batch)
        county.switch(faults=[])
        resumed = batch.resume().wait()
        retried = batch.retry("unavailable").wait()
        assert_once(kit)
        found_after = tables_of(kit)

    all_done = {"done": 20}
    others = {"maricopa_assessor": all_done, "maricopa_recorder": all_done}
    assert report.state == "paused"
    assert report.counts == {**others, "maricopa_treasurer": {"failed": 8, "waiting": 12}}
    assert asked == 8
    assert report.failure_classes == {"unavailable": 8}
    reason = "maricopa_treasurer is stopped (unavailable): 8 items in a row found it down"
    assert report.error == reason
    assert events == ["created", *["breaker"] * 4, "stopped", "paused"]
    gone = TABLES_OF["treasurer"]
    assert found == {table: [] if table in gone else truth[table] for table in RECORD_TYPES}
    assert resumed.counts == {**others, "maricopa_treasurer": {"failed": 8, "done": 12}}
    assert resumed.state == "completed"
    assert retried.is_complete
    assert found_after == truth


def test_a_source_that_heals_before_its_probe_is_asked_for_the_rest(
    county: County, tmp_path: Path
) -> None:
    """The probe goes well and the batch goes on by itself; what failed before is left to a retry."""
    apns = apns_known_everywhere(county, 20)
    county.switch(faults=[{**example_rule("status", "treasurer"), "first": 5}])
    with quick_kit(county, tmp_path / "a.duckdb", **BREAKER) as kit:
        report = kit.collect(apns, workers=1, progress=False)
        batch = kit.batch("last")
        events = events_of(batch)
        retried = batch.retry().wait()
        assert_once(kit)
        found = tables_of(kit)

    assert report.state == "completed"
    assert report.counts["maricopa_treasurer"] == {"failed": 5, "done": 15}
    assert events == ["created", "breaker", "breaker", "completed"]
    assert report.error is None
    assert retried.is_complete
    assert found == truth_of(county, 20)


LOST = {
    "assessor": ({"failed": 3, "waiting": 1}, "valuations.full_cash_value: lacking in parcels"),
    "treasurer": ({"failed": 4}, "unknown tax-due block"),
    "recorder": ({"done": 4}, None),
}
"""What a refresh makes of the items that lack a field, and why: as canaries, or as unreadable."""


@pytest.mark.parametrize("system", SYSTEMS_OF["lose_field"])
def test_a_field_that_is_gone_from_every_answer_takes_no_value_away(
    county: County, tmp_path: Path, system: str
) -> None:
    """Parcels known in full are refreshed: what an answer does not carry any more stays."""
    apns = apns_known_everywhere(county, 4)
    truth = truth_of(county, 4)
    source, (counts, why) = f"maricopa_{system}", LOST[system]
    with quick_kit(county, tmp_path / "a.duckdb") as kit:
        kit.collect(apns, progress=False)
        county.switch(faults=[example_rule("lose_field", system)])
        report = kit.collect(apns, max_age=0, progress=False)
        found = tables_of(kit)
        county.switch(faults=[])
        retried = kit.batch("last").retry().wait()
        assert_once(kit)
        found_after = tables_of(kit)

    assert report.counts[source] == counts
    assert {item.failure_class for item in report.failures} == (
        {"layout_changed"} if why else set()
    )
    assert all(why in item.error for item in report.failures)
    assert all(item.evidence_sha256 for item in report.failures)
    others = {f"maricopa_{name}" for name in TABLES_OF} - {source}
    # Without the assessor nobody tells which deeds to ask for.
    done = others - {"maricopa_recorder"} if system == "assessor" else others
    assert {name: report.counts.get(name) for name in others} == {
        name: {"done": 4} if name in done else None for name in others
    }
    assert found == truth
    assert retried.is_complete
    assert found_after == truth
