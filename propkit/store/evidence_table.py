"""The table of what was to be seen when items failed."""

from __future__ import annotations

import pyarrow as pa

EVIDENCE_TABLE = """
    CREATE TABLE evidence (
        batch_id VARCHAR NOT NULL, source VARCHAR NOT NULL, key VARCHAR NOT NULL,
        url VARCHAR NOT NULL, status INTEGER, seen_at TIMESTAMPTZ NOT NULL, sha256 VARCHAR,
        screenshot BLOB, console VARCHAR[]);
"""

EVIDENCE = pa.schema(
    [
        ("batch_id", pa.string()),
        ("source", pa.string()),
        ("key", pa.string()),
        ("url", pa.string()),
        ("status", pa.int32()),
        ("seen_at", pa.timestamp("us", tz="UTC")),
        ("sha256", pa.string()),
        ("screenshot", pa.binary()),
        ("console", pa.list_(pa.string())),
    ]
)
