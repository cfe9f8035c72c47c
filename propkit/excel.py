"""A workbook of frames: one sheet a table, ids as text, money and dates as such."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from propkit.errors import ExportError
from propkit.given import check_path

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.worksheet import Worksheet

MAX_ROWS = 1_048_575
"""Rows that a sheet holds below its header."""

_MAX_TEXT = 32_767  # Excel's own limit for a cell
_MAX_WIDTH = 48


def write_workbook(path: str | os.PathLike[str], frames: Mapping[str, pd.DataFrame]) -> Path:
    """Write frames to a workbook, whole or not at all; an existing file is replaced at the end.

    Every sheet has a frozen, filtered header and fitting widths. Text is always text: an APN
    keeps its zeros and nothing that begins with ``=`` becomes a formula. Times are UTC.

    Raises
    ------
    ExportError
        No frame, a name that is no .xlsx, a folder or file that cannot be written, a name that
        no sheet can have, or a frame with more rows than a sheet holds.
    """
    import xlsxwriter
    from xlsxwriter.exceptions import XlsxWriterException

    target = check_path("path", path)
    if target.suffix.lower() != ".xlsx":
        raise ExportError(f"{target.name!r} is no workbook's name; expected one ending in .xlsx")
    if not frames:
        raise ExportError("a workbook needs at least one frame")
    for name, frame in frames.items():
        if len(frame) > MAX_ROWS:
            raise ExportError(
                f"{name} has {len(frame):,} rows, a sheet holds {MAX_ROWS:,}: export a part of it"
            )
    draft = target.with_name(f".{target.stem}-{secrets.token_hex(4)}.xlsx")
    try:
        # As any other file of this user: to ask for the umask is to take it off for a moment, and
        # what another thread makes then everybody may write.
        draft.touch(exist_ok=False)
    except OSError as error:
        raise ExportError(f"{target} cannot be written: {error.strerror}") from error
    try:
        with xlsxwriter.Workbook(draft) as book:
            for name, frame in frames.items():
                _write_sheet(book, name, frame)
        draft.replace(target)
    except OSError as error:
        raise ExportError(f"{target} cannot be written: {error.strerror or error}") from error
    except XlsxWriterException as error:
        raise ExportError(f"{target} cannot be written: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return target


def _write_sheet(book: Workbook, name: str, frame: pd.DataFrame) -> None:
    sheet = book.add_worksheet(name[:31])
    header = book.add_format({"bold": True, "bottom": 1, "bg_color": "#DDE6F0"})
    for index, column in enumerate(frame.columns):
        cells, title = frame.iloc[:, index], str(column)
        values = cells.tolist()
        write, number_format = _writer(sheet, str(cells.dtype), title)
        style = book.add_format({"num_format": number_format} if number_format else {})
        sheet.write_string(0, index, title, header)
        width = len(title) + 3
        for row, value in enumerate(values, start=1):
            if _is_absent(value):
                continue
            if _is_beyond_excel(value):
                sheet.write_string(row, index, str(value), style)
            else:
                write(row, index, value, style)
            if row <= 2000:
                width = max(width, len(_shown(value)) + 1)
        sheet.set_column(index, index, min(width, _MAX_WIDTH), style)
    sheet.freeze_panes(1, 1)
    sheet.autofilter(0, 0, max(1, len(frame)), max(0, len(frame.columns) - 1))


def _writer(
    sheet: Worksheet, dtype: str, column: str
) -> tuple[Callable[[int, int, Any, Any], object], str | None]:
    """Return how a column's values are written, and the number format."""
    if "timestamp" in dtype or dtype.startswith("datetime64"):
        return (
            lambda row, col, value, style: sheet.write_datetime(row, col, _naive(value), style)
        ), "yyyy-mm-dd hh:mm:ss"
    if "date32" in dtype:
        return sheet.write_datetime, "yyyy-mm-dd"
    if "decimal" in dtype:
        shown = "0.0000" if column.endswith("ratio") else "#,##0.00"
        return (
            lambda row, col, value, style: sheet.write_number(row, col, float(value), style)
        ), shown
    if dtype.lower().startswith("bool"):
        return sheet.write_boolean, None
    if dtype.lower().startswith(("int", "float", "double", "uint")):
        return sheet.write_number, "0.000000" if column.endswith("itude") else "0"
    return (lambda row, col, value, style: sheet.write_string(row, col, _text(value), style)), "@"


def _is_absent(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or value != value  # noqa: PLR0124


def _is_beyond_excel(value: object) -> bool:
    """Whether Excel would show another value: a day before 1900, more digits than a double has."""
    if isinstance(value, date):
        return value.year < 1900
    if isinstance(value, (int, Decimal)):
        return len(Decimal(value).normalize().as_tuple().digits) > 15
    return isinstance(value, float) and not math.isfinite(value)


def _naive(value: datetime) -> datetime:
    moment = value.to_pydatetime() if isinstance(value, pd.Timestamp) else value
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _text(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def _shown(value: object) -> str:
    if isinstance(value, datetime):
        return "yyyy-mm-dd hh:mm:ss"
    if isinstance(value, date):
        return "yyyy-mm-dd"
    if isinstance(value, Decimal):
        return f"{value:,.2f}"
    return _text(value)
