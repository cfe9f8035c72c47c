"""The one writer: groups, replacing, appending, and what a failed commit leaves."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from concurrent.futures import CancelledError
from contextlib import closing
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from propkit.errors import RequestError, StoreError
from propkit.items import Item, State
from propkit.records import Document, Parcel, Sale, TaxPayment
from propkit.store import Store, writer
from propkit.store.batches import read_items
from propkit.store.memory import Memory
from propkit.store.results import write_results
from propkit.store.writer import GROUP_ITEMS, Writer
from tests.store.made import (
    ASSESSOR,
    RECORDER,
    TREASURER,
    batch_of,
    bodies,
    noon,
    page,
    parcel,
    payments,
    result,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from propkit.store import Result

no_clock = pytest.mark.usefixtures("no_clock")
both_ways = pytest.mark.parametrize("is_one_group", [True, False], ids=["one group", "two groups"])


def write_all(store: Store, results: list[Result], *, is_one_group: bool) -> None:
    for group in [results] if is_one_group else [[each] for each in results]:
        write(store, *group)


def wait_for(is_so: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)


def rows(store: Store, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in store.rows(sql)]


# --- groups -----------------------------------------------------------------------------------


@no_clock
@pytest.mark.parametrize(
    ("results", "groups"), [(1, 1), (GROUP_ITEMS, 1), (GROUP_ITEMS + 1, 2), (2 * GROUP_ITEMS, 2)]
)
def test_results_are_committed_in_groups_of_400(store: Store, results: int, groups: int):
    """A group is one commit, and so is what held the writer up; a flush is none."""
    before, goes_on = store.writer.commits, threading.Event()
    held_up = store.writer.submit(lambda _: goes_on.wait(60))

    for number in range(results):
        store.writer.put(result(str(number)))
    flushed = store.writer.flush()
    goes_on.set()
    flushed.result(timeout=60)

    assert held_up.result(timeout=60)
    assert store.writer.commits - before == groups + 1
    assert rows(store, "SELECT count(*) FROM freshness") == [(results,)]


@no_clock
def test_three_quarters_of_a_group_are_committed_without_being_asked(store: Store):
    """The 300th result ends the group; the 301st waits for more."""
    before, enough = store.writer.commits, GROUP_ITEMS * 3 // 4

    for number in range(enough):
        store.writer.put(result(str(number)))
    wait_for(lambda: store.writer.pending == 0)
    store.writer.put(result(str(enough)))

    assert store.writer.commits == before + 1
    assert rows(store, "SELECT count(*) FROM freshness") == [(enough,)]


@no_clock
def test_no_more_than_a_group_is_uncommitted_before_it_is_full(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    """What is just being committed counts: a crash would cost it too."""
    begun, goes_on = threading.Event(), threading.Event()

    def write_later(*args: Any) -> None:
        begun.set()
        assert goes_on.wait(60)
        write_results(*args)

    monkeypatch.setattr(writer, "write_results", write_later)
    enough = GROUP_ITEMS * 3 // 4
    for number in range(enough):
        store.writer.put(result(str(number)))
    assert begun.wait(60)

    seen = []
    for number in range(enough, GROUP_ITEMS):
        seen.append((store.writer.pending, store.writer.is_full))
        store.writer.put(result(str(number)))
    assert seen == [(number, False) for number in range(enough, GROUP_ITEMS)]
    assert (store.writer.pending, store.writer.is_full) == (GROUP_ITEMS, True)
    waiting, given_up = store.writer.room(), store.writer.room()
    given_up.cancel()
    assert not waiting.done()
    goes_on.set()
    waiting.result(timeout=60)
    assert store.writer.pending == GROUP_ITEMS - enough
    store.writer.flush().result(timeout=60)

    assert (store.writer.pending, store.writer.is_full) == (0, False)
    assert store.writer.room().done()
    assert rows(store, "SELECT count(*) FROM freshness") == [(GROUP_ITEMS,)]


def test_who_waits_for_room_is_let_go_when_the_store_is_closed(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    """What fills the writer may come after its last commit, when nobody makes room any more."""
    monkeypatch.setattr(Writer, "is_full", property(lambda _: True))
    waiting = store.writer.room()
    assert not waiting.done()

    store.close()

    assert waiting.result(timeout=60) is None
    assert store.writer.room().done()


def test_a_body_is_found_by_its_sha256_whatever_its_size(store: Store):
    sizes = (0, 1, 2047, 2048, 4095, 2**17 - 1, 2**17, 2**17 + 1)
    made = [(bytes(range(251)) * 600)[:size] for size in sizes]

    write(store, result("1", pages=[page(body, name=str(len(body))) for body in made]))

    digests = [hashlib.sha256(body).hexdigest() for body in made]
    assert store.bodies(digests) == dict(zip(digests, made, strict=True))


def test_a_small_group_is_committed_by_the_clock(store: Store, monkeypatch: pytest.MonkeyPatch):
    """A lone result does not wait for 399 others."""
    monkeypatch.setattr(writer, "GROUP_SECONDS", 0.05)
    before = store.writer.commits

    store.writer.put(result("1"))
    wait_for(lambda: store.writer.commits > before)

    assert rows(store, "SELECT key FROM freshness") == [("1",)]


def test_a_group_is_as_old_as_its_first_result(store: Store, monkeypatch: pytest.MonkeyPatch):
    """Results that keep coming do not put a group's commit off."""
    monkeypatch.setattr(writer, "GROUP_SECONDS", 0.2)
    before = store.writer.commits

    deadline = time.monotonic() + 60
    while store.writer.commits == before and time.monotonic() < deadline:
        store.writer.put(result("1"))
        time.sleep(0.1)  # well below the clock, so that a clock set anew would never run out

    assert store.writer.commits > before


