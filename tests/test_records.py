"""The record tables are a contract: dataclasses, SQL and Arrow say the same, and as published."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import duckdb
import pytest

from propkit.records import RECORD_TYPES, Record
from propkit.store.migrating import migrate
from propkit.store.schema import LEDGER_SCHEMAS, record_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

# design.md, section 5: notebooks, exports and outside tools rely on these names and this order.
CONTRACT = {
    "parcels": [
        "apn",
        "county",
        "property_type",
        "situs_address",
        "situs_city",
        "situs_zip",
        "owner_name",
        "in_care_of",
        "mailing_address",
        "mailing_city",
        "mailing_state",
        "mailing_zip",
        "legal_description",
        "subdivision",
        "lot_number",
        "mcr",
        "section_township_range",
        "lot_size_sqft",
        "jurisdiction",
        "elementary_school_district",
        "high_school_district",
        "tax_area_code",
        "use_code",
        "use_description",
        "is_rental",
        "latitude",
        "longitude",
        "deed_number",
        "deed_date",
        "deed_type",
        "not_found_since",
    ],
    "residences": [
        "apn",
        "construction_year",
        "original_construction_year",
        "livable_area_sqft",
        "detached_livable_area_sqft",
        "pool_area_sqft",
        "quality_grade",
        "covered_patios",
        "uncovered_patios",
        "patio_type",
        "exterior_walls",
        "roof_type",
        "bath_fixtures",
        "cooling",
        "heating",
        "garage_stalls",
        "carport_stalls",
        "parking_type",
        "physical_condition",
        "market_area",
        "neighborhood",
    ],
    "improvements": [
        "apn",
        "improvement_number",
        "description",
        "area_sqft",
        "effective_age_years",
        "quality_rank",
        "model",
        "cci",
    ],
    "valuations": [
        "apn",
        "tax_year",
        "full_cash_value",
        "limited_property_value",
        "property_class",
        "property_class_description",
        "assessment_ratio",
        "assessed_full_cash_value",
        "assessed_limited_property_value",
        "valuation_source",
        "use_code",
        "use_description",
        "tax_area_code",
        "is_pending_change",
    ],
    "tax_bills": [
        "apn",
        "tax_year",
        "status",
        "assessed_tax",
        "amount_paid",
        "amount_due",
        "has_tax_lien",
        "tax_lien_note",
    ],
    "tax_payments": ["apn", "tax_year", "number", "paid_on", "amount"],
    "sales": ["apn", "sold_on", "recording_number", "sale_price"],
    "documents": [
        "recording_number",
        "suffix",
        "apn",
        "recorded_on",
        "document_codes",
        "names",
        "page_count",
        "docket_book",
        "docket_page",
        "is_restricted",
    ],
    "tax_levies": [
        "apn",
        "tax_year",
        "district",
        "district_name",
        "percent",
        "amount",
        "amount_paid",
    ],
    "tax_installments": ["apn", "tax_year", "number", "amount", "due_on", "delinquent_after"],
    "tax_statements": [
        "apn",
        "tax_year",
        "tax_area_code",
        "exemption",
        "assessed_tax",
        "tax_paid",
        "interest_paid",
        "total_paid",
        "land_assessed_value",
        "exempt_assessed_value",
        "total_assessed_value",
        "grand_total",
    ],
    "tax_valuations": [
        "apn",
        "tax_year",
        "full_cash_value",
        "limited_property_value",
        "property_class",
    ],
    "tax_payment_halves": [
        "apn",
        "tax_year",
        "number",
        "amount",
        "first_half_amount",
        "second_half_amount",
    ],
    "leads": [
        "radar_id",
        "apn",
        "criteria_id",
        "p_type",
        "advanced_property_type",
        "address",
        "city",
        "state",
        "zip_five",
        "county",
        "fips",
        "latitude",
        "longitude",
        "subdivision",
        "owner",
        "owner2",
        "ownership_type",
        "sq_ft",
        "beds",
        "baths",
        "stories",
        "units",
        "year_built",
        "lot_size",
        "pool",
        "avm",
        "assessed_value",
        "annual_taxes",
        "available_equity",
        "equity_percent",
        "cltv",
        "total_loan_balance",
        "number_loans",
        "first_amount",
        "first_date",
        "first_rate",
        "last_transfer_rec_date",
        "last_transfer_value",
        "last_transfer_type",
        "delinquent_year",
        "delinquent_amount",
        "foreclosure_stage",
        "phone_availability",
        "email_availability",
        "is_same_mailing_or_exempt",
        "is_site_vacant",
        "is_listed_for_sale",
        "in_foreclosure",
        "in_tax_delinquency",
        "is_deceased_property",
        "in_bankruptcy_property",
    ],
}
IDENTITIES = {
    "parcels": ("county", "apn"),
    "residences": ("apn",),
    "improvements": ("apn", "improvement_number"),
    "valuations": ("apn", "tax_year"),
    "tax_bills": ("apn", "tax_year"),
    "tax_payments": ("apn", "tax_year", "number"),
    "sales": ("apn", "sold_on", "recording_number"),
    "documents": ("recording_number", "suffix"),
    "tax_levies": ("apn", "tax_year", "district"),
    "tax_installments": ("apn", "tax_year", "number"),
    "tax_statements": ("apn", "tax_year"),
    "tax_valuations": ("apn", "tax_year"),
    "tax_payment_halves": ("apn", "tax_year", "number"),
    "leads": ("radar_id",),
}
ITEM_COLUMNS = [
    "batch_id",
    "source",
    "key",
    "state",
    "priority",
    "attempts",
    "failure_class",
    "error",
    "started_at",
    "ended_at",
    "missing",
]
BATCH_COLUMNS = [
    "batch_id",
    "kind",
    "state",
    "criteria",
    "created_by",
    "total",
    "done",
    "failed",
    "created_at",
    "started_at",
    "completed_at",
]
PROVENANCE = ["source", "collected_at"]

# A record's annotation, the column's SQL type, the Arrow type.
TYPES = {
    ("str", "VARCHAR", "string"),
    ("int", "BIGINT", "int64"),
    ("float", "DOUBLE", "double"),
    ("bool", "BOOLEAN", "bool"),
    ("date", "DATE", "date32[day]"),
    ("datetime", "TIMESTAMP WITH TIME ZONE", "timestamp[us, tz=UTC]"),
    ("Decimal", "DECIMAL(14,2)", "decimal128(14, 2)"),
    ("tuple[str, ...]", "VARCHAR[]", "list<item: string>"),
}
RATIO = ("Decimal", "DECIMAL(6,4)", "decimal128(6, 4)")

each_table = pytest.mark.parametrize("kind", list(RECORD_TYPES.values()), ids=list(RECORD_TYPES))


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        migrate(connection)
        yield connection


def sql_columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[str, str, bool]]:
    """Return name, type and whether NULL is refused, in the table's order."""
    rows = connection.execute(f"DESCRIBE {table}").fetchall()
    return [(row[0], row[1], row[2] == "NO") for row in rows]


