"""The ledger of postings: one row for each time that a listing was to be published."""

from __future__ import annotations

import pyarrow as pa

POSTING_TABLES = """
    CREATE TABLE posting_runs (
        run_id VARCHAR NOT NULL, poster VARCHAR NOT NULL, sheet VARCHAR NOT NULL,
        is_repost BOOLEAN NOT NULL, started_at TIMESTAMPTZ NOT NULL, ended_at TIMESTAMPTZ);
    CREATE TABLE postings (
        posting_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, poster VARCHAR NOT NULL,
        sheet VARCHAR NOT NULL, row_key VARCHAR NOT NULL, content_sha256 VARCHAR NOT NULL,
        title VARCHAR NOT NULL, state VARCHAR NOT NULL, attempt BIGINT NOT NULL, url VARCHAR,
        posted_at TIMESTAMPTZ, posted_on DATE, error VARCHAR, intent_at TIMESTAMPTZ NOT NULL,
        sent_at TIMESTAMPTZ, ended_at TIMESTAMPTZ, settled_by VARCHAR, is_told BOOLEAN NOT NULL);
    CREATE VIEW listings AS
        SELECT poster, sheet, row_key, arg_max(title, attempt) AS title,
            CASE WHEN count(*) FILTER (WHERE state = 'confirmed') > 0 THEN 'posted'
                WHEN arg_max(state, attempt) = 'failed' THEN 'failed' ELSE 'pending' END
                AS posting_status,
            arg_max(posted_on, attempt) FILTER (WHERE state = 'confirmed') AS posted_on,
            arg_max(url, attempt) FILTER (WHERE state = 'confirmed') AS posted_url,
            arg_max(posted_at, attempt) FILTER (WHERE state = 'confirmed') AS posted_at,
            first(error ORDER BY attempt DESC) AS posting_error, max(attempt) AS attempt,
            arg_max(state, attempt) AS state
        FROM postings GROUP BY poster, sheet, row_key;
"""
"""The migration ``0011_postings``. ``listings`` has what is known of each row of each sheet."""

_TIME = pa.timestamp("us", tz="UTC")

POSTING_SCHEMAS: dict[str, pa.Schema] = {
    "posting_runs": pa.schema(
        [
            ("run_id", pa.string()),
            ("poster", pa.string()),
            ("sheet", pa.string()),
            ("is_repost", pa.bool_()),
            ("started_at", _TIME),
            ("ended_at", _TIME),
        ]
    ),
    "postings": pa.schema(
        [
            ("posting_id", pa.string()),
            ("run_id", pa.string()),
            ("poster", pa.string()),
            ("sheet", pa.string()),
            ("row_key", pa.string()),
            ("content_sha256", pa.string()),
            ("title", pa.string()),
            ("state", pa.string()),
            ("attempt", pa.int64()),
            ("url", pa.string()),
            ("posted_at", _TIME),
            ("posted_on", pa.date32()),
            ("error", pa.string()),
            ("intent_at", _TIME),
            ("sent_at", _TIME),
            ("ended_at", _TIME),
            ("settled_by", pa.string()),
            ("is_told", pa.bool_()),
        ]
    ),
}
"""Arrow schemas of the tables, by table."""