@no_clock
def test_closing_commits_what_is_pending(path: Path):
    """Nothing that was put is lost by closing."""
    store = Store.open(path)
    store.writer.put(result("1", [parcel("1", "SMITH")]))
    store.close()

    again = Store.open(path)
    kept = rows(again, "SELECT apn, owner_name FROM parcels")
    again.close()

    assert kept == [("1", "SMITH")]


# --- replacing --------------------------------------------------------------------------------


@no_clock
@both_ways
def test_the_last_answer_wins(store: Store, is_one_group: bool):
    """Of two answers about one parcel the later stands, whole: what it leaves out is absent."""
    full = Parcel(apn="1", county="maricopa", owner_name="OLD", situs_city="MESA")

    write_all(
        store,
        [result("1", [full]), result("1", [parcel("1", "NEW")], at=noon(9), source=TREASURER)],
        is_one_group=is_one_group,
    )

    assert rows(store, "SELECT apn, owner_name, situs_city, source, collected_at FROM parcels") == [
        ("1", "NEW", None, TREASURER, noon(9))
    ]


@no_clock
@both_ways
def test_a_newer_answer_replaces_its_scope_and_nothing_else(store: Store, is_one_group: bool):
    """A tax year's payments shrink to what the newer page says; other years and parcels stay."""
    first = [*payments("1", 2025, 10, 20, 30), *payments("1", 2024, 40)]

    write_all(
        store,
        [
            result("1", first),
            result("2", payments("2", 2025, 50, 60)),
            result("1", payments("1", 2025, 11), at=noon(9)),
        ],
        is_one_group=is_one_group,
    )

    assert rows(store, "SELECT apn, tax_year, number, amount FROM tax_payments ORDER BY ALL") == [
        ("1", 2024, 1, Decimal("40.00")),
        ("1", 2025, 1, Decimal("11.00")),
        ("2", 2025, 1, Decimal("50.00")),
        ("2", 2025, 2, Decimal("60.00")),
    ]
    assert store.duplicates() == {}


@no_clock
@both_ways
def test_two_equal_payments_on_one_day_stay_two(store: Store, is_one_group: bool):
    """The number tells equal payments apart, also when the page is read again."""
    day = date(2025, 10, 1)
    twice = [
        TaxPayment(apn="1", tax_year=2025, number=number, paid_on=day, amount=Decimal("12.34"))
        for number in (1, 2)
    ]

    write_all(store, [result("1", twice)] * 2, is_one_group=is_one_group)

    assert rows(store, "SELECT number, paid_on, amount FROM tax_payments ORDER BY number") == [
        (1, day, Decimal("12.34")),
        (2, day, Decimal("12.34")),
    ]


@no_clock
@both_ways
def test_an_absent_part_of_an_identity_is_a_value_like_any_other(store: Store, is_one_group: bool):
    """A sale without date and a document without suffix are replaced, not doubled."""
    day = date(2020, 5, 1)
    answers = [
        [
            Sale(apn="1", sold_on=None, sale_price=Decimal(price)),
            Sale(apn="1", sold_on=day, sale_price=Decimal(price)),
            Document(recording_number="20200000001", names=(str(price),)),
            Document(recording_number="20200000001", suffix="A", names=(str(price),)),
        ]
        for price in (1, 2)
    ]

    write_all(store, [result("1", answer) for answer in answers], is_one_group=is_one_group)

    assert rows(store, "SELECT sold_on, recording_number, sale_price FROM sales ORDER BY ALL") == [
        (day, None, Decimal("2.00")),
        (None, None, Decimal("2.00")),
    ]
    assert rows(store, "SELECT suffix, names FROM documents ORDER BY ALL") == [
        ("A", ["2"]),
        (None, ["2"]),
    ]
    assert store.duplicates() == {}


