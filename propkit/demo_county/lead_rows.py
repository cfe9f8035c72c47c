"""The county's parcels as the leads API shows them, and which of them fit some criteria."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from random import Random
from typing import Any

from propkit.demo_county import draw
from propkit.demo_county.parcel import Parcel
from propkit.demo_county.truth import CountyTruth

Row = dict[str, Any]

_PTYPES = {
    "RESIDENTIAL": ("SFR", "Single Family Residence"),
    "TOWNHOUSE": ("CND", "Townhouse"),
    "COMMERCIAL": ("COM", "Office Building"),
    "WAREHOUSE": ("IND", "Warehouse"),
    "STATUTORY SHOPPING CENTER": ("COM", "Shopping Center"),
}
_FLAG = re.compile(r"(is|in|has)[A-Z]|Pool$|PropertyHasOpenLiens$|(Phone|Email)Availability$")
_DATE = re.compile(r"(?:from: (\d+)/(\d+)/(\d{4}))?\s*(?:to: (\d+)/(\d+)/(\d{4}))?")
_DATES = ("FirstDate", "LastTransferRecDate")
_NOT = {"isNotSameMailingOrExempt": "isSameMailingOrExempt"}


class CriteriaError(ValueError):
    """Criteria that the API does not take; the message is the API's."""


def make_row(seed: int, parcel: Parcel) -> Row:
    """Return one parcel with every field; numbers come as number or as text."""
    random = draw.stream(seed, parcel.head.index, draw.LEAD)
    head, owner, house = parcel.head, parcel.head.owner, parcel.residence
    apn, ptype = head.apn, _PTYPES.get(head.property_type, ("VAC", "Vacant Land"))
    area = house.livable_area_sqft if house else None
    unpaid = [bill for bill in parcel.tax_bills if bill.due_cents and bill.tax_year < 2025]
    is_same = owner.mailing_address_1 in (None, head.situs_address)
    avm = next((v.full_cash_value for v in parcel.valuations if v.full_cash_value), None)
    row: Row = {
        "RadarID": radar_id(seed, head.index),
        "APN": f"{apn[:3]}-{apn[3:5]}-{apn[5:]}",
        "FIPS": "04013",
        "PType": ptype[0],
        "AdvancedPropertyType": ptype[1],
        "Address": head.situs_address,
        "City": head.situs_city,
        "State": "AZ",
        "ZipFive": head.situs_zip,
        "County": "MARICOPA",
        "Latitude": parcel.latitude,
        "Longitude": parcel.longitude,
        "Subdivision": head.block.subdivision,
        "Owner": owner.name,
        "Owner2": owner.people[1] if len(owner.people) > 1 else "",
        "OwnershipType": "Trust" if "TRUST" in (owner.name or "") else "Individual",
        "SqFt": area,
        "Beds": random.randint(2, 5) if area else None,
        "Baths": str(random.choice((1, 1.5, 2, 2.5, 3))) if area else None,
        "Stories": random.choice((1, 1, 2)) if area else None,
        "Units": 1,
        "YearBuilt": house.construction_year if house else None,
        "LotSize": str(parcel.lot_size_sqft),
        "Pool": int(bool(house and house.pool_area_sqft)),
        "AVM": avm,
        "AssessedValue": parcel.valuations[0].assessed_limited_property_value,
        "AnnualTaxes": _dollars(parcel.tax_bills[0].assessed_cents) if parcel.tax_bills else None,
        "LastTransferRecDate": parcel.deed.recorded_on.isoformat(),
        "LastTransferValue": parcel.sale.price if parcel.sale else None,
        "LastTransferType": parcel.deed.kind,
        "DelinquentYear": unpaid[-1].tax_year if unpaid else None,
        "DelinquentAmount": _dollars(sum(bill.due_cents for bill in unpaid)) if unpaid else None,
        "ForeclosureStage": None,
        "PhoneAvailability": int(random.random() < 0.7),
        "EmailAvailability": int(random.random() < 0.4),
        "isSameMailingOrExempt": int(is_same),
        "isSiteVacant": int(random.random() < 0.05),
        "isListedForSale": int(random.random() < 0.04),
        "inForeclosure": 0,
        "inTaxDelinquency": int(bool(unpaid)),
        "isDeceasedProperty": int(random.random() < 0.02),
        "inBankruptcyProperty": 0,
    }
    return {**row, **_loan(random, avm)}


def radar_id(seed: int, index: int) -> str:
    """Return a parcel's RadarID; it says nothing of the parcel."""
    return f"P{(index * 2_654_435_761 + seed * 97) % 2**32:08X}"


