"""One JupyterLab for all tests of the notebook's face; each has a browser of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.lab import LabServer, open_page, start_lab

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tests.browser.lab import LabPage


HAS_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Let the page of a test that failed be seen: in a picture, and in the text of the log."""
    report = yield
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.failed and report.when == "call" and lab is not None:
        try:
            report.sections.append(("The page", lab.describe()))
        except Exception as error:  # noqa: BLE001 -- the browser may be what failed
            report.sections.append(("The page", f"cannot be read: {error}"))
    item.stash[HAS_FAILED] = item.stash.get(HAS_FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def lab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabServer]:
    """Return a running JupyterLab in a folder of its own."""
    with start_lab(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture
def lab(lab_server: LabServer, request: pytest.FixtureRequest) -> Iterator[LabPage]:
    """Return a page of the one JupyterLab; its kernels end with the test."""
    with open_page(lab_server, width=1240, height=1500) as page:
        yield page
        if request.node.stash.get(HAS_FAILED, False):
            page.keep(f"failed-{request.node.name}", as_it_is=True)
