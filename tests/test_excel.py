"""The workbook as a reader finds it: typed cells, frozen header, nothing half written."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import openpyxl
import pandas as pd
import pyarrow as pa
import pytest
from python_calamine import CalamineWorkbook

from propkit.errors import ExportError
from propkit.excel import MAX_ROWS, write_workbook

if TYPE_CHECKING:
    from pathlib import Path

    from openpyxl.worksheet.worksheet import Worksheet

TRAPS = ["=2+3", "+1", "-1", "@x", "00112345", "1.3238011E7", "http://x.y", "TRUE", " a ", "'1"]
FULL_SCALE = Decimal("999999999999.99")


def column(values: list[Any], kind: pa.DataType) -> pd.Series[Any]:
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values, kind)))


def frame(**columns: pd.Series[Any]) -> pd.DataFrame:
    return pd.DataFrame(columns)


TEXT = frame(apn=column(["00112345", None], pa.string()))
KINDS = frame(
    apn=column(["00112345", None], pa.string()),
    amount=column([Decimal("1234.50"), None], pa.decimal128(14, 2)),
    assessment_ratio=column([Decimal("0.1000"), None], pa.decimal128(6, 4)),
    tax_year=column([2026, None], pa.int64()),
    latitude=column([33.123456, None], pa.float64()),
    is_rental=column([True, None], pa.bool_()),
    sold_on=column([date(2020, 5, 1), None], pa.date32()),
    collected_at=column([datetime(2026, 11, 22, 12, 30, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
    names=column([["A", "B"], None], pa.list_(pa.string())),
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.xlsx"


def read(path: Path) -> dict[str, list[list[Any]]]:
    """Return what a fast reader finds, sheet by sheet, the header first."""
    book = CalamineWorkbook.from_path(path)
    return {name: book.get_sheet_by_name(name).to_python() for name in book.sheet_names}


def first_sheet(path: Path) -> Worksheet:
    """Return the first sheet with its formats."""
    book = openpyxl.load_workbook(path)
    found: Worksheet = book.worksheets[0]
    return found


def test_every_frame_is_a_sheet_in_the_given_order(path: Path):
    """Sheets have the frames' names, order and headers, also a frame without a row."""
    written = write_workbook(path, {"parcels": TEXT, "sales": KINDS.iloc[:0], "documents": TEXT})

    assert written == path
    assert read(path) == {
        "parcels": [["apn"], ["00112345"]],
        "sales": [list(KINDS.columns)],
        "documents": [["apn"], ["00112345"]],
    }


def test_each_kind_of_value_is_a_cell_of_its_kind(path: Path):
    """Ids are text, money and counts numbers, dates dates; what is absent is blank."""
    write_workbook(path, {"kinds": KINDS.iloc[[0, 1, 0]]})

    cells = [
        [(cell.data_type, cell.value) for cell in row] for row in first_sheet(path).iter_rows()
    ]
    assert (
        cells[1]
        == cells[3]
        == [
            ("s", "00112345"),
            ("n", 1234.5),
            ("n", 0.1),
            ("n", 2026),
            ("n", 33.123456),
            ("b", True),
            ("d", datetime(2020, 5, 1)),  # noqa: DTZ001 -- a workbook's times have no zone
            ("d", datetime(2026, 11, 22, 12, 30)),  # noqa: DTZ001
            ("s", "A, B"),
        ]
    )
    assert [value for _, value in cells[2]] == [None] * len(KINDS.columns)


def test_each_kind_of_value_has_its_number_format(path: Path):
    """A reader sees money with cents, a ratio with its digits and a year without a comma."""
    write_workbook(path, {"kinds": KINDS})

    formats = {cell.column: cell.number_format for cell in first_sheet(path)[2]}
    assert dict(zip(KINDS.columns, formats.values(), strict=True)) == {
        "apn": "@",
        "amount": "#,##0.00",
        "assessment_ratio": "0.0000",
        "tax_year": "0",
        "latitude": "0.000000",
        "is_rental": "General",
        "sold_on": "yyyy-mm-dd",
        "collected_at": "yyyy-mm-dd hh:mm:ss",
        "names": "@",
    }


