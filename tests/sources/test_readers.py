"""The readers of raw values: what they understand, and that they refuse the rest."""

from __future__ import annotations

import string
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propkit.errors import LayoutChangedError
from propkit.sources._base import (
    read_bool,
    read_date,
    read_decimal,
    read_float,
    read_int,
    read_text,
)
from propkit.sources._layouts import Memory
from propkit.sources._readers import (
    _CITIES,
    find_apns,
    fold_keys,
    read_apn,
    read_area,
    split_address,
)

CENTS = st.integers(min_value=0, max_value=10**13)
APNS = st.from_regex(r"[0-9]{8}[A-Z]{0,2}", fullmatch=True)
ABSENT = {"", "na", "n/a", "null", "none"}
BLANKS = st.text(" ", max_size=12)


@given(CENTS, BLANKS, st.sampled_from(["", "$", "$ "]), st.booleans())
def test_money_is_read_as_written(cents: int, blanks: str, sign: str, has_commas: bool) -> None:
    amount = Decimal(cents) / 100
    text = f"{sign}{amount:,.2f}" if has_commas else f"{sign}{amount:.2f}"

    assert read_decimal(f"{blanks}{text}{blanks}", "test") == amount


@given(CENTS.filter(bool))
def test_a_negative_amount_is_read_in_each_form(cents: int) -> None:
    amount = Decimal(cents) / 100
    texts = [f"(${amount:,.2f})", f"-${amount:,.2f}", f"$-{amount:,.2f}", f"({amount:.2f})"]

    assert [read_decimal(text, "test") for text in texts] == [-amount] * 4


@given(st.text())
def test_an_amount_is_read_or_absent_or_refused(text: str) -> None:
    try:
        amount = read_decimal(text, "test")
    except LayoutChangedError:
        return

    assert amount is not None or text.strip().lower() in {"", "na", "n/a", "null", "none"}
    if amount is not None:
        assert set(text) & set(string.digits)


@pytest.mark.parametrize(
    "text", ["1.2.3", "$", "(5.00", "5.00)", "1,23", "12,34.00", "5-", "1e5", "five", "٣", "$1 $2"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(LayoutChangedError, match="is no amount"):
        read_decimal(text, "test")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("   2,874", 2874),
        (7, 7),
        ("7247", 7247),
        ("1998.0", 1998),
        (0, 0),
        (None, None),
        (False, None),
        (True, None),
        ("na", None),
        ([], None),
    ],
)
def test_a_whole_number_is_read(value: object, number: int | None) -> None:
    assert read_int(value, "test") == number


def test_a_fraction_is_no_whole_number() -> None:
    with pytest.raises(LayoutChangedError):
        read_int("7.5", "test")


@given(st.dates(min_value=date(1000, 1, 1)))
def test_a_date_is_read_in_each_form(day: date) -> None:
    texts = [
        f"{day:%m/%d}/{day.year}",
        f"{day.month}/{day.day}/{day.year}",
        f"{day.month}-{day.day:02}-{day.year}",
        day.isoformat(),
        f"{day.isoformat()}T00:00:00",
        f"{day.month}/{day.day}/{day.year} 12:00:00 AM",
    ]

    assert [read_date(text, "test") for text in texts] == [day] * 6


@given(st.text())
def test_a_date_is_read_or_absent_or_refused(text: str) -> None:
    try:
        day = read_date(text, "test")
    except LayoutChangedError:
        return

    assert day is not None or text.strip().lower() in {"", "na", "n/a", "null", "none"}


