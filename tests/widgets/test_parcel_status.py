"""How a parcel stands, decided from counts."""

from __future__ import annotations

import pytest

from propkit.store.parcel_facts import ParcelTally
from propkit.widgets.parcel_status import judge_collected


@pytest.mark.parametrize(
    ("counts", "is_running", "is_on_roll", "status"),
    [
        ({"waiting": 2}, True, True, "queued"),
        ({"waiting": 1, "done": 1}, True, True, "active"),
        ({"waiting": 1, "failed": 1}, True, True, "active"),
        ({"waiting": 2}, False, True, "cancelled"),
        ({"done": 1, "cancelled": 1}, False, True, "cancelled"),
        ({"done": 2}, True, True, "complete"),
        ({"done": 2, "partial": 1}, False, True, "partial"),
        ({"done": 2, "failed": 1}, False, True, "failed"),
        ({"failed": 1, "cancelled": 1}, False, True, "failed"),
        ({"done": 1, "not_found": 1}, False, True, "complete"),
        ({"done": 1, "not_found": 1}, False, False, "no_data"),
        ({"not_found": 2}, False, True, "no_data"),
        ({"skipped": 2}, False, True, "fresh"),
        ({"skipped": 1, "done": 1}, False, True, "complete"),
    ],
)
def test_a_parcel_of_a_batch(
    counts: dict[str, int], is_running: bool, is_on_roll: bool, status: str
) -> None:
    tally = ParcelTally(apn="12345678", **counts)

    assert judge_collected(tally, is_running=is_running, is_on_roll=is_on_roll) == status
