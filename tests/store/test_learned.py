"""What runs learn and the next ones begin with: paces, breakers, coverage."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from propkit.sections import CollectSettings
from propkit.store import Store
from propkit.store.coverage import read_coverage, save_coverage
from propkit.store.paces import (
    BreakerState,
    PaceState,
    read_breakers,
    read_paces,
    save_breakers,
    save_paces,
)
from propkit.traffic import Traffic
from tests.store.made import ASSESSOR, TREASURER, noon

if TYPE_CHECKING:
    from pathlib import Path


def test_the_last_pace_of_each_host_outlives_the_process(path: Path):
    """A host has one row: the last that was saved; the others keep theirs."""
    slow = PaceState(host="a", requests_per_second=1.5, updated_at=noon())
    fast = PaceState(
        host="a",
        requests_per_second=9.0,
        knee_per_second=10.0,
        paused_until=noon(60),
        updated_at=noon(5),
    )
    other = PaceState(host="b", requests_per_second=2.0, updated_at=noon())
    with closing(Store.open(path)) as store:
        assert read_paces(store) == {}
        save_paces(store, [slow, other])
        save_paces(store, [slow, fast])
        save_paces(store, []).result(timeout=60)

    with closing(Store.open(path)) as store:
        assert read_paces(store) == {"a": fast, "b": other}
        assert len(store.rows("FROM paces")) == 2


def test_breakers_are_kept_by_source(store: Store):
    """A source has one row, open or closed."""
    broken = BreakerState(source=ASSESSOR, failures=5, open_until=noon(60), updated_at=noon())
    whole = BreakerState(source=ASSESSOR, failures=0, updated_at=noon(9))
    other = BreakerState(source=TREASURER, failures=1, updated_at=noon())

    save_breakers(store, [broken, other])
    save_breakers(store, [whole]).result(timeout=60)

    assert read_breakers(store) == {ASSESSOR: whole, TREASURER: other}


def test_only_what_was_learned_is_saved(store: Store):
    """A host that is asked as it was from the start tells the next process nothing."""
    settings = CollectSettings()
    traffic = Traffic(store)
    slowed, _ = (
        traffic.pace(host, 5.0, 1, is_learned=False, settings=settings) for host in ("a", "b")
    )
    broken, _ = (traffic.breaker(source, settings) for source in (ASSESSOR, TREASURER))
    traffic.save()
    store.writer.flush().result(timeout=60)
    at_first = [*read_paces(store), *read_breakers(store)]
    slowed.pause(60)
    broken.leave("yes", "unavailable")
    traffic.save()
    store.writer.flush().result(timeout=60)

    assert at_first == []
    assert [*read_paces(store), *read_breakers(store)] == ["a", ASSESSOR]


def test_coverage_is_replaced_by_source_and_parser(store: Store):
    """A column that is learned no more goes; another parser version's coverage stays."""
    old = {(ASSESSOR, 1): {"parcels": {"owner_name": (9, 9)}}}
    new = {(ASSESSOR, 2): {"parcels": {"owner_name": (3, 2), "mcr": (3, 0)}}}
    newer = {(ASSESSOR, 2): {"parcels": {"owner_name": (4, 3)}, "sales": {"sale_price": (1, 1)}}}

    for coverage in (old, new, newer):
        save_coverage(store, coverage).result(timeout=60)

    assert read_coverage(store) == old | newer
