"""Asking a store: what everything that looks into it needs, wherever the file is held."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from propkit.errors import RequestError, StoreError
from propkit.kinds import HOME_COUNTY
from propkit.store.payloads import BODIES, unpack_bodies
from propkit.terms import Freshness

Params = Sequence[Any] | Mapping[str, Any] | None
"""What a query's placeholders stand for; always bound."""

_FAMILIES = ("validation", "search")
"""Kinds of batch that ask something else of a key than its records."""


class Reading(ABC):
    """A store that can be asked: the file itself, or the process that holds it."""

    path: Path

    @abstractmethod
    def table(self, sql: str, params: Params = None, *, wanted: pa.Table | None = None) -> pa.Table:
        """Return a query's answer as an Arrow table; parameters are bound.

        ``wanted`` is a table that the query may name so.

        Raises
        ------
        RequestError
            The SQL cannot be run; the message is DuckDB's.
        """

    @abstractmethod
    def query(self, sql: str, params: Params = None) -> pd.DataFrame:
        """Return the answer to one query that a person wrote; it may only read.

        Raises
        ------
        RequestError
            The SQL is wrong, is more than one statement, or would write.
        """

    def sparing(self) -> AbstractContextManager[None]:
        """Keep DuckDB's memory small meanwhile, where the file is held here."""
        return nullcontext()

    def ample(self) -> AbstractContextManager[None]:
        """Let DuckDB's memory be what it likes from now to the end, not for each question anew."""
        return nullcontext()

    def frame(self, sql: str, params: Params = None) -> pd.DataFrame:
        """Return a query's answer as a DataFrame with Arrow dtypes (ids text, money exact)."""
        return to_frame(self.table(sql, params))

    def bodies(self, digests: Iterable[str]) -> dict[str, bytes]:
        """Return the kept bodies of answers by their sha256 (hex); others are left out."""
        return unpack_bodies(self.table(BODIES, [list(digests)]))

    def rows(self, sql: str, params: Params = None) -> list[dict[str, Any]]:
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
        """Return (source, key) → batch id of what batches have in work, or will have, of these keys.

        Only batches that ask the same of a key count: a validation does not collect.
        """
        family = kind if kind in _FAMILIES else "collect"
        found = self._join(
            _wanted(keys),
            "SELECT source, key, max(batch_id) AS batch_id FROM items"
            " SEMI JOIN wanted USING (source, key) WHERE state IN ('waiting', 'running')"
            " AND batch_id IN (SELECT batch_id FROM batch_heads WHERE state IN ('pending', 'running')"
            f" AND CASE WHEN kind IN {_FAMILIES} THEN kind ELSE 'collect' END = $1)"
            " GROUP BY source, key",
            [family],
        )
        identities = zip(found["source"].to_pylist(), found["key"].to_pylist(), strict=True)
        return dict(zip(identities, found["batch_id"].to_pylist(), strict=True))

    def refusals(self, sources: Sequence[str]) -> dict[str, datetime]:
        """Return when (aware UTC) sources refused the token, of those that said no more since."""
        if not sources:
            return {}
        found = self.rows(
            "SELECT source, max(ended_at) AS at FROM items WHERE failure_class = 'rejected'"
            " AND list_contains($1, source) GROUP BY source"
            " HAVING NOT EXISTS (FROM freshness WHERE freshness.source = items.source"
            " AND checked_at > max(items.ended_at))",
            [list(sources)],
        )
        return {row["source"]: row["at"] for row in found}

    def parcel_column(
        self, column: str, apns: Sequence[str], county: str = HOME_COUNTY
    ) -> dict[str, str]:
        """Return a text column of a county's ``parcels`` by APN, for those that have a value."""
        found = self._join(
            _wanted({"": apns}),
            f"SELECT key, parcels.{column} AS value FROM parcels"
            f" JOIN wanted ON wanted.key = parcels.apn WHERE parcels.{column} IS NOT NULL"
            " AND parcels.county = $1",
            [county],
        )
        return dict(zip(found["key"].to_pylist(), found["value"].to_pylist(), strict=True))

    def _join(self, wanted: pa.Table, sql: str, params: Params = None) -> pa.Table:
        """Return the answer to a query over the table ``wanted`` (place, source, key)."""
        try:
            return self.table(sql, params, wanted=wanted)
        except RequestError as error:
            raise StoreError(f"{self.path} cannot be read: {error}") from error


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


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return a table as a DataFrame with Arrow dtypes."""
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame
