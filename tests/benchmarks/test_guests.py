"""What the guests scenario reckons with, and the parcels that it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from propkit.frames import table_frame
from propkit.records import Parcel
from propkit.store import Store
from tests.benchmarks import tables, targets
from tests.benchmarks.guests import count_lost, make_parcels, p95


@pytest.mark.parametrize(
    ("values", "expected"), [([7.0], 7.0), (list(range(20, 0, -1)), 19), (list(range(101)), 95)]
)
def test_p95_is_what_95_in_100_do_not_exceed(values: list[float], expected: float) -> None:
    assert p95(values) == expected


def test_lost_and_doubled_items_are_counted() -> None:
    stored = [["whole", 400, 400], ["short", 398, 398], ["twice", 401, 400], ["other", 5, 5]]

    assert count_lost(["whole"], stored, 400) == (0, 0)
    assert count_lost(["whole", "short", "twice", "absent"], stored, 400) == (402, 1)


def test_parcels_fill_every_column(tmp_path: Path) -> None:
    """All that an answer can state."""
    make_parcels(tmp_path / "parcels.duckdb", 1000)

    store = Store.open(tmp_path / "parcels.duckdb")
    try:
        frame = table_frame(store, "parcels")
    finally:
        store.close()

    assert len(frame) == frame["apn"].nunique() == 1000
    assert frame.columns[frame.isna().any()].tolist() == list(Parcel.noted)


def test_guests_are_judged_by_what_they_wait_for() -> None:
    median: dict[str, Any] = {"writes": 20, "six_writes": 30, "frames": 5, "columns": 32} | {
        "delays": 20,
        "delay_ms": 800.0,
        "delay_p95_ms": 1010.0,
        "delay_most_ms": 1020.0,
        "write_rows": 400,
        "write_ms": 25.0,
        "write_p95_ms": 30.0,
        "six_ms": 100.0,
        "six_p95_ms": 250.1,
        "owner_frame_ms": 40.0,
        "guest_frame_ms": 79.0,
        "frame_ratio": 1.975,
        "takeovers": 1,
        "takeover_ms": 900.0,
    }
    found = {"entries": [{"contender": "guests", "median": median}]}

    checks = targets.check_guests(found)

    assert [(check.value, check.is_met) for check in checks] == [
        (25.0, True),
        (1.975, True),
        (250.1, False),
        (1.02, True),
        (0.9, True),
    ]
    assert tables.guests_table(found)[2] == "| write of 400 rows, one guest | 20 | 25.0 | 30.0 |"
    assert targets.check_guests({"entries": []}) == []
