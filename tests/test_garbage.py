"""Cycles of dead objects are looked for more rarely while a batch runs, and no longer than that."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from propkit.batch_run.garbage import NEW_OBJECTS, RareSearches
from tests.collecting import quick_kit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from propkit.demo_county import County


@pytest.fixture(autouse=True)
def usual() -> Iterator[tuple[int, int, int]]:
    """Set what Python sets, and restore what was set before the test."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield (700, 10, 10)
    gc.set_threshold(*before)


def test_the_last_of_several_restores_what_was_set(usual: tuple[int, int, int]) -> None:
    searches, rare = RareSearches(), (NEW_OBJECTS, *usual[1:])

    seen = []
    with searches:
        seen.append(gc.get_threshold())
        with searches:
            seen.append(gc.get_threshold())
        seen.append(gc.get_threshold())

    assert seen == [rare, rare, rare]
    assert gc.get_threshold() == usual


@pytest.mark.parametrize("own", [(0, 10, 10), (50_000, 5, 5)], ids=["never", "still rarer"])
def test_who_wants_it_rarer_keeps_it(own: tuple[int, int, int]) -> None:
    gc.set_threshold(*own)
    with RareSearches():
        assert gc.get_threshold() == own
    assert gc.get_threshold() == own


def test_what_somebody_sets_meanwhile_stays() -> None:
    with RareSearches():
        gc.set_threshold(123, 4, 5)
    assert gc.get_threshold() == (123, 4, 5)


def test_a_batch_leaves_it_as_it_was(
    county: County, tmp_path: Path, usual: tuple[int, int, int]
) -> None:
    seen = set()
    with quick_kit(county, tmp_path / "a.duckdb") as kit:
        batch = kit.start(
            county.apns(20), datasets=["parcels"], listener=lambda _: seen.add(gc.get_threshold())
        )
        batch.wait(timeout=60)

    assert seen == {(NEW_OBJECTS, *usual[1:])}
    assert gc.get_threshold() == usual
