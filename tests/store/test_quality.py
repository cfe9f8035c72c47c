"""How good what is stored is, told from the store alone."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from propkit.items import State
from propkit.records import Document, Parcel
from propkit.store.quality import read_quality
from tests.store.made import (
    ASSESSOR,
    RECORDER,
    TREASURER,
    noon,
    parcel,
    payments,
    result,
    write,
)
from tests.store.test_history import told

if TYPE_CHECKING:
    from propkit.store import Store

EVERY_DAY = 24 * 3600


def test_quality_tells_fill_age_what_is_not_known_and_what_is_not_whole(store: Store) -> None:
    write(
        store,
        result("1", [parcel("1", "SMITH")]),
        result("2", [parcel("2")], at=noon(EVERY_DAY)),
        result("1", payments("1", 2025, 10, 20), source=TREASURER, missing=("tax_bills",)),
        result("N", [Document(recording_number="N", names=())], source=RECORDER),
    )
    write(
        store,
        result("1", at=noon(1), state=State.NOT_FOUND),  # it was known before
        result("9", at=noon(1), state=State.NOT_FOUND),
        result("1", at=noon(2), source=TREASURER, state=State.NOT_FOUND),
        result("8", at=noon(1), source=TREASURER, state=State.NOT_FOUND),
        result("2", payments("2", 2025, 5), at=noon(1), source=TREASURER, missing=("tax_bills",)),
    )
    write(store, result("8", payments("8", 2025, 5), at=noon(2), source=TREASURER))

    found = read_quality(store)

    assert told(found.tables, "table", "source", "rows", "oldest", "newest") == [
        ("parcels", ASSESSOR, 2, noon(), noon(EVERY_DAY)),
        ("tax_payments", TREASURER, 4, noon(), noon(2)),
        ("documents", RECORDER, 1, noon(), noon()),
    ]
    columns = found.columns.set_index(["table", "column"])
    filled = {name: (row["rows"], row["filled"], row["share"]) for name, row in columns.iterrows()}
    assert filled["parcels", "owner_name"] == (2, 1, 0.5)
    assert filled["parcels", "situs_city"] == (2, 0, 0.0)
    assert filled["tax_payments", "amount"] == (4, 4, 1.0)
    assert filled["documents", "names"] == (1, 0, 0.0)  # an empty list says nothing
    noted = {*Parcel.identity, *Parcel.noted}
    assert [name for table, name in filled if table == "parcels"] == [
        field.name for field in fields(Parcel) if field.name not in noted
    ]
    assert told(
        found.not_found, "source", "key", "checked_at", "not_found_since", "owner_name"
    ) == [
        (ASSESSOR, "1", noon(1), noon(1), "SMITH"),
        (ASSESSOR, "9", noon(1), None, None),
        (TREASURER, "1", noon(2), None, None),
    ]
    assert told(found.incomplete, "source", "key", "checked_at") == [(TREASURER, "2", noon(1))]
    assert [list(names) for names in found.incomplete["missing"]] == [["tax_bills"]]


def test_quality_reads_as_a_few_lines(store: Store) -> None:
    assert str(read_quality(store)) == "Nothing is stored."
    write(store, *(result(str(n), payments(str(n), 2025, n), source=TREASURER) for n in (1, 2)))
    write(store, result("2", at=noon(1), source=TREASURER, state=State.NOT_FOUND))

    found = read_quality(store)

    assert str(found).splitlines() == [
        f"tax_payments of {TREASURER}: 2 rows, collected 2026-11-22; always absent: paid_on",
        f"{TREASURER}: 1 not found",
    ]
    assert found._repr_html_().startswith("<pre")
