"""Frames: stated columns, Arrow dtypes, exact money, aware times, absent as NA."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from propkit.errors import RequestError
from propkit.frames import FRAMES, HIT_COLUMNS, choose_frames, hits_frame, table_frame
from propkit.records import (
    RECORD_TYPES,
    Document,
    Parcel,
    Record,
    Residence,
    Sale,
    TaxBill,
    TaxPayment,
    Valuation,
)
from propkit.store import Store
from tests.store.made import batch_of, noon, result, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DTYPES = {
    "str": "string[pyarrow]",
    "int": "int64[pyarrow]",
    "float": "double[pyarrow]",
    "bool": "bool[pyarrow]",
    "date": "date32[day][pyarrow]",
    "datetime": "timestamp[us, tz=UTC][pyarrow]",
    "Decimal": "decimal128(14, 2)[pyarrow]",
    "tuple[str, ...]": "list<l: string>[pyarrow]",
}
PROVENANCE = {"source": "string[pyarrow]", "collected_at": "timestamp[us, tz=UTC][pyarrow]"}

RECORDS: list[Record] = [
    Parcel(
        apn="00112345",
        county="maricopa",
        situs_zip="01234",
        lot_size_sqft=7247,
        is_rental=False,
        latitude=33.5,
        deed_date=date(2020, 5, 1),
    ),
    Residence(apn="00112345", construction_year=1999),
    Valuation(
        apn="00112345",
        tax_year=2026,
        full_cash_value=Decimal("999999999999.99"),
        assessment_ratio=Decimal("0.1"),
    ),
    TaxBill(apn="00112345", tax_year=2025, amount_due=Decimal("0.1"), has_tax_lien=True),
    TaxPayment(apn="00112345", tax_year=2025, number=2, amount=Decimal("-0.01")),
    TaxPayment(apn="00112345", tax_year=2025, number=1, paid_on=date(2025, 10, 1)),
    Sale(apn="00112345"),
    Sale(apn="00112345", sold_on=date(1999, 1, 1), recording_number="0199"),
    Document(recording_number="0199", document_codes=("WAR DEED",), names=("A", "B")),
    Document(recording_number="0200", is_restricted=True),
]

each_frame = pytest.mark.parametrize("name", FRAMES)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "test.duckdb")
    batch = batch_of(store, "00112345")
    write(store, result("00112345", RECORDS, batch_id=batch))
    yield store
    store.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "empty.duckdb")
    yield store
    store.close()


def cells(frame: pd.DataFrame, *columns: str) -> list[dict[str, Any]]:
    return frame[list(columns)].to_dict("records")


def dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {str(column): str(dtype) for column, dtype in frame.dtypes.items()}


@pytest.mark.parametrize("kind", list(RECORD_TYPES.values()), ids=list(RECORD_TYPES))
def test_a_frame_has_its_tables_columns_and_dtypes(store: Store, kind: type[Record]):
    """Columns stand in the contract's order, with the dtype that their records promise."""
    expected = {
        field.name: DTYPES[str(field.type).removesuffix(" | None")] for field in fields(kind)
    }
    if "assessment_ratio" in expected:
        expected["assessment_ratio"] = "decimal128(6, 4)[pyarrow]"

    frame = table_frame(store, kind.table)

    assert list(dtypes(frame).items()) == [*expected.items(), *PROVENANCE.items()]
    assert list(frame.index) == list(range(len(frame)))


@each_frame
def test_an_empty_frame_has_the_same_dtypes(store: Store, empty: Store, name: str):
    """Without a row a frame has the columns and dtypes that it has with rows."""
    assert len(table_frame(empty, name)) == 0
    assert dtypes(table_frame(empty, name)) == dtypes(table_frame(store, name))


