"""Shared by the tests that collect: a kit over the demo county that waits for nothing."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import propkit as pk
from propkit.asking import AskedPlace
from propkit.demo_county.faults import SYSTEMS
from propkit.demo_county.switches import ALLOW_ALL, Switches
from propkit.http_exchange import Address, Answer, Exchange, Origin
from propkit.sources import configure_sources
from propkit.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date
    from logging import LogRecord
    from pathlib import Path

    import pytest

    from propkit.demo_county import County

QUICK = {
    "backoff_initial": 0.01,
    "backoff_max": 0.02,
    # A county on loopback answers, or the test makes it hang and lets it go.
    "request_timeout": 60,
    "breaker_seconds": 0.05,
}


def free_county(county: County) -> None:
    """Take all faults and limits from a county, and empty its ledger.

    What an earlier test gave up is let go and at an end by then: it would count as in flight
    beside this one's requests, or meet a like fault again.
    """
    from tests.guests.notebooks import wait_until  # here: it imports this module

    as_started = Switches().as_json()
    # These two change only the systems named: every one is named.
    unlimited = {"limits": None, "robots": dict.fromkeys((*SYSTEMS, "root"), ALLOW_ALL)}
    county.switch(**{**as_started, **unlimited})
    wait_until(lambda: not any(county.health()["in_flight"][system] for system in SYSTEMS))
    county.clear_ledger()


def quick_settings(county: County, **collect: Any) -> pk.Settings:
    """Return settings for a county without limits: no pace to speak of, hardly any back-off."""
    sources = {
        name: {**values, "requests_per_second": 5000, "max_in_flight": 8}
        for name, values in county.settings().items()
    }
    return pk.Settings.load(sources=sources, collect={**QUICK, **collect})


@contextmanager
def quick_kit(
    county: County, path: Path, *, has_browser: bool = False, **collect: Any
) -> Iterator[pk.Kit]:
    """Open a kit with :func:`quick_settings`; without a browser nothing falls back to one."""
    settings = quick_settings(county, **collect)
    sources = {
        name: config
        for name, config in configure_sources(settings).items()
        if has_browser or config.source.transport != "browser"
    }
    with pk.Kit(Store.open(path), settings, sources) as kit:
        yield kit


def note_places(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """Return a list that fills with the places of a pace taken from now on: for what, and when.

    When the county reads a request is for the machine to say.
    """
    taken: list[tuple[str, float]] = []
    enter = AskedPlace.__aenter__

    async def noted(place: AskedPlace) -> float:
        started_at = await enter(place)
        taken.append((str(place._url), started_at))
        return started_at

    monkeypatch.setattr(AskedPlace, "__aenter__", noted)
    return taken


def be_patient(monkeypatch: pytest.MonkeyPatch, is_silent: Callable[[str], bool]) -> None:
    """Let only those requests time out, by their addresses, that the county lets hang.

    ``request_timeout`` is short where silence is the fault; all others a busy machine may answer
    late.
    """
    ask = Exchange.ask

    async def ask_patiently(
        self: Exchange, origin: Origin, address: Address, **more: Any
    ) -> Answer:
        task = asyncio.current_task()

        def wait_longer() -> None:
            for limit in self._limits.running:
                if limit._task is task and limit._seconds == self._seconds:
                    limit.wait_longer(QUICK["request_timeout"])

        if not is_silent(address.text):
            asyncio.get_running_loop().call_soon(wait_longer)  # once the request has its limit
        return await ask(self, origin, address, **more)

    monkeypatch.setattr(Exchange, "ask", ask_patiently)


def own_records(caplog: pytest.LogCaptureFixture) -> list[LogRecord]:
    """Return what propkit has logged in a test: a library may say something of an earlier one."""
    return [record for record in caplog.records if record.name.startswith("propkit")]


def as_truth(value: Decimal | date | object) -> object:
    """Return a stored value as the county's truth writes it."""
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


def table_as_truth(kit: pk.Kit, table: str) -> list[dict[str, object]]:
    """Return a record table as the county's truth writes it, provenance left out."""
    rows = kit.store.rows(f"SELECT * EXCLUDE (source, collected_at, unchanged_since) FROM {table}")
    for row in rows:
        row.pop("not_found_since", None)  # the county knows of none
    return in_order([{name: as_truth(value) for name, value in row.items()} for row in rows])


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sort rows by all that they hold."""
    return sorted(rows, key=lambda row: [str(row[name]) for name in sorted(row)])
