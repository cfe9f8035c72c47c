"""A source as another package brings it: the assessor of a county that propkit does not know."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from propkit.errors import LayoutChangedError
from propkit.records import Parcel
from propkit.sources import Parsed, Payload


class PinalAssessor:
    """Parcels of Pinal County, by APN."""

    name = "pinal_assessor"
    county = "pinal"
    provides = ("parcels",)
    needs = None
    base_url = "https://assessor.pinal.test"
    requests_per_second = 2.0
    seconds_per_item = 0.0
    max_in_flight = 2
    max_age = timedelta(days=7)
    transport = "http"
    requests_per_item = 1
    token_header = None
    headers: ClassVar[dict[str, str]] = {}
    is_session_bound = False
    parser_version = 1

    async def fetch(self, key, apn, ask):
        """Ask for one parcel."""
        page = await ask.get(
            f"/parcel/{key}", name="parcel", accept=lambda page: page.status == 404
        )
        return Payload(source=self.name, key=key, apn=apn, pages=(page,))

    def parse(self, payload):
        """Read the parcel."""
        page = payload.page("parcel")
        if page.status == 404:
            return Parsed(is_found=False)
        answer = page.json()
        if not isinstance(answer, dict) or "owner" not in answer:
            raise LayoutChangedError(f"parcel: no owner in {answer!r:.80}", url=page.url)
        parcel = Parcel(apn=payload.key, county=self.county, owner_name=answer["owner"])
        return Parsed(records=(parcel,))
