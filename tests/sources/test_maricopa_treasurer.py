"""What the treasurer's source asks for, that it notices another parcel, and what it refuses."""

from __future__ import annotations

import re
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
from propkit.record_block import Emptied
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


def test_a_year_without_payments_has_none_any_more(treasurer: Make) -> None:
    """Of years before the first payment that is listed nothing is known."""
    bounced = re.sub(r"<tr><td>2024</td>.*?</tr>", "", GOOD[ACTIVITIES])

    parsed = treasurer(GOOD).collect(APN)
    assert {one.tax_year for one in parsed.records if isinstance(one, TaxPayment)} == {
        *(2022, 2024, 2025)
    }
    assert parsed.emptied == (Emptied("tax_payments", APN, 2023),)
    gone = treasurer({**GOOD, ACTIVITIES: bounced}).collect(APN)
    assert gone.emptied == tuple(Emptied("tax_payments", APN, year) for year in (2023, 2024))
    none = treasurer({**GOOD, ACTIVITIES: NO_PAYMENTS}).collect(APN)
    assert none.emptied == (Emptied("tax_payments", APN),)
    down = treasurer({**GOOD, ACTIVITIES: SourceUnavailableError("down")}).collect(APN)
    assert down.emptied == ()


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


def test_no_records_beside_the_taxes_is_not_no_such_parcel(treasurer: Make) -> None:
    answers = _changed(FIRST, "</form>", "<p>Special districts: no records found.</p></form>")
    body = str(answers[FIRST]).replace("headerSummary", "other").replace("panel-header", "other")

    assert treasurer({**answers, FIRST: body}).collect(APN) == treasurer(GOOD).collect(APN)


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
        (FIRST, "2025 Tax Paid", "2025 Total Due"),
        (YEARS, "divBackTaxes", "divOther"),
        (YEARS, "$2,300.00", "soon"),
        (YEARS, "<td>Paid</td>", "<td>$5.00</td>"),
        (YEARS, "<td>Paid</td>", ""),
        (YEARS, "<th>Assessed Tax</th>", "<th>Interest</th>"),
        (YEARS, "<th>Assessed Tax</th>", "<th>Tax Year</th><th>Tax Year</th>"),
        (YEARS, "<th>Status</th><th>Assessed Tax</th>", "<th>Assessed Tax Status</th>"),
        (YEARS, "<th>Status</th>", "<th>Amount Due</th><th>Kind</th><th>Sort</th>"),
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
    assert _due(treasurer, block) == (Decimal("10.00"), Decimal("4.00"), Decimal("6.00"))


