"""Who asks a store just now: it is not closed under them, and they do not hold up who closes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import duckdb

from propkit.errors import StoreError

PATIENCE_SECONDS: Final = 1.0
"""How long what is asked may go on when the store is closed; then it is interrupted."""
_AGAIN_SECONDS: Final = 0.05


class StoreClosedError(StoreError):
    """The store was closed in this process; another may have it open by now."""


class Askers:
    """Counts who asks one store; ``end`` lets nobody in any more and waits for the others."""

    def __init__(self, path: Path) -> None:
        self.has_ended = False
        self._path = path
        self._changed = threading.Condition()
        self._inside: list[int] = []
        self._connections: set[duckdb.DuckDBPyConnection] = set()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Keep the store open meanwhile.

        Raises
        ------
        StoreClosedError
            It is closed.
        """
        own = threading.get_ident()
        with self._changed:
            if self.has_ended:
                raise self.closed()
            self._inside.append(own)
        try:
            yield
        finally:
            with self._changed:
                self._inside.remove(own)
                self._changed.notify_all()

    @contextmanager
    def running(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Let what runs on a connection be interrupted, for as long as it is open."""
        with self._changed:
            self._connections.add(connection)
        try:
            yield
        finally:
            with self._changed:
                self._connections.discard(connection)

    def end(self) -> None:
        """Let nobody in, and wait until all others are out; what takes long is interrupted.

        This thread itself is not waited for: the garbage collector may close a store that it asks.
        """
        began, own = time.monotonic(), threading.get_ident()
        with self._changed:
            self.has_ended = True
            while any(one != own for one in self._inside):
                if time.monotonic() - began > PATIENCE_SECONDS:
                    # Again and again: between two statements there is nothing to interrupt.
                    for connection in self._connections:
                        with suppress(duckdb.Error):
                            connection.interrupt()
                self._changed.wait(_AGAIN_SECONDS)

    def closed(self) -> StoreClosedError:
        """Return the news that the store is closed."""
        return StoreClosedError(f"the store {self._path} is closed")
