"""Columns of JSON values read at once, where all are written as they mostly are.

What is plain is told of a whole column, or of many of a kind, by a few calls; what is not plain,
be it one value, is left to the readers of single values (:mod:`propkit.sources._base`), and what
both can read they read alike.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import chain, product
from math import isfinite
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from propkit.sources._base import ABSENT

Kind = Literal["text", "apn", "whole", "number", "money", "flag", "day"]
"""What a column's values are read as."""

TYPES: Final[Mapping[Kind, pa.DataType]] = {
    "text": pa.string(),
    "apn": pa.string(),
    "whole": pa.int64(),
    "number": pa.float64(),
    "money": pa.decimal128(14, 2),
    "flag": pa.bool_(),
    "day": pa.date32(),
}
"""The type that holds a kind's values."""

_Values = Sequence[Any]
_Reader = Callable[[_Values], pa.Array | None]
"""Reads values of the types it is for, and None; gives None where one of them is not plain."""

_NOTHING: Final = type(None)


@cache
def _absent() -> pa.Array:
    """Return every way to write what stands for nothing.

    Made where it is first needed: Arrow takes megabytes for a thread that holds something of it.
    """
    return pa.array(
        sorted(
            "".join(letters)
            for word in ABSENT
            for letters in product(*({letter.lower(), letter.upper()} for letter in word))
        )
    )


_PRINTABLE: Final = bytes(range(0x20, 0x7F))
_APN_TEXTS: Final = re.compile(r"(?:\d{3}-?\d\d-?\d{3}[A-Z]{0,2}\n)*+", re.ASCII)
_WHOLE_TEXTS: Final = re.compile(r"(?:-?\d+\n)*+", re.ASCII)
_NUMBER_TEXTS: Final = re.compile(r"(?:-?\d+(?:\.\d*)?\n)*+", re.ASCII)
_DAY_TEXTS: Final = re.compile(r"(?:(?!0000)\d{4}-\d\d-\d\d\n)*+", re.ASCII)
_WIDE: Final = pa.decimal128(21, 2)
"""What holds any 64-bit whole number with cents."""


def read_plain(columns: Mapping[str, _Values], kinds: Mapping[str, Kind]) -> dict[str, pa.Array]:
    """Return those of the columns, all of one length, whose values are all plain.

    ``kinds`` has what each is to be read as.
    """
    alike: dict[tuple[Kind, frozenset[type]], list[str]] = defaultdict(list)
    for name, values in columns.items():
        alike[kinds[name], frozenset(map(type, values)) - {_NOTHING}].append(name)
    found: dict[str, pa.Array] = {}
    for (kind, types), names in alike.items():
        read = _READERS.get((kind, types)) if types else partial(_read_nothing, kind)
        if read is not None:
            # All of a kind at once: to ask Arrow takes longer than what it then does.
            found |= _read_together({name: columns[name] for name in names}, read)
    return found


def make_column(values: _Values, kind: Kind) -> pa.Array:
    """Return values that were read one by one as a column of their kind."""
    return pa.array(values, TYPES[kind])


def _read_together(columns: Mapping[str, _Values], read: _Reader) -> dict[str, pa.Array]:
    array = _try(read, list(chain.from_iterable(columns.values())))
    if array is None and len(columns) > 1:
        singly = ((name, _try(read, values)) for name, values in columns.items())
        return {name: one for name, one in singly if one is not None}
    if array is None:
        return {}
    size = len(array) // len(columns)
    return {name: array.slice(n * size, size) for n, name in enumerate(columns)}


def _try(read: _Reader, values: _Values) -> pa.Array | None:
    try:
        return read(values)
    except (ValueError, OverflowError):  # a number beyond measure, the 30th of February
        return None


def _are(lines: re.Pattern[str], values: _Values) -> bool:
    """Whether each text is such a line, and only one."""
    said = [value for value in values if value is not None]
    text = "\n".join([*said, ""])
    return text.count("\n") == len(said) and lines.fullmatch(text) is not None


def _as_texts(values: _Values) -> _Values:
    return [None if value is None else str(value) for value in values]


def _read_nothing(kind: Kind, values: _Values) -> pa.Array:
    return pa.nulls(len(values), TYPES[kind])


def _read_texts(values: _Values) -> pa.Array | None:
    texts = pa.array(values, TYPES["text"])
    *_, data = texts.buffers()  # of all texts, one behind the other
    said = b"" if data is None else data.to_pybytes()
    is_plain = b"  " not in said and not said.translate(None, _PRINTABLE)
    if not is_plain or not pc.ascii_trim_whitespace(texts).equals(texts):
        return None
    is_absent = pc.is_in(texts, value_set=_absent())
    return pc.if_else(is_absent, None, texts) if pc.any(is_absent).as_py() else texts


def _read_apns(values: _Values) -> pa.Array | None:
    if not _are(_APN_TEXTS, values):
        return None
    return pa.array([value and value.replace("-", "") for value in values], TYPES["apn"])


def _read_wholes(values: _Values) -> pa.Array:
    return pa.array(values, TYPES["whole"])


def _read_whole_texts(values: _Values) -> pa.Array | None:
    if not _are(_WHOLE_TEXTS, values):
        return None
    return pa.array(values, TYPES["text"]).cast(TYPES["whole"])


def _read_money(values: _Values) -> pa.Array:
    return _read_wholes(values).cast(_WIDE).cast(TYPES["money"])


def _read_money_texts(values: _Values) -> pa.Array | None:
    if not _are(_NUMBER_TEXTS, values):
        return None
    return pa.array(values, TYPES["text"]).cast(TYPES["money"])


def _read_numbers(values: _Values) -> pa.Array | None:
    return pa.array(values, TYPES["number"]) if isfinite(sum(filter(None, values))) else None


def _read_number_texts(values: _Values) -> pa.Array | None:
    if not _are(_NUMBER_TEXTS, values):
        return None
    said = [None if value is None else float(value) for value in values]
    return pa.array(said, TYPES["number"])


def _read_flags(values: _Values) -> pa.Array | None:
    if not {0, 1, None}.issuperset(values):
        return None
    return _read_wholes(values).cast(TYPES["flag"])


def _read_true_flags(values: _Values) -> pa.Array:
    return pa.array(values, TYPES["flag"])


def _read_days(values: _Values) -> pa.Array | None:
    if not _are(_DAY_TEXTS, values):
        return None
    return pa.array(values, TYPES["text"]).cast(TYPES["day"])


_MIXED: Final = ((int, str), (float, str), (int, float, str))
_READERS: Final[Mapping[tuple[Kind, frozenset[type]], _Reader]] = {
    ("text", frozenset({str})): _read_texts,
    ("apn", frozenset({str})): _read_apns,
    ("whole", frozenset({int})): _read_wholes,
    ("whole", frozenset({str})): _read_whole_texts,
    ("money", frozenset({int})): _read_money,
    ("money", frozenset({str})): _read_money_texts,
    **{
        ("money", frozenset(types)): lambda values: _read_money_texts(_as_texts(values))
        for types in ((float,), (int, float), *_MIXED)
    },
    **{("number", frozenset(types)): _read_numbers for types in ((int,), (float,), (int, float))},
    ("number", frozenset({str})): _read_number_texts,
    **{
        ("number", frozenset(types)): lambda values: _read_number_texts(_as_texts(values))
        for types in _MIXED
    },
    ("flag", frozenset({int})): _read_flags,
    ("flag", frozenset({bool})): _read_true_flags,
    ("day", frozenset({str})): _read_days,
}
"""Reads columns, by what they are read as and the types of their values."""
