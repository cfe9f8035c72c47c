"""Reading the treasurer's further pages: tax details, the detailed statement, the valuations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from propkit.errors import LayoutChangedError
from propkit.pages import Page
from propkit.records import Record, TaxInstallment, TaxLevy, TaxStatement, TaxValuation
from propkit.sources._base import read_decimal, read_float, read_text
from propkit.sources._readers import node_text, table_rows
from propkit.sources._treasurer_columns import YEAR
from propkit.sources._treasurer_due import PREFIX
from propkit.sources._treasurer_tables import NO_RECORDS, find_years, says_no_tax

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser

_DETAILS_LINK: Final = 'a[title="Click to view Tax Details"], a[href*="TaxDetails" i]'
_STATEMENT: Final = re.compile(r"\b((?:19|20)\d\d)\s+detailed tax statement", re.IGNORECASE)
_NO_DISTRICTS: Final = re.compile(r"\bno (?:special )?(?:districts?|records?)\b", re.IGNORECASE)
_SMALL_BILL: Final = Decimal(100)
_FRIDAY: Final = 4

_MONEY_IDS: Final = {
    "assessed_tax": "lblAssessedTax",
    "tax_paid": "lblAssessedTaxPaid",
    "interest_paid": "lblInterestPaid",
    "total_paid": "lblTotalPaid",
}
_TEXT_IDS: Final = {"tax_area_code": "lblAreaCode", "exemption": "lblExemptionDescription"}
_STATEMENT_IDS: Final = {
    "land_assessed_value": "dtlTaxBill_lblPrimaryLandAssessedValue",
    "exempt_assessed_value": "dtlTaxBill_lblPrimaryExemptionAssessedValue",
    "total_assessed_value": "dtlTaxBill_lblPrimaryTotalAssessedValue",
    "grand_total": "dtlTaxBill_lblGrandTotalCurrentYear",
}

Values = dict[str, Any]
"""Money and texts by column."""


class Link(NamedTuple):
    """Where a page stands: its path and its query."""

    path: str
    params: Mapping[str, str]


class Details(NamedTuple):
    """What the further pages say of a bill, and the columns by table that they leave unsaid."""

    tax_year: int | None
    records: list[Record]
    unsaid: Mapping[str, frozenset[str]]


def find_details(summary: Page) -> Link | None:
    """Return where the newest year's tax details stand; None where the page has no year.

    Raises
    ------
    LayoutChangedError
        It lists years, and links none of them; or it lists none, and does not say that there is
        no tax.
    """
    table = find_years(summary.html())
    if table is None and not says_no_tax(summary):
        raise LayoutChangedError("summary: no table of tax years", url=summary.url)
    rows = [] if table is None else [nodes for _, nodes in table_rows(table) if nodes]
    years = [nodes for nodes in rows if YEAR.match(node_text(nodes[0]))]
    if not years:
        return None
    newest = max(years, key=lambda nodes: node_text(nodes[0]))
    link = newest[0].css_first(_DETAILS_LINK)
    href = urlsplit((link.attributes.get("href") or "") if link else "")
    if link is None or not href.path or href.netloc:
        raise LayoutChangedError("summary: no link to the tax details", url=summary.url)
    path = href.path if href.path.startswith("/") else f"/Parcel/{href.path}"
    # The link may carry the path under which the whole site stands.
    return Link(path[path.lower().find("/parcel/") :], dict(parse_qsl(href.query)))


def read_details(apn: str, details: Page | None, statement: Page | None) -> Details:
    """Read the newest bill's levies, halves and statement."""
    year, values, said = _read_details(details)
    bill_year, totals = _read_statement(statement)
    if None not in {year, bill_year} and year != bill_year:
        raise LayoutChangedError(f"statement: it is of {bill_year}, the tax details of {year}")
    tax_year = year or bill_year
    if tax_year is None:
        return Details(None, [], {})
    records: list[Record] = [TaxStatement(apn=apn, tax_year=tax_year, **values, **totals)]
    if details is not None:
        records += _read_levies(apn, tax_year, details)
        half = _money(details.html(), "lblHalfTax")
        records += _make_installments(apn, tax_year, values["assessed_tax"], half)
    columns = {*_MONEY_IDS, *_TEXT_IDS, *_STATEMENT_IDS}
    unsaid = frozenset(columns - said - totals.keys())
    return Details(tax_year, records, {"tax_statements": unsaid} if unsaid else {})


