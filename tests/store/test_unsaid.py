"""No absent value takes the place of a good one unless the source says that it is absent."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from propkit.record_block import RecordBlock
from propkit.records import Document, Parcel, Sale, TaxPayment, column_names
from propkit.store import Store
from tests.store.made import result, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from propkit.records import Record
    from propkit.store import Result

both_ways = pytest.mark.parametrize("is_one_group", [True, False], ids=["one group", "two groups"])
COLUMNS = ("owner_name", "situs_city", "lot_size_sqft")


def answer(*records: Record, unsaid: dict[str, set[str]], key: str = "1") -> Result:
    frozen = {table: frozenset(columns) for table, columns in unsaid.items()}
    return replace(result(key, records), unsaid=frozen)


def by_column(given: Result) -> Result:
    """Return an answer as a block; a column without any value is left out."""
    columns: dict[type[Record], dict[str, list[Any]]] = {}
    for kind in dict.fromkeys(map(type, given.records)):
        rows = [record for record in given.records if type(record) is kind]
        held = {name: [getattr(row, name) for row in rows] for name in column_names(kind)}
        columns[kind] = {name: some for name, some in held.items() if set(some) != {None}}
    return replace(given, records=RecordBlock(columns))


def write_all(store: Store, answers: list[Result], *, is_one_group: bool) -> None:
    for group in [answers] if is_one_group else [[each] for each in answers]:
        write(store, *group)


def values(store: Store, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in store.rows(sql)]


@both_ways
@pytest.mark.parametrize("is_block", [False, True], ids=["one by one", "by column"])
def test_what_is_left_unsaid_stays(store: Store, is_one_group: bool, is_block: bool):
    """An absent value takes nothing away in an unsaid column, and does in every other."""
    first = Parcel(
        apn="1", county="maricopa", owner_name="SMITH", situs_city="MESA", lot_number="7"
    )
    second = Parcel(apn="1", county="maricopa", owner_name=None, situs_city=None, lot_number="8")

    answers = [
        answer(first, unsaid={}),
        answer(second, unsaid={"parcels": {"owner_name", "lot_number"}}),
    ]
    if is_block:
        answers = [by_column(each) for each in answers]

    write_all(store, answers, is_one_group=is_one_group)

    assert values(store, "SELECT owner_name, situs_city, lot_number FROM parcels") == [
        ("SMITH", None, "8")
    ]


@both_ways
def test_a_list_that_is_left_unsaid_stays(store: Store, is_one_group: bool):
    """An empty list is what an answer without the field is read as; said, it empties."""
    first = Document(recording_number="1", names=("SMITH",), document_codes=("WAR DEED",))
    second = Document(recording_number="1", page_count=2)
    unsaid = {"documents": {"names"}}

    write_all(
        store,
        [answer(first, unsaid={}), answer(second, unsaid=unsaid)],
        is_one_group=is_one_group,
    )

    assert values(store, "SELECT names, document_codes, page_count FROM documents") == [
        (["SMITH"], [], 2)
    ]


@both_ways
def test_an_absent_part_of_an_identity_keeps_too(store: Store, is_one_group: bool):
    """A sale without a date is told from others and keeps its price."""
    first = Sale(apn="1", recording_number="9", sale_price=5)  # type: ignore[arg-type]
    other = Sale(apn="1", recording_number="8", sale_price=6)  # type: ignore[arg-type]

    write_all(
        store,
        [
            answer(first, other, unsaid={}),
            answer(Sale(apn="1", recording_number="9"), unsaid={"sales": {"sale_price"}}),
        ],
        is_one_group=is_one_group,
    )

    assert values(store, "SELECT recording_number, sale_price FROM sales ORDER BY ALL") == [
        ("8", 6),
        ("9", 5),
    ]


@pytest.mark.parametrize("cuts", [(3,), (1, 2, 3), (1, 3)], ids=["one", "each", "last two"])
def test_a_row_that_went_away_brings_nothing_back(store: Store, cuts: tuple[int, ...]):
    """The second payment goes with the second answer: the third knows nothing of its amount."""
    one, two = (TaxPayment(apn="1", tax_year=2025, number=n, amount=n) for n in (1, 2))  # type: ignore[arg-type]
    bare = [replace(row, amount=None) for row in (one, two)]
    unsaid = {"tax_payments": {"amount"}}
    answers = [
        answer(one, two, unsaid={}),
        answer(one, unsaid=unsaid),
        answer(*bare, unsaid=unsaid),
    ]

    for begin, end in pairwise((0, *cuts)):
        write(store, *answers[begin:end])

    assert values(store, "SELECT number, amount FROM tax_payments ORDER BY ALL") == [
        (1, 1),
        (2, None),
    ]


def test_results_of_one_group_leave_different_things_unsaid(store: Store):
    """What one answer leaves unsaid does not excuse another's absent value."""
    full = [Parcel(apn=apn, county="c", owner_name="A", situs_city="B") for apn in "123"]
    bare = [Parcel(apn=apn, county="c") for apn in "123"]
    write(store, *[result(each.apn, [each]) for each in full])

    write(
        store,
        answer(bare[0], unsaid={"parcels": {"owner_name"}}, key="1"),
        answer(bare[1], unsaid={"parcels": {"situs_city", "no_such_column"}}, key="2"),
        answer(bare[2], unsaid={"sales": {"sale_price"}}, key="3"),
    )

    assert values(store, "SELECT apn, owner_name, situs_city FROM parcels ORDER BY ALL") == [
        ("1", "A", None),
        ("2", None, "B"),
        ("3", None, None),
    ]


