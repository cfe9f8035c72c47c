"""Sheets to post, and what they say afterwards."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

    import propkit as pk


def make_trucks(count: int, **columns: list[Any]) -> pd.DataFrame:
    """Return a sheet of trucks: T001, T002, ..."""
    keys = [f"T{number:03}" for number in range(1, count + 1)]
    titles = [f"Truck {key}" for key in keys]
    return pd.DataFrame({"truck_id": keys, "title": titles, **columns})


def read_sheet(path: Path) -> pd.DataFrame:
    """Return what a file says, empty cells as empty text."""
    if path.suffix == ".csv":
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    return pd.read_excel(path, dtype=str, keep_default_na=False, engine="calamine")


def outcomes(report: pk.PostingReport) -> dict[str, str]:
    """Return the outcome of each row."""
    return {one.row_key: one.outcome for one in report.results}


def statuses(path: Path) -> dict[str, str]:
    """Return the status of each row of a file."""
    frame = read_sheet(path)
    return dict(zip(frame.iloc[:, 0], frame["posting_status"], strict=True))


def posted_today() -> str:
    """Return the status of what was posted today: tests may run past midnight."""
    return f"Posted {date.today():%Y-%m-%d}"  # noqa: DTZ011 -- the day of the person's computer