HEADER = "<tr><th>Tax Year</th><th>Status</th><th>Assessed Tax</th><th>Amount Due</th></tr>"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "<tr><th colspan=4>All Tax Years</th></tr>",
        "<tr><th>All Tax Years</th></tr>",
        "<tr><td colspan=4>Back taxes</td></tr>",
        "<tr><th></th><th></th><th></th><th></th></tr>",
        "<tr><td>Tax Year</td><td>Payment Status</td><td>Tax Amount</td><td>Balance</td></tr>",
        "<tr><td>Period</td><td>Kind</td><td>Levy</td><td>Open</td></tr>",
        "<tr><th>Number</th><th>Amount Due</th><th>Charge</th><th>Amount Due</th></tr>",
        "<tr><th>Tax Year</th><th colspan=3>Details</th></tr>",
        "<tr><th>Tax Year</th><th>Payment</th><th>Assessed Tax</th><th>Amount Due</th></tr>",
        "<tr><th>Tax Year</th><th>Paid?</th><th>Tax</th><th>To Pay</th></tr>",
        HEADER + "<tr><th></th><th></th><th></th><th></th></tr>",
    ],
)
def test_years_are_read_by_their_places_where_words_do_not_tell(
    treasurer: Make, header: str
) -> None:
    assert treasurer(_changed(YEARS, HEADER, header)).collect(APN) == treasurer(GOOD).collect(APN)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "<tr><th>&nbsp;</th><th></th><th></th><th></th><th></th></tr>",
        "<tr><td>Tax Yr</td><td>Type</td><td>Paid</td><td>Half</td><td>Posted</td></tr>",
        "<tr><th>Year</th><th>Activity</th><th>Amount</th><th>Amount By</th><th>Date</th></tr>",
        "<tr><td>Period</td><td>Kind</td><td>Sum</td><td>By</td><td>On</td></tr>",
    ],
)
def test_payments_are_read_by_their_places_where_words_do_not_tell(
    treasurer: Make, header: str
) -> None:
    answers = _changed(ACTIVITIES, "<tbody>", f"<tbody>{header}")

    assert treasurer(answers).collect(APN) == treasurer(GOOD).collect(APN)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        (YEARS, "<table id='cphMainContent_cphRightColumn_gvTaxYears'>"),
        (ACTIVITIES, "<table id='cphMainContent_cphRightColumn_Activities1_gvActs'>"),
    ],
)
def test_words_alone_in_a_table_are_not_an_empty_table(
    treasurer: Make, name: str, table: str
) -> None:
    body = f"<html><body>304-77-566{table}<tr><td>Come back later</td></tr></table></body></html>"

    with pytest.raises(LayoutChangedError, match="Come back later"):
        treasurer({**GOOD, name: body}).collect(APN)


def _years_page(header: str, cells: str) -> str:
    top, row = ("".join(f"<td>{cell}</td>" for cell in line.split(",")) for line in (header, cells))
    rows = f"<tr>{top}</tr><tr><th></th><th></th><th></th></tr><tr>{row}</tr>"
    table = f"<table id='cphMainContent_cphRightColumn_gvTaxYears'>{rows}</table>"
    return f"<html><body><h3 class='parcel-num'>{APN}</h3>{table}</body></html>"


@pytest.mark.parametrize(
    ("header", "cells", "message"),
    [
        ("Tax Year,Balance,Tax,Kind,Sort", "2025,$5.00,$10.00,Paid,x", "no column for"),
        ("Tax Year,Status,Assessed Tax Due", "2025,Paid,$10.00", "one column for two"),
    ],
)
def test_columns_that_words_leave_open_are_a_changed_layout(
    treasurer: Make, header: str, cells: str, message: str
) -> None:
    with pytest.raises(LayoutChangedError, match=message):
        treasurer({**GOOD, YEARS: _years_page(header, cells)}).collect(APN)


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("Tax Year,Status,Amount Due,Assessed Tax", "2025,Paid,$5.00,$10.00"),
        ("Tax Year,Balance,Status,Charge", "2025,$5.00,Paid,$10.00"),
        ("Tax Year,Assessed Tax,Amount Due,Note,Status", "2025,$10.00,$5.00,,Paid"),
        ("Tax Year,Status,Tax,Paid,Balance", "2025,Paid,$10.00,$7.00,$5.00"),
    ],
)
def test_columns_stand_where_clear_words_put_them(treasurer: Make, header: str, cells: str) -> None:
    bill = _bills(treasurer({**GOOD, YEARS: _years_page(header, cells)}).collect(APN))[2025]

    assert (bill.status, bill.assessed_tax, bill.amount_due) == (
        "Paid",
        Decimal("10.00"),
        Decimal("5.00"),
    )


def _block(labels: str, amounts: str) -> str:
    cells = "".join(
        f"<li>{label}</li><li>{amount}</li>"
        for label, amount in zip(labels.split(","), amounts.split(","), strict=True)
    )
    return f"<ul id='cphMainContent_cphRightColumn_taxDue2'>{cells}</ul>"


