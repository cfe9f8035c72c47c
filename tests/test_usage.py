"""What a run may ask, to the last request; and what it has asked."""

from __future__ import annotations

import pytest

from propkit.errors import BudgetSpentError, CollectionCancelledError
from propkit.usage import Cap, Usage


def test_the_last_request_of_a_cap_is_sent_and_no_other():
    """A cap of three lets three through; what was refused is neither sent nor counted."""
    usage = Usage(caps=[Cap(3), Cap(100)])
    for _ in range(3):
        usage.spend()
    with pytest.raises(BudgetSpentError, match="the cap of 3 requests is reached"):
        usage.spend()

    assert usage.requests == 3
    assert [cap.spent for cap in usage.caps] == [3, 3]


def test_a_cap_is_enough_for_exactly_what_it_leaves():
    """All caps count, and one that is shared is spent by everybody."""
    shared = Cap(5)
    mine, others = Usage(caps=[shared, Cap(10)]), Usage(caps=[shared])
    others.count(2)

    assert (mine.is_enough_for(3), mine.is_enough_for(4)) == (True, False)


def test_what_others_have_sent_counts_as_often_as_they_sent_it():
    """A browser tells of several requests at once, and of those that were refused."""
    usage = Usage(caps=[Cap(10)])
    usage.count(4, refused=3)
    usage.count(1, refused=1)

    assert (usage.requests, usage.refused, usage.caps[0].spent) == (5, 4, 5)


def test_once_a_run_was_stopped_nothing_more_is_sent():
    """Not even where a cap leaves room, and nothing is counted."""
    usage = Usage(should_stop=lambda: True)
    with pytest.raises(CollectionCancelledError):
        usage.spend()

    assert usage.requests == 0