@pytest.mark.parametrize(
    "text",
    [
        "02/30/2020",
        "13/01/2020",
        "1/2/20",
        "1/2-2020",
        "2020/01/02",
        "1/2/20201",
        "1/2/2020x",
        "today",
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(LayoutChangedError, match="is no date"):
        read_date(text, "test")


@pytest.mark.parametrize("value", ["", "  ", "na", "N/A", "null", None, [], {}, False])
def test_an_absent_text_is_none(value: object) -> None:
    assert read_text(value) is None


def test_a_structure_is_no_text() -> None:
    with pytest.raises(LayoutChangedError):
        read_text({"name": "OCOTILLO"})


@pytest.mark.parametrize("number", [1e25, -1e300, float(2**63)])
def test_a_number_whose_digits_are_lost_is_refused(number: float) -> None:
    for read in (
        read_text,
        lambda value: read_decimal(value, "x"),
        lambda value: read_int(value, "x"),
    ):
        with pytest.raises(LayoutChangedError, match="beyond measure"):
            read(number)
    assert read_float(number, "x") == number


@given(st.text(alphabet=string.printable + "\u00a0\u2003\u200b\x1c"))
def test_a_text_has_single_blanks(text: str) -> None:
    folded = " ".join(text.split())

    assert read_text(text) == (None if folded.lower() in ABSENT else folded)


def test_a_memory_tells_equal_values_of_other_types_apart() -> None:
    def show(value: object, where: str) -> str:
        return f"{where}{value!r}"

    memory = Memory(show, "")
    values = ["1", 1, True, 1.0, None, "", False, 0, -0.0]

    for _ in range(2):
        assert [memory[value] for value in values] == [repr(value) for value in values]
    assert set(memory) == {"1", None, ""}


def test_a_memory_is_bounded() -> None:
    memory = Memory(lambda value, _: value, "")

    for number in range(20_000):
        assert memory[str(number)] == str(number)

    assert len(memory) <= 4096


@pytest.mark.parametrize(
    ("value", "flag"), [("Y", True), ("no", False), (True, True), (0, False), ("", None)]
)
def test_a_flag_is_read(value: object, flag: bool | None) -> None:
    assert read_bool(value, "test") is flag


@pytest.mark.parametrize("value", ["nan", "inf", "north", "1,5"])
def test_what_is_no_coordinate_is_refused(value: str) -> None:
    with pytest.raises(LayoutChangedError):
        read_float(value, "test")


@given(st.floats(min_value=-180, max_value=180))
def test_a_coordinate_is_read_exactly(value: float) -> None:
    assert read_float(value, "test") == value
    assert read_float(repr(value), "test") == value


@given(APNS)
def test_an_apn_is_read_in_each_form(apn: str) -> None:
    book, page, item, split = apn[:3], apn[3:5], apn[5:8], apn[8:]

    assert read_apn(f"{book}-{page}-{item}{split}") == apn
    assert read_apn(f"{book} {page} {item} {split.lower()}") == apn
    assert find_apns(f"Tax Summary {book}-{page}-{item}{split}") == (apn,)
    assert find_apns(f"Tax Summary {apn}") == (apn,)


@pytest.mark.parametrize(
    ("text", "apns"),
    [
        ("Tax Summary 304-77-566 A", ("30477566A",)),
        ("304-77-566-A", ("30477566A",)),
        ("Tax Summary 304 - 77 - 566 A", ("30477566A",)),
        ("304 -77- 566 - AB", ("30477566AB",)),
        ("304-77-566 OF MESA", ("30477566",)),
        ("304-77-566 Phoenix", ("30477566",)),
        ("304-77-566 and 304-77-567B", ("30477566", "30477567B")),
        ("20130183449, 602-506-8511, 85298-1234, $30,477,566.00", ()),
    ],
)
def test_apns_are_found_in_a_text(text: str, apns: tuple[str, ...]) -> None:
    assert find_apns(text) == apns


@pytest.mark.parametrize("value", ["304-77-56", "304775661", "A0477566", "", None, "304-77-566ABC"])
def test_what_is_no_apn_is_none(value: object) -> None:
    assert read_apn(value) is None


@pytest.mark.parametrize(
    ("text", "area"), [("7247", 7247), ("11,834 sq ft.", 11834), ("0", None), ("", None)]
)
def test_an_area_is_read(text: str, area: int | None) -> None:
    assert read_area(text, "test") == area


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("2778 E COURTNEY ST GILBERT, AZ 85298", ("2778 E COURTNEY ST", "GILBERT", "85298")),
        ("3674 E PALMER ST   GILBERT  85298", ("3674 E PALMER ST", "GILBERT", "85298")),
        ("1 N A AVE SUN CITY WEST AZ 85375-1234", ("1 N A AVE", "SUN CITY WEST", "85375-1234")),
        ("1 W SUN CITY BLVD SUN CITY, AZ 85351", ("1 W SUN CITY BLVD", "SUN CITY", "85351")),
        ("1 E QUEEN CREEK RD NO CITY/TOWN, AZ 85142", ("1 E QUEEN CREEK RD", "NO CITY/TOWN", "85142")),
        ("1 E SAGE ST UNIT 12 PARADISE VALLEY, AZ", ("1 E SAGE ST UNIT 12", "PARADISE VALLEY", None)),
        ("1 E SAGE DR UNIT 5 NEW PLACE, AZ 85000", ("1 E SAGE DR UNIT 5", "NEW PLACE", "85000")),
        ("1 E SAGE ST, NEW PLACE, AZ 85000", ("1 E SAGE ST", "NEW PLACE", "85000")),
        ("2778 e courtney st gilbert, az 85298", ("2778 e courtney st", "gilbert", "85298")),
        ("SOMEWHERE NORTH 7", ("SOMEWHERE NORTH 7", None, None)),
        ("SOMEWHERE NORTH, AZ 85000", ("SOMEWHERE NORTH, AZ 85000", None, "85000")),
        (", AZ 85000", (None, None, "85000")),
        (" , AZ ", (None, None, None)),
        ("", (None, None, None)),
        (None, (None, None, None)),
    ],
)  # fmt: skip
def test_an_address_is_split(text: object, parts: tuple[str | None, ...]) -> None:
    assert split_address(text) == parts


def test_no_place_is_the_end_of_another() -> None:
    assert [(a, b) for a in _CITIES for b in _CITIES if a.endswith(f" {b}")] == []
    assert all(city == city.strip() and city for city in _CITIES)


@given(st.text())
def test_splitting_an_address_invents_nothing(text: str) -> None:
    parts = [part for part in split_address(text) if part]

    assert all(part in " ".join(text.split()) for part in parts)


def test_keys_are_folded() -> None:
    assert fold_keys({"LotSize": 1, "POOL": 2}, "test") == {"lotsize": 1, "pool": 2}
    assert fold_keys([], "test") == {}
    with pytest.raises(LayoutChangedError):
        fold_keys(["strange"], "test")
