"""Shared by the tests that buy leads: a kit over a demo county's leads API, and its account."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import propkit as pk
from propkit.sources import configure_sources
from propkit.sources.propertyradar import PropertyRadar
from propkit.store import Store
from tests.collecting import QUICK
from tests.guests.notebooks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest

    from propkit.demo_county import County

CRITERIA: dict[str, Any] = {"State": "AZ", "AVM": (150_000, None), "isSiteVacant": False}
CAPS = {"max_records": 10_000, "max_cost": 0}
WAIT = 60


def leads_settings(county: County, **collect: Any) -> dict[str, Any]:
    """Return settings, as JSON holds them, for a county that is asked without a pace."""
    sources = {
        name: {**given, "requests_per_second": 5000, "max_in_flight": 8}
        for name, given in {**county.settings(), **county.leads_settings()}.items()
    }
    return {"sources": sources, "collect": {**QUICK, "settle_seconds": 0, **collect}}


@contextmanager
def leads_kit(
    county: County, path: Path, *, notify: dict[str, Any] | None = None, **collect: Any
) -> Iterator[pk.Kit]:
    """Open a kit with :func:`leads_settings`."""
    settings = pk.Settings.load(**leads_settings(county, **collect), notify=notify or {})
    with pk.Kit(Store.open(path), settings, configure_sources(settings)) as kit:
        yield kit


def time_out(monkeypatch: pytest.MonkeyPatch, *, nth: int, when: Callable[[], bool]) -> None:
    """Let the time run out that the ``nth`` page may take to be bought, as soon as something holds.

    A limit of seconds would be met by other requests too, where the machine is busy.
    """
    buy, pages = PropertyRadar.buy, 0

    async def buy_in_vain(self: PropertyRadar, criteria: Any, ask: Any, **part: int) -> Any:
        nonlocal pages
        pages += 1
        if pages != nth:
            return await buy(self, criteria, ask, **part)
        buying = asyncio.create_task(buy(self, criteria, ask, **part))
        await asyncio.to_thread(wait_until, when)
        (limit,) = (one for one in ask._client.limits.running if one._task is buying)
        limit.due = time.monotonic()
        return await buying

    monkeypatch.setattr(PropertyRadar, "buy", buy_in_vain)


def paid_requests(county: County) -> int:
    """Count the paid requests that came."""
    return sum("Purchase=1" in entry["query"] for entry in county.ledger("propertyradar"))


def paid_ids(county: County) -> Counter[str]:
    """Return how often the account was charged for each lead."""
    charges = [charge for charge in county.account()["charges"] if charge["kind"] == "properties"]
    return Counter(radar_id for charge in charges for radar_id in charge["ids"])


def stored_ids(kit: pk.Kit) -> Counter[str]:
    """Return how often each lead stands in the store."""
    return Counter(row["radar_id"] for row in kit.store.rows("SELECT radar_id FROM leads"))


def states(kit: pk.Kit) -> list[str]:
    """Return the state of each purchase, the oldest first."""
    return list(kit.purchases()["state"])
