"""The breaker: a source that is down is left alone, probed, and given up. Time is a number here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propkit.breaker import Breaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(failures=3, seconds=10, seconds_max=30, probes=3, clock=clock)


def fail(breaker: Breaker, times: int) -> list[bool]:
    return [breaker.leave(breaker.try_enter(), "unavailable") for _ in range(times)]


def test_it_opens_after_so_many_failures_in_a_row(breaker: Breaker):
    """The third failure opens it; it says so once."""
    assert fail(breaker, 3) == [False, False, True]
    assert (breaker.is_open, breaker.try_enter(), breaker.wait_seconds) == (True, "no", 10)


@pytest.mark.parametrize("answer", [None, "invalid_answer", "layout_changed", "rejected"])
def test_an_answer_of_any_kind_starts_the_count_anew(breaker: Breaker, answer: str | None):
    """A bad answer is an answer: the source is not down."""
    fail(breaker, 2)
    breaker.leave("yes", answer)

    assert fail(breaker, 2) == [False, False]
    assert not breaker.is_open


def test_one_probe_goes_at_a_time_and_closes_it_when_it_goes_well(breaker: Breaker, clock: Clock):
    """While it is under way nobody else may enter; what was under way before says nothing."""
    late = breaker.try_enter()
    fail(breaker, 3)
    clock.now += 10
    entries = [breaker.try_enter(), breaker.try_enter()]
    was_moved = breaker.leave(late, None)

    assert (entries, was_moved, breaker.is_open) == (["probe", "no"], False, True)
    assert breaker.leave("probe", None)
    assert (breaker.is_open, breaker.try_enter(), breaker.failures) == (False, "yes", 0)


def test_each_probe_in_vain_doubles_the_pause_until_it_is_given_up(breaker: Breaker, clock: Clock):
    """10, 20 and at most 30 seconds; after three probes nobody may enter."""
    fail(breaker, 3)
    waits = [breaker.wait_seconds]
    for _ in range(3):
        clock.now += breaker.wait_seconds
        breaker.leave(breaker.try_enter(), "timeout")
        waits.append(breaker.wait_seconds)
    clock.now += 1000

    assert waits == [10, 20, 30, 30]
    assert (breaker.is_given_up, breaker.try_enter()) == (True, "no")


def test_rearmed_it_is_probed_at_once(breaker: Breaker, clock: Clock):
    """Somebody asks for more: one probe tells whether the source is back."""
    fail(breaker, 3)
    for _ in range(3):
        clock.now += breaker.wait_seconds
        breaker.leave(breaker.try_enter(), "timeout")
    breaker.rearm()

    assert breaker.try_enter() == "probe"


def test_a_cancelled_probe_lets_the_next_one_in(breaker: Breaker, clock: Clock):
    """A cancel proves nothing, and blocks nothing."""
    fail(breaker, 3)
    clock.now += 10
    breaker.leave(breaker.try_enter(), "cancelled")

    assert breaker.try_enter() == "probe"


def test_an_earlier_run_is_gone_on_with(breaker: Breaker, clock: Clock):
    """Opened before, it is open for the rest of the time, and then probed."""
    breaker.resume(5, 7.0)
    first = (breaker.try_enter(), breaker.wait_seconds)
    clock.now += 7

    assert first == ("no", 7.0)
    assert breaker.try_enter() == "probe"


def test_a_good_answer_is_told_of_only_where_the_source_was_left_alone(breaker: Breaker):
    """Else every item would say that its source answers again."""
    assert [breaker.leave("yes", None), breaker.leave("yes", "not_found")] == [False, False]


def test_a_source_that_has_come_back_begins_anew(breaker: Breaker, clock: Clock):
    """The pauses of an earlier trouble lengthen none of the next, and its probes are forgotten."""
    fail(breaker, 3)
    for _ in range(2):
        clock.now += breaker.wait_seconds
        breaker.leave(breaker.try_enter(), "timeout")
    clock.now += breaker.wait_seconds + 5
    waited = breaker.wait_seconds
    breaker.leave(breaker.try_enter(), None)

    assert fail(breaker, 3) == [False, False, True]
    assert (waited, breaker.wait_seconds, breaker.is_given_up) == (0.0, 10, False)


def test_failures_of_an_earlier_run_count_on(breaker: Breaker):
    """One less than enough, and the next opens it; just enough, and it is open at once."""
    breaker.resume(2, 0.0)
    was_open = breaker.is_open
    opened = fail(breaker, 1)
    other = Breaker(failures=3, seconds=10, seconds_max=30, probes=3, clock=lambda: 0.0)
    other.resume(3, 1000.0)

    assert (was_open, opened) == (False, [True])
    assert (other.try_enter(), other.wait_seconds) == ("no", 30)


@given(st.lists(st.sampled_from([None, "unavailable", "timeout", "invalid_answer", "cancelled"])))
def test_a_closed_breaker_never_saw_so_many_failures_in_a_row(outcomes: list[str | None]):
    """Whatever happens: it is open exactly when the last real outcomes were enough failures."""
    breaker = Breaker(failures=3, seconds=10, seconds_max=30, probes=3, clock=lambda: 0.0)
    row = 0
    for outcome in outcomes:
        entry = breaker.try_enter()
        if entry == "no":
            break
        breaker.leave(entry, outcome)
        if outcome in {"unavailable", "timeout"}:
            row += 1
        elif outcome != "cancelled":
            row = 0

    assert breaker.is_open == (row >= 3)
