"""Reading JSON objects by their layouts: which key holds a column is looked up once a layout.

All answers of a host share a few layouts, an object's keys in their order. A :class:`Shape` says
which keys may hold a record's columns; for each layout it makes a plan, once. So what reading
costs is reading the values, and the plan knows which columns the layout has no key for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from propkit.errors import LayoutChangedError
from propkit.pages import Page
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

Values = tuple[Any, ...]


class _Plan(NamedTuple):
    """How the columns are read of one layout."""

    read: Callable[[Answer], Values]
    said: frozenset[str]


class Shape:
    """The columns of a record that one kind of object holds; ``names`` has them in order."""

    def __init__(self, *columns: Column) -> None:
        self.names = tuple(column.name for column in columns)
        self.columns = frozenset(self.names)
        self._columns = columns
        self._plan = lru_cache(maxsize=_LAYOUTS_KEPT)(self._make_plan)

    def read(self, fields: Fields) -> Values:
        """Return the values of the shape's columns, in the order of ``names``."""
        return self._plan(fields.layout).read(fields.answer)

    def reader(self, layout: Layout) -> Callable[[Answer], Values]:
        """Return what reads the values of one object after another of a layout."""
        return self._plan(layout).read

    def said(self, layout: Layout) -> frozenset[str]:
        """Return the columns about which such an object says something."""
        return self._plan(layout).said

    def _make_plan(self, layout: Layout) -> _Plan:
        keys = [[layout.key_of.get(key.lower()) for key in one.keys] for one in self._columns]
        held = zip(self._columns, keys, strict=True)
        said = frozenset(column.name for column, some in held if any(some))
        read = _compile(self._columns, keys)
        return _Plan(read, self.columns if layout.is_blank else said)


def _compile(
    columns: Sequence[Column], keys: Sequence[Sequence[str | None]]
) -> Callable[[Answer], Values]:
    """Return a function that reads columns, each from the keys that one layout has for it.

    Those with a memory are read first, joined ones last. A loop over the columns would take half
    as long again for every answer. Nothing that an office says stands in the text: a key, as any
    other value, is called by a name.
    """
    named: dict[str, Any] = {"look_up": _look_up}

    def name(value: Any) -> str:
        named[f"name_{len(named)}"] = value
        return f"name_{len(named) - 1}"

    codes, looked_up, values, joins = [], [], [], []
    for place, (column, some) in enumerate(zip(columns, keys, strict=True)):
        parts = ["None" if key is None else f"answer[{name(key)}]" for key in some]
        present = [part for part in parts if part != "None"]
        if not present:
            values.append(f"value_{place} = None")
        elif len(present) > 1 or column.join is not None:
            joined = f"{name(column.join or pick_first)}([{', '.join(parts)}])"
            joins.append(f"value_{place} = {name(column.read)}({joined}, {name(column.where)})")
        elif column.memory is not None:
            memory = name(column.memory)
            codes.append(f"value_{place} = {memory}[{present[0]}]")
            looked_up.append(f"value_{place} = look_up({memory}, {present[0]})")
        else:
            read = f"{name(column.read)}({present[0]}, {name(column.where)})"
            values.append(f"value_{place} = {read}")
    found = "".join(f"value_{place}, " for place in range(len(columns)))
    text = f"""
def read(answer):
    try:
        {"; ".join(codes) or "pass"}
    except TypeError:
        {"; ".join(looked_up) or "raise"}
    {"; ".join([*values, *joins]) or "pass"}
    return ({found})
"""
    exec(text, named)  # noqa: S102
    reading: Callable[[Answer], Values] = named["read"]
    return reading


def _look_up(memory: Memory, value: Any) -> Any:
    """Return what a memory has of any value, a list too."""
    try:
        return memory[value]
    except TypeError:
        return memory.__missing__(value)
