"""Read many identifiers: any list, Series, frame, .csv, .txt or workbook, in its order."""

from __future__ import annotations

import csv
import io
import numbers
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propkit.errors import IdentifierError
from propkit.identifiers import NO_VALUE, Apn, Identifier, is_blank, parse_identifier

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Identifiers:
    """Hold the identifiers of one list, in its order, without its blank cells.

    Attributes
    ----------
    entries
        Every identifier that was not blank.
    column
        The column they were taken from, or None.
    origin
        Where they come from, for people: ``parcels.xlsx, sheet 'List', column 'APN'``.
    blank_count
        How many cells were blank.
    """

    entries: tuple[Identifier, ...]
    column: str | None = None
    origin: str = ""
    blank_count: int = 0

    @property
    def valid(self) -> tuple[Apn, ...]:
        """Return each certain APN once, in the order of first appearance."""
        return tuple(dict.fromkeys(one.apn for one in self.entries if one.is_valid and one.apn))

    @property
    def invalid(self) -> tuple[Identifier, ...]:
        """Return the identifiers that are not certain, each with its reason."""
        return tuple(one for one in self.entries if not one.is_valid)

    @property
    def duplicates(self) -> tuple[Identifier, ...]:
        """Return the identifiers that repeat an earlier APN."""
        pairs = zip(self.entries, self._statuses(), strict=True)
        return tuple(one for one, status in pairs if status == "duplicate")

    def frame(self) -> pd.DataFrame:
        """Return one row per identifier, all columns of dtype "string".

        The columns are identifier, apn (canonical; missing when invalid), status (valid,
        duplicate or invalid), confidence, repair and reason.
        """
        import pandas as pd

        columns: dict[str, list[Any]] = {
            "identifier": [str(one.raw) for one in self.entries],
            "apn": [str(one.apn) if one.is_valid else None for one in self.entries],
            "status": self._statuses(),
            "confidence": [one.confidence for one in self.entries],
            "repair": [one.repair for one in self.entries],
            "reason": [one.reason for one in self.entries],
        }
        return pd.DataFrame({name: pd.Series(v, dtype="string") for name, v in columns.items()})

    def _statuses(self) -> list[str]:
        seen: set[Apn | None] = set()
        statuses = []
        for one in self.entries:
            known = one.apn in seen
            statuses.append("invalid" if not one.is_valid else "duplicate" if known else "valid")
            if one.is_valid:
                seen.add(one.apn)
        return statuses


def read_identifiers(
    parcels: object, *, column: str | None = None, sheet: str | None = None
) -> Identifiers:
    """Read the identifiers of whatever holds a list of parcels.

    Parameters
    ----------
    parcels
        One identifier; a list or other iterable; a Series, Index or DataFrame; or the path of a
        .csv, .tsv, .txt, .xlsx, .xlsm, .xls or .ods file.
    column
        The column that holds them. Without it the column is found by its name, then by what most
        of its cells look like; `Identifiers.column` says which was taken.
    sheet
        The sheet of a workbook; without it the first visible one with such a column.

    Raises
    ------
    IdentifierError
        No such file, sheet or column; a file that cannot be read; no column, or more than one,
        that could be meant. A value that is no APN raises nothing: see `Identifiers.invalid`.
    """
    if isinstance(parcels, Identifiers):
        return parcels
    if isinstance(parcels, os.PathLike) or (isinstance(parcels, str) and _is_file_name(parcels)):
        path = Path(parcels).expanduser()
        return _take_column(read_file(path, sheet), column, path.name)
    pandas = sys.modules.get("pandas")  # what is no pandas object needs no import of pandas
    if pandas and isinstance(parcels, pandas.DataFrame) and sheet is None:
        return _take_column([table_of_frame(parcels)], column, "DataFrame")
    if column is not None or sheet is not None:
        raise IdentifierError(f"column= and sheet= need a table or a file, got {parcels!r:.80}")
    if pandas and isinstance(parcels, pandas.Series | pandas.Index):
        name = None if parcels.name is None else str(parcels.name)
        origin = type(parcels).__name__ + (f" {name!r}" if name is not None else "")
        return _collect(cells_of(parcels), name, origin)
    if isinstance(parcels, str | Apn | Identifier | numbers.Number):
        return _collect([parcels], None, "one identifier")
    if isinstance(parcels, Mapping | bytes | bytearray) or not isinstance(parcels, Iterable):
        kind = type(parcels).__name__
        expected = f"expected an APN, a list, a Series, a DataFrame or {_A_FILE}"
        raise IdentifierError(f"cannot read identifiers from {kind}; {expected}")
    # A set has no order of its own; sorted, the same set always makes the same batch.
    values = sorted(parcels, key=str) if isinstance(parcels, AbstractSet) else list(parcels)
    return _collect(values, None, type(parcels).__name__)


