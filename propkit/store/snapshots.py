"""A copy of the store for other tools, made while it is in use."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from glob import escape
from pathlib import Path

import duckdb

from propkit.errors import RequestError, StoreError
from propkit.store.database import Store

_COPY_SECONDS = 600
_COPY = """
import os, shutil, sys
source, target = sys.argv[1:]
os.umask(0o077)
shutil.copy(source, target)
if os.path.exists(source + ".wal"):
    shutil.copy(source + ".wal", target + ".wal")
"""


def check_target(path: str | os.PathLike[str], store: Path, *, overwrite: bool) -> Path:
    """Return a snapshot's full path.

    Raises
    ------
    RequestError
        It is the store itself, its folder does not exist, or there is a file already.
    """
    target = Path(path).expanduser().absolute()
    if target.resolve() == store:
        raise RequestError(f"{target} is the store itself: name another path for the snapshot")
    if not target.parent.is_dir():
        raise RequestError(f"{target.parent} is no folder: the snapshot cannot be written there")
    if target.is_dir() or (target.exists() and not overwrite):
        raise RequestError(f"{target} exists already: name another path, or overwrite=True")
    return target


def write_draft(store: Store) -> Path:
    """Write a consistent copy beside the store and return its path; batches go on meanwhile.

    What is written meanwhile waits for the copy, and is not in it.

    Raises
    ------
    StoreError
        The copy cannot be written.
    """
    discard_left_drafts(store.path)
    draft = store.path.with_name(f".{store.path.name}-{secrets.token_hex(4)}.snapshot")

    def copy(_: duckdb.DuckDBPyConnection) -> None:
        # In a process of its own: closing the file here would let go of DuckDB's lock on it.
        command = [sys.executable, "-I", "-S", "-c", _COPY, str(store.path), str(draft)]
        subprocess.run(  # noqa: S603 -- copies one file, with fixed arguments
            command, check=True, capture_output=True, timeout=_COPY_SECONDS
        )

    try:
        with store.checkpointed():
            store.writer.submit(copy).result()
        with duckdb.connect(draft) as connection:  # takes in the log, and shows that it opens
            connection.execute("CHECKPOINT")
    except (duckdb.Error, StoreError) as error:
        discard_draft(draft)
        raise StoreError(f"the snapshot cannot be written: {error}") from error
    return draft


def discard_left_drafts(store: Path) -> None:
    """Remove copies that processes left which died over them; one that is young may be in work."""
    for draft in store.parent.glob(f".{escape(store.name)}-????????.snapshot"):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime > _COPY_SECONDS:
                discard_draft(draft)


def discard_draft(draft: Path) -> None:
    """Remove a copy that nobody wants."""
    for end in ("", ".wal"):
        Path(f"{draft}{end}").unlink(missing_ok=True)


def move_draft(draft: Path, target: Path) -> Path:
    """Move a copy to where it is wanted, whole or not at all, and return the path.

    Raises
    ------
    StoreError
        It cannot be written there; the copy is removed.
    """
    near = target.with_name(f".{target.name}-{secrets.token_hex(4)}.part")
    try:
        shutil.move(draft, near)
        # The log of an older file of this name would be taken for the copy's.
        Path(f"{target}.wal").unlink(missing_ok=True)
        near.replace(target)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        discard_draft(draft)
        near.unlink(missing_ok=True)
    return target
