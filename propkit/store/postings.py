"""The ledger of postings: written before each step that publishes, completed with what came of it.

A posting is an ``intent``, then ``sent`` (the last click may have been made), then ``confirmed``
(the listing is published), ``failed`` (certainly not) or ``unknown`` (nobody could tell). An
``intent`` whose run has died was never sent: the ledger says ``sent`` before the click. Its key is
the sheet, the row's key and the content's hash. ``is_told`` says whether the sheet has the outcome.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import duckdb

from propkit.store.database import Store
from propkit.store.results import append_rows, replace_rows

OPEN_STATES = ("sent", "unknown")
"""States in which the listing may be published, and is not known to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One time that a listing was to be published. Times are aware UTC.

    ``attempt`` counts the row's attempts, over all runs. ``posted_on`` is the day of ``posted_at``
    on this computer. ``settled_by`` is who said what came of it: ``poster``, ``find`` (the account's
    own listings) or ``person``.
    """

    posting_id: str = field(default_factory=lambda: secrets.token_hex(6))
    run_id: str
    poster: str
    sheet: str
    row_key: str
    content_sha256: str
    title: str
    state: str = "intent"
    attempt: int = 1
    url: str | None = None
    posted_at: datetime | None = None
    posted_on: date | None = None
    error: str | None = None
    intent_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    sent_at: datetime | None = None
    ended_at: datetime | None = None
    settled_by: str | None = None
    is_told: bool = False


def write_posting(store: Store, posting: Posting) -> Future[Any]:
    """Write a posting as it now is; the future is done when that is durable."""
    row = asdict(posting)

    return store.writer.submit(
        lambda connection: replace_rows(connection, "postings", [row], "posting_id")
    )


def mark_told(store: Store, posting_ids: Collection[str]) -> Future[Any]:
    """Write down that the sheet has the outcome of these."""
    ids = list(posting_ids)

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(
            "UPDATE postings SET is_told = true WHERE list_contains(?, posting_id)", [ids]
        ).fetchall()

    return store.writer.submit(work)


def read_postings(
    store: Store, poster: str, sheet: str, row_keys: Collection[str]
) -> list[Posting]:
    """Return what was posted of these rows, in any sheet, by attempt; this sheet's wholly.

    Of other sheets only what is published, or may be, is returned: a copy under another name.
    """
    rows = store.rows(
        "SELECT * FROM postings WHERE poster = $1 AND (sheet = $2 OR (list_contains($3, row_key)"
        " AND state IN ('sent', 'unknown', 'confirmed'))) ORDER BY attempt, intent_at",
        [poster, sheet, list(row_keys)],
    )
    return [Posting(**row) for row in rows]


def known_urls(store: Store, poster: str) -> set[str]:
    """Return the addresses of everything that is known to be published by a poster."""
    rows = store.rows(
        "SELECT DISTINCT url FROM postings"
        " WHERE poster = $1 AND state = 'confirmed' AND url IS NOT NULL",
        [poster],
    )
    return {row["url"] for row in rows}


def find_open_repost(store: Store, poster: str, sheet: str) -> str | None:
    """Return the id of the sheet's last repost, where that did not come to its end."""
    rows = store.rows(
        "SELECT run_id, ended_at FROM posting_runs WHERE poster = $1 AND sheet = $2"
        " AND is_repost ORDER BY started_at DESC LIMIT 1",
        [poster, sheet],
    )
    return str(rows[0]["run_id"]) if rows and rows[0]["ended_at"] is None else None


def start_run(store: Store, run_id: str, poster: str, sheet: str, *, is_repost: bool) -> None:
    """Write down that a run begins; one that goes on has begun already."""
    row = {
        "run_id": run_id,
        "poster": poster,
        "sheet": sheet,
        "is_repost": is_repost,
        "started_at": datetime.now(UTC),
        "ended_at": None,
    }

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        begun = connection.execute("SELECT 1 FROM posting_runs WHERE run_id = ?", [run_id])
        if not begun.fetchall():
            append_rows(connection, "posting_runs", [row])

    store.writer.submit(work).result()


def end_run(store: Store, run_id: str) -> Future[Any]:
    """Write down that a run came to its end."""

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(
            "UPDATE posting_runs SET ended_at = ? WHERE run_id = ?", [datetime.now(UTC), run_id]
        ).fetchall()

    return store.writer.submit(work)
