"""What the store knows of its own work: counts and times by source, commits, slow operations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from datetime import datetime
from math import ceil
from pathlib import Path
from typing import Any

from propkit.records import RECORD_TYPES
from propkit.store.database import Store
from propkit.store.reading import Reading
from propkit.store.results import append_rows
from propkit.store.schema import LEDGER_SCHEMAS

MOST_PACES = 1000
"""Figures of hosts' paces that are read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRun:
    """What one source did in one run of a batch. Times are aware UTC.

    ``refused`` counts the requests that the host refused; ``fresh`` the items that were skipped
    as fresh, ``joined`` those that took another batch's answer.
    """

    batch_id: str
    source: str
    host: str | None
    started_at: datetime
    ended_at: datetime | None
    requests: int = 0
    refused: int = 0
    bytes: int = 0
    fresh: int = 0
    joined: int = 0


def write_runs(store: Store, rows: Sequence[SourceRun]) -> Future[None]:
    """Hand the figures of a run to the writer; the future is done once they are durable."""
    data = [asdict(row) for row in rows]
    return store.writer.submit(lambda connection: append_rows(connection, "runs", data))


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatistics:
    """How a source did, over one batch or all.

    ``items`` counts by state; in place of those that are ``replaced`` a second way was asked.
    ``failed`` counts by failure class all that this source failed at, replaced or not, and so does
    ``success_rate``: the share of done and not found among what ended by itself, None when nothing
    did. The seconds
    are those from an item's start to its end; ``items_per_second`` is over the time from a batch's
    first start to its last end.
    """

    source: str
    items: dict[str, int] = field(default_factory=dict)
    success_rate: float | None = None
    failed: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    refused: int = 0
    bytes: int = 0
    fresh: int = 0
    joined: int = 0
    seconds_p50: float | None = None
    seconds_p95: float | None = None
    items_per_second: float | None = None


_SOURCES = """
    WITH chosen AS (FROM items WHERE $batch_id IS NULL OR batch_id = $batch_id),
    ran AS (
        SELECT batch_id, source, state, epoch(ended_at) - epoch(started_at) AS seconds,
            started_at, ended_at
        FROM chosen WHERE started_at IS NOT NULL AND ended_at IS NOT NULL AND state <> 'skipped'),
    spans AS (
        SELECT source, sum(n) / nullif(sum(span), 0) AS items_per_second FROM (
            SELECT source, epoch(max(ended_at)) - epoch(min(started_at)) AS span,
                count(*) AS n FROM ran GROUP BY batch_id, source)
        GROUP BY source),
    states AS (
        SELECT source, map(list(state ORDER BY state), list(n ORDER BY state)) AS items,
            sum(n) FILTER (state IN ('done', 'not_found'))
                / nullif(sum(n) FILTER (state IN ('done', 'not_found', 'failed', 'replaced')), 0)
                AS success_rate
        FROM (SELECT source, if(replaced_by IS NULL, state, 'replaced') AS state, count(*) AS n
            FROM chosen GROUP BY ALL) GROUP BY source),
    failures AS (
        SELECT source, map(list(failure_class ORDER BY failure_class),
            list(n ORDER BY failure_class)) AS failed
        FROM (SELECT source, coalesce(failure_class, 'unavailable') AS failure_class,
            count(*) AS n FROM chosen WHERE state = 'failed' GROUP BY ALL)
        GROUP BY source),
    times AS (
        SELECT source, quantile_cont(seconds, 0.5) AS seconds_p50,
            quantile_cont(seconds, 0.95) AS seconds_p95 FROM ran GROUP BY source),
    traffic AS (
        SELECT source, sum(requests)::BIGINT AS requests, sum(refused)::BIGINT AS refused,
            sum(bytes)::BIGINT AS bytes, sum(fresh)::BIGINT AS fresh,
            sum(joined)::BIGINT AS joined
        FROM runs WHERE $batch_id IS NULL OR batch_id = $batch_id GROUP BY source)
    SELECT source, items, success_rate, failed, requests, refused, bytes, fresh, joined,
        seconds_p50, seconds_p95, items_per_second
    FROM states FULL JOIN traffic USING (source) LEFT JOIN failures USING (source)
        LEFT JOIN times USING (source) LEFT JOIN spans USING (source)
    WHERE items IS NOT NULL OR requests + fresh + joined > 0
    ORDER BY source
"""


