"""What the commands share: exit codes, the store's option, opening, a polite end."""

from __future__ import annotations

import argparse
import re
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

from propkit.errors import RequestError, StoreError

if TYPE_CHECKING:
    from propkit.kit import Kit
    from propkit.runtime.report import BatchReport

DONE, FAILED, BAD_INPUT = 0, 1, 2
_COMMANDS: Final = {"kit.batches()": "propkit batches", "kit.counties()": "propkit counties list"}
"""What does at a shell what a message says of Python."""


def add_store(parser: argparse.ArgumentParser) -> None:
    """Let a command be told which store it works on."""
    parser.add_argument(
        "--db", type=Path, default=Path("propkit.duckdb"), help="the store (propkit.duckdb)"
    )


def in_shell_words(message: str, options: argparse.Namespace) -> str:
    """Return a message written for Python as a shell knows it: ``max_age=`` is ``--max-age``."""
    names = "|".join(vars(options))
    named = re.compile(rf"(?<![\w?&/.-])({names})(?:=('[^']*'|\[[^]]*\]|[\w.-]*)|(?= must be ))")
    said = named.sub(_as_option, message)
    for call, command in _COMMANDS.items():
        said = said.replace(call, command)
    return said


def _as_option(found: re.Match[str]) -> str:
    value = re.sub(r"[\[\]' ]", "", found[2] or "")
    return f"--{found[1].replace('_', '-')}{value and f' {value}'}"


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
