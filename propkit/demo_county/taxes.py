"""What was charged and paid: bills of three to eight years, halves, arrears and liens."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from propkit.demo_county.parcel import TaxBill, TaxPayment, Valuation

CURRENT_YEAR = 2025
_PAYERS = ("MORTGAGE SERVICER", "OWNER", "E-CHECK", "ESCROW AGENT")


def make_tax_bills(random: Random, valuations: tuple[Valuation, ...]) -> tuple[TaxBill, ...]:
    """Return a parcel's tax bills, newest year first."""
    known = [v.assessed_limited_property_value for v in valuations]
    base = next((value for value in known if value), 1000)
    rate = random.uniform(0.08, 0.14)
    years = random.randint(3, 8)
    arrears = _years_unpaid(random, years)
    is_sold_lien = random.random() < 0.6
    bills = []
    for age in range(years):
        cents = max(1250, round(base * rate * 100 * 0.97**age))
        year = CURRENT_YEAR - age
        if age in arrears:
            bills.append(_unpaid(year, cents, age, is_sold_lien=is_sold_lien))
        elif age == 0 and random.random() < 0.12:
            bills.append(_half_paid(random, year, cents))
        else:
            bills.append(_paid(random, year, cents))
    return tuple(bills)


def _years_unpaid(random: Random, years: int) -> frozenset[int]:
    kind = random.random()
    if kind < 0.05:
        return frozenset({0})
    if kind < 0.07:
        return frozenset(range(min(years, random.randint(2, 4))))
    if kind < 0.08:
        return frozenset({1})
    return frozenset()


def _unpaid(year: int, cents: int, age: int, *, is_sold_lien: bool) -> TaxBill:
    interest = cents * 16 * age // 100
    note = ""
    if age >= 1:
        note = "Tax Lien: Pay with Certified Funds" if is_sold_lien else "Available Tax Lien"
    due = cents + interest
    return TaxBill(year, "Unpaid", cents, 0, due, has_lien=age >= 1, lien_note=note)


def _half_paid(random: Random, year: int, cents: int) -> TaxBill:
    first = (cents + 1) // 2
    payment = TaxPayment(year, _day(random, date(year, 10, 1)), first, random.choice(_PAYERS))
    return TaxBill(year, "Partially Paid", cents, first, cents - first, (payment,))


def _paid(random: Random, year: int, cents: int) -> TaxBill:
    first, second = (cents + 1) // 2, cents // 2
    payer, other = random.choice(_PAYERS), random.choice(_PAYERS)
    autumn, spring = _day(random, date(year, 10, 1)), _day(random, date(year + 1, 3, 1))
    kind = random.random()
    if kind < 0.08:
        payments: tuple[TaxPayment, ...] = ()
    elif kind < 0.40:
        payments = (TaxPayment(year, autumn, cents, payer),)
    elif kind < 0.50:
        # Both halves on one day: equal amounts whenever the tax is an even number of cents.
        cents = first * 2
        payments = (TaxPayment(year, autumn, first, payer), TaxPayment(year, autumn, first, payer))
    else:
        payments = (
            TaxPayment(year, spring, second, other),
            TaxPayment(year, autumn, first, payer),
        )
    return TaxBill(year, "Paid", cents, cents, 0, payments)


def _day(random: Random, due_on: date) -> date:
    return due_on + timedelta(days=random.randint(-10, 30))
