"""The treasurer's pages as ASP.NET writes them: long ids, two layouts, money as "$1,234.56"."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from propkit.demo_county.levies import exemption_of, make_halves, make_installments, make_levies
from propkit.demo_county.parcel import Head, Owner, Parcel, TaxBill
from propkit.demo_county.places import dashed_apn

P = "cphMainContent_cphRightColumn_"
YEARS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Layout:
    """Which of the two forms of the current-year block and of the year table a page has."""

    block: str
    year_table: str


def choose_layout(head: Head, *, layout: str, year_table: str) -> Layout:
    """Return a parcel's layout: as switched, or by the parcel when mixed."""
    block = ("list", "table")[head.index * 7 // 3 % 2] if layout == "mixed" else layout
    tables = ("divBackTaxes", "gvTaxYears")
    table = tables[head.index * 5 // 4 % 2] if year_table == "mixed" else year_table
    return Layout(block, table)


def frame(title: str, content: str, *, action: str, button: str = "input") -> str:
    """Return a whole page: the site's frame, the form state and the content."""
    boxes = _SEARCH_BOXES.format(button=_BUTTONS[button])
    return f"""<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" lang="en"><head><meta charset="utf-8" />
<title>{escape(title)} | Maricopa County Treasurer's Office</title></head>
<body><form method="post" action="{action}" id="form1">
<div class="aspNetHidden">
<input type="hidden" name="__EVENTTARGET" id="__EVENTTARGET" value="" />
<input type="hidden" name="__VIEWSTATE" id="__VIEWSTATE" value="/wEPDwUKMTY3NzE5MjIyMA9kFgJmD2QW" />
<input type="hidden" name="__EVENTVALIDATION" id="__EVENTVALIDATION" value="/wEdAAbn5dAS3pX0h" />
</div>
<div id="siteInnerContentContainer"><div class="leftColumn">{boxes}</div>
<div class="rightColumn">
{content}
</div></div>
<footer>Demo county. Every person is synthetic.</footer></form></body></html>
"""


def search_page(*, action: str, button: str) -> str:
    """Return the page without a parcel: only the boxes to type one in."""
    note = '<div class="panel-header"><h3>Parcel Search</h3></div><p>Enter a parcel number.</p>'
    return frame("Parcel Search", note, action=action, button=button)


def not_found_page(text: str, *, action: str) -> str:
    """Return what the site says of a parcel that it does not know."""
    note = f'<div class="alert alert-danger">No records found for parcel {escape(text)}.</div>'
    return frame("Parcel Search", note, action=action)


def summary_page(parcel: Parcel, layout: Layout, *, all_years: bool, action: str) -> str:
    """Return the tax summary: the current year's block and the table of years."""
    bills = parcel.tax_bills
    shown = bills if all_years else bills[:YEARS_SHOWN]
    more = ""
    if len(shown) < len(bills):
        link = '<a href="Summary.aspx?List=All">View Additional Years</a>'
        more = f'<div id="{P}divViewAdditionalYears">{link}</div>'
    block = _block_list(bills[0]) if layout.block == "list" else _block_table(bills[0])
    content = f"""{_header(parcel, "Tax Summary")}
{_name_and_situs(parcel)}
{block}
{_year_table(shown, layout)}
{more}
<div class="total">Total Amount Due: <span class="text-bold text-black">{_money(sum(b.due_cents for b in bills))}</span></div>"""
    return frame("Tax Summary", content, action=action)


def activities_page(parcel: Parcel, *, action: str) -> str:
    """Return the payments of all years, newest first."""
    payments = [
        (payment, number)
        for bill in parcel.tax_bills
        for number, payment in enumerate(bill.payments, start=1)
    ]
    rows = "\n".join(
        f'<tr class="gridviewRow"><td>{p.tax_year}</td>'
        f'<td><a href="ActivityDetails.aspx?Year={p.tax_year}&amp;Activity={n}">Payment</a></td>'
        f'<td class="text-right">{_money(p.cents)}</td><td>{escape(p.payer)}</td>'
        f"<td>{p.paid_on:%m/%d/%Y}</td></tr>"
        for p, n in payments
    )
    rows = rows or '<tr class="gridviewEmpty"><td colspan="5">No activities found</td></tr>'
    heads = "".join(f"<th>{h}</th>" for h in ("Tax Year", "Activity", "Amount", "Paid By", "Date"))
    content = f"""{_header(parcel, "Activities")}
<div><table id="{P}Activities1_gvActs" class="gridview"><thead><tr>{heads}</tr></thead>
<tbody>
{rows}
</tbody></table></div>"""
    return frame("Activities", content, action=action)


def activity_page(parcel: Parcel, bill: TaxBill, number: int, *, action: str) -> str:
    """Return one payment by the halves that it paid."""
    first, second = make_halves(bill)[number - 1]
    payment = bill.payments[number - 1]
    amounts = {"AmountTotal": payment.cents, "1stHalfTotal": first, "2ndHalfTotal": second}
    spans = "\n".join(
        f'<p><span id="{P}activityTaxPayment_lblCtxPmt{name}">{_money(cents)}</span></p>'
        for name, cents in amounts.items()
    )
    content = f"{_header(parcel, 'Activity Details')}\n<p>{bill.tax_year} Tax Payment</p>\n{spans}"
    return frame("Activity Details", content, action=action)


def valuations_page(parcel: Parcel, *, action: str) -> str:
    """Return the assessor's values as the treasurer repeats them."""
    rows = "\n".join(
        f"<tr><td>{v.tax_year}</td><td>{_dollars(v.full_cash_value)}</td>"
        f"<td>{_dollars(v.limited_property_value)}</td><td>{v.class_code}</td></tr>"
        for v in parcel.valuations
    )
    content = f"""{_header(parcel, "Valuations")}
<table id="{P}gvValuations" class="gridview"><tbody>
{rows}
</tbody></table>"""
    return frame("Valuations", content, action=action)


def statement_page(parcel: Parcel, *, action: str) -> str:
    """Return the detailed tax statement of the current year."""
    bill, value = parcel.tax_bills[0], parcel.valuations[0]
    assessed = _dollars(value.assessed_limited_property_value)
    content = f"""{_header(parcel, "Detailed Tax Statement")}
{_name_and_situs(parcel, prefix="dtlTaxBill_")}
<p>{bill.tax_year} Detailed Tax Statement</p>
<span id="{P}dtlTaxBill_lblPrimaryLandAssessedValue">{assessed}</span>
<span id="{P}dtlTaxBill_lblPrimaryExemptionAssessedValue">$0</span>
<span id="{P}dtlTaxBill_lblPrimaryTotalAssessedValue">{assessed}</span>
<span id="{P}dtlTaxBill_lblGrandTotalCurrentYear">{_money(bill.assessed_cents)}</span>"""
    return frame("Detailed Tax Statement", content, action=action)


def details_page(parcel: Parcel, bill: TaxBill, *, action: str) -> str:
    """Return the tax details of one year: what is levied, paid and exempt, and the districts."""
    head = parcel.head
    half = make_installments(bill)[0].cents
    spans = {
        "hlTaxYear": str(bill.tax_year),
        "lblAreaCode": head.block.tax_area_code,
        "lblAssessedTax": _money(bill.assessed_cents),
        "lblExemptionDescription": exemption_of(head) or "None",
        "lblHalfTax": _money(half),
        "lblAssessedTaxPaid": _money(bill.paid_cents),
        "lblInterestPaid": _money(0),
        "lblTotalPaid": _money(bill.paid_cents),
    }
    lines = "\n".join(f'<p><span id="{P}{name}">{text}</span></p>' for name, text in spans.items())
    rows = "\n".join(
        f"<tr><td>{levy.district}</td><td>{escape(levy.name)}</td><td>{levy.percent}%</td>"
        f"<td>{_money(levy.cents)}</td><td>{_money(levy.paid_cents)}</td></tr>"
        for levy in make_levies(head, bill)
    )
    heads = "".join(f"<th>{h}</th>" for h in ("District", "Name", "Percent", "Tax", "Paid"))
    content = f"""{_header(parcel, "Tax Details")}
{lines}
<table id="{P}gvSpecialDistricts" class="gridview"><tbody><tr>{heads}</tr>
{rows}
</tbody></table>"""
    return frame("Tax Details", content, action=action)


_SEARCH_BOXES = """<div id="taxPayerParcelInput"><label>Parcel Number</label>
<input name="txtParcelNumBook" type="text" maxlength="12" id="txtParcelNumBook" />
<input name="txtParcelNumMap" type="text" maxlength="2" id="txtParcelNumMap" />
<input name="txtParcelNumItem" type="text" maxlength="3" id="txtParcelNumItem" />
<input name="txtParcelNumSplit" type="text" maxlength="2" id="txtParcelNumSplit" />
{button}</div>"""
_BUTTONS = {
    "input": '<input type="submit" name="btnGo" value="Go" id="btnGo" />',
    "div": """<div id="btnGo" class="button" onclick="__doPostBack('btnGo')">Go</div>
<script>function __doPostBack(target) {
  document.getElementById('__EVENTTARGET').value = target
  document.getElementById('form1').submit()
}</script>""",
}


def _header(parcel: Parcel, title: str) -> str:
    number = dashed_apn(parcel.head.apn)
    return (
        f'<div class="panel-header"><h3 id="{P}headerSummary">{title} '
        f'<span class="parcel-num">{number}</span></h3></div>'
    )


def _name_and_situs(parcel: Parcel, *, prefix: str = "") -> str:
    head = parcel.head
    stem = f"{P}{prefix}ParcelNASitusLegal_"
    situs = "" if head.situs_address is None else f"{head.situs_address} {head.situs_city}"
    lines = "<br />".join(escape(line) for line in _name_lines(head.owner))
    return (
        f'<div id="{stem}lblNameAddress"><div>{lines}</div></div>\n'
        f'<span id="{stem}lblSitusAddress">{escape(situs)}</span>\n'
        f'<span id="{stem}lblLegalDescription">{escape(parcel.legal_description)}</span>'
    )


def _name_lines(owner: Owner) -> list[str]:
    place = f"{owner.mailing_city}, {owner.mailing_state} {owner.mailing_zip}"
    care = owner.in_care_of and f"c/o {owner.in_care_of}"
    lines = (owner.name, care, owner.mailing_address_1, owner.mailing_address_2, place)
    return ["NAME WITHHELD"] if owner.is_redacted else [line for line in lines if line]


def _block_list(bill: TaxBill) -> str:
    return f"""<ul id="{P}taxDue2" class="block-grid three-up">
<li>{bill.tax_year} Assessed Tax:</li><li>{_money(bill.assessed_cents)}</li>
<li>{bill.tax_year} Tax Paid:</li><li>{_money(bill.paid_cents)}</li>
<li>{bill.tax_year} Total Due:</li><li>{_money(bill.due_cents)}</li>
</ul>"""


def _block_table(bill: TaxBill) -> str:
    return f"""<table id="{P}taxDue1" class="tax-due"><tbody>
<tr><td>Assessed Tax:</td><td>{_money(bill.assessed_cents)}</td></tr>
<tr><td>Tax Paid:</td><td>{_money(bill.paid_cents)}</td></tr>
<tr><td>Total Due:</td><td>{_money(bill.due_cents)}</td></tr>
</tbody></table>"""


def _year_table(bills: tuple[TaxBill, ...], layout: Layout) -> str:
    rows = "\n".join(_year_row(bill) for bill in bills)
    labels = ("Tax Year", "Status", "Assessed Tax", "Amount Due", "Note")
    heads = "".join(f"<th>{label}</th>" for label in labels)
    body = f"<thead><tr>{heads}</tr></thead><tbody>\n{rows}\n</tbody></table>"
    if layout.year_table == "divBackTaxes":
        return f'<div id="{P}divBackTaxes"><table class="gridview">{body}</div>'
    return f'<div><table id="{P}gvTaxYears" class="gridview">{body}</div>'


def _year_row(bill: TaxBill) -> str:
    due = _money(bill.due_cents)
    if bill.due_cents:
        due = f'<a class="text-red" title="Click for a Tax Stub printout" href="#">{due}</a>'
    year = (
        f'<a title="Click to view Tax Details" href="TaxDetails.aspx?taxyear={bill.tax_year}">'
        f"{bill.tax_year}</a>"
    )
    return (
        f'<tr class="gridviewRow"><td>{year}</td><td>{bill.status}</td>'
        f"<td>{_money(bill.assessed_cents)}</td><td>{due}</td>"
        f"<td>{escape(bill.lien_note) or '&nbsp;'}</td></tr>"
    )


def _money(cents: int) -> str:
    return f"${cents // 100:,}.{cents % 100:02d}"


def _dollars(value: int | None) -> str:
    return "n/a" if value is None else f"${value:,}"
