"""Reading JSON objects by their layouts: which key holds a column is looked up once a layout.

All answers of a host share a few layouts, an object's keys in their order. A :class:`Shape` says
which keys may hold a record's columns; for each layout it makes a plan, once. So what reading
costs is reading the values, and the plan knows which columns the layout has no key for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final, NamedTuple

from propkit.errors import LayoutChangedError
from propkit.pages import Page
from propkit.records import Record
from propkit.sources._base import read_text

Answer = Mapping[str, Any]
Reader = Callable[[Any, str], Any]
Join = Callable[[Sequence[Any]], Any]

_LAYOUTS_KEPT: Final = 128
_VALUES_KEPT: Final = 4096


class Layout:
    """The keys of an object, by their names in lower case.

    ``is_blank`` says that the object is there but empty (null, "", [] or {}): that is a statement
    about all its fields, while an object that is not there states nothing.
    """

    __slots__ = ("is_blank", "key_of")

    def __init__(self, keys: tuple[str, ...], *, is_blank: bool = False) -> None:
        self.key_of: Mapping[str, str] = {key.lower(): key for key in keys}
        self.is_blank = is_blank


find_layout: Final = lru_cache(maxsize=_LAYOUTS_KEPT)(Layout)


class Fields(NamedTuple):
    """A JSON object with its layout."""

    answer: Answer
    layout: Layout

    def get(self, name: str) -> Any:
        """Return the value under a key whose name in lower case this is, or None."""
        key = self.layout.key_of.get(name)
        return None if key is None else self.answer[key]

    def child(self, name: str, where: str) -> Fields:
        """Return the object under such a key; ``ABSENT`` where there is no such key."""
        key = self.layout.key_of.get(name)
        return ABSENT if key is None else read_fields(self.answer[key], where)


ABSENT: Final = Fields({}, Layout(()))
"""An object that the answer does not carry."""
BLANK: Final = Fields({}, Layout((), is_blank=True))
"""An object that the answer carries, without anything in it."""


def read_fields(value: object, where: str) -> Fields:
    """Return a JSON object with its layout; null, "", [] and {} are a blank one."""
    if isinstance(value, dict):
        return Fields(value, find_layout(tuple(value))) if value else BLANK
    if value is None or value in ("", []):
        return BLANK
    raise LayoutChangedError(f"{where}: expected an object, got {type(value).__name__}")


def page_fields(page: Page) -> Fields:
    """Return the object that a page is, with its layout; looked for once a page."""
    return page.read(_read_page)


def _read_page(page: Page) -> Fields:
    return read_fields(page.json(), page.name)


# --- columns ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a record: the keys that may hold it, as the office writes them in any case.

    ``join`` makes one value of all, None for each key that is not there; without it the first
    that is not absent counts. A column of few different values has a ``memory``.
    """

    name: str
    keys: tuple[str, ...]
    read: Reader
    where: str
    memory: Memory | None = None
    join: Join | None = None


def text(name: str, *keys: str, join: Join | None = None) -> Column:
    """Return a column of texts that hardly ever come again."""
    return Column(name, keys, _read_text, keys[0], join=join)


def code(name: str, *keys: str, join: Join | None = None) -> Column:
    """Return a column of texts out of a small set, such as codes and cities."""
    return Column(name, keys, _read_text, keys[0], _TEXTS, join)


def value(name: str, *keys: str, read: Reader, where: str | None = None) -> Column:
    """Return a column of values that hardly ever come again; an error names it, or ``where``."""
    return Column(name, keys, read, where or keys[0])


def coded_value(name: str, *keys: str, read: Reader) -> Column:
    """Return a column of values out of a small set."""
    return Column(name, keys, read, keys[0], Memory(read, keys[0]))


class Memory(dict[Any, Any]):
    """What a reader has made of values, read when they are first looked up.

    Only texts and None are kept, as 1, 1.0 and True are one key but each reads differently; when
    the memory is full it starts afresh. What cannot be a key (a list) is a TypeError: look it up
    with ``__missing__``.
    """

    def __init__(self, read: Reader, where: str) -> None:
        super().__init__()
        self._read = read
        self._where = where

    def __missing__(self, value: Any) -> Any:
        """Read a value for the first time, or one that is not kept."""
        found = self._read(value, self._where)
        if value is None or type(value) is str:
            if len(self) >= _VALUES_KEPT:
                self.clear()
            self[value] = found
        return found


def _read_text(value: Any, where: str) -> str | None:  # noqa: ARG001
    return read_text(value)


_TEXTS: Final = Memory(_read_text, "")


def pick_first(values: Sequence[Any]) -> Any:
    """Return the first value that is not absent, or None."""
    return next((value for value in values if value is not None and value != ""), None)


# --- shapes -----------------------------------------------------------------------------------

Put = Callable[[Any, Any], None]


class _Plan(NamedTuple):
    """How the columns are read of one layout."""

    codes: tuple[tuple[Put, str, Memory], ...]
    values: tuple[tuple[Put, str, Reader, str], ...]
    joins: tuple[tuple[Put, tuple[str | None, ...], Column], ...]
    absent: tuple[Put, ...]
    said: frozenset[str]


def putters(kind: type[Record]) -> dict[str, Put]:
    """Return what sets each column of a record that is being made, though it is frozen.

    A record's own ``__init__`` takes longer. Every column must be put: one that is not has no
    value, not even its default.
    """
    return {column.name: getattr(kind, column.name).__set__ for column in fields(kind)}


class Shape:
    """The columns of a record that one kind of object holds."""

    def __init__(self, kind: type[Record], *columns: Column) -> None:
        self.columns = frozenset(column.name for column in columns)
        self._columns = columns
        self._put = putters(kind)
        self._plan = lru_cache(maxsize=_LAYOUTS_KEPT)(self._make_plan)

    def fill(self, record: Record, answer: Answer, layout: Layout) -> None:
        """Set the shape's columns of a record that is being made."""
        codes, values, joins, absent, _ = self._plan(layout)
        for put, key, memory in codes:
            value = answer[key]
            try:
                put(record, memory[value])
            except TypeError:
                put(record, memory.__missing__(value))
        for put, key, read, where in values:
            put(record, read(answer[key], where))
        for put, keys, column in joins:
            parts = [None if key is None else answer[key] for key in keys]
            put(record, column.read((column.join or pick_first)(parts), column.where))
        for put in absent:
            put(record, None)

    def said(self, layout: Layout) -> frozenset[str]:
        """Return the columns about which such an object says something."""
        return self._plan(layout).said

    def _make_plan(self, layout: Layout) -> _Plan:
        codes: list[tuple[Put, str, Memory]] = []
        values: list[tuple[Put, str, Reader, str]] = []
        joins: list[tuple[Put, tuple[str | None, ...], Column]] = []
        absent: list[Put] = []
        said: set[str] = set()
        for column in self._columns:
            put = self._put[column.name]
            keys = tuple(layout.key_of.get(key.lower()) for key in column.keys)
            present = [key for key in keys if key is not None]
            if present:
                said.add(column.name)
            if not present:
                absent.append(put)
            elif len(present) > 1 or column.join is not None:
                joins.append((put, keys, column))
            elif column.memory is not None:
                codes.append((put, present[0], column.memory))
            else:
                values.append((put, present[0], column.read, column.where))
        return _Plan(
            tuple(codes),
            tuple(values),
            tuple(joins),
            tuple(absent),
            self.columns if layout.is_blank else frozenset(said),
        )