def source_statistics(store: Reading, batch_id: str | None = None) -> list[SourceStatistics]:
    """Return how each source did in a batch, or in all; sorted by source."""
    found = []
    for row in store.rows(_SOURCES, {"batch_id": batch_id}):
        for name in ("requests", "refused", "bytes", "fresh", "joined"):
            row[name] = row[name] or 0
        for name in ("items", "failed"):
            row[name] = dict(row[name] or ())
        found.append(SourceStatistics(**row))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatistics:
    """How large a store is, and how its writer does since it was opened.

    ``file_bytes`` include the write-ahead log; ``payload_bytes`` are those of the bodies as they
    came. The commit times (seconds) are over the last 1,000 commits, None when there were none.
    """

    path: Path
    file_bytes: int
    rows: dict[str, int]
    payload_bytes: int
    commits: int
    items_per_commit: float | None
    commit_seconds_p50: float | None
    commit_seconds_p95: float | None
    commit_seconds_max: float | None


def store_statistics(store: Store) -> StoreStatistics:
    """Return a store's figures; ``rows`` are counted by table."""
    tables = [*RECORD_TYPES, *LEDGER_SCHEMAS, "batch_heads"]
    counts = " UNION ALL BY NAME ".join(
        f"SELECT '{table}' AS name, count(*) AS n FROM {table}" for table in tables
    )
    payloads = store.rows("SELECT coalesce(sum(length), 0)::BIGINT AS size FROM payloads")
    timings = sorted(store.writer.timings.copy())
    commits = store.writer.commits
    return StoreStatistics(
        path=store.path,
        file_bytes=sum(_size(Path(f"{store.path}{end}")) for end in ("", ".wal")),
        rows={row["name"]: row["n"] for row in store.rows(counts)},
        payload_bytes=payloads[0]["size"],
        commits=commits,
        items_per_commit=store.writer.items / commits if commits else None,
        commit_seconds_p50=_quantile(timings, 0.5),
        commit_seconds_p95=_quantile(timings, 0.95),
        commit_seconds_max=timings[-1] if timings else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPace:
    """How fast a host answered at a time (aware UTC): requests a second, and how many refused."""

    host: str
    at: datetime
    per_second: float
    refused: int = 0


_PACE_OF_RUNS = """
    SELECT host, min(started_at) AS "at", sum(refused)::BIGINT AS refused,
        sum(requests) / greatest(epoch(max(ended_at) - min(started_at)), 1) AS per_second
    FROM runs WHERE host IS NOT NULL AND ended_at IS NOT NULL AND requests > 0
    GROUP BY host, batch_id, started_at ORDER BY "at" DESC LIMIT $1
"""
_PACE_OF_BATCH = """
    WITH answered AS (
        SELECT host, epoch(fetched_at) AS second FROM fetches
        JOIN (SELECT DISTINCT source, host FROM runs WHERE host IS NOT NULL) USING (source)
        WHERE batch_id = $2),
    width AS (SELECT greatest(1, ceil((max(second) - min(second)) / 60)) AS size FROM answered)
    SELECT host, to_timestamp(floor(second / size) * size) AS "at", 0 AS refused,
        count(*) / size AS per_second
    FROM answered, width GROUP BY host, floor(second / size), size ORDER BY "at" DESC LIMIT $1
"""


def host_paces(store: Reading, batch_id: str | None = None) -> list[HostPace]:
    """Return how fast hosts answered over time, the oldest first, at most :data:`MOST_PACES`.

    Of all batches one figure a run, over the whole of it; of one batch up to sixty steps, counted
    from its kept answers.
    """
    sql, params = _PACE_OF_RUNS, [MOST_PACES]
    if batch_id is not None:
        sql, params = _PACE_OF_BATCH, [MOST_PACES, batch_id]  # type: ignore[list-item]
    return [HostPace(**row) for row in reversed(store.rows(sql, params))]


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 -- as for every path of the store
    except FileNotFoundError:  # the log is folded into the file now and then
        return 0


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return the least value that the share of all values does not exceed."""
    if not ordered:
        return None
    return ordered[ceil(len(ordered) * share) - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowOperation:
    """Something that took long, as the log has it."""

    batch_id: str
    logged_at: datetime
    message: str
    source: str | None
    key: str | None
    seconds: float


def slow_operations(
    store: Reading, batch_id: str | None = None, limit: int = 20
) -> list[SlowOperation]:
    """Return the slowest operations of a batch, or of all, the slowest first."""
    rows = store.rows(
        "SELECT batch_id, logged_at, message, source, key, seconds FROM batch_logs"
        " WHERE event = 'slow' AND seconds IS NOT NULL"
        " AND ($batch_id IS NULL OR batch_id = $batch_id)"
        " ORDER BY seconds DESC, logged_at LIMIT $limit",
        {"batch_id": batch_id, "limit": limit},
    )
    return [SlowOperation(**row) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failed item, with the last answer that it got, if any, as evidence.

    ``has_screenshot``: `kit.evidence` has a picture of it. ``replaced_by`` is the second way that
    was asked in its place, if any, and ``replaced_state`` how that one's item stands.
    """

    source: str
    key: str
    apn: str | None
    failure_class: str | None
    error: str | None
    attempts: int
    ended_at: datetime | None
    evidence_url: str | None
    evidence_sha256: str | None
    evidence_status: int | None
    has_screenshot: bool = False
    replaced_by: str | None = None
    replaced_state: str | None = None

    @property
    def note(self) -> str:
        """What became of the parcel by the second way, and why the first one failed."""
        said = _BY_SECOND.get(self.replaced_state or "", "left to")
        return (
            f"{said} {self.replaced_by} after {self.source} failed: "
            f"{self.failure_class}: {self.error}"
        )


_BY_SECOND = {
    "done": "collected by",
    "not_found": "not found by",
    "failed": "failed too by",
    "skipped": "skipped by",
}
"""How an item of a second way ended, in words; all others have not."""


def failures(store: Reading, batch_id: str) -> list[Failure]:
    """Return a batch's failed items in the batch's order; ``evidence_sha256`` is the payload's.

    Those in whose place a second way was asked are among them.
    """
    # Only of what failed the last answer is looked for: to have that of all of 100,000 items at
    # hand takes 90 MB.
    rows: list[dict[str, Any]] = store.rows(
        "WITH failed AS MATERIALIZED (FROM items WHERE batch_id = $1 AND state = 'failed')"
        " SELECT i.source, i.key, i.apn, i.failure_class, i.error, i.attempts, i.ended_at,"
        " coalesce(e.url, f.url) AS evidence_url, coalesce(e.sha256, f.sha256) AS evidence_sha256,"
        " coalesce(e.status, f.status) AS evidence_status,"
        " e.screenshot IS NOT NULL AS has_screenshot, i.replaced_by"
        " FROM failed i LEFT JOIN evidence e USING (batch_id, source, key) LEFT JOIN ("
        "   SELECT source, key, arg_max(url, (fetched_at, rowid)) AS url,"
        "   arg_max(sha256, (fetched_at, rowid)) AS sha256,"
        "   arg_max(status, (fetched_at, rowid)) AS status"
        "   FROM fetches SEMI JOIN failed USING (batch_id, source, key) GROUP BY source, key)"
        " f USING (source, key) ORDER BY i.sequence, i.source, i.key",
        [batch_id],
    )
    ways = sorted({row["replaced_by"] for row in rows if row["replaced_by"] is not None})
    if ways:  # seldom: else the items of the batch are not gone through for it
        seconds = store.table(
            "SELECT source, key, state FROM items WHERE batch_id = $1"
            " AND list_contains($2::VARCHAR[], source)",
            [batch_id, ways],
        )
        names = zip(seconds["source"].to_pylist(), seconds["key"].to_pylist(), strict=True)
        states = dict(zip(names, seconds["state"].to_pylist(), strict=True))
        for row in rows:
            row["replaced_state"] = states.get((row["replaced_by"], row["key"]))
    return [Failure(**row) for row in rows]
