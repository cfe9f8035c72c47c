"""Workbooks as people really have them: each is posted as it is meant, or refused and left alone."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
import xlsxwriter

from propkit.errors import SheetError
from propkit.posting.files import SheetFile
from propkit.workbook_parts import sketch
from tests.posting.test_workbooks import parts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = [("id", "title", "posting_status"), ("A", "Truck A", ""), ("B", "Truck B", "")]


def make_book(path: Path, draw: Callable[[Any], object], rows: Any = ROWS) -> Path:
    """Write rows into a workbook, and whatever else is drawn on its sheet."""
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("Trucks")
        for number, cells in enumerate(rows):
            sheet.write_row(number, 0, cells)
        draw(sheet)
    return path


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        # Read cell by cell it would take the process with it: 17 thousand million cells.
        (
            lambda sheet: sheet.write("XFD1048576", " "),
            "the sheet 'Trucks' reaches to XFD1048576 and has 8 values; delete what stands so far",
        ),
        # Another column would be one that no spreadsheet has.
        (
            lambda sheet: sheet.write("XFD1", "stray"),
            "posting_status, posted_url, posted_at, attempt, error have no room",
        ),
        # What stands there nobody sees.
        (
            lambda sheet: sheet.merge_range("C2:C3", ""),
            "C3 is to hold a status, and is hidden in merged cells C2:C3",
        ),
    ],
)
def test_what_cannot_take_a_status_is_refused(
    tmp_path: Path, draw: Callable[[Any], object], message: str
) -> None:
    path = make_book(tmp_path / "trucks.xlsx", draw)
    before = path.read_bytes()

    with pytest.raises(SheetError, match=rf"^trucks\.xlsx: .*{message}"):
        SheetFile(path, {}, ["row_key", "title"], None).check(["A", "B"])

    assert [(one, one.read_bytes()) for one in tmp_path.iterdir()] == [(path, before)]


def test_merged_cells_elsewhere_are_no_trouble(tmp_path: Path) -> None:
    path = make_book(tmp_path / "trucks.xlsx", lambda sheet: sheet.merge_range("A5:C6", "note"))
    file = SheetFile(path, {}, ["row_key"], None)

    file.save({"A": {"posting_status": "x"}})

    assert file.table.cell(file.table.rows[0], "posting_status") == "x"


def test_a_formula_that_nobody_computed_yet_keeps_its_column(tmp_path: Path) -> None:
    """As a script leaves it: it has no value, and still stands there."""
    path = tmp_path / "trucks.xlsx"
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in ROWS:
        sheet.append(row)
    sheet["F1"] = "=SUM(C2:C3)"
    book.save(path)
    file = SheetFile(path, {}, ["row_key"], None)

    file.save({"A": {"posting_status": "x", "posted_url": "y"}})

    after = [[cell.value for cell in row] for row in openpyxl.load_workbook(path).worksheets[0]]
    new = ["posted_url", "posted_at", "attempt", "error"]
    assert after[0] == [*ROWS[0], None, None, "=SUM(C2:C3)", *new]
    assert after[1] == ["A", "Truck A", "x", None, None, None, "y", None, None, None]


def add_tables(sheet: Any) -> None:
    """Draw a table of trucks that sums itself up, and beside it one of something else."""
    columns = [{"header": "id", "total_string": "Total"}, {"header": "title"}]
    sheet.add_table("A1:B4", {"total_row": True, "columns": columns})
    sheet.add_table("D1:E3", {"columns": [{"header": "tax"}, {"header": "rate"}]})


def test_a_tables_sum_is_no_listing_and_another_table_stays_as_it_is(tmp_path: Path) -> None:
    path = make_book(tmp_path / "trucks.xlsx", add_tables, [row[:2] for row in ROWS])
    before = parts(path)
    file = SheetFile(path, {}, ["row_key", "title"], None)

    file.save({"A": {"posting_status": "x"}})

    assert [file.table.key(row) for row in file.table.rows] == ["A", "B"]
    assert file.table.places["posting_status"] == 5
    after = parts(path)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"xl/worksheets/sheet1.xml"}


def test_a_workbook_that_unpacks_to_too_much_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_book(tmp_path / "trucks.xlsx", lambda _: None)
    with zipfile.ZipFile(path, "a") as book:
        book.writestr("xl/media/much.bin", b"\0" * 2**21)
    monkeypatch.setattr("propkit.workbook_parts._MOST_BYTES", 2**20)

    with pytest.raises(SheetError, match=r"^trucks\.xlsx: the workbook unpacks to more than 1 MiB"):
        SheetFile(path, {}, ["row_key"], None)


def test_what_is_no_workbook_cannot_be_sketched() -> None:
    with pytest.raises(ValueError, match=r"cannot be read: BadZipFile"):
        sketch(b"no zip", "Trucks")
