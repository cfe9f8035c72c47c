"""Kill -9 while leads are bought, and faults on top: paid once, and paid equals stored.

By default a few kills. The long form buys 10,000 leads::

    PROPKIT_KILLS=20 PROPKIT_KILL_LEADS=10000 pytest tests/leads/test_kill_buying.py -s
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from propkit.demo_county import start_county
from propkit.demo_county.faults import ALL_SYSTEMS
from tests.leads.selling import (
    leads_kit,
    leads_settings,
    paid_ids,
    paid_requests,
    stored_ids,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from propkit.demo_county import County

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("PROPKIT_KILLS", "2"))
LEADS = int(os.environ.get("PROPKIT_KILL_LEADS", "500"))
SEED = int(os.environ.get("PROPKIT_KILL_SEED", "20261122"))
PAGE = 400 if LEADS > 5000 else 25
PAGES = -(-LEADS // PAGE)
CRITERIA = {"State": "AZ"}


@pytest.fixture(scope="module")
def county() -> Iterator[County]:
    limits = dict.fromkeys(ALL_SYSTEMS)
    with start_county(parcels=LEADS * 11 // 10, seed=5, limits=limits) as county:
        yield county


@contextmanager
def run(path: Path, order: str) -> Iterator[subprocess.Popen[str]]:
    """Run the child; what is left of it at the end is killed."""
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tests/leads/buy_run.py"), str(path), order],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def listen(child: subprocess.Popen[str], word: str) -> dict[str, Any]:
    """Read what the child says up to the line with a word."""
    assert child.stdout is not None
    for line in child.stdout:
        said: dict[str, Any] = json.loads(line)
        if word in said:
            return said
    raise AssertionError(f"the child ended without {word!r}")


@pytest.mark.timeout(120 + 20 * KILLS)
@pytest.mark.parametrize("rebuys", ["free", "charged"])
def test_leads_are_paid_for_once_whatever_happens(
    county: County, tmp_path: Path, rebuys: str
) -> None:
    """Kills at seeded moments, answers dropped after the charge and time-outs: all is accounted.

    What was charged stands in the journal, record for record. Nothing is charged twice. Where the
    account delivers again free of charge, what it charged is what the store holds.
    """
    moments = random.Random(f"{SEED} {rebuys}")
    county.clear_account()
    county.clear_ledger()
    county.switch(
        leads={"quota": 10 * LEADS, "rebuys": rebuys, "answer_after": 0.02},
        faults=[
            {"kind": "drop", "system": "propertyradar", "path": "Purchase=1", "every": 9},
            {"kind": "hang", "system": "propertyradar", "path": "Purchase=1", "every": 13},
        ],
    )
    path = tmp_path / "a.duckdb"
    order = json.dumps(
        {
            # What is free to ask is asked until a busy county answers in time.
            "settings": leads_settings(county, request_timeout=1 + LEADS / 1000, retry_attempts=50),
            "criteria": CRITERIA,
            "page_size": PAGE,
            "caps": {"max_records": LEADS, "max_cost": 0},
        }
    )
    for _ in range(KILLS):
        with run(path, order) as child:
            listen(child, "running")
            wait_for = paid_requests(county) + moments.randint(1, 4)
            deadline = time.monotonic() + moments.uniform(0.05, 1.2)
            while paid_requests(county) < wait_for and time.monotonic() < deadline:
                time.sleep(0.005)
            child.kill()
    while True:  # each unsettled page pauses the batch: the next run settles it and goes on
        with run(path, order) as child:
            ended = listen(child, "state")
            child.communicate()
        if ended["state"] != "paused":
            break

    with leads_kit(county, path) as kit:
        kit.settle()
        journal = kit.purchases()
        lost = int(journal.loc[journal["state"] == "lost", "records"].sum())
        charged, stored = paid_ids(county), stored_ids(kit)
        print(f"{sum(charged.values())} charged, {lost} lost")  # noqa: T201
        assert ended["state"] == "completed"
        assert set(charged.values()) == {1}
        assert int(journal["records"].sum()) == sum(charged.values()) == LEADS
        assert stored <= charged
        assert sum(charged.values()) - sum(stored.values()) == lost
        assert set(journal["state"]) <= {"bought", "lost", "not_bought"}
        assert kit.store.duplicates() == {}
        assert len(kit.batches()) == 1

        if rebuys == "free" and lost:
            county.switch(faults=[])
            before = county.account()
            kit.settle(again=True, max_records=lost, max_cost=0)
            assert county.account() == before
            assert paid_ids(county) == stored_ids(kit)


@pytest.mark.parametrize("last", ["lost", "not_bought"])
def test_a_kill_between_two_open_pages_leaves_both_accounted(
    county: County, tmp_path: Path, last: str
) -> None:
    """The second page has come and is not written yet, the third is under way: nothing is bought twice."""
    county.clear_account()
    county.clear_ledger()
    third = {"kind": "drop" if last == "lost" else "hang", "seconds": 600, "nth": 3}
    county.switch(
        leads={"quota": 10 * LEADS, "rebuys": "charged"},
        faults=[{**third, "system": "propertyradar", "path": "Purchase=1"}],
    )
    path, most = tmp_path / "a.duckdb", 5 * PAGE
    order = {
        "settings": leads_settings(county, request_timeout=120),
        "criteria": CRITERIA,
        "page_size": PAGE,
        "caps": {"max_records": most, "max_cost": 0},
    }
    charged = 3 if last == "lost" else 2
    with run(path, json.dumps({**order, "hold_after": 1})) as child:
        listen(child, "held")
        deadline = time.monotonic() + 60
        while paid_requests(county) < 3 or sum(paid_ids(county).values()) < charged * PAGE:
            assert time.monotonic() < deadline, "the third page was not asked for"
            time.sleep(0.01)
        child.kill()
    county.switch(faults=[])
    with run(path, json.dumps(order)) as child:
        settled = listen(child, "settled")["settled"]
        ended = listen(child, "state")
        child.communicate()

    with leads_kit(county, path) as kit:
        journal = kit.purchases()
        assert settled == ["lost", last]
        assert ended["state"] == "completed"
        states = ["bought", "lost", last, *["bought"] * (5 - charged)]
        assert journal["state"].tolist() == states
        assert journal["records"].sum() == sum(paid_ids(county).values()) == most
        assert set(paid_ids(county).values()) == {1}
        assert sum(stored_ids(kit).values()) == most - (charged - 1) * PAGE
