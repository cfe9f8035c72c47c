"""Batches in the store: made, found, requeued, cancelled, and marked when their process died."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from propkit.errors import RequestError
from propkit.items import Item, State
from propkit.store import Store
from propkit.store.batches import (
    LogEntry,
    count_items,
    create_batch,
    pending_ids,
    read_head,
    read_items,
    set_state,
    write_log,
)
from propkit.store.jobs import read_job
from propkit.store.parcel_facts import ParcelTally, read_tallies
from propkit.store.requeueing import cancel_waiting, requeue_failed, skip_collected
from tests.store.made import ASSESSOR, RECORDER, batch_of, noon, result, write

if TYPE_CHECKING:
    from pathlib import Path


def states(store: Store, batch: str) -> dict[str, str]:
    return {item.key: item.state.value for item in read_items(store, batch)}


def ended_batch(store: Store) -> str:
    """Store a batch with one item of each end and one that waits."""
    batch = batch_of(store, "done", "late", "wall", "none", "waiting")
    write(
        store,
        result("done", batch_id=batch),
        result("late", batch_id=batch, at=None, state=State.FAILED, failure_class="timeout"),
        result("wall", batch_id=batch, at=None, state=State.FAILED, failure_class="blocked"),
        result("none", batch_id=batch, state=State.NOT_FOUND),
    )
    return batch


def test_what_waits_for_its_turn_comes_by_priority_and_age(store: Store):
    """By the most urgent item that waits; who waits long enough overtakes, so that none starves."""
    ranks = {"low": 3, "high": 1, "normal": 2, "as high": 1, "running": 0}
    made = {}
    for name, rank in ranks.items():
        made[batch_of(store, name, "late", priority=rank)] = name
        set_state(store, list(made)[-1], "running" if name == "running" else "pending")
    now = datetime.now(UTC)

    def order(at: datetime, ageing_seconds: float) -> list[str]:
        return [made[batch_id] for batch_id in pending_ids(store, ageing_seconds, at)]

    assert order(now, 1e9) == ["high", "as high", "normal", "low"]
    assert order(now, 1e-9) == ["low", "high", "normal", "as high"]


def test_a_new_batch_leaves_nothing_in_memory(store: Store, monkeypatch: pytest.MonkeyPatch):
    """Its rows go with the call that made them, and what Arrow had for them goes back."""
    pool, given_back = pa.default_memory_pool(), []

    class Pool:
        @staticmethod
        def release_unused() -> None:
            given_back.append(pa.total_allocated_bytes())
            pool.release_unused()

    monkeypatch.setattr(pa, "default_memory_pool", Pool)
    before = pa.total_allocated_bytes()  # what other tests have left

    batch_of(store, *map(str, range(12_000)))

    (left,) = given_back
    assert left <= before


def test_a_batch_is_read_as_it_was_made(store: Store):
    """Head and items come back whole, in the order of the plan."""
    items = [
        Item(source=RECORDER, key="b", sequence=1, priority=2),
        Item(source=ASSESSOR, key="a", apn="a", state=State.SKIPPED, error="fresh: 1 h ago"),
    ]
    before = datetime.now(UTC)
    batch = create_batch(store, items, kind="collect", criteria={"sources": [ASSESSOR]}).batch_id

    head = read_head(store, batch)

    assert (head.batch_id, head.number, head.kind, head.state, head.criteria) == (
        batch,
        1,
        "collect",
        "running",
        {"sources": [ASSESSOR]},
    )
    assert before <= head.created_at <= datetime.now(UTC)
    assert (head.started_at, head.completed_at, head.error) == (head.created_at, None, None)
    assert read_items(store, batch) == [items[1], items[0]]


def test_a_batch_is_found_by_id_by_number_and_as_the_last(store: Store):
    """Numbers count from 1; they are understood as a number and as the command line gives them."""
    first, second = batch_of(store, "1"), batch_of(store, "1")

    found = [read_head(store, name).batch_id for name in (first, 1, "1", second, 2, "last")]

    assert found == [first, first, first, second, second, second]


@pytest.mark.parametrize("name", ["nonsense", "20260101-000000-abcd", 7, "8", 0, -1, "", 10**30])
def test_an_unknown_batch_is_named(store: Store, name: str | int):
    """A batch that is not there is an error that repeats the name."""
    batch_of(store, "1")

    with pytest.raises(RequestError, match=f"no batch {name!r} in test.duckdb"):
        read_head(store, name)


@pytest.mark.parametrize("name", [True, 1.5, None, ["1"]])
def test_what_is_no_name_of_a_batch_is_refused(store: Store, name: Any):
    """A flag counts as a number in Python, and would be the first batch."""
    batch_of(store, "1")

    said = f"a batch is named by its id, its number or 'last', not by {name!r}"
    with pytest.raises(RequestError, match=f"^{re.escape(said)}$"):
        read_head(store, name)


def test_there_is_no_last_batch_in_a_new_store(store: Store):
    """Without any batch the last one is unknown too."""
    with pytest.raises(RequestError, match="no batch 'last'"):
        read_head(store, "last")


def test_a_batch_without_items_is_a_batch(store: Store):
    """A plan with nothing due leaves a trace."""
    batch = create_batch(store, [], kind="collect", criteria={}).batch_id

    assert read_items(store, batch) == []
    assert store.rows("SELECT total, done, waiting FROM batches") == [
        {"total": 0, "done": 0, "waiting": 0}
    ]


def test_batches_count_their_items_by_state(store: Store):
    """The view counts what the items say; partial is a part of done."""
    batch = ended_batch(store)
    write(store, result("done", batch_id=batch, missing=("residences",)))

    assert store.rows(
        "SELECT total, waiting, done, partial, not_found, failed, cancelled, skipped FROM batches"
    ) == [
        {
            "total": 5,
            "waiting": 1,
            "done": 1,
            "partial": 1,
            "not_found": 1,
            "failed": 2,
            "cancelled": 0,
            "skipped": 0,
        }
    ]


def test_a_state_is_written_with_its_time_and_log(store: Store):
    """An end has a time and a reason; going on again takes the time away."""
    batch = batch_of(store, "1")
    before = [LogEntry(event="note", message="a captcha", source=ASSESSOR)]
    set_state(store, batch, "paused", error="a captcha", entries=before)
    paused = read_head(store, batch)
    write_log(
        store, batch, [LogEntry(event="note", message="look at it", level="warning")]
    ).result()
    set_state(store, batch, "running", log="batch resumed")

    running = read_head(store, batch)

    assert (paused.state, paused.error) == ("paused", "a captcha")
    assert paused.completed_at is not None
    assert (running.state, running.error, running.completed_at) == ("running", None, None)
    assert store.rows(
        "SELECT batch_id, level, message FROM batch_logs ORDER BY logged_at, rowid"
    ) == [
        {"batch_id": batch, "level": level, "message": message}
        for level, message in [
            ("info", "batch made"),
            ("info", "a captcha"),
            ("info", "batch paused"),
            ("warning", "look at it"),
            ("info", "batch resumed"),
        ]
    ]


def test_what_ran_when_its_process_died_is_interrupted(path: Path):
    """Reopening marks running batches, and only those; their items still wait."""
    store = Store.open(path)
    ended, running = batch_of(store, "1"), batch_of(store, "1", "2")
    write(store, result("1", batch_id=ended), result("1", batch_id=running))
    set_state(store, ended, "completed")
    store.close()

    again = Store.open(path)
    found = {name: (read_head(again, name).state, states(again, name)) for name in (ended, running)}
    again.close()

    assert found == {
        ended: ("completed", {"1": "done"}),
        running: ("interrupted", {"1": "done", "2": "waiting"}),
    }


def test_a_second_opener_interrupts_nothing(store: Store, path: Path):
    """A batch that runs in this process goes on when the file is opened again here."""
    batch = batch_of(store, "1")

    second = Store.open(path)
    state = read_head(second, batch).state
    second.close()

    assert state == "running"


@pytest.mark.parametrize(
    ("only", "waiting"),
    [
        (None, {"late", "wall", "waiting"}),
        (["timeout"], {"late", "waiting"}),
        (["timeout", "blocked"], {"late", "wall", "waiting"}),
        (["other"], {"waiting"}),
    ],
)
def test_failed_items_are_requeued(store: Store, only: list[str] | None, waiting: set[str]):
    """A retry takes up failures, all or those of some classes, and forgets what was wrong."""
    batch, other = ended_batch(store), ended_batch(store)

    requeue_failed(store, batch, {}, only)

    items = {item.key: item for item in read_items(store, batch)}
    assert {key for key, item in items.items() if item.state is State.WAITING} == waiting
    assert {(items[key].failure_class, items[key].ended_at) for key in waiting} == {(None, None)}
    assert items["done"].state is State.DONE
    assert states(store, other)["late"] == "failed"


FIRST, SECOND = ASSESSOR, "light"


def item_of(source: str, key: str, state: str, failure_class: str | None = None) -> Item:
    return Item(
        source=source,
        key=key,
        apn=key,
        state=State(state),
        failure_class=failure_class,
        replaced_by=SECOND if source == FIRST and failure_class else None,
    )


def two_ways(store: Store) -> str:
    """Store a batch of which the first way failed for each key, named by what the second did."""
    states = ["done", "not_found", "skipped", "waiting", "cancelled", "failed"]
    seconds = [item_of(SECOND, s, s, "timeout" if s == "failed" else None) for s in states]
    items = [item_of(FIRST, state, "failed", "blocked") for state in states]
    return create_batch(store, [*items, *seconds], kind="collect", criteria={}).batch_id


@pytest.mark.parametrize(
    ("only", "again", "second"),
    [
        (None, {"waiting", "cancelled", "failed"}, {}),
        (["blocked"], {"waiting", "cancelled", "failed"}, {}),
        (["timeout"], {"failed"}, {"waiting": "waiting", "cancelled": "cancelled"}),
        (["other"], set(), {"waiting": "waiting", "cancelled": "cancelled", "failed": "failed"}),
    ],
)
def test_what_a_second_way_has_delivered_is_not_requeued(
    store: Store, only: list[str] | None, again: set[str], second: dict[str, str]
):
    """Where it has not, the first way begins anew, and what the second came to is forgotten."""
    batch = two_ways(store)

    requeue_failed(store, batch, {FIRST: [SECOND]}, only)

    items = read_items(store, batch)
    first = {
        item.key: (item.state.value, item.replaced_by) for item in items if item.source == FIRST
    }
    kept = {"done": "done", "not_found": "not_found", "skipped": "skipped", **second}
    assert {item.key: item.state.value for item in items if item.source == SECOND} == kept
    assert first == {
        **dict.fromkeys(again, ("waiting", None)),
        **dict.fromkeys(kept, ("failed", SECOND)),
    }


@pytest.mark.parametrize(
    ("third", "only", "expected"),
    [
        ("done", None, [("failed", SECOND), ("failed", RECORDER), ("done", None)]),
        ("failed", ["timeout"], [("waiting", None)]),
        ("failed", ["rejected"], [("failed", SECOND), ("failed", RECORDER), ("failed", None)]),
        ("waiting", ["blocked"], [("waiting", None)]),
    ],
)
def test_the_first_of_three_ways_begins_anew_where_the_last_has_not_delivered(
    store: Store, third: str, only: list[str] | None, expected: list[tuple[str, str | None]]
):
    """Whichever of them failed with the class that is asked for."""
    last = item_of(RECORDER, "1", third, "timeout" if third == "failed" else None)
    second = replace(item_of(SECOND, "1", "failed", "unavailable"), replaced_by=RECORDER)
    items = [item_of(FIRST, "1", "failed", "blocked"), second, last]
    batch = create_batch(store, items, kind="collect", criteria={}).batch_id

    requeue_failed(store, batch, {FIRST: [SECOND, RECORDER]}, only)

    found = {item.source: (item.state.value, item.replaced_by) for item in read_items(store, batch)}
    assert [found[name] for name in (FIRST, SECOND, RECORDER) if name in found] == expected


def test_a_second_way_that_two_share_is_forgotten_for_both_or_none(store: Store):
    """Nobody is left replaced by an item that is gone."""
    other = replace(item_of(FIRST, "1", "failed", "rejected"), source=RECORDER)
    items = [
        item_of(FIRST, "1", "failed", "blocked"),
        other,
        item_of(SECOND, "1", "failed", "timeout"),
    ]
    batch = create_batch(store, items, kind="collect", criteria={}).batch_id

    requeue_failed(store, batch, {FIRST: [SECOND], RECORDER: [SECOND]}, ["blocked"])

    assert [(i.source, i.state.value, i.replaced_by) for i in read_items(store, batch)] == [
        (FIRST, "waiting", None),
        (RECORDER, "failed", None),
    ]


def test_what_a_second_way_has_collected_meanwhile_is_skipped(store: Store):
    """Only where it gives all that is wanted, and has given it since."""
    batch, other = (batch_of(store, *["new", "old", "partial", "none"]) for _ in range(2))
    write(
        store,
        result("new", source=SECOND, batch_id=other),
        result("old", source=SECOND, batch_id=other, at=noon(-60)),
        result("partial", source=SECOND, batch_id=other, missing=("sales",)),
    )
    options = {"since": noon(-30), "rolls": [], "keyed": {}}

    skip_collected(store, batch, **options, ways={FIRST: []})
    before = states(store, batch)
    skip_collected(store, batch, **options, ways={FIRST: [SECOND]})

    assert set(before.values()) == {"waiting"}
    assert states(store, batch) == {**before, "new": "skipped"}


def test_what_another_way_delivered_counts_once(store: Store):
    """In the views, by source and by parcel; the first way's item stays as it ended."""
    batch = two_ways(store)

    (counted,) = store.rows("SELECT * EXCLUDE (criteria, created_at, started_at) FROM batches")
    (job,) = store.rows("SELECT total, processed, success_count, error_count FROM batch_jobs")
    told = read_job(store, batch)
    tallies = read_tallies(store, batch)

    names = ["total", "waiting", "done", "partial", "not_found", "failed", "cancelled", "skipped"]
    assert [counted[name] for name in [*names, "replaced"]] == [6, 1, 1, 0, 1, 1, 1, 1, 6]
    assert job == {"total": 6, "processed": 5, "success_count": 3, "error_count": 1}
    assert (told.total, told.processed, told.success_count, told.error_count) == (6, 5, 3, 1)
    assert told.error_details == {"replaced": {"blocked": 6}, "failures": {"timeout": 1}}
    assert tallies == {state: ParcelTally(apn=state, **{state: 1}) for state in tallies}
    assert len(tallies) == 6
    assert count_items(store, batch)[0] == (FIRST, "replaced", 6)
    assert {i.failure_class for i in read_items(store, batch, f"source = '{FIRST}'")} == {"blocked"}


def test_cancelling_takes_what_waits(store: Store):
    """Only waiting items of this batch are cancelled; what ended keeps its end."""
    batch, other = ended_batch(store), ended_batch(store)

    cancel_waiting(store, batch)

    assert states(store, batch) == {
        "done": "done",
        "late": "failed",
        "wall": "failed",
        "none": "not_found",
        "waiting": "cancelled",
    }
    assert read_items(store, batch)[4].failure_class == "cancelled"
    assert states(store, other)["waiting"] == "waiting"


def test_active_is_what_running_batches_still_have_to_collect(store: Store):
    """Ended items and batches that do not run leave their keys to others."""
    running, paused = batch_of(store, "1", "2"), batch_of(store, "3")
    write(store, result("1", batch_id=running, at=noon()))
    set_state(store, paused, "paused")

    assert store.active({ASSESSOR: ["1", "2", "3"]}) == {(ASSESSOR, "2"): running}
