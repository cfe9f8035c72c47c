"""A workbook that is handed over says what is not in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openpyxl
import pandas as pd
import pytest
from python_calamine import CalamineWorkbook

import propkit as pk
from propkit import excel
from propkit.records import RECORD_TYPES
from propkit.store.not_collected import NOT_COLLECTED
from tests.collecting import quick_kit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from propkit.demo_county import County

ASSESSOR, TREASURER = "maricopa_assessor", "maricopa_treasurer"
HEADER = [
    *("identifier", "apn", "source", "key", "missing", "outcome", "failure_class", "error"),
    *("noted_at", "older_collected_at", "what_to_do", "batch_id"),
]
SHOWN = ["identifier", "apn", "source", "missing", "outcome", "failure_class", "what_to_do"]


@pytest.fixture
def kit(county: County, tmp_path: Path) -> Iterator[pk.Kit]:
    with quick_kit(county, tmp_path / "test.duckdb", retry_attempts=1) as kit:
        yield kit


@pytest.fixture
def known(county: County) -> list[str]:
    """Return APNs that assessor and treasurer know."""
    apns = county.apns(60)
    truth = county.truth(apns)
    billed = {row["apn"] for row in truth["tax_bills"]}
    county.clear_ledger()
    return [row["apn"] for row in truth["parcels"] if row["apn"] in billed]


def fail(county: County, *apns: str, system: str = "assessor") -> None:
    """Have a system answer nothing of use about parcels."""
    rule = {"system": system, "kind": "status", "status": 500}
    county.switch(faults=[{**rule, "path": apn} for apn in apns])


def sheet(path: Path, name: str = NOT_COLLECTED) -> list[dict[str, Any]]:
    header, *rows = CalamineWorkbook.from_path(path).get_sheet_by_name(name).to_python()
    assert header == HEADER
    return [{column: row[HEADER.index(column)] for column in SHOWN} for row in rows]


def test_a_workbook_says_what_is_not_in_it(
    kit: pk.Kit, county: County, known: list[str], tmp_path: Path
):
    """After its first sheet, a row a parcel and source; what begins with = stays what was typed."""
    fail(county, known[0])
    given = [f"{known[0]}'", known[1], "999-99-999", "=1+1"]
    kit.collect(given, datasets=["parcels", "tax_bills"], progress=False)
    said: list[str] = []

    path = kit.to_excel(tmp_path / "out.xlsx", tell=said.append)

    nothing = dict.fromkeys(SHOWN, "")
    check = "check the key: the source has nothing under it"
    unknown = {
        **nothing,
        "identifier": "999-99-999",
        "apn": "99999999",
        "outcome": "not_found",
        "what_to_do": check,
    }
    assert sheet(path) == [
        {
            **nothing,
            "identifier": f"{known[0]}'",
            "apn": known[0],
            "source": ASSESSOR,
            "missing": "parcels",
            "outcome": "failed",
            "failure_class": "unavailable",
            "what_to_do": "later: kit.batch(1).retry()",
        },
        {**unknown, "source": ASSESSOR, "missing": "parcels"},
        {**unknown, "source": TREASURER, "missing": "tax_bills"},
        {
            **nothing,
            "identifier": "=1+1",
            "missing": "parcels, tax_bills",
            "outcome": "not_usable",
            "what_to_do": "correct it in the list, and collect it",
        },
    ]
    first, *others = RECORD_TYPES
    assert CalamineWorkbook.from_path(path).sheet_names == [first, NOT_COLLECTED, *others]
    cells = openpyxl.load_workbook(path)[NOT_COLLECTED]
    assert [cell.data_type for cell in cells["A"]][-1] == "s"
    assert [cell.data_type for cell in cells["B"]][1:4] == ["s"] * 3
    assert said == [
        "2 parcels and 1 unusable identifier are not in out.xlsx, or not in full: see its sheet not_collected"
    ]


def test_a_workbook_in_which_all_is_has_no_such_sheet(
    kit: pk.Kit,
    county: County,
    known: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    """What failed and was collected by a later batch is there; nothing is said."""
    fail(county, known[0])
    kit.collect(known[:2], datasets=["parcels"], progress=False)
    fail(county)
    before = kit.to_excel(tmp_path / "before.xlsx")
    kit.collect(known[:1], datasets=["parcels"], progress=False)
    after = kit.to_excel(tmp_path / "after.xlsx")

    assert [row["apn"] for row in sheet(before)] == [known[0]]
    assert CalamineWorkbook.from_path(after).sheet_names == list(RECORD_TYPES)
    assert kit.frame("not_collected").empty
    said = "1 parcel is not in before.xlsx, or not in full: see its sheet not_collected\n"
    assert capsys.readouterr() == ("", said)


def test_of_chosen_tables_it_says_what_those_lack(
    kit: pk.Kit, county: County, known: list[str], tmp_path: Path
):
    """A failed roll leaves out no tax bill; where no table is chosen there is nothing to say."""
    fail(county, known[0])
    kit.collect(known[:2], datasets=["parcels", "tax_bills"], progress=False)
    chosen: list[Any] = [
        ["tax_liens", "batches"],
        ["batches", "items"],
        ["tax_bills", "parcels"],
        ["parcels", "batches", "not_collected"],
        {"mine": pd.DataFrame({"apn": ["001"]}), "parcels": kit.frame("parcels")},
    ]

    books = [kit.to_excel(tmp_path / f"{n}.xlsx", frames) for n, frames in enumerate(chosen)]

    assert [CalamineWorkbook.from_path(book).sheet_names for book in books] == [
        ["tax_liens", "batches"],
        ["batches", "items"],
        ["tax_bills", NOT_COLLECTED, "parcels"],
        ["parcels", "batches", NOT_COLLECTED],
        ["mine", "parcels"],
    ]


def test_what_one_sheet_cannot_hold_goes_on_in_the_next(
    kit: pk.Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """However much is missing, the tables are written."""
    kit.collect(["a", "b", "c", "d", "e"], progress=False)
    monkeypatch.setattr(excel, "MAX_ROWS", 2)

    path = kit.to_excel(tmp_path / "out.xlsx", ["parcels", "sales"])

    names = [NOT_COLLECTED, f"{NOT_COLLECTED} 2", f"{NOT_COLLECTED} 3"]
    assert CalamineWorkbook.from_path(path).sheet_names == ["parcels", *names, "sales"]
    assert [[row["identifier"] for row in sheet(path, name)] for name in names] == [
        ["a", "b"],
        ["c", "d"],
        ["e"],
    ]


def test_the_workbook_of_a_batch_says_it_too(
    kit: pk.Kit, county: County, known: list[str], tmp_path: Path
):
    """It is written before the batch is said to have ended; its log says what is not in it."""
    book = tmp_path / "batch.xlsx"

    batch = kit.start(known[:3], datasets=["parcels"], batch_size=2, export_to=book)
    batch.wait(60)

    assert [(row["outcome"], row["what_to_do"]) for row in sheet(book)] == [
        ("waiting", "kit.batch(1).resume(), once it has ended")
    ]
    log = batch.log().set_index("event")["message"]
    assert log["exported"] == (
        "workbook batch.xlsx written; 1 parcel is not in batch.xlsx, or not in full:"
        " see its sheet not_collected"
    )
