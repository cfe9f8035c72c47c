"""Change cells in a worksheet's XML and leave every other byte of it as it is; pure.

A library that reads a workbook and writes it again loses what it does not know: pictures, comments,
slicers, the author's formats. Here the places of the cells are found and new ones spliced in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from propkit.errors import SheetError
from propkit.workbook_parts import column_name, column_of

Value = str | int
Cells = Mapping[tuple[int, int], Value]
"""New values by row and column, both from 1."""

_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(slots=True)
class _Cell:
    column: int
    start: int
    end: int = 0
    style: str = ""
    is_formula: bool = False


@dataclass(slots=True)
class _Row:
    number: int
    start: int
    tag_end: int = 0
    end: int = 0
    is_empty_tag: bool = False
    cells: list[_Cell] = field(default_factory=list)
    spans: str = ""


class _Places:
    """Where the rows and cells of a worksheet stand, by byte."""

    def __init__(self, xml: bytes) -> None:
        self.rows: list[_Row] = []
        self.data_end = -1
        self.styles: list[tuple[int, int, str]] = []
        self.merged: list[str] = []
        self.prefix = ""
        self.xml = xml
        self._cell: _Cell | None = None
        self._in_data = False
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.XmlDeclHandler = _refuse_encoding
        self._parser = parser
        try:
            parser.Parse(xml, True)  # noqa: FBT003 -- expat takes it by position
        except expat.ExpatError as error:
            raise SheetError(f"the worksheet is no XML: {error}") from None

    def style_of(self, column: int) -> str:
        """Return the style of a column; blank where it has none."""
        return next((style for low, high, style in self.styles if low <= column <= high), "")

    def merge_of(self, row: int, column: int) -> str:
        """Return the merged cells that hide a cell; blank where it is seen."""
        for ref in self.merged:
            found = re.fullmatch(r"([A-Z]+)(\d+):([A-Z]+)(\d+)", ref)
            if found is None:
                continue
            left, top = column_of(found[1]), int(found[2])
            is_in = left <= column <= column_of(found[3]) and top <= row <= int(found[4])
            if is_in and (row, column) != (top, left):
                return ref
        return ""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        prefix, _, local = name.rpartition(":")
        here = self._parser.CurrentByteIndex
        if local == "sheetData":
            self.prefix = f"{prefix}:" if prefix else ""
            self._in_data = True
            if self._is_empty_tag(here):
                raise SheetError("the worksheet has no rows")
        elif local == "col" and attributes.get("style"):
            self.styles.append(
                (int(attributes["min"]), int(attributes["max"]), attributes["style"])
            )
        elif local == "row" and self._in_data:
            last = self.rows[-1].number if self.rows else 0
            row = _Row(int(attributes.get("r", last + 1)), here, self._tag_end(here))
            row.is_empty_tag = self._is_empty_tag(here)
            row.end = row.tag_end if row.is_empty_tag else 0
            row.spans = attributes.get("spans", "")
            self.rows.append(row)
        elif local == "c" and self._in_data and self.rows:
            cells = self.rows[-1].cells
            last = cells[-1].column if cells else 0
            column = column_of(attributes["r"]) if "r" in attributes else last + 1
            self._cell = _Cell(column, here, style=attributes.get("s", ""))
            self._cell.end = self._tag_end(here) if self._is_empty_tag(here) else 0
            cells.append(self._cell)
        elif local == "mergeCell":
            self.merged.append(attributes.get("ref", ""))
        elif local == "f" and self._cell is not None:
            self._cell.is_formula = True

    def _end(self, name: str) -> None:
        local = name.rpartition(":")[2]
        if local == "c" and self._cell is not None:
            # Of an element in one tag the parser tells no place for its end.
            self._cell.end = self._cell.end or self._tag_end(self._parser.CurrentByteIndex)
            self._cell = None
        elif local == "row" and self._in_data:
            row = self.rows[-1]
            row.end = row.end or self._tag_end(self._parser.CurrentByteIndex)
        elif local == "sheetData":
            self._in_data = False
            self.data_end = self._parser.CurrentByteIndex

    def _is_empty_tag(self, start: int) -> bool:
        end = self._tag_end(start)
        return self.xml[end - 2 : end - 1] == b"/"

    def _tag_end(self, start: int) -> int:
        """Return the place behind the tag that begins here; a value may hold a '>'."""
        place, quote = start, 0
        while True:
            byte = self.xml[place]
            if quote:
                quote = 0 if byte == quote else quote
            elif byte in b"\"'":
                quote = byte
            elif byte == 0x3E:
                return place + 1
            place += 1


def _refuse_doctype(*_: Any) -> None:
    raise SheetError("the worksheet has a document type, which no workbook has")


def _refuse_encoding(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.lower() not in ("utf-8", "utf8", "us-ascii"):
        raise SheetError(f"the worksheet is in {encoding}, not in UTF-8; save it anew with Excel")


def patch_cells(xml: bytes, cells: Cells, style_from: Mapping[int, int] | None = None) -> bytes:
    """Return a worksheet's XML with these cells put in, the others byte for byte as they were.

    A cell that exists keeps its style, a new one gets its column's. ``style_from`` names for a new
    column the one whose style its cells take, row by row.

    Raises
    ------
    SheetError
        It is no worksheet in UTF-8, or a cell to be written has a formula or cannot be seen.
    """
    places = _Places(xml)
    if places.data_end < 0:
        raise SheetError("the worksheet has no rows")
    by_number = {row.number: row for row in places.rows}
    edits: list[tuple[int, int, bytes]] = []
    for number in sorted({row for row, _ in cells}):
        wanted = {column: cells[row, column] for row, column in cells if row == number}
        if number not in by_number:
            raise SheetError(f"the worksheet has no row {number}")
        edits += _edit_row(places, by_number[number], wanted, style_from or {})
    # From the end on. Of two edits at one place the first one replaces what the second precedes.
    for start, end, text in sorted(edits, key=lambda edit: edit[0], reverse=True):
        xml = xml[:start] + text + xml[end:]
    return xml


def _edit_row(
    places: _Places, row: _Row, wanted: Mapping[int, Value], style_from: Mapping[int, int]
) -> list[tuple[int, int, bytes]]:
    present = {cell.column: cell for cell in row.cells}
    row_end = row.end if row.is_empty_tag else places.xml.rindex(b"</", row.start, row.end)
    inserts: dict[int, bytes] = {}
    edits: list[tuple[int, int, bytes]] = []
    for column in sorted(wanted):
        cell = present.get(column)
        where = f"{column_name(column)}{row.number}"
        if merge := places.merge_of(row.number, column):
            raise SheetError(f"{where} is to hold a status, and is hidden in merged cells {merge}")
        if cell is not None:
            if cell.is_formula:
                raise SheetError(f"{where} is to hold a status, and has a formula")
            text = _cell(places, row.number, column, wanted[column], cell.style)
            edits.append((cell.start, cell.end, text))
            continue
        model = present.get(style_from.get(column, 0))
        style = places.style_of(column) if model is None else model.style
        place = min((one.start for one in row.cells if one.column > column), default=row_end)
        text = _cell(places, row.number, column, wanted[column], style)
        inserts[place] = inserts.get(place, b"") + text
    if row.is_empty_tag and inserts:
        name = f"{places.prefix}row".encode()
        edits.append((row.end - 2, row.end, b">%b</%b>" % (b"".join(inserts.values()), name)))
    else:
        edits += [(place, place, text) for place, text in inserts.items()]
    return edits + _widen_spans(places, row, wanted)


def _widen_spans(
    places: _Places, row: _Row, wanted: Mapping[int, Value]
) -> list[tuple[int, int, bytes]]:
    """Let the row's note of its used columns take in the new ones."""
    found = re.fullmatch(r"(\d+):(\d+)", row.spans)
    if not found or not wanted:
        return []
    first, last = int(found[1]), int(found[2])
    widened = f"{min(first, *wanted)}:{max(last, *wanted)}"
    if widened == row.spans:
        return []
    tag = places.xml[row.start : row.tag_end]
    match = re.search(rb"""spans\s*=\s*["'](\d+:\d+)["']""", tag)
    if match is None:
        return []
    return [(row.start + match.start(1), row.start + match.end(1), widened.encode())]


