"""What a parcel is worth to the assessor: five or six years under Arizona's rules.

The limited value grows by 5 % a year and never exceeds the full cash value.
"""

from __future__ import annotations

from random import Random

from propkit.demo_county import draw, facts
from propkit.demo_county.parcel import Residence, Valuation

NEWEST_YEAR = 2025
_OLDEST_YEAR = 2020


def make_valuations(
    random: Random, property_type: str, residence: Residence | None, *, is_rental: bool
) -> tuple[Valuation, ...]:
    """Return a parcel's values, newest tax year first, with what the county withholds as None."""
    full = _start_value(random, property_type, residence)
    limited = round(full * random.uniform(0.45, 0.95))
    oldest = _OLDEST_YEAR + (random.random() < 0.3)
    changed_class_in = NEWEST_YEAR if random.random() < 0.05 else None
    is_pending, is_withheld = random.random() < 0.012, random.random() < 0.006
    years: list[Valuation] = []
    for year in range(_OLDEST_YEAR, NEWEST_YEAR + 1):
        if year > _OLDEST_YEAR:
            full = round(full * random.uniform(0.97, 1.13) / 100) * 100
            limited = min(full, (limited * 105 + 50) // 100)
        if year < oldest:
            continue
        code, description, ratio = _class_of(property_type, year, is_rental=is_rental)
        if year == changed_class_in and code == "3.1":
            code, description = "4.1", "NON-PRIMARY/NOT IN OTHER CLASSES RESID"
        pending = is_pending and year == NEWEST_YEAR
        no_full = pending or (is_withheld and year == oldest)
        years.append(
            Valuation(
                tax_year=year,
                full_cash_value=None if no_full else full,
                limited_property_value=None if pending else limited,
                class_code=code,
                class_description=description,
                ratio=ratio,
                assessed_full_cash_value=(
                    _assessed(full, ratio) if random.random() < 0.1 and not no_full else None
                ),
                assessed_limited_property_value=None if pending else _assessed(limited, ratio),
                source="Notice" if random.random() < 0.95 else "Board of Equalization",
                is_pending_change=pending,
            )
        )
    return tuple(reversed(years))


def _start_value(random: Random, property_type: str, residence: Residence | None) -> int:
    if residence and residence.livable_area_sqft:
        value = residence.livable_area_sqft * random.uniform(90, 210)
    elif property_type.startswith(("VACANT", "ASSOCIATED")):
        value = draw.at_quantile(facts.SALE_PRICE, random.random() * 0.8) * 0.3
    else:
        value = draw.at_quantile(facts.SALE_PRICE, 0.5 + random.random() * 0.5) * 2
    return max(500, round(value / 100) * 100)


def _class_of(property_type: str, year: int, *, is_rental: bool) -> tuple[str, str, str]:
    if property_type in facts.BUSINESS_TYPES:
        return "1.12", "COMMERCIAL / OTHER R/P", facts.BUSINESS_RATIOS[year]
    if property_type == "PUBLIC FACILITY":
        return "M", "MIXED", "0.1070"
    if property_type.startswith(("VACANT", "ASSOCIATED")):
        return "2.R", "VACANT LAND / NON-PROFIT R/P", "0.1500"
    if is_rental:
        return "4.2", "RENTED RESIDENTIAL", "0.1000"
    return "3.1", "PRIMARY RESIDENCE", "0.1000"


def _assessed(value: int, ratio: str) -> int:
    return (value * int(ratio.replace(".", "")) + 5000) // 10000
