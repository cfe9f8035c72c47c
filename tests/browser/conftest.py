"""One JupyterLab for all tests of the notebook's face; each has a browser of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.lab import LabServer, open_page, start_lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.browser.lab import LabPage


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """Return a running JupyterLab in a folder of its own."""
    with start_lab(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture
def lab(lab_server: LabServer) -> Iterator[LabPage]:
    """Return a page of the one JupyterLab; its kernels end with the test."""
    with open_page(lab_server, width=1240, height=1500) as page:
        yield page