# Of a few parcels and payments, so that answers meet; what an answer says of each column.
SAID = st.sampled_from([None, 1, 2])
UNSAID = st.frozensets(st.sampled_from(COLUMNS))
PARCELS = st.dictionaries(st.sampled_from("12"), st.tuples(SAID, SAID, SAID), max_size=2)
PAYMENTS = st.dictionaries(st.integers(1, 3), SAID, max_size=3)
ANSWERS = st.lists(
    st.tuples(PARCELS, UNSAID, PAYMENTS, st.booleans(), st.booleans()), min_size=1, max_size=6
)


@pytest.fixture(scope="module")
def shared() -> Iterator[Store]:
    """Give one store for all examples; opening a file for each would take minutes."""
    with tempfile.TemporaryDirectory() as folder, closing(Store.open(Path(folder, "s.db"))) as one:
        yield one


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(answers=ANSWERS, cuts=st.lists(st.booleans(), min_size=6, max_size=6))
def test_the_last_statement_stands(shared: Store, answers: list[Any], cuts: list[bool]):
    """Whatever is said in whatever groups: the last value, or the last absence that was meant.

    It is the same whether records come one by one or by whole columns.
    """
    for table in ("parcels", "tax_payments"):
        shared.writer.submit(lambda c, table=table: c.execute(f"DELETE FROM {table}")).result()
    parcels: dict[str, tuple[Any, ...]] = {}
    paid: dict[int, Any] = {}
    group: list[Result] = []
    for (said, unsaid, payments, is_open, is_block), is_cut in zip(answers, cuts, strict=False):
        records: list[Record] = []
        for apn, (owner, city, size) in said.items():
            texts = [None if each is None else str(each) for each in (owner, city)]
            new = (*texts, size)
            old = parcels.get(apn, (None,) * 3)
            parcels[apn] = tuple(
                old[place] if new[place] is None and column in unsaid else new[place]
                for place, column in enumerate(COLUMNS)
            )
            row = dict(zip(COLUMNS, new, strict=True))
            records.append(Parcel(apn=apn, county="c", **row))
        if payments:
            paid = {
                number: paid.get(number) if amount is None and is_open else amount
                for number, amount in payments.items()
            }
            records += [
                TaxPayment(apn="1", tax_year=2025, number=number, amount=amount)
                for number, amount in payments.items()
            ]
        open_columns = {"parcels": set(unsaid), "tax_payments": {"amount"} if is_open else set()}
        given = answer(*records, unsaid=open_columns)
        group.append(by_column(given) if is_block else given)
        if is_cut:
            write(shared, *group)
            group = []
    write(shared, *group)

    found = values(shared, f"SELECT apn, {', '.join(COLUMNS)} FROM parcels ORDER BY ALL")
    assert found == sorted((apn, *row) for apn, row in parcels.items())
    assert values(shared, "SELECT number, amount FROM tax_payments ORDER BY ALL") == sorted(
        paid.items()
    )
    assert shared.duplicates() == {}
