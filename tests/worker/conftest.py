"""Workers over a store, and kits that come to them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from propkit.sharing.discovery import read_discovery
from propkit.worker.handing import dump_settings
from tests.guests.notebooks import DEADLINE_SECONDS, end_workers, settings_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from propkit.demo_county import County

    StartWorker = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.duckdb"


@pytest.fixture
def settings(county: County) -> pk.Settings:
    return pk.Settings.load(**settings_of(county))


@pytest.fixture
def apns(county: County) -> list[str]:
    """Return APNs that the assessor knows."""
    known = [row["apn"] for row in county.truth(county.apns(60))["parcels"]]
    county.clear_ledger()
    return known[:40]


@pytest.fixture
def start_worker(path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start workers as from a shell; each is killed in the end."""
    begun: list[subprocess.Popen[bytes]] = []

    def start(settings: pk.Settings, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "propkit.cli", "worker", "--db", str(path)]
        worker = subprocess.Popen([*command, "--settings-stdin", *options], stdin=subprocess.PIPE)
        assert worker.stdin is not None
        with worker.stdin as given:
            given.write(dump_settings(settings).encode())
        begun.append(worker)
        return worker

    yield start
    for worker in begun:
        worker.kill()
        worker.wait(DEADLINE_SECONDS)


def owner_pid(path: Path) -> int | None:
    """Return the process that owns a store, as it says itself."""
    found = read_discovery(path)
    return None if found is None else found.pid


@pytest.fixture(name="end_workers")
def _end_workers(path: Path) -> Iterator[None]:
    """End the workers that kits have started, whatever the test has come to."""
    yield
    end_workers(path)


def wait_for_owner(path: Path, pid: int) -> None:
    """Wait until a process owns the store."""
    wait_until(lambda: owner_pid(path) == pid)


def counts(kit: pk.Kit) -> dict[str, Any]:
    """Return the items of the only batch by state."""
    rows = kit.store.rows("SELECT state, count(*) AS n FROM items GROUP BY state ORDER BY state")
    return {row["state"]: row["n"] for row in rows}
