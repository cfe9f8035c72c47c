"""The shapes of what is kept: one frozen dataclass is one table.

Columns are a contract (notebooks, exports and outside tools rely on them). An absent value is
``None``. Money is USD as :class:`~decimal.Decimal`, dates are calendar dates as printed by the
office, ids are text.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A typed row read from a payload.

    ``scope`` names the columns within which an answer is complete: a newer one replaces all rows.
    ``identity`` tells rows apart; ``noted`` are stated by no answer: the store notes them.
    """

    table: ClassVar[str]
    scope: ClassVar[tuple[str, ...]]
    identity: ClassVar[tuple[str, ...]]
    noted: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel(Record):
    """A parcel as the assessor's roll has it; its APN is unique within its county.

    ``not_found_since`` (UTC): the row's source knows it no more; all else is what it said last.
    """

    table = "parcels"
    scope = ("county", "apn")
    identity = ("county", "apn")
    noted = ("not_found_since",)

    apn: str
    county: str
    property_type: str | None = None
    situs_address: str | None = None
    situs_city: str | None = None
    situs_zip: str | None = None
    owner_name: str | None = None
    in_care_of: str | None = None
    mailing_address: str | None = None
    mailing_city: str | None = None
    mailing_state: str | None = None
    mailing_zip: str | None = None
    legal_description: str | None = None
    subdivision: str | None = None
    lot_number: str | None = None
    mcr: str | None = None
    section_township_range: str | None = None
    lot_size_sqft: int | None = None
    jurisdiction: str | None = None
    elementary_school_district: str | None = None
    high_school_district: str | None = None
    tax_area_code: str | None = None
    use_code: str | None = None
    use_description: str | None = None
    is_rental: bool | None = None
    latitude: float | None = None
    longitude: float | None = None
    deed_number: str | None = None
    deed_date: date | None = None
    deed_type: str | None = None
    not_found_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Residence(Record):
    """The house on a parcel. ``bath_fixtures`` counts fixtures, not bathrooms."""

    table = "residences"
    scope = ("apn",)
    identity = ("apn",)

    apn: str
    construction_year: int | None = None
    original_construction_year: int | None = None
    livable_area_sqft: int | None = None
    detached_livable_area_sqft: int | None = None
    pool_area_sqft: int | None = None
    quality_grade: str | None = None
    covered_patios: int | None = None
    uncovered_patios: int | None = None
    patio_type: str | None = None
    exterior_walls: str | None = None
    roof_type: str | None = None
    bath_fixtures: int | None = None
    cooling: str | None = None
    heating: str | None = None
    garage_stalls: int | None = None
    carport_stalls: int | None = None
    parking_type: str | None = None
    physical_condition: str | None = None
    market_area: str | None = None
    neighborhood: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement(Record):
    """A building on a commercial parcel; rank, model and ``cci`` are the assessor's own codes."""

    table = "improvements"
    scope = ("apn",)
    identity = ("apn", "improvement_number")

    apn: str
    improvement_number: str
    description: str | None = None
    area_sqft: int | None = None
    effective_age_years: int | None = None
    quality_rank: str | None = None
    model: str | None = None
    cci: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Valuation(Record):
    """All values of one parcel for one tax year; ``assessment_ratio`` is a share from 0 to 1."""

    table = "valuations"
    scope = ("apn", "tax_year")
    identity = ("apn", "tax_year")

    apn: str
    tax_year: int
    full_cash_value: Decimal | None = None
    limited_property_value: Decimal | None = None
    property_class: str | None = None
    property_class_description: str | None = None
    assessment_ratio: Decimal | None = None
    assessed_full_cash_value: Decimal | None = None
    assessed_limited_property_value: Decimal | None = None
    valuation_source: str | None = None
    use_code: str | None = None
    use_description: str | None = None
    tax_area_code: str | None = None
    is_pending_change: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxBill(Record):
    """What a parcel is charged for a tax year; ``amount_paid`` is stated for the current one only."""

    table = "tax_bills"
    scope = ("apn", "tax_year")
    identity = ("apn", "tax_year")

    apn: str
    tax_year: int
    status: str | None = None
    assessed_tax: Decimal | None = None
    amount_paid: Decimal | None = None
    amount_due: Decimal | None = None
    has_tax_lien: bool | None = None
    tax_lien_note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxPayment(Record):
    """One payment; ``number`` counts from 1 within a tax year, in the page's order."""

    table = "tax_payments"
    scope = ("apn", "tax_year")
    identity = ("apn", "tax_year", "number")

    apn: str
    tax_year: int
    number: int
    paid_on: date | None = None
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxLevy(Record):
    """What one special district charges in a tax bill; ``percent`` is as the page states it."""

    table = "tax_levies"
    scope = ("apn", "tax_year")
    identity = ("apn", "tax_year", "district")

    apn: str
    tax_year: int
    district: str
    district_name: str | None = None
    percent: float | None = None
    amount: Decimal | None = None
    amount_paid: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxInstallment(Record):
    """A half of a bill, or a small one; dates by A.R.S. 42-18052, on a weekend the Monday after."""

    table = "tax_installments"
    scope = ("apn", "tax_year")
    identity = ("apn", "tax_year", "number")

    apn: str
    tax_year: int
    number: int
    amount: Decimal | None = None
    due_on: date | None = None
    delinquent_after: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxStatement(Record):
    """What the details and the detailed statement say of the newest tax bill."""

    table = "tax_statements"
    scope = ("apn", "tax_year")
    identity = ("apn", "tax_year")

    apn: str
    tax_year: int
    tax_area_code: str | None = None
    exemption: str | None = None
    assessed_tax: Decimal | None = None
    tax_paid: Decimal | None = None
    interest_paid: Decimal | None = None
    total_paid: Decimal | None = None
    land_assessed_value: Decimal | None = None
    exempt_assessed_value: Decimal | None = None
    total_assessed_value: Decimal | None = None
    grand_total: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxValuation(Record):
    """The values of a tax year as the treasurer repeats them; the assessor's are ``valuations``."""

    table = "tax_valuations"
    scope = ("apn", "tax_year")
    identity = ("apn", "tax_year")

    apn: str
    tax_year: int
    full_cash_value: Decimal | None = None
    limited_property_value: Decimal | None = None
    property_class: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxPaymentHalves(Record):
    """To which halves of the tax a payment went; ``number`` is that of the payment."""

    table = "tax_payment_halves"
    scope = ("apn", "tax_year")
    identity = ("apn", "tax_year", "number")

    apn: str
    tax_year: int
    number: int
    amount: Decimal | None = None
    first_half_amount: Decimal | None = None
    second_half_amount: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale(Record):
    """A transfer with its declared price; the assessor gives the month of the sale as its 1st."""

    table = "sales"
    scope = ("apn", "sold_on", "recording_number")
    identity = ("apn", "sold_on", "recording_number")

    apn: str
    sold_on: date | None = None
    recording_number: str | None = None
    sale_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document(Record):
    """One instrument in the recorder's index; ``apn`` is the parcel for which it was asked."""

    table = "documents"
    scope = ("recording_number", "suffix")
    identity = ("recording_number", "suffix")

    recording_number: str
    suffix: str | None = None
    apn: str | None = None
    recorded_on: date | None = None
    document_codes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    page_count: int | None = None
    docket_book: str | None = None
    docket_page: str | None = None
    is_restricted: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead(Record):
    """A parcel with its owner, bought at the leads API; ``lot_size`` and ``sq_ft`` in square feet.

    ``criteria_id`` is the search that brought it last. ``first_*`` is the first loan; rates and
    percentages are as the API states them, 6.5 for 6.5 %.
    """

    table = "leads"
    scope = ("radar_id",)
    identity = ("radar_id",)

    radar_id: str
    apn: str | None = None
    criteria_id: str
    p_type: str | None = None
    advanced_property_type: str | None = None
    address: str | None = None
    city: str | None = None
    state: str | None = None
    zip_five: str | None = None
    county: str | None = None
    fips: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    subdivision: str | None = None
    owner: str | None = None
    owner2: str | None = None
    ownership_type: str | None = None
    sq_ft: int | None = None
    beds: int | None = None
    baths: float | None = None
    stories: float | None = None
    units: int | None = None
    year_built: int | None = None
    lot_size: int | None = None
    pool: bool | None = None
    avm: Decimal | None = None
    assessed_value: Decimal | None = None
    annual_taxes: Decimal | None = None
    available_equity: Decimal | None = None
    equity_percent: float | None = None
    cltv: float | None = None
    total_loan_balance: Decimal | None = None
    number_loans: int | None = None
    first_amount: Decimal | None = None
    first_date: date | None = None
    first_rate: float | None = None
    last_transfer_rec_date: date | None = None
    last_transfer_value: Decimal | None = None
    last_transfer_type: str | None = None
    delinquent_year: int | None = None
    delinquent_amount: Decimal | None = None
    foreclosure_stage: str | None = None
    phone_availability: bool | None = None
    email_availability: bool | None = None
    is_same_mailing_or_exempt: bool | None = None
    is_site_vacant: bool | None = None
    is_listed_for_sale: bool | None = None
    in_foreclosure: bool | None = None
    in_tax_delinquency: bool | None = None
    is_deceased_property: bool | None = None
    in_bankruptcy_property: bool | None = None


RECORD_TYPES: dict[str, type[Record]] = {
    kind.table: kind
    for kind in (
        *(Parcel, Residence, Improvement, Valuation, TaxBill, TaxPayment, Sale, Document),
        *(TaxLevy, TaxInstallment, TaxStatement, TaxValuation, TaxPaymentHalves, Lead),
    )
}
"""Every record table by name, in the order in which they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelShape(Record):
    """The outline of a parcel as a map layer has it; several where the layer draws it in parts.

    ``object_id`` is the layer's own number of the outline, which a new edition of the layer may
    change, so that there is no history. ``shape`` is WKB in longitude and latitude (EPSG:4326).
    """

    table = "parcel_shapes"
    scope = ("county", "apn", "object_id")
    identity = ("county", "apn", "object_id")

    county: str
    apn: str
    object_id: str
    shape: bytes


STORED_TYPES: dict[str, type[Record]] = {**RECORD_TYPES, ParcelShape.table: ParcelShape}
"""Every record table that the store keeps, shapes included, which no workbook can show."""


def column_names(kind: type[Record]) -> tuple[str, ...]:
    """Return the columns of a table, in order."""
    return tuple(field.name for field in fields(kind))
