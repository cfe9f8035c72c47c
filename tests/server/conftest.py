"""One server for the tests of this folder, over a store of its own, and APNs that nobody has used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.serving import Client, Jupyter, jupyter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from propkit.demo_county import County


@pytest.fixture(scope="session")
def _server(_county_process: County, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    folder = tmp_path_factory.mktemp("jupyter") / "notebooks"
    with jupyter(
        folder, _county_process, requests_per_second=1000, heartbeat_seconds=0.3
    ) as server:
        yield server


@pytest.fixture
def server(_server: Jupyter, county: County) -> Jupyter:
    """Return the server of the test session; its store holds what other tests have left."""
    return _server


@pytest.fixture
def client(server: Jupyter) -> Client:
    """Return a client of that server, with its token."""
    return server.client


@pytest.fixture
def apns(server: Jupyter, county: County) -> list[str]:
    """Return 40 APNs that no other test has had."""
    given = server.given
    server.given += 40
    return county.apns(40, skip=given)
