"""The tables, as an ordered list of migrations; each is applied once, in its own transaction.

A new file gets them as they are in the end (:mod:`propkit.store.new_tables`).

Record tables carry no PRIMARY KEY: a keyed upsert into 1.7 M rows costs seconds. The single
writer keeps them unique, and :func:`find_duplicates` proves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import duckdb
import pyarrow as pa

from propkit.records import STORED_TYPES, Record
from propkit.store.change_table import CHANGE_TABLE
from propkit.store.county_tables import (
    COUNTY_SCHEMAS,
    COUNTY_TABLES,
    IMPROVEMENT_TABLES,
    add_not_found,
)
from propkit.store.evidence_table import EVIDENCE, EVIDENCE_TABLE
from propkit.store.identifier_table import IDENTIFIER_TABLE, IDENTIFIERS
from propkit.store.item_tables import ITEMS, JOB_STATE, SECOND_WAYS
from propkit.store.layer_tables import LAYER_SCHEMAS, LAYER_TABLES
from propkit.store.lead_tables import LEAD_SCHEMAS, LEAD_TABLES
from propkit.store.payloads import BLOCKS, PAYLOADS, cut_old_blocks, pack_old_payloads
from propkit.store.posting_tables import POSTING_SCHEMAS, POSTING_TABLES

STORAGE_VERSION = "v1.5.0"
"""An older DuckDB (from 1.5) can still open the file."""

_PROVENANCE = "source VARCHAR NOT NULL, collected_at TIMESTAMPTZ NOT NULL"

Step = str | Callable[[duckdb.DuckDBPyConnection], None]

MIGRATIONS: list[tuple[str, Step]] = [
    (
        "0001_spine",
        f"""
        CREATE TABLE parcels (
            apn VARCHAR NOT NULL, county VARCHAR NOT NULL, property_type VARCHAR,
            situs_address VARCHAR, situs_city VARCHAR, situs_zip VARCHAR,
            owner_name VARCHAR, in_care_of VARCHAR, mailing_address VARCHAR,
            mailing_city VARCHAR, mailing_state VARCHAR, mailing_zip VARCHAR,
            legal_description VARCHAR, subdivision VARCHAR, lot_number VARCHAR, mcr VARCHAR,
            section_township_range VARCHAR, lot_size_sqft BIGINT, jurisdiction VARCHAR,
            elementary_school_district VARCHAR, high_school_district VARCHAR,
            tax_area_code VARCHAR, use_code VARCHAR, use_description VARCHAR,
            is_rental BOOLEAN, latitude DOUBLE, longitude DOUBLE,
            deed_number VARCHAR, deed_date DATE, deed_type VARCHAR, {_PROVENANCE});
        CREATE TABLE residences (
            apn VARCHAR NOT NULL, construction_year BIGINT, original_construction_year BIGINT,
            livable_area_sqft BIGINT, detached_livable_area_sqft BIGINT, pool_area_sqft BIGINT,
            quality_grade VARCHAR, covered_patios BIGINT, uncovered_patios BIGINT,
            patio_type VARCHAR, exterior_walls VARCHAR, roof_type VARCHAR, bath_fixtures BIGINT,
            cooling VARCHAR, heating VARCHAR, garage_stalls BIGINT, carport_stalls BIGINT,
            parking_type VARCHAR, physical_condition VARCHAR, market_area VARCHAR,
            neighborhood VARCHAR, {_PROVENANCE});
        CREATE TABLE valuations (
            apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, full_cash_value DECIMAL(14, 2),
            limited_property_value DECIMAL(14, 2), property_class VARCHAR,
            property_class_description VARCHAR, assessment_ratio DECIMAL(6, 4),
            assessed_full_cash_value DECIMAL(14, 2),
            assessed_limited_property_value DECIMAL(14, 2), valuation_source VARCHAR,
            use_code VARCHAR, use_description VARCHAR, tax_area_code VARCHAR,
            is_pending_change BOOLEAN, {_PROVENANCE});
        CREATE TABLE tax_bills (
            apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, status VARCHAR,
            assessed_tax DECIMAL(14, 2), amount_paid DECIMAL(14, 2), amount_due DECIMAL(14, 2),
            has_tax_lien BOOLEAN, {_PROVENANCE});
        CREATE TABLE tax_payments (
            apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, number BIGINT NOT NULL,
            paid_on DATE, amount DECIMAL(14, 2), {_PROVENANCE});
        CREATE TABLE sales (
            apn VARCHAR NOT NULL, sold_on DATE, recording_number VARCHAR,
            sale_price DECIMAL(14, 2), {_PROVENANCE});
        CREATE TABLE documents (
            recording_number VARCHAR NOT NULL, suffix VARCHAR, apn VARCHAR, recorded_on DATE,
            document_codes VARCHAR[], names VARCHAR[], page_count BIGINT, docket_book VARCHAR,
            docket_page VARCHAR, is_restricted BOOLEAN, {_PROVENANCE});

        CREATE TABLE payloads (
            sha256 VARCHAR NOT NULL, body_text VARCHAR USING COMPRESSION zstd, body_bytes BLOB);
        CREATE TABLE fetches (
            source VARCHAR NOT NULL, key VARCHAR NOT NULL, apn VARCHAR, page VARCHAR NOT NULL,
            url VARCHAR NOT NULL, status INTEGER NOT NULL, content_type VARCHAR NOT NULL,
            fetched_at TIMESTAMPTZ NOT NULL, sha256 VARCHAR NOT NULL,
            parser_version INTEGER NOT NULL, batch_id VARCHAR NOT NULL);
        CREATE TABLE freshness (
            source VARCHAR NOT NULL, key VARCHAR NOT NULL, checked_at TIMESTAMPTZ NOT NULL,
            is_found BOOLEAN NOT NULL, missing VARCHAR[] NOT NULL);
        CREATE TABLE items (
            batch_id VARCHAR NOT NULL, source VARCHAR NOT NULL, key VARCHAR NOT NULL,
            apn VARCHAR, priority INTEGER NOT NULL, sequence INTEGER NOT NULL,
            state VARCHAR NOT NULL, attempts INTEGER NOT NULL, failure_class VARCHAR,
            error VARCHAR, started_at TIMESTAMPTZ, ended_at TIMESTAMPTZ,
            missing VARCHAR[] NOT NULL);
        CREATE TABLE batch_heads (
            batch_id VARCHAR NOT NULL, number INTEGER NOT NULL, kind VARCHAR NOT NULL,
            state VARCHAR NOT NULL, criteria VARCHAR NOT NULL, created_by VARCHAR,
            error VARCHAR, created_at TIMESTAMPTZ NOT NULL, started_at TIMESTAMPTZ,
            completed_at TIMESTAMPTZ);
        CREATE TABLE batch_logs (
            batch_id VARCHAR NOT NULL, logged_at TIMESTAMPTZ NOT NULL, level VARCHAR NOT NULL,
            message VARCHAR NOT NULL);
        CREATE VIEW batches AS
            SELECT b.batch_id, b.number, b.kind, b.state, b.criteria, b.created_by, b.error,
                count(i.state) AS total,
                count(*) FILTER (WHERE i.state = 'waiting') AS waiting,
                count(*) FILTER (WHERE i.state = 'done') AS done,
                count(*) FILTER (WHERE i.state = 'done' AND len(i.missing) > 0) AS partial,
                count(*) FILTER (WHERE i.state = 'not_found') AS not_found,
                count(*) FILTER (WHERE i.state = 'failed') AS failed,
                count(*) FILTER (WHERE i.state = 'cancelled') AS cancelled,
                count(*) FILTER (WHERE i.state = 'skipped') AS skipped,
                b.created_at, b.started_at, b.completed_at
            FROM batch_heads b LEFT JOIN items i USING (batch_id)
            GROUP BY ALL;
        """,
    ),
    (
        "0002_engine",
        """
        CREATE TABLE paces (
            host VARCHAR NOT NULL, requests_per_second DOUBLE NOT NULL, knee_per_second DOUBLE,
            paused_until TIMESTAMPTZ, updated_at TIMESTAMPTZ NOT NULL);
        CREATE TABLE breakers (
            source VARCHAR NOT NULL, failures INTEGER NOT NULL, open_until TIMESTAMPTZ,
            updated_at TIMESTAMPTZ NOT NULL);
        CREATE TABLE runs (
            batch_id VARCHAR NOT NULL, source VARCHAR NOT NULL, host VARCHAR,
            started_at TIMESTAMPTZ NOT NULL, ended_at TIMESTAMPTZ, requests BIGINT NOT NULL,
            refused BIGINT NOT NULL, bytes BIGINT NOT NULL, fresh BIGINT NOT NULL,
            joined BIGINT NOT NULL);
        CREATE TABLE coverage (
            source VARCHAR NOT NULL, table_name VARCHAR NOT NULL, column_name VARCHAR NOT NULL,
            parser_version INTEGER NOT NULL, answers BIGINT NOT NULL, filled BIGINT NOT NULL);
        CREATE TABLE hits (
            "by" VARCHAR NOT NULL, query VARCHAR NOT NULL, position INTEGER NOT NULL, apn VARCHAR,
            owner_name VARCHAR, situs_address VARCHAR, situs_city VARCHAR, situs_zip VARCHAR,
            property_type VARCHAR, subdivision VARCHAR, mcr VARCHAR,
            section_township_range VARCHAR, rental_id VARCHAR, source VARCHAR NOT NULL,
            collected_at TIMESTAMPTZ NOT NULL);
        ALTER TABLE batch_logs ADD COLUMN event VARCHAR;
        ALTER TABLE batch_logs ADD COLUMN source VARCHAR;
        ALTER TABLE batch_logs ADD COLUMN key VARCHAR;
        ALTER TABLE batch_logs ADD COLUMN seconds DOUBLE;
        """,
    ),
    ("0003_payload_blocks", pack_old_payloads),
    ("0004_leads", LEAD_TABLES),
    (
        "0005_jobs",
        f"""
        ALTER TABLE batch_heads ADD COLUMN updated_at TIMESTAMPTZ;
        ALTER TABLE batch_heads ADD COLUMN heartbeat_at TIMESTAMPTZ;
        UPDATE batch_heads SET updated_at = coalesce(completed_at, started_at, created_at);
        CREATE VIEW batch_jobs AS
            SELECT b.batch_id AS id, b.number, b.kind,
                {JOB_STATE.replace("state", "b.state", 1)} AS state, b.criteria,
                count(i.state) AS total,
                count(*) FILTER (WHERE i.state NOT IN ('waiting', 'running')) AS processed,
                count(*) FILTER (WHERE i.state IN ('done', 'not_found', 'skipped'))
                    AS success_count,
                count(*) FILTER (WHERE i.state = 'failed') AS error_count,
                b.error AS error_details, b.created_by, b.created_at, b.updated_at, b.started_at,
                b.completed_at
            FROM batch_heads b LEFT JOIN items i USING (batch_id)
            GROUP BY ALL;
        """,
    ),
    ("0006_county_systems", COUNTY_TABLES),
    ("0007_evidence", EVIDENCE_TABLE),
    ("0008_layers", LAYER_TABLES),
    ("0009_improvements", IMPROVEMENT_TABLES),
    ("0010_changes", CHANGE_TABLE),
    ("0011_postings", POSTING_TABLES),
    ("0012_payload_parts", cut_old_blocks),
    ("0013_not_found", add_not_found),
    ("0014_second_ways", SECOND_WAYS),
    ("0015_identifiers", IDENTIFIER_TABLE),
]

_TIME = pa.timestamp("us", tz="UTC")
_ARROW = {
    "str": pa.string(),
    "bytes": pa.binary(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "datetime": _TIME,
    "Decimal": pa.decimal128(14, 2),
    "tuple[str, ...]": pa.list_(pa.string()),
}


def record_schema(kind: type[Record]) -> pa.Schema:
    """Return the Arrow schema of a record table, provenance columns included."""
    columns = [
        (field.name, _ARROW[str(field.type).removesuffix(" | None")]) for field in fields(kind)
    ]
    types = dict(columns)
    if "assessment_ratio" in types:
        types["assessment_ratio"] = pa.decimal128(6, 4)
    return pa.schema([*types.items(), ("source", pa.string()), ("collected_at", _TIME)])


LEDGER_SCHEMAS: dict[str, pa.Schema] = {
    "payloads": PAYLOADS,
    "payload_blocks": BLOCKS,
    "fetches": pa.schema(
        [
            ("source", pa.string()),
            ("key", pa.string()),
            ("apn", pa.string()),
            ("page", pa.string()),
            ("url", pa.string()),
            ("status", pa.int32()),
            ("content_type", pa.string()),
            ("fetched_at", _TIME),
            ("sha256", pa.string()),
            ("parser_version", pa.int32()),
            ("batch_id", pa.string()),
        ]
    ),
    "freshness": pa.schema(
        [
            ("source", pa.string()),
            ("key", pa.string()),
            ("checked_at", _TIME),
            ("is_found", pa.bool_()),
            ("missing", pa.list_(pa.string())),
        ]
    ),
    "items": ITEMS,
    "batch_logs": pa.schema(
        [
            ("batch_id", pa.string()),
            ("logged_at", _TIME),
            ("level", pa.string()),
            ("message", pa.string()),
            ("event", pa.string()),
            ("source", pa.string()),
            ("key", pa.string()),
            ("seconds", pa.float64()),
        ]
    ),
    "paces": pa.schema(
        [
            ("host", pa.string()),
            ("requests_per_second", pa.float64()),
            ("knee_per_second", pa.float64()),
            ("paused_until", _TIME),
            ("updated_at", _TIME),
        ]
    ),
    "breakers": pa.schema(
        [
            ("source", pa.string()),
            ("failures", pa.int32()),
            ("open_until", _TIME),
            ("updated_at", _TIME),
        ]
    ),
    "runs": pa.schema(
        [
            ("batch_id", pa.string()),
            ("source", pa.string()),
            ("host", pa.string()),
            ("started_at", _TIME),
            ("ended_at", _TIME),
            ("requests", pa.int64()),
            ("refused", pa.int64()),
            ("bytes", pa.int64()),
            ("fresh", pa.int64()),
            ("joined", pa.int64()),
        ]
    ),
    "coverage": pa.schema(
        [
            ("source", pa.string()),
            ("table_name", pa.string()),
            ("column_name", pa.string()),
            ("parser_version", pa.int32()),
            ("answers", pa.int64()),
            ("filled", pa.int64()),
        ]
    ),
    "hits": pa.schema(
        [
            ("by", pa.string()),
            ("query", pa.string()),
            ("position", pa.int32()),
            ("apn", pa.string()),
            ("owner_name", pa.string()),
            ("situs_address", pa.string()),
            ("situs_city", pa.string()),
            ("situs_zip", pa.string()),
            ("property_type", pa.string()),
            ("subdivision", pa.string()),
            ("mcr", pa.string()),
            ("section_township_range", pa.string()),
            ("rental_id", pa.string()),
            ("source", pa.string()),
            ("collected_at", _TIME),
        ]
    ),
    "evidence": EVIDENCE,
    "batch_identifiers": IDENTIFIERS,
    **LEAD_SCHEMAS,
    **COUNTY_SCHEMAS,
    **LAYER_SCHEMAS,
    **POSTING_SCHEMAS,
}
"""Arrow schemas of the tables that are written besides the record tables, by table."""


def find_duplicates(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Count the identities that stand more than once, by table; empty when all is well."""
    found = {}
    for table, kind in STORED_TYPES.items():
        rows = f"FROM {table} SELECT {', '.join(kind.identity)} GROUP BY ALL HAVING count(*) > 1"
        row = connection.execute(f"SELECT count(*) FROM ({rows})").fetchone()
        if row and row[0]:
            found[table] = int(row[0])
    return found