def read_tax_valuations(apn: str, page: Page) -> list[TaxValuation]:
    """Read the values of all years as the treasurer repeats them."""
    html = page.html()
    table = html.css_first(f"#{PREFIX}gvValuations")
    if table is None:
        if NO_RECORDS.search(node_text(html.body)):
            return []
        raise LayoutChangedError("valuations: no table", url=page.url)
    found: dict[int, TaxValuation] = {}
    for _, nodes in table_rows(table):
        cells = [node_text(node) for node in nodes]
        if all(node.tag == "th" for node in nodes) or not any(cells):
            continue
        match = YEAR.match(cells[0])
        if match is None or len(cells) < 4:
            raise LayoutChangedError(f"valuations: unknown row {cells!r}", url=page.url)
        year = int(match[1])
        value = TaxValuation(
            apn=apn,
            tax_year=year,
            full_cash_value=read_decimal(cells[1], f"valuations {year}"),
            limited_property_value=read_decimal(cells[2], f"valuations {year}"),
            property_class=read_text(cells[3]),
        )
        if found.setdefault(year, value) != value:
            raise LayoutChangedError(f"valuations: two rows for {year}", url=page.url)
    return list(found.values())


def _read_details(
    page: Page | None,
) -> tuple[int | None, Values, set[str]]:
    """Return the year, the columns' values, and the columns that the page has."""
    if page is None:
        return None, {}, set()
    html = page.html()
    match = YEAR.search(node_text(html.css_first(f"#{PREFIX}hlTaxYear")))
    if match is None or html.css_first(f"#{PREFIX}lblAssessedTax") is None:
        raise LayoutChangedError("details: no tax year or assessed tax", url=page.url)
    ids = _MONEY_IDS | _TEXT_IDS
    said = {name for name, one in ids.items() if html.css_first(f"#{PREFIX}{one}") is not None}
    values: Values = {name: _money(html, one) for name, one in _MONEY_IDS.items()}
    for name, one in _TEXT_IDS.items():
        values[name] = read_text(node_text(html.css_first(f"#{PREFIX}{one}")))
    return int(match[1]), values, said


def _read_statement(page: Page | None) -> tuple[int | None, Values]:
    """Return the year and the totals that the page has."""
    if page is None:
        return None, {}
    html = page.html()
    match = _STATEMENT.search(node_text(html.body))
    present = {
        name: one
        for name, one in _STATEMENT_IDS.items()
        if html.css_first(f"#{PREFIX}{one}") is not None
    }
    if match is None or not present:
        raise LayoutChangedError("statement: no year or no totals", url=page.url)
    return int(match[1]), {name: _money(html, one) for name, one in present.items()}


def _money(html: LexborHTMLParser, name: str) -> Decimal | None:
    return read_decimal(node_text(html.css_first(f"#{PREFIX}{name}")), name)


def _read_levies(apn: str, year: int, page: Page) -> list[TaxLevy]:
    """Read the table of special districts; a page without one has none."""
    table = page.html().css_first(f"#{PREFIX}gvSpecialDistricts")
    levies: dict[str, TaxLevy] = {}
    for _, nodes in table_rows(table) if table is not None else ():
        cells = [node_text(node) for node in nodes]
        text = " ".join(cells)
        if not text or all(node.tag == "th" for node in nodes) or _NO_DISTRICTS.search(text):
            continue
        district = read_text(cells[0])
        if district is None or len(cells) < 5:
            if "total" in text.lower():
                continue
            raise LayoutChangedError(f"details: unknown district {cells!r}", url=page.url)
        levy = TaxLevy(
            apn=apn,
            tax_year=year,
            district=district,
            district_name=read_text(cells[1]),
            percent=read_float(cells[2].removesuffix("%").strip(), f"district {district}"),
            amount=read_decimal(cells[3], f"district {district}"),
            amount_paid=read_decimal(cells[4], f"district {district}"),
        )
        if levies.setdefault(district, levy) is not levy:
            raise LayoutChangedError(f"details: {district} stands twice", url=page.url)
    return list(levies.values())


def _make_installments(
    apn: str, year: int, tax: Decimal | None, half: Decimal | None
) -> list[TaxInstallment]:
    """Return the halves, due on 1 October and 1 March; a bill of $100 or less is due at once."""
    if not tax:
        return []
    parts: list[tuple[Decimal | None, date, date]]
    if tax <= _SMALL_BILL:
        parts = [(tax, date(year, 10, 1), date(year, 12, 31))]
    else:
        rest = None if half is None else tax - half
        parts = [
            (half, date(year, 10, 1), date(year, 11, 1)),
            (rest, date(year + 1, 3, 1), date(year + 1, 5, 1)),
        ]
    return [
        TaxInstallment(
            apn=apn,
            tax_year=year,
            number=number,
            amount=amount,
            due_on=_next_workday(due_on),
            delinquent_after=_next_workday(delinquent_after),
        )
        for number, (amount, due_on, delinquent_after) in enumerate(parts, start=1)
    ]


def _next_workday(day: date) -> date:
    return day + timedelta(days=7 - day.weekday() if day.weekday() > _FRIDAY else 0)
