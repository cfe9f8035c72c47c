"""Killed at any moment, dropped at any row: one listing for each row, and every status true.

``PROPKIT_POSTING_KILLS=50 pytest tests/posting/test_kills.py`` kills fifty runs over 200 rows.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import propkit as pk
from propkit.store import Store
from propkit.store.postings import read_postings
from tests.posting.sheets import make_trucks, outcomes, read_sheet
from tests.posting.site import FakeSite

Post = Callable[..., pk.PostingReport]

KILLS = int(os.environ.get("PROPKIT_POSTING_KILLS", "5"))
ROWS = 200 if KILLS >= 50 else 24
STEPS = ("before_sent", "after_sent", "after_click", "fsync", "after_fsync")
FAULTS = ("early", "lost", "dropped", "refused", "denied", "bug")
ROOT = Path(__file__).parent.parent.parent


def run(order: dict[str, Any]) -> int:
    """Run a process over the sheet; return its exit code."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.posting.post_run", json.dumps(order)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


def check_truth(sheet: Path, site: FakeSite) -> None:
    """See that the sheet opens and what it says is posted is on the site, no row twice."""
    frame = read_sheet(sheet)
    by_url = {one["url"]: one["row_key"] for one in site.listings()}

    assert len(frame) == ROWS
    assert set(site.counts().values()) <= {1}
    if "posting_status" in frame:
        told = frame[frame["posting_status"].str.startswith("Posted")]
        assert [by_url[url] for url in told["posted_url"]] == list(told["truck_id"])


@pytest.mark.timeout(3600 if KILLS >= 50 else 300)
def test_every_row_is_posted_once_however_often_runs_are_killed(post: Post, tmp_path: Path) -> None:
    rng = random.Random(7)
    sheet, site = tmp_path / "trucks.xlsx", FakeSite(tmp_path / "site.jsonl")
    make_trucks(ROWS, note=["=1+1"] * ROWS).to_excel(sheet, index=False)
    keys = list(make_trucks(ROWS)["truck_id"])
    ledger = tmp_path / "ledger.duckdb"
    order = {"sheet": str(sheet), "site": str(site.path), "ledger": str(ledger)}
    killed = 0

    for number in range(KILLS):
        step = STEPS[number % len(STEPS)]
        count = rng.randint(1, 4) if "fsync" in step else rng.randint(1, max(2, ROWS // KILLS))
        faults = {key: [rng.choice(FAULTS)] for key in keys if rng.random() < 0.3}
        code = run({**order, "kill": [step, count], "faults": faults})
        killed += code == -signal.SIGKILL
        check_truth(sheet, site)
    for _ in range(2):
        post(sheet)
        check_truth(sheet, site)
    last = post(sheet)

    assert killed >= KILLS - 1  # a run may have nothing left to be killed at
    assert set(outcomes(last).values()) == {"skipped"}
    assert site.counts() == dict.fromkeys(keys, 1)
    frame = read_sheet(sheet)
    assert frame["posting_status"].str.fullmatch(r"Posted \d{4}-\d\d-\d\d").all()
    assert list(frame["error"]) == [""] * ROWS
    store = Store.open(ledger)
    confirmed = {
        one.row_key: one.url
        for one in read_postings(store, "fake_site", "trucks.xlsx/Sheet1", keys)
        if one.state == "confirmed"
    }
    store.close()
    assert confirmed == {one["row_key"]: one["url"] for one in site.listings()}
    assert confirmed == dict(zip(frame["truck_id"], frame["posted_url"], strict=True))


def test_the_ledger_knows_what_a_kill_left_in_doubt(post: Post, tmp_path: Path) -> None:
    sheet, site = tmp_path / "trucks.csv", FakeSite(tmp_path / "site.jsonl")
    make_trucks(ROWS).to_csv(sheet, index=False)
    ledger = tmp_path / "ledger.duckdb"
    order = {"sheet": str(sheet), "site": str(site.path), "ledger": str(ledger)}

    code = run({**order, "kill": ["after_click", 2]})
    with pk.open(ledger) as kit:
        known = kit.frame("postings")[["row_key", "state"]].to_numpy().tolist()
    report = post(sheet)

    assert code == -signal.SIGKILL
    assert known == [["T001", "confirmed"], ["T002", "sent"]]
    assert [one.reason for one in report.results[:2]] == [
        *["posted already", "found on the account's own page"],
    ]
    assert site.counts() == dict.fromkeys(make_trucks(ROWS)["truck_id"], 1)