def _due(treasurer: Make, block: str) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    head = f'<h3 id="cphMainContent_cphRightColumn_headerSummary">Tax Summary {APN}</h3>'
    years = '<table id="cphMainContent_cphRightColumn_gvTaxYears"><tr><td>2025</td><td>Unpaid</td></tr></table>'
    summary = f"<html><body>{head}{block}{years}</body></html>"
    bill = _bills(treasurer({**GOOD, FIRST: summary, YEARS: summary}).collect(APN))[2025]
    return bill.assessed_tax, bill.amount_paid, bill.amount_due


@pytest.mark.parametrize(
    ("labels", "amounts"),
    [
        ("Tax,Payments,Balance", "$10.00,$4.00,$6.00"),
        (":,:,:", "$10.00,$4.00,$6.00"),
        ("Levy,Credits,Rest", "$10.00,$4.00,$6.00"),
        ("Balance,Payments,Tax", "$6.00,$4.00,$10.00"),
        ("Total Due,Assessed Tax,Tax Paid", "$6.00,$10.00,$4.00"),
        ("Assessed Tax,Tax Paid,Refund,Total Due", "$10.00,$4.00,$1.00,$6.00"),
        ("Tax,Payments,Interest,Balance incl. interest", "$10.00,$4.00,$1.00,$6.00"),
    ],
)
def test_the_tax_due_block_is_read_by_place_and_clear_words(
    treasurer: Make, labels: str, amounts: str
) -> None:
    assert _due(treasurer, _block(labels, amounts)) == (
        Decimal("10.00"),
        Decimal("4.00"),
        Decimal("6.00"),
    )


@pytest.mark.parametrize(
    ("labels", "amounts"),
    [
        ("Payments,Tax,Rest", "$4.00,$10.00,$6.00"),
        ("One,Two", "$10.00,$4.00"),
        ("One,Two,Three,Four", "$10.00,$4.00,$6.00,$1.00"),
    ],
)
def test_a_tax_due_block_that_nothing_tells_is_a_changed_layout(
    treasurer: Make, labels: str, amounts: str
) -> None:
    with pytest.raises(LayoutChangedError, match="unknown tax-due block"):
        _due(treasurer, _block(labels, amounts))


@pytest.mark.parametrize("name", [YEARS, ACTIVITIES])
def test_renamed_ids_are_a_changed_layout(treasurer: Make, name: str) -> None:
    with pytest.raises(LayoutChangedError, match="no table"):
        treasurer(_changed(name, "cphMainContent_cphRightColumn_", "cphMain_cphRC_")).collect(APN)


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


# --- which parcel a page is about, where it does not say it plainly -----------------------------

SPLIT = "<span>304</span>-<span>77</span>-<span>566</span>"


@pytest.mark.parametrize("name", [FIRST, YEARS, ACTIVITIES])
def test_a_number_may_be_split_by_tags(treasurer: Make, name: str) -> None:
    answers = _changed(name, "304-77-566", SPLIT)

    assert treasurer(answers).collect(APN) == treasurer(GOOD).collect(APN)


@pytest.mark.parametrize("name", [FIRST, YEARS, ACTIVITIES])
def test_another_number_split_by_tags_is_a_lost_session(treasurer: Make, name: str) -> None:
    body = GOOD[name].replace(' id="cphMainContent_cphRightColumn_headerSummary"', "")
    body = body.replace("panel-header", "plain").replace("304-77-566", SPLIT.replace("566", "567"))

    with pytest.raises(SessionLostError, match="about 30477567, not 30477566"):
        treasurer({**GOOD, name: body}).collect(APN)


@pytest.mark.parametrize("name", [YEARS, ACTIVITIES])
def test_a_later_page_with_its_table_need_not_name_the_parcel(treasurer: Make, name: str) -> None:
    answers = _changed(name, "304-77-566", "of all years")

    assert treasurer(answers).collect(APN) == treasurer(GOOD).collect(APN)


