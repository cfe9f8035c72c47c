"""Kept pages of a layer are read again: all parts of an area, and what was asked for by APNs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from propkit.sources.arcgis_parcels import ArcgisParcels
from propkit.sources.socrata_parcels import SocrataParcels
from tests.areas.test_areas import stored, truth_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import propkit as pk
    from propkit.demo_county import County

    OpenKit = Callable[..., Any]

KINDS = {"wake_nc_parcels": ArcgisParcels, "cook_il_parcels": SocrataParcels}


def read_owner_from_situs(kit: pk.Kit, source: str) -> None:
    """Let the layer's field map say that the owner stands where the address does."""
    config = kit.sources[source]
    layer = config.source.layer  # type: ignore[attr-defined]
    fields = {**layer.fields, "owner_name": layer.fields["situs_address"]}
    changed = KINDS[source](replace(layer, fields=fields))
    kit.sources[source] = replace(config, source=changed)


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("is_area", [True, False], ids=["an area", "by APN"])
def test_pages_of_a_layer_are_read_again_without_a_request(
    county: County, open_kit: OpenKit, source: str, is_area: bool
) -> None:
    county.switch(layers={"max_rows": 300})
    truth = truth_of(county, source)
    some = truth if is_area else {apn: truth[apn] for apn in sorted(truth)[:130]}
    with open_kit() as kit:
        if is_area:
            report = kit.collect_area(source=source, progress=False)
        else:
            report = kit.collect(list(some), source=source, progress=False)
        shapes = kit.store.rows("FROM parcel_shapes ORDER BY apn, object_id")
        county.clear_ledger()
        same = kit.reparse(source)
        read_owner_from_situs(kit, source)
        told = kit.reparse(source)
        untouched = stored(kit, source)
        applied = kit.reparse(source, apply=True)
        after = stored(kit, source)
        again = kit.reparse(source)

        assert report.is_complete
        assert same.empty
        assert same.attrs["unreadable"] == {}
        assert same.attrs["answers"] == same.attrs["keys"] == report.totals["done"]
        assert untouched == some
        differ = {a: r for a, r in some.items() if r["owner_name"] != r["situs_address"]}
        assert set(zip(told["apn"], told["table"], told["column"], strict=True)) == {
            (apn, "parcels", "owner_name") for apn in differ
        }
        assert applied.to_dict("records") == told.to_dict("records")
        assert after == {a: {**r, "owner_name": r["situs_address"]} for a, r in some.items()}
        assert again.empty
        assert kit.store.rows("FROM parcel_shapes ORDER BY apn, object_id") == shapes
        assert kit.store.duplicates() == {}
    assert county.ledger() == []
