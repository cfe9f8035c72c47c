"""All tables as a new store gets them, at once; an older one comes to the same by migrations.

To make them step by step takes longer than all else that opening a new store does. Whoever adds a
migration changes them here too: a test compares the two.
"""

from __future__ import annotations

from typing import Final

from propkit.store.change_table import CHANGES
from propkit.store.county_tables import TAX_LIENS
from propkit.store.evidence_table import EVIDENCE_TABLE
from propkit.store.identifier_table import IDENTIFIER_TABLE
from propkit.store.item_tables import ITEM_VIEWS
from propkit.store.layer_tables import LAYER_TABLES
from propkit.store.lead_tables import PURCHASE_TABLES
from propkit.store.posting_tables import POSTING_TABLES

_PROVENANCE: Final = "source VARCHAR NOT NULL, collected_at TIMESTAMPTZ NOT NULL"
_RECORD: Final = f"{_PROVENANCE}, unchanged_since TIMESTAMPTZ"

NEW_TABLES: Final = f"""
    CREATE TABLE schema_migrations (name VARCHAR, applied_at TIMESTAMPTZ);
    CREATE TABLE residences (
        apn VARCHAR NOT NULL, construction_year BIGINT, original_construction_year BIGINT,
        livable_area_sqft BIGINT, detached_livable_area_sqft BIGINT, pool_area_sqft BIGINT,
        quality_grade VARCHAR, covered_patios BIGINT, uncovered_patios BIGINT, patio_type VARCHAR,
        exterior_walls VARCHAR, roof_type VARCHAR, bath_fixtures BIGINT, cooling VARCHAR,
        heating VARCHAR, garage_stalls BIGINT, carport_stalls BIGINT, parking_type VARCHAR,
        physical_condition VARCHAR, market_area VARCHAR, neighborhood VARCHAR, {_RECORD});
    CREATE TABLE valuations (
        apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, full_cash_value DECIMAL(14, 2),
        limited_property_value DECIMAL(14, 2), property_class VARCHAR,
        property_class_description VARCHAR, assessment_ratio DECIMAL(6, 4),
        assessed_full_cash_value DECIMAL(14, 2), assessed_limited_property_value DECIMAL(14, 2),
        valuation_source VARCHAR, use_code VARCHAR, use_description VARCHAR, tax_area_code VARCHAR,
        is_pending_change BOOLEAN, {_RECORD});
    CREATE TABLE tax_payments (
        apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, number BIGINT NOT NULL, paid_on DATE,
        amount DECIMAL(14, 2), {_RECORD});
    CREATE TABLE sales (
        apn VARCHAR NOT NULL, sold_on DATE, recording_number VARCHAR, sale_price DECIMAL(14, 2),
        {_RECORD});
    CREATE TABLE documents (
        recording_number VARCHAR NOT NULL, suffix VARCHAR, apn VARCHAR, recorded_on DATE,
        document_codes VARCHAR[], names VARCHAR[], page_count BIGINT, docket_book VARCHAR,
        docket_page VARCHAR, is_restricted BOOLEAN, {_RECORD});
    CREATE TABLE fetches (
        source VARCHAR NOT NULL, key VARCHAR NOT NULL, apn VARCHAR, page VARCHAR NOT NULL,
        url VARCHAR NOT NULL, status INTEGER NOT NULL, content_type VARCHAR NOT NULL,
        fetched_at TIMESTAMPTZ NOT NULL, sha256 VARCHAR NOT NULL, parser_version INTEGER NOT NULL,
        batch_id VARCHAR NOT NULL);
    CREATE TABLE freshness (
        source VARCHAR NOT NULL, key VARCHAR NOT NULL, checked_at TIMESTAMPTZ NOT NULL,
        is_found BOOLEAN NOT NULL, missing VARCHAR[] NOT NULL);
    CREATE TABLE items (
        batch_id VARCHAR NOT NULL, source VARCHAR NOT NULL, key VARCHAR NOT NULL, apn VARCHAR,
        priority INTEGER NOT NULL, sequence INTEGER NOT NULL, state VARCHAR NOT NULL,
        attempts INTEGER NOT NULL, failure_class VARCHAR, error VARCHAR, started_at TIMESTAMPTZ,
        ended_at TIMESTAMPTZ, missing VARCHAR[] NOT NULL, replaced_by VARCHAR);
    CREATE TABLE batch_heads (
        batch_id VARCHAR NOT NULL, number INTEGER NOT NULL, kind VARCHAR NOT NULL,
        state VARCHAR NOT NULL, criteria VARCHAR NOT NULL, created_by VARCHAR, error VARCHAR,
        created_at TIMESTAMPTZ NOT NULL, started_at TIMESTAMPTZ, completed_at TIMESTAMPTZ,
        updated_at TIMESTAMPTZ, heartbeat_at TIMESTAMPTZ);
    CREATE TABLE batch_logs (
        batch_id VARCHAR NOT NULL, logged_at TIMESTAMPTZ NOT NULL, level VARCHAR NOT NULL,
        message VARCHAR NOT NULL, event VARCHAR, source VARCHAR, key VARCHAR, seconds DOUBLE);
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
        property_type VARCHAR, subdivision VARCHAR, mcr VARCHAR, section_township_range VARCHAR,
        rental_id VARCHAR, {_PROVENANCE});
    CREATE TABLE payloads (
        sha256 VARCHAR NOT NULL, block BIGINT NOT NULL, start BIGINT NOT NULL,
        length BIGINT NOT NULL);
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
        in_bankruptcy_property BOOLEAN, {_RECORD});
    CREATE TABLE tax_bills (
        apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, status VARCHAR,
        assessed_tax DECIMAL(14, 2), amount_paid DECIMAL(14, 2), amount_due DECIMAL(14, 2),
        has_tax_lien BOOLEAN, tax_lien_note VARCHAR, {_RECORD});
    CREATE TABLE tax_levies (
        apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, district VARCHAR NOT NULL,
        district_name VARCHAR, percent DOUBLE, amount DECIMAL(14, 2), amount_paid DECIMAL(14, 2),
        {_RECORD});
    CREATE TABLE tax_installments (
        apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, number BIGINT NOT NULL,
        amount DECIMAL(14, 2), due_on DATE, delinquent_after DATE, {_RECORD});
    CREATE TABLE tax_statements (
        apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, tax_area_code VARCHAR, exemption VARCHAR,
        assessed_tax DECIMAL(14, 2), tax_paid DECIMAL(14, 2), interest_paid DECIMAL(14, 2),
        total_paid DECIMAL(14, 2), land_assessed_value DECIMAL(14, 2),
        exempt_assessed_value DECIMAL(14, 2), total_assessed_value DECIMAL(14, 2),
        grand_total DECIMAL(14, 2), {_RECORD});
    CREATE TABLE tax_valuations (
        apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, full_cash_value DECIMAL(14, 2),
        limited_property_value DECIMAL(14, 2), property_class VARCHAR, {_RECORD});
    CREATE TABLE reparse_changes (
        reparse_id VARCHAR NOT NULL, source VARCHAR NOT NULL, key VARCHAR NOT NULL, apn VARCHAR,
        table_name VARCHAR NOT NULL, "row" VARCHAR NOT NULL, column_name VARCHAR NOT NULL,
        old VARCHAR, new VARCHAR, parser_version INTEGER NOT NULL,
        changed_at TIMESTAMPTZ NOT NULL);
    CREATE TABLE improvements (
        apn VARCHAR NOT NULL, improvement_number VARCHAR NOT NULL, description VARCHAR,
        area_sqft BIGINT, effective_age_years BIGINT, quality_rank VARCHAR, model VARCHAR,
        cci VARCHAR, {_RECORD});
    CREATE TABLE tax_payment_halves (
        apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, number BIGINT NOT NULL,
        amount DECIMAL(14, 2), first_half_amount DECIMAL(14, 2), second_half_amount DECIMAL(14, 2),
        {_RECORD});
    CREATE TABLE payload_blocks (
        block BIGINT NOT NULL, part BIGINT NOT NULL, size BIGINT NOT NULL,
        body BLOB NOT NULL USING COMPRESSION uncompressed);
    CREATE TABLE parcels (
        apn VARCHAR NOT NULL, county VARCHAR NOT NULL, property_type VARCHAR,
        situs_address VARCHAR, situs_city VARCHAR, situs_zip VARCHAR, owner_name VARCHAR,
        in_care_of VARCHAR, mailing_address VARCHAR, mailing_city VARCHAR, mailing_state VARCHAR,
        mailing_zip VARCHAR, legal_description VARCHAR, subdivision VARCHAR, lot_number VARCHAR,
        mcr VARCHAR, section_township_range VARCHAR, lot_size_sqft BIGINT, jurisdiction VARCHAR,
        elementary_school_district VARCHAR, high_school_district VARCHAR, tax_area_code VARCHAR,
        use_code VARCHAR, use_description VARCHAR, is_rental BOOLEAN, latitude DOUBLE,
        longitude DOUBLE, deed_number VARCHAR, deed_date DATE, deed_type VARCHAR,
        not_found_since TIMESTAMPTZ, {_RECORD});
    {CHANGES}
    {PURCHASE_TABLES}
    {EVIDENCE_TABLE}
    {IDENTIFIER_TABLE}
    {LAYER_TABLES}
    {POSTING_TABLES}
    {TAX_LIENS}
    {ITEM_VIEWS}
"""
