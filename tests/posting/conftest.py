"""A site, a sheet and settings without pauses, for the tests of posting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from tests.posting.sheets import make_trucks
from tests.posting.site import FakeSite, SitePoster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd


@pytest.fixture
def site(tmp_path: Path) -> FakeSite:
    return FakeSite(tmp_path / "site.jsonl")


@pytest.fixture
def post(site: FakeSite, tmp_path: Path) -> Callable[..., pk.PostingReport]:
    """Run a batch with a poster of the site; what is for the poster goes to it."""

    def run(sheet: Any, mode: str = "new", **options: Any) -> pk.PostingReport:
        given = {
            name: options.pop(name)
            for name in ("faults", "limits", "can_find", "at")
            if name in options
        }
        poster = options.pop("poster", None) or SitePoster(site, **given)
        posting = {"backoff_initial": 0, "grace_seconds": 30, **options.pop("posting", {})}
        return pk.run_batch(
            sheet,
            mode,
            poster,
            store=options.pop("store", tmp_path / "ledger.duckdb"),
            settings=pk.Settings.load(posting=posting),
            **options,
        )

    return run


@pytest.fixture
def trucks() -> pd.DataFrame:
    """Three rows that were never posted."""
    return make_trucks(3)
