"""A kit over the demo county, and panels that only move when a test turns them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from propkit.widgets.panel import Panel
from tests.collecting import quick_kit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import propkit as pk
    from propkit.demo_county.county import County


@pytest.fixture
def kit(county: County, tmp_path: Path) -> Iterator[pk.Kit]:
    """Return a kit over the demo county, as fast as it answers."""
    with quick_kit(county, tmp_path / "panel.duckdb") as kit:
        yield kit


@pytest.fixture(autouse=True)
def _panels_stand_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Panel, "begin", lambda panel: panel.turn(None))