def test_the_tables_are_those_of_the_contract():
    """Every table has the published columns in the published order and the published identity."""
    columns = {
        table: [field.name for field in fields(kind)] for table, kind in RECORD_TYPES.items()
    }
    identities = {table: kind.identity for table, kind in RECORD_TYPES.items()}

    assert columns == CONTRACT
    assert identities == IDENTITIES


@each_table
def test_dataclass_sql_and_arrow_name_the_same_columns(
    connection: duckdb.DuckDBPyConnection, kind: type[Record]
):
    """The three definitions of a table agree, column by column and in order."""
    in_sql = [name for name, _, _ in sql_columns(connection, kind.table)]
    in_arrow = record_schema(kind).names

    assert in_sql == [*CONTRACT[kind.table], *PROVENANCE, "unchanged_since"]
    assert in_arrow == in_sql[:-1]


@each_table
def test_dataclass_sql_and_arrow_give_the_same_types(
    connection: duckdb.DuckDBPyConnection, kind: type[Record]
):
    """Each column's annotation, SQL type and Arrow type belong together."""
    in_sql = {name: sql for name, sql, _ in sql_columns(connection, kind.table)}
    schema = record_schema(kind)

    found = {
        field.name: (
            str(field.type).removesuffix(" | None"),
            in_sql[field.name],
            str(schema.field(field.name).type),
        )
        for field in fields(kind)
    }

    assert found.pop("assessment_ratio", RATIO) == RATIO
    assert set(found.values()) <= TYPES
    assert (in_sql["source"], in_sql["collected_at"]) == ("VARCHAR", "TIMESTAMP WITH TIME ZONE")
    assert str(schema.field("collected_at").type) == "timestamp[us, tz=UTC]"


@each_table
def test_what_must_be_given_is_not_null_in_sql(
    connection: duckdb.DuckDBPyConnection, kind: type[Record]
):
    """A field that cannot be None is NOT NULL in the table, and lists are the only exception."""
    required = {
        field.name
        for field in fields(kind)
        if "None" not in str(field.type) and not str(field.type).startswith("tuple")
    }

    not_null = {name for name, _, is_required in sql_columns(connection, kind.table) if is_required}

    assert not_null == required | set(PROVENANCE)


@each_table
def test_scope_lies_within_identity(kind: type[Record]):
    """What an answer replaces is named by the first columns of what tells its rows apart."""
    assert kind.identity[: len(kind.scope)] == kind.scope


@pytest.mark.parametrize("table", list(LEDGER_SCHEMAS))
def test_ledger_tables_and_their_arrow_schemas_agree(
    connection: duckdb.DuckDBPyConnection, table: str
):
    """Ledgers are written by name: SQL and Arrow must know the same names."""
    in_sql = [name for name, _, _ in sql_columns(connection, table)]

    assert LEDGER_SCHEMAS[table].names == in_sql


@pytest.mark.parametrize(
    ("table", "columns"), [("items", ITEM_COLUMNS), ("batches", BATCH_COLUMNS)]
)
def test_items_and_batches_have_their_columns(
    connection: duckdb.DuckDBPyConnection, table: str, columns: list[str]
):
    """The published columns of items and batches are there, others may stand beside them."""
    in_sql = [name for name, _, _ in sql_columns(connection, table)]

    assert [name for name in columns if name not in in_sql] == []
    assert len(set(in_sql)) == len(in_sql)


@each_table
def test_no_table_has_a_primary_key(connection: duckdb.DuckDBPyConnection, kind: type[Record]):
    """A keyed upsert into a big table costs seconds, so the writer keeps rows unique."""
    kinds = connection.execute(
        "SELECT constraint_type FROM duckdb_constraints() WHERE table_name = ?", [kind.table]
    ).fetchall()

    assert {name for (name,) in kinds} == {"NOT NULL"}
