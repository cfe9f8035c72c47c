"""Reading the treasurer's pages: the tax-due block, the table of years, the payments.

The site has had two forms of the block and of the table of years. An id and the places of the
values below it are documented, so they decide; labels and headers only refine. What fits neither
is a ``LayoutChangedError``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from propkit.errors import LayoutChangedError
from propkit.pages import Page
from propkit.records import TaxBill, TaxPayment
from propkit.sources._base import read_date, read_decimal, read_text
from propkit.sources._readers import node_text, table_rows
from propkit.sources._treasurer_columns import MONEY, PAYMENTS, YEAR, YEARS
from propkit.sources._treasurer_due import (
    DUE_COLUMNS,
    PREFIX,
    find_due_cells,
    read_due_block,
)

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_YEAR_TABLES: Final = (f"#{PREFIX}divBackTaxes", f"#{PREFIX}gvTaxYears")
PAYMENTS_TABLE: Final = f"#{PREFIX}Activities1_gvActs"
_ROW_COLUMNS: Final = frozenset({*DUE_COLUMNS, "status", "has_tax_lien", "tax_lien_note"})

NO_RECORDS: Final = re.compile(r"\bno records? (?:were |was )?found", re.IGNORECASE)
NO_BILLS: Final = re.compile(
    r"\bno (?:records?\b|(?:property |back |prior )?tax(?:es)?"
    r" (?:years?|bills?|records?|information|history|statements?|levied|assessed|billed|due)\b)",
    re.IGNORECASE,
)
_NO_PAYMENTS: Final = re.compile(
    r"\bno (?:records? (?:were |was )?found|(?:payment )?activit(?:y|ies)\b"
    r"|(?:tax )?payments? (?:were |was |have been )?(?:found|made|received|recorded|on record)"
    r"|(?:tax )?payments?\s*(?:[.!]|$))",
    re.IGNORECASE,
)
_LIEN: Final = re.compile(r"(?<!no )\btax lien", re.IGNORECASE)
_NOTE: Final = re.compile(r"tax lien|certified funds", re.IGNORECASE)


class Bills(NamedTuple):
    """A bill for each tax year, newest first, and the columns that not every one states."""

    found: list[TaxBill]
    unsaid: frozenset[str]


class _Row(NamedTuple):
    """A bill, and the columns for which its row has no cell."""

    bill: TaxBill
    unsaid: frozenset[str]


def read_bills(apn: str, summary: Page, years: Page | None) -> Bills:
    """Read a bill for each tax year; what was paid is stated for the current one only."""
    cells = find_due_cells(summary.html())
    if cells is None:
        if _shows_amount(summary) or not _says_no_bills(apn, years or summary):
            raise LayoutChangedError("summary: no tax-due block", url=summary.url)
        return _as_bills([])
    current, labelled_year = read_due_block(cells, summary.url)
    rows = _read_years(apn, years or summary)
    if years is None:
        # Without the list of all years only the current bill is known, if its year is.
        year = labelled_year or max(rows or {}, default=None)
        row = (rows or {}).get(year or 0)
        return _as_bills([] if year is None else [_merge(row, apn, year, current)])
    if rows is None:
        raise LayoutChangedError("years: no table of tax years", url=years.url)
    if not rows and _read_years(apn, summary):
        raise LayoutChangedError("years: none, but the summary shows some", url=years.url)
    year = labelled_year or max(rows, default=None)
    if year is None:
        if any(current.values()):
            raise LayoutChangedError("summary: no tax year is shown anywhere", url=summary.url)
        return _as_bills([])
    in_table = rows[year].bill.assessed_tax if year in rows else None
    if labelled_year is None and in_table not in {None, current["assessed_tax"]}:
        raise LayoutChangedError(
            f"summary: the assessed tax {current['assessed_tax']} is not that of {year}",
            url=summary.url,
        )
    rows[year] = _merge(rows.get(year), apn, year, current)
    return _as_bills([rows[year] for year in sorted(rows, reverse=True)])


def _as_bills(rows: list[_Row]) -> Bills:
    return Bills([row.bill for row in rows], frozenset[str]().union(*(row.unsaid for row in rows)))


def _says_no_bills(apn: str, page: Page) -> bool:
    """Whether the page has an empty table of years, or says in words that there is no tax."""
    bills = _read_years(apn, page)
    return says_no_tax(page) if bills is None else not (bills or _shows_amount(page))


def says_no_tax(page: Page) -> bool:
    """Whether the page says in words that there is no tax, and shows no amount."""
    return not _shows_amount(page) and NO_BILLS.search(node_text(page.html().body)) is not None


def _shows_amount(page: Page) -> bool:
    amounts = MONEY.findall(node_text(page.html().body))
    return any(re.search(r"[1-9]", amount) for amount in amounts)


def _merge(row: _Row | None, apn: str, year: int, current: Mapping[str, Decimal | None]) -> _Row:
    """Add what the tax-due block says to the row of the current year."""
    bill = row.bill if row else TaxBill(apn=apn, tax_year=year)
    merged = replace(
        bill,
        assessed_tax=current["assessed_tax"] if bill.assessed_tax is None else bill.assessed_tax,
        amount_paid=current["amount_paid"],
        amount_due=current["amount_due"] if bill.amount_due is None else bill.amount_due,
    )
    return _Row(merged, (row.unsaid if row else _ROW_COLUMNS) - current.keys())


def _find_table(html: LexborHTMLParser, selector: str) -> LexborNode | None:
    node = html.css_first(selector)
    return node if node is None or node.tag == "table" else node.css_first("table")


def find_years(html: LexborHTMLParser) -> LexborNode | None:
    """Return the table of tax years, in one of its layouts."""
    return next((one for name in _YEAR_TABLES if (one := _find_table(html, name))), None)


def _read_years(apn: str, page: Page) -> dict[int, _Row] | None:
    """Read the table of tax years; None where the page has none."""
    table = find_years(page.html())
    if table is None:
        return None
    places: Mapping[str, int] | None = None
    bills: dict[int, _Row] = {}
    strange = ""
    above: int | None = None
    for row, nodes in table_rows(table):
        cells = [node_text(node) for node in nodes]
        text = " ".join(cells)
        if YEARS.is_header(nodes, cells):
            places = YEARS.places(nodes, cells) or places
            continue
        read = _read_year(apn, cells, places)
        if read is not None:
            above = read.bill.tax_year
            if bills.setdefault(above, read).bill != read.bill:
                raise LayoutChangedError(f"years: {above} stands twice in the table", url=page.url)
        elif not bills and _is_heading(text):
            strange = strange or text
        else:
            _read_note(row, text, bills, above)
    if strange and not bills:
        raise LayoutChangedError(f"years: unknown row {strange!r}", url=page.url)
    return bills


def _read_year(apn: str, cells: list[str], headed: Mapping[str, int] | None) -> _Row | None:
    """Read a row of the table of years; None for a row that does not start with a year."""
    places = headed or {name: at for name, at in YEARS.documented.items() if at < len(cells)}
    match = YEAR.match(_cell(cells, places["year"])) if "year" in places else None
    if match is None or len(cells) == 1:
        return None
    year = int(match[1])
    status_place = _status_place(cells, places)
    status = _cell(cells, status_place)
    # A note may stand over several cells.
    is_short = max(places.values()) >= len(cells) or (headed is None and len(cells) == 3)
    if is_short and not any(_NOTE.search(cell) for cell in cells):
        raise LayoutChangedError(f"years: too few cells in {cells!r}")
    if MONEY.fullmatch(status):
        raise LayoutChangedError(f"years: an amount for a status in {cells!r}")
    if len(places) < 4 and any(MONEY.fullmatch(cell) for cell in _others(cells, places)):
        raise LayoutChangedError(f"years: an amount without a name in {cells!r}")
    place_of = {
        "status": status_place,
        "assessed_tax": places.get("assessed"),
        "amount_due": places.get("due"),
        "amount_paid": None,
    }
    bill = TaxBill(
        apn=apn,
        tax_year=year,
        status=read_text(status),
        assessed_tax=_read_amount(_cell(cells, places.get("assessed")), f"years {year}"),
        amount_due=_read_amount(_cell(cells, places.get("due")), f"years {year}"),
        has_tax_lien=any(_LIEN.search(cell) for cell in cells),
        tax_lien_note=next((cell for cell in cells if _LIEN.search(cell)), None),
    )
    return _Row(
        bill,
        frozenset(
            column for column, place in place_of.items() if place is None or place >= len(cells)
        ),
    )


def _status_place(cells: list[str], places: Mapping[str, int]) -> int | None:
    """Return where the status is: also below a header that calls it "Paid?" or "Payment"."""
    documented = YEARS.documented["status"]
    if "status" in places or documented in places.values():
        return places.get("status")
    return None if MONEY.fullmatch(_cell(cells, documented)) else documented


def _read_note(row: LexborNode, text: str, bills: dict[int, _Row], above: int | None) -> None:
    """Read a row without a year of its own: a lien's note, the total, or nothing."""
    if _LIEN.search(text):
        named = YEAR.search(text)
        year = int(named[1]) if named and int(named[1]) in bills else above
        if year is not None:
            bill, unsaid = bills[year]
            bills[year] = _Row(replace(bill, has_tax_lien=True, tax_lien_note=text), unsaid)
            return
    elif _is_idle(row, text):
        return
    raise LayoutChangedError(f"years: unknown row {text!r}")


