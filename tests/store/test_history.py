"""What the records said before: each change is kept, and each moment can be asked for."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from propkit.frames import table_frame
from propkit.items import State
from propkit.record_block import Emptied
from propkit.records import (
    RECORD_TYPES,
    Document,
    Improvement,
    Parcel,
    Record,
    Residence,
    Sale,
    TaxBill,
    TaxLevy,
    TaxPayment,
)
from propkit.store.history import read_as_of, read_changes
from tests.store.made import ASSESSOR, RECORDER, TREASURER, noon, parcel, payments, result, write

if TYPE_CHECKING:
    from datetime import datetime

    import pandas as pd

    from propkit.store import Store

EXAMPLES = int(os.environ.get("PROPKIT_HISTORY_EXAMPLES", "2"))
ORDERS = {table: ", ".join(kind.identity) for table, kind in RECORD_TYPES.items()}


def told(frame: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    """Return a frame's rows, of these columns only, absent values as None."""
    some = frame[list(columns)] if columns else frame
    rows = some.astype(object).where(some.notna(), None).itertuples(index=False, name=None)
    return [tuple(row) for row in rows]


def stands(store: Store, table: str) -> list[tuple[Any, ...]]:
    """Return a table's rows as they stand now, without when they were confirmed last."""
    frame = store.frame(
        f"SELECT * EXCLUDE (collected_at, unchanged_since) FROM {table} ORDER BY {ORDERS[table]}"
    )
    return plain(frame)


def stood(store: Store, table: str, moment: datetime) -> list[tuple[Any, ...]]:
    """Return a table's rows as they stood at a moment."""
    frame = read_as_of(store, table, moment, ORDERS[table])
    times = frame.pop("collected_at")
    assert all(time <= moment for time in times)
    return plain(frame)


