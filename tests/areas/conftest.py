"""A demo county whose map servers each test finds as they were started."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from propkit.demo_county import start_county
from propkit.demo_county.faults import ALL_SYSTEMS
from propkit.demo_county.switches import Switches
from propkit.sources import configure_sources
from propkit.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from propkit.demo_county import County

QUICK = {"backoff_initial": 0.01, "backoff_max": 0.02, "request_timeout": 60}


@pytest.fixture(scope="session")
def _mapped_county(_clean_environment: None, _loopback_only: None) -> Iterator[County]:
    with start_county(parcels=700, seed=23, limits=dict.fromkeys(ALL_SYSTEMS)) as county:
        yield county


@pytest.fixture
def county(_mapped_county: County) -> County:
    """Return the county without faults, limits or a ledger."""
    _mapped_county.switch(**{**Switches().as_json(), "limits": None})
    _mapped_county.clear_ledger()
    return _mapped_county


def layers_settings(county: County, **collect: Any) -> dict[str, Any]:
    """Return settings by which every layer of the county is asked without a pace."""
    sources = {
        name: {**given, "requests_per_second": 5000, "max_in_flight": 8}
        for name, given in county.layers_settings().items()
    }
    return {"sources": sources, "collect": {**QUICK, **collect}}


@contextmanager
def layers_kit(
    county: County, path: Path, *, notify: dict[str, Any] | None = None, **collect: Any
) -> Iterator[pk.Kit]:
    """Open a kit over the county's layers."""
    settings = pk.Settings.load(**layers_settings(county, **collect), notify=notify or {})
    with pk.Kit(Store.open(path), settings, configure_sources(settings)) as kit:
        yield kit


@pytest.fixture
def open_kit(county: County, tmp_path: Path) -> Callable[..., Any]:
    """Return what opens a kit over the county's layers, in this test's store."""

    def open_one(**collect: Any) -> Any:
        return layers_kit(county, tmp_path / "areas.duckdb", **collect)

    return open_one
