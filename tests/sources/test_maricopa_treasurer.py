"""What the treasurer's source asks for, that it notices another parcel, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from propkit.errors import (
    InvalidAnswerError,
    LayoutChangedError,
    SessionLostError,
    SourceBlockedError,
    SourceTimeoutError,
    SourceUnavailableError,
)
from propkit.records import TaxBill, TaxPayment
from propkit.sources import Parsed
from propkit.sources.maricopa_treasurer import MaricopaTreasurer

SAVED = Path(__file__).parent / "maricopa_treasurer"
APN = "30477566"
FIRST, SUMMARY = f"/Parcel/?Parcel={APN}", "/Parcel/Summary.aspx"
YEARS, ACTIVITIES = "/Parcel/Summary.aspx?List=All", "/Parcel/Activities.aspx"
FORM = (
    "<html><body><h3 class='panel-header'>Parcel Search</h3><input id='txtParcelNumBook'>"
    "</body></html>"
)

Make = Callable[..., Any]


def _saved(case: str, name: str) -> str:
    return (SAVED / case / f"{name}.html").read_text("utf-8")


GOOD = {
    FIRST: _saved("list_block_and_back_taxes", "parcel"),
    YEARS: _saved("list_block_and_back_taxes", "years"),
    ACTIVITIES: _saved("list_block_and_back_taxes", "activities"),
}


@pytest.fixture
def treasurer(script: Make) -> Callable[[dict[str, object]], Any]:
    return lambda answers: script(MaricopaTreasurer(), answers)


def _changed(name: str, old: str, new: str) -> dict[str, object]:
    assert old in GOOD[name]
    return {**GOOD, name: GOOD[name].replace(old, new)}


def _bills(parsed: Parsed) -> dict[int, TaxBill]:
    return {bill.tax_year: bill for bill in parsed.records if isinstance(bill, TaxBill)}


def test_a_parcel_is_three_pages(treasurer: Make) -> None:
    run = treasurer(GOOD)

    run.collect("304-77-566")

    assert run.asked == [FIRST, YEARS, ACTIVITIES]


def test_the_summary_is_asked_for_where_the_first_page_is_not_it(treasurer: Make) -> None:
    landing = "<html><body><p>Choose a page.</p></body></html>"
    run = treasurer({**GOOD, FIRST: landing, SUMMARY: GOOD[FIRST]})

    parsed = run.collect(APN)

    assert run.asked == [FIRST, SUMMARY, YEARS, ACTIVITIES]
    assert parsed == treasurer(GOOD).collect(APN)


@pytest.mark.parametrize("status", [200, 404])
def test_no_records_is_no_such_parcel(treasurer: Make, page: Make, status: int) -> None:
    run = treasurer({FIRST: page(_saved("unknown_parcel", "parcel"), status=status)})

    assert run.collect(APN) == Parsed(is_found=False)
    assert run.asked == [FIRST]


def test_no_records_in_a_page_of_the_parcel_is_not_no_such_parcel(treasurer: Make) -> None:
    answers = _changed(ACTIVITIES, "cphMainContent_cphRightColumn_Activities1_gvActs", "gone")
    body = str(answers[ACTIVITIES]).replace("</form>", "<p>No records found.</p></form>")

    parsed = treasurer({**answers, ACTIVITIES: body}).collect(APN)

    assert parsed.is_found
    assert parsed.missing == ()
    assert not [one for one in parsed.records if isinstance(one, TaxPayment)]


def test_no_records_beside_the_header_of_the_parcel_is_not_no_such_parcel(treasurer: Make) -> None:
    answers = _changed(FIRST, "</form>", "<p>Special districts: no records found.</p></form>")

    assert treasurer(answers).collect(APN) == treasurer(GOOD).collect(APN)


@pytest.mark.parametrize("name", [FIRST, YEARS, ACTIVITIES])
@pytest.mark.parametrize("other", ["304-77-567", "304-77-566A", "304-77-566 B"])
def test_a_page_of_another_parcel_is_a_lost_session(treasurer: Make, name: str, other: str) -> None:
    with pytest.raises(SessionLostError, match="not 30477566"):
        treasurer(_changed(name, "304-77-566", other)).collect(APN)


@pytest.mark.parametrize("name", [FIRST, YEARS, ACTIVITIES])
def test_the_search_form_in_place_of_a_page_is_a_lost_session(treasurer: Make, name: str) -> None:
    with pytest.raises(SessionLostError):
        treasurer({**GOOD, name: FORM}).collect(APN)


def test_payments_without_a_header_are_taken(treasurer: Make) -> None:
    body = GOOD[ACTIVITIES].replace(" 304-77-566", "").replace("OWNER", "RECEIPT 20251005")

    parsed = treasurer({**GOOD, ACTIVITIES: body}).collect(APN)

    assert parsed == treasurer(GOOD).collect(APN)


@pytest.mark.parametrize(("name", "table"), [(YEARS, "tax_bills"), (ACTIVITIES, "tax_payments")])
@pytest.mark.parametrize(
    "error",
    [SourceUnavailableError("down"), SourceTimeoutError("silence"), InvalidAnswerError("cut")],
    ids=lambda error: error.failure_class,
)
def test_a_failed_page_leaves_its_table_out(
    treasurer: Make, name: str, table: str, error: Exception
) -> None:
    assert treasurer({**GOOD, name: error}).collect(APN).missing == (table,)


@pytest.mark.parametrize("name", [FIRST, YEARS, ACTIVITIES])
def test_a_block_ends_the_item(treasurer: Make, name: str) -> None:
    with pytest.raises(SourceBlockedError):
        treasurer({**GOOD, name: SourceBlockedError("captcha")}).collect(APN)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (FIRST, "taxDue2", "taxDue9"),
        (FIRST, "2025 Assessed Tax", "2025 Levy"),
        (FIRST, "2025 Tax Paid", "2025 Total Due"),
        (YEARS, "divBackTaxes", "divOther"),
        (YEARS, "$2,300.00", "soon"),
        (YEARS, "Tax Year", "Number"),
        (YEARS, "<th>Assessed Tax</th>", "<th>Charge</th>"),
        (YEARS, "<th>Status</th>", "<th>Amount Due</th>"),
        (YEARS, "Available Tax Lien: Pay with Certified Funds", "Something new"),
        (YEARS, ">2024<", ">2025<"),
        (ACTIVITIES, "gvActs", "gvNew"),
        (ACTIVITIES, "$1,150.00", "lots"),
        (ACTIVITIES, "10/03/2024", "autumn"),
        (ACTIVITIES, "<td>2022</td>", "<td>Page 2</td>"),
        (ACTIVITIES, "<td>10/05/2025</td>", ""),
    ],
)
def test_what_is_not_understood_is_a_changed_layout(
    treasurer: Make, name: str, old: str, new: str
) -> None:
    answers = _changed(name, old, new)
    if name == FIRST and old == "taxDue2":
        body = str(answers[name]).replace("block-grid", "other")
        answers |= {name: body, SUMMARY: body}

    with pytest.raises(LayoutChangedError):
        treasurer(answers).collect(APN)


@pytest.mark.parametrize(
    "block",
    [
        (
            '<ul class="block-grid"><li>2025 Assessed Tax $10.00</li><li>2025 Tax Paid $4.00</li>'
            "<li>2025 Total Due $6.00</li></ul>"
        ),
        (
            '<table id="cphMainContent_cphRightColumn_taxDue1"><tr><td>2025 Assessed Tax</td><td>$10.00</td></tr><tr><td>Paid</td>'
            "<td>$4.00</td></tr><tr><td>Interest Due</td><td>$0.00</td></tr><tr><td>Total Due</td>"
            "<td>$6.00</td></tr></table>"
        ),
        (
            '<ul id="cphMainContent_cphRightColumn_taxDue2"><li></li><li></li><li>$10.00</li><li></li><li>$4.00</li><li></li>'
            "<li>$6.00</li></ul>"
        ),
    ],
    ids=["a cell each", "with interest", "without labels"],
)
def test_the_tax_due_block_is_read_in_each_form(treasurer: Make, block: str) -> None:
    head = f'<h3 id="cphMainContent_cphRightColumn_headerSummary">Tax Summary {APN}</h3>'
    years = '<table id="cphMainContent_cphRightColumn_gvTaxYears"><tr><td>2025</td><td>Unpaid</td></tr></table>'
    summary = f"<html><body>{head}{block}{years}</body></html>"

    bill = _bills(treasurer({**GOOD, FIRST: summary, YEARS: summary}).collect(APN))[2025]

    assert (bill.assessed_tax, bill.amount_paid, bill.amount_due) == (
        Decimal("10.00"),
        Decimal("4.00"),
        Decimal("6.00"),
    )


def test_a_block_without_a_year_must_agree_with_the_newest_year(treasurer: Make) -> None:
    unlabelled = _saved("payments_not_to_be_had", "parcel")

    with pytest.raises(LayoutChangedError, match="is not that of 2025"):
        treasurer({**_changed(YEARS, "$2,345.68", "$9.00"), FIRST: unlabelled}).collect(APN)


def test_a_current_year_that_the_table_lacks_has_a_bill(treasurer: Make) -> None:
    answers = {**GOOD, FIRST: GOOD[FIRST].replace("2025 ", "2026 ")}

    bills = _bills(treasurer(answers).collect(APN))

    assert list(bills) == [2026, 2025, 2024, 2023, 2022]
    assert bills[2025].amount_paid is None


def test_columns_are_found_by_their_headers(treasurer: Make) -> None:
    row = "<tr><td>$5.00</td><td>2025</td><td>$10.00</td><td>n/a</td><td>Paid</td></tr>"
    head = "<th>Total Due</th><th>Year</th><th>Tax Assessed</th><th>Note</th><th>Status</th>"
    table = f'<table id="cphMainContent_cphRightColumn_gvTaxYears"><thead><tr>{head}</tr></thead>{row}</table>'
    page = f"<html><body><div class='parcel-num'>304-77-566</div>{table}</body></html>"

    bill = _bills(treasurer({**GOOD, YEARS: page}).collect(APN))[2025]

    assert (bill.status, bill.assessed_tax, bill.amount_due) == (
        "Paid",
        Decimal("10.00"),
        Decimal("5.00"),
    )
