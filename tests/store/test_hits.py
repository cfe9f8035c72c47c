"""Hits of searches: the newest answer to a query stands, whole."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from propkit.items import State
from propkit.records import Parcel
from propkit.store.batches import read_items
from tests.store.made import ASSESSOR, batch_of, noon, result, write

if TYPE_CHECKING:
    from propkit.store import Result, Store

FOUND = 'SELECT "by", query, position, apn, owner_name, collected_at FROM hits ORDER BY ALL'


def search(query: str, *apns: str, at: int = 0, **more: Any) -> Result:
    hits = tuple({"apn": apn, "owner_name": "SMITH", "unknown": "x"} for apn in apns)
    one = result(f"owner:{query}", at=noon(at), **more)
    return replace(one, hits=hits, hits_of=("owner", query))


def rows(store: Store) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in store.rows(FOUND)]


@pytest.mark.parametrize("is_one_group", [True, False])
def test_a_newer_answer_replaces_all_hits_of_its_query(store: Store, is_one_group: bool):
    """Positions count from 1; the other query's hits stay, and so does the one by something else."""
    other = replace(search("SMITH", "7"), hits_of=("address", "SMITH"))
    answers = [search("SMITH", "1", "2"), search("DOE", "3"), other, search("SMITH", "2", at=9)]

    for group in [answers] if is_one_group else [[each] for each in answers]:
        write(store, *group)

    assert rows(store) == [
        ("address", "SMITH", 1, "7", "SMITH", noon()),
        ("owner", "DOE", 1, "3", "SMITH", noon()),
        ("owner", "SMITH", 1, "2", "SMITH", noon(9)),
    ]
    assert store.rows("SELECT DISTINCT source, situs_city FROM hits") == [
        {"source": ASSESSOR, "situs_city": None}
    ]


def test_a_search_that_finds_nothing_takes_the_old_hits_away(store: Store):
    """No hits is an answer; an item that is no search says nothing of hits."""
    write(store, search("SMITH", "1"), search("DOE", "3"))

    write(store, search("SMITH"), result("1", state=State.NOT_FOUND))

    assert rows(store) == [("owner", "DOE", 1, "3", "SMITH", noon())]


def test_a_hit_that_no_column_takes_fails_its_own_item_only(store: Store):
    """The older hits of the query stay with it."""
    batch = batch_of(store, "owner:SMITH", "owner:DOE")
    write(store, search("SMITH", "1"))
    bad = replace(
        search("SMITH", "2", batch_id=batch),
        records=(Parcel(apn="9", county=None),),  # type: ignore[arg-type]
    )

    write(store, bad, search("DOE", "3", batch_id=batch))

    assert rows(store) == [
        ("owner", "DOE", 1, "3", "SMITH", noon()),
        ("owner", "SMITH", 1, "1", "SMITH", noon()),
    ]
    assert [item.state for item in read_items(store, batch)] == [State.FAILED, State.DONE]