def all_rows(truth: CountyTruth) -> list[Row]:
    """Return every parcel that the assessor knows, in the county's order."""
    parcels = (truth.parcel(index) for index in range(truth.size))
    return [make_row(truth.seed, one) for one in parcels if one.head.is_in_assessor]


def matching(rows: Iterable[Row], criteria: Any, yesno: str) -> list[Row]:
    """Return the rows that fit all criteria; raise CriteriaError with the API's words."""
    if not isinstance(criteria, list) or not criteria:
        raise CriteriaError("Criteria must be a non-empty array")
    tests = [_test(one, yesno) for one in criteria]
    return [row for row in rows if all(test(row) for test in tests)]


def _test(one: Any, yesno: str) -> Callable[[Row], bool]:
    if not isinstance(one, Mapping) or not {"name", "value"} <= set(one):
        raise CriteriaError("Malformed Criterion")
    name, values = one["name"], one["value"]
    if not isinstance(values, list) or not values:
        raise CriteriaError(f"Invalid value for {name}")
    if name == "PropertyType":
        inner = [_test(nested, yesno) for nested in values]
        return lambda row: any(test(row) for test in inner)
    if name == "County":
        return lambda row: int(row["FIPS"]) in {int(value) for value in values}
    field = _NOT.get(name, name)
    if field not in FIELDS:
        raise CriteriaError(f"Unexpected Criterion {name}")
    if _FLAG.match(field):
        wanted = {_yesno(value, yesno) for value in values}
        return lambda row: (row[field] if field == name else 1 - row[field]) in wanted
    if name in _DATES:
        spans = [_span(value) for value in values]
        return lambda row: row[name] and any(a <= row[name] <= b for a, b in spans)
    if name == "APN":
        starts = tuple(re.sub(r"[-. ]", "", str(value)).upper() for value in values)
        return lambda row: row["APN"].replace("-", "").startswith(starts)
    if any(isinstance(value, list) for value in values):
        return lambda row: any(_is_within(row[name], value) for value in values)
    texts = {str(value).upper() for value in values}
    return lambda row: str(row[name]).upper() in texts


def _yesno(value: object, yesno: str) -> int:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    is_known = value in (0, 1) if is_int else value in ("0", "1")
    if not is_known or yesno == ("texts" if is_int else "ints"):
        raise CriteriaError("Invalid yesno value")
    return int(str(value))


def _span(value: object) -> tuple[str, str]:
    match = _DATE.fullmatch(value) if isinstance(value, str) and value else None
    if match is None:
        raise CriteriaError(f"Invalid date range {value}")
    low, high = match.groups()[:3], match.groups()[3:]
    return (_iso(low) or "0000", _iso(high) or "9999")


def _iso(parts: tuple[str | None, ...]) -> str:
    month, day, year = parts
    if not (month and day and year):
        return ""
    return date(int(year), int(month), int(day)).isoformat()


def _is_within(held: object, span: Any) -> bool:
    if not isinstance(span, list) or len(span) != 2:
        raise CriteriaError(f"Invalid range {span}")
    low, high = span
    if held is None:
        return False
    number = float(str(held))
    return (low is None or number >= low) and (high is None or number <= high)


def _loan(random: Random, avm: int | None) -> Row:
    """Return what is owed on a parcel, in the API's fields."""
    if avm is None or random.random() < 0.35:
        empty = dict.fromkeys(("FirstAmount", "FirstDate", "FirstRate"))
        equity = {"AvailableEquity": avm, "EquityPercent": 100, "CLTV": 0}
        return {**equity, "TotalLoanBalance": 0, "NumberLoans": 0, **empty}
    balance = round(avm * random.uniform(0.1, 0.9))
    taken_on = date(random.randint(2012, 2025), random.randint(1, 12), random.randint(1, 28))
    return {
        "AvailableEquity": avm - balance,
        "EquityPercent": round(100 * (avm - balance) / avm),
        "CLTV": round(100 * balance / avm),
        "TotalLoanBalance": str(balance),
        "NumberLoans": 1,
        "FirstAmount": round(balance * 1.1),
        "FirstDate": taken_on.isoformat(),
        "FirstRate": f"{random.uniform(2.5, 7.5):.3f}",
    }


def _dollars(cents: int) -> str:
    return f"{cents / 100:.2f}"


FIELDS = frozenset(make_row(7, CountyTruth(1, 7).parcel(0)))
"""The names of all fields."""
