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
        if not scopes:
            return set()
        rows = (
            new.execute(  # of all tables at once: to begin a statement takes longer than to run it
                " UNION ALL ".join(
                    f"SELECT {place}::UTINYINT AS place, hash({', '.join(columns)}) AS scope"
                    f" FROM {new[table]}"
                    for place, (table, columns) in enumerate(scopes.items())
                )
            ).fetchnumpy()
        )
        every, places = np.asarray(rows["scope"], np.uint64), np.asarray(rows["place"])
        found = set()
        for place, (table, columns) in enumerate(scopes.items()):
            hashes = every[places == place]
            if self._known(new, table, columns).add(hashes).any():
                found.add(table)
        return found

    def may_have(self, new: Feeds, table: str, columns: Sequence[str], rows: str) -> bool:
        """Whether a scope of some rows (what to select them from) may have rows."""
        scopes = new.execute(f"SELECT hash({', '.join(columns)}) AS scope FROM {rows}")
        hashes = np.asarray(scopes.fetchnumpy()["scope"], np.uint64)
        return self._known(new, table, columns).has_any(hashes)

    def _known(self, new: Feeds, table: str, columns: Sequence[str]) -> HashSet:
        if table not in self._tables:
            self._tables[table] = _read_table(new.connection, table, columns)
        return self._tables[table]


def _read_table(
    connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str]
) -> HashSet:
    rows = connection.execute(
        f"SELECT DISTINCT hash({', '.join(columns)}) AS scope FROM {table}"
    ).fetchnumpy()
    return HashSet(np.asarray(rows["scope"], np.uint64))


def _is_in(ordered: Hashes, hashes: Hashes) -> npt.NDArray[np.bool_]:
    return np.searchsorted(ordered, hashes, "right") > np.searchsorted(ordered, hashes, "left")
