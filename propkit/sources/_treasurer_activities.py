"""Reading the treasurer's activity details: how much of a payment went to which half of the tax."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from propkit.errors import LayoutChangedError
from propkit.pages import Page
from propkit.records import TaxPayment, TaxPaymentHalves
from propkit.sources._base import read_decimal
from propkit.sources._readers import node_text, table_rows
from propkit.sources._treasurer_columns import PAYMENTS, YEAR
from propkit.sources._treasurer_details import Link
from propkit.sources._treasurer_tables import PAYMENTS_TABLE, read_payments

_AMOUNTS: Final = {
    "amount": "AmountTotal",
    "first_half_amount": "1stHalfTotal",
    "second_half_amount": "2ndHalfTotal",
}


def newest_payments(apn: str, activities: Page) -> list[TaxPayment]:
    """Return the payments on the newest tax bill that has any, in the page's order."""
    payments = read_payments(apn, activities)
    newest = max((payment.tax_year for payment in payments), default=None)
    return [payment for payment in payments if payment.tax_year == newest]


def find_activities(activities: Page) -> dict[tuple[int, int], Link]:
    """Return where each payment's details stand, by tax year and number.

    Raises
    ------
    LayoutChangedError
        A payment is not linked to a page of the site.
    """
    table = activities.html().css_first(PAYMENTS_TABLE)
    places: Mapping[str, int] = PAYMENTS.documented
    numbers: Counter[int] = Counter()
    links: dict[tuple[int, int], Link] = {}
    for row, nodes in table_rows(table) if table is not None else ():
        cells = [node_text(node) for node in nodes]
        if PAYMENTS.is_header(nodes, cells):
            places = PAYMENTS.places(nodes, cells) or places
            continue
        place = places.get("year", 0)
        match = YEAR.match(cells[place]) if place < len(cells) else None
        if match is None:
            continue
        year = int(match[1])
        numbers[year] += 1
        link = row.css_first("a[href]")
        href = urlsplit((link.attributes.get("href") or "") if link else "")
        if not href.path or href.scheme or href.netloc:
            raise LayoutChangedError(
                f"activities: payment {numbers[year]} on {year} links no details",
                url=activities.url,
            )
        path = href.path if href.path.startswith("/") else f"/Parcel/{href.path}"
        # The link may carry the path under which the whole site stands.
        found = Link(path[path.lower().find("/parcel/") :], dict(parse_qsl(href.query)))
        links[year, numbers[year]] = found
    return links


def read_halves(payment: TaxPayment, page: Page) -> TaxPaymentHalves:
    """Read what a payment's own page says of it.

    Raises
    ------
    LayoutChangedError
        The page lacks an amount, or its total is not what was paid.
    """
    html = page.html()
    found: dict[str, Decimal | None] = {}
    for column, ending in _AMOUNTS.items():
        # Of the ids only their beginnings and ends are known.
        node = html.css_first(f'[id*="activityTaxPayment_"][id$="{ending}"]')
        if node is None:
            raise LayoutChangedError(f"{page.name}: no {ending}", url=page.url)
        found[column] = read_decimal(node_text(node), f"{page.name} {ending}")
    if found["amount"] != payment.amount:
        raise LayoutChangedError(
            f"{page.name}: it is of {found['amount']}, the payment of {payment.amount}",
            url=page.url,
        )
    return TaxPaymentHalves(
        apn=payment.apn, tax_year=payment.tax_year, number=payment.number, **found
    )
