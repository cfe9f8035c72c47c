"""The panel for collecting, over a real store and a real county, turn by turn."""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from propkit.errors import IdentifierError
from propkit.kinds import DATASETS
from propkit.sharing.discovery import read_discovery
from propkit.widgets import collect_panel
from propkit.widgets import panel as panels
from propkit.widgets.collect_panel import CollectPanel
from propkit.widgets.faces import Face
from propkit.widgets.panel import Panel
from tests.collecting import own_records, quick_kit
from tests.guests.notebooks import wait_until
from tests.leads.selling import CRITERIA, leads_kit
from tests.widgets.panels import (
    BEGIN,
    SECONDS,
    actions,
    button,
    facts,
    find,
    press,
    texts,
    turn_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import propkit as pk
    from propkit.demo_county.county import County


def _statuses(panel: CollectPanel) -> list[str]:
    return [panel.grid.value(row, "status") for row in range(len(panel.grid.rows))]


def _collect(panel: CollectPanel, **form: Any) -> None:
    """Press the button, confirm the plan, and wait for the end."""
    press(panel, "collect")
    press(panel, "confirm", **form)
    turn_until(panel, lambda: find(panel, "summary"))


@pytest.fixture
def held(county: County, kit: pk.Kit) -> Iterator[None]:
    """Let the treasurer answer nobody until the test ends."""
    county.switch(faults=[{"kind": "hang", "system": "treasurer"}])
    yield
    county.switch(faults=[])


def test_a_messy_list_says_which_of_its_rows_are_not_usable(kit: pk.Kit, county: County) -> None:
    apns = county.apns(2)

    panel = kit.panel([*apns, apns[0], "Parcel #", "1234", ""])

    assert "2 properties, 1 duplicate, 2 not usable" in texts(panel)
    unusable = find(panel, "unusable")
    assert unusable is not None
    assert (unusable["title"], [row[0] for row in unusable["blocks"][0]["rows"]]) == (
        "Not usable (2)",
        ["Parcel #", "1234"],
    )
    assert unusable["blocks"][0]["rows"][1][1].startswith("has 4 digits; expected 8 digits")
    press(panel, "search", query=apns[0], by="apn")
    assert find(panel, "unusable") is None


def test_the_column_can_be_named_where_it_is_not_plain(kit: pk.Kit, county: County) -> None:
    first, second = county.apns(2)
    frame = pd.DataFrame({"old apn": [first], "new apn": [second]})

    with pytest.raises(IdentifierError, match="name one with column="):
        kit.panel(frame)
    panel = kit.panel(frame, column="new apn")

    assert panel.visible_apns() == [second]
    assert "1 property from column 'new apn'" in texts(panel)


def test_a_search_shows_its_rows_at_once(kit: pk.Kit, county: County) -> None:
    (apn,) = county.apns(1)
    hit = kit.search(apn, by="apn").iloc[0]
    panel = kit.panel([])

    press(panel, "search", query=apn, by="apn")

    (row,) = panel.grid.rows
    assert row[:4] == [parcel_apn(apn), hit["owner_name"], hit["situs_address"], hit["situs_city"]]
    assert _statuses(panel) == ["none"]
    assert "1 property" in texts(panel)


def parcel_apn(apn: str) -> str:
    return f"{apn[:3]}-{apn[3:5]}-{apn[5:]}"


def test_the_button_asks_and_collects_all_that_is_visible(kit: pk.Kit, county: County) -> None:
    apns = county.apns(6)
    panel = kit.panel(apns)
    collect = button(panel, "collect")
    assert collect is not None
    assert (collect["label"], collect["look"], collect["is_disabled"], collect["title"]) == (
        "Collect All Data",
        "primary",
        False,
        "Collect complete property data for ALL visible search results",
    )
    panel.grid.visible = [1, 3, 4]

    press(panel, "collect")

    asked = facts(panel, "dialog")
    assert asked["To collect"] == "3"
    assert asked["Credits"] == "none"
    assert asked["Estimated time"].startswith("about ")
    assert sum("request" in value for value in asked.values()) == 3
    assert actions(panel, "dialog") == ["confirm", "close"]

    press(panel, "confirm")
    turn_until(panel, lambda: find(panel, "summary"))

    report = kit.batch("last").report
    assert report.is_complete
    assert _statuses(panel) == ["none", "complete", "none", "complete", "complete", "none"]
    assert find(panel, "summary")["title"] == "Collected 3 of 3 properties"  # type: ignore[index]
    assert find(panel, "summary")["tone"] == "green"  # type: ignore[index]
    assert actions(panel, "summary") == ["export"]
    owner = kit.frame("parcels").set_index("apn").loc[apns[1], "owner_name"]
    assert panel.grid.value(1, "owner_name") == owner
    assert panel.grid.value(1, "updated") is not None


def test_while_a_batch_runs_the_button_says_so_and_cancel_ends_it(
    kit: pk.Kit, county: County, held: None, hasty_cancel: None
) -> None:
    panel = kit.panel(county.apns(4))
    press(panel, "collect")
    press(panel, "confirm")

    collect = button(panel, "collect")
    assert collect is not None
    assert (collect["label"], collect["is_disabled"]) == ("Batch Collection Active…", True)
    # The assessor and the recorder have answered: only what the treasurer is asked is cancelled.
    turn_until(panel, lambda: panel.batch.progress and panel.batch.progress.ended == 8)
    turn_until(panel, lambda: _statuses(panel) == ["active"] * 4)
    assert "Collecting 0 of 4 properties (0 %)" in texts(panel)
    stop = button(panel, "cancel")
    assert stop is not None
    batch_id = kit.batch("last").id
    assert stop["rest"] == {
        "method": "POST",
        "path": f"propkit/api/batch-jobs/{batch_id}/cancel",
    }

    press(panel, "cancel")
    turn_until(panel, lambda: find(panel, "summary"))

    assert kit.batch("last").state == "cancelled"
    summary = find(panel, "summary")
    assert summary is not None
    assert summary["title"] == "Cancelled after 0 of 4 properties; everything fetched is kept"
    assert actions(panel, "summary")[:2] == ["resume", "export"]
    # What was cancelled was not asked for.
    progress = find(panel, "progress")
    assert progress is not None
    treasurer = progress["blocks"][-2]
    assert (treasurer["value"], treasurer["word"]) == (0, "ended")
    assert treasurer["numbers"].startswith("0 of 4, ")
    assert treasurer["numbers"].endswith(", 4 cancelled")
    assert progress["blocks"][-1]["text"].endswith("0 skipped · 4 cancelled")
    assert set(_statuses(panel)) == {"partial"}
    collect = button(panel, "collect")
    assert collect is not None
    assert not collect["is_disabled"]

    county.switch(faults=[])
    press(panel, "resume")
    turn_until(panel, lambda: find(panel, "summary"))

    assert set(_statuses(panel)) == {"complete"}


def test_failures_are_listed_shown_with_evidence_and_retried(kit: pk.Kit, county: County) -> None:
    apns = county.apns(3)
    fault = {"kind": "status", "status": 500, "system": "treasurer", "path": apns[1]}
    county.switch(faults=[fault])
    panel = kit.panel(apns)

    _collect(panel)

    assert _statuses(panel) == ["complete", "failed", "complete"]
    summary = find(panel, "summary")
    assert summary is not None
    assert summary["title"] == "Collected 3 of 3 properties, 1 of them not in full"
    assert actions(panel, "summary") == ["retry", "export", "evidence"]
    failures = find(panel, "failures")
    assert failures is not None
    assert failures["rows"][0][:3] == [parcel_apn(apns[1]), "Maricopa treasurer", "Unavailable"]
    assert "Unavailable: the office was down or refused: retry later." in texts(panel)

    press(panel, "evidence")

    assert f"Maricopa treasurer {parcel_apn(apns[1])}" in texts(panel)

    county.switch(faults=[])
    press(panel, "retry")
    turn_until(panel, lambda: find(panel, "summary"))

    assert _statuses(panel) == ["complete"] * 3
    assert find(panel, "failures") is None


def test_a_double_click_collects_once(
    kit: pk.Kit, county: County, held: None, hasty_cancel: None
) -> None:
    """There were two batches, of which the panel showed, and cancelled, the second only."""
    panel = kit.panel(county.apns(3))

    press(panel, "collect")
    press(panel, "confirm")
    press(panel, "confirm")

    assert len(kit.batches()) == 1
    assert panel.batch is not None
    panel.batch.cancel()
    turn_until(panel, lambda: find(panel, "summary"))
    press(panel, "resume")
    press(panel, "resume")
    assert (panel.error, panel.batch.is_running) == (None, True)
    panel.batch.cancel()


def test_without_visible_rows_the_panel_warns(kit: pk.Kit, county: County) -> None:
    panel = kit.panel(county.apns(2))
    panel.grid.visible = []

    press(panel, "collect")

    assert find(panel, "dialog")["title"] == "No search results"  # type: ignore[index]
    press(panel, "close")
    assert find(panel, "dialog") is None


def test_what_is_current_is_not_asked_again_unless_she_wants_it(
    kit: pk.Kit, county: County
) -> None:
    apns = county.apns(2)
    kit.collect(apns, progress=False)
    panel = kit.panel(apns)
    assert _statuses(panel) == ["fresh", "fresh"]

    press(panel, "collect")

    dialog = find(panel, "dialog")
    assert dialog is not None
    assert dialog["title"] == "Everything is current"
    assert any("maricopa_treasurer: " in said for said in texts(panel))
    assert actions(panel, "dialog") == ["fetch_anyway", "close"]

    press(panel, "fetch_anyway")
    turn_until(panel, lambda: find(panel, "summary"))

    assert kit.batch("last").report.totals == {"done": 6}
    assert _statuses(panel) == ["complete", "complete"]


def test_choices_make_another_plan(kit: pk.Kit, county: County) -> None:
    panel = kit.panel(county.apns(2))
    press(panel, "collect")
    unchosen = {f"dataset:{name}": False for name in ("parcels", "residences", "valuations")}
    unchosen |= dict.fromkeys(("dataset:improvements", "dataset:sales", "dataset:documents"), False)

    press(panel, "replan", **unchosen, priority="low", max_age="7d")

    assert sum("request" in value for value in facts(panel, "dialog").values()) == 1
    every = {**unchosen, "dataset:tax_bills": False, "dataset:tax_payments": False}
    press(panel, "replan", **every)
    start = button(panel, "confirm")
    assert start is not None
    assert start["is_disabled"]

    press(panel, "confirm", **unchosen, priority="low")
    turn_until(panel, lambda: find(panel, "summary"))

    items = kit.batch("last").items()
    assert set(items["source"]) == {"maricopa_treasurer"}
    assert set(items["priority"]) == {3}


def test_another_batch_can_be_waited_for_added_to_or_ended(
    kit: pk.Kit, county: County, held: None, hasty_cancel: None
) -> None:
    first = kit.start(county.apns(2))
    panel = kit.panel(county.apns(4))

    press(panel, "collect")
    assert find(panel, "dialog")["title"] == "A batch is already active"  # type: ignore[index]
    assert actions(panel, "dialog") == ["wait", "add", "restart", "close"]
    press(panel, "wait")
    assert f"Waits for {first.id}" in texts(panel)
    press(panel, "collect")
    press(panel, "add")
    assert facts(panel, "dialog")["To collect"] == "2"
    press(panel, "collect")
    press(panel, "restart")

    assert first.state == "cancelled"
    assert facts(panel, "dialog")["To collect"] == "4"


def test_a_paused_collector_is_offered_to_be_started(kit: pk.Kit, county: County) -> None:
    kit.pause()
    panel = kit.panel(county.apns(2))

    press(panel, "collect")
    assert actions(panel, "dialog") == ["start_collector", "close"]
    press(panel, "start_collector")

    assert not kit.is_paused
    assert facts(panel, "dialog")["To collect"] == "2"


def test_a_new_panel_shows_the_last_batch_as_it_is(kit: pk.Kit, county: County) -> None:
    apns = county.apns(3)
    kit.collect(apns, progress=False)

    panel = kit.panel()

    assert [row[0] for row in panel.grid.rows] == [parcel_apn(apn) for apn in apns]
    assert _statuses(panel) == ["complete"] * 3
    assert find(panel, "summary")["title"] == "Collected 3 of 3 properties"  # type: ignore[index]


def test_a_panel_of_an_empty_store_asks_to_search(kit: pk.Kit) -> None:
    assert "Search for properties to begin." in texts(kit.panel())


def test_two_panels_of_one_kit_show_the_same(kit: pk.Kit, county: County) -> None:
    apns = county.apns(3)
    one, other = kit.panel(apns), kit.panel(apns)

    _collect(one)
    turn_until(other, lambda: _statuses(other) == ["complete"] * 3)

    assert find(other, "summary") is None


def test_a_panel_made_while_a_batch_runs_follows_it(
    kit: pk.Kit, county: County, held: None
) -> None:
    """Also where nothing has come between the panel's first look and its second."""
    apns = county.apns(3)
    batch = kit.start(apns)
    turn_until(kit.panel(), lambda: len(kit.frame("parcels")) == 3)

    panel = kit.panel(apns)
    panel.turn(None)

    assert batch.is_running
    assert _statuses(panel) == ["active"] * 3


def test_the_workbook_is_written_and_named(kit: pk.Kit, county: County) -> None:
    panel = kit.panel(county.apns(2))
    _collect(panel)

    press(panel, "export")

    path = Path(facts(panel, "summary")["Workbook"])
    assert path.name == f"propkit-{kit.batch('last').id}.xlsx"
    assert len(pd.read_excel(path, sheet_name="parcels", engine="calamine")) == 2


def test_what_is_not_in_the_workbook_is_said(kit: pk.Kit, county: County) -> None:
    """In the panel, with the sheet that has it; not after a workbook in which all is."""
    (apn, *_) = apns = county.apns(2)
    county.switch(faults=[{"system": "assessor", "path": apn, "kind": "status", "status": 500}])
    panel = kit.panel(apns)
    _collect(panel)

    press(panel, "export")

    name = f"propkit-{kit.batch('last').id}.xlsx"
    said = f"1 parcel is not in {name}, or not in full: see its sheet not_collected"
    assert said in texts(panel)
    county.switch(faults=[])
    press(panel, "retry")
    turn_until(panel, lambda: find(panel, "summary"))
    press(panel, "export")
    assert said not in texts(panel)


def test_a_purchase_is_told_in_leads(county: County, tmp_path: Path) -> None:
    """Whoever buys thinks of leads and of what they cost; its items are pages."""
    with leads_kit(county, tmp_path / "leads.duckdb") as kit:
        batch = kit.leads(CRITERIA, page_size=20).buy(max_records=30, max_cost=0)
        batch.wait(60)
        panel = kit.panel()

        summary = find(panel, "summary")
        assert summary is not None
        assert summary["title"] == "Bought 30 of 30 leads"
        assert f"30 of 30 leads of batch {batch.id}" in texts(panel)
        shown = facts(panel, "summary")
        assert (shown["Pages"], shown["Charged"]) == (
            "2 done",
            "30 leads, 0.00 USD beyond the quota",
        )
        jobs = find(kit.jobs(), "jobs")
        assert jobs is not None
        assert jobs["rows"][0][3] == "2 of 2 pages"


def test_a_missing_token_is_said_before_anybody_waits(kit: pk.Kit, county: County) -> None:
    """In the question, as long as a source is to be asked that wants one."""
    name = "maricopa_assessor"
    kit.sources[name] = replace(kit.sources[name], has_token=False)
    panel = kit.panel(county.apns(2))

    press(panel, "collect")

    said = f"! {name}: no token: {kit.sources[name].token_hint}"
    assert said in texts(panel)
    only_taxes = {f"dataset:{table}": table.startswith("tax_") for table in DATASETS}
    press(panel, "replan", **only_taxes)
    assert said not in texts(panel)


def test_what_goes_wrong_is_shown_and_forgotten(kit: pk.Kit) -> None:
    panel = kit.panel([])

    press(panel, "search", query=" ", by="owner")
    assert "nothing to search for: query ' '" in texts(panel)
    press(panel, "forget_error")
    assert find(panel, "error") is None
    press(panel, "no such thing")
    assert "no action 'no such thing'" in texts(panel)


def test_a_batch_of_more_than_a_minute_tells_of_its_end(
    kit: pk.Kit, county: County, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = kit.settings.notify.model_copy(update={"after_seconds": 0.0})
    kit.settings = kit.settings.model_copy(update={"notify": at_once})
    told: list[tuple[str, str]] = []
    panel = kit.panel(county.apns(2))
    monkeypatch.setattr(panel.face, "notify", lambda *said: told.append(said))

    _collect(panel)

    assert told == [("propkit: batch completed", "2 of 2 properties")]


def test_a_double_click_opens_the_card_and_collects_one_parcel(kit: pk.Kit, county: County) -> None:
    apns = county.apns(2)
    panel = kit.panel(apns)

    panel._open(1)

    (card,) = panel.card.face.view["blocks"]
    assert card["title"] == f"Parcel {parcel_apn(apns[1])}"
    for _ in range(2):  # to press it twice changes nothing
        panel.card._act("collect_now", {}, {})
    batch = kit.batch("last")
    assert len(kit.batches()) == 1
    assert _card_says(panel) == f"Collecting now, before everything else: batch {batch.id}"
    batch.wait(60)
    turn_until(panel, lambda: _statuses(panel) == ["none", "complete"])
    assert _card_says(panel) == f"Batch {batch.id}: completed"
    assert set(batch.items()["priority"]) == {0}
    panel.card._act("close", {}, {})
    assert panel.card.face.view["blocks"] == []


def _card_says(panel: CollectPanel) -> str:
    (card,) = panel.card.face.view["blocks"]
    said: str = card["blocks"][1]["blocks"][-1]["text"]
    return said


def test_a_panel_and_its_card_live_while_the_county_is_slow(
    kit: pk.Kit, county: County, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 6 s of silence the page says that the kernel is gone. Another search shuts the card."""
    apn = county.apns(1)[0]
    monkeypatch.setattr(Panel, "begin", BEGIN)
    monkeypatch.setattr(panels, "BEAT_SECONDS", 0.01)
    panel = kit.panel([apn])
    threads = [one for one in threading.enumerate() if one.name.startswith("propkit-panel")]
    panel._open(0)
    labels = {"propkit: collect", panel.card.face.view["label"]}
    beats: list[str] = []
    monkeypatch.setattr(Face, "beat", lambda face: beats.append(face.view["label"]))
    county.switch(faults=[{"kind": "hang", "system": "assessor"}])
    panel._actions.put(("search", {}, {"query": parcel_apn(apn), "by": "apn"}))
    wait_until(lambda: panel.query != "" and bool(beats))

    del beats[:]
    wait_until(lambda: len(beats) >= 6)

    assert set(beats) == labels
    assert not panel.card.face.view["is_over"]
    county.switch(faults=[])
    wait_until(lambda: panel.card.face.view["blocks"] == [])
    panel.close()
    for thread in threads:
        thread.join(60)


def test_what_fails_at_every_turn_is_logged_once(
    kit: pk.Kit, county: County, caplog: pytest.LogCaptureFixture
) -> None:
    """Four tracebacks a second would fill the notebook; the panel goes on to say what is wrong."""
    panel = kit.panel(county.apns(1))
    panel._rows = None  # type: ignore[assignment]

    for _ in range(3):
        panel.turn(None)

    assert [record.getMessage() for record in own_records(caplog)] == ["a panel failed"]
    assert find(panel, "error") is not None


def test_the_panel_ends_with_the_kit(
    county: County, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows what was collected just before; a kit that is closed again waits for nothing."""
    monkeypatch.setattr(Panel, "begin", BEGIN)
    monkeypatch.setattr(collect_panel, "_LOOK_SECONDS", 3600.0)
    monkeypatch.setattr(panels, "_LAST_SECONDS", SECONDS)
    apns = county.apns(2)
    others = set(threading.enumerate())
    with quick_kit(county, tmp_path / "end.duckdb") as kit:
        panel = kit.panel(apns)
        begun = set(threading.enumerate()) - others
        (thread,) = [one for one in begun if one.name == "propkit-panel"]
        assert kit.collect(apns, progress=False).is_complete
        before = _statuses(panel)
    kit.close()

    thread.join(60)
    assert not thread.is_alive()
    assert (before, _statuses(panel)) == (["none"] * 2, ["complete"] * 2)
    assert panel.face.view["blocks"][-1]["text"] == "The kit is closed: this is how it was."
    assert not kit.panels


def test_what_is_processed_in_background_runs_in_a_worker(kit: pk.Kit, county: County) -> None:
    """The panel says that a worker comes, then follows the batch that runs there to its end."""
    path = kit.store.path
    panel = kit.panel(county.apns(2))
    press(panel, "collect")

    press(panel, "confirm", is_background=True)
    start = button(panel, "collect")
    try:
        turn_until(panel, lambda: find(panel, "summary"))
        worker = read_discovery(path)
    finally:
        kit.close()
        if (owner := read_discovery(path)) is not None and owner.pid != os.getpid():
            os.kill(owner.pid, signal.SIGKILL)

    assert start is not None
    assert start["is_disabled"]
    assert panel.error is None
    assert worker is not None
    assert worker.pid != os.getpid()
    assert _statuses(panel) == ["complete", "complete"]


def test_a_worker_that_does_not_come_is_told_in_the_panel(
    kit: pk.Kit, county: County, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was started, and the button is there again."""
    panel = kit.panel(county.apns(2))
    press(panel, "collect")
    monkeypatch.setattr(sys, "executable", "/bin/false")

    press(panel, "confirm", is_background=True)
    turn_until(panel, lambda: panel.error)

    start = button(panel, "collect")
    assert "the worker has ended" in str(panel.error)
    assert start is not None
    assert not start["is_disabled"]
    assert kit.batches().empty
    assert "owner: this process" in repr(kit)


class Half(Panel):
    """A panel that does not say all that it has to."""

    def act(self, action: str, args: Mapping[str, Any], form: Mapping[str, Any]) -> None:
        """Do nothing."""


def test_a_panel_that_leaves_something_unsaid_cannot_be_made(kit: pk.Kit) -> None:
    """It fails where it is made, not in its thread."""
    with pytest.raises(TypeError, match=r"abstract methods '?blocks'?, '?follow'?"):
        Half("half", "half", kit=kit, seconds=1.0)
