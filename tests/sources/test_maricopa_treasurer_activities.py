"""Payments by halves: each payment's own page, and none that is another payment's."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from propkit.demo_county import treasurer_pages as pages
from propkit.demo_county.truth import CountyTruth
from propkit.errors import LayoutChangedError, SessionLostError, SourceUnavailableError
from propkit.records import TaxPaymentHalves
from propkit.sources.maricopa_treasurer_activities import MaricopaTreasurerActivities

if TYPE_CHECKING:
    from collections.abc import Callable

ACTION = "/treasurer/Parcel/Summary.aspx"
TRUTH = CountyTruth(40)
PARCEL = next(p for p in map(TRUTH.parcel, range(40)) if len(p.tax_bills[0].payments) == 2)
OTHER = next(p for p in map(TRUTH.parcel, range(40)) if p.tax_bills[0].payments and p != PARCEL)
BILL, APN = PARCEL.tax_bills[0], PARCEL.head.apn
SUMMARY = pages.summary_page(
    PARCEL, pages.Layout("list", "gvTaxYears"), all_years=False, action=ACTION
)
LIST = pages.activities_page(PARCEL, action=ACTION)


def place(number: int) -> str:
    return f"/Parcel/ActivityDetails.aspx?Year={BILL.tax_year}&Activity={number}"


ANSWERS = {
    f"/Parcel/?Parcel={APN}": SUMMARY,
    "/Parcel/Activities.aspx": LIST,
    **{place(n): pages.activity_page(PARCEL, BILL, n, action=ACTION) for n in (1, 2)},
}


@pytest.fixture
def collect(script: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **more: script(MaricopaTreasurerActivities(), {**ANSWERS, **more})


def test_the_payments_of_the_newest_bill_are_asked_for_one_by_one(
    collect: Callable[..., Any],
) -> None:
    run = collect()

    parsed = run.collect(APN)

    assert run.asked == list(ANSWERS)
    second, first = BILL.payments
    assert parsed.records == tuple(
        TaxPaymentHalves(
            apn=APN,
            tax_year=BILL.tax_year,
            number=number,
            amount=Decimal(payment.cents) / 100,
            first_half_amount=Decimal(payment.cents if number == 2 else 0) / 100,
            second_half_amount=Decimal(payment.cents if number == 1 else 0) / 100,
        )
        for number, payment in enumerate((second, first), start=1)
    )


def test_a_year_of_which_a_payment_is_missing_is_left_out(collect: Callable[..., Any]) -> None:
    parsed = collect(**{place(2): SourceUnavailableError("down")}).collect(APN)

    assert (parsed.records, parsed.missing) == ((), ("tax_payment_halves",))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("1stHalfTotal", "FirstHalf", "no 1stHalfTotal"),
        ('PmtAmountTotal">$', 'PmtAmountTotal">$9', "activity-1: it is of"),
    ],
)
def test_a_page_that_does_not_fit_its_payment_is_a_changed_layout(
    collect: Callable[..., Any], old: str, new: str, said: str
) -> None:
    with pytest.raises(LayoutChangedError, match=said):
        collect(**{place(1): str(ANSWERS[place(1)]).replace(old, new)}).collect(APN)


@pytest.mark.parametrize(
    "link", ["javascript:__doPostBack('a','')", "https://elsewhere.test/a.aspx", ""]
)
def test_a_payment_that_links_no_page_of_the_site_is_a_changed_layout(
    collect: Callable[..., Any], link: str
) -> None:
    href = f"ActivityDetails.aspx?Year={BILL.tax_year}&amp;Activity=1"

    with pytest.raises(LayoutChangedError, match=f"payment 1 on {BILL.tax_year} links no details"):
        collect(**{"/Parcel/Activities.aspx": LIST.replace(href, link)}).collect(APN)


def test_the_page_of_another_parcel_is_a_lost_session(collect: Callable[..., Any]) -> None:
    other = pages.activity_page(OTHER, OTHER.tax_bills[0], 1, action=ACTION)

    with pytest.raises(SessionLostError):
        collect(**{place(2): other}).collect(APN)


def test_a_bill_without_payments_has_no_halves(collect: Callable[..., Any]) -> None:
    unpaid = replace(PARCEL, tax_bills=(replace(BILL, payments=()),))
    run = collect(**{"/Parcel/Activities.aspx": pages.activities_page(unpaid, action=ACTION)})

    parsed = run.collect(APN)

    assert (parsed.is_found, parsed.records, parsed.missing) == (True, (), ())
    assert run.asked == list(ANSWERS)[:2]
