"""The tables of leads: what was bought, by which criteria, and the journal of every paid request."""

from __future__ import annotations

import pyarrow as pa

_LEADS = """
    CREATE TABLE leads (
        radar_id VARCHAR NOT NULL, apn VARCHAR, criteria_id VARCHAR NOT NULL, p_type VARCHAR,
        advanced_property_type VARCHAR, address VARCHAR, city VARCHAR, state VARCHAR,
        zip_five VARCHAR, county VARCHAR, fips VARCHAR, latitude DOUBLE, longitude DOUBLE,
        subdivision VARCHAR, owner VARCHAR, owner2 VARCHAR, ownership_type VARCHAR, sq_ft BIGINT,
        beds BIGINT, baths DOUBLE, stories DOUBLE, units BIGINT, year_built BIGINT,
        lot_size BIGINT, pool BOOLEAN, avm DECIMAL(14, 2), assessed_value DECIMAL(14, 2),
        annual_taxes DECIMAL(14, 2), available_equity DECIMAL(14, 2), equity_percent DOUBLE,
        cltv DOUBLE, total_loan_balance DECIMAL(14, 2), number_loans BIGINT,
        first_amount DECIMAL(14, 2), first_date DATE, first_rate DOUBLE,
        last_transfer_rec_date DATE, last_transfer_value DECIMAL(14, 2),
        last_transfer_type VARCHAR, delinquent_year BIGINT, delinquent_amount DECIMAL(14, 2),
        foreclosure_stage VARCHAR, phone_availability BOOLEAN, email_availability BOOLEAN,
        is_same_mailing_or_exempt BOOLEAN, is_site_vacant BOOLEAN, is_listed_for_sale BOOLEAN,
        in_foreclosure BOOLEAN, in_tax_delinquency BOOLEAN, is_deceased_property BOOLEAN,
        in_bankruptcy_property BOOLEAN, source VARCHAR NOT NULL,
        collected_at TIMESTAMPTZ NOT NULL);
"""
PURCHASE_TABLES = """
    CREATE TABLE lead_criteria (
        criteria_id VARCHAR NOT NULL, criteria VARCHAR NOT NULL, created_at TIMESTAMPTZ NOT NULL);
    CREATE TABLE lead_persons (
        person_key VARCHAR NOT NULL, radar_id VARCHAR NOT NULL, first_name VARCHAR,
        last_name VARCHAR, person_type VARCHAR, is_primary_contact BOOLEAN, age BIGINT,
        phones VARCHAR[] NOT NULL, emails VARCHAR[] NOT NULL, source VARCHAR NOT NULL,
        collected_at TIMESTAMPTZ NOT NULL);
    CREATE TABLE purchases (
        purchase_id VARCHAR NOT NULL, batch_id VARCHAR, source VARCHAR NOT NULL,
        kind VARCHAR NOT NULL, key VARCHAR NOT NULL, state VARCHAR NOT NULL,
        records_asked BIGINT NOT NULL, records BIGINT, cost_expected DECIMAL(14, 2) NOT NULL,
        cost DECIMAL(14, 2), free_before BIGINT, free_after BIGINT, error VARCHAR,
        asked_at TIMESTAMPTZ NOT NULL, answered_at TIMESTAMPTZ, settled_by VARCHAR);
"""
"""What is known of purchases besides the leads."""

LEAD_TABLES = _LEADS + PURCHASE_TABLES
"""The migration ``0004_leads``."""

_TIME = pa.timestamp("us", tz="UTC")
_MONEY = pa.decimal128(14, 2)

LEAD_SCHEMAS: dict[str, pa.Schema] = {
    "lead_criteria": pa.schema(
        [
            ("criteria_id", pa.string()),
            ("criteria", pa.string()),
            ("created_at", _TIME),
        ]
    ),
    "lead_persons": pa.schema(
        [
            ("person_key", pa.string()),
            ("radar_id", pa.string()),
            ("first_name", pa.string()),
            ("last_name", pa.string()),
            ("person_type", pa.string()),
            ("is_primary_contact", pa.bool_()),
            ("age", pa.int64()),
            ("phones", pa.list_(pa.string())),
            ("emails", pa.list_(pa.string())),
            ("source", pa.string()),
            ("collected_at", _TIME),
        ]
    ),
    "purchases": pa.schema(
        [
            ("purchase_id", pa.string()),
            ("batch_id", pa.string()),
            ("source", pa.string()),
            ("kind", pa.string()),
            ("key", pa.string()),
            ("state", pa.string()),
            ("records_asked", pa.int64()),
            ("records", pa.int64()),
            ("cost_expected", _MONEY),
            ("cost", _MONEY),
            ("free_before", pa.int64()),
            ("free_after", pa.int64()),
            ("error", pa.string()),
            ("asked_at", _TIME),
            ("answered_at", _TIME),
            ("settled_by", pa.string()),
        ]
    ),
}
"""Arrow schemas of the tables that are no records, by table."""
