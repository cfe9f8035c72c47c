"""What the store knows of its own work: counts and times by source, commits, slow operations."""

from __future__ import annotations

import os
from collections import Counter
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
from propkit.store.results import replace_rows
from propkit.store.schema import LEDGER_SCHEMAS

MOST_PACES = 1000
"""Figures of hosts' paces that are read at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRun:
    """What one source did in one run of a batch. Times are aware UTC.

    While it runs, and of one that was killed, these are the figures of its last sign of life.

    ``refused`` counts the requests that the host refused; ``joined`` the items that took another
    batch's answer, ``fresh`` those of the batch that were skipped as fresh, by earlier runs too.
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
    """Hand the newest figures of a run to the writer; the future is done once they are durable."""
    data = [asdict(row) for row in rows]
    run = ("batch_id", "source", "started_at")
    return store.writer.submit(lambda connection: replace_rows(connection, "runs", data, *run))


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


_CHOSEN = "($batch_id IS NULL OR batch_id = $batch_id)"
_RAN = (
    f"FROM items WHERE {_CHOSEN} AND started_at IS NOT NULL AND ended_at IS NOT NULL"
    " AND state <> 'skipped'"
)
_OUTCOMES = (
    "SELECT source, state, replaced_by IS NOT NULL AS is_replaced,"
    " CASE WHEN state = 'failed' THEN coalesce(failure_class, 'unavailable') END AS failure_class,"
    f" count(*) AS n FROM items WHERE {_CHOSEN} GROUP BY ALL ORDER BY ALL"
)
_TIMES = (
    "SELECT source, quantile_cont(epoch(ended_at) - epoch(started_at), [0.5, 0.95]) AS seconds"
    f" {_RAN} GROUP BY source"
)
_RATES = (
    "SELECT source, sum(n) / nullif(sum(span), 0) AS items_per_second FROM (SELECT source,"
    f" epoch(max(ended_at)) - epoch(min(started_at)) AS span, count(*) AS n {_RAN}"
    " GROUP BY batch_id, source) GROUP BY source"
)
_TRAFFIC = (
    "SELECT source, sum(requests)::BIGINT AS requests, sum(refused)::BIGINT AS refused,"
    " sum(bytes)::BIGINT AS bytes, sum(fresh)::BIGINT AS fresh, sum(joined)::BIGINT AS joined"
    " FROM (SELECT source, sum(requests) AS requests, sum(refused) AS refused, sum(bytes) AS bytes,"
    " max(fresh) AS fresh, sum(joined) AS joined"  # each run counts what is fresh in all its batch
    f" FROM runs WHERE {_CHOSEN} GROUP BY source, batch_id) GROUP BY source"
)


def source_statistics(store: Reading, batch_id: str | None = None) -> list[SourceStatistics]:
    """Return how each source did in a batch, or in all; sorted by source."""
    # Side by side: to plan one statement that joins them takes twice as long as all of them.
    chosen = {"batch_id": batch_id}
    items: dict[str, Counter[str]] = {}
    failed: dict[str, Counter[str]] = {}
    ended: dict[str, Counter[bool]] = {}
    for row in store.rows(_OUTCOMES, chosen):
        source, state, n = row["source"], row["state"], row["n"]
        items.setdefault(source, Counter())["replaced" if row["is_replaced"] else state] += n
        if state in ("done", "not_found", "failed"):
            ended.setdefault(source, Counter())[state != "failed"] += n
        if state == "failed":
            failed.setdefault(source, Counter())[row["failure_class"]] += n
    traffic = {row.pop("source"): row for row in store.rows(_TRAFFIC, chosen)}
    seconds = {row["source"]: row["seconds"] for row in store.rows(_TIMES, chosen)}
    rates = {row["source"]: row["items_per_second"] for row in store.rows(_RATES, chosen)}
    asked = {
        name for name, row in traffic.items() if row["requests"] + row["fresh"] + row["joined"]
    }
    return [
        SourceStatistics(
            source=source,
            items=dict(sorted(items.get(source, {}).items())),
            success_rate=_share(ended.get(source)),
            failed=dict(sorted(failed.get(source, {}).items())),
            **traffic.get(source, {}),
            seconds_p50=seconds[source][0] if source in seconds else None,
            seconds_p95=seconds[source][1] if source in seconds else None,
            items_per_second=rates.get(source),
        )
        for source in sorted(items.keys() | asked)
    ]


def _share(counts: Counter[bool] | None) -> float | None:
    return None if counts is None else counts[True] / counts.total()


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
