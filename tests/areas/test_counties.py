"""Importing a catalogue of counties, listing it, and collecting from what it holds."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from propkit import cli
from propkit.areas.importing import import_counties
from propkit.areas.listing import COLUMNS
from propkit.errors import RequestError, SettingsError
from propkit.sources import configure_sources
from propkit.store import Store
from tests.areas.conftest import QUICK
from tests.areas.test_areas import stored, truth_of

if TYPE_CHECKING:
    from pathlib import Path

    from propkit.demo_county import County


def source_file(url: str, county: str, state: str = "nc", **layer: Any) -> bytes:
    """Return a catalogue's file."""
    parcels = {
        "name": "county", "data": url, "protocol": "ESRI", "license": "Public, as is",
        "conform": {"format": "geojson", "pid": "PIN_NUM"}, **layer,
    }  # fmt: skip
    coverage = {"country": "us", "state": state, "county": county}
    return json.dumps(
        {"coverage": coverage, "schema": 2, "layers": {"parcels": [parcels]}}
    ).encode()


def catalogue_files(url: str) -> dict[str, bytes]:
    """Return a catalogue of four files."""
    return {
        "oa-master/sources/us/nc/wake.json": source_file(url, "Wake"),
        "oa-master/sources/us/az/gila.json": source_file(
            "https://x.example/gila.zip", "Gila", "az", protocol="http", compression="7z"
        ),
        "oa-master/sources/us/az/broken.json": b"{",
        "oa-master/README.md": b"no source",
        "oa-master/package.json": b"{}",
    }


@pytest.fixture
def settings(tmp_path: Path) -> pk.Settings:
    return pk.Settings.load(counties=tmp_path / "counties.json")


def packed(kind: str, folder: Path, files: dict[str, bytes]) -> Path:
    """Write a catalogue as a folder, a .zip or a .tar.gz."""
    if kind == "folder":
        for name, body in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        return folder / "oa-master"
    path = folder / f"catalogue.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, body in files.items():
                archive.writestr(name, body)
        return path
    with tarfile.open(path, "w:gz") as tar:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    return path


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz"])
def test_a_catalogue_is_imported_and_collected_from(
    county: County, tmp_path: Path, settings: pk.Settings, kind: str
) -> None:
    url = county.layers_settings()["wake_nc_parcels"]["base_url"]
    origin = packed(kind, tmp_path, catalogue_files(url))

    found = import_counties(str(origin), settings)

    assert (found.files, found.ready, found.unsupported) == (3, 1, 2)
    assert dict(found.reasons) == {
        "a 7z geojson": 1, "the file is no JSON": 1,
    }  # fmt: skip
    sources = {"us_nc_wake": {"requests_per_second": 5000, "max_in_flight": 8}}
    used = pk.Settings.load(counties=settings.counties, sources=sources, collect=QUICK)
    with pk.Kit(Store.open(tmp_path / "a.duckdb"), used, configure_sources(used)) as kit:
        frame = kit.counties("nc")
        report = kit.collect_area(source="us_nc_wake", progress=False)

        assert list(frame.columns) == list(COLUMNS)
        assert frame["source"].tolist() == ["us_nc_wake", "wake_nc_parcels"]
        assert kit.counties("AZ")["status"].tolist() == [
            "unsupported",
            "unsupported",
            "ready",
            "ready",
            "ready",
        ]
        assert report.is_complete
        truth = truth_of(county, "wake_nc_parcels")
        rows = stored(kit, "us_nc_wake")
        assert set(rows) == set(truth)
        assert {row["county"] for row in rows.values()} == {"wake_nc"}
        assert kit.frame("layers")["licence"].tolist() == ["Public, as is"]


def test_a_catalogue_is_imported_from_an_address(
    county: County, tmp_path: Path, settings: pk.Settings
) -> None:
    # The demo county serves no catalogue; what it serves at this address is no archive.
    url = f"{county.url}/arcgis/wake_nc/MapServer/0"

    with pytest.raises(RequestError, match="is no folder"):
        import_counties(url, settings)


@pytest.mark.parametrize(
    "name", ["", "a\0b", "nowhere", "a.txt", "empty.zip", "bad.zip", "bad.tar.gz"]
)
def test_what_is_no_catalogue_is_refused(tmp_path: Path, settings: pk.Settings, name: str) -> None:
    path = tmp_path / name
    if name == "empty.zip":
        zipfile.ZipFile(path, "w").close()
    elif name.endswith((".txt", ".gz", ".zip")):
        good = (
            packed(name.partition(".")[2], tmp_path, catalogue_files("https://x.example/0"))
            if name.startswith("bad")
            else None
        )
        path.write_bytes(good.read_bytes()[:-60] if good else b"text")

    with pytest.raises(RequestError):
        import_counties(str(path) if name else name, settings)
    assert not (tmp_path / "counties.json").exists()


def test_a_file_that_is_no_catalogue_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "counties.json"
    path.write_text("{}")

    with pytest.raises(SettingsError, match="is no catalogue of counties"):
        configure_sources(pk.Settings.load(counties=path))["us_az_pima"]


def test_the_command_imports_and_lists(
    county: County,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PROPKIT_COUNTIES", str(tmp_path / "counties.json"))
    origin = packed("zip", tmp_path, catalogue_files("https://x.example/arcgis/P/MapServer/0"))

    assert cli.main(["counties", "import", str(origin)]) == cli.DONE
    assert (
        "3 files: 1 layers of parcels can be collected, 2 entries cannot" in capsys.readouterr().out
    )
    assert cli.main(["counties", "list", "NC"]) == cli.DONE
    assert "us_nc_wake" in capsys.readouterr().out
    assert cli.main(["counties", "list", "ZZ"]) == cli.FAILED
    assert cli.main(["counties", "list", "Arizona"]) == cli.BAD_INPUT
    assert cli.main(["counties", "import", str(tmp_path / "nothing")]) == cli.BAD_INPUT
    assert cli.main(["counties", "burn"]) == cli.BAD_INPUT