@no_clock
def test_an_identity_twice_in_one_answer_is_stored_once(store: Store):
    """A page that lists a row twice leaves one, the last."""
    write(store, result("1", [parcel("1", "FIRST"), parcel("1", "SECOND")]))

    assert rows(store, "SELECT owner_name FROM parcels") == [("SECOND",)]


# --- payloads, fetches, freshness -------------------------------------------------------------


@no_clock
@both_ways
@pytest.mark.parametrize(
    "body",
    [b'{"Owner": "Mu\xc3\xb1oz"}', b"", b"a\x00b", b"\x89PNG\xff\x00", b"long" * 2**20],
    ids=["text", "empty", "zero", "bytes", "larger than a block"],
)
def test_a_payload_is_stored_once_and_exactly(store: Store, body: bytes, is_one_group: bool):
    """The same body is kept once under its sha256, byte for byte."""
    digest = hashlib.sha256(body).hexdigest()

    write_all(
        store,
        [result(key, pages=[page(body), page(body, name="again")]) for key in "12"],
        is_one_group=is_one_group,
    )

    assert rows(store, "SELECT sha256, length FROM payloads") == [(digest, len(body))]
    assert store.bodies([digest, "0" * 64]) == {digest: body}
    assert rows(store, "SELECT key, page, sha256 FROM fetches ORDER BY ALL") == [
        (key, name, digest) for key in "12" for name in ("again", "parcel")
    ]


@no_clock
@both_ways
def test_fetches_are_only_ever_appended(store: Store, is_one_group: bool):
    """A second answer to a key leaves the first one's fetch, each with its own time and body."""
    write_all(
        store,
        [
            result("1", pages=[page(b"old", at=noon(1))]),
            result("1", pages=[page(b"new", at=noon(2))], batch_id="b2"),
        ],
        is_one_group=is_one_group,
    )

    assert rows(store, "FROM fetches ORDER BY fetched_at") == [
        (ASSESSOR, "1", "1", "parcel", "http://localhost/parcel", 200, "application/json",
         noon(seconds), hashlib.sha256(body).hexdigest(), 1, batch)
        for seconds, batch, body in [(1, "b1", b"old"), (2, "b2", b"new")]
    ]  # fmt: skip
    assert bodies(store) == [b"new", b"old"]


@no_clock
def test_only_an_answer_makes_a_key_fresh(store: Store):
    """Done and not found are answers, a failure is none; the ledger keeps every one."""
    write(
        store,
        result("1"),
        result("1", at=noon(9), missing=("residences",)),
        result("2", state=State.NOT_FOUND),
        result("3", at=None, state=State.FAILED, failure_class="timeout"),
    )

    assert rows(store, "SELECT * FROM freshness ORDER BY key, checked_at") == [
        (ASSESSOR, "1", noon(0), True, []),
        (ASSESSOR, "1", noon(9), True, ["residences"]),
        (ASSESSOR, "2", noon(0), False, []),
    ]


# --- items ------------------------------------------------------------------------------------


@no_clock
def test_an_item_ends_in_its_own_batch_only(store: Store):
    """The same key in two batches is two items."""
    first, second = batch_of(store, "1", "2"), batch_of(store, "1")

    write(
        store,
        result(
            "1",
            batch_id=first,
            state=State.FAILED,
            failure_class="blocked",
            error="a captcha",
            attempts=3,
            started_at=noon(1),
            ended_at=noon(2),
            at=None,
        ),
    )

    assert read_items(store, first) == [
        Item(
            source=ASSESSOR,
            key="1",
            apn="1",
            sequence=0,
            state=State.FAILED,
            attempts=3,
            failure_class="blocked",
            error="a captcha",
            started_at=noon(1),
            ended_at=noon(2),
        ),
        Item(source=ASSESSOR, key="2", apn="2", sequence=1),
    ]
    assert read_items(store, second) == [Item(source=ASSESSOR, key="1", apn="1")]


