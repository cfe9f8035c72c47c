"""Pruning: what is old and explains nothing goes, everything else stays."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from propkit.store.batches import set_state
from propkit.store.retention import Pruning, measure_pruning, prune
from tests.store.made import NOON, batch_of, bodies, noon, page, parcel, result, write

if TYPE_CHECKING:
    from propkit.store import Store

DAY = 86_400
LEFT = {
    "fetches": "SELECT key, page, fetched_at FROM fetches ORDER BY ALL",
    "freshness": "SELECT key, checked_at FROM freshness ORDER BY ALL",
    "batch_logs": "SELECT message FROM batch_logs WHERE message LIKE 'log%' ORDER BY ALL",
    "records": "SELECT apn, owner_name FROM parcels ORDER BY ALL",
    "items": "SELECT count(*) FROM items",
    "batches": "SELECT count(*) FROM batch_heads",
}


def left(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    rows = {name: [tuple(row.values()) for row in store.rows(sql)] for name, sql in LEFT.items()}
    return {"payloads": [(body,) for body in bodies(store)], **rows}


def log(store: Store, batch: str, day: int) -> None:
    row = [batch, noon(day * DAY), f"log of {batch} on day {day}"]
    store.writer.submit(
        lambda connection: connection.execute(
            "INSERT INTO batch_logs BY NAME SELECT ? AS batch_id, ? AS logged_at,"
            " 'info' AS level, ? AS message",
            row,
        )
    ).result(timeout=60)


def answered(key: str, day: int, body: bytes, name: str = "parcel") -> Any:
    at = noon(day * DAY)
    pages = [page(body, name=name, at=at)]
    return result(key, [parcel(key, f"OWNER {day}")], at=at, pages=pages)


@pytest.fixture
def filled(store: Store) -> dict[str, str]:
    """Fill the store with answers of days 0, 10 and 20; give the batches by state."""
    write(
        store,
        answered("1", 0, b"first of 1"),
        answered("1", 0, b"other page of 1", name="sales"),
        answered("2", 0, b"only one of 2"),
        answered("3", 0, b"\xff\x00"),
        answered("4", 0, b"the same"),
    )
    write(
        store,
        answered("1", 10, b"second of 1"),
        answered("3", 10, b"second of 3"),
        answered("4", 10, b"the same"),
    )
    write(store, answered("1", 20, b"third of 1"))
    batches = {}
    for state in ("completed", "interrupted"):
        batches[state] = batch_of(store, "1")
        for day in (0, 20):
            log(store, batches[state], day)
        set_state(store, batches[state], state)
    return batches


def test_pruning_keeps_the_newest_answer_and_what_it_says(store: Store, filled: dict[str, str]):
    """Of each key and page the last fetch stays with its body; what lies between goes."""
    before = left(store)

    measured = measure_pruning(store, timedelta(days=5), noon(20 * DAY))
    untouched = left(store)
    done = prune(store, measured)

    assert untouched == before
    assert (measured.payloads, measured.fetches, measured.freshness) == (3, 4, 5)
    # The finished batch was logged as made and as completed, too.
    assert (measured.log_rows, measured.payload_bytes) == (3, 10 + 11 + 2)
    assert done.rows == measured.rows
    assert (done.is_done, measured.is_done) == (True, False)
    finished, unfinished = filled["completed"], filled["interrupted"]
    assert left(store) == before | {
        "payloads": [
            (body,)
            for body in (
                b"only one of 2",
                b"other page of 1",
                b"second of 3",
                b"the same",
                b"third of 1",
            )
        ],
        "fetches": [
            ("1", "parcel", noon(20 * DAY)),
            ("1", "sales", noon(0)),
            ("2", "parcel", noon(0)),
            ("3", "parcel", noon(10 * DAY)),
            ("4", "parcel", noon(10 * DAY)),
        ],
        "freshness": [
            ("1", noon(20 * DAY)),
            ("2", noon(0)),
            ("3", noon(10 * DAY)),
            ("4", noon(10 * DAY)),
        ],
        "batch_logs": sorted(
            [
                (f"log of {finished} on day 20",),
                (f"log of {unfinished} on day 0",),
                (f"log of {unfinished} on day 20",),
            ]
        ),
    }


def test_pruning_twice_frees_nothing_more(store: Store, filled: dict[str, str]):
    """The second time there is nothing left to free, and nothing changes."""
    measured = measure_pruning(store, timedelta(0), noon(30 * DAY))
    prune(store, measured)
    once = left(store)

    again = prune(store, measured)

    assert again.rows == dict.fromkeys(again.rows, 0)
    assert left(store) == once


def test_an_empty_store_is_pruned_to_an_empty_store(store: Store):
    """Nothing is measured and nothing is wrong."""
    done = prune(store, measure_pruning(store, timedelta(days=1), NOON))

    assert done.rows == dict.fromkeys(
        ["payloads", "fetches", "freshness", "batch_logs", "evidence"], 0
    )
    assert done.payload_bytes == 0


def test_what_was_written_last_stays_though_the_clock_went_back(store: Store):
    """The values are from the last answer; its body stays as well as the one dated later."""
    write(store, answered("1", 5, b"dated later"))
    write(store, answered("1", 0, b"written later"))

    prune(store, measure_pruning(store, timedelta(0), noon(30 * DAY)))

    assert left(store)["payloads"] == [(b"dated later",), (b"written later",)]


def test_an_answer_that_comes_meanwhile_is_kept(store: Store, filled: dict[str, str]):
    """What is measured is judged anew: a body that is the newest answer again does not go."""
    measured = measure_pruning(store, timedelta(days=5), noon(20 * DAY))
    store.writer.put(answered("1", 21, b"first of 1"))  # the oldest body has come back

    prune(store, measured)

    assert (b"first of 1",) in left(store)["payloads"]
    assert store.rows("FROM fetches ANTI JOIN payloads USING (sha256)") == []


def test_a_pruning_says_what_goes_and_what_stays():
    """The text and the frame have every table."""
    pruning = Pruning(
        older_than=NOON,
        payloads=1200,
        payload_bytes=5_000_000,
        fetches=1300,
        freshness=7,
        log_rows=0,
        evidence=2,
        kept={"payloads": 1, "fetches": 2, "freshness": 3, "batch_logs": 4, "evidence": 5},
    )

    assert str(pruning) == repr(pruning)
    assert str(pruning).splitlines() == [
        "Pruning what is older than 2026-11-22 12:00 UTC would free:",
        "  payloads: 1,200 rows (5,000,000 bytes); 1 stay",
        "  fetches: 1,300 rows; 2 stay",
        "  freshness: 7 rows; 3 stay",
        "  batch_logs: 0 rows; 4 stay",
        "  evidence: 2 rows; 5 stay",
        "  records, their history, batches, items and the newest answer of each key stay",
    ]
    assert pruning.frame().to_dict("records") == [
        {"table": "payloads", "freed": 1200, "kept": 1, "freed_bytes": 5_000_000},
        {"table": "fetches", "freed": 1300, "kept": 2, "freed_bytes": 0},
        {"table": "freshness", "freed": 7, "kept": 3, "freed_bytes": 0},
        {"table": "batch_logs", "freed": 0, "kept": 4, "freed_bytes": 0},
        {"table": "evidence", "freed": 2, "kept": 5, "freed_bytes": 0},
    ]
