"""The truth in propkit's own tables, to compare a store with, field for field.

Money is text with two decimals, ratios text with four, dates ISO text, absent is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import date

from propkit.demo_county.levies import exemption_of, make_halves, make_installments, make_levies
from propkit.demo_county.parcel import Parcel

Row = dict[str, object]

TABLES = (
    "parcels", "residences", "improvements", "valuations", "tax_bills", "tax_payments", "sales", "documents",
    "leads",
)  # fmt: skip
DETAILS = (
    "tax_levies", "tax_installments", "tax_statements", "tax_valuations", "tax_payment_halves",
)  # fmt: skip


def render(parcels: Iterable[Parcel]) -> dict[str, list[Row]]:
    """Return all rows of some parcels, leaving out what a system does not know.

    Leads are bought and further pages asked for by name: there are none. A document is there only when the assessor knows the parcel too: nothing else names it.
    """
    tables: dict[str, list[Row]] = {name: [] for name in (*TABLES, *DETAILS)}
    for parcel in parcels:
        if parcel.head.is_in_assessor:
            tables["parcels"].append(parcel_row(parcel))
            tables["residences"].extend(_residence(parcel))
            tables["improvements"].extend(_improvements(parcel))
            tables["valuations"].extend(_valuations(parcel))
            tables["sales"].extend(_sales(parcel))
            tables["documents"].extend(_documents(parcel))
        if parcel.head.is_in_treasurer:
            tables["tax_bills"].extend(_tax_bills(parcel))
            tables["tax_payments"].extend(_tax_payments(parcel))
    return tables


def render_details(parcels: Iterable[Parcel]) -> dict[str, list[Row]]:
    """Return the rows of the treasurer's further pages about some parcels."""
    tables: dict[str, list[Row]] = {name: [] for name in DETAILS}
    for parcel in parcels:
        if parcel.head.is_in_treasurer:
            for name, rows in _tax_details(parcel).items():
                tables[name].extend(rows)
    return tables


def parcel_row(parcel: Parcel) -> Row:
    """Return a parcel as the table `parcels` has it."""
    head, block, owner, deed = parcel.head, parcel.head.block, parcel.head.owner, parcel.deed
    lines = [line for line in (owner.mailing_address_1, owner.mailing_address_2) if line]
    return {
        "apn": head.apn,
        "county": "maricopa",
        "property_type": head.property_type,
        "situs_address": head.situs_address,
        "situs_city": head.situs_city,
        "situs_zip": head.situs_zip,
        "owner_name": owner.name,
        "in_care_of": owner.in_care_of,
        "mailing_address": " ".join(lines) or None,
        "mailing_city": owner.mailing_city,
        "mailing_state": owner.mailing_state,
        "mailing_zip": owner.mailing_zip,
        "legal_description": parcel.legal_description,
        "subdivision": block.subdivision,
        "lot_number": None,
        "mcr": block.mcr,
        "section_township_range": block.section_township_range,
        "lot_size_sqft": parcel.lot_size_sqft,
        "jurisdiction": block.jurisdiction,
        "elementary_school_district": block.elementary_school_district,
        "high_school_district": block.high_school_district,
        "tax_area_code": block.tax_area_code,
        "use_code": head.use_code,
        "use_description": head.use_description,
        "is_rental": head.is_rental,
        "latitude": parcel.latitude,
        "longitude": parcel.longitude,
        "deed_number": deed.number,
        "deed_date": _day(deed.dated),
        "deed_type": deed.kind,
    }


def _residence(parcel: Parcel) -> Iterator[Row]:
    if parcel.residence is not None:
        block = parcel.head.block
        yield {
            "apn": parcel.head.apn,
            **asdict(parcel.residence),
            "market_area": block.market_area,
            "neighborhood": block.neighborhood,
        }


def _improvements(parcel: Parcel) -> Iterator[Row]:
    for built in parcel.improvements:
        yield {"apn": parcel.head.apn, **asdict(built)}


def _valuations(parcel: Parcel) -> Iterator[Row]:
    for value in parcel.valuations:
        yield {
            "apn": parcel.head.apn,
            "tax_year": value.tax_year,
            "full_cash_value": _dollars(value.full_cash_value),
            "limited_property_value": _dollars(value.limited_property_value),
            "property_class": value.class_code,
            "property_class_description": value.class_description,
            "assessment_ratio": value.ratio,
            "assessed_full_cash_value": _dollars(value.assessed_full_cash_value),
            "assessed_limited_property_value": _dollars(value.assessed_limited_property_value),
            "valuation_source": value.source,
            "use_code": parcel.head.use_code,
            "use_description": parcel.head.use_description,
            "tax_area_code": parcel.head.block.tax_area_code,
            "is_pending_change": value.is_pending_change,
        }