def _is_heading(text: str) -> bool:
    """Whether a row above all others may be a heading in plain cells."""
    says = (YEAR, MONEY, _NOTE, NO_BILLS, _NO_PAYMENTS)
    return bool(text) and not any(words.search(text) for words in says)


def _cell(cells: list[str], place: int | None) -> str:
    return cells[place] if place is not None and place < len(cells) else ""


def _others(cells: list[str], places: Mapping[str, int]) -> list[str]:
    return [text for place, text in enumerate(cells) if place not in places.values()]


def _read_amount(text: str, where: str) -> Decimal | None:
    """Read a money cell; a note may stand in it, before, behind or instead of the amount."""
    if _NOTE.search(text):
        match = MONEY.search(text)
        return read_decimal(match[0].replace(" ", ""), where) if match else None
    return read_decimal(text, where)


def _is_idle(row: LexborNode, text: str) -> bool:
    """Whether a row without a year says nothing about one: blank, the total, or a remark."""
    return (
        not text
        or "total" in text.lower()
        or row.css_first("span.text-bold.text-black") is not None
        or bool(NO_BILLS.search(text))
        or (_NOTE.search(text) is not None and _LIEN.search(text) is None)
    )


# --- payments ---------------------------------------------------------------------------------


def says_no_payments(html: LexborHTMLParser) -> bool:
    """Whether the page says that there are no payments, and not merely no records."""
    text = node_text(html.body)
    return bool(_NO_PAYMENTS.search(text)) and not NO_RECORDS.search(text)


