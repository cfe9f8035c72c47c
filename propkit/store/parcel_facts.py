"""What the store knows of parcels, for a table of them: tables at hand, last answer, state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from propkit.kinds import DATASETS, HOME_COUNTY
from propkit.store.history import CHANGES, find_moment, read_changes
from propkit.store.reading import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelFacts:
    """A parcel as far as it is collected. ``checked_at`` is milliseconds of the epoch (UTC).

    ``is_known`` is False where the newest answer about it was that there is no such parcel.
    """

    apn: str
    tables: tuple[str, ...] = ()
    checked_at: float | None = None
    is_known: bool = True
    owner_name: str | None = None
    situs_address: str | None = None
    situs_city: str | None = None
    subdivision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelTally:
    """How a parcel's items of one batch stand: how many are in each state.

    ``partial`` are done with tables missing; they count as done as well. Where a second way was
    asked in place of one that failed, only the second way's item counts.
    """

    apn: str
    waiting: int = 0
    done: int = 0
    partial: int = 0
    not_found: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        """How many items it has."""
        ended = self.done + self.not_found + self.failed + self.cancelled + self.skipped
        return self.waiting + ended


_TABLES = " UNION ALL ".join(
    f"SELECT DISTINCT apn, {place} AS place FROM {table} SEMI JOIN wanted USING (apn)"
    for place, table in enumerate(DATASETS)
)
_FACTS = f"""
    WITH has AS ({_TABLES}),
    at_hand AS (SELECT apn, list(place ORDER BY place) AS places FROM has GROUP BY apn),
    checked AS (
        SELECT key AS apn, epoch_ms(max(checked_at))::DOUBLE AS checked_at,
            arg_max(is_found, checked_at) AS is_known
        FROM freshness SEMI JOIN wanted ON wanted.apn = freshness.key GROUP BY key)
    SELECT wanted.apn, coalesce(places, []) AS places, checked_at,
        coalesce(is_known, true) AS is_known, owner_name, situs_address, situs_city, subdivision
    FROM wanted LEFT JOIN at_hand USING (apn) LEFT JOIN checked USING (apn)
        LEFT JOIN parcels USING (apn)
"""
_MOST = 50
_STATES = ("done", "not_found", "failed", "cancelled", "skipped")


def read_parcel_facts(store: Reading, apns: Sequence[str]) -> dict[str, ParcelFacts]:
    """Return what is known of parcels, by APN; each of them is there."""
    wanted = pa.table({"apn": pa.array(list(dict.fromkeys(apns)), pa.string())})
    found = {}
    for row in store.table(_FACTS, wanted=wanted).to_pylist():
        tables = tuple(DATASETS[place] for place in row.pop("places"))
        found[row["apn"]] = ParcelFacts(**row, tables=tables)
    return found


def read_tallies(
    store: Reading, batch_id: str, since: datetime | None = None
) -> dict[str, ParcelTally]:
    """Return how the parcels of a batch stand, by APN in the batch's order.

    ``since`` (aware UTC) leaves out those of which no item has ended since then.
    """
    counts = ", ".join(f"count(*) FILTER (state = '{state}') AS {state}" for state in _STATES)
    changed, params = "", [batch_id]
    if since is not None:
        params.append(since)  # type: ignore[arg-type]
        changed = " AND apn IN (SELECT apn FROM items WHERE batch_id = $1 AND ended_at >= $2)"
    rows = store.rows(
        f"SELECT apn, count(*) FILTER (state IN ('waiting', 'running')) AS waiting, {counts},"
        " count(*) FILTER (state = 'done' AND len(missing) > 0) AS partial"
        f" FROM counted_items WHERE batch_id = $1 AND apn IS NOT NULL{changed}"
        " GROUP BY apn ORDER BY min(sequence)",
        params,
    )
    return {row["apn"]: ParcelTally(**row) for row in rows}


def read_history(store: Reading, apn: str) -> dict[str, list[dict[str, Any]]]:
    """Return all that is kept of one parcel: rows by table, ``changes``, ``fetches``, ``items``.

    The latter are the newest first, 50 of each at most. Changes are those since the parcel was
    collected for the first time.
    """
    kept: dict[str, list[dict[str, Any]]] = {}
    for table in DATASETS:
        kept[table] = store.rows(
            f"SELECT * EXCLUDE unchanged_since FROM {table} WHERE apn = $1", [apn]
        )
    kept["fetches"] = store.rows(
        "SELECT source, page, url, status, fetched_at, sha256, parser_version, batch_id FROM fetches"
        f" WHERE apn = $1 ORDER BY fetched_at DESC LIMIT {_MOST}",
        [apn],
    )
    kept["items"] = store.rows(
        "SELECT batch_id, source, state, missing, failure_class, error, replaced_by, ended_at"
        " FROM items"
        f" WHERE apn = $1 ORDER BY batch_id DESC, source LIMIT {_MOST}",
        [apn],
    )
    first = store.rows(
        "SELECT max(ended_at) AS at FROM items WHERE apn = $1"
        " AND batch_id = (SELECT min(batch_id) FROM items WHERE apn = $1)",
        [apn],
    )[0]["at"]
    changes = read_changes(store, find_moment(store, first), apn=apn, county=HOME_COUNTY)
    rows = changes.iloc[::-1].head(_MOST).astype(object)
    values = rows.where(rows.notna(), None).itertuples(index=False, name=None)
    kept["changes"] = [dict(zip(CHANGES, one, strict=True)) for one in values]
    return kept


def read_evidence(store: Reading, fetches: Mapping[str, str]) -> dict[str, str]:
    """Return the first 2,000 characters of kept answers, by the name each sha256 is given."""
    bodies = store.bodies(set(fetches.values()))
    return {
        name: bodies[digest][:2000].decode("utf-8", "replace")
        for name, digest in fetches.items()
        if digest in bodies
    }