def _tax_bills(parcel: Parcel) -> Iterator[Row]:
    for age, bill in enumerate(parcel.tax_bills):
        yield {
            "apn": parcel.head.apn,
            "tax_year": bill.tax_year,
            "status": bill.status,
            "assessed_tax": _cents(bill.assessed_cents),
            "amount_paid": _cents(bill.paid_cents) if age == 0 else None,
            "amount_due": _cents(bill.due_cents),
            "has_tax_lien": bill.has_lien,
            "tax_lien_note": bill.lien_note or None,
        }


def _tax_payments(parcel: Parcel) -> Iterator[Row]:
    for bill in parcel.tax_bills:
        for number, payment in enumerate(bill.payments, start=1):
            yield {
                "apn": parcel.head.apn,
                "tax_year": payment.tax_year,
                "number": number,
                "paid_on": payment.paid_on.isoformat(),
                "amount": _cents(payment.cents),
            }


def _tax_details(parcel: Parcel) -> dict[str, list[Row]]:
    """Return what the treasurer's further pages say of the newest bill, and all its values."""
    bill, apn = parcel.tax_bills[0], parcel.head.apn
    bill_of = {"apn": apn, "tax_year": bill.tax_year}
    value = parcel.valuations[0]
    assessed = _dollars(value.assessed_limited_property_value)
    return {
        "tax_levies": [
            {
                **bill_of,
                "district": levy.district,
                "district_name": levy.name,
                "percent": float(levy.percent),
                "amount": _cents(levy.cents),
                "amount_paid": _cents(levy.paid_cents),
            }
            for levy in make_levies(parcel.head, bill)
        ],
        "tax_installments": [
            {
                **bill_of,
                "number": part.number,
                "amount": _cents(part.cents),
                "due_on": part.due_on.isoformat(),
                "delinquent_after": part.delinquent_after.isoformat(),
            }
            for part in make_installments(bill)
        ],
        "tax_statements": [
            {
                **bill_of,
                "tax_area_code": parcel.head.block.tax_area_code,
                "exemption": exemption_of(parcel.head),
                "assessed_tax": _cents(bill.assessed_cents),
                "tax_paid": _cents(bill.paid_cents),
                "interest_paid": _cents(0),
                "total_paid": _cents(bill.paid_cents),
                "land_assessed_value": assessed,
                "exempt_assessed_value": _dollars(0),
                "total_assessed_value": assessed,
                "grand_total": _cents(bill.assessed_cents),
            }
        ],
        "tax_valuations": [
            {
                "apn": apn,
                "tax_year": value.tax_year,
                "full_cash_value": _dollars(value.full_cash_value),
                "limited_property_value": _dollars(value.limited_property_value),
                "property_class": value.class_code,
            }
            for value in parcel.valuations
        ],
        "tax_payment_halves": _payment_halves(parcel),
    }


def _payment_halves(parcel: Parcel) -> list[Row]:
    """Return the payments by halves on the newest bill that has any."""
    paid = next((bill for bill in parcel.tax_bills if bill.payments), None)
    return (
        []
        if paid is None
        else [
            {
                "apn": parcel.head.apn,
                "tax_year": paid.tax_year,
                "number": number,
                "amount": _cents(payment.cents),
                "first_half_amount": _cents(first),
                "second_half_amount": _cents(second),
            }
            for number, (payment, (first, second)) in enumerate(
                zip(paid.payments, make_halves(paid), strict=True), start=1
            )
        ]
    )


def _sales(parcel: Parcel) -> Iterator[Row]:
    if parcel.sale is not None:
        yield {
            "apn": parcel.head.apn,
            "sold_on": parcel.sale.sold_on.isoformat(),
            "recording_number": parcel.deed.number,
            "sale_price": _dollars(parcel.sale.price),
        }


def _documents(parcel: Parcel) -> Iterator[Row]:
    document = parcel.document
    if document is not None:
        book, page = document.docket_book, document.docket_page
        yield {
            "recording_number": document.recording_number,
            "suffix": document.suffix or None,
            "apn": parcel.head.apn,
            "recorded_on": document.recorded_on.isoformat(),
            "document_codes": list(document.codes),
            "names": list(document.names),
            "page_count": document.page_count,
            "docket_book": None if book is None else str(book),
            "docket_page": None if page is None else str(page),
            "is_restricted": document.is_restricted,
        }


def _dollars(value: int | None) -> str | None:
    return None if value is None else f"{value}.00"


def _cents(value: int) -> str:
    return f"{value // 100}.{value % 100:02d}"


def _day(value: date | None) -> str | None:
    return None if value is None else value.isoformat()
