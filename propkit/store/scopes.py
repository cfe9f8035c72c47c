"""Which scopes have rows in a record table already: what is new has nothing to be deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import numpy as np
import numpy.typing as npt

from propkit.store.feeding import Feeds

Hashes = npt.NDArray[np.uint64]
_MERGED_EVERY = 20_000


class HashSet:
    """A growing set of 64-bit hashes in sorted arrays, eight bytes each."""

    def __init__(self, hashes: Hashes) -> None:
        self._merged = np.sort(hashes)
        self._recent: Hashes = np.empty(0, np.uint64)

    def add(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Add hashes; return for each whether it was there before."""
        was_there = _is_in(self._merged, hashes) | _is_in(self._recent, hashes)
        if not was_there.all():
            self._recent = np.sort(np.concatenate([self._recent, hashes[~was_there]]))
            if len(self._recent) > _MERGED_EVERY:
                self._merged = np.sort(np.concatenate([self._merged, self._recent]))
                self._recent = self._recent[:0].copy()
        return was_there

    def has_any(self, hashes: Hashes) -> bool:
        """Whether one of some hashes is there."""
        return bool((_is_in(self._merged, hashes) | _is_in(self._recent, hashes)).any())


class StoredScopes:
    """Which scopes (the columns whose rows one answer replaces) may have rows, by table.

    A DELETE that matches nothing costs as much as the INSERT behind it. What is not found here
    has certainly no rows, as long as one writer writes all; what is found may have none.
    """

    def __init__(self) -> None:
        self._tables: dict[str, HashSet] = {}

    def find(self, new: Feeds, scopes: Mapping[str, Sequence[str]]) -> set[str]:
        """Return the tables where a scope of the new rows may have rows, and remember all.

        ``scopes`` has the scope's columns by table.
        """
        hashes = _hash(new, {table: (columns, new[table]) for table, columns in scopes.items()})
        return {
            table
            for table, some in hashes.items()
            if self._known(new, table, scopes[table]).add(some).any()
        }

    def may_have(self, new: Feeds, rows: Mapping[str, tuple[Sequence[str], str]]) -> set[str]:
        """Return the tables where a scope of some rows may have rows.

        ``rows`` has by table the scope's columns, and what to select the rows from.
        """
        return {
            table
            for table, some in _hash(new, rows).items()
            if self._known(new, table, rows[table][0]).has_any(some)
        }

    def _known(self, new: Feeds, table: str, columns: Sequence[str]) -> HashSet:
        if table not in self._tables:
            self._tables[table] = _read_table(new.connection, table, columns)
        return self._tables[table]


def _hash(new: Feeds, rows: Mapping[str, tuple[Sequence[str], str]]) -> dict[str, Hashes]:
    """Return the hashes of rows by table, each with its columns and what to select it from."""
    if not rows:
        return {}
    found = new.execute(  # of all tables at once: to begin a statement takes longer than to run it
        " UNION ALL ".join(
            f"SELECT {place}::UTINYINT AS place, hash({', '.join(columns)}) AS scope FROM {some}"
            for place, (columns, some) in enumerate(rows.values())
        )
    ).fetchnumpy()
    every, places = np.asarray(found["scope"], np.uint64), np.asarray(found["place"])
    return {table: every[places == place] for place, table in enumerate(rows)}


def _read_table(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]
) -> HashSet:
    rows = connection.execute(
        f"SELECT DISTINCT hash({', '.join(columns)}) AS scope FROM {table}"
    ).fetchnumpy()
    return HashSet(np.asarray(rows["scope"], np.uint64))


def _is_in(ordered: Hashes, hashes: Hashes) -> npt.NDArray[np.bool_]:
    return np.searchsorted(ordered, hashes, "right") > np.searchsorted(ordered, hashes, "left")
