"""Parcels of a map layer by their APNs: many in a request, each with its own freshness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from propkit.errors import RequestError
from tests.areas.test_areas import requests, stored, truth_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from propkit.demo_county import County

    OpenKit = Callable[..., Any]


def test_many_apns_are_one_request(county: County, open_kit: OpenKit) -> None:
    apns = county.apns(250)
    with open_kit() as kit:
        plan = kit.plan(apns, source="maricopa_parcels")
        report = kit.collect(plan, progress=False)

        truth = truth_of(county, "maricopa_parcels")
        known = [apn for apn in apns if apn in truth]
        assert plan.counts == {"due": 250}
        assert len(plan.items) == 3
        assert len(requests(county)) == 3
        assert report.state == "completed"
        assert stored(kit, "maricopa_parcels") == {apn: truth[apn] for apn in known}
        again = kit.plan([*apns, "999-99-999", "nonsense", apns[0]], source="maricopa_parcels")
        assert again.counts == {"due": 1, "fresh": 250, "duplicate": 1, "invalid": 1}
        rows = kit.sql("SELECT key FROM freshness WHERE NOT is_found ORDER BY key")
        assert rows["key"].tolist() == sorted(set(apns) - set(known))


def test_a_number_is_asked_for_as_a_number(county: County, open_kit: OpenKit) -> None:
    truth = truth_of(county, "bexar_tx_parcels")
    some = sorted(truth)[:5]
    with open_kit() as kit:
        kit.collect(some, source="bexar_tx_parcels", progress=False)

        assert stored(kit, "bexar_tx_parcels") == {apn: truth[apn] for apn in some}


@pytest.mark.parametrize("source", ["hamilton_oh_parcels", "cook_il_parcels"])
def test_dotted_names_and_datasets_are_asked_by_apn_too(
    county: County, open_kit: OpenKit, source: str
) -> None:
    truth = truth_of(county, source)
    some = sorted(truth)[:5]
    with open_kit() as kit:
        report = kit.collect([*some, "O'NEIL"], source=source, progress=False)

        assert report.is_complete
        assert stored(kit, source) == {apn: truth[apn] for apn in some}


def test_parcels_of_two_counties_with_one_number_are_two(county: County, open_kit: OpenKit) -> None:
    apn = next(iter(truth_of(county, "wake_nc_parcels")))
    with open_kit() as kit:
        for source in ("wake_nc_parcels", "maricopa_parcels", "wake_nc_parcels"):
            kit.collect([apn], source=source, max_age=0, progress=False)

        rows = kit.sql("SELECT county FROM parcels ORDER BY county")
        assert rows["county"].tolist() == ["maricopa", "wake_nc"]


def test_apns_that_are_none_that_are_all_unknown_end_as_not_found(open_kit: OpenKit) -> None:
    with open_kit() as kit:
        report = kit.collect(["123-45-678"], source="maricopa_parcels", progress=False)

        assert report.totals["not_found"] == 1


@pytest.mark.parametrize("source", ["maricopa_assessor", "nowhere"])
def test_a_source_that_is_no_layer_is_refused(open_kit: OpenKit, source: str) -> None:
    with open_kit() as kit, pytest.raises(RequestError, match="is no map layer"):
        kit.plan(["123-45-678"], source=source)


def test_a_county_that_only_layers_know_is_asked_by_a_source(open_kit: OpenKit) -> None:
    """Who names the county is told of the layer; a layer takes no other county's name."""
    with open_kit() as kit:
        with pytest.raises(RequestError, match="asked with source='bexar_tx_parcels'"):
            kit.plan(["1"], county="bexar_tx")
        with pytest.raises(RequestError, match="is a layer of bexar_tx"):
            kit.plan(["1"], source="bexar_tx_parcels", county="pinal")

        plan = kit.plan(["1"], source="bexar_tx_parcels", county="bexar_tx")

    assert [item.source for item in plan.items] == ["bexar_tx_parcels"]


def test_a_plan_without_a_source_asks_no_layer(open_kit: OpenKit) -> None:
    with open_kit() as kit:
        plan = kit.plan(["123-45-678"], mode="all")

        assert {item.source for item in plan.items} == {
            "maricopa_assessor",
            "maricopa_treasurer",
            "maricopa_treasurer_browser",
        }
        assert plan.fallbacks == {}


def test_a_number_of_another_county_gives_no_deed(open_kit: OpenKit) -> None:
    columns = "(county, apn, deed_number, source, collected_at)"
    with open_kit() as kit:
        kit.store.writer.submit(
            lambda connection: connection.execute(
                f"INSERT INTO parcels {columns} VALUES ('x_tx', '12345678', '7', 's', now()),"
                " ('maricopa', '12345679', '20130000001', 's', now())"
            )
        ).result()

        assert kit.store.parcel_column("deed_number", ["12345678", "12345679"]) == {
            "12345679": "20130000001"
        }
