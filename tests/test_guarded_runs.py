"""What a run keeps when a county turns it away, or suddenly answers less than it used to."""

from __future__ import annotations

import shutil
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from propkit.records import RECORD_TYPES
from propkit.sources import configure_sources
from propkit.store import Store
from tests.collecting import in_order, quick_kit, quick_settings, table_as_truth

if TYPE_CHECKING:
    from pathlib import Path

    from propkit.demo_county import County
    from propkit.progress import Progress, SourceProgress

KNOWN = 70
"""Parcels collected before: enough for every column to be learned."""

CANARIES = 3

TOKEN = "PROPKIT_SOURCES__MARICOPA_ASSESSOR__TOKEN"

_learned: dict[str, Path] = {}


@pytest.fixture
def apns(county: County) -> list[str]:
    """Return parcels that every system knows."""
    return apns_known_everywhere(county, KNOWN)


@cache
def apns_known_everywhere(county: County, count: int) -> list[str]:
    """Return so many parcels that every system knows."""
    truth = county.truth(county.apns(200))
    recorded = {row["apn"] for row in truth["documents"]}
    billed = {row["apn"] for row in truth["tax_bills"]}
    known = [row["apn"] for row in truth["parcels"]]
    return [apn for apn in known if apn in recorded and apn in billed][:count]


