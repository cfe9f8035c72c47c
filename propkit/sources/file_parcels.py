"""Parcels of a county from a file that it offers to download, whole or in an archive.

The file is downloaded once and cut into pages; the parts of an area are these pages. A file knows
no query: it is picked from by a box, or by APNs, here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from propkit.errors import InvalidAnswerError, LayoutChangedError, RequestError
from propkit.layers import Layer
from propkit.layers.areas import Area, Part, read_part
from propkit.layers.facts import Answer, LayerFacts, LayerField
from propkit.layers.fields import read_column
from propkit.layers.file_form import read_form
from propkit.layers.files import PAGE_ROWS, CutFile, cut_file, iter_pages
from propkit.layers.geometry import read_geojson
from propkit.pages import Page
from propkit.sources._base import Ask, Parsed, Payload
from propkit.sources._layer_source import (
    ROWS,
    Measured,
    OfLayer,
    check_pages,
    parse_rows,
    read_key,
    split_keys,
)

Feature = dict[str, Any]


@dataclass(frozen=True, slots=True, weakref_slot=True)
class _Download:
    """A file as it was downloaded; its folder goes when nothing holds it any more."""

    cut: CutFile
    digest: str
    fetched_at: datetime
    asked_at: float


class FileParcels(OfLayer):
    """A county's file of parcels."""

    max_in_flight: int = 1
    offers_files: bool = True

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        self._form = read_form(layer.file)
        address, _, query = layer.url.partition("?")
        self.base_url, _, self._path = address.rpartition("/")
        self._params = dict(parse_qsl(query, keep_blank_values=True)) or None
        self._held: _Download | None = None
        self._loading = asyncio.Lock()

    async def describe(self, ask: Ask) -> LayerFacts:
        """Download the file, unless that was done within its age, and say what it holds."""
        return self._facts(await self._load(ask))

    async def sample(self, facts: LayerFacts, ask: Ask, rows: int) -> Answer:
        """Return the first rows, with the fields that the columns need."""
        held = await self._load(ask)
        features = next((some for _, some in iter_pages(held.cut)), [])
        return _as_answer(features[: min(rows, facts.page_size)])

    async def measure(self, where: str | None, shape: Any, ask: Ask) -> Measured:
        """Count the rows in a box, and say in which parts they will be taken."""
        if where:
            raise RequestError(f"{self.name} is a file, which knows no where: use a bbox")
        _box_of(shape)
        held = await self._load(ask)
        area = Area(
            # Of a file that changes meanwhile the parts would be other rows.
            where=f"file {held.digest}",
            shape=shape,
            names=held.cut.names,
            object_id=None,
            count=held.cut.rows,
        )
        found = await asyncio.to_thread(_count, held.cut, _picker(shape))
        parts = tuple(
            Part(area_id=area.id, first=start, count=min(PAGE_ROWS, held.cut.rows - start))
            for start, count in found
            if count
        )
        total = sum(count for _, count in found)
        return Measured(area=area, count=total, parts=parts, facts=self._facts(held))

    async def fetch(self, key: str, apn: str | None, ask: Ask) -> Payload:
        """Take some parcels out of the file by their APNs."""
        held = await self._load(ask)
        wanted = {read_key(self.layer, one) or one for one in split_keys(key)}
        features = await asyncio.to_thread(self._find, held.cut, wanted)
        page = self._page(held, features)
        return Payload(source=self.name, key=key, apn=apn, pages=(page,))

    async def fetch_part(self, area: Area, key: str, ask: Ask) -> Payload:
        """Take one part of an area.

        Raises
        ------
        InvalidAnswerError
            The county offers another file than the one that was counted.
        """
        held = await self._load(ask)
        if area.where != f"file {held.digest}":
            raise InvalidAnswerError(
                f"{self.name}: the county's file has changed since it was counted: collect it anew"
            )
        is_picked = _picker(area.shape)
        features = json.loads(held.cut.page(read_part(key).first))["features"]
        page = self._page(held, [one for one in features if is_picked(one)])
        return Payload(source=self.name, key=key, pages=(page,))

    def parse(self, payload: Payload) -> Parsed:
        """Read the parcels, and their shapes, of a payload."""
        pages = [payload.pages[place] for place in check_pages(self.layer, payload)]
        answers = [_as_answer(_features_of(page)) for page in pages]
        return parse_rows(self.layer, payload, answers, read_geojson)

    async def _load(self, ask: Ask) -> _Download:
        """Return the file, downloaded again where it has grown old."""
        async with self._loading:
            held = self._held
            if held is None or time.monotonic() - held.asked_at > self.max_age.total_seconds():
                page = await ask.get(self._path, name="file", params=self._params, expect="file")
                self._held = held = await asyncio.to_thread(self._cut, page)
            return held

    def _cut(self, page: Page) -> _Download:
        folder = Path(tempfile.mkdtemp(prefix="propkit-file-"))
        try:
            cut = cut_file(page.body, self._form, self.layer.names, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        digest = hashlib.sha256(page.body).hexdigest()[:16]
        held = _Download(cut, digest, page.fetched_at, time.monotonic())
        weakref.finalize(held, shutil.rmtree, folder, ignore_errors=True)
        return held

    def _facts(self, held: _Download) -> LayerFacts:
        return LayerFacts(
            title=urlsplit(self.layer.url).path.rpartition("/")[2],
            fields=tuple(LayerField(name=name, kind="text") for name in held.cut.names),
            page_size=PAGE_ROWS,
            can_page=True,
            object_id=None,
            has_shapes=True,
        )

    def _find(self, cut: CutFile, wanted: set[str]) -> list[Feature]:
        found = []
        for _, features in iter_pages(cut):
            answer = _as_answer(features)
            apns, _ = read_column("apn", self.layer.fields["apn"], answer.names, answer.rows)
            found += [
                one
                for one, apn in zip(features, apns, strict=True)
                if apn is not None and (read_key(self.layer, apn) or apn) in wanted
            ]
        return found

    def _page(self, held: _Download, features: list[Feature]) -> Page:
        return Page(
            name=ROWS,
            url=self.layer.url,
            fetched_at=held.fetched_at,
            status=200,
            content_type="application/geo+json; charset=utf-8",
            body=json.dumps({"type": "FeatureCollection", "features": features}).encode(),
        )


def _features_of(page: Page) -> list[Feature]:
    said = page.json()
    features = said.get("features") if isinstance(said, dict) else None
    if not isinstance(features, list) or not all(
        isinstance(one, dict) and isinstance(one.get("properties"), dict) for one in features
    ):
        raise LayoutChangedError(f"{page.name}: expected features, got {said!r:.80}", url=page.url)
    return features


def _as_answer(features: list[Feature]) -> Answer:
    rows = tuple(one["properties"] for one in features)
    return Answer(
        rows=rows,
        shapes=tuple(one.get("geometry") for one in features),
        names=tuple(rows[0]) if rows else (),
        ids=tuple(str(one.get("id", "")) for one in features),
    )


def _count(cut: CutFile, is_picked: Callable[[Feature], bool]) -> list[tuple[int, int]]:
    return [(start, sum(map(is_picked, features))) for start, features in iter_pages(cut)]


def _box_of(shape: Any) -> tuple[float, float, float, float] | None:
    if shape is None:
        return None
    if "xmin" not in shape:
        raise RequestError("a file is picked from by a bbox, not by a polygon")
    return shape["xmin"], shape["ymin"], shape["xmax"], shape["ymax"]


def _picker(shape: Any) -> Callable[[Feature], bool]:
    """Return what says whether a parcel's middle lies in the box."""
    box = _box_of(shape)
    if box is None:
        return lambda _: True
    west, south, east, north = box

    def is_in(feature: Feature) -> bool:
        _, centre = read_geojson(feature.get("geometry"))
        return centre is not None and west <= centre[0] <= east and south <= centre[1] <= north

    return is_in
