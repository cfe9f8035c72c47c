"""A store for each test, and a writer that never commits by the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from propkit.store import Store, writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.duckdb"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store.open(path)
    yield store
    store.close()


@pytest.fixture
def no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let groups end by their size or a flush only, however slow this machine is."""
    monkeypatch.setattr(writer, "GROUP_SECONDS", 3600.0)
