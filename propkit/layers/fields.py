"""From a layer's fields to propkit's columns: which field is which, and how its values are read.

Values are read by whole columns. What a county writes in place of nothing ("", "NULL", blanks) is
absent; numbers may be padded and have commas; dates may be milliseconds since 1970. A value that
cannot be read is absent too, and told of: one odd lot size is no reason to lose a thousand parcels.
Where most values of a column are so, the column is mapped to the wrong field, which is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from propkit.errors import LayoutChangedError, SettingsError
from propkit.records import Parcel, column_names

Attributes = Mapping[str, Any]

COLUMNS: Final = tuple(
    name for name in column_names(Parcel) if name not in {"county", *Parcel.noted}
)
"""The columns that a layer's fields can be mapped to."""


@dataclass(frozen=True, slots=True)
class Field:
    """Where a column comes from: one field, or several joined.

    Parameters
    ----------
    names
        Fields of the layer; those that are not empty are joined.
    separator
        What stands between them.
    factor
        What a number is multiplied by: 43560 for a lot size in acres.
    pattern, replace
        A regular expression, and what stands in place of what it matches.
    """

    names: tuple[str, ...]
    separator: str = " "
    factor: float | None = None
    pattern: str | None = None
    replace: str = ""


def read_field(column: str, given: object) -> Field:
    """Return a field from settings: a name, a list of names, or a table.

    Raises
    ------
    SettingsError
        There is no such column, or it is no field.
    """
    if column not in COLUMNS:
        raise SettingsError(f"parcels have no column {column!r}; expected {', '.join(COLUMNS)}")
    if isinstance(given, Field):
        return given
    table: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {"field": given}
    names = table.pop("field", None) or table.pop("fields", None)
    names = [names] if isinstance(names, str) else names
    if (
        isinstance(names, (list, tuple))
        and names
        and all(isinstance(name, str) and name for name in names)
    ):
        with suppress(TypeError, re.error):
            field = Field(tuple(names), **table)
            re.compile(field.pattern or "")
            if field.factor is None or isinstance(field.factor, (int, float)):
                return field
    raise SettingsError(
        f"{column} must be a field's name, a list of names, or a table with field, separator,"
        f" factor, pattern and replace, not {given!r:.80}"
    )


def write_field(field: Field) -> Any:
    """Return a field as :func:`read_field` reads it and JSON can hold it."""
    if field == Field(field.names):
        return field.names[0] if len(field.names) == 1 else list(field.names)
    extras = {name: getattr(field, name) for name in ("separator", "factor", "pattern", "replace")}
    plain = {"separator": " ", "factor": None, "pattern": None, "replace": ""}
    said = {name: value for name, value in extras.items() if value != plain[name]}
    return {"fields": list(field.names), **said}


@lru_cache(maxsize=512)
def find_name(name: str, names: tuple[str, ...]) -> str | None:
    """Return the layer's own spelling of a field, None where it has none.

    A join's names are dotted (``CAGIS.PARCELS.PIN``): the last part is enough where it is the
    only one of its kind; case does not matter.
    """
    if name in names:
        return name
    for form in (str.lower, _last_part):
        found = [one for one in names if form(one) == form(name)]
        if len(found) == 1:
            return found[0]
    return None


def _last_part(name: str) -> str:
    return name.rpartition(".")[2].lower()


# --- values -----------------------------------------------------------------------------------

