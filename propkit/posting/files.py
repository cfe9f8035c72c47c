"""The user's own file: read as a table, and saved with new statuses and nothing else changed."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from propkit.errors import SheetError
from propkit.posting.cells import is_blank
from propkit.posting.delimited import patch_delimited, read_delimited
from propkit.posting.sheet_xml import Value
from propkit.posting.statuses import STATUS_COLUMNS
from propkit.posting.table import Columns, Table, make_table
from propkit.posting.workbook import patch_workbook
from propkit.workbook_parts import Sketch, check_size, sketch

T = TypeVar("T")

WORKBOOKS: Final = (".xlsx", ".xlsm")
TEXTS: Final = (".csv", ".tsv", ".txt")
_LAST_COLUMN: Final = 16_384  # of every workbook: XFD
_OLE: Final = b"\xd0\xcf\x11\xe0"


class SheetFile:
    """A listing sheet on disk.

    Parameters
    ----------
    path
        An .xlsx, .xlsm, .csv, .tsv or .txt file.
    columns
        By field, its column.
    required
        The fields that must have one.
    sheet
        The workbook's sheet; None is the first visible one that has the required columns.

    Attributes
    ----------
    table
        What the file held when it was last read.
    hidden
        The numbers of the rows that a filter, or a person, had hidden when it was opened.

    Raises
    ------
    SheetError
        It cannot be read, or columns are missing; every fault is named.
    """

    def __init__(
        self, path: Path, columns: Columns, required: Iterable[str], sheet: str | None
    ) -> None:
        self.path = path.expanduser().resolve()
        self._columns = columns
        self._required = tuple(required)
        self._sheet = sheet
        self._has_backup = False
        suffix = self.path.suffix.lower()
        if suffix not in WORKBOOKS + TEXTS:
            kinds = ", ".join(WORKBOOKS + TEXTS)
            raise SheetError(f"{path.name}: statuses can be written into {kinds} only")
        self._is_workbook = suffix in WORKBOOKS
        self.table, seen = self._look(self._content())
        self.hidden = seen.hidden

    @property
    def name(self) -> str:
        """What the sheet is called in the ledger: the file's name, and the sheet's."""
        return f"{self.path.name}/{self.table.sheet}" if self.table.sheet else self.path.name

    def lock(self) -> str | None:
        """Return who has the file open, for people; None where nobody is known to."""
        owners = (
            (f"~${self.path.name}", "Excel"),
            (f".~lock.{self.path.name}#", "LibreOffice"),
        )
        for name, program in owners:
            if (self.path.parent / name).exists():
                return f"{self.path.name} is open in {program} ({name} says so): close it there"
        return None

    def check(self, keys: Iterable[str]) -> None:
        """See that these rows can be given a status, without writing anything.

        Raises
        ------
        SheetError
            They cannot: a status column of formulas, a part of the workbook that is damaged.
        """
        trial = {key: dict.fromkeys(STATUS_COLUMNS, "") for key in keys}
        if trial:
            self._read(self._patch(self._content(), self.table, trial))

    def save(self, statuses: Mapping[str, Mapping[str, Value]]) -> None:
        """Write statuses, by row key and status column, into the file as it is now.

        The new file takes the old one's place in one step, when it is whole and on disk; the first
        time a copy of the old one is kept beside it (``inventory.backup.xlsx``).

        Raises
        ------
        SheetError
            The file is open in another program, gone, or no longer has the rows.
        """
        if locked := self.lock():
            raise SheetError(locked)
        content = self._content()
        table = self._read(content)
        changed = self._patch(content, table, statuses)
        after = self._read(changed)  # what cannot be read again does not take the file's place
        try:
            if not self._has_backup:
                _replace(self.backup, content, self.path)
                self._has_backup = True
            _replace(self.path, changed, self.path)
        except PermissionError as error:
            raise SheetError(
                f"{self.path.name} cannot be written; if it is open in another program, close it"
                f" there ({error.strerror or error})"
            ) from error
        except OSError as error:
            raise SheetError(f"{self.path.name} cannot be written: {error}") from error
        self.table = after

    def lost(self, keys: Collection[str]) -> set[str]:
        """Return which of these rows have no status in the file as it is now.

        Another program may have saved an older copy over what was written.
        """
        table = self._read(self._content())
        found = {table.key(row): table.cell(row, "posting_status") for row in table.rows}
        return {key for key in keys if key in found and is_blank(found[key])}

    @property
    def backup(self) -> Path:
        """Where the file is kept as it was before the run."""
        return self.path.with_name(f"{self.path.stem}.backup{self.path.suffix}")

    def _content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise SheetError(
                f"{self.path.name} cannot be read: {error.strerror or error}"
            ) from error

    def _read(self, content: bytes) -> Table:
        return self._look(content)[0]

    def _look(self, content: bytes) -> tuple[Table, Sketch]:
        read = self._read_workbook if self._is_workbook else self._read_text
        best: tuple[Table, list[str]] | None = None
        for name, rows, seen in read(content):
            table, faults = make_table(rows, self._columns, self._required, name)
            if table.header is None and table.width and "posting_status" not in table.places:
                faults.append("without a header posting_status must be mapped to a place")
            if not faults:
                return _as_seen(table, seen), seen
            if best is None or len(faults) < len(best[1]):
                best = table, faults
        if best is None:
            raise SheetError(f"{self.path.name} has no visible sheet")
        where = f"{self.path.name}, sheet {best[0].sheet!r}" if best[0].sheet else self.path.name
        raise SheetError(f"{where}: {'; '.join(best[1])}")

    def _read_text(self, content: bytes) -> Iterator[tuple[str, list[list[Any]], Sketch]]:
        text = self._named(partial(read_delimited, content))
        yield "", [[field.value for field in line] for line in text.lines], Sketch()

    def _read_workbook(self, content: bytes) -> Iterator[tuple[str, list[list[Any]], Sketch]]:
        import python_calamine as calamine

        if content.startswith(_OLE):
            raise SheetError(
                f"{self.path.name} is an older or a password-protected workbook; save it as .xlsx"
                " without password"
            )
        self._named(partial(check_size, content))
        try:
            book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
            shown = calamine.SheetVisibleEnum.Visible
            names = [one.name for one in book.sheets_metadata if one.visible == shown]
            if self._sheet is not None:
                if self._sheet not in book.sheet_names:
                    raise SheetError(
                        f"no sheet {self._sheet!r} in {self.path.name}: {book.sheet_names!r}"
                    )
                names = [self._sheet]
            for name in names:
                seen = self._named(partial(sketch, content, name))
                rows = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
                yield name, rows, seen
        except (calamine.CalamineError, OSError) as error:
            raise SheetError(f"{self.path.name} is no workbook that can be read: {error}") from None

    def _named(self, work: Callable[[], T]) -> T:
        """Do something with the file's content; let what is wrong with it name the file."""
        try:
            return work()
        except ValueError as error:
            raise SheetError(f"{self.path.name}: {error}") from None

    def _patch(
        self, content: bytes, table: Table, statuses: Mapping[str, Mapping[str, Value]]
    ) -> bytes:
        numbers = {table.key(row): row.number for row in table.rows}
        if gone := [key for key in statuses if key not in numbers]:
            raise SheetError(
                f"{self.path.name} has no row {', '.join(map(repr, gone[:5]))} any more"
            )
        columns: dict[str, int] = {}
        new: dict[str, int] = {}
        for name in STATUS_COLUMNS:
            place = table.places.get(name)
            if place is None and table.header is None:
                continue  # nobody could tell next time what stands there
            if place is None:
                place = table.width + len(new)
                new[name] = place
            columns[name] = place + 1
        if self._is_workbook and max(columns.values(), default=0) > _LAST_COLUMN:
            raise SheetError(
                f"{self.path.name}: the columns {', '.join(columns)} have no room beside what stands"
                " in the sheet's last column; delete that"
            )
        cells: dict[tuple[int, int], Value] = {
            (numbers[key], columns[name]): value
            for key, values in statuses.items()
            for name, value in values.items()
            if name in columns
        }
        for name, place in new.items():
            cells[table.header or 0, place + 1] = str(self._columns.get(name, name))
        added = sorted(place + 1 for place in new.values())
        if not self._is_workbook:
            return self._named(partial(patch_delimited, content, cells))
        key = table.places["row_key"] + 1
        patch = partial(patch_workbook, header=table.header, key=key)
        return self._named(partial(patch, content, table.sheet, cells, added))


def _as_seen(table: Table, seen: Sketch) -> Table:
    """Leave out where a table sums itself up; let what is computed only later keep its column."""
    key = table.places["row_key"] + 1
    totals = {row for row, first, last in seen.totals if first <= key <= last}
    rows = tuple(row for row in table.rows if row.number not in totals)
    return replace(table, rows=rows, width=max(table.width, seen.last_column))


def _replace(path: Path, content: bytes, like: Path) -> None:
    """Put a file in another's place, whole and on disk, with the mode of ``like``."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):
            shutil.copymode(like, name)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    with suppress(OSError):  # no folder can be opened on Windows
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
