"""The user's own workbook: the status columns change, and nothing else of it."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import openpyxl
import pytest
import xlsxwriter

from propkit.errors import SheetError
from propkit.posting.files import SheetFile
from propkit.posting.sheet_xml import patch_cells
from propkit.posting.statuses import STATUS_COLUMNS
from propkit.workbook_parts import column_name, column_of
from tests.posting.sheets import make_trucks, outcomes, posted_today, read_sheet, statuses
from tests.posting.site import FakeSite

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import propkit as pk

    Post = Callable[..., pk.PostingReport]

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def png(size: int = 1) -> bytes:
    """Return a small picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    pixels = zlib.compress(b"".join(b"\0" + b"\xff\0\0" * size for _ in range(size)))
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def make_rich_workbook(path: Path, *, has_table: bool = False) -> None:
    """Make what people make: formulas, formats, filters, a picture, comments, further sheets."""
    with xlsxwriter.Workbook(str(path)) as book:
        bold, money = book.add_format({"bold": True}), book.add_format({"num_format": "$#,##0.00"})
        yellow = book.add_format({"bg_color": "#FFFF00"})
        sheet = book.add_worksheet("Inventory")
        header = ["truck_id", "title", "price", "posting_status", "with tax"]
        sheet.write_row(0, 0, header, bold)
        for row in range(1, 7):
            sheet.write(row, 0, f"T{row:03}")
            sheet.write(row, 1, f"Truck <{row}> & co")
            sheet.write(row, 2, 1000 * row, money)
            sheet.write(row, 3, "Posted 2026-11-20" if row == 2 else None, yellow)
            sheet.write_formula(row, 4, f"=C{row + 1}*1.1", None, 1100 * row)
        sheet.set_column(1, 1, 40)
        sheet.freeze_panes(1, 1)
        if has_table:
            columns = [{"header": name, "header_format": bold} for name in header]
            sheet.add_table(0, 0, 6, 4, {"name": "Trucks", "columns": columns})
            for row in range(1, 7):
                sheet.write_formula(row, 4, f"=C{row + 1}*1.1", None, 1100 * row)
        else:
            sheet.autofilter(0, 0, 6, 4)
        sheet.write_comment(2, 0, "ask Ana")
        sheet.data_validation(1, 3, 6, 3, {"validate": "list", "source": ["pending", "posted"]})
        rule = {"type": "cell", "criteria": ">", "value": 3000, "format": bold}
        sheet.conditional_format(1, 2, 6, 2, rule)
        sheet.insert_image("H2", "truck.png", {"image_data": io.BytesIO(png(4))})
        sheet.protect("secret")
        book.add_worksheet("Notes").write_formula(0, 0, "=SUM(Inventory!C2:C7)", None, 21000)
        book.add_worksheet("Hidden").hide()