@pytest.fixture
def learned(
    county: County, apns: list[str], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a store of its own in which all of the parcels are; they are collected once."""
    if county.url not in _learned:
        path = tmp_path_factory.mktemp("learned") / "learned.duckdb"
        with quick_kit(county, path) as kit:
            assert kit.collect(apns, progress=False).is_complete
        _learned[county.url] = path
    county.clear_ledger()
    return shutil.copy(_learned[county.url], tmp_path / "a.duckdb")


@cache
def truth_of(county: County, count: int = KNOWN) -> dict[str, list[dict[str, Any]]]:
    """Return the county's truth about these parcels, in order."""
    truth = county.truth(apns_known_everywhere(county, count))
    return {table: in_order(rows) for table, rows in truth.items()}


def tables_of(kit: pk.Kit) -> dict[str, list[dict[str, Any]]]:
    """Return every record table, written as the truth is."""
    return {table: table_as_truth(kit, table) for table in RECORD_TYPES}


def all_done(*sources: str) -> dict[str, dict[str, int]]:
    """Return the counts of sources that answered for every parcel."""
    return {source: {"done": KNOWN} for source in sources}


def lose(county: County, system: str, field: str, how: str, **more: int) -> None:
    """Let a system's answers lose a field."""
    rule = {"kind": "lose_field", "system": system, "field": field, "how": how}
    county.switch(faults=[{**rule, **more}])


# --- credentials ------------------------------------------------------------------------------


def test_a_token_that_expires_in_mid_run_stops_its_source_until_it_is_renewed(
    county: County, apns: list[str], tmp_path: Path
) -> None:
    """One message says what to set; nothing is "not found"; the old token gets no further."""
    path, old = tmp_path / "a.duckdb", quick_settings(county)
    others = {"maricopa_treasurer": {"done": KNOWN}, "maricopa_recorder": {"done": 30}}
    county.switch(faults=[{"kind": "token_expiry", "system": "assessor", "after": 30}])
    with pk.Kit(Store.open(path), old, configure_sources(old)) as kit:
        report = kit.collect(apns, workers=3, progress=False)
        stored = tables_of(kit)
        log = kit.batch("last").log()
        # A loaded machine may be told of as slow.
        events = [event for event in log["event"] if event != "slow"]

    counts = dict(report.counts)
    failed = counts["maricopa_assessor"]["failed"]
    assert 1 <= failed <= 3
    assert counts == {
        **others,
        "maricopa_assessor": {"done": 30, "failed": failed, "waiting": KNOWN - 30 - failed},
    }
    assert report.state == "paused"
    assert report.failure_classes == {"rejected": failed}
    assert str(report.error).startswith("maricopa_assessor is stopped (rejected): ")
    assert str(report.error).count(TOKEN) == 1
    assert events == ["created", "stopped", "paused"]
    truth = truth_of(county)
    assert len(stored["parcels"]) == 30
    assert stored["tax_bills"] == truth["tax_bills"]

    county.switch(faults=[], token="renewed")
    with pk.Kit(Store.open(path), old, configure_sources(old)) as kit:
        again = kit.batch("last").resume().wait()
        assert again.state == "paused"
        assert again.counts["maricopa_assessor"].keys() == {"done", "failed", "waiting"}
        assert again.counts["maricopa_assessor"]["done"] == 30
        assert again.failure_classes.keys() == {"rejected"}
        assert tables_of(kit) == stored

    with quick_kit(county, path, has_browser=True) as kit:
        last = kit.batch("last").resume().wait()
        assert last.is_complete
        assert set(last.totals) == {"done"}
        assert tables_of(kit) == truth
        assert kit.store.duplicates() == {}


# --- fields that are gone ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "column"),
    [
        (("assessor", "Ownership", "absent"), "parcels.owner_name"),
        (("assessor", "FullCashValue", "blank"), "valuations.full_cash_value"),
        (("treasurer", "Status", "blank"), "tax_bills.status"),
    ],
)
def test_a_field_that_parcels_had_before_is_missed_by_the_first_three(
    county: County, apns: list[str], learned: Path, rule: tuple[str, str, str], column: str
) -> None:
    """Known parcels are asked first, and alone: nothing is emptied, and the others go on."""
    truth = truth_of(county)
    system = rule[0]
    source = f"maricopa_{system}"
    lose(county, *rule)
    with quick_kit(county, learned) as kit:
        report = kit.collect(apns, max_age=0, progress=False)
        asked = len(county.ledger(system))
        stored = tables_of(kit)
        batch = kit.batch("last")
        resumed = batch.resume().wait()
        still_stored = tables_of(kit)
        county.switch(faults=[])
        retried = batch.retry().wait()
        stored_at_last = tables_of(kit)

    counts, more = dict(report.counts), dict(resumed.counts)
    reason = f"{column}: lacking in parcels that had it when last collected"
    assert counts.pop(source) == {"failed": CANARIES, "waiting": KNOWN - CANARIES}
    assert asked == CANARIES * (4 if system == "treasurer" else 1)
    # Without the assessor nobody tells which deeds to ask for.
    others = {
        "assessor": {"maricopa_treasurer"},
        "treasurer": {"maricopa_assessor", "maricopa_recorder"},
    }[system]
    assert counts == all_done(*others)
    assert report.state == "paused"
    assert report.error == f"{source} is stopped (layout_changed): {reason}"
    found = [(item.failure_class, item.error) for item in report.failures]
    assert found == [("layout_changed", reason)] * CANARIES
    assert all(item.evidence_sha256 for item in report.failures)
    assert stored == truth
    # Whoever resumes too early learns the same of the next three.
    assert more[source] == {"failed": 2 * CANARIES, "waiting": KNOWN - 2 * CANARIES}
    assert still_stored == truth
    assert retried.is_complete
    assert stored_at_last == truth


def test_what_the_guard_keeps_back_is_given_to_no_other_batch(
    county: County, apns: list[str], learned: Path
) -> None:
    """Two batches ask for the same parcels: what the first one withholds is not done in either."""
    lose(county, "assessor", "Ownership", "absent")
    options = {"datasets": ["parcels"], "max_age": 0}
    with quick_kit(county, learned) as kit:
        plans = [kit.plan(apns[:CANARIES], **options) for _ in range(2)]
        reports = [batch.wait() for batch in [kit.start(plan) for plan in plans]]
        stored = tables_of(kit)

    assert [report.counts for report in reports] == [
        {"maricopa_assessor": {"failed": CANARIES}}
    ] * 2
    assert {one.failure_class for report in reports for one in report.failures} == {
        "layout_changed"
    }
    assert stored == truth_of(county)


