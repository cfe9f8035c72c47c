"""A store that another process owns, and a kit that is its guest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import propkit as pk
from tests.guests.notebooks import Notebook, notebook, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from propkit.demo_county import County


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.duckdb"


@pytest.fixture
def owner(county: County, path: Path) -> Iterator[Notebook]:
    """Start the process that owns the store."""
    with notebook(path, settings_of(county)) as owner:
        yield owner


@pytest.fixture
def kit(owner: Notebook, county: County, path: Path) -> Iterator[pk.Kit]:
    """Open the store here, as a guest."""
    with pk.open(path, settings=pk.Settings.load(**settings_of(county))) as kit:
        yield kit


@pytest.fixture
def known(county: County) -> list[str]:
    """Return APNs that all three systems know."""
    truth = county.truth(county.apns(120))
    deeds = {row["apn"] for row in truth["documents"]}
    billed = {row["apn"] for row in truth["tax_bills"]}
    county.clear_ledger()
    return [row["apn"] for row in truth["parcels"] if row["apn"] in deeds & billed]
