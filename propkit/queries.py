"""Read many search texts: one text, a list, Series, frame or file, in its order."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from propkit.errors import IdentifierError
from propkit.identifier_lists import (
    TABLE_SUFFIXES,
    Table,
    cells_of,
    fold_name,
    read_file,
    table_of_frame,
)
from propkit.identifiers import is_blank

_NAMES = {"query", "queries", "search", "owner", "ownername", "address", "subdivision", "apn"}


@dataclass(frozen=True, slots=True)
class Queries:
    """Search texts as given, blank ones included, in their order; ``origin`` is for people."""

    texts: tuple[str, ...]
    origin: str = ""


def read_queries(
    queries: object, *, column: str | None = None, sheet: str | None = None
) -> Queries:
    """Read the search texts of whatever holds them.

    Parameters
    ----------
    queries
        One text; a list or other iterable; a Series, Index or DataFrame; or the path of a
        .csv, .tsv, .txt, .xlsx, .xlsm, .xls or .ods file.
    column
        The column that holds them; needed where a table has several, none of which is named
        query, owner, address, subdivision or the like.
    sheet
        The sheet of a workbook; without it the first visible one with such a column.

    Raises
    ------
    IdentifierError
        No such file, sheet or column; a file that cannot be read; not certain which column.
    """
    if isinstance(queries, Queries):
        return queries
    if isinstance(queries, os.PathLike) or _is_file_name(queries):
        path = Path(queries).expanduser()  # type: ignore[arg-type]
        return _take_column(read_file(path, sheet), column, path.name)
    pandas = sys.modules.get("pandas")  # what is no pandas object needs no import of pandas
    if pandas and isinstance(queries, pandas.DataFrame) and sheet is None:
        return _take_column([table_of_frame(queries)], column, "DataFrame")
    if column is not None or sheet is not None:
        raise IdentifierError(f"column= and sheet= need a table or a file, got {queries!r:.80}")
    if isinstance(queries, str):
        return _collect([queries], "one query")
    if pandas and isinstance(queries, pandas.Series | pandas.Index):
        return _collect(cells_of(queries), type(queries).__name__)
    if isinstance(queries, Mapping | bytes | bytearray) or not isinstance(queries, Iterable):
        kind = type(queries).__name__
        raise IdentifierError(
            f"cannot read queries from {kind}; expected a text, a list, a Series, a DataFrame or "
            f"the path of a {', '.join(TABLE_SUFFIXES)} file"
        )
    # A set has no order of its own; sorted, the same set always makes the same batch.
    values = sorted(queries, key=str) if isinstance(queries, AbstractSet) else list(queries)
    return _collect(values, type(queries).__name__)


def _is_file_name(value: object) -> bool:
    """Whether a text names a file; an owner such as ``SMITH J.R`` is none."""
    return isinstance(value, str) and Path(value).suffix.lower() in TABLE_SUFFIXES


def _collect(values: Iterable[object], origin: str) -> Queries:
    return Queries(tuple("" if is_blank(value) else str(value) for value in values), origin)


def _take_column(tables: Iterable[Table], wanted: str | None, origin: str) -> Queries:
    seen: list[str] = []
    for table in tables:
        place = origin if table.sheet is None else f"{origin}, sheet {table.sheet!r}"
        found = _find_columns(table.names, wanted)
        if len(found) == 1:
            name = table.names[found[0]]
            return _collect(table.columns[found[0]], f"{place}, column {name!r}")
        seen += [f"{place}: columns {table.names!r}"] if table.names else []
    if not seen and wanted is None:
        return Queries((), origin)
    where = "; ".join(seen) or origin
    if wanted is None:
        raise IdentifierError(f"not certain which column to search for in {where}; say column=")
    raise IdentifierError(f"no column {wanted!r} in {where}")


def _find_columns(names: list[str], wanted: str | None) -> list[int]:
    if wanted is not None:
        exact = [i for i, name in enumerate(names) if name == wanted]
        return exact or [i for i, name in enumerate(names) if fold_name(name) == fold_name(wanted)]
    named = [i for i, name in enumerate(names) if fold_name(name) in _NAMES]
    return named if named or len(names) != 1 else [0]