@pytest.mark.parametrize(("field", "how"), [("recordingDate", "absent"), ("names", "blank")])
def test_a_field_of_follow_up_answers_is_missed_by_what_was_learned(
    county: County, apns: list[str], learned: Path, field: str, how: str
) -> None:
    """The first answers without it are kept back, and fail once it is certain: none is stored."""
    truth = truth_of(county)
    column = {"recordingDate": "recorded_on", "names": "names"}[field]
    lose(county, "recorder", field, how)
    with quick_kit(county, learned) as kit:
        report = kit.collect(apns, max_age=0, progress=False)
        stored = tables_of(kit)
        county.switch(faults=[])
        retried = kit.batch("last").retry().wait()
        stored_at_last = tables_of(kit)

    counts = dict(report.counts)
    assert counts.pop("maricopa_recorder").keys() == {"failed", "waiting"}
    assert counts == all_done("maricopa_assessor", "maricopa_treasurer")
    assert report.state == "paused"
    start = f"maricopa_recorder is stopped (layout_changed): documents.{column}: filled in 0 of"
    assert str(report.error).startswith(start)
    assert report.failure_classes.keys() == {"layout_changed"}
    assert all(item.evidence_sha256 for item in report.failures)
    assert stored == truth
    assert retried.is_complete
    assert stored_at_last == truth


@pytest.mark.parametrize("how", ["absent", "blank"])
def test_a_field_that_goes_in_the_middle_of_a_first_batch_leaves_no_gap(
    county: County, tmp_path: Path, how: str
) -> None:
    """What came before is stored in full; of what came after nothing is, but kept as evidence."""
    apns = apns_known_everywhere(county, 120)
    truth = truth_of(county, 120)
    lose(county, "assessor", "Ownership", how, after=80)
    with quick_kit(county, tmp_path / "a.duckdb", workers=3) as kit:
        report = kit.collect(apns, datasets=["parcels", "valuations"], progress=False)
        stored = {table: table_as_truth(kit, table) for table in ("parcels", "valuations")}
        county.switch(faults=[])
        batch = kit.batch("last")
        retried = batch.retry().wait()
        stored_at_last = {table: table_as_truth(kit, table) for table in stored}

    counts = report.counts["maricopa_assessor"]
    failed = counts["failed"]
    assert counts == {"done": 80, "failed": failed, "waiting": 40 - failed}
    assert failed < 25
    assert report.state == "paused"
    assert report.failure_classes == {"layout_changed": failed}
    start = "maricopa_assessor is stopped (layout_changed): parcels.owner_name: filled in 0 of the"
    assert str(report.error).startswith(start)
    assert all(item.evidence_sha256 for item in report.failures)
    whole = {row["apn"] for row in stored["parcels"]}
    assert len(whole) == 80
    assert stored == {
        table: [row for row in truth[table] if row["apn"] in whole] for table in stored
    }
    assert retried.is_complete
    assert stored_at_last == {table: truth[table] for table in stored}


def test_what_is_kept_back_is_told_as_it_runs(county: County, learned: Path) -> None:
    """How many answers, and what they lack; given free with the last one, none is told of."""
    chosen = apns_known_everywhere(county, KNOWN + 5)[KNOWN:]
    hang = {"kind": "hang", "system": "assessor", "path": chosen[-1]}
    lost = {"kind": "lose_field", "system": "assessor", "field": "Ownership", "how": "absent"}
    county.switch(faults=[hang, lost])
    told: list[SourceProgress] = []

    def let_the_last_go(event: Progress) -> None:
        told.append(event.sources[0])
        if event.sources[0].kept_back == 4:
            county.switch(faults=[])

    with quick_kit(county, learned) as kit:
        batch = kit.start(chosen, datasets=["parcels"], listener=let_the_last_go)
        report = batch.wait()

    longest = max(told, key=lambda source: source.kept_back)
    assert (longest.ended, longest.kept_back, longest.lacking) == (0, 4, ("parcels.owner_name",))
    assert longest.doubt == "4 kept back until it is clear why they lack parcels.owner_name"
    assert (told[-1].ended, told[-1].kept_back, told[-1].doubt) == (5, 0, None)
    assert report.is_complete


