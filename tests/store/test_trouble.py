"""A full disk, a file that may not be written any more, a clock that goes back."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import time_machine

from propkit.errors import StoreError
from propkit.store import Store
from tests.store.made import NOON, noon, page, parcel, payments, result, write

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]

# What stands in the store of each item that should be whole.
WHOLE = """
    SELECT f.key, (SELECT count(*) FROM parcels p WHERE p.apn = f.key) AS parcels,
        (SELECT count(*) FROM tax_payments t WHERE t.apn = f.key) AS payments,
        (SELECT count(*) FROM fetches SEMI JOIN payloads USING (sha256) WHERE key = f.key) AS bodies
    FROM freshness f ORDER BY f.key
"""


def start(path: Path, most_bytes: int, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__).with_name("trouble_writer.py"))]
    return subprocess.Popen(
        [*command, str(path), str(most_bytes), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def acknowledged(lines: Sequence[str]) -> set[str]:
    """Return the keys that a writer said were durable: the last one said, and all before it."""
    said = [line for line in lines if line.startswith("p")]
    last = int(said[-1][1:]) if said else -1
    return {f"p{number:04}" for number in range(last + 1)}


def assert_whole(path: Path, durable: set[str]) -> None:
    """Open the store again, see whole items only, all that were durable, and write one more."""
    with closing(Store.open(path)) as store:
        found = store.rows(WHOLE)
        assert durable <= {row["key"] for row in found}
        assert {(row["parcels"], row["payments"], row["bodies"]) for row in found} <= {(1, 2, 1)}
        assert store.duplicates() == {}
        write(store, result("again", [parcel("again"), *payments("again", 2025, 1)]))
        assert store.rows("SELECT count(*) AS n FROM parcels WHERE apn = 'again'") == [{"n": 1}]


@pytest.mark.parametrize("megabytes", [1, 2, 5])
def test_a_full_disk_is_told_and_loses_nothing_that_was_acknowledged(path: Path, megabytes: int):
    """The writer says that it cannot write; what it acknowledged is there when it opens again."""
    Store.open(path).close()
    with start(path, megabytes * 1_000_000) as child:
        output, errors = child.communicate(timeout=100)
    lines = output.splitlines()

    assert child.returncode == 0, errors
    (refused,) = [line for line in lines if line.startswith("refused")]
    assert refused.startswith("refused the store could not be written: ")
    assert "Nothing is half stored" in refused
    assert lines[-1] == "closed"
    durable = acknowledged(lines)
    assert len(durable) < 400
    assert_whole(path, durable)


def test_a_file_made_read_only_while_it_is_open_is_written_on(path: Path):
    """Rights are asked for at opening: whoever has the file open may go on, and loses nothing."""
    with start(path, 0, "wait") as child:
        assert child.stdout is not None
        first = child.stdout.readline().strip()
        for file in path.parent.iterdir():
            file.chmod(0o444)
        output, errors = child.communicate("\n", timeout=100)
    lines = [first, *output.splitlines()]
    for file in path.parent.iterdir():
        file.chmod(0o644)

    assert child.returncode == 0, errors
    assert lines[-1] == "closed"
    assert_whole(path, acknowledged(lines))


def test_a_clock_set_back_between_two_answers_makes_neither_disappear(path: Path):
    """Values are from the last answer written; freshness counts from the latest moment known."""
    with closing(Store.open(path)) as store:
        with time_machine.travel(noon(3600), tick=False):
            write(store, result("1", [parcel("1", "FIRST")], at=noon(3600), pages=[page(b"1")]))
        with time_machine.travel(NOON, tick=False):
            write(store, result("1", [parcel("1", "SECOND")], at=noon(), pages=[page(b"2")]))
            (fresh,) = store.freshness({"maricopa_assessor": ["1"]}).values()

    with closing(Store.open(path)) as store:
        assert list(fresh.checked_at) == [noon(3600).timestamp()]
        assert store.rows("SELECT owner_name, collected_at FROM parcels") == [
            {"owner_name": "SECOND", "collected_at": noon()}
        ]
        assert store.rows("SELECT checked_at FROM freshness ORDER BY ALL") == [
            {"checked_at": noon()},
            {"checked_at": noon(3600)},
        ]
        assert store.rows("SELECT count(*) AS n FROM payloads") == [{"n": 2}]
        assert store.duplicates() == {}


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_is_moved_while_it_is_open_is_written_no_more(
    tmp_path: Path, *, is_replaced: bool
):
    """Nobody would find what goes there; what it holds can be read, and put back it is as it was."""
    path, elsewhere = tmp_path / "a.duckdb", tmp_path / "b.duckdb"
    with closing(Store.open(path)) as store:
        write(store, result("before", [parcel("before")]))
        path.rename(elsewhere)
        if is_replaced:
            path.write_bytes(b"another")

        with pytest.raises(StoreError, match="was moved, deleted or replaced while it was open"):
            store.writer.submit(
                lambda connection: connection.execute("DELETE FROM parcels")
            ).result()

        assert store.rows("SELECT apn FROM parcels") == [{"apn": "before"}]
        elsewhere.replace(path)
    with closing(Store.open(path)) as store:
        assert store.rows("SELECT apn FROM parcels") == [{"apn": "before"}]
