"""One parcel as it truly is, before the county's systems render it in their own shapes.

Whole dollars are ints, taxes are ints of cents, dates are dates, absent is None.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

TaxStatus = Literal["Paid", "Unpaid", "Partially Paid"]


@dataclass(frozen=True, slots=True)
class Block:
    """A page of the assessor's map book: parcels that share subdivision, place and districts."""

    number: int
    book: int
    map_page: int
    first_item: int
    jurisdiction: str
    city: str
    zip_code: str
    subdivision: str | None
    mcr: str | None
    section: int
    township: str
    range_: str
    tax_area_code: str
    elementary_school_district: str
    high_school_district: str
    market_area: str
    neighborhood: str
    latitude: float
    longitude: float

    @property
    def section_township_range(self) -> str:
        """Return it as the assessor's API writes it, without separators: "131N4E"."""
        return f"{self.section}{self.township}{self.range_}"


@dataclass(frozen=True, slots=True)
class Owner:
    """The owner of record and the mailing address; all None when the name is withheld."""

    name: str | None
    people: tuple[str, ...]
    in_care_of: str | None
    mailing_address_1: str | None
    mailing_address_2: str | None
    mailing_city: str | None
    mailing_state: str | None
    mailing_zip: str | None
    is_redacted: bool


@dataclass(frozen=True, slots=True)
class Residence:
    """What stands on the parcel, as the assessor counts it (fixtures, not bathrooms)."""

    construction_year: int | None
    original_construction_year: int | None
    livable_area_sqft: int | None
    detached_livable_area_sqft: int | None
    pool_area_sqft: int | None
    quality_grade: str | None
    covered_patios: int
    uncovered_patios: int
    patio_type: str | None
    exterior_walls: str | None
    roof_type: str | None
    bath_fixtures: int
    cooling: str | None
    heating: str | None
    garage_stalls: int | None
    carport_stalls: int
    parking_type: str | None
    physical_condition: str | None


@dataclass(frozen=True, slots=True)
class Improvement:
    """A building on a commercial parcel, or what else was built there."""

    improvement_number: str
    description: str
    area_sqft: int
    effective_age_years: int
    quality_rank: str
    model: str
    cci: str


@dataclass(frozen=True, slots=True)
class Deed:
    """The last deed; one whose `number` is None is not in the assessor's roll."""

    number: str | None
    dated: date | None
    recorded_on: date
    kind: str | None
    code: str
    is_in_recorder: bool


@dataclass(frozen=True, slots=True)
class Sale:
    """The last sale: always dated the first of a month, rarely without a price."""

    sold_on: date
    price: int | None


@dataclass(frozen=True, slots=True)
class Valuation:
    """One tax year's values; None where the county says "na"."""

    tax_year: int
    full_cash_value: int | None
    limited_property_value: int | None
    class_code: str
    class_description: str
    ratio: str
    assessed_full_cash_value: int | None
    assessed_limited_property_value: int | None
    source: str
    is_pending_change: bool


@dataclass(frozen=True, slots=True)
class TaxPayment:
    """One payment on a tax year, in cents."""

    tax_year: int
    paid_on: date
    cents: int
    payer: str


@dataclass(frozen=True, slots=True)
class TaxBill:
    """One year's tax, in cents, with its payments in the page's order (newest first)."""

    tax_year: int
    status: TaxStatus
    assessed_cents: int
    paid_cents: int
    due_cents: int
    payments: tuple[TaxPayment, ...] = ()
    has_lien: bool = False
    lien_note: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """One recorded document."""

    recording_number: str
    suffix: str
    recorded_on: date
    codes: tuple[str, ...]
    names: tuple[str, ...]
    page_count: int
    docket_book: int | None
    docket_page: int | None
    is_restricted: bool


@dataclass(frozen=True, slots=True)
class Head:
    """What the county's searches show of a parcel, and which systems know it."""

    index: int
    apn: str
    block: Block
    property_type: str
    use_code: str
    use_description: str
    situs_address: str | None
    owner: Owner
    is_rental: bool
    is_in_assessor: bool
    is_in_treasurer: bool

    @property
    def situs_city(self) -> str | None:
        """Return the postal city, None for a parcel without an address."""
        return self.block.city if self.situs_address else None

    @property
    def situs_zip(self) -> str | None:
        """Return the ZIP code, None for a parcel without an address."""
        return self.block.zip_code if self.situs_address else None


@dataclass(frozen=True, slots=True)
class Parcel:
    """Everything that is true of one parcel."""

    head: Head
    legal_description: str
    lot_size_sqft: int
    latitude: float | None
    longitude: float | None
    residence: Residence | None
    improvements: tuple[Improvement, ...]
    deed: Deed
    sale: Sale | None
    valuations: tuple[Valuation, ...]
    tax_bills: tuple[TaxBill, ...]
    document: Document | None
