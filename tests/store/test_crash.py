"""What kill -9 leaves: whole items and nothing twice."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from propkit.store import Store

ROOT = Path(__file__).parents[2]
ITEMS = 600
KILLS = 3

# What stands in the store of each item that should be whole, done or not.
WHOLE = """
    SELECT i.key, i.state = 'done' AS is_done,
        (SELECT count(*) FROM parcels p WHERE p.apn = i.key) AS parcels,
        (SELECT count(*) FROM tax_payments t WHERE t.apn = i.key) AS payments,
        (SELECT count(*) FROM fetches f SEMI JOIN payloads USING (sha256) WHERE f.key = i.key)
            AS fetches,
        (SELECT count(*) FROM freshness f WHERE f.key = i.key) AS answers,
        (SELECT count(*) FROM items d WHERE d.key = 'd' || i.key) AS follow_ups
    FROM items i WHERE i.key LIKE 'p%'
"""


def write_and_kill(path: Path, acknowledgements: int) -> str:
    """Let a writer run and kill it in mid-run; return the last key it acknowledged."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(Path(__file__).with_name("crash_writer.py"))]
    with subprocess.Popen(
        [*command, str(path), str(ITEMS), str(ITEMS // (KILLS + 1))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as child:
        assert child.stdout is not None
        said = [child.stdout.readline().strip() for _ in range(acknowledgements)]
        child.kill()
    assert child.returncode == -9
    return said[-1]


def test_killing_the_writer_leaves_whole_items_only(path: Path):
    """Killed at seeded moments and started again, each item is whole or untouched, never twice."""
    moments = random.Random(20261122)
    done_after_kill = []
    for _ in range(KILLS):
        acknowledged = write_and_kill(path, moments.randint(2, 12))

        with closing(Store.open(path)) as store:
            found = store.rows(WHOLE)
            done = {row["key"] for row in found if row["is_done"]}

            assert {(row["is_done"], *[row[name] for name in list(row)[2:]]) for row in found} <= {
                (True, 1, 2, 2, 1, 1),
                (False, 0, 0, 0, 0, 0),
            }
            assert len(found) == ITEMS
            assert {f"p{number:04}" for number in range(int(acknowledged[1:]) + 1)} <= done
            assert store.duplicates() == {}
            assert store.rows("SELECT state FROM batch_heads") == [{"state": "interrupted"}]
            assert store.rows("SELECT count(*) = count(DISTINCT sha256) AS ok FROM payloads") == [
                {"ok": True}
            ]
        done_after_kill.append(len(done))

    assert 0 < done_after_kill[0] < done_after_kill[1] < done_after_kill[2] < ITEMS
