"""Reading the treasurer's pages: the tax-due block, the table of years, the payments.

The site has had two forms of the block and of the table of years; each is read by what its labels
and headers say, and anything else is a ``LayoutChangedError``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from propkit.errors import LayoutChangedError
from propkit.pages import Page
from propkit.records import TaxBill, TaxPayment
from propkit.sources._base import read_date, read_decimal, read_text
from propkit.sources._readers import node_text, table_rows

PREFIX: Final = "cphMainContent_cphRightColumn_"
"""What every id of the site starts with."""

_DUE_BLOCKS: Final = (
    (f"#{PREFIX}taxDue2", "li"),
    (f"#{PREFIX}taxDue1", "td, th"),
    (".block-grid", "li"),
)
_YEAR_TABLES: Final = (f"#{PREFIX}divBackTaxes", f"#{PREFIX}gvTaxYears")
PAYMENTS_TABLE: Final = f"#{PREFIX}Activities1_gvActs"
_DUE_COLUMNS: Final = ("assessed_tax", "amount_paid", "amount_due")

NO_RECORDS: Final = re.compile(r"\bno records? (?:were |was )?found", re.IGNORECASE)
_NO_PAYMENTS: Final = re.compile(
    r"\bno (?:records? (?:were |was )?found|(?:payment )?activit(?:y|ies)\b"
    r"|(?:tax )?payments? (?:were |was |have been )?(?:found|made|received|recorded|on record)"
    r"|(?:tax )?payments?\s*(?:[.!]|$))",
    re.IGNORECASE,
)
_YEAR: Final = re.compile(r"(?<![\d/.,$-])((?:19|20)\d\d)(?![\d/,-])")
_AMOUNT: Final = r"(?:-?\$ ?-?\d[\d,]*(?:\.\d+)?|-?\d[\d,]*\.\d\d(?!\d))"
_MONEY: Final = re.compile(rf"\({_AMOUNT}\)|{_AMOUNT}")
_LIEN: Final = re.compile(r"(?<!no )\btax lien", re.IGNORECASE)
_NOTE: Final = re.compile(r"tax lien|certified funds", re.IGNORECASE)


def read_bills(apn: str, summary: Page, years: Page | None) -> list[TaxBill]:
    """Read a bill for each tax year; what was paid is stated for the current one only."""
    current, labelled_year = _read_due_block(summary)
    if years is None:
        # Without the list of all years only the current bill is known, if its year is.
        shown = _read_years(apn, summary, is_required=False)
        year = labelled_year or max(shown, default=None)
        return [] if year is None else [_merge(shown.get(year), apn, year, current)]
    bills = _read_years(apn, years, is_required=True)
    year = labelled_year or max(bills, default=None)
    if year is None:
        raise LayoutChangedError("summary: no tax year is shown anywhere", url=summary.url)
    in_table = bills[year].assessed_tax if year in bills else None
    if labelled_year is None and in_table not in {None, current["assessed_tax"]}:
        raise LayoutChangedError(
            f"summary: the assessed tax {current['assessed_tax']} is not that of {year}",
            url=summary.url,
        )
    bills[year] = _merge(bills.get(year), apn, year, current)
    return [bills[year] for year in sorted(bills, reverse=True)]


def _merge(
    bill: TaxBill | None, apn: str, year: int, current: Mapping[str, Decimal | None]
) -> TaxBill:
    bill = bill or TaxBill(apn=apn, tax_year=year)
    return replace(
        bill,
        assessed_tax=current["assessed_tax"] if bill.assessed_tax is None else bill.assessed_tax,
        amount_paid=current["amount_paid"],
        amount_due=current["amount_due"] if bill.amount_due is None else bill.amount_due,
    )


def find_due_cells(html: LexborHTMLParser) -> list[str] | None:
    """Return the texts of the tax-due block's cells, in one of its layouts."""
    for block, cell in _DUE_BLOCKS:
        for node in html.css(block):
            texts = [node_text(one) for one in node.css(cell)]
            if any(_MONEY.search(text) for text in texts):
                return texts
    return None


