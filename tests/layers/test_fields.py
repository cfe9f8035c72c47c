"""Fields of layers: how they are named, and how counties write nothing, numbers and dates."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from propkit.errors import LayoutChangedError, SettingsError
from propkit.layers.fields import Field, find_name, read_column, read_field, read_text, write_field


def column(name: str, values: list[Any], **how: Any) -> tuple[list[Any], str | None]:
    return read_column(name, Field(("F",), **how), ("F",), [{"F": value} for value in values])


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("  A   B ", "A B"), ("A\u00a0B\n", "A B"), ("", None), ("   ", None), ("NULL", None),
        ("<Null>", None), ("N/A", None), (None, None), (True, None), ([], None),
        (12345, "12345"), (12345.0, "12345"), (1.5, "1.5"), (float("nan"), None),
        ("NATHAN", "NATHAN"), (0, "0"),
    ],
)  # fmt: skip
def test_texts_are_read_as_people_write_them(raw: object, text: str | None) -> None:
    assert read_text(raw) == text


def test_numbers_may_be_padded_and_have_commas() -> None:
    values = ["   2,874", 7015, 7015.4, None, "", "NULL", "$1,000.00"]

    assert column("lot_size_sqft", values) == ([2874, 7015, 7015, None, None, None, 1000], None)


def test_a_factor_turns_acres_into_square_feet() -> None:
    assert column("lot_size_sqft", [1, "0.5", None], factor=43560.0)[0] == [43560, 21780, None]


def test_dates_are_days_whatever_they_are_written_as() -> None:
    values = [1361923200000, -86400000, "02/27/2013", "2013-02-27T00:00:00.000", "20130227",
              20130227, 0, "", None]  # fmt: skip
    day = date(2013, 2, 27)

    found = column("deed_date", values)

    assert found == ([day, date(1969, 12, 31), day, day, day, day, None, None, None], None)


def test_an_odd_value_is_absent_and_told_of() -> None:
    found, note = column("lot_size_sqft", ["1", "2", "3", "ABT 4"])

    assert found == [1, 2, 3, None]
    assert note == "lot_size_sqft: 1 values cannot be read, such as 'ABT 4'"


def test_a_column_of_another_kind_is_an_error() -> None:
    with pytest.raises(LayoutChangedError, match="mapped to a field of another kind"):
        column("lot_size_sqft", ["A", "B", "C", "4"])


def test_several_fields_are_joined_where_they_are_filled() -> None:
    rows = [{"N": 12, "D": None, "S": "  MAIN  "}, {"N": None, "D": "", "S": "NULL"}]

    found = read_column("situs_address", Field(("N", "D", "S")), ("N", "D", "S"), rows)

    assert found == (["12 MAIN", None], None)


def test_a_pattern_is_replaced() -> None:
    assert column("apn", ["1-2 3", None], pattern="[- ]")[0] == ["123", None]


def test_a_missing_field_is_named() -> None:
    with pytest.raises(LayoutChangedError, match="no field 'G' for apn; it has F"):
        read_column("apn", Field(("G",)), ("F",), [{"F": 1}])


@pytest.mark.parametrize(
    ("name", "names", "found"),
    [
        ("PIN", ("PIN", "pin"), "PIN"),
        ("pin", ("PIN",), "PIN"),
        ("Pin", ("PIN", "pin"), None),
        ("PIN", ("C.A.PIN", "C.A.OWNER"), "C.A.PIN"),
        ("C.A.PIN", ("PIN",), "PIN"),
        ("PIN", ("A.PIN", "B.PIN"), None),
        ("X", (), None),
    ],
)
def test_names_are_found_as_the_layer_spells_them(
    name: str, names: tuple[str, ...], found: str | None
) -> None:
    assert find_name(name, names) == found


@pytest.mark.parametrize(
    "given",
    ["A", ["A", "B"], {"field": "A", "factor": 2.0}, {"fields": ["A", "B"], "separator": "-"},
     {"field": "A", "pattern": "x", "replace": "y"}],
)  # fmt: skip
def test_a_field_is_written_as_it_is_read(given: Any) -> None:
    field = read_field("apn", given)

    assert read_field("apn", write_field(field)) == field


@pytest.mark.parametrize(
    ("column_name", "given"),
    [("nothing", "A"), ("apn", ""), ("apn", 7), ("apn", []), ("apn", {"field": "A", "x": 1}),
     ("apn", {"field": "A", "pattern": "("}), ("apn", ["A", 7]), ("apn", {"field": "A", "factor": "x"})],
)  # fmt: skip
def test_what_is_no_field_is_refused(column_name: str, given: Any) -> None:
    with pytest.raises(SettingsError):
        read_field(column_name, given)
