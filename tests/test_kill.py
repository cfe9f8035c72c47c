"""What kill -9 costs a batch: at most a commit group of answers, and never an item.

By default a few kills in the life of a small batch. The long form takes some minutes (the tests'
county has 2,000 parcels; ``PROPKIT_KILL_SEED`` draws other moments)::

    PROPKIT_KILLS=50 PROPKIT_KILL_PARCELS=2000 pytest tests/test_kill.py -s
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from propkit.records import RECORD_TYPES
from propkit.store import writer
from tests.collecting import in_order, quick_kit, table_as_truth
from tests.guests.notebooks import wait_until

if TYPE_CHECKING:
    from propkit.demo_county import County

ROOT = Path(__file__).parents[1]
KILLS = int(os.environ.get("PROPKIT_KILLS", "3"))
PARCELS = int(os.environ.get("PROPKIT_KILL_PARCELS", "120"))
SEED = int(os.environ.get("PROPKIT_KILL_SEED", "20261122"))
IS_LONG = PARCELS > 500

WORKERS = 3
ITEMS_PER_SECOND = 60 if IS_LONG else 100
# The short form has hardly time for a commit each second.
GROUP_ITEMS = None if IS_LONG else 40
IN_FLIGHT = 3 * WORKERS
MOST_LOST = IN_FLIGHT + (GROUP_ITEMS or writer.GROUP_ITEMS)

Key = tuple[str, str]

FIRST_REQUESTS = {
    "assessor": re.compile(r"/parcel/(\w+)\?$"),
    "treasurer": re.compile(r"/Parcel/\?Parcel=(\w+)$"),
    "recorder": re.compile(r"/documents/(\w+)\?$"),
}


@dataclass
class Life:
    """What was seen of one run: what stood in the store before, and what it asked for."""

    stored: set[Key] | None = None
    requests: int = 0
    committed: int = 0
    asked: Counter[Key] = field(default_factory=Counter)


def order_for(county: County, apns: list[str]) -> str:
    """Return what the child is told: a pace at which its commits are many, and no waits.

    Nor is anything asked twice because the county, or the machine, stood still.
    """
    paces = {"maricopa_treasurer": 4 * ITEMS_PER_SECOND}
    sources = {
        name: {
            **values,
            "requests_per_second": paces.get(name, ITEMS_PER_SECOND),
            "max_in_flight": WORKERS,
        }
        for name, values in county.settings().items()
    }
    collect = {"workers": WORKERS, "progress_seconds": 0.03, "request_timeout": 60}
    return json.dumps(
        {"sources": sources, "collect": collect, "apns": apns, "group_items": GROUP_ITEMS}
    )


@contextmanager
def run(path: Path, order: str) -> Iterator[subprocess.Popen[str]]:
    """Run the child; what is left of it at the end is killed."""
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "kill_run.py"), str(path), order],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def follow(child: subprocess.Popen[str], most_requests: float) -> Life:
    """Read what the child says until it has made so many requests, or is at the end."""
    assert child.stdout is not None
    life = Life()
    for line in child.stdout:
        said: dict[str, Any] = json.loads(line)
        if "stored" in said:
            assert said["duplicates"] == {}
            stored = [(source, key) for source, key in said["stored"]]
            life.stored = set(stored)
            assert len(stored) == len(life.stored)
        life.requests = said.get("requests", life.requests)
        life.committed = said.get("committed", life.committed)
        if life.requests >= most_requests or "state" in said:
            return life
    raise AssertionError("the child ended by itself")


def asked_since(county: County, number: int) -> tuple[Counter[Key], int]:
    """Count the first requests of items after a ledger's number; return the last number too."""
    # What the dead child sent last is still being answered.
    wait_until(lambda: not any(county.health()["in_flight"].values()))
    asked: Counter[Key] = Counter()
    for entry in county.ledger(since=number):
        number = entry["number"]
        pattern = FIRST_REQUESTS.get(entry["system"])
        if pattern and (match := pattern.search(f"{entry['path']}?{entry['query']}")):
            asked[(f"maricopa_{entry['system']}", match[1])] += 1
    return asked, number


def stored_after(lives: list[Life]) -> list[set[Key]]:
    """Return what each kill left in the store, as the next run found it that came so far."""
    return [
        next(later.stored for later in lives[number:] if later.stored is not None)
        for number in range(1, len(lives))
    ]


@pytest.mark.timeout(300 + 30 * KILLS)
def test_a_batch_that_is_killed_again_and_again_loses_and_doubles_nothing(
    county: County, tmp_path: Path
) -> None:
    """Whatever is stored is not asked for again, and a kill costs no more than a commit group."""
    apns = county.apns(PARCELS)
    path, order = tmp_path / "a.duckdb", order_for(county, apns)
    moments = random.Random(SEED)
    lives: list[Life] = []
    truth = county.truth(apns)
    billed = len({row["apn"] for row in truth["tax_bills"]})
    all_requests = 3 * PARCELS + 2 * billed
    items = 2 * PARCELS + sum(row["deed_number"] is not None for row in truth["parcels"])
    number, stored = 0, 0
    for left in range(KILLS, -1, -1):
        # Spread over what is left of the batch; the last run is let alone.
        rest = all_requests * (1 - stored / items)
        moment = moments.uniform(0, 2 * rest / (left + 1)) if left else float("inf")
        with run(path, order) as child:
            life = follow(child, moment)
            if left == 0:
                child.communicate()
        assert child.returncode == (-9 if left else 0)
        life.asked, number = asked_since(county, number)
        stored = stored if life.stored is None else len(life.stored)
        lives.append(life)

    for life in lives:
        assert set(life.asked.values()) <= {1}
        assert not life.asked.keys() & (life.stored or set())
    left_behind = stored_after(lives)
    for life, after in zip(lives, left_behind, strict=False):
        before = life.stored or set()
        assert len(after) >= len(before) + life.committed
        assert before <= after <= before | life.asked.keys()
    lost = [len(life.asked.keys() - after) for life, after in zip(lives, left_behind, strict=False)]
    requests = [life.requests for life in lives]
    print(f"{items} items; to be asked again: {lost}; requests by run: {requests}")  # noqa: T201
    assert max(lost) <= MOST_LOST
    with quick_kit(county, path) as kit:
        batch = kit.batch("last")
        assert len(kit.batches()) == 1
        assert batch.state == "completed"
        found = Counter(zip(batch.items()["source"], batch.items()["key"], strict=True))
        assert set(found.values()) == {1}
        assert found.keys() == set().union(*(life.asked for life in lives))
        assert set(batch.items()["state"]) == {"done", "not_found"}
        assert kit.store.duplicates() == {}
        assert (
            kit.store.rows("SELECT source, key, page FROM fetches GROUP BY ALL HAVING count(*) > 1")
            == []
        )
        collected = {table: table_as_truth(kit, table) for table in RECORD_TYPES}
    assert collected == {table: in_order(rows) for table, rows in truth.items()}