@no_clock
@both_ways
def test_a_follow_up_may_end_in_the_group_that_makes_it(store: Store, is_one_group: bool):
    """Follow-ups are items of the batch: one still waits, one has its own answer already."""
    batch = batch_of(store, "1")
    waiting = Item(source=RECORDER, key="d1", apn="1", sequence=1)
    ended = Item(source=RECORDER, key="d2", apn="1", sequence=2)

    write_all(
        store,
        [
            result("1", batch_id=batch, follow_ups=[waiting, ended]),
            result("d2", batch_id=batch, source=RECORDER, state=State.NOT_FOUND),
        ],
        is_one_group=is_one_group,
    )

    assert [(item.key, item.state) for item in read_items(store, batch)] == [
        ("1", State.DONE),
        ("d1", State.WAITING),
        ("d2", State.NOT_FOUND),
    ]


# --- failing ----------------------------------------------------------------------------------


def no_county() -> Parcel:
    return Parcel(apn="9", county=None)  # type: ignore[arg-type]


def too_much_money() -> Sale:
    return Sale(apn="9", sale_price=Decimal(10) ** 13)


def no_number_at_all() -> Sale:
    return Sale(apn="9", sale_price="much")  # type: ignore[arg-type]


def no_utf8() -> Parcel:
    return Parcel(apn="9", county="maricopa", owner_name="\ud800")


@no_clock
@pytest.mark.parametrize("make_record", [no_county, too_much_money, no_number_at_all, no_utf8])
def test_a_record_that_no_table_takes_fails_its_own_item_only(
    path: Path, make_record: Callable[[], Parcel | Sale]
):
    """Nothing of it is stored but its page; the rest of its group is."""
    store = Store.open(path)
    batch = batch_of(store, "1", "2", "9")
    write(store, result("1", [parcel("1", "SMITH")], batch_id=batch, pages=[page(b"1")]))
    store.writer.put(result("2", [parcel("2", "DOE")], batch_id=batch, pages=[page(b"2")]))
    bad = [parcel("9", "ROE"), make_record()]
    store.writer.put(result("9", bad, batch_id=batch, pages=[page(b"9")]))

    store.writer.flush().result(timeout=60)
    store.close()

    with closing(Store.open(path)) as again:
        assert rows(again, "SELECT owner_name FROM parcels ORDER BY ALL") == [("DOE",), ("SMITH",)]
        assert rows(again, "SELECT count(*) FROM sales") == [(0,)]
        assert rows(again, "SELECT key FROM fetches ORDER BY ALL") == [("1",), ("2",), ("9",)]
        assert rows(again, "SELECT key FROM freshness ORDER BY ALL") == [("1",), ("2",)]
        items = {item.key: item for item in read_items(again, batch)}
        assert [items[key].state.value for key in "129"] == ["done", "done", "failed"]
        assert items["9"].failure_class == "invalid_answer"
        assert "cannot be stored" in str(items["9"].error)


@no_clock
def test_a_table_that_vanished_is_a_store_error(store: Store):
    """Whoever tampers with the file is told, and what was stored stays."""
    write(store, result("1", [parcel("1", "SMITH")]))
    store.writer.submit(lambda connection: connection.execute("DROP TABLE freshness")).result()

    store.writer.put(result("2", [parcel("2", "DOE")]))

    with pytest.raises(StoreError, match="freshness"):
        store.writer.flush().result(timeout=60)
    assert rows(store, "SELECT apn FROM parcels") == [("1",)]


