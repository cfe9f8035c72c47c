"""Interrupt keeps everything: in a script, in a cell that waits, in a cell that awaits."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from propkit.posters import FunctionPoster
from tests.posting.sheets import make_trucks, outcomes, read_sheet, statuses
from tests.posting.site import FakeSite, SitePoster

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent.parent
DEADLINE = 60.0

ENDING = """
import atexit, sys, threading
import propkit as pk

begun, ending = threading.Event(), threading.Event()

def post(row):
    if row["truck_id"] == "T002":
        begun.set()
        ending.wait(60)

settings = pk.Settings.load(posting={"save_share": 0.01})
run = threading.Thread(
    target=lambda: pk.run_batch(sys.argv[1], poster=post, store=sys.argv[2], settings=settings),
    daemon=True,
)
atexit.register(run.join, 60)  # others take long to end
run.start()
begun.wait(60)
threading._register_atexit(ending.set)  # the first of what happens at the end
"""

HANGING = """
import logging, sys, threading
import propkit as pk
from propkit.posters import FunctionPoster
from propkit.posting import running

logging.basicConfig()
running._EXIT_SECONDS = 0.2
begun, told, never = threading.Event(), threading.Event(), threading.Event()

def post(row):
    if row["truck_id"] == "T002":
        begun.set()
        never.wait()
    begun.wait(60)

def tell(percent, line):
    told.set()
    never.wait()

run = threading.Thread(
    target=lambda: pk.run_batch(
        sys.argv[1], poster=FunctionPoster(post, workers=2), store=sys.argv[2], workers=2,
        progress_cb=tell, settings=pk.Settings.load(posting={"grace_seconds": 0}),
    ),
    daemon=True,
)
run.start()
told.wait(60)
"""


def test_ctrl_c_saves_and_returns_the_report(tmp_path: Path) -> None:
    """Older code returned without saving; here a row hangs right after the last click."""
    sheet, site = tmp_path / "trucks.xlsx", FakeSite(tmp_path / "site.jsonl")
    make_trucks(4).to_excel(sheet, index=False)
    order = {
        "sheet": str(sheet),
        "site": str(site.path),
        "ledger": str(tmp_path / "ledger.duckdb"),
        "faults": {"T003": ["hang_late"]},
        "say": "after_click",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.posting.post_run", json.dumps(order)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(3)] == ['"after_click"\n'] * 3
        process.send_signal(signal.SIGINT)
        report = json.loads(process.communicate(timeout=DEADLINE)[0])

    assert process.returncode == 0
    assert report["state"] == "interrupted"
    assert list(report["outcomes"].values()) == ["posted", "posted", "unknown", "not_reached"]
    assert list(read_sheet(sheet)["posting_status"].str[:6]) == ["Posted", "Posted", "", ""]
    again = pk.run_batch(sheet, poster=SitePoster(site), store=tmp_path / "ledger.duckdb")
    assert outcomes(again) == {
        **dict.fromkeys(["T001", "T002"], "skipped"),
        **dict.fromkeys(["T003", "T004"], "posted"),
    }
    assert site.counts() == dict.fromkeys(make_trucks(4)["truck_id"], 1)


def test_a_run_ends_in_order_when_its_process_ends(tmp_path: Path) -> None:
    """A kernel is restarted: a thread that cannot be had any more is no failure of a row."""
    sheet, ledger = tmp_path / "trucks.csv", tmp_path / "ledger.duckdb"
    make_trucks(4).to_csv(sheet, index=False)

    done = subprocess.run(
        [sys.executable, "-c", ENDING, str(sheet), str(ledger)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )

    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert list(read_sheet(sheet)["posting_status"].str[:6]) == ["Posted", "Posted", "", ""]
    again = pk.run_batch(sheet, poster=lambda row: None, store=ledger)
    assert list(outcomes(again).values()) == ["skipped", "skipped", "posted", "posted"]


def test_what_hangs_does_not_keep_a_process_that_ends(tmp_path: Path) -> None:
    """Neither a function nor a callback of a person; the ledger has what may be published."""
    sheet, ledger = tmp_path / "trucks.csv", tmp_path / "ledger.duckdb"
    make_trucks(3).to_csv(sheet, index=False)

    done = subprocess.run(
        [sys.executable, "-c", HANGING, str(sheet), str(ledger)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )

    assert done.returncode == 0
    assert "a run of postings does not end and is left" in done.stderr
    poster = FunctionPoster(lambda row: None)
    poster.name = "post"
    again = pk.run_batch(sheet, poster=poster, store=ledger)
    assert outcomes(again) == {"T001": "skipped", "T002": "unknown", "T003": "posted"}


async def test_a_cancelled_cell_keeps_what_was_posted(tmp_path: Path) -> None:
    """The loop stays free meanwhile: what the run waits for comes from there."""
    site = FakeSite(tmp_path / "site.jsonl")
    reached, is_free = threading.Event(), threading.Event()

    def at(step: str) -> None:
        if step == "before_sent" and len(site.listings()) == 2:
            reached.set()
            assert is_free.wait(DEADLINE)

    poster = SitePoster(site, faults={"T003": ["hang"]}, at=at)
    options: dict[str, Any] = {"store": tmp_path / "ledger.duckdb", "name": "trucks"}
    cell = asyncio.create_task(pk.post_listings(make_trucks(4), poster=poster, **options))
    assert await asyncio.to_thread(reached.wait, DEADLINE)

    cell.cancel()
    asyncio.get_running_loop().call_later(0.5, is_free.set)
    with pytest.raises(asyncio.CancelledError):
        await cell
    report = await pk.post_listings(make_trucks(4), poster=SitePoster(site), **options)

    assert poster.calls[-1] == "close"
    assert list(outcomes(report).values()) == ["skipped", "skipped", "posted", "posted"]
    assert site.counts() == dict.fromkeys(make_trucks(4)["truck_id"], 1)


async def test_run_batch_works_in_a_cell(tmp_path: Path) -> None:
    """A notebook's loop runs already, as it does here."""
    site = FakeSite(tmp_path / "site.jsonl")

    report = pk.run_batch(make_trucks(2), poster=SitePoster(site), store=tmp_path / "l.duckdb")

    assert report.successful_posts == 2


def test_what_is_sent_has_a_while_to_end(
    post: Callable[..., pk.PostingReport], site: FakeSite, tmp_path: Path
) -> None:
    """Interrupted between the last click and the answer, the row still gets its proof.

    The next row hangs before its last click until the interrupt comes, however late that is. The
    sheet is saved although its time has not come: older code returned without that.
    """
    path = tmp_path / "trucks.csv"
    make_trucks(3).to_csv(path, index=False)
    rarely = {"save_share": 1, "save_seconds": 3600}
    main_thread = threading.main_thread()

    def at(step: str) -> None:
        if step == "after_sent":
            assert main_thread.ident is not None
            signal.pthread_kill(main_thread.ident, signal.SIGINT)

    report = post(path, at=at, faults={"T001": ["slow"], "T002": ["hang"]}, posting=rarely)

    assert [text[:6] for text in statuses(path).values()] == ["Posted", "", ""]
    assert outcomes(report) == {"T001": "posted", "T002": "not_reached", "T003": "not_reached"}
    assert report.message == "trucks.csv: 1 posted, 0 skipped, 2 not reached (interrupted)"
