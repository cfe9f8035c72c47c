"""Copies of a store that a process left which died over them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from propkit.settings import Settings
from propkit.sharing.joining import own_place
from propkit.sources import configure_sources
from propkit.store import Store
from propkit.store.snapshots import write_draft

if TYPE_CHECKING:
    from pathlib import Path


def leave_drafts(path: Path) -> tuple[list[Path], list[Path]]:
    """Leave an old draft with its log beside a store, and what is to stay: a young one, another's."""
    old = [path.with_name(f".{path.name}-0123abcd.snapshot{end}") for end in ("", ".wal")]
    stay = [
        path.with_name(f".{path.name}-89abcdef.snapshot"),
        path.with_name(".other.duckdb-0123abcd.snapshot"),
    ]
    for draft in [*old, *stay]:
        draft.write_bytes(b"half")
    for draft in [*old, stay[1]]:
        os.utime(draft, (time.time() - 601,) * 2)
    return old, stay


@pytest.mark.parametrize("by", ["the next owner", "the next snapshot"])
def test_a_draft_that_was_left_is_removed(tmp_path: Path, by: str):
    """One that is young may be in work, and is left alone."""
    path = tmp_path / "a[1].duckdb"
    if by == "the next owner":
        old, stay = leave_drafts(path)
        settings = Settings()
        own_place(path, settings, configure_sources(settings)).close()
    else:
        store = Store.open(path)
        old, stay = leave_drafts(path)
        write_draft(store)
        store.close()

    assert [draft.exists() for draft in old] == [False, False]
    assert [draft.exists() for draft in stay] == [True, True]
