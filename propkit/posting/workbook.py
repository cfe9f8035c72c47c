"""A workbook as a zip of parts: which part is the sheet, and the same file with that part changed."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

from propkit.errors import SheetError
from propkit.posting.sheet_xml import Cells, patch_cells, widen_dimension, widen_filter
from propkit.workbook_parts import (
    BROKEN,
    column_name,
    column_of,
    find_main,
    find_part,
    local_name,
    tables_of,
)


def patch_workbook(
    content: bytes,
    sheet: str,
    cells: Cells,
    new_columns: Sequence[int],
    *,
    header: int | None,
    key: int,
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
        Columns that are appended; a table (list object) of the rows' keys that ends beside the
        first of them is widened, so that sorting it moves the statuses too; so is such a filter of
        the sheet.
    header
        The header's row, from 1; None where there is none.
    key
        The column of the rows' keys, from 1.

    Raises
    ------
    SheetError
        It is no such workbook, or a cell to be written has a formula.
    """
    try:
        return _patch(content, sheet, cells, new_columns, header=header, key=key)
    except SheetError:
        raise
    except BROKEN as error:
        raise SheetError(f"the workbook cannot be changed: {error!r}") from error


def _patch(
    content: bytes,
    sheet: str,
    cells: Cells,
    new_columns: Sequence[int],
    *,
    header: int | None,
    key: int,
) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        part = find_part(book, sheet)
        changed: dict[str, bytes] = {}
        xml = book.read(part)
        if new_columns:
            beside = min(new_columns) - 1
            xml = patch_cells(xml, cells, dict.fromkeys(new_columns, beside))
            xml = widen_dimension(xml, max(new_columns))
            if header is not None:
                widened = widen_filter(xml, header, key, beside, max(new_columns))
                if widened is not xml:
                    xml = widened
                    changed |= _widen_name(book, sheet, beside, max(new_columns))
            names = {column: str(cells.get((header or 0, column), "")) for column in new_columns}
            if header is not None and all(names.values()):
                for table in tables_of(book, part):
                    changed[table] = _widen_table(book.read(table), header, key, names)
        else:
            xml = patch_cells(xml, cells)
        changed[part] = xml
        return _copy(book, changed)


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


def _widen_name(book: zipfile.ZipFile, sheet: str, beside: int, last: int) -> dict[str, bytes]:
    """Return the workbook's own note of a filter's range, widened; Excel keeps both the same."""
    main = find_main(book)
    text = book.read(main).decode("utf-8")
    names = [
        element.get("name")
        for element in ET.fromstring(text.encode()).iter()  # noqa: S314
        if local_name(element.tag) == "sheet"
    ]
    pattern = (
        r'(<(?:\w+:)?definedName\s(?=[^>]*?name="_xlnm\._FilterDatabase")'
        rf'(?=[^>]*?localSheetId="{names.index(sheet)}")[^>]*>[^<]*:\$?){column_name(beside)}'
        r"(?=\$?\d+<)"
    )
    changed = re.sub(pattern, rf"\g<1>{column_name(last)}", text)
    return {} if changed == text else {main: changed.encode("utf-8")}


def _widen_table(xml: bytes, header: int, key: int, names: Mapping[int, str]) -> bytes:
    """Let a table take in new columns, where it ends beside the first of them."""
    text = xml.decode("utf-8")
    match = re.search(r'<(?:\w+:)?table\s[^>]*?\sref="([A-Z]+)(\d+):([A-Z]+)(\d+)"', text)
    if (
        match is None
        or int(match[2]) != header
        or column_of(match[1]) > key
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
