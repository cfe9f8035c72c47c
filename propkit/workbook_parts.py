"""An .xlsx file as a zip of parts: which one is a sheet, and what is known of that before its values.

Whoever reads values lays out every cell from A1 to the last one: a blank that a person typed into
XFD1048576 would ask for 17 thousand million of them, and the process would die.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree as ET
from xml.parsers import expat

_MOST_BYTES: Final = 512 * 2**20
_MOST_CELLS: Final = 5_000_000
_MOST_PER_VALUE: Final = 50
"""A sheet may have more cells than the most where one in so many has a value."""

_HEAD_BYTES: Final = 4096
_DIMENSION: Final = re.compile(
    rb"""<(?:\w+:)?dimension\s[^>]*?ref=["'](?:[A-Z]+\d+:)?([A-Z]+)(\d+)["']"""
)
"""Where a worksheet notes how far it reaches; cells that have a format alone count, too."""

BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    LookupError,
    ET.ParseError,
    expat.ExpatError,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)
"""What reading a damaged archive raises."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """A worksheet without its values.

    ``hidden`` has the numbers of the rows that a filter, or a person, has hidden; ``totals`` the
    rows in which a table sums itself up, each with the table's first and last column. In
    ``last_column`` is the last value or formula; one that no program has computed yet has no value.
    """

    hidden: frozenset[int] = frozenset()
    totals: tuple[tuple[int, int, int], ...] = ()
    last_column: int = 0


def sketch(content: bytes, sheet: str) -> Sketch:
    """Look at a worksheet before its values are read.

    Raises
    ------
    ValueError
        It is no such workbook, or too large to be read; the message says how.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            part = find_part(book, sheet)
            seen = _Seen(book.read(part))
            totals = [_totals_of(book.read(table)) for table in tables_of(book, part)]
    except BROKEN as error:
        raise ValueError(f"the workbook cannot be read: {error!r}") from error
    if fault := _judge_reach(sheet, seen):
        raise ValueError(fault)
    summed = tuple(one for some in totals for one in some)
    return Sketch(frozenset(seen.hidden), summed, seen.last_column)


def find_reach_fault(content: bytes, sheet: str) -> str:
    """Return why a sheet is too large to be read, as :func:`sketch` says it; empty where it is not.

    It costs hardly anything for a sheet full of values. What is no such workbook passes: its reader
    will say so.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            part = find_part(book, sheet)
            with book.open(part) as file:
                noted = re.search(_DIMENSION, file.read(_HEAD_BYTES))
            cells = int(noted[2]) * column_of(noted[1].decode()) if noted else _MOST_CELLS + 1
            if cells <= _MOST_CELLS:
                return ""
            xml = book.read(part)
            if noted and cells <= _MOST_PER_VALUE * (xml.count(b"v>") + xml.count(b"is>")) // 2:
                return ""
            seen = _Seen(xml)
    except BROKEN:
        return ""
    return _judge_reach(sheet, seen)


def _judge_reach(sheet: str, seen: _Seen) -> str:
    cells = seen.last_row * seen.last_column
    if cells <= max(_MOST_CELLS, _MOST_PER_VALUE * seen.values):
        return ""
    where = f"{column_name(seen.last_column)}{seen.last_row}"
    return (
        f"the sheet {sheet!r} reaches to {where} and has {seen.values:,} values; delete what stands"
        " so far out"
    )


def check_size(content: bytes) -> None:
    """Refuse an archive that would fill the memory; what is none passes, its reader will say so.

    Raises
    ------
    ValueError
        It would.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            size = sum(info.file_size for info in book.infolist())
    except BROKEN:
        return
    if size > _MOST_BYTES:
        raise ValueError(f"the workbook unpacks to more than {_MOST_BYTES // 2**20} MiB")


def find_main(book: zipfile.ZipFile) -> str:
    """Return the part that lists the sheets."""
    root = _relations(book, "")
    main = next((path for kind, path in root.values() if kind.endswith("/officeDocument")), None)
    if main is None:
        raise ValueError("it is no Excel workbook")
    return main


def find_part(book: zipfile.ZipFile, sheet: str) -> str:
    """Return the part that is a sheet."""
    main = find_main(book)
    relations = _relations(book, main)
    for element in ET.fromstring(book.read(main)).iter():  # noqa: S314 -- expat expands no outer entities
        if local_name(element.tag) == "sheet" and element.get("name") == sheet:
            for name, value in element.attrib.items():
                if local_name(name) == "id" and value in relations:
                    return relations[value][1]
    raise ValueError(f"there is no sheet {sheet!r}")


def tables_of(book: zipfile.ZipFile, part: str) -> list[str]:
    """Return the parts that are the tables (list objects) of a sheet."""
    return [path for kind, path in _relations(book, part).values() if kind.endswith("/table")]


def local_name(name: Any) -> str:
    """Return the name of an element or attribute without its namespace."""
    return str(name).rpartition("}")[2]


def column_name(column: int) -> str:
    """Return the letters of a column, from 1 on: 28 is ``AB``."""
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def column_of(cell: str) -> int:
    """Return the column of a cell's name, from 1 on: ``AB12`` is 28."""
    number = 0
    for letter in cell:
        if not letter.isalpha():
            break
        number = number * 26 + ord(letter.upper()) - 64
    return number


class _Seen:
    """What a worksheet's elements tell of themselves."""

    def __init__(self, xml: bytes) -> None:
        self.hidden: set[int] = set()
        self.last_row = self.last_column = self.values = 0
        self._row = self._column = 0
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.Parse(xml, True)  # noqa: FBT003 -- expat takes it by position

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        local = name.rpartition(":")[2]
        if local == "c":
            self._column = column_of(attributes["r"]) if "r" in attributes else self._column + 1
        elif local in ("v", "is", "f"):
            self.values += local != "f"
            self.last_row = max(self.last_row, self._row)
            self.last_column = max(self.last_column, self._column)
        elif local == "row":
            self._row, self._column = int(attributes.get("r", self._row + 1)), 0
            if attributes.get("hidden") in {"1", "true"}:
                self.hidden.add(self._row)


def _refuse_doctype(*_: Any) -> None:
    raise ValueError("the worksheet has a document type, which no workbook has")


def _totals_of(xml: bytes) -> list[tuple[int, int, int]]:
    table = ET.fromstring(xml)  # noqa: S314
    place = re.fullmatch(r"([A-Z]+)\d+:([A-Z]+)(\d+)", table.get("ref", ""))
    if place is None:
        return []
    first, last, end = column_of(place[1]), column_of(place[2]), int(place[3])
    count = int(table.get("totalsRowCount", 0))
    return [(row, first, last) for row in range(end - count + 1, end + 1)]


def _relations(book: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Return the kind and the path of what a part refers to, by id."""
    folder, name = posixpath.split(part)
    path = posixpath.join(folder, "_rels", f"{name}.rels")
    if path not in book.namelist():
        return {}
    found = {}
    for element in ET.fromstring(book.read(path)).iter():  # noqa: S314
        if local_name(element.tag) == "Relationship" and element.get("TargetMode") != "External":
            target = element.get("Target", "")
            full = target if target.startswith("/") else f"/{posixpath.join(folder, target)}"
            found[element.get("Id", "")] = (
                element.get("Type", ""),
                posixpath.normpath(full).lstrip("/"),
            )
    return found