def test_the_header_is_frozen_filtered_and_wide_enough(path: Path):
    """Header and first column stay in sight, every column can be filtered and read."""
    long = frame(a=column(["x" * 30, "x" * 200], pa.string()), b=column(["y"] * 2, pa.string()))

    write_workbook(path, {"long": long})

    sheet = first_sheet(path)
    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("B2", "A1:B3")
    assert sheet["A1"].font.bold
    assert 40 < sheet.column_dimensions["A"].width <= 50
    assert sheet.column_dimensions["B"].width < 10


@pytest.mark.parametrize("value", TRAPS)
def test_text_stays_the_text_it_is(path: Path, value: str):
    """No text becomes a formula, a number, a link or anything shorter."""
    write_workbook(path, {"traps": frame(value=column([value], pa.string()))})

    cell = first_sheet(path)["A2"]
    assert (cell.data_type, cell.value, cell.hyperlink) == ("s", value, None)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (FULL_SCALE, 999999999999.99),
        (-FULL_SCALE, -999999999999.99),
        (Decimal("0.01"), 0.01),
        (Decimal("123456789012.34"), 123456789012.34),
        (Decimal("0.00"), 0.0),
    ],
)
def test_money_is_exact_to_the_cent(path: Path, amount: Decimal, shown: float):
    """The greatest amount that the store holds comes back to the cent."""
    write_workbook(path, {"money": frame(amount=column([amount], pa.decimal128(14, 2)))})

    found = read(path)["money"][1][0]
    assert found == shown
    assert Decimal(repr(found)).quantize(Decimal("0.01")) == amount


def test_what_a_double_cannot_hold_is_text(path: Path):
    """Digits beyond the fifteenth, infinity and days before 1900 are shown as they are."""
    # Excel keeps 15 digits, knows no infinity, and its days begin in 1900.
    frames = {
        "beyond": pd.DataFrame(
            {
                "number": [12345678901234567, 123456789012345],
                "ratio": [float("inf"), 0.5],
                "sold_on": column([date(1871, 2, 14), date(1900, 1, 1)], pa.date32()),
            }
        )
    }

    write_workbook(path, frames)

    assert read(path)["beyond"][1:] == [
        ["12345678901234567", "inf", "1871-02-14"],
        [123456789012345.0, 0.5, date(1900, 1, 1)],
    ]


def test_times_of_any_zone_are_written_in_utc(path: Path):
    """A time from another zone is the same moment in the workbook; one without zone stays."""
    phoenix = timezone(timedelta(hours=-7))
    frames = {
        "times": pd.DataFrame(
            {
                "aware": pd.to_datetime([datetime(2026, 1, 1, 20, tzinfo=phoenix)]),
                "naive": pd.to_datetime([datetime(2026, 1, 1, 20)]),  # noqa: DTZ001
            }
        )
    }

    write_workbook(path, frames)

    assert [cell.value for cell in first_sheet(path)[2]] == [
        datetime(2026, 1, 2, 3),  # noqa: DTZ001
        datetime(2026, 1, 1, 20),  # noqa: DTZ001
    ]


def test_a_persons_own_frame_is_written_as_well(path: Path):
    """Plain pandas dtypes, mixed objects, numbered and repeated columns, categories."""
    own = pd.DataFrame([["=1", 1.5, 2, True], [None, None, None, None]], columns=[0, "x", "x", 3])
    own["kind"] = pd.Categorical(["001", "002"])

    write_workbook(path, {"own": own})

    assert read(path) == {
        "own": [["0", "x", "x", "3", "kind"], ["=1", 1.5, 2.0, "True", "001"], ["", "", "", "", "002"]]
    }  # fmt: skip


def test_text_longer_than_a_cell_is_cut_visibly(path: Path):
    """Excel refuses a longer text; the mark at its end says that it is cut."""
    write_workbook(path, {"long": frame(value=column(["x" * 40_000], pa.string()))})

    found = read(path)["long"][1][0]
    assert (len(found), found[-2:]) == (32_767, "x…")


