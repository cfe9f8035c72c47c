"""One classifieds site and one poster's browser for the tests of a module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from propkit.browsing import window
from propkit.demo_county import County
from propkit.posters.kijiji import KijijiPoster
from tests.posters.selling import DEADLINE, free_site, posting_at


@pytest.fixture
def site(county: County) -> County:
    """Return the demo county with an empty classifieds site, no switch thrown."""
    free_site(county)
    return county


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_poster(
    _county_process: County, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[KijijiPoster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        # However busy the machine is, there is a picture of what failed.
        patch.setattr(window, "_PICTURE_SECONDS", DEADLINE)
        async with posting_at(
            _county_process, step_seconds=DEADLINE, confirm_seconds=DEADLINE
        ) as poster:
            yield poster


@pytest.fixture
def poster(site: County, shared_poster: KijijiPoster) -> KijijiPoster:
    """Return a poster in a browser that the module's tests use one after the other."""
    shared_poster.evidence.clear()
    return shared_poster
