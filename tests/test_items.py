"""Items: only drawn moves are possible, the order is a person's, and pauses are bounded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propkit.errors import RequestError
from propkit.items import ENDED, PRIORITIES, Item, RetryPolicy, State, parse_priority

# As drawn in the module's docstring and in the design.
LEGAL = {
    (State.WAITING, State.RUNNING),
    (State.WAITING, State.CANCELLED),
    (State.WAITING, State.SKIPPED),
    (State.RUNNING, State.DONE),
    (State.RUNNING, State.NOT_FOUND),
    (State.RUNNING, State.FAILED),
    (State.RUNNING, State.CANCELLED),
    (State.RUNNING, State.WAITING),
    (State.FAILED, State.WAITING),
    (State.CANCELLED, State.WAITING),
}
ITEM = Item(source="maricopa_assessor", key="13238011")


@pytest.mark.parametrize("after", State)
@pytest.mark.parametrize("before", State)
def test_a_move_is_made_when_it_is_drawn_and_refused_when_not(before: State, after: State):
    """All 49 pairs of states."""
    item = replace(ITEM, state=before)

    if (before, after) in LEGAL:
        assert item.move(after) == replace(item, state=after)
    else:
        with pytest.raises(ValueError, match=f"from {before} to {after}.*13238011"):
            item.move(after)


@given(st.lists(st.sampled_from(State), max_size=12))
def test_no_row_of_moves_leaves_the_drawing(wanted: list[State]):
    """Whatever is tried, in whatever order, each step that was made is a drawn one."""
    item, path = ITEM, [ITEM.state]

    for state in wanted:
        try:
            item = item.move(state, attempts=item.attempts + 1)
        except ValueError:
            continue
        path.append(state)

    assert set(pairwise(path)) <= LEGAL
    assert (item.state, item.attempts) == (path[-1], len(path) - 1)
    assert item.identity == ITEM.identity


def test_a_move_takes_its_facts_along_and_leaves_the_old_item_alone():
    """The item is a value."""
    now = datetime(2026, 11, 22, tzinfo=UTC)
    running = ITEM.move(State.RUNNING, started_at=now)

    failed = running.move(State.FAILED, failure_class="timeout", error="late", attempts=4)

    assert (ITEM.state, running.failure_class) == (State.WAITING, None)
    assert failed == Item(
        source="maricopa_assessor",
        key="13238011",
        state=State.FAILED,
        attempts=4,
        failure_class="timeout",
        error="late",
        started_at=now,
    )


def test_ended_are_the_states_that_stay_by_themselves():
    """Waiting and running go on, all others are ends."""
    assert set(State) - ENDED == {State.WAITING, State.RUNNING}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("missing", [(), ("sales",)])
def test_only_a_done_item_is_partial(state: State, missing: tuple[str, ...]):
    """Partial means done without some tables; a failed item is not half a success."""
    item = replace(ITEM, state=state, missing=missing)

    assert item.is_partial is (state is State.DONE and missing == ("sales",))


def test_priority_goes_before_the_place_in_the_batch():
    """A person's click overtakes, and within a priority first come is first served."""
    given_order = [("low", 0), ("high", 1), ("critical", 3), ("normal", 2), ("critical", 2)]
    items = [replace(ITEM, priority=PRIORITIES[name], sequence=n) for name, n in given_order]

    ordered = sorted(items, key=lambda item: item.order)

    names = {rank: name for name, rank in PRIORITIES.items()}
    assert [(names[item.priority], item.sequence) for item in ordered] == [
        ("critical", 2),
        ("critical", 3),
        ("high", 1),
        ("normal", 2),
        ("low", 0),
    ]


@pytest.mark.parametrize(
    ("name", "rank"), [("critical", 0), ("HIGH", 1), ("Normal", 2), ("low", 3)]
)
def test_a_priority_is_read_by_name_in_any_case(name, rank):
    """Four names, no numbers."""
    assert parse_priority(name) == rank


@pytest.mark.parametrize("name", ["", "urgent", "0", None, 1, ["high"]])
def test_an_unknown_priority_is_refused_with_the_choices(name):
    """The error shows the value and what could have been said."""
    with pytest.raises(RequestError) as caught:
        parse_priority(name)

    expected = f"no priority {name!r}; expected one of critical, high, normal, low"
    assert str(caught.value) == expected


seconds = st.floats(min_value=0, max_value=3600)
policies = st.builds(RetryPolicy, backoff_initial=seconds, backoff_max=seconds)
draws = st.floats(min_value=0, max_value=1)


@given(policies, st.integers(1, 10_000), draws)
def test_a_pause_is_never_longer_than_the_limit(policy: RetryPolicy, attempt: int, draw: float):
    """However many attempts there were (two to their power is too much for a float)."""
    assert 0 <= policy.pause_seconds(attempt, draw) <= policy.backoff_max


@given(policies, st.integers(1, 40), draws)
def test_a_pause_is_drawn_from_nothing_to_the_whole_ceiling(policy, attempt, draw):
    """Full jitter: the draw says which share of the ceiling, 0 and 1 included."""
    ceiling = min(policy.backoff_max, policy.backoff_initial * 2 ** (attempt - 1))

    pause = policy.pause_seconds(attempt, draw)

    assert policy.pause_seconds(attempt, 0.0) == 0
    assert policy.pause_seconds(attempt, 1.0) == pytest.approx(ceiling)
    assert pause == pytest.approx(ceiling * draw)


def test_pauses_double_up_to_the_limit():
    """The defaults, as seconds: half a second doubled to at most 30."""
    policy = RetryPolicy()

    ceilings = [policy.pause_seconds(attempt, 1.0) for attempt in range(1, 9)]

    assert ceilings == [0.5, 1, 2, 4, 8, 16, 30, 30]
