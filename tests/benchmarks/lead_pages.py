"""The leads API's answers, from memory: the demo county's rows in the demo county's envelope.

One account that has paid for nothing yet and buys the pages in their order, within its quota:
every answer about a page is always the same, and serving 400 leads costs some 0.2 ms.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import parse_qsl

from propkit.demo_county.lead_rows import all_rows
from propkit.demo_county.leads import MOST_ROWS
from propkit.demo_county.truth import CountyTruth


class LeadPages:
    """Pages of leads, paid or only counted."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.keys: list[str] = [row["RadarID"] for row in rows]
        self._rows = [_as_json(row) for row in rows]

    @classmethod
    def make(cls, leads: int, seed: int = 7) -> Self:
        """Ask the demo county for so many leads."""
        # About 1 in 120 parcels is unknown to the assessor.
        rows = all_rows(CountyTruth(leads + leads // 50 + 50, seed))
        if len(rows) < leads:
            raise ValueError(f"the demo county knows {len(rows)} of {leads} leads")
        return cls(rows[:leads])

    def find(self, path: str) -> tuple[str, bytes] | None:
        """Return which page a path asks for and the answer; None for no such page."""
        place, _, query = path.partition("?")
        if place.rstrip("/") != "/v1/properties":
            return None
        given = dict(parse_qsl(query))
        try:
            start, limit = int(given["Start"]), min(int(given["Limit"]), MOST_ROWS)
        except (KeyError, ValueError):
            return None
        key = f"{start}+{limit}, purchase {given.get('Purchase')}"
        return key, self.page(start, limit, is_paid=given.get("Purchase") == "1")

    def page(self, start: int, limit: int, *, is_paid: bool) -> bytes:
        """Return a page as the API sends it; unpaid it holds no rows."""
        rows = self._rows[start : start + limit]
        total = len(self._rows)
        envelope = {
            "resultCount": len(rows),
            "totalResultCount": total,
            "totalCost": "0.00",
            "quantityFreeRemaining": total - start - (len(rows) if is_paid else 0),
        }
        shown = b",".join(rows) if is_paid else b""
        return b'{"results":[%b],%b' % (shown, _as_json(envelope)[1:])


def _as_json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
