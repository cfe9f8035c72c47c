"""The workbook of a store: its tables, and a sheet that says what is not in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from propkit import excel
from propkit.frames import choose_frames
from propkit.given import check_path
from propkit.records import STORED_TYPES
from propkit.store import Reading
from propkit.store.history import find_moment, read_changes
from propkit.store.not_collected import NOT_COLLECTED, read_not_collected
from propkit.terms import Terms

if TYPE_CHECKING:
    import pandas as pd

_TABLES: Final = {**{table: table for table in STORED_TYPES}, "tax_liens": "tax_bills"}
"""The table whose rows a frame shows, by frame, where batches collect them."""


@dataclass(frozen=True, slots=True)
class Workbook:
    """A workbook that was written; ``left_out`` says what is not in it, empty where all is."""

    path: Path
    left_out: str = ""


def write_store(
    path: str | os.PathLike[str],
    store: Reading,
    terms: Iterable[Terms],
    frames: Iterable[str] | Mapping[str, pd.DataFrame] | None = None,
    *,
    changes: object = None,
) -> Workbook:
    """Write a workbook as :meth:`propkit.Kit.to_excel` does.

    Where something that was asked for is not in its tables, the second sheet says what: after the
    first, which programs read that know of no other. What one sheet cannot hold goes on in the
    next. Frames that a person made are written as they are.
    """
    target, known = check_path("path", path), list(terms)
    if isinstance(frames, Mapping):
        sheets, left_out = dict(frames), ""
    else:
        sheets = choose_frames(store, frames, known)
        absent = _find_absent(sheets, store, known, is_all=frames is None)
        left_out = "" if absent is None else _describe(absent, target.name)
        if absent is not None and left_out and NOT_COLLECTED not in sheets:
            first, *others = sheets.items()
            sheets = dict([first, *_cut(absent), *others])
    if changes is not None:
        since = find_moment(store, changes)
        sheets = {**sheets, "changes": read_changes(store, since)}
    return Workbook(excel.write_workbook(target, sheets), left_out)


def _find_absent(
    sheets: Mapping[str, pd.DataFrame], store: Reading, terms: Iterable[Terms], *, is_all: bool
) -> pd.DataFrame | None:
    """Return what is missing of the tables among the sheets; None where none is among them."""
    tables = {_TABLES[name] for name in sheets if name in _TABLES}
    if not tables:
        return None
    return read_not_collected(store, terms, None if is_all else sorted(tables))


def _cut(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return a frame as sheets that each hold what a sheet can hold."""
    starts = range(0, len(frame), excel.MAX_ROWS)
    return [
        (
            f"{NOT_COLLECTED} {number}" if number > 1 else NOT_COLLECTED,
            frame[start:][: excel.MAX_ROWS],
        )
        for number, start in enumerate(starts, start=1)
    ]


def _describe(absent: pd.DataFrame, book: str) -> str:
    """Return how much is not in a workbook; empty where all is."""
    is_parcel = absent["apn"].notna()
    is_usable = absent["outcome"] != "not_usable"
    counts: dict[str, Any] = {
        "parcel": absent.loc[is_parcel, "apn"].nunique(),
        "unusable identifier": int((~is_usable).sum()),
        "other key": absent.loc[is_usable & ~is_parcel, "key"].nunique(),
    }
    shown = [f"{n:,} {what}{'' if n == 1 else 's'}" for what, n in counts.items() if n]
    if not shown:
        return ""
    words = " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
    verb = "is" if sum(counts.values()) == 1 else "are"
    return f"{words} {verb} not in {book}, or not in full: see its sheet {NOT_COLLECTED}"
