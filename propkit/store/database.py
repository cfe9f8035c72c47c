"""Opening the DuckDB file, asking it and closing it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import duckdb
import pandas as pd
import pyarrow as pa

from propkit.errors import RequestError, StoreError, StoreInUseError
from propkit.store.askers import Askers
from propkit.store.guarding import check_guest_sql, check_reading
from propkit.store.holders import check_in_place, explain_failure, identify
from propkit.store.memory import MERGING, THREADS, Memory
from propkit.store.migrating import migrate
from propkit.store.private import (
    keep_private,
    remove_spill_folder,
    remove_unused_log,
    spill_path,
)
from propkit.store.reading import Params, Reading, to_frame
from propkit.store.schema import STORAGE_VERSION, find_duplicates
from propkit.store.writer import Writer

ROW_GROUP = 20_480
"""Rows of a row group: a checkpoint writes the last one of each table anew, some kB a row."""
_LARGE_BATCH = 5_000
"""So many items leave row groups of thousands of rows; those of fewer are merged at the end."""
_NAME = "propkit"
"""What the file is called in SQL."""
_STILL_SET = ["memory_limit", THREADS, MERGING]
"""What propkit itself changes while the file is open."""
_MOST_KEPT = 2
"""Connections that are kept for the next who asks: to begin with one costs as much as it asks."""
_open_stores: dict[Path, Store] = {}
_open_lock = threading.Lock()


class Store(Reading):
    """One DuckDB file. ``Store.open`` gives the same object while the file is open here.

    Reading is possible from any thread; all writing goes through ``writer``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._uses = 0
        self._guests_read_files = False
        self._is_locked = False
        self._askers = Askers(path)
        self._kept: list[duckdb.DuckDBPyConnection] = []
        self._checkpoint_lock = threading.Lock()
        # DuckDB refuses a call where another thread's is under way.
        self._connection_lock = threading.Lock()
        self._connection = _connect(path)
        self._identity = identify(path)
        try:
            if not migrate(self._connection):
                # Nobody else can hold the file, so what still runs there died with its process.
                self._connection.execute(
                    "UPDATE batch_heads SET state = 'interrupted' WHERE state = 'running'"
                )
        except BaseException:
            self._let_go()
            raise
        self._memory = Memory(self._cursor)
        self.writer = Writer(self._cursor, self._memory, self._prepare)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a store, made when it does not exist; opened twice it is the same store.

        Raises
        ------
        StoreError
            The folder cannot be written, the file is no DuckDB database, another process holds
            it (named by its PID), or a newer propkit wrote it.
        """
        place = Path(path).expanduser().resolve()
        with _open_lock:
            store = _open_stores.get(place)
            if store is None:
                store = _open_stores[place] = cls(place)
            store._uses += 1
            return store  # type: ignore[return-value]

    @staticmethod
    def is_open(path: Path) -> bool:
        """Whether this process has the file open."""
        with _open_lock:
            return path in _open_stores

    @property
    def is_shared(self) -> bool:
        """Whether it was opened here more than once, and not closed since."""
        return self._uses > 1

    def close(self) -> None:
        """Commit what is pending and let the file go, once everyone who opened it has closed.

        A query that another thread runs meanwhile is waited for, for a second; then it is
        interrupted, and says that the store is closed.
        """
        with _open_lock:
            if self._uses == 0:
                return
            self._uses -= 1
            if self._uses:
                return
            del _open_stores[self.path]
            self._askers.end()
            self.writer.close()
            with self._memory.sparing():  # closing is a checkpoint too
                with self._cursor() as cursor:
                    self._memory.squeeze(cursor)
                    if self.writer.items < _LARGE_BATCH:
                        cursor.execute(f"SET {MERGING} = 1")
                with self._connection_lock:  # who has it must not wait for the memory's lock
                    self._let_go()

    def _let_go(self) -> None:
        while self._kept:
            self._kept.pop().close()
        remove_unused_log(self.path)
        self._connection.close()
        remove_spill_folder(self.path)

    def _prepare(self) -> None:
        check_in_place(self.path, self._identity)
        keep_private(self.path)

    def sparing(self) -> AbstractContextManager[None]:
        """Keep DuckDB's memory small while a batch runs, save while somebody asks."""
        return self._memory.sparing()

    def ample(self) -> AbstractContextManager[None]:
        """Let DuckDB's memory be what it likes from now to the end, not for each question anew."""
        return self._memory.ample()

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of its own to the same file."""
        with self._connection_lock:
            try:
                cursor = self._connection.cursor()
            except duckdb.ConnectionException as error:
                raise self._askers.closed() from error
        cursor.execute(f"USE {_NAME}")
        return cursor

    @contextmanager
    def _asking(self, *, is_shared: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a connection to who asks; the store is not closed before it is given back.

        It is a new one, unless others may have had it before, and will have it after.
        """
        with (
            self._askers.inside(),
            self._memory.ample(),
            self._borrowed() if is_shared else self._cursor() as cursor,
            self._askers.running(cursor),
        ):
            yield cursor

    @contextmanager
    def _borrowed(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a connection that others have asked by, and will again unless it fails."""
        try:
            cursor = self._kept.pop()
        except IndexError:
            cursor = self._cursor()
        try:
            yield cursor
        except BaseException:
            cursor.close()
            raise
        if self._askers.has_ended or len(self._kept) >= _MOST_KEPT:
            cursor.close()
        else:
            self._kept.append(cursor)

    def table(
        self,
        sql: str,
        params: Params = None,
        *,
        wanted: pa.Table | None = None,
        is_read_only: bool = False,
    ) -> pa.Table:
        """Return a query's answer as an Arrow table; parameters are bound.

        ``wanted`` is a table that the query may name so.

        Raises
        ------
        RequestError
            The SQL cannot be run; the message is DuckDB's.
        StoreError
            The store is closed, perhaps while it was asked.
        """
        with self._asking(is_shared=wanted is None and not is_read_only) as cursor:
            return self._ask(cursor, sql, params, wanted, is_read_only=is_read_only)

    def _ask(
        self,
        cursor: duckdb.DuckDBPyConnection,
        sql: str,
        params: Params,
        wanted: pa.Table | None,
        *,
        is_read_only: bool,
    ) -> pa.Table:
        try:
            if wanted is not None:
                cursor.register("wanted", wanted)
            if is_read_only:
                cursor.execute("BEGIN TRANSACTION READ ONLY")
            relation = cursor.sql(sql, params=params)
            # Statements that are not queries have no relation.
            return pa.table({}) if relation is None else relation.to_arrow_table()
        except duckdb.Error as error:
            if isinstance(error, duckdb.InterruptException) and self._askers.has_ended:
                raise self._askers.closed() from None
            raise RequestError(f"the SQL cannot be run: {error}") from error

    def query(self, sql: str, params: Params = None) -> pd.DataFrame:
        """Return the answer to one query that a person wrote; it may only read.

        Raises
        ------
        RequestError
            The SQL is wrong, is more than one statement, or would write.
        """
        check_reading(sql)
        # An EXPLAIN ANALYZE or a WITH may hold an INSERT: the transaction refuses what would write.
        return to_frame(self.table(sql, params, is_read_only=True))

    def answer_guest(
        self, sql: str, params: Params = None, *, wanted: pa.Table | None = None
    ) -> pa.Table:
        """Return the answer to a query that another process sends; it may only read the store.

        Raises
        ------
        RequestError
            The SQL is wrong, would write, or reads files though guests may not.
        """
        check_guest_sql(sql, may_read_files=self._guests_read_files)
        return self.table(sql, params, wanted=wanted, is_read_only=True)

    def limit_files(self, readers: str) -> None:
        """Say whose SQL may read files: ``"everyone"``'s, the ``"owner"``'s, ``"nobody"``'s.

        For nobody DuckDB itself is locked, until the file is closed.
        """
        self._guests_read_files = readers == "everyone"
        if readers == "nobody" and not self._is_locked:
            self._is_locked = True
            with self._cursor() as cursor:
                cursor.execute("SET enable_external_access = false")
                cursor.execute(f"SET allowed_configs = {_STILL_SET}")
                cursor.execute("SET lock_configuration = true")

    @contextmanager
    def checkpointed(self) -> Iterator[None]:
        """Write the log into the file, and let nobody else do so meanwhile."""
        with self._checkpoint_lock:
            with self._asking() as cursor, suppress(duckdb.Error):
                # Somebody who reads or writes just now puts it off; DuckDB does it by itself later.
                cursor.execute("CHECKPOINT")
            yield

    def duplicates(self) -> dict[str, int]:
        """Count identities that stand more than once, by table; always empty, as a proof."""
        with self._asking() as cursor:
            return find_duplicates(cursor)


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    config: dict[str, Any] = {
        # Beside the file, not where the process happens to stand.
        "temp_directory": str(spill_path(path)),
        # Extensions cannot be had offline, and asking for them costs a time-out.
        "autoinstall_known_extensions": False,
        "storage_compatibility_version": STORAGE_VERSION,
        # A table that is not there must not be found among propkit's own variables.
        "python_enable_replacements": False,
        "TimeZone": "UTC",
    }
    if not os.path.isdir(path.parent):  # noqa: PTH112 -- Path.is_dir raises where it may not look
        raise StoreError(f"{path.parent} is no folder: the store {path.name} cannot be made there")
    if os.path.isdir(path):  # noqa: PTH112
        raise StoreError(f"{path} is a folder; expected a file")
    is_new = not os.path.lexists(path)
    connection = duckdb.connect(":memory:", config=config)
    try:
        # Attached, for only so the size of row groups can be told.
        quoted = str(path).replace("'", "''")
        connection.execute(f"ATTACH '{quoted}' AS {_NAME} (ROW_GROUP_SIZE {ROW_GROUP})")
        connection.execute(f"USE {_NAME}")
    except duckdb.Error as error:
        connection.close()
        failure = explain_failure(path, str(error))
        # DuckDB's own words about a lock are of no use to an analyst, also not in a traceback.
        raise failure from None if isinstance(failure, StoreInUseError) else error
    if is_new:
        with suppress(OSError):  # a disk that knows no owners
            path.chmod(0o600)  # names and telephone numbers; who shares the store may open it
    keep_private(path)
    return connection