class Flaky:
    """A connection whose first commit fails, after it took place or before."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, is_durable: bool) -> None:
        self.connection = connection
        self.is_durable = is_durable

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def execute(self, sql: str, *args: Any) -> Any:
        if sql != "COMMIT":
            return self.connection.execute(sql, *args)
        if self.is_durable:
            self.connection.execute(sql)
        raise duckdb.IOException("no space left on device")


@no_clock
@pytest.mark.parametrize("is_durable", [True, False])
def test_a_commit_of_unknown_outcome_is_looked_up_and_not_doubled(store: Store, is_durable: bool):
    """DuckDB may report a commit as failed that is on the disk: only what is missing is repeated."""
    batch = batch_of(store, "1")
    cursor = store._cursor
    connections = [Flaky(cursor(), is_durable=is_durable)]
    writer = Writer(
        lambda: connections.pop() if connections else cursor(),  # type: ignore[arg-type,return-value]
        Memory(cursor),
        lambda: None,
    )

    writer.put(result("1", [parcel("1", "SMITH")], batch_id=batch, pages=[page(b"1")]))
    writer.flush().result(timeout=60)
    writer.close()

    assert rows(store, "SELECT apn, owner_name FROM parcels") == [("1", "SMITH")]
    assert rows(store, "SELECT key FROM fetches") == [("1",)]
    assert rows(store, "SELECT key FROM freshness") == [("1",)]
    assert [item.state for item in read_items(store, batch)] == [State.DONE]


@no_clock
def test_work_goes_ahead_of_the_results_that_wait(store: Store):
    """It has a commit of its own, before theirs; where it refuses, they are committed all the same."""
    batch = batch_of(store, "1", "2")
    writer, before = store.writer, store.writer.commits

    def refuse(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("INSERT INTO breakers VALUES ('half', 1, NULL, now())")
        raise RequestError("not so")

    def look(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
        return connection.execute("SELECT apn FROM parcels").fetchall()

    writer.put(result("1", [parcel("1", "SMITH")], batch_id=batch))
    ahead = writer.submit(look, is_ahead=True)
    behind = writer.submit(look)
    assert (ahead.result(timeout=60), behind.result(timeout=60)) == ([], [("1",)])
    assert writer.commits == before + 3

    writer.put(result("2", [parcel("2", "JONES")], batch_id=batch))
    with pytest.raises(RequestError, match="not so"):
        writer.submit(refuse, is_ahead=True).result(timeout=60)
    writer.flush().result(timeout=60)

    assert rows(store, "SELECT apn FROM parcels ORDER BY apn") == [("1",), ("2",)]
    assert rows(store, "SELECT source FROM breakers") == []
    assert writer.items == 2


@no_clock
def test_what_waits_is_committed_right_behind_the_work_that_went_ahead(store: Store):
    """Nobody has to ask for it, and nobody waits for the clock."""
    batch = batch_of(store, "1")

    store.writer.put(result("1", [parcel("1", "SMITH")], batch_id=batch))
    store.writer.submit(lambda _: None, is_ahead=True).result(timeout=60)

    wait_for(lambda: rows(store, "SELECT apn FROM parcels") == [("1",)])


def test_work_that_fails_is_rolled_back_and_told(store: Store):
    """A piece of work ends as its future says; the writer goes on with the next.

    With its rows goes what the writer's statements read new ones from, and is made again.
    """

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        new = store.writer.stored.feeds(connection)
        assert connection.execute(f"FROM {new['freshness']}").fetchall() == []
        connection.execute("INSERT INTO breakers VALUES ('half', 1, NULL, now())")
        raise ValueError("stumbled")

    connection = store.writer._connection
    with pytest.raises(StoreError, match="stumbled"):
        store.writer.submit(work).result(timeout=60)

    write(store, result("1"))
    assert store.writer._connection is connection, "a commit failed, and the store was opened again"
    assert rows(store, "SELECT count(*) FROM breakers") == [(0,)]
    assert rows(store, "SELECT key FROM freshness") == [("1",)]


def test_work_whose_future_was_cancelled_is_not_done(store: Store):
    """Nobody waits for it any more; the writer does not stumble over that."""
    may_go = threading.Event()
    store.writer.submit(lambda _: may_go.wait(60))
    unwanted = store.writer.submit(
        lambda connection: connection.execute(
            "INSERT INTO breakers VALUES ('unwanted', 1, NULL, now())"
        )
    )

    was_cancelled = unwanted.cancel()
    may_go.set()
    write(store, result("1"))

    assert was_cancelled
    with pytest.raises(CancelledError):
        unwanted.result()
    assert rows(store, "SELECT count(*) FROM breakers") == [(0,)]


# --- the writer's own knowledge ---------------------------------------------------------------


@no_clock
def test_payloads_of_an_earlier_process_are_not_stored_again(path: Path):
    """What the writer knows of stored bodies it reads from the file when it begins."""
    for number in range(3):
        with closing(Store.open(path)) as store:
            pages = [page(b"the same"), page(f"only {number}".encode()), page(b"\xff")]
            write(store, result("1", pages=pages))
            write(store, result("2", pages=pages))
            assert bodies(store) == [
                *[f"only {n}".encode() for n in range(number + 1)],
                b"the same",
                b"\xff",
            ]
            assert rows(store, "SELECT count(*) FROM payloads") == [(number + 3,)]


@no_clock
def test_a_payload_that_was_rolled_back_is_stored_by_the_next_answer(store: Store):
    """The body of a failed group is known to the writer, and yet not stored: it is looked for."""
    bad = result("9", [no_county()], pages=[page(b"body")])
    write(store, result("1"), bad)
    store.writer.submit(lambda connection: connection.execute("DELETE FROM payloads")).result()

    write(store, result("1", pages=[page(b"body")]))

    assert bodies(store) == [b"body"]


def test_the_writer_keeps_no_result(store: Store):
    """What is committed is let go: memory does not grow with the batch."""
    one = result("1", [parcel("1")], pages=[page(b"body")])
    before = sys.getrefcount(one)

    write(store, one)
    store.writer.submit(lambda _: None).result(timeout=60)

    assert sys.getrefcount(one) == before
