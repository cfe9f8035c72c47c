"""Files of parcels that a county offers to download: unpacked with care, cut into pages of GeoJSON.

An archive is foreign matter: nothing in it may be written outside its folder, and however little
it weighs it may not unpack to more than fits. What comes out is rows in degrees, a thousand a page.
"""

from __future__ import annotations

import gzip
import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from propkit.errors import InvalidAnswerError, LayoutChangedError
from propkit.layers.fields import find_name
from propkit.layers.file_form import FileForm
from propkit.layers.tables import Row, open_table

PAGE_ROWS: Final = 1000
MOST_FILES: Final = 5000
MOST_UNPACKED: Final = 2**30
"""Bytes that an archive may unpack to."""

DAMAGES: Final = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, RuntimeError, ValueError),
)
"""What the standard library raises at a damaged archive, an encrypted one among them."""
# A delimiter of two characters, an encoding that is none, and whatever GDAL raises.
_UNREADABLE: Final = (OSError, ValueError, LookupError, TypeError, RuntimeError)
_CHUNK: Final = 2**20
_ENDINGS: Final = {
    "geojson": (".geojson", ".json"),
    "csv": (".csv", ".txt", ".tsv"),
    "shapefile": (".shp",),
    "gdb": (".gdb",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CutFile:
    """A file in pages: how many rows it has, and its fields as it spells them."""

    folder: Path
    rows: int
    names: tuple[str, ...]

    def page(self, start: int) -> bytes:
        """Return the page whose first row this is: a GeoJSON FeatureCollection."""
        return (self.folder / f"rows-{start}.json").read_bytes()


def cut_file(body: bytes, form: FileForm, wanted: Iterable[str], folder: Path) -> CutFile:
    """Cut a downloaded file into pages in a folder, with the fields that are wanted.

    Raises
    ------
    InvalidAnswerError
        The archive is damaged, or unpacks to more than it may.
    LayoutChangedError
        It lacks the file or a field, or its coordinates are no degrees.
    """
    unpacked = folder / "unpacked"
    path = _unpack(body, form, unpacked)
    try:
        table = open_table(path, form)
        spelt = {name: find_name(name, table.names) for name in wanted}
        if absent := [name for name, real in spelt.items() if real is None]:
            raise LayoutChangedError(
                f"the file has no field {', '.join(absent)}; it has {', '.join(table.names):.300}"
            )
        kept = tuple(dict.fromkeys(name for name in spelt.values() if name is not None))
        rows, start = iter(table.rows), 0
        while some := list(islice(rows, PAGE_ROWS)):
            page = folder / f"rows-{start}.json"
            page.write_text(json.dumps(_as_page(some, kept, start)), "utf-8")
            start += len(some)
    except _UNREADABLE as error:
        raise InvalidAnswerError(f"the file cannot be read: {error!s:.200}") from error
    return CutFile(folder=folder, rows=start, names=tuple(table.names))


def _as_page(rows: list[Row], names: tuple[str, ...], start: int) -> dict[str, Any]:
    features = [
        {
            "type": "Feature",
            "id": start + number,
            "properties": {name: properties.get(name) for name in names},
            "geometry": shape,
        }
        for number, (properties, shape) in enumerate(rows)
    ]
    return {"type": "FeatureCollection", "features": features}


# --- unpacking --------------------------------------------------------------------------------


def _unpack(body: bytes, form: FileForm, folder: Path) -> Path:
    """Write what is wanted of an archive, or the one file, and return where it stands."""
    folder.mkdir(parents=True)
    try:
        if zipfile.is_zipfile(io.BytesIO(body)):
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                return _unpack_zip(archive, form, folder)
        if form.format not in {"geojson", "csv"}:
            raise InvalidAnswerError(f"a {form.format} comes in an archive, and this is none")
        path = folder / f"file{_ENDINGS[form.format][0]}"
        packed: IO[bytes] = io.BytesIO(body)
        if body[:2] == b"\x1f\x8b":
            packed = gzip.GzipFile(fileobj=packed)  # type: ignore[assignment]
        _write(packed, path, MOST_UNPACKED)
    except DAMAGES as error:
        raise InvalidAnswerError(f"the archive is damaged: {error!s:.200}") from error
    return path


def _unpack_zip(archive: zipfile.ZipFile, form: FileForm, folder: Path) -> Path:
    members = {}
    for one in archive.infolist():
        place = PurePosixPath(one.filename.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or any(":" in part for part in place.parts):
            raise InvalidAnswerError(f"the archive names a place outside it: {one.filename!r:.80}")
        if not one.is_dir():
            members[place] = one
    if len(members) > MOST_FILES:
        raise InvalidAnswerError(f"the archive holds {len(members)} files, {MOST_FILES} may be")
    chosen = _choose(members, form)
    left = MOST_UNPACKED
    for place, one in members.items():
        if _belongs(place, chosen, form.format):
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(one) as stream:
                left -= _write(stream, path, left)
    return folder / chosen


def _choose(members: Iterable[PurePosixPath], form: FileForm) -> PurePosixPath:
    """Return the one file, or folder of a geodatabase, that is meant."""
    endings = _ENDINGS[form.format]
    places = {
        part
        for place in members
        for part in ([place, *place.parents] if form.format == "gdb" else [place])
        if part.suffix.lower() in endings and not part.name.startswith(".")
    }
    named = form.member.replace("\\", "/").strip("/").lower() if form.member else None
    found = sorted(
        place
        for place in places
        if "__MACOSX" not in place.parts
        and (named is None or f"/{place}".lower().endswith(f"/{named}"))
    )
    if len(found) != 1:
        seen = ", ".join(map(str, found or sorted(members)))
        raise LayoutChangedError(
            f"the archive holds {'several' if found else 'no'} {form.format} files"
            f"{f' named {form.member}' if named else ''}: {seen:.300}"
        )
    return found[0]


def _belongs(place: PurePosixPath, chosen: PurePosixPath, kind: str) -> bool:
    if kind == "gdb":
        return place.is_relative_to(chosen)
    if kind == "shapefile":  # one file of shapes, one of their values, one of their system
        return place.parent == chosen.parent and place.stem.lower() == chosen.stem.lower()
    return place == chosen


def _write(stream: IO[bytes], path: Path, most: int) -> int:
    """Write a stream of at most so many bytes, whatever the archive says of its length."""
    written = 0
    with path.open("xb") as file:
        while chunk := stream.read(_CHUNK):
            written += len(chunk)
            if written > most:
                raise InvalidAnswerError(
                    f"the archive unpacks to more than {MOST_UNPACKED // 2**20} MiB"
                )
            file.write(chunk)
    return written


def iter_pages(cut: CutFile) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yield each page's first row and its features."""
    for start in range(0, cut.rows, PAGE_ROWS):
        yield start, json.loads(cut.page(start))["features"]
