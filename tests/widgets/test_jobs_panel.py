"""The panel of jobs and the one of figures, over a real store and a real county."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from ipywidgets.widgets.widget import _instances as living

from propkit.widgets.jobs_panel import JobsPanel
from tests.widgets.panels import blocks, find, press, texts, turn_until

if TYPE_CHECKING:
    import propkit as pk
    from propkit.demo_county.county import County


def _rows(panel: JobsPanel) -> list[list[Any]]:
    found = find(panel, "jobs")
    assert found is not None
    rows: list[list[Any]] = found["rows"]
    return rows


def _choices(row: list[Any]) -> list[str]:
    return [one["label"] for one in row[-1]]


def _press(panel: JobsPanel, action: str, job: str) -> None:
    panel.turn((action, {"job": job}, {}))


def test_each_batch_is_a_row_with_what_can_be_done(kit: pk.Kit, county: County) -> None:
    apns = county.apns(3)
    kit.start(apns[:2], created_by="ada").wait(60)
    fault = {"kind": "status", "status": 500, "system": "treasurer"}
    county.switch(faults=[fault])
    kit.start(apns[2:], created_by="grace").wait(60)

    panel = kit.jobs()

    assert [row[:6] for row in _rows(panel)] == [
        ["2", "Comprehensive", "✓ Completed", "3 of 3", "2 / 1", "grace"],
        ["1", "Comprehensive", "✓ Completed", "6 of 6", "6 / 0", "ada"],
    ]
    assert [row[8] for row in _rows(panel)] == ["1 unavailable", ""]
    assert [_choices(row) for row in _rows(panel)] == [
        ["Log", "Retry failed", "Delete"],
        ["Log", "Delete"],
    ]
    county.switch(faults=[])
    _press(panel, "retry", kit.batch("last").id)
    turn_until(panel, lambda: _rows(panel)[0][4] == "3 / 0")


def test_a_job_is_cancelled_gone_on_with_and_deleted(
    kit: pk.Kit, county: County, hasty_cancel: None
) -> None:
    county.switch(faults=[{"kind": "hang", "system": "treasurer"}])
    panel = kit.jobs()
    batch = kit.start(county.apns(2))
    turn_until(panel, lambda: _choices(_rows(panel)[0]) == ["Log", "Cancel"] if _rows(panel) else 0)

    _press(panel, "cancel", batch.id)
    state, items, well = _rows(panel)[0][2:5]
    assert state == "⊘ Cancelled"
    assert items.split(" of ")[0] == well.split(" / ")[0]  # what was cancelled was not asked for
    assert _choices(_rows(panel)[0]) == ["Log", "Resume", "Delete"]
    # A double click does what a click does, and is no error.
    for _ in range(2):
        _press(panel, "resume", batch.id)
    assert panel.error is None
    county.switch(faults=[])
    turn_until(panel, lambda: _rows(panel)[0][2] == "✓ Completed")
    _press(panel, "log", batch.id)
    log = find(panel, "log")
    assert log is not None
    assert log["rows"][0][2] == "created"
    asked = next(one for one in texts(panel) if one.startswith("workers: "))
    assert "datasets: parcels, residences, " in asked
    assert asked.endswith("; identifiers: due 2")
    _press(panel, "delete", batch.id)
    assert f"Forget job {batch.id}?" in texts(panel)
    press(panel, "shut")
    assert len(_rows(panel)) == 1
    _press(panel, "delete", batch.id)
    for _ in range(2):
        _press(panel, "delete_it", batch.id)

    assert panel.error is None
    assert _rows(panel) == []
    assert find(panel, "details") is None
    assert len(kit.frame("parcels")) > 0


def test_jobs_are_filtered_and_paged(kit: pk.Kit, county: County) -> None:
    apns = county.apns(1)
    kit.collect(apns, progress=False)
    for _ in range(11):
        kit.start(apns).wait(60)
    panel = kit.jobs()
    assert "Page 1 of 2, 12 jobs" in texts(panel)
    assert [row[0] for row in _rows(panel)] == [str(number) for number in range(12, 2, -1)]

    press(panel, "next")
    assert [row[0] for row in _rows(panel)] == ["2", "1"]
    press(panel, "filter", state="FAILED")
    assert "Page 1 of 1, 0 jobs" in texts(panel)
    press(panel, "filter", state="COMPLETED")
    assert "Page 1 of 2, 12 jobs" in texts(panel)

    _press(panel, "log", kit.batch("last").id)
    assert find(panel, "details") is not None
    kit.batch("last").delete()  # as somebody else does, whose panel is another
    panel.turn(None)
    assert find(panel, "details") is None
    assert panel.error is None


@pytest.mark.parametrize(
    ("action", "args", "said"),
    [
        ("cancel", {"job": "no such job"}, "no job 'no such job'"),
        ("fly", {}, "no action 'fly'"),
    ],
)
def test_what_cannot_be_done_is_said(
    kit: pk.Kit, action: str, args: dict[str, str], said: str
) -> None:
    panel = kit.jobs()

    panel.turn((action, args, {}))

    assert said in texts(panel)


def test_figures_are_bars_with_words(kit: pk.Kit, county: County) -> None:
    apns = county.apns(3)
    kit.collect(apns, progress=False)
    kit.collect(apns, progress=False)

    panel = kit.statistics_panel()

    bars = {(one["label"], one["word"]) for one in blocks(panel) if one["kind"] == "bar"}
    assert {("Maricopa assessor", "100.0%"), ("Maricopa treasurer", "3")} <= bars
    assert [one["title"] for one in panel.face.view["blocks"] if one["kind"] == "box"] == [
        "Success rate",
        "Seconds an item",
        "Items without a request",
        "Pace of each host",
        "Pace of each host over time",
        "Store",
    ]
    # What was collected is told apart from what the store keeps besides.
    said = {
        name: value
        for one in blocks(panel)
        if one["kind"] == "facts"
        for name, value in one["facts"]
    }
    assert said["Collected rows"].startswith("3 parcels, ")
    assert "items" not in said["Collected rows"]
    assert "items" in said["Other rows"]
    assert "parcels" not in said["Other rows"]
    press(panel, "choose", batch="last")
    bars = {(one["label"], one["word"]) for one in blocks(panel) if one["kind"] == "bar"}
    assert not any(word == "100.0%" for _, word in bars)


def test_of_a_panel_that_is_closed_the_kernel_keeps_nothing(kit: pk.Kit) -> None:
    """A cell that is run again and again would fill it with tables that nobody sees."""
    before = set(living)

    for panel in (kit.panel(["50101001"]), kit.jobs(), kit.statistics_panel(), kit.post_panel()):
        panel.close()

    assert set(living) == before


def test_a_panel_that_is_closed_is_let_go_with_its_rows(kit: pk.Kit, county: County) -> None:
    """A table may have 50,000 of them, and a kernel lives for weeks."""
    panels = [kit.panel(county.apns(3)), kit.jobs(), kit.statistics_panel(), kit.post_panel()]
    parts = [weakref.ref(part) for panel in panels for part in (panel, *panel.faces)]
    parts.append(weakref.ref(panels[0].grid))

    for panel in panels:
        panel.close()
    del panel, panels
    gc.collect()

    assert [part() for part in parts] == [None] * len(parts)