def plain(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return [tuple(list(v) if hasattr(v, "tolist") else v for v in row) for row in told(frame)]


TEXTS = st.sampled_from([None, "SMITH, JOHN", "it's", "", "NULL", "[a, 'b']", "ß\n\\"])
LISTS = st.lists(st.sampled_from(["SMITH, JOHN", "NULL", "", "a'b", '"', "[x]"]), max_size=2)
APNS = st.sampled_from(["1", "2"])
YEARS = st.sampled_from([2025, 2026])
MONEY = st.sampled_from([None, Decimal(0), Decimal("12.34")])


@st.composite
def answers(draw: st.DrawFn) -> tuple[str, list[Record], dict[str, frozenset[str]]]:
    """Return a source, what it says, and what it leaves unsaid."""
    apn = draw(APNS)
    unsaid = frozenset({"owner_name", "deed_date"}) if draw(st.booleans()) else frozenset()
    what = draw(st.sampled_from(["parcel", "bills", "documents"]))
    if what == "parcel":
        day = draw(st.sampled_from([None, date(2020, 2, 29)]))
        records: list[Record] = [
            Parcel(
                apn=apn,
                county=draw(st.sampled_from(["maricopa", "pinal"])),
                owner_name=draw(TEXTS),
                latitude=draw(st.sampled_from([None, 33.1, 0.1 + 0.2])),
                is_rental=draw(st.sampled_from([None, True, False])),
                deed_date=day,
            )
        ]
        if draw(st.booleans()):
            number = draw(st.sampled_from([None, "20200000001"]))
            records.append(Sale(apn=apn, sold_on=day, recording_number=number))
        return draw(st.sampled_from([ASSESSOR, "layer"])), records, {"parcels": unsaid}
    if what == "bills":
        year, amounts = draw(YEARS), draw(st.lists(st.integers(1, 3), max_size=3))
        bill = TaxBill(apn=apn, tax_year=year, amount_due=draw(MONEY), status=draw(TEXTS))
        return TREASURER, [bill, *payments(apn, year, *amounts)], {}
    document = Document(
        recording_number="20200000001",
        suffix=draw(st.sampled_from([None, "A"])),
        apn=draw(st.none() | APNS),
        document_codes=tuple(draw(LISTS)),
        names=tuple(draw(LISTS)),
    )
    return RECORDER, [document], {}


GROUPS = st.lists(st.lists(answers(), min_size=1, max_size=3), min_size=4, max_size=8)


TABLES = ["parcels", "sales", "tax_bills", "tax_payments", "documents"]


def empty(store: Store) -> None:
    """Take all rows away."""

    def work(connection: Any) -> None:
        for table in [*TABLES, "changes"]:
            connection.execute(f"DELETE FROM {table}")

    store.writer.submit(work).result(timeout=60)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(groups=GROUPS)
def test_a_table_as_of_a_moment_is_the_table_that_stood_then(store: Store, groups: list[list[Any]]):
    """Random answers, some of them together: every table, at every moment, is what it was."""
    empty(store)
    stories = [(noon(-1), {table: [] for table in TABLES})]
    for number, group in enumerate(groups):
        at = noon(number)
        answers = [
            result(records[0].apn or "x", records, source=source, at=at)
            for source, records, _ in group
        ]
        unsaid = [each for _, _, each in group]
        write(store, *[replace(a, unsaid=u) for a, u in zip(answers, unsaid, strict=True)])
        stories.append((at, {table: stands(store, table) for table in TABLES}))

    for at, story in stories:
        moment = at + timedelta(seconds=0.5)
        assert {table: stood(store, table, moment) for table in TABLES} == story
    assert store.duplicates() == {}


def collected(store: Store, at: float, *records: Record, batch: str = "b1") -> None:
    """Store what the assessor says at so many seconds after noon."""
    write(store, result("1", records, at=noon(at), batch_id=batch))


def test_a_value_that_changes_is_kept_with_what_it_was(store: Store):
    """The change names value, source, batch and moment; what is said again is none."""
    collected(store, 0, parcel("1", "SMITH"), *payments("1", 2025, 10))
    collected(store, 1, parcel("1", "SMITH"), *payments("1", 2025, 10))
    collected(store, 2, parcel("1", "DOE"), *payments("1", 2025, 10), batch="b2")

    assert told(read_changes(store, noon(0))) == [
        (
            *("1", "parcels", "", "owner_name", "SMITH", "DOE"),
            *(ASSESSOR, noon(2), "maricopa", "b2", "changed"),
        )
    ]
    assert told(read_changes(store, noon(3))) == []


def test_what_is_collected_for_the_first_time_is_no_change(store: Store):
    """A first answer writes nothing into the history; later ones do not count as additions."""
    collected(store, 0, parcel("1", "SMITH"), *payments("1", 2025, 10))

    assert store.rows("FROM changes") == []
    assert told(read_changes(store, noon(-1))) == []


def test_rows_that_come_and_go_are_told(store: Store):
    """A payment that comes is added, one that is listed no more is removed, with its values."""
    collected(store, 0, parcel("1"), *payments("1", 2025, 10, 20))
    collected(store, 1, *payments("1", 2025, 10))
    collected(store, 2, *payments("1", 2025, 10, 30), *payments("1", 2026, 40))

    columns = ["row", "column", "old", "new", "changed_at", "kind"]
    assert told(read_changes(store, noon(0.5)), *columns) == [
        ("2025 2", "amount", "20.00", None, noon(1), "removed"),
        ("2025 2", "amount", None, "30.00", noon(2), "added"),
        ("2026 1", "amount", None, "40.00", noon(2), "added"),
    ]


def test_a_row_without_values_that_goes_is_told_by_its_source(store: Store):
    """A row that had nothing but its identity is not forgotten."""
    collected(store, 0, TaxPayment(apn="1", tax_year=2025, number=1))
    collected(store, 1, TaxPayment(apn="1", tax_year=2025, number=2))

    columns = ["row", "column", "old", "new", "kind"]
    assert told(read_changes(store, noon(0.5)), *columns) == [
        ("2025 1", "source", ASSESSOR, None, "removed")
    ]


def test_a_parcel_is_that_of_its_county(store: Store):
    """The same number in another county is another parcel, in the history too."""
    collected(store, 0, parcel("1", "SMITH"), Parcel(apn="1", county="pinal", owner_name="DOE"))
    collected(store, 1, Parcel(apn="1", county="pinal", owner_name="ROE"))

    assert told(read_changes(store, noon(0), county="maricopa")) == []
    assert told(read_changes(store, noon(0), county="pinal"), "old", "new") == [("DOE", "ROE")]


def test_what_an_answer_leaves_unsaid_is_no_change(store: Store):
    """A column that an answer says nothing about stays, and stays out of the history."""
    collected(store, 0, parcel("1", "SMITH"))
    silent = result("1", [Parcel(apn="1", county="maricopa", use_code="01")], at=noon(1))
    write(store, replace(silent, unsaid={"parcels": frozenset({"owner_name"})}))

    assert told(read_changes(store, noon(0)), "column", "old", "new") == [("use_code", None, "01")]


def test_what_the_office_no_longer_lists_goes_into_the_history(store: Store):
    """A table that is emptied, for all years or for one: nothing of it stands, its end is told."""
    house, shed = Residence(apn="1", roof_type="Tile"), Improvement(apn="1", improvement_number="1")
    paid = [*payments("1", 2024, 10), *payments("1", 2025, 20)]
    collected(store, 0, parcel("1"), house, shed, *paid, Residence(apn="2"))
    write(store, result("1", [TaxLevy(apn="1", tax_year=2025, district="9")], source=TREASURER))
    write(
        store,
        replace(
            result("1", [parcel("1")], at=noon(1), batch_id="b2"),
            emptied=[
                *(Emptied("residences", "1"), Emptied("improvements", "1")),
                *(Emptied("tax_payments", "1", 2025), Emptied("tax_levies", "1")),
            ],
        ),
    )

    tables = ["residences", "improvements", "tax_payments", "tax_levies"]
    left = {table: [row[:2] for row in stands(store, table)] for table in tables}
    assert left == {
        "residences": [("2", None)],
        "improvements": [],
        "tax_payments": [("1", 2024)],
        "tax_levies": [("1", 2025)],  # another source has said so
    }
    columns = ["table", "row", "column", "old", "new", "source", "changed_at", "batch_id", "kind"]
    assert told(read_changes(store, noon(0)), *columns) == [
        ("improvements", "1", "source", ASSESSOR, None, ASSESSOR, noon(1), "b2", "removed"),
        ("residences", "", "roof_type", "Tile", None, ASSESSOR, noon(1), "b2", "removed"),
        ("tax_payments", "2025 1", "amount", "20.00", None, ASSESSOR, noon(1), "b2", "removed"),
    ]
    assert len(stood(store, "residences", noon(0.5))) == 2
    collected(store, 2, house)
    assert len(stands(store, "residences")) == 2


def test_what_is_emptied_is_what_was_said_before(store: Store):
    """An older answer that is written later takes nothing away that a newer one has said."""
    collected(store, 1, Residence(apn="1"))
    older = replace(result("1", [], at=noon(0)), emptied=[Emptied("residences", "1")])
    write(store, older)

    assert len(stands(store, "residences")) == 1


def test_a_parcel_that_its_source_knows_no_more_is_marked_and_kept(store: Store):
    """Since when is told, once; another source's word says nothing; a later answer ends it."""
    collected(store, 0, parcel("1", "SMITH"), parcel("2", "DOE"))
    write(store, result("1", at=noon(1), source=TREASURER, state=State.NOT_FOUND))
    write(store, result("1", at=noon(2), batch_id="b2", state=State.NOT_FOUND))
    write(store, result("1", at=noon(3), state=State.NOT_FOUND))
    write(store, result("3", at=noon(3), state=State.NOT_FOUND))
    collected(store, 1.5, parcel("1", "SMITHY"))  # an older answer, written later
    marked = table_frame(store, "parcels")
    collected(store, 4, parcel("1", "SMITHY"))

    columns = ["apn", "owner_name", "not_found_since"]
    assert told(marked, *columns) == [("1", "SMITHY", noon(2)), ("2", "DOE", None)]
    assert told(table_frame(store, "parcels"), *columns)[0] == ("1", "SMITHY", None)
    names = ["column", "old", "new", "changed_at", "batch_id"]
    moments = read_changes(store, noon(0), apn="1")
    since = f"{noon(2):%Y-%m-%d %H:%M:%S}+00"
    assert told(moments[moments["column"] == "not_found_since"], *names) == [
        ("not_found_since", None, since, noon(2), "b2"),
        ("not_found_since", since, None, noon(4), "b1"),
    ]
    for at, wanted in ((0.5, None), (2.5, noon(2)), (4.5, None)):
        assert told(read_as_of(store, "parcels", noon(at), "apn"), *columns)[0][2] == wanted


def test_a_sale_that_is_told_otherwise_is_one_sale(store: Store):
    """Another date of the same deed, or another deed of the same sale: the newer word stands."""
    day, price = date(2025, 3, 1), Decimal(300000)

    def sale(apn: str, on: date, number: str | None, worth: Decimal = price) -> Sale:
        return Sale(apn=apn, sold_on=on, recording_number=number, sale_price=worth)

    collected(store, 0, parcel("1"), sale("1", day, "2025A"), parcel("2"), sale("2", day, "2025B"))
    collected(store, 0, parcel("3"), sale("3", day, None), sale("3", date(2019, 1, 1), "2019"))
    april, new = date(2025, 4, 1), date(2026, 5, 1)
    collected(store, 1, parcel("1"), sale("1", april, "2025A"), parcel("2"), sale("2", day, "2026"))
    collected(store, 1, parcel("3"), sale("3", new, "2026C", Decimal(1)))

    assert [row[:3] for row in stands(store, "sales")] == [
        *(("1", april, "2025A"), ("2", day, "2026")),
        *(("3", date(2019, 1, 1), "2019"), ("3", day, None), ("3", new, "2026C")),
    ]
    gone = read_changes(store, noon(0.5)).query("kind == 'removed' and column == 'sale_price'")
    assert told(gone, "apn", "row") == [("1", "2025-03-01 2025A"), ("2", "2025-03-01 2025B")]


@pytest.mark.parametrize("table", list(RECORD_TYPES))
def test_every_table_can_be_asked_for_as_of_a_moment(store: Store, table: str):
    """The columns and dtypes are those of the frame of now."""
    then = read_as_of(store, table, noon(), ORDERS[table])

    assert dict(then.dtypes) == dict(table_frame(store, table).dtypes)


def test_a_row_that_went_and_came_again_is_what_it_was_first(store: Store):
    """What it had nothing to say of then stays absent, though it says it now."""
    collected(store, 0, *payments("1", 2025, 10, 20))
    collected(store, 1, *payments("1", 2025, 10))
    paid = TaxPayment(apn="1", tax_year=2025, number=2, paid_on=date(2026, 3, 1))
    collected(store, 2, *payments("1", 2025, 10), paid)

    times = [read_as_of(store, "tax_payments", noon(at), "number") for at in (0, 1, 2)]

    assert [told(frame, "number", "paid_on", "amount") for frame in times] == [
        [(1, None, Decimal(10)), (2, None, Decimal(20))],
        [(1, None, Decimal(10))],
        [(1, None, Decimal(10)), (2, date(2026, 3, 1), None)],
    ]
