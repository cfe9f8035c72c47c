"""The tables that came with all of the county's systems: migrations 0006, 0009, 0013, a ledger."""

from __future__ import annotations

from typing import Final

import duckdb
import pyarrow as pa

_PROVENANCE = "source VARCHAR NOT NULL, collected_at TIMESTAMPTZ NOT NULL"

TAX_LIENS: Final = """
    CREATE VIEW tax_liens AS
        SELECT apn, tax_year, contains(lower(tax_lien_note), 'available') AS is_available,
            tax_lien_note AS note, amount_due, source, collected_at
        FROM tax_bills WHERE has_tax_lien;
"""

COUNTY_TABLES: Final = f"""
    CREATE TABLE noted_tax_bills (
        apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, status VARCHAR,
        assessed_tax DECIMAL(14, 2), amount_paid DECIMAL(14, 2), amount_due DECIMAL(14, 2),
        has_tax_lien BOOLEAN, tax_lien_note VARCHAR, {_PROVENANCE});
    INSERT INTO noted_tax_bills BY NAME FROM tax_bills;
    DROP TABLE tax_bills;
    ALTER TABLE noted_tax_bills RENAME TO tax_bills;
    {TAX_LIENS}
    CREATE TABLE tax_levies (
        apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, district VARCHAR NOT NULL,
        district_name VARCHAR, percent DOUBLE, amount DECIMAL(14, 2),
        amount_paid DECIMAL(14, 2), {_PROVENANCE});
    CREATE TABLE tax_installments (
        apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, number BIGINT NOT NULL,
        amount DECIMAL(14, 2), due_on DATE, delinquent_after DATE, {_PROVENANCE});
    CREATE TABLE tax_statements (
        apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, tax_area_code VARCHAR,
        exemption VARCHAR, assessed_tax DECIMAL(14, 2), tax_paid DECIMAL(14, 2),
        interest_paid DECIMAL(14, 2), total_paid DECIMAL(14, 2),
        land_assessed_value DECIMAL(14, 2), exempt_assessed_value DECIMAL(14, 2),
        total_assessed_value DECIMAL(14, 2), grand_total DECIMAL(14, 2), {_PROVENANCE});
    CREATE TABLE tax_valuations (
        apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, full_cash_value DECIMAL(14, 2),
        limited_property_value DECIMAL(14, 2), property_class VARCHAR, {_PROVENANCE});
    CREATE TABLE reparse_changes (
        reparse_id VARCHAR NOT NULL, source VARCHAR NOT NULL, key VARCHAR NOT NULL, apn VARCHAR,
        table_name VARCHAR NOT NULL, "row" VARCHAR NOT NULL, column_name VARCHAR NOT NULL,
        old VARCHAR, new VARCHAR, parser_version INTEGER NOT NULL,
        changed_at TIMESTAMPTZ NOT NULL);
"""

IMPROVEMENT_TABLES: Final = f"""
    CREATE TABLE improvements (
        apn VARCHAR NOT NULL, improvement_number VARCHAR NOT NULL, description VARCHAR,
        area_sqft BIGINT, effective_age_years BIGINT, quality_rank VARCHAR, model VARCHAR,
        cci VARCHAR, {_PROVENANCE});
    CREATE TABLE tax_payment_halves (
        apn VARCHAR NOT NULL, tax_year BIGINT NOT NULL, number BIGINT NOT NULL,
        amount DECIMAL(14, 2), first_half_amount DECIMAL(14, 2),
        second_half_amount DECIMAL(14, 2), {_PROVENANCE});
"""


def add_not_found(connection: duckdb.DuckDBPyConnection) -> None:
    """Give parcels the column ``not_found_since``, behind their others and before the provenance."""
    columns = []
    for name, of, is_optional, *_ in connection.execute("DESCRIBE parcels").fetchall():
        if name == "source":
            columns.append("not_found_since TIMESTAMPTZ")
        columns.append(f"{name} {of}{'' if is_optional == 'YES' else ' NOT NULL'}")
    connection.execute(
        f"CREATE TABLE noted_parcels ({', '.join(columns)});"
        " INSERT INTO noted_parcels BY NAME FROM parcels; DROP TABLE parcels;"
        " ALTER TABLE noted_parcels RENAME TO parcels"
    )


COUNTY_SCHEMAS: Final = {
    "reparse_changes": pa.schema(
        [
            ("reparse_id", pa.string()),
            ("source", pa.string()),
            ("key", pa.string()),
            ("apn", pa.string()),
            ("table_name", pa.string()),
            ("row", pa.string()),
            ("column_name", pa.string()),
            ("old", pa.string()),
            ("new", pa.string()),
            ("parser_version", pa.int32()),
            ("changed_at", pa.timestamp("us", tz="UTC")),
        ]
    ),
}
"""Arrow schemas of the ledgers among them, by table."""