def parts(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as book:
        return {name: book.read(name) for name in book.namelist()}


def without_status_cells(xml: bytes) -> bytes:
    """Return a worksheet's XML without the cells that hold statuses, and notes of their extent."""
    extents = rb' spans="1:\d+"|<dimension ref="[A-Z0-9:]+"/>|(?<=<autoFilter ref=")[A-Z0-9:]+'
    xml = re.sub(extents, b"", xml)
    return re.sub(rb'<c r="(?:D|[F-I])\d+"(?:[^>]*/>|[^>]*>.*?</c>)', b"", xml)


@pytest.mark.parametrize("has_table", [False, True])
def test_everything_else_stays_byte_for_byte(post: Post, tmp_path: Path, has_table: bool) -> None:
    path = tmp_path / "trucks.xlsx"
    make_rich_workbook(path, has_table=has_table)
    before, original = parts(path), path.read_bytes()

    report = post(path, faults={"T003": ["refused"]})

    after = parts(path)
    changed = {name for name in before if before[name] != after[name]}
    sheet = "xl/worksheets/sheet1.xml"
    noted = "xl/tables/table1.xml" if has_table else "xl/workbook.xml"
    assert (list(before), changed) == (list(after), {sheet, noted})
    assert without_status_cells(after[sheet]) == without_status_cells(before[sheet])
    assert after[sheet].count(b'<dimension ref="A1:I7"/>') == 1
    if not has_table:  # sorted by its filter, a row keeps its status
        assert after[sheet].count(b'<autoFilter ref="A1:I7"/>') == 1
        was, now = b"Inventory!$A$1:$E$7<", b"Inventory!$A$1:$I$7<"
        assert after[noted] == before[noted].replace(was, now) != before[noted]
    assert (tmp_path / "trucks.backup.xlsx").read_bytes() == original
    assert report.success is False
    assert statuses(path) == {
        **dict.fromkeys(["T001", "T004", "T005", "T006"], posted_today()),
        "T002": "Posted 2026-11-20",
        "T003": "Error: a duplicate",
    }


def test_rows_that_are_hidden_are_posted_and_named(post: Post, tmp_path: Path) -> None:
    """A filter is for looking; what is posted is what the mode says."""
    path = tmp_path / "trucks.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("Inventory")
        for row, cells in enumerate([("truck_id", "title"), *[(f"T{n}", "Truck") for n in "123"]]):
            sheet.write_row(row, 0, cells)
        sheet.autofilter(0, 0, 3, 1)
        sheet.set_row(2, options={"hidden": True})

    preview, report = post(path, dry_run=True), post(path)

    assert [one.reason for one in preview.results][
        1
    ] == "all but the last click; hidden in the sheet"
    assert [(one.outcome, one.reason) for one in report.results] == [
        ("posted", ""),
        ("posted", "hidden in the sheet"),
        ("posted", ""),
    ]
    assert report.message == (
        "trucks.xlsx/Inventory: 3 posted, 0 skipped; rows hidden in the sheet: 1"
    )


def test_the_workbook_is_whole_for_other_programs(post: Post, tmp_path: Path) -> None:
    path = tmp_path / "trucks.xlsx"
    make_rich_workbook(path)

    post(path)

    sheet = openpyxl.load_workbook(path)["Inventory"]
    assert sheet.auto_filter.ref == "A1:I7"
    header = [cell.value for cell in sheet[1]]
    assert header == [
        *["truck_id", "title", "price", "posting_status", "with tax"],
        *["posted_url", "posted_at", "attempt", "error"],
    ]
    assert [cell.font.bold for cell in sheet[1]] == [True] * 9
    assert (sheet["D2"].value, sheet["D2"].fill.fgColor.rgb) == (posted_today(), "FFFFFF00")
    assert (sheet["E2"].value, sheet["F2"].value) == ("=C2*1.1", "https://site.example/1")
    assert (sheet["H2"].value, sheet["I2"].value) == (1, None)
    assert (sheet["A3"].comment.text, sheet.protection.sheet) == ("ask Ana", True)
    assert [cell.value for cell in sheet[3]][5:] == [None] * 4


def test_a_table_takes_the_new_columns_in(post: Post, tmp_path: Path) -> None:
    """Else sorting it would move the rows and leave the statuses."""
    path = tmp_path / "trucks.xlsx"
    make_rich_workbook(path, has_table=True)

    post(path)

    table = openpyxl.load_workbook(path)["Inventory"].tables["Trucks"]
    assert (table.ref, table.autoFilter.ref if table.autoFilter else "A1:I7") == ("A1:I7", "A1:I7")
    assert [column.name for column in table.tableColumns][3:] == [
        *["posting_status", "with tax", "posted_url", "posted_at", "attempt", "error"],
    ]
    ids = [column.id for column in table.tableColumns]
    assert len(set(ids)) == len(ids) == 9


def test_a_second_run_adds_no_further_columns(post: Post, tmp_path: Path) -> None:
    path = tmp_path / "trucks.xlsx"
    make_trucks(3).to_excel(path, index=False)
    post(path, faults={"T002": ["refused"]})

    post(path)

    frame = read_sheet(path)
    assert list(frame.columns) == ["truck_id", "title", *STATUS_COLUMNS]
    assert list(frame["attempt"]) == ["1", "2", "1"]
    assert list(frame["error"]) == ["", "", ""]


def test_a_status_column_of_formulas_is_left_alone(
    post: Post, site: FakeSite, tmp_path: Path
) -> None:
    path = tmp_path / "trucks.xlsx"
    book = openpyxl.Workbook()
    book.active.append(["id", "title", "posting_status"])
    book.active.append(["T001", "Truck", '=IF(1,"","")'])
    book.save(path)
    before = path.read_bytes()

    with pytest.raises(SheetError, match="C2 is to hold a status, and has a formula"):
        post(path)

    assert (path.read_bytes(), site.listings()) == (before, [])


def test_a_title_above_the_header_and_another_sheet_are_no_trouble(
    post: Post, site: FakeSite, tmp_path: Path
) -> None:
    path = tmp_path / "trucks.xlsx"
    book = openpyxl.Workbook()
    book.active.append(["Read me"])
    sheet = book.create_sheet("Stock")
    for row in [["Our trucks"], [], ["Price", "Title", "Stock number"], [5, "Truck", 17.0]]:
        sheet.append(row)
    book.save(path)

    report = post(path)

    assert (report.message, site.counts()) == ("trucks.xlsx/Stock: 1 posted, 0 skipped", {"17": 1})
    assert openpyxl.load_workbook(path)["Stock"]["D4"].value == posted_today()


# ---------------------------------------------------------------- open in Excel, changed meanwhile


@pytest.mark.parametrize("lock", ["~$trucks.xlsx", ".~lock.trucks.xlsx#"])
def test_results_wait_while_the_workbook_is_open(
    post: Post, site: FakeSite, tmp_path: Path, lock: str
) -> None:
    path = tmp_path / "trucks.xlsx"
    make_trucks(3).to_excel(path, index=False)
    before = path.read_bytes()
    (tmp_path / lock).write_text("Ana", "utf-8")

    first = post(path, faults={"T002": ["refused"]})
    untouched = path.read_bytes()
    (tmp_path / lock).unlink()
    second = post(path, faults={"T002": ["refused"]})

    assert untouched == before
    assert (first.is_saved, second.is_saved) == (False, True)
    assert f"({lock} says so): close it there" in first.message
    assert "the results are kept and written by the next run" in first.message
    assert outcomes(second) == {"T001": "skipped", "T002": "failed", "T003": "skipped"}
    assert statuses(path) == {
        "T001": posted_today(),
        "T002": "Error: a duplicate",
        "T003": posted_today(),
    }


def test_a_file_that_cannot_be_replaced_is_told_of(
    post: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Windows refuses it while another program has it open."""
    path = tmp_path / "trucks.xlsx"
    make_trucks(1).to_excel(path, index=False)
    before, kind = path.read_bytes(), type(path)
    real = kind.replace

    def refuse(self: Path, target: Path) -> Any:
        if target.name == "trucks.xlsx":
            raise PermissionError(13, "The process cannot access the file")
        return real(self, target)

    monkeypatch.setattr(kind, "replace", refuse)

    report = post(path)

    assert "if it is open in another program, close it there" in report.message
    assert path.read_bytes() == before
    assert sorted(one.name for one in tmp_path.glob("*trucks*")) == [
        *["trucks.backup.xlsx", "trucks.xlsx"],
    ]


def test_what_a_person_changes_meanwhile_stays(post: Post, tmp_path: Path) -> None:
    """Rows that were sorted, and a note that was written, while the run was under way."""
    path = tmp_path / "trucks.xlsx"
    sheet = make_trucks(3, note=["", "", ""])
    sheet.to_excel(path, index=False)

    def change(result: pk.RowResult) -> None:
        if result.row_key == "T002":
            sheet["note"] = ["sold?", "", "call"]
            sheet.iloc[::-1].to_excel(path, index=False)

    report = post(path, row_cb=change)

    assert report.is_saved
    frame = read_sheet(path)
    assert list(frame["truck_id"]) == ["T003", "T002", "T001"]
    assert list(frame["note"]) == ["call", "", "sold?"]
    assert list(frame["posted_url"]) == [f"https://site.example/{number}" for number in (3, 2, 1)]


def test_a_row_that_is_taken_away_meanwhile_is_told_of(post: Post, tmp_path: Path) -> None:
    path = tmp_path / "trucks.csv"
    make_trucks(12).to_csv(path, index=False)

    def take_away(result: pk.RowResult) -> None:
        if result.row_key == "T001":
            make_trucks(12).iloc[1:].to_csv(path, index=False)

    report = post(path, row_cb=take_away)

    assert "trucks.csv has no row 'T001' any more" in report.message
    assert report.successful_posts == 12


def test_the_sheet_is_saved_now_and_then(post: Post, tmp_path: Path) -> None:
    path = tmp_path / "trucks.csv"
    make_trucks(20).to_csv(path, index=False)
    saved: list[int] = []

    def look(result: pk.RowResult) -> None:
        done = "posting_status" in read_sheet(path)
        saved.append(list(statuses(path).values()).count(posted_today()) if done else 0)

    post(path, row_cb=look, posting={"save_seconds": 3600})

    assert saved == [0, 0, *[2 * (number // 2) for number in range(2, 20)]]


# ---------------------------------------------------------------- the other kinds of file


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b'id,title,posting_status\r\nT1,"a ""b"", c",\r\n T2 ,x, pending \r\n',
            (
                b"id,title,posting_status,posted_url,posted_at,attempt,error\r\n"
                b'T1,"a ""b"", c",@T,@U,@A,1,\r\n T2 ,x,@T,@U,@A,1,\r\n'
            ),
        ),
        (
            "\ufeffid;title;posting_status\nT1;d\u00e9j\u00e0;\nT2;y".encode(),
            "\ufeffid;title;posting_status;posted_url;posted_at;attempt;error\n"
            "T1;d\u00e9j\u00e0;@T;@U;@A;1;\nT2;y;@T;@U;@A;1;".encode(),
        ),
        (
            "id\ttitle\nT1\td\u00e9j\u00e0\nT2\ty\n".encode("latin-1"),
            "id\ttitle\tposting_status\tposted_url\tposted_at\tattempt\terror\n"
            "T1\td\u00e9j\u00e0\t@T\t@U\t@A\t1\t\nT2\ty\t@T\t@U\t@A\t1\t\n".encode("latin-1"),
        ),
    ],
)
def test_a_text_keeps_its_own_way(
    post: Post, tmp_path: Path, content: bytes, expected: bytes
) -> None:
    path = tmp_path / "trucks.csv"
    path.write_bytes(content)

    report = post(path)

    for number, result in enumerate(report.results, start=1):
        assert result.posted_at is not None
        at = result.posted_at.isoformat(timespec="seconds")
        for mark, value in (
            ("@T", posted_today()),
            ("@U", f"https://site.example/{number}"),
            ("@A", at),
        ):
            expected = expected.replace(mark.encode(), value.encode(), 1)
    assert path.read_bytes() == expected


def test_a_sheet_without_header_is_mapped_by_place(
    post: Post, site: FakeSite, tmp_path: Path
) -> None:
    path = tmp_path / "trucks.xlsx"
    book = openpyxl.Workbook()
    book.active.append([1, "Truck 1", "good", 5000, 2011, "GMC", "pending"])
    book.active.append([2, "Truck 2", "new", 6000, 2012, "Ford", "Posted 2026-11-20"])
    book.save(path)
    columns = {"row_key": 1, "title": 2, "description": 3, "price": 4, "posting_status": 7}

    report = post(path, columns=columns)
    again = post(path, columns={**columns, "error": 9})

    assert outcomes(report) == {"1": "posted", "2": "skipped"}
    assert outcomes(again) == {"1": "skipped", "2": "skipped"}
    rows = list(openpyxl.load_workbook(path).active.iter_rows(values_only=True))
    assert rows == [
        (1, "Truck 1", "good", 5000, 2011, "GMC", posted_today()),
        (2, "Truck 2", "new", 6000, 2012, "Ford", "Posted 2026-11-20"),
    ]


def test_a_frame_writes_into_its_file(post: Post, tmp_path: Path) -> None:
    path = tmp_path / "trucks.xlsx"
    make_rich_workbook(path)
    chosen = read_sheet(path).iloc[[4, 0]]

    report = post(chosen, file_path=path)

    assert outcomes(report) == {"T005": "posted", "T001": "posted"}
    assert statuses(path) == {
        **dict.fromkeys(["T001", "T005"], posted_today()),
        "T002": "Posted 2026-11-20",
        **dict.fromkeys(["T003", "T004", "T006"], ""),
    }


# ---------------------------------------------------------------- the XML itself


def test_cells_are_put_where_they_belong() -> None:
    """Missing cells, empty rows, no row numbers, a prefix, a '>' in a value."""
    xml = (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<x:worksheet xmlns:x="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        b'<x:cols><x:col min="4" max="4" style="7"/></x:cols><x:sheetData>'
        b'<x:row r="1" spans="1:2" note="a>b"><x:c r="A1" t="inlineStr"><x:is><x:t>id</x:t></x:is>'
        b'</x:c><x:c r="E1"/></x:row><x:row r="2"/><x:row ><x:c><x:v>3</x:v></x:c></x:row ></x:sheetData>'
        b'<x:pageMargins left="0.7"/></x:worksheet>'
    )

    changed = patch_cells(xml, {(1, 4): "st & <co>", (2, 2): 5, (3, 1): "", (3, 3): "\x07a"})

    assert changed.decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<x:worksheet xmlns:x="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        '<x:cols><x:col min="4" max="4" style="7"/></x:cols><x:sheetData>'
        '<x:row r="1" spans="1:4" note="a>b"><x:c r="A1" t="inlineStr"><x:is><x:t>id</x:t></x:is>'
        '</x:c><x:c r="D1" s="7" t="inlineStr"><x:is><x:t xml:space="preserve">st &amp; &lt;co&gt;'
        '</x:t></x:is></x:c><x:c r="E1"/></x:row><x:row r="2"><x:c r="B2"><x:v>5</x:v></x:c></x:row>'
        '<x:row ><x:c r="A3"/><x:c r="C3" t="inlineStr"><x:is><x:t xml:space="preserve">a</x:t></x:is>'
        '</x:c></x:row ></x:sheetData><x:pageMargins left="0.7"/></x:worksheet>'
    )
    assert ET.fromstring(changed).tag == f"{MAIN}worksheet"  # noqa: S314 -- the test's own


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (b"<worksheet><sheetData><row></sheetData></worksheet>", "is no XML"),
        (b"<!DOCTYPE x><worksheet/>", "has a document type"),
        (b"<worksheet><sheetData/></worksheet>", "has no rows"),
        (b"<worksheet/>", "has no rows"),
        (b'<?xml version="1.0" encoding="ISO-8859-1"?><worksheet/>', "not in UTF-8"),
        (b"<worksheet><sheetData><row r='2'/></sheetData></worksheet>", "has no row 1"),
    ],
)
def test_what_cannot_be_patched_is_said(xml: bytes, message: str) -> None:
    with pytest.raises(SheetError, match=message):
        patch_cells(xml, {(1, 1): "x"})


@pytest.mark.parametrize(("number", "name"), [(1, "A"), (26, "Z"), (27, "AA"), (16384, "XFD")])
def test_columns_have_letters(number: int, name: str) -> None:
    assert (column_name(number), column_of(f"{name}12")) == (name, number)


def test_a_file_without_other_columns_is_saved_twice_the_same(tmp_path: Path) -> None:
    """Saving what is saved already changes nothing."""
    path = tmp_path / "trucks.xlsx"
    make_rich_workbook(path)
    file = SheetFile(path, {}, ["row_key"], None)
    file.save({"T001": {"posting_status": "x", "attempt": 2}})
    once = parts(path)

    file.save({"T001": {"posting_status": "x", "attempt": 2}})

    assert parts(path) == once
