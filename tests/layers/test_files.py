"""Counties' files of parcels: every format to the same rows, and nothing past the folder's edge."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pyogrio
import pyproj
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propkit.errors import InvalidAnswerError, LayoutChangedError, PropkitError, SettingsError
from propkit.layers import files
from propkit.layers.file_form import FileForm, read_form
from propkit.layers.files import cut_file, iter_pages
from propkit.layers.geometry import read_esri, read_geojson

if TYPE_CHECKING:
    from pathlib import Path

STATE_PLANE = "EPSG:2223"
ROWS = [
    {"PIN": f"{n:08d}", "OWNER": None if n % 5 == 0 else f"OCOTILLO {n}", "ACRES": n / 4}
    for n in range(1, 8)
]


def square(n: int) -> list[list[float]]:
    x, y = -112.0 + n / 1000, 33.0 + n / 1000
    return [[x, y], [x, y + 0.0005], [x + 0.0005, y + 0.0005], [x + 0.0005, y], [x, y]]


SHAPES: list[dict[str, Any] | None] = [
    {"type": "Polygon", "coordinates": [square(n)]} for n in range(1, 8)
]


def geojson(rows: list[dict[str, Any]] = ROWS, shapes: Any = SHAPES) -> bytes:
    features = [
        {"type": "Feature", "properties": row, "geometry": shape}
        for row, shape in zip(rows, shapes, strict=True)
    ]
    return json.dumps({"type": "FeatureCollection", "name": "x", "features": features}).encode()


def lines() -> bytes:
    return b"".join(
        json.dumps({"type": "Feature", "properties": row, "geometry": shape}).encode() + b"\n"
        for row, shape in zip(ROWS, SHAPES, strict=True)
    )


def table(delimiter: str = ",") -> bytes:
    text = io.StringIO()
    write = csv.writer(text, delimiter=delimiter)
    write.writerow([*ROWS[0], "LON", "LAT"])
    for n, row in enumerate(ROWS, start=1):
        write.writerow(
            [*("" if v is None else v for v in row.values()), square(n)[0][0], 33 + n / 1000]
        )
    return text.getvalue().encode()


def packed(**members: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return made.getvalue()


def written_by_gdal(folder: Path, driver: str, name: str) -> bytes:
    """Return a zip of what GDAL writes, in feet of the state's plane."""
    project = pyproj.Transformer.from_crs("EPSG:4326", STATE_PLANE, always_xy=True)
    rings = [[list(project.transform(x, y)) for x, y in square(n)] for n in range(1, 8)]
    shapes = np.array([read_esri({"rings": [ring]})[0] for ring in rings], dtype=object)
    columns = [np.array([row[key] for row in ROWS], dtype=object) for key in ("PIN", "OWNER")]
    columns.append(np.array([row["ACRES"] for row in ROWS]))
    target = folder / "made" / name
    target.parent.mkdir()
    pyogrio.raw.write(
        target, shapes, columns, ["PIN", "OWNER", "ACRES"], driver=driver,
        geometry_type="MultiPolygon" if driver == "OpenFileGDB" else "Polygon",
        crs=STATE_PLANE, promote_to_multi=driver == "OpenFileGDB",
    )  # fmt: skip
    parts = [one for one in target.parent.rglob("*") if one.is_file()]
    return packed(**{f"data/{p.relative_to(target.parent)}": p.read_bytes() for p in parts})


def rows_of(body: bytes, form: FileForm, folder: Path) -> list[tuple[dict[str, Any], Any]]:
    cut = cut_file(body, form, ["pin", "owner", "acres"], folder / "cut")
    found = [one for _, features in iter_pages(cut) for one in features]
    assert [one["id"] for one in found] == list(range(cut.rows))
    return [(one["properties"], one["geometry"]) for one in found]


