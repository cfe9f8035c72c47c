"""A demo county whose account each test finds without a charge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from propkit.demo_county import start_county
from propkit.demo_county.faults import ALL_SYSTEMS
from propkit.demo_county.switches import Switches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from propkit.demo_county import County


@pytest.fixture(scope="session")
def _selling_county(_clean_environment: None, _loopback_only: None) -> Iterator[County]:
    with start_county(parcels=600, seed=11, limits=dict.fromkeys(ALL_SYSTEMS)) as county:
        yield county


@pytest.fixture
def county(_selling_county: County) -> County:
    """Return the county without faults, limits, charges, lists or a ledger."""
    _selling_county.switch(**{**Switches().as_json(), "limits": None})
    _selling_county.clear_account()
    _selling_county.clear_ledger()
    return _selling_county


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a new store is made."""
    return tmp_path / "leads.duckdb"
