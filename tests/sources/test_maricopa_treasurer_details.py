"""The treasurer's further pages: asked only where they are named, at the cost that was planned."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from propkit.demo_county import treasurer_pages
from propkit.demo_county.truth import CountyTruth
from propkit.errors import LayoutChangedError
from propkit.kinds import ALL_DATASETS, DATASETS, EXTRA_DATASETS
from propkit.records import TaxInstallment
from propkit.sources._treasurer_details import find_details, read_details, read_tax_valuations
from tests.collecting import in_order, quick_kit, table_as_truth
from tests.store.made import page

if TYPE_CHECKING:
    from pathlib import Path

    from propkit.demo_county import County
    from propkit.pages import Page

SOURCE = "maricopa_treasurer_details"
ACTION = "/treasurer/Parcel/Summary.aspx"


def as_page(text: str, name: str = "details") -> Page:
    return replace(page(text.encode(), name=name), content_type="text/html")


def details_of(cents: int, **more: str) -> Page:
    """Return the tax details of a parcel whose bill comes to so much; ``more`` is replaced."""
    parcel = CountyTruth(50).parcel(4)
    bill = replace(parcel.tax_bills[0], assessed_cents=cents, paid_cents=0)
    text = treasurer_pages.details_page(parcel, bill, action=ACTION)
    for old, new in more.items():
        text = text.replace(old, new)
    return as_page(text)


def installments(details: Page) -> list[TaxInstallment]:
    found = read_details("1", details, None).records
    return [record for record in found if isinstance(record, TaxInstallment)]


def test_all_further_pages_are_as_the_county_has_them(county: County, tmp_path: Path) -> None:
    """Every value of each table equals the truth, and what was planned is what was asked."""
    apns = county.apns(60)
    with quick_kit(county, tmp_path / "details.duckdb") as kit:
        plan = kit.plan(apns, datasets=EXTRA_DATASETS)
        report = kit.collect(plan, progress=False)
        truth = county.truth(apns, details=True)
        found = {table: table_as_truth(kit, table) for table in EXTRA_DATASETS}

    known = len(truth["tax_statements"])
    paid = len(truth["tax_payment_halves"])
    assert found == {table: in_order(truth[table]) for table in EXTRA_DATASETS}
    assert {table: bool(rows) for table, rows in found.items()} == dict.fromkeys(found, True)
    assert report.totals == {"done": 2 * known, "not_found": 2 * (len(apns) - known)}
    assert sum(plan.requests.values()) == (5 + 5) * len(apns)
    # One that the treasurer does not know is settled with the first page and its redirect.
    unknown = 2 * 2 * (len(apns) - known)
    assert len(county.ledger("treasurer")) == (5 + 3) * known + paid + unknown
    assert county.ledger("assessor") == []


def test_nothing_of_it_is_asked_unless_it_is_named(county: County, tmp_path: Path) -> None:
    with quick_kit(county, tmp_path / "default.duckdb") as kit:
        plain, taxes = kit.plan(county.apns(3)), kit.plan(county.apns(3), kind="taxes")
        named = kit.plan(county.apns(3), datasets=[*DATASETS, "tax_levies"])

    assert SOURCE not in {item.source for item in (*plain.items, *taxes.items)}
    assert SOURCE in {item.source for item in named.items}
    assert (*DATASETS, *EXTRA_DATASETS) == ALL_DATASETS


def test_liens_are_the_bills_own(county: County, tmp_path: Path) -> None:
    """They come with the bills, at no request more, and say whether they can be had."""
    apns = county.apns(150)
    with quick_kit(county, tmp_path / "liens.duckdb") as kit:
        kit.collect(apns, datasets=["tax_bills"], progress=False)
        frame = kit.frame("tax_liens")
        first = frame["apn"][0]
        kit.store.writer.submit(  # type: ignore[attr-defined]
            lambda connection: connection.execute(
                "UPDATE tax_bills SET has_tax_lien = false WHERE apn = ?", [first]
            )
        ).result()
        paid_off = kit.frame("tax_liens")

    bills = [bill for bill in county.truth(apns)["tax_bills"] if bill["has_tax_lien"]]
    assert [
        (row.apn, row.tax_year, row.is_available, row.note, str(row.amount_due))
        for row in frame.itertuples()
    ] == sorted(
        (
            bill["apn"],
            bill["tax_year"],
            "Available" in bill["tax_lien_note"],
            bill["tax_lien_note"],
            bill["amount_due"],
        )
        for bill in bills
    )
    assert {True, False} == set(frame["is_available"])
    assert set(paid_off["apn"]) == set(frame["apn"]) - {first}


@pytest.mark.parametrize(
    ("cents", "expected"),
    [
        pytest.param(
            100_00,
            [(1, Decimal("100.00"), date(2025, 10, 1), date(2025, 12, 31))],
            id="a bill of $100 is due at once",
        ),
        pytest.param(
            100_01,
            [
                (1, Decimal("50.01"), date(2025, 10, 1), date(2025, 11, 3)),
                (2, Decimal("50.00"), date(2026, 3, 2), date(2026, 5, 1)),
            ],
            id="a larger one in halves; 1 November 2025 and 1 March 2026 are on a weekend",
        ),
        pytest.param(0, [], id="no tax, no halves"),
    ],
)
def test_halves_have_the_days_of_the_statute(
    cents: int, expected: list[tuple[int, Decimal, date, date]]
) -> None:
    found = installments(details_of(cents))

    assert [(i.number, i.amount, i.due_on, i.delinquent_after) for i in found] == expected


@pytest.mark.parametrize(
    "more",
    [
        {"hlTaxYear": "hlYear"},
        {"lblAssessedTax": "lblTax"},
        {"<td>11900</td>": ""},
        {"<td>14900</td>": "<td>11900</td>"},
    ],
)
def test_an_unknown_layout_of_the_details_is_an_error(more: dict[str, str]) -> None:
    with pytest.raises(LayoutChangedError):
        read_details("1", details_of(5000, **more), None)


def test_a_statement_of_another_year_is_an_error() -> None:
    parcel = CountyTruth(50).parcel(4)
    text = treasurer_pages.statement_page(parcel, action=ACTION).replace("<p>2025", "<p>2024")

    with pytest.raises(LayoutChangedError, match=r"it is of 2024, the tax details of 2025"):
        read_details("1", details_of(5000), as_page(text, "statement"))


def test_values_of_one_year_twice_are_an_error() -> None:
    parcel = CountyTruth(50).parcel(4)
    text = treasurer_pages.valuations_page(parcel, action=ACTION)

    with pytest.raises(LayoutChangedError, match="two rows for 2025"):
        read_tax_valuations("1", as_page(text.replace("<td>2024</td>", "<td>2025</td>")))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("TaxDetails.aspx?taxyear=2025", "/treasurer/Parcel/Tax.aspx?y=1", ("/Parcel/Tax.aspx", {"y": "1"})),
        ("TaxDetails.aspx?taxyear=2025", "TaxDetails.aspx?taxyear=2025", ("/Parcel/TaxDetails.aspx", {"taxyear": "2025"})),
    ],
)  # fmt: skip
def test_the_newest_years_details_are_linked(old: str, new: str, expected: object) -> None:
    parcel = CountyTruth(50).parcel(4)
    layout = treasurer_pages.Layout("list", "gvTaxYears")
    text = treasurer_pages.summary_page(parcel, layout, all_years=False, action=ACTION)

    assert find_details(as_page(text.replace(old, new), "parcel")) == expected


@pytest.mark.parametrize("new", ['href="https://elsewhere.test/x"', 'name="x"'])
def test_a_list_of_years_without_such_a_link_is_an_error(new: str) -> None:
    parcel = CountyTruth(50).parcel(4)
    layout = treasurer_pages.Layout("list", "gvTaxYears")
    text = treasurer_pages.summary_page(parcel, layout, all_years=False, action=ACTION)

    with pytest.raises(LayoutChangedError, match="no link to the tax details"):
        find_details(as_page(text.replace('href="TaxDetails.aspx?taxyear=2025"', new), "parcel"))


@pytest.mark.parametrize("block", ["list", "table"])
def test_years_that_are_not_found_are_an_error_and_no_parcel_without_tax(block: str) -> None:
    """A new layout may leave the tax-due block as it was; then nothing would have been levied."""
    parcel = CountyTruth(50).parcel(4)
    layout = treasurer_pages.Layout(block, "gvTaxYears")
    text = treasurer_pages.summary_page(parcel, layout, all_years=False, action=ACTION)
    none = "<div>No tax information for 2026</div>"

    with pytest.raises(LayoutChangedError, match="summary: no table of tax years"):
        find_details(as_page(text.replace("gvTaxYears", "years"), "parcel"))
    assert find_details(as_page(none, "parcel")) is None