# Tables and files

_A_FILE = "the path of a .csv, .tsv, .txt, .xlsx, .xlsm, .xls or .ods file"
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_WORKBOOKS = {".xlsx": _ZIP, ".xlsm": _ZIP, ".ods": _ZIP, ".xls": _OLE}
_TEXTS = {".csv": ",;\t|", ".tsv": "\t", ".txt": "\t"}
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx", ".xlsm", ".xls", ".ods")
"""The files that hold tables."""
_NO_DELIMITER = "\x1f"
_SURE_NAMES = {"apns", "apnnumber", "apnno", "apndash", "parcelapn"} | {
    f"{office}{number}"
    for office in ("assessorparcel", "assessorsparcel", "assessor", "assessors")
    for number in ("number", "numbers", "num", "no", "id")
}
_LIKELY_NAMES = {"parcelnumber", "parcelnumbers", "parcelnum", "parcelno", "parcelnbr", "parcelid"}
_LOOSE_NAMES = {"parcel", "parcels", "pin", "identifier", "taxid", "taxparcel", "taxparcelid"}
_HEADER_ROWS, _SAMPLE_CELLS = 10, 200


@dataclass(frozen=True, slots=True)
class Table:
    """A table of raw cells, as a file or a frame has it."""

    names: list[str]
    columns: list[list[object]]
    sheet: str | None = None


def _is_file_name(text: str) -> bool:
    if parse_identifier(text).is_valid:
        return False
    if re.fullmatch(r"\.[a-z]{3,5}", Path(text).suffix.lower()):
        return True
    return os.path.exists(os.path.expanduser(text))  # noqa: PTH110, PTH111 - never raise


def _collect(values: Sequence[object], column: str | None, origin: str) -> Identifiers:
    entries = tuple([parse_identifier(value) for value in values if not is_blank(value)])
    return Identifiers(entries, column, origin, len(values) - len(entries))


def cells_of(values: pd.Series[Any] | pd.Index[Any]) -> list[object]:
    """Return the cells of a pandas object; a MultiIndex is an ``IdentifierError``."""
    import pandas as pd

    if isinstance(values, pd.MultiIndex):
        raise IdentifierError(f"cannot read a MultiIndex {list(values.names)!r}; pass one level")
    cells: list[object] = list(values.array)
    if str(values.dtype).lower().startswith(("float32", "float16", "float[", "halffloat")):
        import numpy as np  # Arrow hands its 32-bit floats out as wide ones

        cells = [np.float32(cell) if isinstance(cell, float) else cell for cell in cells]
    return cells


def table_of_frame(frame: pd.DataFrame) -> Table:
    """Return a frame's columns, and the levels of its index that have a name of their own."""
    names = [str(label) for label in frame.columns]
    columns = [cells_of(frame.iloc[:, i]) for i in range(len(names))]
    for level, label in enumerate(frame.index.names):
        if label is not None and str(label) not in names:
            names.append(str(label))
            columns.append(cells_of(frame.index.get_level_values(level)))
    return Table(names, columns)


