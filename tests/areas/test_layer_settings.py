"""Layers as sources: found by name, described in the settings, pointed elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from propkit.errors import SettingsError
from propkit.layers.fields import Field
from propkit.layers.ready import READY
from propkit.sources import configure_sources
from propkit.sources._layer_source import LayerSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from propkit.demo_county import County

    OpenKit = Callable[..., Any]

URL = "https://gis.example.gov/arcgis/rest/services/Parcels/MapServer/12"
MINE = {"kind": "arcgis", "url": URL, "county": "mine_az", "fields": {"apn": "PIN"}}


def test_a_layer_is_a_source_when_it_is_asked_for() -> None:
    sources = configure_sources(pk.Settings())
    listed = set(sources)

    assert not listed & set(READY)
    assert set(READY) <= {name for name in READY if name in sources}
    assert "us_az_pima" not in sources
    for name, layer in READY.items():
        config = sources[name]
        assert isinstance(config.source, LayerSource)
        assert (config.source.name, config.source.county) == (name, layer.county)
        assert config.terms.keys_per_item == 100
    assert set(sources) == listed | set(READY)


def test_layers_of_one_server_share_its_pace() -> None:
    sources = configure_sources(pk.Settings())

    hosts = {name: sources[name].host for name in READY}

    assert hosts["miami_dade_fl_parcels"] == hosts["broward_fl_parcels"] == "services.arcgis.com"
    assert hosts["erie_ny_parcels"] == hosts["onondaga_ny_parcels"]
    assert hosts["maricopa_parcels"] == "gis.mcassessor.maricopa.gov"


def test_a_layer_of_ones_own_is_described_in_the_settings() -> None:
    fields = {
        "apn": "PIN",
        "situs_address": ["NO", "STREET"],
        "lot_size_sqft": {"field": "ACRES", "factor": 43560},
    }
    given = {**MINE, "fields": fields, "where": "COUNTY = 'X'", "licence": "CC0"}

    config = configure_sources(pk.Settings.load(sources={"mine": given}))["mine"]

    layer = config.source.layer  # type: ignore[attr-defined]
    assert (layer.name, layer.county, layer.url, layer.where) == (
        "mine",
        "mine_az",
        URL,
        "COUNTY = 'X'",
    )
    assert layer.licence == "CC0"
    assert layer.fields == {
        "apn": Field(("PIN",)),
        "situs_address": Field(("NO", "STREET")),
        "lot_size_sqft": Field(("ACRES",), factor=43560),
    }
    assert config.base_url == "https://gis.example.gov/arcgis/rest/services/Parcels/MapServer"


def test_a_known_layer_is_pointed_elsewhere() -> None:
    sources = {"wake_nc_parcels": {"base_url": "http://localhost:1/a/MapServer/3", "max_age": "1h"}}

    config = configure_sources(pk.Settings.load(sources=sources))["wake_nc_parcels"]

    assert config.base_url == "http://localhost:1/a/MapServer"
    assert config.source.layer.url == "http://localhost:1/a/MapServer/3"  # type: ignore[attr-defined]
    assert config.max_age.total_seconds() == 3600


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("wake_nc_parcels", ("X-Esri-Authorization", "Bearer abc")),
        ("cook_il_parcels", ("X-App-Token", "abc")),
    ],
)
def test_a_token_is_sent_where_one_is_set(name: str, header: tuple[str, str]) -> None:
    given = pk.Settings.load(sources={name: {"token": "abc"}})

    with_token, without = configure_sources(given)[name], configure_sources(pk.Settings())[name]

    assert header in with_token.headers.items()
    assert header[0] not in without.headers
    assert not without.lacks_token


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fields": {"apn": "PIN"}}, "describe a layer: set kind too"),
        ({"kind": "wms"}, "kind"),
        ({**MINE, "url": None}, "needs url and county"),
        ({**MINE, "county": None}, "needs url and county"),
        ({**MINE, "fields": {"owner_name": "A"}}, "which field is the apn"),
        ({**MINE, "fields": {"apn": "A", "colour": "B"}}, "no column 'colour'"),
        ({**MINE, "fields": {"apn": ""}}, "apn must be a field's name"),
        ({**MINE, "url": "ftp://x/1"}, "url"),
        ({"requests_per_second": 1}, "unknown source mine"),
    ],
)
def test_a_layer_that_is_described_wrongly_is_told_of(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        configure_sources(pk.Settings.load(sources={"mine": given}))


def test_a_source_of_its_own_is_made_no_layer() -> None:
    with pytest.raises(SettingsError, match="leave kind out"):
        configure_sources(pk.Settings.load(sources={"maricopa_assessor": MINE}))


def test_a_described_layer_becomes_a_source_by_its_lines(county: County, open_kit: OpenKit) -> None:
    import tomllib

    url = county.layers_settings()["miami_dade_fl_parcels"]["base_url"]
    with open_kit() as kit:
        described = kit.describe_layer(url)

        frame = described.frame()
        assert described.fields == {
            "apn": "FOLIO",
            "owner_name": "TRUE_OWNER1",
            "situs_address": "TRUE_SITE_ADDR",
            "situs_city": "TRUE_SITE_CITY",
            "situs_zip": "TRUE_SITE_ZIP_CODE",
            "mailing_address": "TRUE_MAILING_ADDR1",
        }
        assert frame.loc[frame["column"] == "apn", "is_mapped"].tolist() == [True]
        assert frame["confidence"].between(0, 1).all()
        read = tomllib.loads(described.toml("mine", "mine_fl"))["sources"]["mine"]
        kit.sources.update(configure_sources(pk.Settings.load(sources={"mine": read})))
        assert (
            kit.plan_area(source="mine").parcels
            == kit.plan_area(source="miami_dade_fl_parcels").parcels
        )


def test_a_doubtful_field_is_shown_and_left_out(county: County, open_kit: OpenKit) -> None:
    url = county.layers_settings()["hamilton_oh_parcels"]["base_url"]
    with open_kit() as kit:
        described = kit.describe_layer(url)

        assert "apn" not in described.fields
        assert [one.column for one in described.doubtful] == ["apn"]
        assert "? apn" in str(described)
        with pytest.raises(pk.PropkitError, match=r"may be CAGIS\.AUDREAL_VW\.PARCEL"):
            described.toml("x", "x_oh")


def test_the_workbook_says_where_the_data_is_from(
    county: County, open_kit: OpenKit, tmp_path: Any
) -> None:
    from python_calamine import CalamineWorkbook

    with open_kit() as kit:
        kit.collect_area(where="OBJECTID <= 5", progress=False)
        book = CalamineWorkbook.from_path(kit.to_excel(tmp_path / "a.xlsx"))

    rows = book.get_sheet_by_name("layers").to_python()
    assert "Demo county: synthetic, free for every use." in rows[1]


def test_the_demo_serves_its_layers(tmp_path: Any) -> None:
    with pk.demo(tmp_path / "demo.duckdb", parcels=60) as kit:
        report = kit.collect_area(progress=False)

        assert report.is_complete
        assert len(kit.frame("parcel_shapes")) > 50
