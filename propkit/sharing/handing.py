"""The file beside the store that says that its owner is handing it over to another process.

Whoever finds the store free meanwhile leaves it to that process. The file of an owner that died
at it, or that takes too long, is worth nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_MOST_SECONDS: Final = 60.0


def handing_path(store: Path) -> Path:
    """Return the path of a store's file."""
    return store.with_name(f".{store.name}.handing")


def begin_handing(store: Path) -> None:
    """Say that this process hands the store over."""
    path = handing_path(store)
    draft = path.with_name(f"{path.name}-{os.getpid()}")
    draft.write_text(f"{os.getpid()}\n", "ascii")
    draft.replace(path)


def end_handing(store: Path) -> None:
    """Say that it is done, or was given up."""
    handing_path(store).unlink(missing_ok=True)


@contextmanager
def handing_over(store: Path) -> Iterator[None]:
    """Have others leave the store alone for the time of the block."""
    begin_handing(store)
    try:
        yield
    finally:
        end_handing(store)


def is_being_handed_over(store: Path) -> bool:
    """Whether another process, which lives, hands the store over just now."""
    try:
        # A clock that was set back makes a file of the future.
        age = abs(time.time() - handing_path(store).stat().st_mtime)
        pid = int(handing_path(store).read_text("ascii"))
    except (OSError, ValueError):
        return False
    return age < _MOST_SECONDS and pid != os.getpid() and _lives(pid)


def _lives(pid: int) -> bool:
    if os.name == "nt":
        return True  # there a signal, even none, ends the process
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):  # it is gone, or another user's
        return False
    return True
