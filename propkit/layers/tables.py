"""Reading a county's file row by row: GeoJSON, CSV, and through GDAL shapefiles and geodatabases."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, TextIO

from propkit.errors import InvalidAnswerError, LayoutChangedError, RequestError
from propkit.layers.fields import find_name
from propkit.layers.file_form import FileForm
from propkit.layers.geometry import to_geojson

Row = tuple[Mapping[str, Any], dict[str, Any] | None]
"""A row's values, and its shape as GeoJSON in degrees."""

DEGREES: Final = "EPSG:4326"
_CHUNK: Final = 2**20
_LONGEST_FEATURE: Final = 2**24
_GDAL_ROWS: Final = 1000
_SHAPES: Final = {1, 3, 6}
_LONGEST_CELL: Final = 2**20


@dataclass(frozen=True, slots=True)
class Table:
    """The fields of a file, and its rows, which are read as they are taken."""

    names: tuple[str, ...]
    rows: Iterable[Row]


def has_gdal() -> bool:
    """Whether shapefiles and geodatabases can be read here."""
    return all(importlib.util.find_spec(name) is not None for name in ("pyogrio", "pyproj"))


def open_table(path: Path, form: FileForm) -> Table:
    """Open a file; its rows come while it is read.

    Raises
    ------
    RequestError
        It takes GDAL, which is not installed.
    LayoutChangedError
        The file is not of its format, or its coordinates are no degrees.
    """
    if form.format == "geojson":
        return _open_geojson(path, form)
    if form.format == "csv":
        return _open_csv(path, form)
    return _open_gdal(path, form)


# --- GeoJSON ----------------------------------------------------------------------------------


def _open_geojson(path: Path, form: FileForm) -> Table:
    features = _read_features(path, form.encoding or "utf-8-sig")
    first = next(features, None)
    if first is None:
        return Table((), ())
    project = _projector(form.srs)
    rows = (
        (one.get("properties") or {}, _placed(one.get("geometry"), project))
        for one in chain([first], features)
    )
    return Table(tuple(first.get("properties") or ()), rows)


def _read_features(path: Path, encoding: str) -> Iterator[dict[str, Any]]:
    """Yield the features of a collection, or one a line, without holding them all."""
    decode = json.JSONDecoder().raw_decode
    with path.open(encoding=encoding) as file:
        text = _skip_head(file)
        place, is_at_end = 0, False
        while True:
            place = _skip_blank(text, place)
            if place < len(text) and text[place] == "]":
                return
            try:
                feature, place = decode(text, place)
            except ValueError as error:
                if is_at_end and not text[place:].strip():
                    return
                if is_at_end or len(text) - place > _LONGEST_FEATURE:
                    raise LayoutChangedError(f"the file is no GeoJSON: {error!s:.80}") from error
                more = file.read(_CHUNK)
                is_at_end = not more
                text, place = text[place:] + more, 0
                continue
            except RecursionError as error:
                raise LayoutChangedError("the file is no GeoJSON: it is nested too deep") from error
            if not (
                isinstance(feature, dict)
                and feature.get("type") == "Feature"
                and isinstance(feature.get("properties"), dict | None)
            ):
                raise LayoutChangedError(f"the file holds no feature but {str(feature)[:60]!r}")
            yield feature


def _skip_head(file: TextIO) -> str:
    """Read on to the first feature: behind the name of their list, or the start of a line."""
    text = file.read(_CHUNK)
    mark = text.find('"features"')
    start = text.find('"Feature"')
    if mark < 0 or 0 <= start < mark:
        return text  # one feature a line
    opened = text.find("[", mark)
    if opened < 0:
        raise LayoutChangedError("the file is no GeoJSON: it has no list of features")
    return text[opened + 1 :]