def read_payments(apn: str, page: Page) -> list[TaxPayment]:
    """Read every payment, numbered within its tax year in the page's order."""
    html = page.html()
    table = _find_table(html, PAYMENTS_TABLE)
    if table is None:
        if _NO_PAYMENTS.search(node_text(html.body)):
            return []
        raise LayoutChangedError("activities: no table of payments", url=page.url)
    places: Mapping[str, int] = PAYMENTS.documented
    numbers: Counter[int] = Counter()
    payments: list[TaxPayment] = []
    strange = ""
    for row, nodes in table_rows(table):
        cells = [node_text(node) for node in nodes]
        text = " ".join(cells)
        if PAYMENTS.is_header(nodes, cells):
            places = PAYMENTS.places(nodes, cells) or places
        elif match := YEAR.match(_cell(cells, places.get("year"))):
            year = int(match[1])
            numbers[year] += 1
            payments.append(_read_payment(apn, year, numbers[year], cells, places))
        elif not payments and _is_heading(text):
            strange = strange or text
        elif not _is_idle(row, text) and not _NO_PAYMENTS.search(text):
            raise LayoutChangedError(f"activities: unknown row {text!r}", url=page.url)
    if strange and not payments:
        raise LayoutChangedError(f"activities: unknown row {strange!r}", url=page.url)
    return payments


def _read_payment(
    apn: str, year: int, number: int, cells: list[str], places: Mapping[str, int]
) -> TaxPayment:
    amount = read_decimal(_cell(cells, places.get("amount")), f"activities {year}")
    paid_on = read_date(_cell(cells, places.get("date")), f"activities {year}")
    if amount is None or paid_on is None:
        raise LayoutChangedError(f"activities: no amount or date in {cells!r}")
    return TaxPayment(apn=apn, tax_year=year, number=number, paid_on=paid_on, amount=amount)
