"""Shapes: what is compiled for a layout reads as a plain reading of each column does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from propkit.errors import LayoutChangedError
from propkit.sources._base import read_decimal, read_int, read_text
from propkit.sources._layouts import (
    ABSENT,
    BLANK,
    Column,
    Fields,
    Shape,
    code,
    coded_value,
    pick_first,
    read_fields,
    text,
    value,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def join_lines(lines: Sequence[Any]) -> str:
    return " ".join(line for line in map(read_text, lines) if line)


COLUMNS = (
    text("owner", "Owner"),
    coded_value("year", "TaxYear", read=read_int),
    value("amount", "Amount", "FullAmount", read=read_decimal),
    text("address", "Line1", "Line2", join=join_lines),
    code("city", "City", "Town"),
    value("size", "Size", read=read_int, where="the size"),
)
KEYS = sorted({key for column in COLUMNS for key in column.keys})
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-9, 10**6),
    st.floats(allow_nan=False),
    st.text(max_size=4),
    st.sampled_from(["na", " 2,874", "1997", "$1,234.50", "12.5", "MESA  AZ", [], {}, ["a"], {"a": 1}]),
)  # fmt: skip
ANSWERS = st.lists(
    st.tuples(st.sampled_from([*KEYS, "Else"]), st.sampled_from([str, str.lower, str.upper])),
    max_size=len(KEYS),
    unique_by=lambda pair: pair[0],
).flatmap(lambda keys: st.fixed_dictionaries({case(key): VALUES for key, case in keys}))


def read_plainly(fields: Fields) -> tuple[Any, ...]:
    """Read one column after another: those with a memory first, joined ones last."""

    def turn(column: Column) -> int:
        present = sum(key.lower() in fields.layout.key_of for key in column.keys)
        is_joined = present > 1 or column.join is not None
        return 2 if is_joined else 1 if column.memory is None else 0

    found = {}
    for column in sorted(COLUMNS, key=turn):
        asked = [fields.get(key.lower()) for key in column.keys]
        is_there = any(key.lower() in fields.layout.key_of for key in column.keys)
        joined = (column.join or pick_first)(asked)
        found[column.name] = column.read(joined, column.where) if is_there else None
    return tuple(found[column.name] for column in COLUMNS)


def attempt(read: Any, fields: Fields) -> tuple[Any, ...] | str:
    try:
        return tuple((type(each), each) for each in read(fields))
    except LayoutChangedError as error:
        return str(error)


@given(st.lists(ANSWERS, min_size=1, max_size=3))
def test_a_compiled_reading_gives_what_a_plain_one_gives(answers: list[dict[str, Any]]) -> None:
    shape = Shape(*COLUMNS)
    for answer in answers:
        fields = read_fields(answer, "the answer")

        read = attempt(shape.read, fields)

        assert read == attempt(read_plainly, fields)
        assert read == attempt(lambda some: shape.reader(some.layout)(some.answer), fields)
        assert shape.said(fields.layout) == (
            shape.columns
            if not answer
            else {
                column.name
                for column in COLUMNS
                if {key.lower() for key in column.keys} & {key.lower() for key in answer}
            }
        )


def test_an_object_without_anything_in_it_says_all_that_one_that_is_not_there_does_not() -> None:
    shape = Shape(*COLUMNS)

    assert (shape.read(BLANK), shape.read(ABSENT)) == ((None,) * 6, (None,) * 6)
    assert (shape.said(BLANK.layout), shape.said(ABSENT.layout)) == (shape.columns, frozenset())


def test_a_key_is_no_code() -> None:
    """What an office calls its fields is never run."""
    key = "City'] or 1/0 #"
    shape = Shape(code("city", key), text("owner", "return 1/0\n    1/0"))

    read = shape.read(read_fields({key: "MESA", "return 1/0\n    1/0": "SMITH"}, "the answer"))

    assert read == ("MESA", "SMITH")