def test_without_the_guard_a_field_that_is_gone_still_empties_nothing(
    county: County, apns: list[str], learned: Path
) -> None:
    """The setting lets the answers pass; what they do not carry stays as it was stored."""
    lose(county, "assessor", "Ownership", "absent")
    with quick_kit(county, learned, drift_guard=False) as kit:
        report = kit.collect(apns, max_age=0, progress=False)
        stored = tables_of(kit)

    assert report.is_complete
    assert set(report.totals) == {"done"}
    assert len([entry for entry in county.ledger() if entry["fault"]]) == KNOWN
    assert stored == truth_of(county)


# --- older records ----------------------------------------------------------------------------


def test_older_records_stand_where_a_source_is_down_and_are_named(
    county: County, apns: list[str], learned: Path
) -> None:
    """Asked for or not any more: every known parcel is stale, an unknown one has failed."""
    unknown = county.apns(2, skip=400)
    truth = truth_of(county)
    county.switch(faults=[{"kind": "status", "status": 503, "system": "assessor"}])
    settings = {"retry_attempts": 1, "breaker_failures": 5, "breaker_probes": 3}
    with quick_kit(county, learned, breaker_seconds=0.02, **settings) as kit:
        report = kit.collect(
            [*unknown, *apns],
            datasets=["parcels", "valuations"],
            max_age=0,
            stale_ok=True,
            workers=1,
            progress=False,
        )
        asked = len(county.ledger("assessor"))
        stored = tables_of(kit)
        county.switch(faults=[])
        fresh = kit.collect(apns, datasets=["parcels"], max_age=0, stale_ok=True, progress=False)

    assert report.state == "completed"
    assert report.counts == {"maricopa_assessor": {"failed": 2, "skipped": KNOWN}}
    assert [item.key for item in report.failures] == unknown
    assert {item.key for item in report.stale} == set(apns)
    assert all(str(item.error).startswith("stale: kept as collected ") for item in report.stale)
    assert (
        report.error == "maricopa_assessor is stopped (unavailable): 8 items in a row found it down"
    )
    assert not report.is_complete
    assert asked == 8
    assert stored == truth
    assert fresh.is_complete
    assert fresh.stale == ()


def test_a_new_layout_in_mid_run_is_noticed_and_overwrites_nothing(
    county: County, apns: list[str], learned: Path
) -> None:
    """Five answers in a row that nobody can read stop their source; the rest waits, unasked."""
    truth, workers = truth_of(county), 3
    with quick_kit(county, learned, workers=workers) as kit:
        county.switch(faults=[{"kind": "layout_v2", "system": "treasurer", "after": 120}])
        report = kit.collect(apns, kind="taxes", max_age=0, progress=False)
        stored = tables_of(kit)
        county.switch(faults=[])
        resumed = kit.batch("last").retry().wait()
        resumed = kit.batch("last").resume().wait() if not resumed.is_complete else resumed
        stored_at_last = tables_of(kit)

    counts = report.counts["maricopa_treasurer"]
    failed = counts["failed"]
    assert 5 <= failed < 5 + workers + 1
    assert counts == {"done": KNOWN - failed - counts["waiting"], "failed": failed} | {
        "waiting": counts["waiting"]
    }
    assert counts["waiting"] > 0
    assert report.state == "paused"
    assert report.failure_classes == {"layout_changed": failed}
    start = "maricopa_treasurer is stopped (layout_changed): 5 in a row: "
    assert str(report.error).startswith(start)
    assert all(item.evidence_sha256 for item in report.failures)
    assert stored == truth
    assert resumed.is_complete
    assert stored_at_last == truth
