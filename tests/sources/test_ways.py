"""What is set for a source holds for the second way to the same system too."""

from __future__ import annotations

import pytest

import propkit as pk
from propkit.errors import SettingsError
from propkit.sources import configure_sources

FIRST, SECOND = "maricopa_recorder", "maricopa_recorder_portal"


def test_a_system_that_was_moved_is_asked_at_its_new_place_in_every_way() -> None:
    sources = {
        FIRST: {"base_url": "http://localhost:8900/recorder", "requests_per_second": 7},
        SECOND: {"requests_per_second": 3, "user_agent": "me"},
    }

    configs = configure_sources(pk.Settings.load(sources=sources))
    untouched = configure_sources(pk.Settings.load())

    assert configs[SECOND].base_url == configs[FIRST].base_url == "http://localhost:8900/recorder"
    assert configs[SECOND].host == configs[FIRST].host
    assert (configs[FIRST].requests_per_second, configs[SECOND].requests_per_second) == (7, 3)
    assert configs[SECOND].headers == {"User-Agent": "me"}
    assert untouched[SECOND].base_url == "https://recorder.maricopa.gov"


def test_more_browsers_than_pages_are_refused() -> None:
    with pytest.raises(SettingsError, match="3 browsers are too many for pages = 2"):
        pk.Settings.load(browsing={"pages": 2, "browsers": 3})
