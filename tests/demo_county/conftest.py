from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from propkit.demo_county import County, start_county
from propkit.demo_county.faults import SYSTEMS
from propkit.demo_county.switches import ALLOW_ALL
from propkit.demo_county.truth import CountyTruth

NO_LIMITS = {"assessor": None, "treasurer": None, "recorder": None}
DEFAULTS = {
    "limits": NO_LIMITS,
    "latency": 0,
    "faults": [],
    "envelope": "results",
    "layout": "mixed",
    "year_table": "mixed",
    "button": "mixed",
    "one_call": True,
    "leak_mb": 0,
    "unknown_parcel": "empty",
    "token": "demo-token",
    "robots": dict.fromkeys((*SYSTEMS, "root"), ALLOW_ALL),
}


@pytest.fixture(scope="session")
def truth() -> CountyTruth:
    return CountyTruth(2000, 7)


@pytest.fixture(scope="session")
def running_county() -> Iterator[County]:
    with start_county(limits=NO_LIMITS) as county:
        yield county


@pytest.fixture
def county(running_county: County) -> County:
    """Every test finds the switches at their defaults and an empty ledger."""
    running_county.switch(**DEFAULTS)
    running_county.clear_ledger()
    return running_county


@pytest.fixture
def client(county: County) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=county.url,
        headers={"AUTHORIZATION": "demo-token"},
        follow_redirects=True,
        timeout=60,
        trust_env=False,
    ) as client:
        yield client
