"""The tables of map layers: outlines of parcels, and which layers they came from."""

from __future__ import annotations

import pyarrow as pa

LAYER_TABLES = """
    CREATE TABLE parcel_shapes (
        county VARCHAR NOT NULL, apn VARCHAR NOT NULL, object_id VARCHAR NOT NULL,
        shape BLOB NOT NULL, source VARCHAR NOT NULL, collected_at TIMESTAMPTZ NOT NULL);
    CREATE TABLE layers (
        source VARCHAR NOT NULL, county VARCHAR NOT NULL, kind VARCHAR NOT NULL,
        url VARCHAR NOT NULL, title VARCHAR, licence VARCHAR, fields VARCHAR NOT NULL,
        rows BIGINT, described_at TIMESTAMPTZ NOT NULL);
"""
"""The migration ``0008_layers``."""

LAYER_SCHEMAS: dict[str, pa.Schema] = {
    "layers": pa.schema(
        [
            ("source", pa.string()),
            ("county", pa.string()),
            ("kind", pa.string()),
            ("url", pa.string()),
            ("title", pa.string()),
            ("licence", pa.string()),
            ("fields", pa.string()),
            ("rows", pa.int64()),
            ("described_at", pa.timestamp("us", tz="UTC")),
        ]
    )
}
"""Arrow schemas of the tables that are no records, by table."""
