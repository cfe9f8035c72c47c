"""Records held by rows or by columns are those that they were made of."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from propkit.record_block import RecordBlock, RecordRows, row_maker, rows_of
from propkit.records import Document, Record, Sale, Valuation, column_names

RECORDS: tuple[Record, ...] = (
    Valuation(apn="1", tax_year=2026, full_cash_value=Decimal(7), is_pending_change=False),
    Valuation(apn="1", tax_year=2025),
    Sale(apn="1", sale_price=Decimal("2.50")),
    Document(recording_number="5", names=("SMITH",)),
    Document(recording_number="6"),
)


def by_rows() -> RecordRows:
    rows: dict[type[Record], list[tuple[Any, ...]]] = {Valuation: [], Sale: [], Document: []}
    for record in RECORDS:
        names = column_names(type(record))
        rows[type(record)].append(tuple(getattr(record, name) for name in names))
    return RecordRows({**rows})


def by_columns() -> RecordBlock:
    return RecordBlock(
        {
            Valuation: {
                "apn": pa.array(["1", "1"]),
                "tax_year": [2026, 2025],
                "full_cash_value": [Decimal(7), None],
                "is_pending_change": pa.array([False, None]),
            },
            Sale: {"apn": ["1"], "sale_price": [Decimal("2.50")]},
            Document: {"recording_number": ["5", "6"], "names": [("SMITH",), ()]},
        }
    )


@pytest.mark.parametrize("held", [by_rows(), by_columns()], ids=["by rows", "by columns"])
def test_what_is_held_is_a_sequence_of_its_records(held: RecordRows | RecordBlock) -> None:
    assert (len(held), tuple(held), held[1], held[-1]) == (5, RECORDS, RECORDS[1], RECORDS[-1])
    assert (held[1:4], held[::-1]) == (RECORDS[1:4], RECORDS[::-1])
    assert held == RECORDS
    assert held != RECORDS[1:]
    assert held == by_rows() == by_columns()
    for place in (5, -6):
        with pytest.raises(IndexError):
            held[place]
    assert repr(held) == f"<{type(held).__name__}: 5 records>"


@pytest.mark.parametrize(
    "records", [RECORDS, by_rows(), by_columns()], ids=["one by one", "by rows", "by columns"]
)
def test_rows_have_every_column_in_its_place(records: Any) -> None:
    found = rows_of(records)

    assert list(found) == [Valuation, Sale, Document]
    assert [kind(**dict(zip(column_names(kind), row, strict=True))) for kind in found for row in found[kind]] == [*RECORDS]  # fmt: skip


def test_a_table_without_rows_is_not_there() -> None:
    assert (len(RecordRows({Sale: ()})), rows_of(RecordRows({Sale: ()}))) == (0, {})


def test_a_row_is_made_of_values_in_any_order() -> None:
    make = row_maker(Sale, "recording_number", "apn", "sale_price", "sold_on")

    assert make(["9", "1", None, "a day"]) == ("1", "a day", "9", None)
    assert row_maker(Sale, *column_names(Sale))(["1", "a day", "9", None]) == make(
        ["9", "1", None, "a day"]
    )


def test_a_column_that_is_not_given_makes_no_row() -> None:
    with pytest.raises(ValueError, match="sold_on"):
        row_maker(Sale, "apn", "recording_number", "sale_price")
