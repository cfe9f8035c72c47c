"""What all who use one store share: one pace a host, one flight an item, and what is taken up."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from propkit import traffic as traffic_module
from propkit.items import Item, State
from propkit.sections import CollectSettings
from propkit.store import Store
from propkit.store.paces import (
    BreakerState,
    PaceState,
    read_paces,
    save_breakers,
    save_paces,
)
from propkit.traffic import Landing, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from propkit.pace import Pace

SETTINGS = CollectSettings()
KEPT = 1 / 1.012
"""Of a limit this share is asked: a little less."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path / "test.duckdb")) as store:
        yield store


def identity(key: str) -> tuple[str, str, str]:
    return ("collect", "assessor", key)


def landing(batch_id: str, key: str, ended_at: datetime) -> Landing:
    item = Item(source="assessor", key=key, state=State.DONE, ended_at=ended_at)
    return Landing(batch_id, item)


def take_up(store: Store, *, is_learned: bool = False, **known: object) -> Pace:
    """Return the pace of a host of 10 requests a second that an earlier process has known."""
    state = PaceState(host="h", **known)  # type: ignore[arg-type]
    save_paces(store, [state]).result(timeout=60)
    return Traffic(store).pace("h", 10, 2, is_learned=is_learned, settings=SETTINGS)


# ---------------------------------------------------------------- what hosts have taught


def test_who_comes_later_to_a_host_can_only_slow_it_down(store: Store):
    """Two sources of one host share its pace: the slower one's; a learned one is left alone."""
    traffic = Traffic(store)
    rates = [
        traffic.pace("h", rate, 2, is_learned=False, settings=SETTINGS).requests_per_second
        for rate in (10, 4, 20)
    ]
    learned = [
        traffic.pace("learned", rate, 2, is_learned=True, settings=SETTINGS).requests_per_second
        for rate in (10, 4)
    ]

    assert rates == pytest.approx([10 * KEPT, 4 * KEPT, 4 * KEPT])
    assert learned == pytest.approx([10 * KEPT, 10 * KEPT])


@pytest.mark.parametrize(
    ("hours", "is_learned", "expected"),
    [(0.5, False, 2.0), (2, False, 10 * KEPT), (2, True, 2.0), (24 * 8, True, 10 * KEPT)],
)
def test_a_rate_is_taken_up_while_it_means_something(
    store: Store, hours: float, expected: float, *, is_learned: bool
):
    """What slowed a known host down for an hour, what was learned of an unknown one for a week."""
    then = datetime.now(UTC) - timedelta(hours=hours)
    known = {"requests_per_second": 2.0, "knee_per_second": 2.5, "updated_at": then}

    pace = take_up(store, is_learned=is_learned, **known)

    assert pace.requests_per_second == pytest.approx(expected)


def test_a_known_host_that_never_refused_is_asked_as_the_settings_say(store: Store):
    """They may have said less when it was asked before."""
    pace = take_up(store, requests_per_second=2.0, updated_at=datetime.now(UTC))

    assert pace.requests_per_second == pytest.approx(10 * KEPT)


def test_a_pause_of_hours_is_kept_however_long_ago_it_began(store: Store):
    """Retry-After may ask for more than the time for which a rate means something."""
    now = datetime.now(UTC)
    pace = take_up(
        store,
        requests_per_second=2.0,
        knee_per_second=2.5,
        paused_until=now + timedelta(hours=1),
        updated_at=now - timedelta(hours=2),
    )

    assert pace.pause_seconds == pytest.approx(3600, abs=60)
    assert pace.requests_per_second == pytest.approx(10 * KEPT)


def test_what_was_learned_in_the_future_is_left_alone(store: Store):
    """The clock was set back: neither a pause nor an open breaker is believed."""
    later = datetime.now(UTC) + timedelta(hours=1)
    broken = BreakerState(source="s", failures=5, open_until=later, updated_at=later)
    save_breakers(store, [broken]).result(timeout=60)

    pace = take_up(
        store, requests_per_second=2.0, knee_per_second=2.5, paused_until=later, updated_at=later
    )

    assert (pace.pause_seconds, pace.requests_per_second) == (0.0, pytest.approx(10 * KEPT))
    assert not Traffic(store).breaker("s", SETTINGS).is_open


def test_a_pause_is_saved_once_though_the_rate_stays(store: Store):
    """A host at its slowest may ask for a pause; what has not changed is not written again."""
    traffic = Traffic(store)
    pace = traffic.pace("h", 1 / 60, 1, is_learned=False, settings=SETTINGS)
    pace.pause(600)
    traffic.save()
    store.writer.flush().result(timeout=60)
    saved = read_paces(store)["h"]
    traffic.save()
    store.writer.flush().result(timeout=60)

    assert saved.paused_until is not None
    assert read_paces(store)["h"] == saved


# ---------------------------------------------------------------- items in work


def test_an_answer_is_shared_with_those_who_were_to_ask_when_it_came(store: Store):
    """Not with a batch that was planned later, nor with the one that asked."""
    traffic, now = Traffic(store), datetime.now(UTC)
    landed = landing("first", "1", now)
    traffic.end(identity("1"), traffic.begin(identity("1"), "first"), landed)

    assert traffic.find(identity("1"), "second", now) is landed
    assert traffic.find(identity("1"), "second", now + timedelta(microseconds=1)) is None
    assert traffic.find(identity("1"), "first", now) is None


async def test_of_a_batch_that_hangs_nobody_waits_for_anything(store: Store):
    """Others wait on for what is in work elsewhere; what hangs may end, and changes nothing."""
    traffic, now = Traffic(store), datetime.now(UTC)
    hangs, goes_on = traffic.begin(identity("1"), "a"), traffic.begin(identity("2"), "b")
    waiter = asyncio.create_task(hangs.wait())
    await asyncio.sleep(0)
    traffic.forget("a")
    await asyncio.wait_for(waiter, 10)
    again = traffic.begin(identity("1"), "c")
    traffic.end(identity("1"), hangs, landing("a", "1", now))

    assert traffic.find(identity("2"), "c", now) is goes_on
    assert traffic.find(identity("1"), "b", now) is again


def test_the_newest_answers_are_remembered(store: Store, monkeypatch: pytest.MonkeyPatch):
    """So many that batches of one moment share them, and no more: a store may be open for weeks."""
    monkeypatch.setattr(traffic_module, "_MOST_REMEMBERED", 3)
    traffic, now = Traffic(store), datetime.now(UTC)
    for key in "12314":
        traffic.end(
            identity(key), traffic.begin(identity(key), "first"), landing("first", key, now)
        )

    found = {key for key in "1234" if traffic.find(identity(key), "second", now)}
    assert found == {"3", "1", "4"}