def test_values_are_exact_and_absent_values_are_na(store: Store):
    """Zeros of ids, cents, false and dates come out as they went in; what is absent is NA."""
    parcels = table_frame(store, "parcels")
    values = table_frame(store, "valuations")
    bills = table_frame(store, "tax_bills")

    assert cells(
        parcels, "apn", "situs_zip", "lot_size_sqft", "is_rental", "latitude", "deed_date"
    ) == [
        {
            "apn": "00112345",
            "situs_zip": "01234",
            "lot_size_sqft": 7247,
            "is_rental": False,
            "latitude": 33.5,
            "deed_date": date(2020, 5, 1),
        }
    ]
    assert parcels["owner_name"].isna().all()
    assert cells(values, "full_cash_value", "assessment_ratio") == [
        {
            "full_cash_value": Decimal("999999999999.99"),
            "assessment_ratio": Decimal("0.1000"),
        }
    ]
    assert values["limited_property_value"].isna().all()
    assert cells(bills, "amount_due", "has_tax_lien") == [
        {"amount_due": Decimal("0.10"), "has_tax_lien": True}
    ]


def test_times_are_aware_utc(store: Store):
    """A time says that it is UTC, whatever the zone of this machine."""
    moment = table_frame(store, "parcels")["collected_at"].tolist()[0]

    assert moment.utcoffset().total_seconds() == 0
    assert moment == noon() == datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_lists_are_lists(store: Store):
    """Codes and names of a document are lists of text, an empty one is empty and not absent."""
    documents = table_frame(store, "documents")

    assert [list(codes) for codes in documents["document_codes"]] == [["WAR DEED"], []]
    assert [list(names) for names in documents["names"]] == [["A", "B"], []]
    assert documents["suffix"].isna().all()


def test_rows_stand_in_the_order_of_their_identity(store: Store):
    """The same table looks the same each time, whatever the order of collection."""
    assert table_frame(store, "tax_payments")["number"].tolist() == [1, 2]
    assert table_frame(store, "documents")["recording_number"].tolist() == ["0199", "0200"]


def test_money_becomes_float_on_request_only(store: Store):
    """Every decimal turns into float64 and nothing else changes."""
    exact = table_frame(store, "tax_bills")
    floats = table_frame(store, "tax_bills", float_money=True)

    changed = {"assessed_tax", "amount_paid", "amount_due"}
    assert dtypes(floats) == {
        name: "double[pyarrow]" if name in changed else dtype
        for name, dtype in dtypes(exact).items()
    }
    assert floats["amount_due"].tolist() == [0.1]
    assert floats["amount_paid"].isna().all()


def test_an_unknown_frame_is_named_with_those_there_are(store: Store):
    """A misspelt name says what could have been meant."""
    expected = (
        "no frame 'parcel'; expected one of parcels, residences, improvements, valuations, "
        "tax_bills, tax_payments, sales, documents, tax_levies, tax_installments, tax_statements, "
        "tax_valuations, tax_payment_halves, leads, parcel_shapes, layers, hits, items, batches, batch_logs, "
        "lead_criteria, lead_persons, tax_liens, reparse_changes, purchases, listings, postings, "
        "not_collected"
    )

    with pytest.raises(RequestError) as failure:
        table_frame(store, "parcel")

    assert str(failure.value) == expected


def test_a_name_is_never_sql(store: Store):
    """A frame is asked for by name; SQL belongs to kit.sql."""
    with pytest.raises(RequestError, match="no frame"):
        table_frame(store, "parcels WHERE false")


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (None, list(RECORD_TYPES)),
        (["sales", "items"], ["sales", "items"]),
        ("parcels", ["parcels"]),
        ((name for name in ["batches"]), ["batches"]),
    ],
    ids=["all", "list", "one name", "generator"],
)
def test_frames_are_chosen_by_name(store: Store, names: Any, chosen: list[str]):
    """None is every record table; one name need not be a list."""
    assert list(choose_frames(store, names)) == chosen


def test_hits_are_text_in_stated_columns():
    """A search's rows have every column, NA where the county says nothing, and no others."""
    frame = hits_frame([{"apn": "00112345", "owner_name": None, "other": 1}])

    assert list(frame.columns) == list(HIT_COLUMNS)
    assert set(map(str, frame.dtypes)) == {"string"}
    assert frame.iloc[0].dropna().to_dict() == {"apn": "00112345"}
    assert list(hits_frame([]).columns) == list(HIT_COLUMNS)