def test_more_rows_than_a_sheet_holds_are_refused(path: Path):
    """A frame one row too long is an error, and not the silent loss of its last row."""
    long = frame(apn=column(["1"] * (MAX_ROWS + 1), pa.string()))

    with pytest.raises(ExportError, match=r"parcels has 1,048,576 rows, a sheet holds 1,048,575"):
        write_workbook(path, {"parcels": long})

    assert [entry.name for entry in path.parent.iterdir()] == []


@pytest.mark.parametrize("name", ["out.csv", "out.xls", "out", "out.xlsx.txt"])
def test_a_name_that_is_no_workbook_is_refused(tmp_path: Path, name: str):
    """The name says what the file is; a CSV is not written under false colours."""
    with pytest.raises(ExportError, match=rf"'{name}' is no workbook's name.*\.xlsx"):
        write_workbook(tmp_path / name, {"parcels": TEXT})

    assert [entry.name for entry in tmp_path.iterdir()] == []


def test_no_frame_is_no_workbook(path: Path):
    """A workbook without a sheet is none."""
    with pytest.raises(ExportError, match="at least one frame"):
        write_workbook(path, {})


@pytest.mark.parametrize("place", ["nowhere/out.xlsx", "/proc/out.xlsx", "/dev/null/out.xlsx"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, place: str):
    """A missing or closed folder is an ExportError with the path in it."""
    with pytest.raises(ExportError, match=r"out\.xlsx cannot be written: "):
        write_workbook(tmp_path / place, {"parcels": TEXT})


def test_a_folder_in_the_workbooks_place_is_refused(path: Path):
    """A folder of that name stays, and no draft beside it."""
    path.mkdir()

    with pytest.raises(ExportError, match=r"out\.xlsx cannot be written: "):
        write_workbook(path, {"parcels": TEXT})

    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("names", [["a/b"], ["sales", "Sales"], ["x" * 31 + "1", "x" * 31 + "2"]])
def test_a_name_that_no_sheet_can_have_is_refused(path: Path, names: list[str]):
    """Forbidden signs and names that a workbook takes for equal leave the old file whole."""
    path.write_bytes(b"old")

    with pytest.raises(ExportError, match=r"out\.xlsx cannot be written: "):
        write_workbook(path, dict.fromkeys(names, TEXT))

    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == b"old"


def test_an_existing_workbook_is_replaced_with_its_usual_rights(path: Path):
    """The new workbook stands in the old one's place and others may read it as any new file."""
    path.write_bytes(b"old")
    plain = path.with_name("plain")
    plain.touch()

    write_workbook(path, {"parcels": TEXT})

    assert read(path)["parcels"] == [["apn"], ["00112345"]]
    assert path.stat().st_mode == plain.stat().st_mode


def test_the_umask_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is all threads' own: while it is off, others make files that everybody may write."""
    monkeypatch.delattr(os, "umask")

    write_workbook(path, {"parcels": TEXT})

    assert read(path)["parcels"] == [["apn"], ["00112345"]]


def test_a_failure_in_the_middle_leaves_the_old_workbook(path: Path):
    """Whatever breaks while writing, the old file is whole and no draft is left."""

    class Broken:
        def __str__(self) -> str:
            raise ZeroDivisionError

    path.write_bytes(b"old")
    broken = pd.DataFrame({"value": ["fine", Broken()]}, dtype="object")

    with pytest.raises(ZeroDivisionError):
        write_workbook(path, {"parcels": TEXT, "broken": broken})

    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


FULL_DISK = """
import random, resource, sys
import pandas as pd
from propkit.errors import ExportError
from propkit.excel import write_workbook
values = [random.randbytes(500).hex() for _ in range(2000)]
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
try:
    write_workbook(sys.argv[1], {"long": pd.DataFrame({"value": values})})
except ExportError as error:
    print(error)
"""


def test_a_disk_that_is_full_leaves_the_old_workbook(path: Path):
    """When the system refuses further bytes the error says so, and the old file is whole."""
    path.write_bytes(b"old")

    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.startswith(f"{path} cannot be written: ")
    assert done.stdout.endswith("File too large\n")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
