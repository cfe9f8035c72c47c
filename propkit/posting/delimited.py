"""A delimited text (.csv) as fields with their places, and the same text with some changed; pure."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass

from propkit.errors import SheetError
from propkit.posting.sheet_xml import Value

_DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its value, and where it stands in the text."""

    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Text:
    """A delimited text, decoded; ``mark`` is the byte order mark it began with."""

    text: str
    encoding: str
    mark: bytes
    delimiter: str
    lines: tuple[tuple[Field, ...], ...]


def read_delimited(content: bytes) -> Text:
    """Read a delimited text: comma, semicolon, tab or bar, whichever its first line has most of.

    Raises
    ------
    SheetError
        A quote that is never closed, or bytes that are no text.
    """
    if content.startswith(b"PK\x03\x04"):
        raise SheetError("it is a workbook, no text: name it .xlsx")
    mark, encoding = b"", "utf-8"
    for known, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ):
        if content.startswith(known):
            mark, encoding = known, name
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError:
        if mark:
            raise SheetError(f"it begins as {encoding}, and is not") from None
        encoding = "latin-1"  # any byte is a character of it, and comes back as the same byte
        text = content.decode(encoding)
    if "\0" in text:
        raise SheetError("it is no text")
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    return Text(text, encoding, mark, delimiter, tuple(_split(text, delimiter)))


def _split(text: str, delimiter: str) -> list[tuple[Field, ...]]:
    lines: list[tuple[Field, ...]] = []
    fields: list[Field] = []
    place, size = 0, len(text)
    while place < size or fields:
        start = place
        if place < size and text[place] == '"':
            place += 1
            while True:
                place = text.find('"', place)
                if place < 0:
                    raise SheetError(f"line {len(lines) + 1}: a quote is never closed")
                if text[place + 1 : place + 2] != '"':
                    break
                place += 2
            value = text[start + 1 : place].replace('""', '"')
            place += 1
            rest = place
            while place < size and text[place] not in (delimiter, "\r", "\n"):
                place += 1
            value += text[rest:place]
        else:
            while place < size and text[place] not in (delimiter, "\r", "\n"):
                place += 1
            value = text[start:place]
        fields.append(Field(value, start, place))
        if place < size and text[place] == delimiter:
            place += 1
            if place < size:
                continue
            fields.append(Field("", place, place))
        lines.append(tuple(fields))
        fields = []
        place += 2 if text[place : place + 2] == "\r\n" else 1
    return lines


def patch_delimited(content: bytes, cells: Mapping[tuple[int, int], Value]) -> bytes:
    """Return a text with these fields put in (row, column; from 1), the others as they were.

    Raises
    ------
    SheetError
        It has no such row.
    """
    parsed = read_delimited(content)
    text = parsed.text
    edits: list[tuple[int, int, str]] = []
    for number in {row for row, _ in cells}:
        if number > len(parsed.lines):
            raise SheetError(f"there is no line {number}")
        fields = parsed.lines[number - 1]
        wanted = {column: cells[row, column] for row, column in cells if row == number}
        for column, one in enumerate(fields, start=1):
            new = _quote(wanted[column], parsed.delimiter) if column in wanted else None
            if column == len(fields) < max(wanted):
                new = text[one.start : one.end] if new is None else new
                for further in range(column + 1, max(wanted) + 1):
                    new += parsed.delimiter + _quote(wanted.get(further, ""), parsed.delimiter)
            if new is not None:
                edits.append((one.start, one.end, new))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    # What was there is in the encoding; of what is new, a character that it lacks becomes a '?'.
    return parsed.mark + text.encode(parsed.encoding, errors="replace")


def _quote(value: Value, delimiter: str) -> str:
    text = str(value)
    if text[:1] in ("=", "+", "-", "@") and isinstance(value, str):
        text = f"'{text}"  # a spreadsheet would take it for a formula
    if any(one in text for one in (delimiter, '"', "\n", "\r")):
        return '"' + text.replace('"', '""') + '"'
    return text
