"""What DuckDB may take: little memory and one thread while a batch runs, all while somebody asks.

A checkpoint takes what it may, and so does what was read once and might be read again. A query
of a person's own must not fail, or go by way of the disk, because a batch runs beside it.

A checkpoint also merges small row groups with their neighbours, up to three full ones of each
table written anew for a few thousand new rows: most of its memory, and of its time. A batch that
only adds rows leaves groups that are large enough; one that replaces rows leaves holes in them,
which only merging fills.

A batch's statements are small. To hand parts of them to further threads takes more than these then
save, in time too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import duckdb
import pyarrow as pa

from propkit.errors import StoreError

BATCH_MEMORY = "96MB"
"""What a group of results, or the checkpoint behind it, may take."""
KEPT_MEMORY = "32MB"
"""What stays of it between two groups."""
MERGING = "max_vacuum_tasks"
"""DuckDB's setting: how often in each table a checkpoint may merge row groups."""
THREADS = "threads"
"""DuckDB's setting: how many threads work on a statement, with the one that asks."""
_RELEASE_SECONDS = 1.0
"""How often Arrow gives back what it holds unused: the next group takes it anew, page by page."""


class Memory:
    """Sets the limit of one DuckDB, whose own limit is most of the machine's memory.

    Parameters
    ----------
    connect
        Opens a connection to it.
    """

    def __init__(self, connect: Callable[[], duckdb.DuckDBPyConnection]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._sparing = 0
        self._asking = 0
        self._is_low = False
        self._was_asked = False
        self._is_merging = False
        self._released_at = float("-inf")

    @contextmanager
    def sparing(self) -> Iterator[None]:
        """Keep it small meanwhile, save while somebody asks; give back what Arrow holds unused after it."""
        with self._lock:
            self._sparing += 1
            self._settle()
        try:
            yield
        finally:
            pa.default_memory_pool().release_unused()
            with self._lock:
                self._sparing -= 1
                self._is_merging = self._is_merging and self._sparing > 0
                self._settle()

    @contextmanager
    def ample(self) -> Iterator[None]:
        """Let it be what it likes meanwhile; afterwards what was kept in it is let go."""
        with self._lock:
            self._asking += 1
            self._settle()
        try:
            yield
        finally:
            with self._lock:
                self._asking -= 1
                self._settle()

    def squeeze(self, connection: duckdb.DuckDBPyConnection, *, is_due: bool = True) -> None:
        """Let go of what is kept only because it might be read again, and of what Arrow holds unused.

        For the writer between two of its groups: nobody else is bound by the limit. Where it has
        written little since (not ``is_due``) only of what somebody has read meanwhile.

        Arrow keeps megabytes for each thread that ever held a kilobyte of it, also for those that
        have ended: a store that closes begins its checkpoint without them.
        """
        with self._lock:
            self._settle()
            if self._is_low and (is_due or self._was_asked):
                self._was_asked = False
                for limit in (KEPT_MEMORY, BATCH_MEMORY):
                    with suppress(duckdb.Error):  # refused it stays as it was
                        connection.execute(f"SET memory_limit = '{limit}'")
                if time.monotonic() - self._released_at >= _RELEASE_SECONDS:
                    pa.default_memory_pool().release_unused()
                    self._released_at = time.monotonic()

    def merge(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let checkpoints merge row groups for as long as it is kept small; else they do anyway."""
        with self._lock:
            if self._sparing and not self._is_merging:
                self._is_merging = True
                with suppress(
                    duckdb.Error
                ):  # what was written is committed, whatever becomes of it
                    connection.execute(f"RESET {MERGING}")

    def _settle(self) -> None:
        is_low = self._sparing > 0 and self._asking == 0
        if is_low == self._is_low:
            return
        change = f"RESET memory_limit; RESET {THREADS}; RESET {MERGING}"
        if is_low:
            merging = f"RESET {MERGING}" if self._is_merging else f"SET {MERGING} = 0"
            change = f"SET memory_limit = '{BATCH_MEMORY}'; SET {THREADS} = 1; {merging}"
        with suppress(duckdb.Error, StoreError), self._connect() as connection:
            # Refused where the writer holds more just now, or it was closed: the next one does it,
            # or the writer itself, after its group.
            connection.execute(change)
            self._is_low = self._was_asked = is_low
