"""Bodies in blocks: packed, found again, and packed anew where little is left."""

from __future__ import annotations

import hashlib
import random
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from propkit.errors import StoreError
from propkit.store import Store
from propkit.store.payloads import BLOCK_BYTES
from propkit.store.retention import measure_pruning, prune
from propkit.store.scopes import HashSet
from tests.store.made import noon, page, parcel, result, write

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def answers(*bodies: bytes, key: str = "1", day: int = 0):
    at = noon(day * DAY)
    pages = [page(body, name=f"page {n}", at=at) for n, body in enumerate(bodies)]
    return result(key, [parcel(key)], at=at, pages=pages)


def blocks(store: Store) -> list[tuple[int, int, int]]:
    """Return the number of each block, the bytes it has and those that are in use."""
    rows = store.rows(
        "SELECT block, size, coalesce(sum(length), 0)::BIGINT AS used FROM payload_blocks"
        " LEFT JOIN payloads USING (block) WHERE part = 0 GROUP BY ALL ORDER BY block"
    )
    return [(row["block"], row["size"], row["used"]) for row in rows]


def test_a_group_is_packed_into_blocks_of_a_megabyte(store: Store):
    """A block takes bodies until it is full; the next one goes on where it ended."""
    sizes = [300_000, 300_000, 500_000, 10, 2 * BLOCK_BYTES, 7]
    bodies = [random.Random(n).randbytes(size) for n, size in enumerate(sizes)]

    write(store, answers(*bodies))
    write(store, answers(b"later", key="2"))

    assert blocks(store) == [
        (0, 1_100_000, 1_100_000),
        (1, 10 + 2 * BLOCK_BYTES, 10 + 2 * BLOCK_BYTES),
        (2, 7, 7),
        (3, 5, 5),
    ]
    everything = [*bodies, b"later"]
    assert store.bodies(map(digest, everything)) == {digest(body): body for body in everything}


def test_alike_answers_take_little_room(store: Store):
    """Answers that differ by little are compressed together, not one by one."""
    form = random.Random(1).randbytes(10_000)

    write(store, *(answers(form + str(n).encode(), key=str(n)) for n in range(100)))

    (row,) = store.rows("SELECT sum(octet_length(body))::BIGINT AS n FROM payload_blocks")
    assert 10_000 < row["n"] < 30_000


def test_pruning_drops_empty_blocks_and_packs_sparse_ones_anew(store: Store):
    """What is left of blocks that hold little comes together into one; full ones stay."""
    full = random.Random(1).randbytes(BLOCK_BYTES)
    write(store, answers(b"gone", key="1"))
    write(store, answers(b"kept a", key="2"), answers(b"gone too", key="3"))
    write(store, answers(full, key="4"))
    write(store, answers(b"new of 1", key="1", day=9), answers(b"new of 3", key="3", day=9))

    done = prune(store, measure_pruning(store, timedelta(days=5), noon(10 * DAY)))

    assert (done.payloads, done.payload_bytes) == (2, len(b"gone") + len(b"gone too"))
    assert blocks(store) == [(2, BLOCK_BYTES, BLOCK_BYTES), (4, 22, 22)]
    kept = [b"kept a", b"new of 1", b"new of 3", full]
    assert store.bodies(map(digest, [*kept, b"gone"])) == {digest(body): body for body in kept}

    write(store, answers(b"new of 2", key="2", day=11))
    assert store.bodies([digest(b"new of 2")]) == {digest(b"new of 2"): b"new of 2"}


def test_pruning_when_nothing_is_left_of_any_block(store: Store):
    """The last payload goes with its block, and the next one finds its place."""
    write(store, answers(b"gone"))
    store.writer.submit(lambda connection: connection.execute("DELETE FROM fetches")).result()

    prune(store, measure_pruning(store, timedelta(0), noon(DAY)))
    write(store, answers(b"gone", key="2"))

    assert blocks(store) == [(0, 4, 4)]
    assert store.bodies([digest(b"gone")]) == {digest(b"gone"): b"gone"}


def test_a_damaged_block_is_named(store: Store):
    """Bytes that cannot be read again are no empty answer."""
    write(store, answers(b"body"))
    store.writer.submit(
        lambda connection: connection.execute("UPDATE payload_blocks SET body = 'x'::BLOB")
    ).result()

    with pytest.raises(StoreError, match=r"^block 0 of payloads cannot be read: "):
        store.bodies([digest(b"body")])


def test_nothing_is_asked_of_a_closed_store(path: Path):
    """A closed store says so."""
    store = Store.open(path)
    store.close()

    with pytest.raises(StoreError, match="is closed"):
        store.bodies([digest(b"body")])


@given(
    stored=st.lists(st.integers(0, 50)),
    groups=st.lists(st.lists(st.integers(0, 50), unique=True, max_size=9), max_size=9),
)
def test_a_hash_set_knows_what_was_there(stored: list[int], groups: list[list[int]]):
    """Each group is told what was there before it, be it from the file or an earlier group."""
    known = set(stored)
    hashes = HashSet(np.array(stored, np.uint64))
    for group in groups:
        was_there = hashes.add(np.array(group, np.uint64))
        assert was_there.tolist() == [value in known for value in group]
        known.update(group)
