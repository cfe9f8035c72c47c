"""What the commands share: exit codes, the store's option, opening, a polite end."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from propkit.errors import RequestError, StoreError

if TYPE_CHECKING:
    from propkit.kit import Kit
    from propkit.runtime.report import BatchReport

DONE, FAILED, BAD_INPUT = 0, 1, 2


def add_store(parser: argparse.ArgumentParser) -> None:
    """Let a command be told which store it works on."""
    parser.add_argument(
        "--db", type=Path, default=Path("propkit.duckdb"), help="the store (propkit.duckdb)"
    )


def existing(path: Path) -> Path:
    """Return the path of a store that must be there."""
    if not path.is_file():
        raise RequestError(f"there is no store {path}: name one with --db, or collect first")
    return path


def open_kit(path: Path) -> Kit:
    """Open a store; a file that cannot be one is bad input."""
    import propkit as pk

    try:
        return pk.open(path)
    except StoreError as error:
        raise RequestError(str(error)) from error


def tell_left_out(said: str) -> None:
    """Say what is not in a workbook, apart from what other programs may read of the command."""
    print(f"! {said}", file=sys.stderr)


def exit_code(report: BatchReport) -> int:
    """Return the exit code of a batch."""
    return DONE if report.is_complete else FAILED


def end_politely() -> None:
    """Treat a polite end (SIGTERM) like Ctrl+C: what was fetched is kept."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    # The end takes a few seconds at most; cut short, it could leave the store half closed.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
