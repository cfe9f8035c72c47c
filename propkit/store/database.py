"""Opening the DuckDB file, asking it and closing it."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from propkit.errors import RequestError, StoreError
from propkit.store.payloads import read_payloads
from propkit.store.schema import STORAGE_VERSION, find_duplicates, migrate
from propkit.store.writer import Writer
from propkit.terms import Freshness

_LOCK_HOLDER = re.compile(r"\(PID (\d+)\)")
_FAMILIES = ("validation", "search")
"""Kinds of batch that ask something else of a key than its records."""
_READING = {"SELECT", "EXPLAIN", "RELATION"}
BATCH_MEMORY = "256MB"
_open_stores: dict[Path, Store] = {}
_open_lock = threading.Lock()


class Store:
    """One DuckDB file. ``Store.open`` gives the same object while the file is open here.

    Reading is possible from any thread; all writing goes through ``writer``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._uses = 0
        self._running = 0
        self._connection = _connect(path)
        try:
            migrate(self._connection)
            # Nobody else can hold the file, so what still runs there died with its process.
            self._connection.execute(
                "UPDATE batch_heads SET state = 'interrupted' WHERE state = 'running'"
            )
        except BaseException:
            self._connection.close()
            raise
        self.writer = Writer(self._connection.cursor)

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

    def close(self) -> None:
        """Commit what is pending and let the file go, once everyone who opened it has closed."""
        with _open_lock:
            if self._uses == 0:
                return
            self._uses -= 1
            if self._uses:
                return
            del _open_stores[self.path]
            self.writer.close()
            self._connection.close()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep DuckDB's memory small while a batch runs.

        A checkpoint reads the last row group of kept answers anew, up to 122,880 of them, and
        takes for it what it may.
        """
        with _open_lock:
            self._running += 1
            self._limit_memory(BATCH_MEMORY)
        try:
            yield
        finally:
            with _open_lock:
                self._running -= 1
                if not self._running:
                    self._limit_memory(None)

    def _limit_memory(self, limit: str | None) -> None:
        change = "RESET memory_limit" if limit is None else f"SET memory_limit = '{limit}'"
        with self._connection.cursor() as cursor, suppress(duckdb.Error):
            # Refused where a query of the person's own holds more just now.
            cursor.execute(change)

    def table(
        self,
        sql: str,
        params: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        is_read_only: bool = False,
    ) -> pa.Table:
        """Return a query's answer as an Arrow table; parameters are bound.

        Raises
        ------
        RequestError
            The SQL cannot be run; the message is DuckDB's.
        """
        if self._uses == 0:
            raise StoreError(f"the store {self.path} is closed")
        cursor = self._connection.cursor()
        try:
            if is_read_only:
                cursor.execute("BEGIN TRANSACTION READ ONLY")
            relation = cursor.sql(sql, params=params)
            # Statements that are not queries have no relation.
            return pa.table({}) if relation is None else relation.to_arrow_table()
        except duckdb.Error as error:
            raise RequestError(f"the SQL cannot be run: {error}") from error
        finally:
            cursor.close()

    def frame(
        self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return a query's answer as a DataFrame with Arrow dtypes (ids text, money exact)."""
        return _to_frame(self.table(sql, params))

    def query(
        self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return the answer to one query that a person wrote; it may only read.

        Raises
        ------
        RequestError
            The SQL is wrong, is more than one statement, or would write.
        """
        try:
            statements = duckdb.extract_statements(sql)
        except duckdb.Error as error:
            raise RequestError(f"the SQL cannot be read: {error}") from error
        if len(statements) != 1 or statements[0].type.name not in _READING:
            kinds = ", ".join(statement.type.name for statement in statements) or "nothing"
            raise RequestError(f"one reading query is expected, this is {kinds}: {sql!r}")
        # An EXPLAIN ANALYZE or a WITH may hold an INSERT: the transaction refuses what would write.
        return _to_frame(self.table(sql, params, is_read_only=True))

    def rows(
        self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return a query's answer as a list of dicts."""
        rows: list[dict[str, Any]] = self.table(sql, params).to_pylist()
        return rows

    def freshness(self, keys: Mapping[str, Sequence[str]]) -> dict[str, Freshness]:
        """Return the newest answers about many keys, by source, in one query.

        A key that was never asked for is left out, and so is a source of which none was. Every
        key is looked up at every source named.
        """
        names = list(dict.fromkeys(key for some in keys.values() for key in some))
        found = self._join(
            _wanted({"": names}),
            # Joined by the key alone and grouped by its number: a quarter less to compute.
            "SELECT freshness.source, place, epoch_us(max(checked_at)) / 1e6 AS checked_at,"
            " arg_max(is_found, checked_at) AS is_found, arg_max("
            "CASE WHEN len(missing) = 0 THEN '' ELSE array_to_string(missing, ',') END,"
            " checked_at) AS missing"
            " FROM freshness JOIN wanted USING (key) GROUP BY freshness.source, place",
        )
        texts = found["missing"].unique().to_pylist()
        tables = {text: tuple(text.split(",")) if text else () for text in texts}
        fresh = {}
        for source in keys:
            rows = found.filter(pc.equal(found["source"], source))
            if rows.num_rows:
                fresh[source] = Freshness(
                    keys=[names[place] for place in rows["place"].to_pylist()],
                    checked_at=rows["checked_at"].to_pylist(),
                    is_found=rows["is_found"].to_pylist(),
                    missing=[tables[text] for text in rows["missing"].to_pylist()],
                )
        return fresh

    def active(
        self, keys: Mapping[str, Sequence[str]], kind: str = "comprehensive"
    ) -> dict[tuple[str, str], str]:
        """Return (source, key) → batch id of what running batches have in work of these keys.

        Only batches that ask the same of a key count: a validation does not collect.
        """
        family = kind if kind in _FAMILIES else "collect"
        found = self._join(
            _wanted(keys),
            "SELECT source, key, max(batch_id) AS batch_id FROM items"
            " SEMI JOIN wanted USING (source, key) WHERE state IN ('waiting', 'running')"
            " AND batch_id IN (SELECT batch_id FROM batch_heads WHERE state = 'running'"
            f" AND CASE WHEN kind IN {_FAMILIES} THEN kind ELSE 'collect' END = $1)"
            " GROUP BY source, key",
            [family],
        )
        identities = zip(found["source"].to_pylist(), found["key"].to_pylist(), strict=True)
        return dict(zip(identities, found["batch_id"].to_pylist(), strict=True))

    def parcel_column(self, column: str, apns: Sequence[str]) -> dict[str, str]:
        """Return a text column of ``parcels`` by APN, for those that have a value."""
        found = self._join(
            _wanted({"": apns}),
            f"SELECT key, parcels.{column} AS value FROM parcels"
            f" JOIN wanted ON wanted.key = parcels.apn WHERE parcels.{column} IS NOT NULL",
        )
        return dict(zip(found["key"].to_pylist(), found["value"].to_pylist(), strict=True))

    def bodies(self, digests: Iterable[str]) -> dict[str, bytes]:
        """Return the kept bodies of answers by their sha256 (hex); others are left out."""
        if self._uses == 0:
            raise StoreError(f"the store {self.path} is closed")
        with self._connection.cursor() as cursor:
            return read_payloads(cursor, digests)

    def _join(self, wanted: pa.Table, sql: str, params: Sequence[Any] | None = None) -> pa.Table:
        """Return the answer to a query over the table ``wanted`` (place, source, key)."""
        if self._uses == 0:
            raise StoreError(f"the store {self.path} is closed")
        with self._connection.cursor() as cursor:
            cursor.register("wanted", wanted)
            try:
                return cursor.sql(sql, params=params).to_arrow_table()
            except duckdb.Error as error:
                raise StoreError(f"{self.path} cannot be read: {error}") from error

    def duplicates(self) -> dict[str, int]:
        """Count identities that stand more than once, by table; always empty, as a proof."""
        with self._connection.cursor() as cursor:
            return find_duplicates(cursor)


def _wanted(keys: Mapping[str, Sequence[str]]) -> pa.Table:
    lengths = [len(some) for some in keys.values()]
    sources = pa.array(list(keys), pa.string()).take(
        pa.array(np.repeat(np.arange(len(lengths)), lengths), pa.int64())
    )
    columns = [
        pa.array(np.arange(sum(lengths)), pa.int64()),
        sources,
        pa.array([key for some in keys.values() for key in some], pa.string()),
    ]
    return pa.table(columns, names=["place", "source", "key"])


def _to_frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    config: dict[str, Any] = {
        # Extensions cannot be had offline, and asking for them costs a time-out.
        "autoinstall_known_extensions": False,
        "storage_compatibility_version": STORAGE_VERSION,
        "TimeZone": "UTC",
    }
    if not os.path.isdir(path.parent):  # noqa: PTH112 -- Path.is_dir raises where it may not look
        raise StoreError(f"{path.parent} is no folder: the store {path.name} cannot be made there")
    try:
        return duckdb.connect(path, config=config)
    except duckdb.Error as error:
        raise StoreError(_explain(path, str(error))) from error


def _is_duckdb(path: Path) -> bool:
    """Whether a file that is there begins as DuckDB's do; true for none and for what is no file."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return True
    return not head or head[8:] == b"DUCK"


def _explain(path: Path, message: str) -> str:
    if holder := _LOCK_HOLDER.search(message):
        return (
            f"{path} is in use by another process (PID {holder[1]}): close the notebook or "
            "program that has it open, or open another file"
        )
    if not _is_duckdb(path):
        return f"{path} is no DuckDB file: name another path, the file is left as it is"
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        return f"{path} cannot be written: choose a folder that is yours to write"
    return f"{path} cannot be opened: {message}"
