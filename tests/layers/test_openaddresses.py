"""Files of the OpenAddresses catalogue, as they are and as they should not be."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propkit.layers.layer import make_layer
from propkit.layers.openaddresses import is_source_path, name_apart, read_licence, read_source_file

URL = "https://gis.example.gov/arcgis/rest/services/Parcels/MapServer/12"
PIMA: dict[str, Any] = {
    "coverage": {
        "US Census": {"geoid": "04019", "name": "Pima County", "state": "Arizona"},
        "country": "us",
        "state": "az",
        "county": "Pima",
    },
    "schema": 2,
    "layers": {
        "parcels": [
            {
                "name": "county",
                "data": URL,
                "website": "https://gis.example.gov",
                "protocol": "ESRI",
                "license": {"url": "https://gis.example.gov/terms", "text": "As  is"},
                "conform": {"format": "geojson", "pid": "PARCEL"},
            }
        ],
        "addresses": [{"name": "county", "data": URL, "protocol": "ESRI", "conform": {}}],
    },
}


def entry(path: str = "sources/us/az/pima.json", **changes: Any) -> Any:
    """Return the entry of a file whose layer of parcels is changed so."""
    said = copy.deepcopy(PIMA)
    layer = said["layers"]["parcels"][0]
    for name, value in changes.items():
        if value is None:
            del layer[name]
        else:
            layer[name] = value
    (found,) = read_source_file(path, json.dumps(said).encode())
    return found


def test_a_layer_of_an_arcgis_server_is_a_source() -> None:
    found = entry()

    assert (found.name, found.state, found.county, found.coverage) == (
        "us_az_pima", "az", "pima", "Pima",
    )  # fmt: skip
    assert (found.status, found.reason, found.protocol) == ("ready", None, "ESRI")
    assert found.licence == "url: https://gis.example.gov/terms; text: As is"
    assert found.layer == {
        "name": "us_az_pima",
        "county": "pima_az",
        "url": URL,
        "fields": {"apn": "PARCEL"},
        "kind": "arcgis",
        "where": None,
        "licence": found.licence,
        "headers": {},
    }
    assert make_layer(**found.layer).fields["apn"].names == ("PARCEL",)


def test_maricopa_is_the_county_of_the_assessor() -> None:
    said = json.dumps(PIMA).replace("Pima", "Maricopa").encode()

    assert read_source_file("sources/us/az/maricopa.json", said)[0].layer["county"] == "maricopa"  # type: ignore[index]


@pytest.mark.parametrize(
    ("pid", "written"),
    [
        ("PARCEL", "PARCEL"),
        (["BOOK", "PAGE"], ["BOOK", "PAGE"]),
        (
            {"function": "join", "fields": ["A", "B"], "separator": "-"},
            {"fields": ["A", "B"], "separator": "-"},
        ),
        (
            {"function": "format", "fields": ["A", "B", "C"], "format": "$1$2$3"},
            {"fields": ["A", "B", "C"], "separator": ""},
        ),
        (
            {"function": "regexp", "field": "A", "pattern": "^0*(\\d+)$", "replace": "$1"},
            {"fields": ["A"], "pattern": "^0*(\\d+)$", "replace": "\\g<1>"},
        ),
    ],
)
def test_a_pid_may_be_a_field_a_list_or_a_function(pid: Any, written: Any) -> None:
    found = entry(conform={"format": "geojson", "pid": pid})

    assert found.layer["fields"]["apn"] == written


def test_what_is_said_of_addresses_is_taken_along() -> None:
    conform = {
        "pid": "P", "number": "N", "street": ["D", "S"], "unit": "U", "city": "C", "postcode": "Z",
    }  # fmt: skip

    assert entry(conform=conform).layer["fields"] == {
        "apn": "P",
        "situs_city": "C",
        "situs_zip": "Z",
        "situs_address": ["N", "D", "S", "U"],
    }


def test_a_file_to_download_is_a_source() -> None:
    conform = {
        "format": "csv", "pid": "P", "lon": "X", "lat": "Y", "srs": "EPSG:2223", "file": "a/p.csv",
        "csvsplit": "|", "encoding": "latin-1", "headers": 1,
    }  # fmt: skip
    url = "https://gis.example.gov/data/parcels.zip?v=1"

    found = entry(protocol="http", compression="zip", data=url, conform=conform)

    assert (found.status, found.reason) == ("ready", None)
    assert (found.layer["kind"], found.layer["url"]) == ("file", url)
    assert make_layer(**found.layer).file == {
        "format": "csv", "longitude": "X", "latitude": "Y", "srs": "EPSG:2223",
        "member": "a/p.csv", "delimiter": "|", "encoding": "latin-1",
    }  # fmt: skip


def test_what_takes_gdal_says_so_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"protocol": "http", "compression": "zip", "data": "https://x.example/p.zip"}
    conform = {"format": "shapefile", "pid": "P"}
    with_gdal = entry(**told, conform=conform)

    monkeypatch.setattr("propkit.layers.openaddresses.has_gdal", lambda: False)
    without = entry(**told, conform=conform)

    assert with_gdal.status == "ready"
    assert without.reason == (
        "a zip shapefile: GDAL reads it, which pip install 'propkit[files]' brings; then import again"
    )


def test_a_condition_and_headers_are_kept() -> None:
    found = entry(
        data=f"{URL}/query?where=COUNTY%3D%27X%27&f=json",
        request={"headers": {"Referer": "https://x.example", "Bad\n": "y", "Z": 7}},
    )

    assert found.layer["url"] == URL
    assert found.layer["where"] == "COUNTY='X'"
    assert found.layer["headers"] == {"Referer": "https://x.example"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol": "ftp"},
         "a plain geojson to download by ftp: propkit downloads by http and https only"),
        ({"protocol": "http", "compression": "7z"}, "a 7z geojson: propkit unpacks zip and gzip only"),
        ({"protocol": "http", "conform": {"format": "xml", "pid": "P"}},
         "a plain xml: propkit reads geojson, csv, shapefile, gdb only"),
        ({"protocol": "http", "conform": {"pid": "P"}},
         "a plain file: propkit reads geojson, csv, shapefile, gdb only"),
        ({"protocol": "http", "data": "http://[x/a.zip"}, "the address of the file is none"),
        ({"protocol": None}, "no protocol is said"),
        ({"data": None}, "no address is said (data)"),
        ({"data": "https://x.example/arcgis/rest/services/P/MapServer"},
         "the address is not that of a layer (it ends in no number)"),
        ({"data": "https://x.example:99999/P/MapServer/0"},
         "'https://x.example:99999/P/MapServer/0' is no address of a layer"),
        ({"data": f"https://{'x' * 64}.example/P/MapServer/0"},
         f"'https://{'x' * 64}.example/P/MapServer/0' is no address of a layer"),
        ({"data": "not a url"}, "the address is not that of a layer (it ends in no number)"),
        ({"skip": True}, "the catalogue says to leave it out"),
        ({"conform": {"format": "geojson"}}, "conform.pid is missing"),
        ({"conform": []}, "conform.pid is missing"),
        ({"conform": {"pid": ""}}, "conform.pid is empty"),
        ({"conform": {"pid": 7}}, "conform.pid is a int"),
        ({"conform": {"pid": ["A", 1]}}, "conform.pid is a list with something that is no field"),
        ({"conform": {"pid": {"function": "prefixed_number", "field": "A"}}},
         "conform.pid is made by the function 'prefixed_number', which propkit does not know"),
        ({"conform": {"pid": {"function": "format", "fields": ["A", "B"], "format": "$2/$1"}}},
         "conform.pid is the format '$2/$1', which propkit does not know"),
        ({"conform": {"pid": {"function": "format", "format": "$1"}}},
         "conform.pid is a format without fields"),
        ({"conform": {"pid": {"function": "regexp", "field": "A", "pattern": "("}}},
         "conform.pid is a regexp that replaces nothing"),
        ({"conform": {"pid": {"function": "regexp", "field": "A", "pattern": "A", "replace": "$3"}}},
         "conform.pid is a regexp that Python cannot read: invalid group reference 3 at position 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_says_why(changes: dict[str, Any], reason: str) -> None:
    found = entry(**changes)

    assert (found.status, found.reason, found.layer) == ("unsupported", reason, None)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the file is no JSON"),
        (b"{", "the file is no JSON"),
        (b"\xff\xfe", "the file is no JSON"),
        (b'{"coverage": {"county": "\\ud800"}, "layers": {}}', "the file is no JSON"),
        (b"[" * 100_000, "the file is no JSON"),
        (b"[1]", "the file holds no object but a list"),
        (b"{}", "an old kind of file (schema 1), which knows addresses only"),
        (b'{"layers": {"addresses": []}}', "the file has no layer of parcels"),
        (b'{"layers": []}', "the file has no layer of parcels"),
        (b'{"layers": {"parcels": ["x"]}}', "the layer is no object but a str"),
        (b" " * (2**20 + 1), "the file is larger than 1048576 bytes"),
    ],
)
def test_a_file_that_is_none_is_an_entry_too(body: bytes, reason: str) -> None:
    (found,) = read_source_file("sources/us/az/gila.json", body)

    assert found.status == "unsupported"
    assert (found.reason or "").startswith(reason)
    assert (found.name, found.state) == ("us_az_gila", "az")


def test_what_is_no_text_in_a_files_name_stays_out_of_the_frame() -> None:
    """A name on a disk, or in a .tar.gz, may be any bytes."""
    (found,) = read_source_file("sources/us/az/p\udce9.json", b"{}")

    assert (found.path, found.name) == ("sources/us/az/p?.json", "us_az_p")


def test_two_layers_of_one_name_are_told_apart() -> None:
    said = copy.deepcopy(PIMA)
    said["layers"]["parcels"] = said["layers"]["parcels"] * 3
    body = json.dumps(said).encode()

    entries = name_apart(
        [*read_source_file("a/us/az/pima.json", body), *read_source_file("b/us/az/pima.json", body)]
    )

    names = [one.name for one in entries]
    assert len(set(names)) == 6
    assert [one.layer["name"] for one in entries if one.layer] == names


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("  CC  BY ", "CC BY"), ("", None), (None, None), ([], None), ({}, None),
        ({"url": "u", "share-alike": False, "x": {}}, "url: u; share-alike: False"),
    ],
)  # fmt: skip
def test_a_licence_is_one_text(said: object, text: str | None) -> None:
    assert read_licence(said) == text


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("sources/us/az/pima.json", True), ("x/sources/us/az/pima.json", True), ("pima.json", True),
        ("sources/us/README.md", False), (".github/x.json", False), ("a/sources", False),
    ],
)  # fmt: skip
def test_only_json_of_the_catalogue_is_read(path: str, is_one: bool) -> None:
    assert is_source_path(path) is is_one


# --- whatever people write ----------------------------------------------------------------------

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["ESRI", "http", "http://[x", "csv", "shapefile", "gdb", URL, "$1", "(", "join", "format", "regexp", "PARCEL"]),
    lambda inside: st.lists(inside, max_size=3)
    | st.dictionaries(
        st.sampled_from(["function", "field", "fields", "pattern", "replace", "separator", "pid",
                         "url", "text", "headers", "format", "name", "number", "street"]),
        inside, max_size=4,
    ),
    max_leaves=8,
)  # fmt: skip


def _places(said: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside: list[tuple[Any, Any]] = []
    if isinstance(said, dict):
        inside = list(said.items())
    elif isinstance(said, list):
        inside = list(enumerate(said))
    return [path, *(place for key, value in inside for place in _places(value, (*path, key)))]


def _changed(said: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    made = copy.copy(said)
    made[path[0]] = _changed(said[path[0]], path[1:], value)
    return made


@settings(max_examples=400)
@given(
    st.lists(st.tuples(st.integers(0, 10**6), junk), min_size=1, max_size=4), st.text(max_size=30)
)
def test_no_file_crashes_the_import_and_each_has_its_reason(
    changes: list[tuple[int, Any]], path: str
) -> None:
    said: Any = PIMA
    for number, value in changes:
        places = _places(said)
        said = _changed(said, places[number % len(places)], value)

    entries = name_apart(read_source_file(path, json.dumps(said).encode()))

    assert entries
    for one in entries:
        assert (one.status == "ready") is (one.reason is None) is (one.layer is not None)
        assert one.name
        if one.layer is not None:
            layer = make_layer(**one.layer)
            assert layer.name == one.name
            assert layer.fields["apn"].names


@settings(max_examples=200)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_a_file_with_bytes_spoilt_does_not_crash_it(seed: int, count: int) -> None:
    draw = random.Random(seed)
    body = bytearray(json.dumps(PIMA).encode())
    for _ in range(count):
        body[draw.randrange(len(body))] = draw.randrange(256)

    entries = read_source_file("sources/us/az/pima.json", bytes(body))

    assert entries
    assert all((one.status == "ready") is (one.reason is None) for one in entries)