def _take_column(tables: Iterable[Table], wanted: str | None, origin: str) -> Identifiers:
    seen: list[tuple[str, Table]] = []
    for table in tables:
        place = origin if table.sheet is None else f"{origin}, sheet {table.sheet!r}"
        found = _find_columns(table, wanted)
        if len(found) == 1:
            return _collect_column(table, found[0], place)
        if found:
            raise IdentifierError(
                f"several columns of {place} may hold the APNs: "
                f"{[table.names[i] for i in found]!r}; "
                f"name one with column= (columns: {table.names!r})"
            )
        seen += [(place, table)] if table.names else []
    if wanted is None and len(seen) == 1:  # a list of which nothing can be read is still a list
        place, table = seen[0]
        ranked = [i for i, name in enumerate(table.names) if _name_rank(name) is not None]
        if len(ranked) == 1 or len(table.names) == 1:
            return _collect_column(table, ranked[0] if ranked else 0, place)
    is_empty = not any(cells for _, table in seen for cells in table.columns)
    if is_empty and (wanted is None or not seen):
        return Identifiers((), None, origin)
    where = "; ".join(f"{place}: columns {table.names!r}" for place, table in seen)
    if wanted is None:
        raise IdentifierError(f"no column looks like APNs in {where}; name one with column=")
    raise IdentifierError(f"no column {wanted!r} in {where or origin}")


def _collect_column(table: Table, i: int, place: str) -> Identifiers:
    name = table.names[i]
    return _collect(table.columns[i], name, f"{place}, column {name!r}")


def _find_columns(table: Table, wanted: str | None) -> list[int]:
    """Return the places of the columns that may be meant; exactly one is an answer."""
    names = table.names
    if wanted is not None:
        exact = [i for i, name in enumerate(names) if name == wanted]
        return exact or [
            i for i, name in enumerate(names) if fold_name(name) == fold_name(wanted) != ""
        ]
    ranks = {i: rank for i, name in enumerate(names) if (rank := _name_rank(name)) is not None}
    shares = [_share_of_apns(cells) for cells in table.columns]
    # A column that is called APN is meant even when nothing in it can be read.
    pool = [i for i in ranks if ranks[i] < 2] or [i for i in ranks if shares[i] > 0]
    if pool:
        best = min((ranks[i], -shares[i]) for i in pool)
        return [i for i in pool if (ranks[i], -shares[i]) == best]
    return [i for i, share in enumerate(shares) if share >= 0.5]