@pytest.mark.parametrize("way", ["plain", "a feature a line", "gzip", "zip"])
def test_geojson_comes_as_it_is(tmp_path: Path, way: str) -> None:
    plain = lines() if way == "a feature a line" else geojson()
    body = {"gzip": gzip.compress(plain), "zip": packed(**{"a/p.geojson": plain})}.get(way, plain)

    found = rows_of(body, FileForm(format="geojson"), tmp_path)

    assert found == list(zip(ROWS, SHAPES, strict=True))


@pytest.mark.parametrize("delimiter", [",", "|"])
def test_a_table_has_points(tmp_path: Path, delimiter: str) -> None:
    form = FileForm(format="csv", longitude="lon", latitude="lat", delimiter=delimiter)

    found = rows_of(packed(**{"p.csv": table(delimiter)}), form, tmp_path)

    texts = [
        {key: "" if value is None else str(value) for key, value in row.items()} for row in ROWS
    ]
    points = [
        {"type": "Point", "coordinates": [square(n)[0][0], 33 + n / 1000]} for n in range(1, 8)
    ]
    assert found == list(zip(texts, points, strict=True))


@pytest.mark.parametrize(
    ("driver", "name", "kind"),
    [("ESRI Shapefile", "parcels.shp", "shapefile"), ("OpenFileGDB", "parcels.gdb", "gdb")],
)
def test_what_gdal_reads_comes_in_degrees(
    tmp_path: Path, driver: str, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows by rows as GDAL gives them, in the system that the file says."""
    monkeypatch.setattr("propkit.layers.tables._GDAL_ROWS", 3)

    found = rows_of(written_by_gdal(tmp_path, driver, name), FileForm(format=kind), tmp_path)

    assert [row for row, _ in found] == ROWS
    for n, (_, shape) in enumerate(found, start=1):
        _, centre = read_geojson(shape)
        assert centre == pytest.approx(
            (square(n)[0][0] + 0.00025, 33 + n / 1000 + 0.00025), abs=1e-6
        )


def test_what_the_file_leaves_unsaid_of_its_system_is_told(tmp_path: Path) -> None:
    project = pyproj.Transformer.from_crs("EPSG:4326", STATE_PLANE, always_xy=True)
    feet = [
        {"type": "Point", "coordinates": list(project.transform(*square(n)[0]))}
        for n in range(1, 8)
    ]
    body = geojson(shapes=feet)

    with pytest.raises(LayoutChangedError, match="are no degrees, such as"):
        rows_of(body, FileForm(format="geojson"), tmp_path / "a")
    found = rows_of(body, FileForm(format="geojson", srs=STATE_PLANE), tmp_path / "b")
    with pytest.raises(LayoutChangedError, match="'EPSG:99', unknown"):
        rows_of(body, FileForm(format="geojson", srs="EPSG:99"), tmp_path / "c")

    for n, (_, shape) in enumerate(found, start=1):
        assert shape["coordinates"] == pytest.approx(square(n)[0], abs=1e-6)


@pytest.mark.parametrize("name", ["../p.geojson", "/p.geojson", "a/../../p.geojson", "..\\p.geojson",
                                  "C:/p.geojson"])  # fmt: skip
def test_nothing_is_written_outside_the_folder(tmp_path: Path, name: str) -> None:
    body = packed(**{name: geojson(), "ok.geojson": geojson()})

    with pytest.raises(InvalidAnswerError, match="names a place outside it"):
        rows_of(body, FileForm(format="geojson"), tmp_path / "in")

    assert [one for one in tmp_path.rglob("*") if one.is_file()] == []


@pytest.mark.parametrize("pack", [lambda body: packed(**{"p.csv": body}), gzip.compress])
def test_an_archive_that_unpacks_to_more_than_fits_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Any
) -> None:
    monkeypatch.setattr(files, "MOST_UNPACKED", 2**21)
    body = pack(b"0" * 2**23)
    assert len(body) < 2**14

    with pytest.raises(InvalidAnswerError, match="unpacks to more than 2 MiB"):
        rows_of(body, FileForm(format="csv"), tmp_path)

    assert sum(one.stat().st_size for one in tmp_path.rglob("*") if one.is_file()) <= 2**21


def test_an_archive_of_too_many_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_FILES", 2)

    with pytest.raises(InvalidAnswerError, match="holds 3 files, 2 may be"):
        rows_of(packed(a=b"", b=b"", c=b""), FileForm(format="csv"), tmp_path)


@pytest.mark.parametrize(
    ("body", "form", "error", "message"),
    [
        (packed(**{"a.txt": b"x"}), {"format": "shapefile"}, LayoutChangedError, "holds no shapefile"),
        (packed(**{"a.csv": b"x", "b.csv": b"y"}), {"format": "csv"}, LayoutChangedError,
         "holds several csv files: a.csv, b.csv"),
        (packed(**{"a.csv": b"x"}), {"format": "csv", "member": "c.csv"}, LayoutChangedError,
         "no csv files named c.csv: a.csv"),
        (b"0123", {"format": "gdb"}, InvalidAnswerError, "comes in an archive"),
        (packed(**{"a.shp": b"nonsense"}), {"format": "shapefile"}, InvalidAnswerError, "GDAL cannot"),
        (geojson()[:-200], {"format": "geojson"}, LayoutChangedError, "is no GeoJSON"),
        (b'{"features": 7}', {"format": "geojson"}, LayoutChangedError, "no list of features"),
        (b'{"features": [7]}', {"format": "geojson"}, LayoutChangedError, "no feature but"),
        (b"[" * 100_000, {"format": "geojson"}, LayoutChangedError, "is no GeoJSON"),
        (b"a,b\n1,2\n", {"format": "csv"}, LayoutChangedError, "no field pin, owner, acres; it has a, b"),
        (table(), {"format": "csv", "longitude": "east", "latitude": "lat"}, LayoutChangedError,
         "no field east; it has "),
        (b"\xff\xff\n", {"format": "csv"}, InvalidAnswerError, "cannot be read"),
        (table(), {"format": "csv", "delimiter": "||"}, InvalidAnswerError, "cannot be read: .*1-char"),
        (table(), {"format": "csv", "encoding": "klingon"}, InvalidAnswerError, "encoding: klingon"),
        (b'{"features": [{"type": "Feature", "properties": [1]}]}', {"format": "geojson"},
         LayoutChangedError, "no feature but"),
        (geojson(shapes=[{"type": "Point", "coordinates": ["x", 1]}] * 7), {"format": "geojson"},
         InvalidAnswerError, "cannot be read"),
        (gzip.compress(geojson())[:-30], {"format": "geojson"}, InvalidAnswerError, "is damaged"),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_an_error(
    tmp_path: Path, body: bytes, form: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        rows_of(body, read_form(form), tmp_path)


def test_one_of_several_is_named(tmp_path: Path) -> None:
    body = packed(**{"old/p.geojson": b"{}", "new/P.geojson": geojson(), "__MACOSX/p.json": b"x"})

    found = rows_of(body, FileForm(format="geojson", member="new\\p.geojson"), tmp_path)

    assert [row for row, _ in found] == ROWS


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({}, "must be one of geojson, csv, shapefile, gdb, not None"),
        ({"format": "csv", "color": "x"}, "knows no color"),
        ({"format": "csv", "srs": 2223}, "srs must be a text, not 2223"),
    ],
)
def test_a_form_that_is_none_is_told_of(said: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_form(said)


@settings(max_examples=150)
@given(
    st.sampled_from(["geojson", "csv"]), st.integers(0, 2**16), st.binary(max_size=8), st.booleans()
)
def test_a_file_with_bytes_spoilt_is_read_or_is_a_named_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, place: int, noise: bytes, is_packed: bool
) -> None:
    plain = geojson() if kind == "geojson" else table()
    body = packed(**{f"p.{kind}": plain}) if is_packed else plain
    place %= len(body)
    spoilt = body[:place] + noise + body[place + len(noise) :]

    # Any other exception fails the test.
    with contextlib.suppress(PropkitError):
        rows_of(spoilt, FileForm(format=kind), tmp_path_factory.mktemp("spoilt"))