def _read_due_block(page: Page) -> tuple[dict[str, Decimal | None], int | None]:
    """Read assessed tax, paid and due of the current year, and the year if a label tells it."""
    cells = find_due_cells(page.html())
    if cells is None:
        raise LayoutChangedError("summary: no tax-due block", url=page.url)
    amounts: list[Decimal | None] = []
    labels: list[str] = []
    label = ""
    for text in cells:
        match = _MONEY.search(text)
        if match is None:
            label = f"{label} {text}".strip()
            continue
        labels.append(f"{label} {text[: match.start()]}".strip())
        amounts.append(read_decimal(match[0].replace(" ", ""), "tax-due block"))
        label = ""
    found: dict[str, Decimal | None] = {}
    for text, amount in zip(labels, amounts, strict=True):
        column = _due_column(text)
        if column in found:
            raise LayoutChangedError(f"summary: two amounts for {column!r}", url=page.url)
        if column is not None:
            found[column] = amount
    if not any(labels) and len(amounts) == len(_DUE_COLUMNS):
        found = dict(zip(_DUE_COLUMNS, amounts, strict=True))
    if found.keys() != set(_DUE_COLUMNS):
        raise LayoutChangedError(f"summary: unknown tax-due block {cells!r}", url=page.url)
    years = {int(year) for text in (*labels, label) for year in _YEAR.findall(text)}
    return found, years.pop() if len(years) == 1 else None


def _due_column(label: str) -> str | None:
    words = label.lower()
    if "total" not in words and re.search(r"\binterest\b|\bfees?\b|\bhalf\b", words):
        return None
    if re.search(r"\bpaid\b|\bpayments?\b", words):
        return "amount_paid"
    if re.search(r"\bassessed\b", words):
        return "assessed_tax"
    return "amount_due" if re.search(r"\bdue\b|\bowed\b", words) else None


def _find_table(html: LexborHTMLParser, selector: str) -> LexborNode | None:
    node = html.css_first(selector)
    return node if node is None or node.tag == "table" else node.css_first("table")


def _read_years(apn: str, page: Page, *, is_required: bool) -> dict[int, TaxBill]:
    """Read the table of tax years, in one of its layouts."""
    html = page.html()
    table = next((one for name in _YEAR_TABLES if (one := _find_table(html, name))), None)
    if table is None:
        if is_required:
            raise LayoutChangedError("years: no table of tax years", url=page.url)
        return {}
    places = {"year": 0, "status": 1, "assessed": 2, "due": 3}
    bills: dict[int, TaxBill] = {}
    above: int | None = None
    for row, nodes in table_rows(table):
        cells = [node_text(node) for node in nodes]
        if _is_header(nodes, cells):
            places = _places(cells, tuple(places))
            continue
        bill = _read_year(apn, cells, places)
        if bill is None:
            _read_note(row, " ".join(cells), bills, above)
            continue
        above = bill.tax_year
        if bills.setdefault(above, bill) != bill:
            raise LayoutChangedError(f"years: {above} stands twice in the table", url=page.url)
    if is_required and not bills and not NO_RECORDS.search(node_text(table)):
        raise LayoutChangedError("years: the table has no tax year", url=page.url)
    return bills


def _read_year(apn: str, cells: list[str], places: Mapping[str, int]) -> TaxBill | None:
    """Read a row of the table of years; None for a row that does not start with a year."""
    match = _YEAR.match(_cell(cells, places["year"]))
    if match is None or len(cells) == 1:
        return None
    year = int(match[1])
    if len(places) < 4 and any(_MONEY.fullmatch(cell) for cell in _others(cells, places)):
        raise LayoutChangedError(f"years: an amount without a name in {cells!r}")
    return TaxBill(
        apn=apn,
        tax_year=year,
        status=read_text(_cell(cells, places.get("status"))),
        assessed_tax=_read_amount(_cell(cells, places.get("assessed")), f"years {year}"),
        amount_due=_read_amount(_cell(cells, places.get("due")), f"years {year}"),
        has_tax_lien=any(_LIEN.search(cell) for cell in cells),
    )