def fold_name(name: str) -> str:
    """Return a column's name without case, blanks and punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _name_rank(name: str) -> int | None:
    """Say how surely a column of this name holds APNs: 0 most, None not at all."""
    folded = fold_name(name)
    if folded == "apn":
        return 0
    if folded in _SURE_NAMES or "apn" in re.split(r"[^a-z0-9]+", name.lower()):
        return 1
    return 2 if folded in _LIKELY_NAMES else 3 if folded in _LOOSE_NAMES else None


def _share_of_apns(cells: Iterable[object]) -> float:
    filled = list(islice((cell for cell in cells if not is_blank(cell)), _SAMPLE_CELLS))
    return sum(parse_identifier(cell).is_valid for cell in filled) / max(len(filled), 1)


def read_file(path: Path, sheet: str | None) -> Iterator[Table]:
    """Read the tables of a file: one of a text, one a visible sheet of a workbook."""
    suffix = path.suffix.lower()
    if suffix not in _WORKBOOKS and suffix not in _TEXTS:
        raise IdentifierError(f"cannot read {str(path)!r}; expected an APN or {_A_FILE}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise IdentifierError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    start = content[:512].lstrip().lower()
    actual = (
        "a zip archive or a newer Excel workbook" if content.startswith(_ZIP)
        else "an older or a password-protected Excel workbook; save it as .xlsx without a password"
        if content.startswith(_OLE)
        else "a web page" if start.startswith((b"<!doctype", b"<html"))
        else "another kind of file"
    )  # fmt: skip
    if suffix in _WORKBOOKS:
        if not content.startswith(_WORKBOOKS[suffix]):
            raise IdentifierError(f"{str(path)!r} is no {suffix} workbook but {actual}")
        yield from _read_workbook(path, content, sheet)
        return
    is_wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    if actual != "another kind of file" or (b"\0" in content and not is_wide):
        raise IdentifierError(f"{str(path)!r} is no {suffix} text but {actual}")
    if sheet is not None:
        raise IdentifierError(f"{str(path)!r} has no sheets; sheet={sheet!r} needs a workbook")
    try:
        text = content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    try:
        yield _table_of_rows(_split_text(text, suffix))
    except csv.Error as error:
        raise IdentifierError(f"cannot read {str(path)!r} as {suffix}: {error}") from error


def _read_workbook(path: Path, content: bytes, sheet: str | None) -> Iterator[Table]:
    import python_calamine as calamine

    from propkit.workbook_parts import find_reach_fault

    try:
        book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        shown = calamine.SheetVisibleEnum.Visible
        names = [one.name for one in book.sheets_metadata if one.visible == shown]
        if sheet is not None:
            if sheet not in book.sheet_names:
                raise IdentifierError(f"no sheet {sheet!r} in {path.name}: {book.sheet_names!r}")
            names = [sheet]
        for name in names:
            if fault := find_reach_fault(content, name):
                raise IdentifierError(f"cannot read {str(path)!r}: {fault}")
            rows = book.get_sheet_by_name(name).to_python()
            yield _table_of_rows([[_whole(cell) for cell in row] for row in rows], name)
    except (calamine.CalamineError, OSError) as error:
        raise IdentifierError(f"cannot read {str(path)!r} as a workbook: {error}") from error


def _whole(cell: object) -> object:
    """Return a workbook's number as it looks: every number in a sheet is a float."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() else cell


def _split_text(text: str, suffix: str) -> list[list[str]]:
    choices = _TEXTS[suffix]
    if match := re.match(r"sep=(.)\r?\n", text):  # Excel's own note of the delimiter
        text, choices = text[match.end() :], match[1]

    def score(delimiter: str) -> float:
        try:
            rows = [row for row in islice(_rows(text, delimiter), 50) if row]
        except csv.Error:
            return 0
        return sum(len(row) > 1 for row in rows) / max(len(rows), 1)

    best = max(choices, key=score)
    if score(best) > 0.5:
        return list(_rows(text, best))
    lines = text.splitlines()
    return [[line] for line in lines] if suffix == ".txt" else list(_rows(text, _NO_DELIMITER))


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    # Strict: an unclosed quote would otherwise swallow the rest of the list.
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)


def _table_of_rows(rows: Sequence[Sequence[object]], sheet: str | None = None) -> Table:
    """Tell the header from the cells; the header may stand below a title."""
    width = max((len(row) for row in rows), default=0)
    header = _header_place(rows)
    labels = [] if header is None else [str(cell).strip() for cell in rows[header]]
    labels += [""] * (width - len(labels))
    names = [label or f"column {i}" for i, label in enumerate(labels, start=1)]
    body = rows if header is None else rows[header + 1 :]
    columns = [[row[i] if i < len(row) else None for row in body] for i in range(width)]
    return Table(names, columns, sheet)


def _header_place(rows: Sequence[Sequence[object]]) -> int | None:
    places: list[tuple[int, int]] = []
    first = None
    for place, row in enumerate(rows[:_HEADER_ROWS]):
        cells = [cell for cell in row if not is_blank(cell)]
        if any(parse_identifier(cell).apn is not None for cell in cells):
            break
        ranks = [_name_rank(cell) for cell in cells if isinstance(cell, str)]
        places += [(rank, place) for rank in ranks if rank is not None]
        if cells and first is None:
            first = place, all(_is_label(cell) for cell in cells)
    if places:
        return min(places)[1]
    return first[0] if first and first[1] else None


def _is_label(cell: object) -> bool:
    if not isinstance(cell, str):
        return False
    text = cell.strip()
    is_value = text.upper() in NO_VALUE or text.startswith("#")
    return text[0].isalpha() and not is_value
