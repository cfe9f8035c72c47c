"""Why a file cannot be opened, or written any more, in words: who holds it, what it is, where."""

from __future__ import annotations

import os
import re
from pathlib import Path

from propkit.errors import StoreError, StoreInUseError

_LOCK_HOLDER = re.compile(r"\(PID (\d+)\)")
_IN_USE = "Could not set lock"
_MAY_BE_OWNER = re.compile(r"python|pypy|jupyter|ipy|propkit", re.IGNORECASE)
_PARTS = (b"/_duckdb.", b"/pyarrow/", b"/pydantic_core/", b"/orjson/")
"""What a process that has a store open has loaded, all of it before that; few others have."""


def explain_failure(path: Path, message: str) -> StoreError:
    """Return the error that says why DuckDB could not open a file."""
    if (holder := _LOCK_HOLDER.search(message)) or _IN_USE in message:
        pid = int(holder[1]) if holder else None
        return StoreInUseError(
            f"{path} is in use by another process{_named(pid)}: close the notebook or "
            "program that has it open, or open another file",
            pid=pid,
        )
    if not _is_duckdb(path):
        return StoreError(f"{path} is no DuckDB file: name another path, the file is left as it is")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        return StoreError(f"{path} cannot be written: choose a folder that is yours to write")
    return StoreError(f"{path} cannot be opened: {message}")


def identify(path: Path) -> tuple[int, int]:
    """Return what tells a file from any other, also from a later one of its name."""
    found = path.stat()
    return found.st_dev, found.st_ino


def check_in_place(path: Path, identity: tuple[int, int]) -> None:
    """Refuse to write a file that nobody would find again.

    Raises
    ------
    StoreError
        It was moved, deleted or replaced while it was open.
    """
    try:
        if identify(path) == identity:
            return
    except FileNotFoundError:
        pass
    except OSError:
        return  # the folder cannot be looked into just now; DuckDB has the file
    raise StoreError(
        f"{path} was moved, deleted or replaced while it was open, and nothing more is written to"
        " it: what it holds can still be read and exported here; put it back, close it and open it"
        " again"
    )


def command_name(pid: int) -> str | None:
    """Return the name of a process's program, None where it cannot be told."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    # Its arguments may hold passwords.
    return Path(words[0].decode(errors="replace")).name or None


def may_serve(pid: int) -> bool:
    """Whether a process may be one that serves guests; true where that cannot be told."""
    try:
        loaded = Path(f"/proc/{pid}/maps").read_bytes()
        return all(part in loaded for part in _PARTS)
    except OSError:
        name = command_name(pid)
        return name is None or _MAY_BE_OWNER.search(name) is not None


def _named(pid: int | None) -> str:
    if pid is None:
        return ""
    name = command_name(pid)
    return f" (PID {pid})" if name is None else f" (PID {pid}), {name}"


def _is_duckdb(path: Path) -> bool:
    """Whether a file that is there begins as DuckDB's do; true for none and for what is no file."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return True
    return not head or head[8:] == b"DUCK"