def _read_note(row: LexborNode, text: str, bills: dict[int, TaxBill], above: int | None) -> None:
    """Read a row without a year of its own: a lien's note, the total, or nothing."""
    if _LIEN.search(text):
        named = _YEAR.search(text)
        year = int(named[1]) if named and int(named[1]) in bills else above
        if year is not None:
            bills[year] = replace(bills[year], has_tax_lien=True)
            return
    elif _is_idle(row, text):
        return
    raise LayoutChangedError(f"years: unknown row {text!r}")


def _is_header(nodes: list[LexborNode], cells: list[str]) -> bool:
    if not nodes or any(_YEAR.search(text) or _MONEY.search(text) for text in cells):
        return False
    return all(node.tag == "th" for node in nodes) or "year" in cells[0].lower()


def _places(cells: list[str], words: tuple[str, ...]) -> dict[str, int]:
    """Return where the columns of a header are, by a word each."""
    found: dict[str, int] = {}
    for word in words:
        at = [place for place, text in enumerate(cells) if word in text.lower()]
        if word == "due":
            at = [place for place in at if "date" not in cells[place].lower()]
        if len(at) > 1:
            raise LayoutChangedError(f"more than one column for {word!r} in {cells!r}")
        if at:
            found[word] = at[0]
    if "year" not in found:
        raise LayoutChangedError(f"no column for the year in {cells!r}")
    return found


def _cell(cells: list[str], place: int | None) -> str:
    return cells[place] if place is not None and place < len(cells) else ""


def _others(cells: list[str], places: Mapping[str, int]) -> list[str]:
    return [text for place, text in enumerate(cells) if place not in places.values()]


def _read_amount(text: str, where: str) -> Decimal | None:
    """Read a money cell; a note may stand in it, before, behind or instead of the amount."""
    if _NOTE.search(text):
        match = _MONEY.search(text)
        return read_decimal(match[0].replace(" ", ""), where) if match else None
    return read_decimal(text, where)


def _is_idle(row: LexborNode, text: str) -> bool:
    """Whether a row without a year says nothing about one: blank, the total, or a remark."""
    return (
        not text
        or "total" in text.lower()
        or row.css_first("span.text-bold.text-black") is not None
        or bool(NO_RECORDS.search(text))
        or (_NOTE.search(text) is not None and _LIEN.search(text) is None)
    )


# --- payments ---------------------------------------------------------------------------------


def read_payments(apn: str, page: Page) -> list[TaxPayment]:
    """Read every payment, numbered within its tax year in the page's order."""
    html = page.html()
    table = _find_table(html, PAYMENTS_TABLE)
    if table is None:
        if _NO_PAYMENTS.search(node_text(html.body)):
            return []
        raise LayoutChangedError("activities: no table of payments", url=page.url)
    places = {"year": 0, "amount": 2, "date": 4}
    numbers: Counter[int] = Counter()
    payments: list[TaxPayment] = []
    for row, nodes in table_rows(table):
        cells = [node_text(node) for node in nodes]
        text = " ".join(cells)
        if _is_header(nodes, cells):
            places = _places(cells, tuple(places))
            if len(places) < 3:
                raise LayoutChangedError(f"activities: unknown header {cells!r}", url=page.url)
            continue
        match = _YEAR.match(cells[places["year"]]) if len(cells) > places["year"] else None
        if match is None:
            if _is_idle(row, text) or _NO_PAYMENTS.search(text):
                continue
            raise LayoutChangedError(f"activities: unknown row {text!r}", url=page.url)
        year = int(match[1])
        amount = read_decimal(_cell(cells, places["amount"]), f"activities {year}")
        paid_on = read_date(_cell(cells, places["date"]), f"activities {year}")
        if amount is None or paid_on is None:
            raise LayoutChangedError(f"activities: no amount or date in {text!r}", url=page.url)
        numbers[year] += 1
        payments.append(
            TaxPayment(apn=apn, tax_year=year, number=numbers[year], paid_on=paid_on, amount=amount)
        )
    return payments
