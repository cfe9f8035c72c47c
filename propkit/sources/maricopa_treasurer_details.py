"""The Maricopa County treasurer's further pages: levies, halves, the statement, the valuations.

They cost requests of their own, so they are a source of their own: asked only for the tables that
it provides, of the newest tax bill.
"""

from __future__ import annotations

from typing import Final

from propkit.pages import Page
from propkit.record_block import Emptied
from propkit.records import Record
from propkit.sources._base import Parsed, Payload
from propkit.sources._treasurer_details import find_details, read_details, read_tax_valuations
from propkit.sources._treasurer_source import Asked, TreasurerSource, Wanted
from propkit.sources._treasurer_tables import read_bills

_TABLES_OF: Final = {
    "details": ("tax_levies", "tax_installments", "tax_statements"),
    "statement": ("tax_statements",),
    "tax_valuations": ("tax_valuations",),
}


class MaricopaTreasurerDetails(TreasurerSource):
    """The newest tax bill's levies, halves and statement, and the treasurer's values, by APN."""

    name: str = "maricopa_treasurer_details"
    provides: tuple[str, ...] = (
        "tax_levies",
        "tax_installments",
        "tax_statements",
        "tax_valuations",
    )
    # The first page redirects to the second.
    requests_per_item: int = 5

    async def ask_further(self, asked: Asked) -> None:
        """Ask for the newest details, which the summary links, and for the further pages."""
        details = find_details(asked.pages[-1])
        if details is not None:
            pages = (
                Wanted("details", details.path, details.params),
                Wanted("statement", "/Parcel/DetailedTaxStatement.aspx"),
                Wanted("tax_valuations", "/Parcel/Valuations.aspx"),
            )
            await asked.ask_for(pages)

    def read(self, apn: str, summary: Page, payload: Payload) -> Parsed:
        """Read what the pages say; a bill that is not there yet has no levies either."""
        read_bills(apn, summary, None)  # an unknown layout is an error, not a parcel without tax
        if find_details(summary) is None:
            return Parsed()
        pages = {name: payload.page(name) for name in _TABLES_OF}
        found = read_details(apn, pages["details"], pages["statement"])
        records: list[Record] = list(found.records)
        if pages["tax_valuations"] is not None:
            records += read_tax_valuations(apn, pages["tax_valuations"])
        gone = {table for name, page in pages.items() if page is None for table in _TABLES_OF[name]}
        listed = {record.table for record in found.records}
        return Parsed(
            records=tuple(records),
            missing=tuple(table for table in self.provides if table in gone),
            unsaid=found.unsaid,
            emptied=tuple(
                Emptied(table, apn, found.tax_year)
                for table in ("tax_levies", "tax_installments")
                if table not in gone | listed
            ),
        )
