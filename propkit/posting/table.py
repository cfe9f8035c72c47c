"""A sheet as rows of cells, wherever it comes from, and the columns that are meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from propkit.identifier_lists import fold_name
from propkit.posting.cells import is_blank, plain, text_of
from propkit.posting.statuses import STATUS_COLUMNS

Columns = Mapping[str, str | int]
"""By field: the column's header, or its place from 1 on where the sheet has no header."""

_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "row_key": ("row_key", "listing_id", "id", "sku", "stock_number"),
    "title": ("title", "ad_title"),
    "description": ("description",),
    "price": ("price", "asking_price"),
    "tags": ("tags",),
    "images": ("images", "image", "image_filename", "image_filenames", "photos"),
    **{name: (name,) for name in STATUS_COLUMNS},
}
"""By field, what its column is usually called; case, blanks and punctuation do not matter."""

FIELDS: Final = tuple(_NAMES)
_HEADER_ROWS: Final = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number in the file (from 1), or its place in the frame; its cells.

    ``label`` is what a person knows it by: the number, or the frame's own index.
    """

    number: int
    cells: tuple[Any, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Table:
    """The rows below the header, and by field the place (from 0) of its column.

    ``header`` is the header's row number in the file, None where there is none; ``width`` is how
    many columns are used; ``sheet`` is the name of a workbook's sheet.
    """

    names: tuple[str, ...]
    rows: tuple[Row, ...]
    places: Mapping[str, int]
    header: int | None
    width: int
    sheet: str = ""

    def cell(self, row: Row, field: str) -> Any:
        """Return a row's cell in a field's column; None where it has none."""
        place = self.places.get(field)
        return row.cells[place] if place is not None and place < len(row.cells) else None

    def key(self, row: Row) -> str:
        """Return a row's key."""
        return text_of(self.cell(row, "row_key"))

    def others(self, row: Row) -> dict[str, Any]:
        """Return the cells of every column but the status columns, by header; None is empty."""
        own = {self.places[name] for name in STATUS_COLUMNS if name in self.places}
        cells = [*row.cells, *([None] * (len(self.names) - len(row.cells)))]
        return {
            name: plain(cell)
            for place, (name, cell) in enumerate(zip(self.names, cells, strict=False))
            if place not in own and name
        }


def make_table(
    rows: Sequence[Sequence[Any]], columns: Columns, required: Iterable[str], sheet: str = ""
) -> tuple[Table, list[str]]:
    """Make a table of a file's rows; return it with every fault of its columns.

    The header may stand below a title: it is the first row that has the required columns.
    """
    width = max((len(row) for row in rows), default=0)
    if _is_by_place(columns):
        names, places, faults = _name_by_place(width, columns, required)
        return _make(rows, names, places, header=None, width=width, sheet=sheet), faults
    best: tuple[int, list[str], dict[str, int], list[str]] | None = None
    for number, row in enumerate(rows[:_HEADER_ROWS]):
        if all(is_blank(cell) for cell in row):
            continue
        names = [text_of(cell) for cell in row]
        places, faults = find_columns(names, columns, required)
        if best is None or len(faults) < len(best[3]):
            best = number, names, places, faults
        if not faults:
            break
    if best is None:
        return Table((), (), {}, None, 0, sheet), ["it is empty"]
    number, names, places, faults = best
    names += [""] * (width - len(names))
    return _make(rows, names, places, header=number, width=width, sheet=sheet), faults


def frame_table(frame: Any, columns: Columns, required: Iterable[str]) -> tuple[Table, list[str]]:
    """Make a table of a DataFrame, by position alone: its index may be anything."""
    names = [text_of(name) for name in frame.columns]
    if _is_by_place(columns):
        names, places, faults = _name_by_place(len(names), columns, required)
    else:
        places, faults = find_columns(names, columns, required)
    data = [frame.iloc[:, place].tolist() for place in range(frame.shape[1])]
    labels = [str(label) for label in frame.index]
    rows = tuple(
        Row(place, tuple(cells[place] for cells in data), labels[place])
        for place in range(len(frame))
    )
    return Table(tuple(names), rows, places, None, len(names)), faults


def find_columns(
    names: Sequence[str], columns: Columns, required: Iterable[str]
) -> tuple[dict[str, int], list[str]]:
    """Return the place of each field's column, and every fault."""
    faults = [f"no field {field!r} to map" for field in columns if field not in FIELDS]
    places: dict[str, int] = {}
    # A column that is mapped to one field is not taken for another by its usual name.
    mapped = {i for field in _NAMES for i in _find_named(names, columns.get(field))}
    for field, usual in _NAMES.items():
        wanted = columns.get(field)
        choices = usual if wanted is None else (str(wanted),)
        taken = mapped if wanted is None else set[int]()
        matches = ([i for i in _find_named(names, one) if i not in taken] for one in choices)
        found = next((some for some in matches if some), [])
        if field == "row_key" and not found and wanted is None:
            found = [i for i, name in enumerate(names) if name.lower().endswith("_id")]
        if len(found) > 1:
            shown = [names[i] for i in found]
            faults.append(f"several columns may be {field}: {shown!r}; map one by columns")
        elif found:
            places[field] = found[0]
        elif wanted is not None and field not in STATUS_COLUMNS:
            faults.append(f"no column {wanted!r} for {field}")
        elif field in required:
            faults.append(f"no column for {field} (looked for {', '.join(choices)})")
    doubled = {name for name in places if list(places.values()).count(places[name]) > 1}
    if doubled:
        faults.append(f"one column is meant for several: {', '.join(sorted(doubled))}")
    return places, faults


def _find_named(names: Sequence[str], choice: object) -> list[int]:
    if not isinstance(choice, str):
        return []
    exact = [i for i, name in enumerate(names) if name == choice != ""]
    folded = fold_name(choice)
    return exact or [i for i, name in enumerate(names) if fold_name(name) == folded != ""]


def _is_by_place(columns: Columns) -> bool:
    return any(isinstance(place, int) for place in columns.values())


def _name_by_place(
    width: int, columns: Columns, required: Iterable[str]
) -> tuple[list[str], dict[str, int], list[str]]:
    """Map the columns of a sheet without header; a column without field is called by its place."""
    faults = [f"no field {field!r} to map" for field in columns if field not in FIELDS]
    places: dict[str, int] = {}
    for field, place in columns.items():
        if not isinstance(place, int) or isinstance(place, bool) or place < 1:
            faults.append(f"{field} = {place!r}: without a header every column is named by place")
        elif place > width and field not in STATUS_COLUMNS:
            faults.append(f"{field} = {place}: there are {width} columns")
        else:
            places[field] = place - 1
    faults += [f"no column for {field}" for field in required if field not in columns]
    if len(set(places.values())) < len(places):
        faults.append("one column is meant for several fields")
    names = [f"column {place}" for place in range(1, width + 1)]
    for field, place in places.items():
        if place < width:
            names[place] = field
    return names, places, faults


def _make(
    rows: Sequence[Sequence[Any]],
    names: Sequence[str],
    places: Mapping[str, int],
    *,
    header: int | None,
    width: int,
    sheet: str,
) -> Table:
    first = 0 if header is None else header + 1
    body = tuple(
        Row(number, tuple(cells), str(number))
        for number, cells in enumerate(rows[first:], start=first + 1)
        if not all(is_blank(cell) for cell in cells)
    )
    return Table(tuple(names), body, places, None if header is None else header + 1, width, sheet)
