"""What DuckDB writes beside a store is as private as the store itself, whatever the umask says."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

_OPEN_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def log_path(store: Path) -> Path:
    """Return where DuckDB writes what is committed and not yet in the file."""
    return Path(f"{store}.wal")


def spill_path(store: Path) -> Path:
    """Return the folder where DuckDB puts what does not fit into memory, while the file is open."""
    return store.with_name(f".{store.name}.tmp")


def keep_private(store: Path) -> None:
    """Make the log and the folder before DuckDB does; only for who holds the file.

    DuckDB makes both by the umask, a new log after each checkpoint, and takes what it finds.
    """
    with suppress(OSError):  # a disk that knows no owners
        _keep_log_private(log_path(store), stat.S_IMODE(store.stat().st_mode))
        spill_path(store).mkdir(mode=0o700, exist_ok=True)


def remove_unused_log(store: Path) -> None:
    """Remove a log that nothing was written to, while the file is still held."""
    with suppress(OSError):
        if log_path(store).stat().st_size == 0:
            log_path(store).unlink()


def remove_spill_folder(store: Path) -> None:
    """Remove the folder, which DuckDB has emptied."""
    with suppress(OSError):
        spill_path(store).rmdir()


def _keep_log_private(log: Path, mode: int) -> None:
    try:
        os.close(os.open(log, _OPEN_NEW, 0o600))
    except FileExistsError:
        if stat.S_IMODE(log.stat().st_mode) == mode:
            return
    log.chmod(mode)