def _skip_blank(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t\r\n,\x1e":
        place += 1
    return place


# --- CSV --------------------------------------------------------------------------------------


def _open_csv(path: Path, form: FileForm) -> Table:
    lines = _read_lines(path, form)
    names = tuple(name.strip() for name in next(lines, []))
    said = [name for name in (form.longitude, form.latitude) if name is not None]
    if names and (absent := [name for name in said if find_name(name, names) is None]):
        raise LayoutChangedError(
            f"the file has no field {', '.join(absent)}; it has {', '.join(names):.300}"
        )
    sides = [
        None if name is None else find_name(name, names) for name in (form.longitude, form.latitude)
    ]
    project = _projector(form.srs)

    def rows() -> Iterator[Row]:
        for cells in lines:
            row = dict(zip(names, cells, strict=False))
            x, y = (_number(row.get(side)) if side else None for side in sides)
            point = None if x is None or y is None else {"type": "Point", "coordinates": [x, y]}
            yield row, _placed(point, project)

    return Table(names, rows())


def _read_lines(path: Path, form: FileForm) -> Iterator[list[str]]:
    csv.field_size_limit(_LONGEST_CELL)
    with path.open(encoding=form.encoding or "utf-8-sig", newline="") as file:
        try:
            for cells in csv.reader(file, delimiter=form.delimiter or ","):
                if cells:
                    yield cells
        except csv.Error as error:
            raise LayoutChangedError(f"the file is no table: {error!s:.80}") from error


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


# --- GDAL -------------------------------------------------------------------------------------


def _open_gdal(path: Path, form: FileForm) -> Table:
    if not has_gdal():
        raise RequestError(
            f"a {form.format} is read by GDAL: install it with pip install 'propkit[files]'"
        )
    import pyogrio

    options: dict[str, Any] = {"layer": form.layer} if form.layer else {}
    if form.encoding:
        options["encoding"] = form.encoding
    try:
        info = pyogrio.read_info(path, **options)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, ValueError) as error:
        raise InvalidAnswerError(f"GDAL cannot read the file: {error!s:.200}") from error
    names = tuple(str(name) for name in info["fields"])
    project = _projector(form.srs or info["crs"])
    return Table(names, _read_gdal(path, options, names, project))


def _read_gdal(
    path: Path, options: Mapping[str, Any], names: tuple[str, ...], project: Project | None
) -> Iterator[Row]:
    from pyogrio import raw

    start = 0
    while True:
        _, _, shapes, columns = raw.read(
            path, skip_features=start, max_features=_GDAL_ROWS, force_2d=True, **options
        )
        count = len(columns[0]) if columns else len(shapes)
        for number in range(count):
            values = (_plain(column[number]) for column in columns)
            shape = None if shapes is None else _read_wkb(shapes[number])
            yield dict(zip(names, values, strict=True)), _placed(shape, project)
        start += count
        if count < _GDAL_ROWS:
            return


def _plain(value: Any) -> Any:
    """Return a value of GDAL's as JSON has it."""
    if hasattr(value, "item"):
        kind = value.dtype.kind
        value = str(value) if kind in "Mm" else value.item()
    if value in ("NaT", None) or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value if isinstance(value, str | int | float | bool) else str(value)


def _read_wkb(wkb: bytes | None) -> dict[str, Any] | None:
    """Return a point, polygon or multipolygon; a line has no place among parcels."""
    if wkb is None or len(wkb) < 5 or wkb[0] != 1:
        return None
    (kind,) = struct.unpack_from("<I", wkb, 1)
    return to_geojson(wkb) if kind in _SHAPES else None


# --- places -----------------------------------------------------------------------------------

Project = Callable[[list[float], list[float]], tuple[list[float], list[float]]]


def _projector(srs: str | None) -> Project | None:
    """Return what turns coordinates into degrees; None where they are degrees already."""
    if srs is None or srs.upper() == DEGREES:
        return None
    if not has_gdal():
        raise RequestError(
            f"the file's coordinates are in {srs:.40}: install pip install 'propkit[files]'"
        )
    import pyproj

    try:
        transformer = pyproj.Transformer.from_crs(srs, DEGREES, always_xy=True)
    except pyproj.exceptions.CRSError as error:
        raise LayoutChangedError(f"the file's coordinates are in {srs!r:.60}, unknown") from error

    def project(xs: list[float], ys: list[float]) -> tuple[list[float], list[float]]:
        there_x, there_y = transformer.transform(xs, ys)
        return list(there_x), list(there_y)

    return project


def _placed(shape: Any, project: Project | None) -> dict[str, Any] | None:
    """Return a shape in degrees, without heights."""
    if not isinstance(shape, dict) or not isinstance(shape.get("coordinates"), list):
        return None
    try:
        return {"type": shape.get("type"), "coordinates": _walk(shape["coordinates"], project)}
    except (TypeError, IndexError) as error:
        raise LayoutChangedError(f"the file has a shape that is none: {shape!r:.80}") from error


def _walk(held: list[Any], project: Project | None) -> list[Any]:
    if not held:
        return held
    if isinstance(held[0], list) and held[0] and isinstance(held[0][0], list):
        return [_walk(one, project) for one in held]
    points = held if isinstance(held[0], list) else [held]
    xs, ys = [float(point[0]) for point in points], [float(point[1]) for point in points]
    if project is not None:
        xs, ys = project(xs, ys)
    if not all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in zip(xs, ys, strict=True)):
        raise LayoutChangedError(
            f"the file's coordinates are no degrees, such as {xs[0]:.9g}, {ys[0]:.9g}: say its srs"
        )
    placed = [[x, y] for x, y in zip(xs, ys, strict=True)]
    return placed if points is held else placed[0]
