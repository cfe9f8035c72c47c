"""What special districts charge in a tax bill, and who is exempt from how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from propkit.demo_county.parcel import Head, TaxBill

SMALL_BILL_CENTS = 100_00
"""A bill of so much or less is due at once."""

_DISTRICTS = (
    ("11900", "FIRE DISTRICT ASSISTANCE", 9), ("14900", "LIBRARY DISTRICT", 52),
    ("15900", "FLOOD CONTROL DISTRICT", 131), ("30001", "EAST VALLEY INSTITUTE", 47),
    ("28407", "STREET LIGHT IMPROVEMENT 407", 12),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Levy:
    """One special district's share of a bill, in cents."""

    district: str
    name: str
    percent: str
    cents: int
    paid_cents: int


@dataclass(frozen=True, slots=True)
class Installment:
    """A part of a bill, in cents, and the days that the statute sets."""

    number: int
    cents: int
    due_on: date
    delinquent_after: date


def make_levies(head: Head, bill: TaxBill) -> tuple[Levy, ...]:
    """Return the districts over a parcel: two to five, the same for all its years."""
    found = []
    for code, name, thousandths in _DISTRICTS[: 2 + head.index % 4]:
        cents = bill.assessed_cents * thousandths // 1000
        paid = cents * bill.paid_cents // bill.assessed_cents if bill.assessed_cents else 0
        found.append(Levy(code, name, f"{thousandths / 10:.2f}", cents, paid))
    return tuple(found)


def exemption_of(head: Head) -> str | None:
    """Return the exemption of one parcel in seventeen."""
    return "WIDOW EXEMPTION" if head.index % 17 == 3 else None


def make_installments(bill: TaxBill) -> tuple[Installment, ...]:
    """Return a bill's halves, or the whole of a small one."""
    year, cents = bill.tax_year, bill.assessed_cents
    first = _workday(date(year, 10, 1))
    if cents <= SMALL_BILL_CENTS:
        return (Installment(1, cents, first, _workday(date(year, 12, 31))),)
    half = (cents + 1) // 2
    return (
        Installment(1, half, first, _workday(date(year, 11, 1))),
        Installment(
            2, cents - half, _workday(date(year + 1, 3, 1)), _workday(date(year + 1, 5, 1))
        ),
    )


def make_halves(bill: TaxBill) -> tuple[tuple[int, int], ...]:
    """Return what of each payment went to the first half and to the second, in cents.

    The first half is paid before the second, by the oldest payment: the last of the page.
    """
    left = (bill.assessed_cents + 1) // 2
    found = []
    for payment in reversed(bill.payments):
        first = min(left, payment.cents)
        left -= first
        found.append((first, payment.cents - first))
    return tuple(reversed(found))


def _workday(day: date) -> date:
    return day + timedelta(days=(0, 0, 0, 0, 0, 2, 1)[day.weekday()])
