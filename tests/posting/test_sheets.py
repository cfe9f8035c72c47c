"""What is wrong with a sheet is told at once, in one message, and nothing is touched."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import propkit as pk
from propkit.errors import PropkitError, RequestError, SheetError
from propkit.posters import PosterLimits
from propkit.posting.cells import list_of, price_of, text_of
from propkit.posting.delimited import patch_delimited, read_delimited
from propkit.posting.images import image_type
from tests.posting.sheets import make_trucks, outcomes, posted_today, statuses
from tests.posting.site import FakeSite, SitePoster
from tests.posting.test_workbooks import make_rich_workbook, png

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Post = Callable[..., pk.PostingReport]

LIMITS = PosterLimits(
    title_length_max=10,
    description_length_min=5,
    description_length_max=20,
    tags_max=2,
    images_min=1,
    images_max=2,
    image_bytes_max=500,
)


# ---------------------------------------------------------------- the columns


def test_every_missing_column_is_told_at_once(post: Post, site: FakeSite, tmp_path: Path) -> None:
    path = tmp_path / "trucks.csv"
    path.write_text("name,cost\nTruck,5\n", "utf-8")
    poster = SitePoster(site, limits=LIMITS)

    with pytest.raises(SheetError) as failure:
        post(path, poster=poster, columns={"price": "cost", "tags": "words", "colour": "red"})

    assert str(failure.value) == (
        "trucks.csv: no field 'colour' to map;"
        " no column for row_key (looked for row_key, listing_id, id, sku, stock_number);"
        " no column for title (looked for title, ad_title);"
        " no column for description (looked for description);"
        " no column 'words' for tags;"
        " no column for images (looked for images, image, image_filename, image_filenames, photos)"
    )
    assert poster.calls == []
    assert [one.name for one in tmp_path.iterdir()] == ["trucks.csv"]


@pytest.mark.parametrize(
    ("names", "columns", "message"),
    [
        (
            ["id", "ID ", "title"],
            {"row_key": "Id"},
            r"several columns may be row_key: \['id', 'ID'\]",
        ),
        (["a_id", "b_id", "title"], {}, r"several columns may be row_key: \['a_id', 'b_id'\]"),
        (["id", "title", "title"], {}, "several columns may be title"),
        (
            ["id", "title", "x"],
            {"row_key": "x", "title": "x"},
            "one column is meant for several: row_key, tit",
        ),
        (["id", "title", "x"], {"row_key": "title"}, "no column for title"),
        (["id", "title", "x"], {"row_key": 1, "title": 9}, "title = 9: there are 3 columns"),
        (
            ["id", "title", "x"],
            {"row_key": 1, "title": "x"},
            "title = 'x': without a header every column is named by place",
        ),
        (["id", "title", "x"], {"row_key": 1, "title": 0}, "title = 0: without a header"),
        (
            ["id", "title", "x"],
            {"row_key": 1, "title": 1},
            "one column is meant for several fields",
        ),
        (["id", "title", "x"], {"row_key": 1}, "no column for title"),
    ],
)
def test_columns_that_are_not_plain_are_told(
    post: Post, names: list[str], columns: dict[str, Any], message: str
) -> None:
    frame = pd.DataFrame([["1", "Truck", "x"]], columns=names)

    with pytest.raises(SheetError, match=f"the frame: {message}"):
        post(frame, columns=columns)


def test_columns_are_found_whatever_their_order_and_spelling(post: Post, site: FakeSite) -> None:
    frame = pd.DataFrame({"Ad Title": ["Truck"], "POSTING STATUS": [""], "Stock-Number": [7.0]})

    assert outcomes(post(frame)) == {"7": "posted"}


def test_keys_must_be_there_and_differ(post: Post) -> None:
    frame = make_trucks(4)
    frame["truck_id"] = ["A", None, "A", " "]

    with pytest.raises(SheetError) as failure:
        post(frame)

    assert str(failure.value) == "the frame: row 1: no key; row 3: no key; key 'A' stands in 2 rows"


# ---------------------------------------------------------------- the rows


def test_every_fault_of_every_row_is_told_at_once(
    post: Post, site: FakeSite, tmp_path: Path
) -> None:
    folder, outside = tmp_path / "images", tmp_path / "secret.png"
    folder.mkdir()
    (folder / "good.png").write_bytes(png())
    (folder / "big.png").write_bytes(png() + b"x" * 500)
    (folder / "page.jpg").write_bytes(b"<html>")
    (folder / "deep").mkdir()
    outside.write_bytes(png())
    (folder / "link.png").symlink_to(outside)
    faulty = {
        "id": ["A", "B", "C", "D"],
        "title": ["", "a title too long", "Truck", "Truck"],
        "description": ["good", "x" * 21, "", "a truck"],
        "price": ["5 dollars", "-1", "1.234", None],
        "tags": ["a,b,c", "", "", ""],
        "images": [
            "gone.png, page.jpg, big.png",
            "../secret.png",
            "",
            f"link.png; {outside}\ndeep; a\0b",
        ],
        "posting_status": ["", "", "", ""],
    }
    poster = SitePoster(site, limits=LIMITS)

    with pytest.raises(SheetError) as failure:
        post(pd.DataFrame(faulty), poster=poster, images_dir=folder)

    assert str(failure.value) == "; ".join(
        [
            "the frame: row 0 (A): price '5 dollars' is no number",
            "row 0 (A): no title",
            "row 0 (A): the description has 4 characters, 5 are needed",
            "row 0 (A): 3 tags, the site takes 2",
            "row 0 (A): 3 images, the site takes 2",
            "row 0 (A): image 'gone.png' does not exist",
            "row 0 (A): image 'page.jpg' is no image by its content, expected jpeg or png",
            f"row 0 (A): image 'big.png' has {len(png()) + 500} bytes, the site takes 500",
            "row 1 (B): price '-1' is no price",
            "row 1 (B): the title has 16 characters, the site takes 10",
            "row 1 (B): the description has 21 characters, the site takes 20",
            f"row 1 (B): image '../secret.png' lies outside {folder}",
            "row 2 (C): price '1.234' has parts of a cent",
            "row 2 (C): no description",
            "row 2 (C): 0 images, at least 1 are needed",
            "row 3 (D): no price",
            "row 3 (D): 4 images, the site takes 2",
            f"row 3 (D): image 'link.png' lies outside {folder}",
            f"row 3 (D): image {str(outside)!r} lies outside {folder}",
            "row 3 (D): image 'deep' is no file",
            "row 3 (D): image 'a\\x00b' is no file name",
        ]
    )
    assert (poster.calls, (tmp_path / "ledger.duckdb").exists()) == ([], False)


def test_faulty_rows_may_be_left_out(post: Post, site: FakeSite, tmp_path: Path) -> None:
    path = tmp_path / "trucks.xlsx"
    sheet = make_trucks(3)
    sheet.loc[1, "title"] = ""
    sheet.to_excel(path, index=False)

    told: list[str] = []
    report = post(path, faulty="skip", progress_cb=lambda _, line: told.append(line))

    assert outcomes(report) == {"T001": "posted", "T002": "failed", "T003": "posted"}
    assert statuses(path)["T002"] == "Error: no title"
    assert (report.success, site.counts()) == (False, {"T001": 1, "T003": 1})
    assert told == [
        "[33.3%] Processing record 1/3: T002",
        "[66.7%] Processing record 2/3: T001",
        "[99.9%] Processing record 3/3: T003",
        f"[100.0%] {report.message}",
    ]


def test_rows_that_are_not_posted_are_not_checked(post: Post) -> None:
    sheet = make_trucks(2, posting_status=["Posted 2026-11-22", "sold"])
    sheet["title"] = ""

    assert post(sheet).success


def test_a_listing_is_what_the_row_says(post: Post, site: FakeSite, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    sheet = pd.DataFrame(
        {
            "id": [5],
            "title": [" Truck "],
            "description": ["a truck"],
            "price": ["$12,500.50"],
            "tags": ["a; b,a"],
            "images": ["a.png"],
            "Year": [2011.0],
            "Sold": [pd.NaT],
            "Seen": [pd.Timestamp("2026-11-22")],
        }
    )
    poster = SitePoster(site, limits=LIMITS)

    post(sheet, poster=poster, images_dir=tmp_path)

    [listing] = poster.seen
    assert (listing.row_key, listing.title, listing.description) == ("5", "Truck", "a truck")
    assert (listing.price, listing.tags) == (Decimal("12500.50"), ("a", "b"))
    assert listing.images == ((tmp_path / "a.png").resolve(),)
    assert listing.extra == {"Year": "2011", "Seen": "2026-11-22"}


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (pd.NaT, ""),
        (pd.NA, ""),
        (np.float64(5), "5"),
        (np.int64(5), "5"),
        (5.25, "5.25"),
        (True, "True"),
        ("  005 ", "005"),
        (date(2026, 11, 22), "2026-11-22"),
        (datetime(2026, 11, 22, 5, 6, tzinfo=UTC), "2026-11-22T05:06:00+00:00"),
    ],
)
def test_cells_are_read_as_text(cell: object, text: str) -> None:
    assert text_of(cell) == text


@pytest.mark.parametrize(
    ("cell", "price"),
    [
        (None, None),
        (0, Decimal("0.00")),
        (12500.0, Decimal("12500.00")),
        ("$ 1,234.5", Decimal("1234.50")),
        ("1 234", Decimal("1234.00")),
        ("CA$5", Decimal("5.00")),
    ],
)
def test_prices_are_read_exactly(cell: object, price: Decimal | None) -> None:
    assert price_of(cell) == price


@pytest.mark.parametrize("cell", ["free", "nan", "inf", "-5", "1.005", "1e30", "12,5", "1..2"])
def test_no_price_is_made_up(cell: str) -> None:
    with pytest.raises(ValueError, match="price"):
        price_of(cell)


def test_lists_are_read() -> None:
    assert list_of("a, b;c\nd | a,, ") == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (png()[:16], "png"),
        (b"GIF89a", "gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "webp"),
        (b"", None),
        (b"%PDF-1.7", None),
    ],
)
def test_images_are_known_by_their_content(start: bytes, kind: str | None) -> None:
    assert image_type(start) == kind


# ---------------------------------------------------------------- the call


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "some"}, "mode must be 'new' or 'all', not 'some'"),
        ({"faulty": "maybe"}, "faulty must be 'stop' or 'skip', not 'maybe'"),
        ({"store": 5}, "the ledger is a kit or a store's path, not 5"),
        ({"sheet_or_path": [1, 2]}, "expected a DataFrame or a path, not list"),
        ({"sheet_or_path": "a.csv", "file_path": "b.csv"}, "leave file_path out"),
    ],
)
def test_a_wrong_call_is_refused(post: Post, options: dict[str, Any], message: str) -> None:
    given = {**options}
    sheet = given.pop("sheet_or_path", make_trucks(1))

    with pytest.raises(RequestError, match=message):
        post(sheet, **given)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.xlsx", None, "gone.xlsx cannot be read: No such file"),
        ("old.xls", b"x", "statuses can be written into .xlsx, .xlsm, .csv, .tsv, .txt only"),
        ("a.xlsx", b"", "a.xlsx is no workbook that can be read"),
        ("a.xlsx", b"id,title\n1,x\n", "a.xlsx is no workbook that can be read"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0", "older or a password-protected workbook"),
        ("a.csv", b"PK\x03\x04", "it is a workbook, no text"),
        ("a.csv", b"", "a.csv: it is empty"),
        ("a.csv", b'id,title\n1,"x\n', "line 2: a quote is never closed"),
        ("a.csv", b"i\0d,title\n", "it is no text"),
        ("a.csv", b"\xff\xfei", "it begins as utf-16-le, and is not"),
    ],
)
def test_a_file_that_is_none_is_told(
    post: Post, tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SheetError, match=message):
        post(path)


def test_an_unknown_sheet_of_a_workbook_is_told(post: Post, tmp_path: Path) -> None:
    path = tmp_path / "trucks.xlsx"
    make_rich_workbook(path)

    with pytest.raises(SheetError, match=r"no sheet 'Sales' in trucks.xlsx: \['Inventory', "):
        pk.run_batch(path, poster=SitePoster(FakeSite(tmp_path / "s")), sheet="Sales")


def test_a_frame_must_fit_its_file(post: Post, tmp_path: Path) -> None:
    path = tmp_path / "trucks.csv"
    make_trucks(2).to_csv(path, index=False)

    with pytest.raises(SheetError, match=r"trucks\.csv has no row 'T003', which the frame has"):
        post(make_trucks(3), file_path=path)


# ---------------------------------------------------------------- fuzzed sheets


CELLS = st.one_of(
    st.none(),
    st.text(max_size=6),
    st.floats(),
    st.integers(-5, 5),
    st.dates(),
    st.sampled_from(["T1", "title", "Posted 2026-11-22", "Error: x", "pending", "not posted"]),
)
NAMES = st.one_of(st.sampled_from(["id", "title", "posting_status", "error"]), st.text(max_size=4))


@given(
    names=st.lists(NAMES, max_size=5),
    rows=st.lists(st.lists(CELLS, min_size=5, max_size=5), max_size=5),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_frame_is_posted_or_refused_with_a_message(
    names: list[str], rows: list[list[Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    site = FakeSite(folder / "site.jsonl")
    frame = pd.DataFrame([row[: len(names)] for row in rows], columns=names, dtype=object)
    before = frame.copy(deep=True)

    message = refusal(frame, site, store=folder / "ledger.duckdb")

    if message is None:
        assert set(site.counts().values()) <= {1}
    else:
        assert message.startswith("the frame: ")
        assert list(folder.iterdir()) == []
    pd.testing.assert_frame_equal(frame, before)


@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_refused_and_left_alone(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, rich: bytes
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / data.draw(st.sampled_from(["trucks.xlsx", "trucks.csv"]))
    content = bytearray(rich if path.suffix == ".xlsx" else b"id,title\n1,x\n2,y\n")
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    path.write_bytes(content)
    site = FakeSite(folder / "site.jsonl")

    message = refusal(path, site, dry_run=True)

    assert message is None or path.name in message
    assert path.read_bytes() == content
    assert [one.name for one in folder.iterdir()] == [path.name]


@given(data=st.data())
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_workbook_with_damaged_parts_is_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, rich: bytes
) -> None:
    """Its archive is whole, a part in it is not; what can still be read is posted as it reads."""
    folder = tmp_path_factory.mktemp("parts")
    path = folder / "trucks.xlsx"
    names = ["xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/worksheets/sheet1.xml"]
    damaged = data.draw(st.sampled_from([*names, "[Content_Types].xml", "_rels/.rels"]))
    with zipfile.ZipFile(io.BytesIO(rich)) as book, zipfile.ZipFile(path, "w") as copy:
        for name in book.namelist():
            content = book.read(name)
            if name == damaged:
                start = data.draw(st.integers(0, len(content)))
                content = content[:start] + content[start + data.draw(st.integers(1, 40)) :]
            copy.writestr(name, content)
    before = path.read_bytes()
    site = FakeSite(folder / "site.jsonl")

    message = refusal(path, site, store=folder / "ledger.duckdb")

    if message is None:
        # A row that was posted may have lost its status, or a row its place.
        assert all(count == 1 for count in site.counts().values())
        assert list(statuses(path).values()).count(posted_today()) == len(site.listings())
    else:
        assert "trucks.xlsx" in message
        assert (path.read_bytes(), site.listings()) == (before, [])


def refusal(path: Any, site: FakeSite, **options: Any) -> str | None:
    """Post a file; return why it was refused, None where it was not."""
    try:
        pk.run_batch(path, poster=SitePoster(site), **options)
    except PropkitError as error:
        return str(error)
    return None


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("rich") / "trucks.xlsx"
    make_rich_workbook(path)
    return path.read_bytes()


@given(
    rows=st.lists(
        st.lists(st.text(alphabet='a",;\t\r\n =é', max_size=4), min_size=2, max_size=3),
        min_size=1,
        max_size=4,
    ),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_a_text_read_and_patched_with_its_own_values_is_the_same(
    rows: list[list[str]], delimiter: str, end: str
) -> None:
    def quote(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    text = end.join(delimiter.join(map(quote, row)) for row in [["h"] * 9, *rows]) + end
    content = text.encode()

    parsed = read_delimited(content)

    assert [[field.value for field in line] for line in parsed.lines[1:]] == rows
    assert patch_delimited(content, {}) == content
    changed = read_delimited(patch_delimited(content, {(2, 1): 'new "one"', (2, 5): 7}))
    expected = [*['new "one"', *rows[0][1:], "", ""][:4], "7"]
    assert [field.value for field in changed.lines[1]] == expected
    assert [[field.value for field in line] for line in changed.lines[2:]] == rows[1:]