def _cell(places: _Places, row: int, column: int, value: Value, style: str) -> bytes:
    p = places.prefix
    shown = f" s={quoteattr(style)}" if style else ""
    name = f"{column_name(column)}{row}"
    if isinstance(value, int):
        return f'<{p}c r="{name}"{shown}><{p}v>{value}</{p}v></{p}c>'.encode()
    if not value:
        return f'<{p}c r="{name}"{shown}/>'.encode()
    text = escape(_FORBIDDEN.sub("", value))
    inner = f'<{p}is><{p}t xml:space="preserve">{text}</{p}t></{p}is>'
    return f'<{p}c r="{name}"{shown} t="inlineStr">{inner}</{p}c>'.encode()


def widen_dimension(xml: bytes, last_column: int) -> bytes:
    """Let the worksheet's note of its used range take in a column."""
    match = re.search(rb"""<(?:\w+:)?dimension\s[^>]*?ref=["']([A-Z]+\d+):([A-Z]+)(\d+)["']""", xml)
    if match is None or column_of(match[2].decode()) >= last_column:
        return xml
    return xml[: match.start(2)] + column_name(last_column).encode() + xml[match.end(2) :]


def widen_filter(xml: bytes, header: int, key: int, beside: int, last_column: int) -> bytes:
    """Let a filter of the column ``key`` that ends in ``beside`` take in what stands after it.

    Excel sorts what a filter's range has: without this the statuses would stay where they are
    while their rows move.
    """
    match = re.search(
        rb"""<(?:\w+:)?autoFilter\s[^>]*?ref=["']\$?([A-Z]+)\$?(\d+):\$?([A-Z]+)\$?(\d+)["']""", xml
    )
    if match is None or int(match[2]) != header:
        return xml
    if column_of(match[1].decode()) > key or column_of(match[3].decode()) != beside:
        return xml
    return xml[: match.start(3)] + column_name(last_column).encode() + xml[match.end(3) :]
