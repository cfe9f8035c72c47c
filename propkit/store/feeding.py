"""Rows for SQL, and statements over them that are planned once for each connection.

To plan a statement takes DuckDB three times as long as to insert some hundred rows by it. A plan
lasts as long as what it reads from is the same object: so the objects stay, and their rows change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

import duckdb
import pyarrow as pa


class _Feed:
    """What DuckDB reads a table's new rows from; it asks by Arrow's C interface."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        # An empty_table() holds a buffer for each column, and with it megabytes of Arrow's.
        self.rows = self._empty = pa.Table.from_batches([], schema)

    def empty(self) -> None:
        self.rows = self._empty

    def __arrow_c_schema__(self) -> Any:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.rows.__arrow_c_stream__(requested_schema)


class Feeds:
    """New rows by table, for one connection; asked for a table, it names what to select from.

    Each object that DuckDB is told of costs it about a millisecond, so it is told of those that are
    asked for. A rollback undoes that, see :meth:`forget`.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, schemas: Mapping[str, pa.Schema]
    ) -> None:
        self.connection = connection
        self._schemas = schemas
        self._feeds: dict[str, _Feed] = {}
        self._plans: dict[str, str] = {}
        self._numbers = count()
        self._filled: frozenset[str] = frozenset()

    def __contains__(self, table: str) -> bool:
        return table in self._filled

    def __getitem__(self, table: str) -> str:
        self._feed(table)
        return _name(table)

    def rows(self, table: str) -> pa.Table:
        """Return the new rows of a table, as they were given."""
        return self._feeds[table].rows

    @contextmanager
    def filled(self, tables: Mapping[str, pa.Table]) -> Iterator[None]:
        """Let statements see these rows, in the columns of the schemas."""
        feeds = [self._feed(table) for table in tables]
        for feed, rows in zip(feeds, tables.values(), strict=True):
            feed.rows = rows
        before = self._filled
        self._filled = before.union(tables)
        try:
            yield
        finally:
            for feed in feeds:
                feed.empty()
            self._filled = before

    def forget(self) -> None:
        """Make anew what a rollback may have undone, and the plans over it, when it is needed."""
        self._feeds.clear()
        self._plans.clear()

    def execute(self, sql: str) -> duckdb.DuckDBPyConnection:
        """Run a statement that comes again and again."""
        return self.connection.execute(self._prepare(sql))

    def fetch(self, sql: str) -> pa.Table:
        """Run a statement that comes again and again, and return its rows."""
        return self.connection.sql(self._prepare(sql)).to_arrow_table()

    def _feed(self, table: str) -> _Feed:
        feed = self._feeds.get(table)
        if feed is None:
            feed = self._feeds[table] = _Feed(self._schemas[table])
            self.connection.register(_name(table), feed)
        return feed

    def _prepare(self, sql: str) -> str:
        name = self._plans.get(sql)
        if name is None:
            name = self._plans[sql] = f"propkit_{next(self._numbers)}"
            self.connection.execute(f"PREPARE {name} AS {sql}")
        return f"EXECUTE {name}"


def _name(table: str) -> str:
    return f"propkit_new_{table}"
