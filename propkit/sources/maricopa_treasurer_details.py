"""The Maricopa County treasurer's further pages: levies, halves, the statement, the valuations.

They cost requests of their own, so they are a source of their own: asked only for the tables that
it provides, of the newest tax bill.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Literal

from propkit.errors import InvalidAnswerError, SessionLostError, SourceUnavailableError
from propkit.records import Record
from propkit.sources._base import Ask, Parsed, Payload
from propkit.sources._readers import read_apn, why_missing
from propkit.sources._treasurer_details import find_details, read_details, read_tax_valuations
from propkit.sources._treasurer_pages import check_parcel, choose_parcel, is_missing
from propkit.sources._treasurer_tables import read_bills

_TABLES_OF: Final = {
    "details": ("tax_levies", "tax_installments", "tax_statements"),
    "statement": ("tax_statements",),
    "tax_valuations": ("tax_valuations",),
}


class MaricopaTreasurerDetails:
    """The newest tax bill's levies, halves and statement, and the treasurer's values, by APN."""

    name: str = "maricopa_treasurer_details"
    county: str = "maricopa"
    provides: tuple[str, ...] = (
        "tax_levies",
        "tax_installments",
        "tax_statements",
        "tax_valuations",
    )
    needs: str | None = None
    base_url: str = "https://treasurer.maricopa.gov"
    # As the other source of this host.
    requests_per_second: float = 2.0
    seconds_per_item: float = 2.0
    max_in_flight: int = 2
    max_age: timedelta = timedelta(hours=24)
    transport: Literal["http", "browser"] = "http"
    # The first page redirects to the second.
    requests_per_item: int = 5
    credits_per_item: float = 0.0
    token_header: str | None = None
    headers: Mapping[str, str] = {}
    is_session_bound: bool = True
    parser_version: int = 1

    async def fetch(self, key: str, apn: str | None, ask: Ask) -> Payload:
        """Ask for the summary, which links the newest details, and for the further pages."""
        asked = read_apn(key) or key
        pages = await choose_parcel(asked, ask)
        missing: dict[str, str] = {}
        details = None if is_missing(pages[0]) else find_details(pages[-1])
        if details is not None:
            for name, path, params in (
                ("details", details.path, details.params),
                ("statement", "/Parcel/DetailedTaxStatement.aspx", None),
                ("tax_valuations", "/Parcel/Valuations.aspx", None),
            ):
                try:
                    page = await ask.get(path, name=name, params=params, expect="html")
                    check_parcel(page, asked)
                except SessionLostError:
                    raise
                except (SourceUnavailableError, InvalidAnswerError) as error:
                    missing[name] = why_missing(name, error)
                else:
                    pages.append(page)
        return Payload(source=self.name, key=key, apn=apn, pages=tuple(pages), missing=missing)

    def parse(self, payload: Payload) -> Parsed:
        """Read what the pages say; a bill that is not there yet has no levies either."""
        apn = read_apn(payload.key) or payload.key
        summary = payload.page("summary") or payload.page("parcel")
        if summary is None:
            raise InvalidAnswerError(f"{self.name}: the payload of {payload.key} has no summary")
        if is_missing(summary):
            return Parsed(is_found=False)
        check_parcel(summary, apn)
        read_bills(apn, summary, None)  # an unknown layout is an error, not a parcel without tax
        if find_details(summary) is None:
            return Parsed()
        pages = {name: payload.page(name) for name in _TABLES_OF}
        for page in pages.values():
            if page is not None:
                check_parcel(page, apn)
        found = read_details(apn, pages["details"], pages["statement"])
        records: list[Record] = list(found.records)
        if pages["tax_valuations"] is not None:
            records += read_tax_valuations(apn, pages["tax_valuations"])
        gone = {table for name, page in pages.items() if page is None for table in _TABLES_OF[name]}
        return Parsed(
            records=tuple(records),
            missing=tuple(table for table in self.provides if table in gone),
            unsaid=found.unsaid,
        )
