"""The benchmark itself, on a few parcels: everybody stores the same, and who does not stops it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.benchmarks import measuring, tables
from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.scenarios import SCENARIOS, Entry, Scenario

FEW = Scenario(
    says="Fifty parcels.",
    entries=(Entry("propkit", (50,)), Entry("aiohttp_by_hand", (40,))),
    rounds=1,
    minutes=0.1,
)


def a_run(**changes: object) -> dict[str, Any]:
    return {"lost": 0, "doubled": 0, "rows": {"50": {"parcels": "as they are"}}, **changes}


def test_propkit_and_a_client_by_hand_store_the_same_rows() -> None:
    found = measuring.measure("few", FEW)

    own, by_hand = (entry["runs"][0] for entry in found["entries"])
    assert own["rows"]["50"]["parcels"]["count"] == 50
    assert own["rows"]["40"] == by_hand["rows"]["40"]
    assert {table: rows["count"] > 0 for table, rows in own["rows"]["40"].items()} == dict.fromkeys(
        ("parcels", "residences", "valuations", "sales"), True
    )
    text = tables.as_markdown(found, FEW.table(found), FEW.checks(found))
    assert "| propkit | 50 |" in text
    assert "| aiohttp_by_hand | 40 |" in text


@pytest.mark.parametrize(
    "other", [{"lost": 1}, {"doubled": 1}, {"rows": {"50": {"parcels": "not as they are"}}}]
)
def test_wrong_rows_end_it(other: dict[str, Any]) -> None:
    first, second = FEW.entries
    measuring._check_rows(FEW, {first: [a_run()], second: [a_run()]})

    with pytest.raises(SystemExit):
        measuring._check_rows(FEW, {first: [a_run()], second: [a_run(**other)]})


def test_every_scenario_asks_contenders_that_there_are_for_parcels_at_each_host() -> None:
    for scenario in SCENARIOS.values():
        assert {entry.contender for entry in scenario.entries} <= set(CONTENDERS)
        assert {len(entry.shares) for entry in scenario.entries} == {len(scenario.hosts)}


def test_all_scenarios_together_take_less_than_40_minutes() -> None:
    assert sum(scenario.minutes for scenario in SCENARIOS.values()) < 40
