"""The Maricopa County treasurer through the form of its start page, in a browser.

The second way to the pages of :mod:`propkit.sources.maricopa_treasurer`, whose reader reads them:
where the address with the parcel in it no longer works, the form does.
"""

from __future__ import annotations

from typing import Final, Literal

from propkit.pages import Page
from propkit.sources._base import Ask
from propkit.sources._browsing import as_browsing
from propkit.sources._treasurer_pages import may_be_missing
from propkit.sources.maricopa_treasurer import MaricopaTreasurer

_BOXES: Final = {
    "#txtParcelNumBook": slice(0, 3),
    "#txtParcelNumMap": slice(3, 5),
    "#txtParcelNumItem": slice(5, 8),
    "#txtParcelNumSplit": slice(8, None),
}
"""The four boxes of the form, and the part of the APN that each takes."""


class MaricopaTreasurerBrowser(MaricopaTreasurer):
    """Tax bills of all years and their payments, by APN, as a person asks for them."""

    name: str = "maricopa_treasurer_browser"
    way_of: str = "maricopa_treasurer"
    transport: Literal["http", "browser"] = "browser"
    # The form, what it is sent to, the summary, the years and the payments.
    requests_per_item: int = 5

    async def enter(self, asked: str, ask: Ask) -> Page:
        """Type the parcel into the form and press its button, of whichever kind it is."""
        return await as_browsing(ask).submit(
            "/",
            name="parcel",
            fields={box: asked[part] for box, part in _BOXES.items()},
            button="#btnGo",
            accept=may_be_missing,
        )
