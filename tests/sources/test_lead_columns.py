"""Leads read by whole columns are those that the readers of single values give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propkit.errors import LayoutChangedError
from propkit.records import Lead
from propkit.sources import _propertyradar_rows as rows_module
from propkit.sources._plain_columns import TYPES, read_plain
from propkit.sources._propertyradar_rows import FIELDS, read_leads

if TYPE_CHECKING:
    from propkit.sources._plain_columns import Kind

FIELD_OF: dict[str, Any] = dict(rows_module._COLUMNS)
"""A field for each column, by column."""
PLAIN: dict[Kind, list[Any]] = {
    "text": ["MESA", "12 E MAIN ST", "NA", "n/a", "nUll", "None", "", "a", 'O\'NEIL "JO" \\ & CO'],
    "apn": ["132-38-011A", "13238011", "132-38-012", "00000000AB"],
    "whole": [0, 7, -7, "7247", "007", "-3", 2**63 - 1, -(2**63)],
    "number": [33.5, -112.25, 2, "2.5", "7", "5.", "-0.5", 1e-7, 2**53],
    "money": [267000, -5, "2742.84", "0", "5.", 12.5, "-3.10", 0.1, 999_999_999_999],
    "flag": [0, 1, True, False],
    "day": ["2018-08-16", "2024-02-29", "9999-12-31", "0001-01-01"],
}
ODD: list[Any] = [
    *(" MESA", "MESA ", "A  B", "A\tB", "A\nB", "\n", "\x7f", "ÉCOLE", "\ud800", "١٢", "N/A ", " "),
    *("132-38-0A1", "132-38-011\n132-38-012", "132 38 011", "1\n2", "1.5.2", ".5", "1e3", "+5"),
    *("$1,234.56", "($5.00)", "1.005", "12.345", "1e16", "--3", "-", ".", "5-", "2-29", "Y", "no"),
    *("2021-02-29", "0000-01-01", "2021-2-9", "2/9/2021", "2021-02-09T10:00:00", "10000-01-01"),
    *(2**63, -(2**63) - 1, 10**30, 2**53 + 1, 1e12, 1e18, 1e300, float("nan"), float("inf")),
    *(2, 0.5, 1.0, 0.0, 1.005, True, False, [], {}, ["x"], {"a": 1}, 10**12, -(10**12)),
]


def read_singly(column: str, value: Any) -> Any:
    """Read one value; None where it cannot be read."""
    try:
        return FIELD_OF[column].read(value)
    except LayoutChangedError:
        return None


def as_told(values: list[Any]) -> list[tuple[type, Any]]:
    """Return values with their types: 1, 1.0 and True are not the same."""
    return [(type(value), str(value) if isinstance(value, float) else value) for value in values]


@st.composite
def a_column(draw: st.DrawFn) -> tuple[str, list[Any]]:
    """Return a column and values for it: mostly plain, of one type or of several."""
    column = draw(st.sampled_from(sorted(FIELD_OF)))
    said: list[Any] = PLAIN[FIELD_OF[column].kind]
    if draw(st.booleans()):
        kind = type(draw(st.sampled_from(said)))
        said = [value for value in said if type(value) is kind]
    if draw(st.booleans()):
        said = [*said, *ODD]
    return column, draw(st.lists(st.sampled_from([*said, None]), min_size=1, max_size=6))


@settings(max_examples=100, deadline=None)
@given(a_column())
def test_a_column_is_read_as_its_values_are(given: tuple[str, list[Any]]):
    """Whatever stands beside a value, it is read as it is alone, or is absent and noted."""
    check_column(*given)


@pytest.mark.parametrize(
    "column", ["owner", "apn", "sq_ft", "latitude", "avm", "pool", "first_date"]
)
def test_an_odd_value_is_seen_among_plain_ones(column: str):
    """Each is, beside plain ones of its type and beside all."""
    plain = PLAIN[FIELD_OF[column].kind]
    for odd in ODD:
        check_column(column, [*[value for value in plain if type(value) is type(odd)], odd])
        check_column(column, [odd, *plain, None])


def check_column(column: str, values: list[Any]) -> None:
    """Read a column at once, and see that it holds what its values are when read singly."""
    name = FIELD_OF[column].name
    rows = [{"RadarID": f"P{number}", name: value} for number, value in enumerate(values)]

    leads, _, notes = read_leads(rows, "c", "a page")

    expected = [read_singly(column, value) for value in values]
    assert as_told([getattr(lead, column) for lead in leads]) == as_told(expected)  # type: ignore[call-overload]
    unread = [f"P{n}" for n, value in enumerate(values) if is_refused(column, value)]
    assert [note.partition(":")[0] for note in notes] == unread


def is_refused(column: str, value: Any) -> bool:
    """Whether a value cannot be read."""
    try:
        FIELD_OF[column].read(value)
    except LayoutChangedError:
        return True
    return False


@pytest.mark.parametrize("kind", list(PLAIN))
def test_what_is_mostly_written_is_read_at_once(kind: Kind):
    """Else nothing is wrong but the time it takes."""
    by_type: dict[type, list[Any]] = {}
    for value in PLAIN[kind]:
        by_type.setdefault(type(value), []).append(value)
    columns = {str(of): [*values, None] for of, values in by_type.items()}
    columns["nothing"] = [None, None]

    found = {
        name: read_plain({name: values}, {name: kind})[name] for name, values in columns.items()
    }

    assert {array.type for array in found.values()} == {TYPES[kind]}
    assert found["nothing"].to_pylist() == [None, None]


def test_a_lead_that_comes_twice_is_one_and_a_field_that_one_row_lacks_is_unsaid():
    """It stands where it came first, as it came last; all fields of all rows are looked at."""
    whole = dict.fromkeys(FIELDS)
    rows = [
        {**whole, "RadarID": "P1", "Owner": "FIRST", "SqFt": 1, "AVM": "1.50"},
        {**whole, "RadarID": "P2", "Owner": "OTHER", "SqFt": "2,000", "AVM": 2},
        {**whole, "RadarID": " P1 ", "Owner": "LAST", "SqFt": 3, "AVM": "much"},
    ]
    del rows[0]["City"]

    leads, unsaid, notes = read_leads(rows, "c", "a page")

    assert unsaid == {"city"}
    assert notes == ("P1: AVM 'much' cannot be read",)
    assert list(leads) == [
        Lead(radar_id="P1", criteria_id="c", owner="LAST", sq_ft=3),
        Lead(radar_id="P2", criteria_id="c", owner="OTHER", sq_ft=2000, avm=2),  # type: ignore[arg-type]
    ]
    with pytest.raises(LayoutChangedError, match="a page: a row without RadarID"):
        read_leads([*rows, {**whole, "RadarID": "na"}], "c", "a page")
    assert read_leads([], "c", "a page")[0] == ()