def test_the_summary_must_name_the_parcel(treasurer: Make) -> None:
    with pytest.raises(SessionLostError, match="about no parcel"):
        treasurer(_changed(FIRST, "304-77-566", "")).collect(APN)


def test_a_page_that_says_only_that_there_are_no_activities_is_taken(treasurer: Make) -> None:
    page = "<html><body><h3>Activities</h3><p>No activities found.</p></body></html>"

    parsed = treasurer({**GOOD, ACTIVITIES: page}).collect(APN)

    assert parsed.missing == ()
    assert not [one for one in parsed.records if isinstance(one, TaxPayment)]


@pytest.mark.parametrize("name", [YEARS, ACTIVITIES])
def test_no_records_in_a_later_page_without_a_parcel_is_a_lost_session(
    treasurer: Make, name: str
) -> None:
    page = "<html><body><p>No records found.</p></body></html>"

    with pytest.raises(SessionLostError, match="about no parcel"):
        treasurer({**GOOD, name: page}).collect(APN)


# --- a parcel without any tax -------------------------------------------------------------------

NAMED = "<html><body><h3 class='parcel-num'>304-77-566</h3>{}</body></html>"
NO_PAYMENTS = NAMED.format("<p>No activities found.</p>")
EMPTY_TABLE = "<div id='cphMainContent_cphRightColumn_divBackTaxes'><table>{}</table></div>"


@pytest.mark.parametrize(
    "content",
    [
        EMPTY_TABLE.format("<tr><td colspan=4>No tax years to display.</td></tr>"),
        EMPTY_TABLE.format(HEADER),
        EMPTY_TABLE.format(""),
        "<p>There are no tax bills for this parcel.</p>",
        "<p>No records to display.</p>",
        _block("Assessed Tax,Tax Paid,Total Due", "$0.00,$0.00,$0.00") + EMPTY_TABLE.format(HEADER),
    ],
)
def test_a_parcel_without_any_tax_has_no_bills(treasurer: Make, content: str) -> None:
    page = NAMED.format(content)
    answers = {FIRST: page, SUMMARY: page, YEARS: page, ACTIVITIES: NO_PAYMENTS}

    assert treasurer(answers).collect(APN) == Parsed(emptied=(Emptied("tax_payments", APN),))


@pytest.mark.parametrize(
    ("summary", "years"),
    [
        ("<p>All new.</p>", "<p>All new.</p>"),
        ("<p>Total: $5.00. No tax bills online.</p>", EMPTY_TABLE.format("")),
        ("<p>All new.</p>", "<p>Total: $5.00. No tax bills online.</p>"),
        ("", EMPTY_TABLE.format("<tr><td>2025</td><td>Paid</td></tr>")),
        (EMPTY_TABLE.format("<tr><td>2025</td><td>Paid</td></tr>"), "<p>All new.</p>"),
        (
            _block("Assessed Tax,Tax Paid,Total Due", "$1.00,$0.00,$1.00"),
            EMPTY_TABLE.format(HEADER),
        ),
        (
            _block("2025 Assessed Tax,Tax Paid,Total Due", "$1.00,$0.00,$1.00")
            + EMPTY_TABLE.format("<tr><td>2025</td><td>Paid</td></tr>"),
            EMPTY_TABLE.format(HEADER),
        ),
    ],
)
def test_a_page_that_does_not_say_it_has_no_tax_is_a_changed_layout(
    treasurer: Make, summary: str, years: str
) -> None:
    first = NAMED.format(summary)
    answers = {FIRST: first, SUMMARY: first, YEARS: NAMED.format(years), ACTIVITIES: NO_PAYMENTS}

    with pytest.raises(LayoutChangedError):
        treasurer(answers).collect(APN)


def test_a_missing_page_is_named_once(treasurer: Make) -> None:
    payload = treasurer({**GOOD, YEARS: SourceUnavailableError("years: HTTP 500")}).fetch(APN)

    assert payload.missing == {"years": "HTTP 500"}
