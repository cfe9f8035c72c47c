"""A workbook as a zip of parts: which part is the sheet, and the same file with that part changed."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from propkit.errors import SheetError
from propkit.posting.sheet_xml import (
    Cells,
    column_name,
    column_of,
    hidden_rows,
    patch_cells,
    widen_dimension,
    widen_filter,
)

_MOST_BYTES = 512 * 2**20
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    LookupError,
    ET.ParseError,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)
"""What reading a damaged archive raises."""


def patch_workbook(
    content: bytes, sheet: str, cells: Cells, new_columns: Sequence[int], header: int | None
) -> bytes:
    """Return a workbook with these cells of one sheet changed and every other part as it was.

    Parameters
    ----------
    content
        The file.
    sheet
        The sheet's name.
    cells
        New values by row and column, from 1.
    new_columns
        Columns that are appended; a table (list object) that ends beside the first of them and
        begins in the row ``header`` is widened, so that sorting it moves the statuses too; so is
        such a filter of the sheet.
    header
        The header's row, from 1; None where there is none.

    Raises
    ------
    SheetError
        It is no such workbook, or a cell to be written has a formula.
    """
    try:
        return _patch(content, sheet, cells, new_columns, header)
    except SheetError:
        raise
    except _BROKEN as error:
        raise SheetError(f"the workbook cannot be changed: {error!r}") from error


def _patch(
    content: bytes, sheet: str, cells: Cells, new_columns: Sequence[int], header: int | None
) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        if sum(info.file_size for info in book.infolist()) > _MOST_BYTES:
            raise SheetError(f"the workbook unpacks to more than {_MOST_BYTES // 2**20} MiB")
        part = _find_part(book, sheet)
        changed: dict[str, bytes] = {}
        xml = book.read(part)
        if new_columns:
            beside = min(new_columns) - 1
            xml = patch_cells(xml, cells, dict.fromkeys(new_columns, beside))
            xml = widen_dimension(xml, max(new_columns))
            if header is not None:
                widened = widen_filter(xml, header, max(new_columns), beside)
                if widened is not xml:
                    xml = widened
                    changed |= _widen_name(book, sheet, beside, max(new_columns))
            names = {column: str(cells.get((header or 0, column), "")) for column in new_columns}
            if header is not None and all(names.values()):
                for table in _tables_of(book, part):
                    changed[table] = _widen_table(book.read(table), header, names)
        else:
            xml = patch_cells(xml, cells)
        changed[part] = xml
        return _copy(book, changed)


def find_hidden(content: bytes, sheet: str) -> frozenset[int]:
    """Return the numbers of a sheet's hidden rows.

    Raises
    ------
    SheetError
        It is no such workbook.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            return hidden_rows(book.read(_find_part(book, sheet)))
    except SheetError:
        raise
    except (*_BROKEN, expat.ExpatError) as error:
        raise SheetError(f"the workbook cannot be read: {error!r}") from error


def _copy(book: zipfile.ZipFile, changed: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as copy:
        copy.comment = book.comment
        for info in book.infolist():
            data = changed[info.filename] if info.filename in changed else book.read(info)
            kept = zipfile.ZipInfo(info.filename, info.date_time)
            kept.compress_type = info.compress_type
            kept.external_attr = info.external_attr
            kept.create_system = info.create_system
            copy.writestr(kept, data)
    return target.getvalue()


def _find_main(book: zipfile.ZipFile) -> str:
    root = _relations(book, "")
    main = next((path for kind, path in root.values() if kind.endswith("/officeDocument")), None)
    if main is None:
        raise SheetError("it is no Excel workbook")
    return main


def _find_part(book: zipfile.ZipFile, sheet: str) -> str:
    main = _find_main(book)
    relations = _relations(book, main)
    for element in ET.fromstring(book.read(main)).iter():  # noqa: S314 -- expat expands no outer entities
        if _local(element.tag) == "sheet" and element.get("name") == sheet:
            for name, value in element.attrib.items():
                if _local(name) == "id" and value in relations:
                    return relations[value][1]
    raise SheetError(f"there is no sheet {sheet!r}")


def _tables_of(book: zipfile.ZipFile, part: str) -> list[str]:
    return [path for kind, path in _relations(book, part).values() if kind.endswith("/table")]


def _relations(book: zipfile.ZipFile, part: str) -> dict[str, tuple[str, str]]:
    """Return the kind and the path of what a part refers to, by id."""
    folder, name = posixpath.split(part)
    path = posixpath.join(folder, "_rels", f"{name}.rels")
    if path not in book.namelist():
        return {}
    found = {}
    for element in ET.fromstring(book.read(path)).iter():  # noqa: S314
        if _local(element.tag) == "Relationship" and element.get("TargetMode") != "External":
            target = element.get("Target", "")
            full = target if target.startswith("/") else f"/{posixpath.join(folder, target)}"
            found[element.get("Id", "")] = (
                element.get("Type", ""),
                posixpath.normpath(full).lstrip("/"),
            )
    return found


def _widen_name(book: zipfile.ZipFile, sheet: str, beside: int, last: int) -> dict[str, bytes]:
    """Return the workbook's own note of a filter's range, widened; Excel keeps both the same."""
    main = _find_main(book)
    text = book.read(main).decode("utf-8")
    names = [
        element.get("name")
        for element in ET.fromstring(text.encode()).iter()  # noqa: S314
        if _local(element.tag) == "sheet"
    ]
    pattern = (
        r'(<(?:\w+:)?definedName\s(?=[^>]*?name="_xlnm\._FilterDatabase")'
        rf'(?=[^>]*?localSheetId="{names.index(sheet)}")[^>]*>[^<]*:\$?){column_name(beside)}'
        r"(?=\$?\d+<)"
    )
    changed = re.sub(pattern, rf"\g<1>{column_name(last)}", text)
    return {} if changed == text else {main: changed.encode("utf-8")}


def _local(name: Any) -> str:
    return str(name).rpartition("}")[2]


def _widen_table(xml: bytes, header: int, names: Mapping[int, str]) -> bytes:
    """Let a table take in new columns, where it ends beside the first of them."""
    text = xml.decode("utf-8")
    match = re.search(r'<(?:\w+:)?table\s[^>]*?\sref="([A-Z]+)(\d+):([A-Z]+)(\d+)"', text)
    if (
        match is None
        or int(match[2]) != header
        or column_of(match[3]) != min(names) - 1
        or 'headerRowCount="0"' in text
    ):
        return xml
    old = f"{match[1]}{match[2]}:{match[3]}"
    text = text.replace(f'ref="{old}', f'ref="{match[1]}{match[2]}:{column_name(max(names))}')
    columns = re.search(r'<((?:\w+:)?)tableColumns\s+count="(\d+)"\s*>', text)
    if columns is None:
        return xml
    ids = [int(one) for one in re.findall(r'tableColumn\s[^>]*?\bid="(\d+)"', text)]
    made = "".join(
        f'<{columns[1]}tableColumn id="{max(ids) + place}" name={quoteattr(names[column])}/>'
        for place, column in enumerate(sorted(names), start=1)
    )
    count = int(columns[2]) + len(names)
    text = text.replace(columns[0], f'<{columns[1]}tableColumns count="{count}">', 1).replace(
        f"</{columns[1]}tableColumns>", f"{made}</{columns[1]}tableColumns>", 1
    )
    return text.encode("utf-8")
