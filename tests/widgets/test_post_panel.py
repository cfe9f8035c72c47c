"""The panel for posting: what a person chooses, sees before and during a run, and after it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from propkit.errors import PostingError
from propkit.widgets.post_panel import PostPanel
from tests.widgets.panels import actions, blocks, button, facts, find, press, texts, turn_until

if TYPE_CHECKING:
    import propkit as pk

SHEET = """\
id,title,description,price,posting_status
BT001,Bucket truck 1,Boom of 12 m,9000,
BT002,Bucket truck 2,Boom of 13 m,9500,Posted 2026-11-01
BT003,,Boom of 14 m,10000,Error: no page came
"""


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    path = tmp_path / "trucks.csv"
    path.write_text(SHEET, "utf-8")
    return path


def statuses(panel: PostPanel) -> list[str]:
    return [panel.grid.value(row, "status") for row in range(len(panel.grid.rows))]


def post(row: dict[str, Any]) -> str:
    if not row["title"]:
        raise PostingError("no title, no listing")
    return f"http://localhost:9/{row['id']}"


def test_a_sheet_is_shown_with_what_is_wrong_before_anything_is_posted(
    kit: pk.Kit, sheet: Path
) -> None:
    panel = kit.post_panel(sheet, poster="kijiji")

    assert statuses(panel) == ["post", "skipped", "faulty"]
    assert [panel.grid.value(row, "said") for row in (1, 2)] == ["posted already", "no title"]
    assert facts(panel, "preview") == {
        "To post": "1",
        "Faulty, not posted": "1",
        "Left out": "1",
    }
    assert actions(panel, "preview") == ["start", "close"]
    start = button(panel, "start")
    assert start is not None
    assert start["label"] == "Try 1 listing without the last click"
    assert sheet.read_text("utf-8") == SHEET
    press(panel, "close")
    assert find(panel, "preview") is None


def test_a_dry_run_writes_nothing(kit: pk.Kit, sheet: Path) -> None:
    def ready(row: dict[str, Any], sending: Any) -> str:
        sending()
        raise AssertionError("the last click was made")

    panel = kit.post_panel(sheet, poster=ready)
    press(panel, "start")
    turn_until(panel, lambda: find(panel, "summary"))

    assert statuses(panel)[:2] == ["ready", "skipped"]
    assert sheet.read_text("utf-8") == SHEET


def test_each_row_shows_what_came_of_it(kit: pk.Kit, sheet: Path) -> None:
    panel = kit.post_panel(sheet, poster=post)
    press(panel, "start", is_dry_run=False)
    turn_until(panel, lambda: find(panel, "summary"))

    assert panel.report is not None
    assert panel.report.counts() == {"posted": 1, "failed": 1, "skipped": 1}
    assert statuses(panel) == ["posted", "skipped", "failed"]
    assert panel.grid.value(0, "url") == "http://localhost:9/BT001"
    assert panel.report.message in texts(panel)
    press(panel, "evidence")
    found = find(panel, "evidence")
    assert found is not None
    assert found["rows"] == [["BT003", "no title, no listing", "none"]]
    assert "Posted 2" in sheet.read_text("utf-8").splitlines()[1]


def test_a_run_is_cancelled_with_everything_kept(kit: pk.Kit, sheet: Path) -> None:
    come, go_on = threading.Event(), threading.Event()

    def slow(row: dict[str, Any]) -> str:
        come.set()
        assert go_on.wait(60)
        return f"http://localhost:9/{row['id']}"

    panel = kit.post_panel(sheet, poster=slow)
    press(panel, "start", is_dry_run=False)
    turn_until(panel, come.is_set)
    press(panel, "start", is_dry_run=False)
    assert panel.error is None
    press(panel, "look")
    assert panel.error is not None
    assert "a run is under way" in panel.error
    press(panel, "cancel")
    go_on.set()
    turn_until(panel, lambda: find(panel, "summary"))

    said = find(panel, "summary")
    assert said is not None
    assert (said["title"], said["tone"]) == ("Cancelled", "yellow")
    assert any("Cancelled: everything so far is kept" in one for one in texts(panel))
    assert panel.report is None
    press(panel, "look")
    assert find(panel, "progress") is None


def test_what_cannot_be_done_is_said(kit: pk.Kit, tmp_path: Path) -> None:
    panel = kit.post_panel()

    assert [one["label"] for one in blocks(panel) if one["kind"] == "button"] == ["Look"]
    press(panel, "look")
    assert panel.error == "name the listing sheet first"
    press(panel, "look", sheet=str(tmp_path / "none.xlsx"))
    assert panel.error is not None
    assert "none.xlsx" in panel.error
    press(panel, "fly")
    assert panel.error == "no action 'fly'"


SAVED = """
from pathlib import Path

here = Path(__file__).parent
if (here / "saves").exists():
    with (here / "trucks.csv").open("a") as sheet:
        sheet.write("BT004,Bucket truck 4,Boom of 15 m,9900,\\n")

def post(row):
    return "http://localhost:9/" + row["id"]
"""


def test_a_row_that_came_after_the_look_is_posted_and_in_nobodys_way(
    kit: pk.Kit, sheet: Path
) -> None:
    """A person saved the sheet in the moment before the run read it."""
    poster = sheet.with_name("poster.py")
    poster.write_text(SAVED, "utf-8")
    panel = kit.post_panel(sheet, poster=f"{poster}:post")
    sheet.with_name("saves").touch()

    press(panel, "start", is_dry_run=False)
    turn_until(panel, lambda: find(panel, "summary"))

    assert statuses(panel) == ["posted", "skipped", "posted"]
    assert panel.report is not None
    assert [one.row_key for one in panel.report.results if one.outcome == "posted"] == [
        "BT001",
        "BT003",
        "BT004",
    ]
    assert panel.error is None