ABSENT: Final = frozenset({"", "na", "n/a", "null", "none", "<null>", "nan"})
_LONGEST_ABSENT: Final = 6
_TEXTS_AND_NOTHING: Final = {str, type(None)}
_NUMBER: Final = re.compile(r"-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
FIRST_DAY, LAST_DAY = 17_000_101, 22_001_231
"""A number between them is a day: 20130227."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DATES: Final = (
    (re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})(?=$|[T\s])", re.ASCII), (3, 1, 2)),
    (re.compile(r"(\d{4})[/-](\d{1,2})[/-](\d{1,2})(?=$|[T\s])", re.ASCII), (1, 2, 3)),
    (re.compile(r"(\d{4})(\d{2})(\d{2})$", re.ASCII), (1, 2, 3)),
)
_YES, _NO = frozenset({"y", "yes", "true", "t", "1"}), frozenset({"n", "no", "false", "f", "0"})
_WRONG_SHARE: Final = 0.5
MOST: Final = 1e15
"""A number from here on is none."""


def read_text(value: Any) -> str | None:
    """Return a text as people write it: trimmed, inner blanks folded, a whole number plain."""
    if value.__class__ is not str:
        if value is None or value is True or value is False or isinstance(value, (list, dict)):
            return None
        if isinstance(value, float):
            if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124
                return None
            value = int(value) if value.is_integer() else value
        value = str(value)
    is_folded = "  " not in value and value.isprintable()
    value = value.strip() if is_folded else " ".join(value.split())
    if len(value) <= _LONGEST_ABSENT and value.lower() in ABSENT:
        return None
    return value  # type: ignore[no-any-return]


def read_texts(values: Sequence[Any]) -> list[str | None]:
    """Return a column's texts; what comes again and again (cities, codes) is read once."""
    # Of other kinds 1, 1.0 and True are one key, and each reads differently.
    if set(map(type, values)) <= _TEXTS_AND_NOTHING:
        read = {value: read_text(value) for value in set(values)}
        return [read[value] for value in values]
    return list(map(read_text, values))


def _read_number(value: Any) -> float | None:
    if value.__class__ is float or value.__class__ is int:
        number = float(value)
        return number if abs(number) < MOST else None
    text = read_text(value)
    if text is None:
        return None
    plain = text.replace(",", "").lstrip("$").strip()
    if _NUMBER.fullmatch(plain) is None:
        raise ValueError(text)
    return float(plain)


def _read_int(value: Any) -> int | None:
    number = _read_number(value)
    return None if number is None else round(number)


def _read_date(value: Any) -> date | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value == 0:
            return None
        if not FIRST_DAY <= value <= LAST_DAY:  # no 20130227
            return (_EPOCH + timedelta(milliseconds=value)).date()
    text = read_text(value)
    if text is None or text == "0":
        return None
    for pattern, (year, month, day) in _DATES:
        if match := pattern.match(text):
            return date(int(match[year]), int(match[month]), int(match[day]))
    raise ValueError(text)


def _read_bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    text = read_text(value)
    if text is None:
        return None
    word = text.lower()
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise ValueError(text)


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "lot_size_sqft": _read_int,
    "is_rental": _read_bool,
    "latitude": _read_number,
    "longitude": _read_number,
    "deed_date": _read_date,
}
NUMBERS: Final = frozenset({"lot_size_sqft", "latitude", "longitude"})
TEXTS: Final = frozenset(COLUMNS).difference(_READERS)


def read_column(
    column: str, field: Field, names: tuple[str, ...], rows: Sequence[Attributes]
) -> tuple[list[Any], str | None]:
    """Return a column's values, and what is odd about them.

    ``names`` are the layer's fields.

    Raises
    ------
    LayoutChangedError
        The layer has no such field, or most of its values are no such thing.
    """
    real = spell_field(column, field, names)
    return read_values(column, field, [[row.get(name) for row in rows] for name in real])


def spell_field(column: str, field: Field, names: tuple[str, ...]) -> list[str]:
    """Return a field's names as the layer (``names``) spells them.

    Raises
    ------
    LayoutChangedError
        The layer has no such field.
    """
    real = []
    for name in field.names:
        found = find_name(name, names)
        if found is None:
            raise LayoutChangedError(
                f"the layer has no field {name!r} for {column}; it has {', '.join(names):.200}"
            )
        real.append(found)
    return real


def read_values(
    column: str, field: Field, held: Sequence[list[Any]]
) -> tuple[list[Any], str | None]:
    """Return a column's values, given those of its fields, and what is odd about them.

    Raises
    ------
    LayoutChangedError
        Most of the values are no such thing.
    """
    reader = _READERS.get(column, read_text)
    values = _join(held, field.separator) if len(held) > 1 else held[0]
    if field.pattern is not None:
        values = substitute(field, values)
    if field.factor is not None and column in NUMBERS:
        factor = field.factor
        return _read_all(column, values, lambda value: _scale(_read_number(value), factor, reader))
    if reader is read_text:
        return read_texts(values), None
    return _read_all(column, values, reader)


def substitute(field: Field, values: Iterable[Any]) -> list[str | None]:
    """Return values as texts, with what the field's pattern matches replaced."""
    sub = re.compile(field.pattern or "").sub
    return [
        None if (text := read_text(value)) is None else sub(field.replace, text) for value in values
    ]


def _scale(number: float | None, factor: float, reader: Callable[[Any], Any]) -> Any:
    return None if number is None else reader(number * factor)


def _join(columns: Iterable[list[Any]], separator: str) -> list[str | None]:
    texts = [read_texts(column) for column in columns]
    return [separator.join(filter(None, parts)) or None for parts in zip(*texts, strict=True)]


def _read_all(
    column: str, values: Iterable[Any], reader: Callable[[Any], Any]
) -> tuple[list[Any], str | None]:
    found, wrong = [], []
    for value in values:
        try:
            found.append(reader(value))
        except (ValueError, OverflowError):
            found.append(None)
            wrong.append(value)
    if not wrong:
        return found, None
    filled = sum(value is not None for value in found)
    note = f"{column}: {len(wrong)} values cannot be read, such as {wrong[0]!r:.40}"
    if len(wrong) > 2 and len(wrong) > _WRONG_SHARE * (len(wrong) + filled):
        raise LayoutChangedError(f"{note}: the column is mapped to a field of another kind")
    return found, note
