"""The queues of a run: who is asked for next, and whom all others wait for."""

from __future__ import annotations

import asyncio

from propkit.batch_run import SourceGuard
from propkit.batch_run.queues import Queues, first_parcels
from propkit.items import Item, State

ROLL = {"parcels": ("owner_name",)}


def item(key: str, **more: object) -> Item:
    return Item(**{"source": "s", "key": key, "apn": key, "priority": 1, **more})  # type: ignore[arg-type]


def popped(queues: Queues, source: str = "s") -> list[str]:
    """Return the keys that wait at a source, in the order in which they are taken."""
    keys = []
    while (taken := queues.pop(source)) is not None:
        keys.append(taken.key)
    return keys


def test_the_most_urgent_goes_first_and_equals_in_their_order():
    """Canaries before everything; each source has a line of its own."""
    queues = Queues(["s", "t"], {"s": SourceGuard({}, {"canary": ("summary", ROLL)})})
    ranks = {"low": 3, "high": 1, "critical": 0, "higher": 1, "canary": 3}
    for key, rank in ranks.items():
        queues.push(item(key, priority=rank))
    queues.push(item("other", source="t"))

    assert popped(queues) == ["canary", "critical", "high", "higher", "low"]
    assert (queues.is_empty("s"), queues.is_empty("t")) == (True, False)
    assert popped(queues, "t") == ["other"]


def test_while_a_canary_is_asked_all_others_wait():
    """Until it is answered, or will not be asked in this run."""
    guard = SourceGuard({}, {"a": ("summary", ROLL), "b": ("summary", ROLL)})
    queues = Queues(["s"], {"s": guard})
    queues.push(item("plain"))
    before = queues.has_next("s")
    queues.push(item("a"))
    with_canary = queues.has_next("s")
    queues.pop("s")
    asked = queues.has_next("s")
    guard.excuse("a")
    queues.hold_back(item("b"))

    assert (before, with_canary, asked) == (False, True, False)
    assert queues.has_next("s")
    assert popped(queues) == ["plain"]
    assert not queues.has_next("s")


def test_an_item_is_new_once():
    """Whoever asks for it; what an answer asks for besides comes after everything known."""
    queues = Queues(["s", "t"], {})
    is_new = [
        queues.take_note(one)
        for one in (item("a", sequence=4), item("a"), item("a", source="t"), item("b", sequence=2))
    ]

    assert is_new == [True, False, True, True]
    assert queues.next_sequence == 5


async def test_who_waits_at_a_source_hears_of_what_comes():
    """And waits on where nothing did: what came before is no news."""
    queues = Queues(["s", "t"], {})
    queues.push(item("before"))
    waiters = [asyncio.create_task(queues.wait("s")) for _ in range(2)]
    await asyncio.sleep(0)
    queues.push(item("elsewhere", source="t"))
    await asyncio.sleep(0)
    early = [waiter.done() for waiter in waiters]
    queues.push(item("here"))
    await asyncio.wait_for(asyncio.gather(*waiters), 10)

    assert early == [False, False]


def test_a_run_works_on_the_most_urgent_parcels_that_wait():
    """All items of a parcel are one of its number; what has ended takes no place."""
    items = [
        item("ended", state=State.DONE, sequence=0),
        item("late", sequence=4),
        item("bill", apn="first", sequence=2),
        item("first", sequence=1),
        item("deed", apn=None, sequence=3),
        item("urgent", priority=0, sequence=5),
    ]

    assert first_parcels(items, 3) == {"urgent", "first", "deed"}
    assert first_parcels(items, None) is None
