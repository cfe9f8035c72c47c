"""Parcels of any county from a layer of an ArcGIS server, by its address and a map of its fields.

By itself Maricopa's layer; :mod:`propkit.layers.ready` knows others, settings add more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

from propkit.errors import InvalidAnswerError, SourceUnavailableError
from propkit.layers import Layer, arcgis
from propkit.layers.areas import Area, Part, parts_by_ids, parts_by_offset, read_part
from propkit.layers.facts import Answer, LayerFacts
from propkit.layers.fields import find_name
from propkit.layers.geometry import read_esri
from propkit.layers.ready import READY
from propkit.pages import Page, uncollected
from propkit.sources._base import Ask, Parsed, Payload
from propkit.sources._layer_source import (
    LEAST_ROWS,
    ROWS,
    FormAsk,
    Measured,
    OfLayer,
    check_pages,
    demand_object_id,
    parse_features,
    parse_rows,
    spell_names,
    split_keys,
)

_SPLIT_ON: Final = (InvalidAnswerError, SourceUnavailableError)
"""Failures by which a server may say that a page is too large for it."""


class ArcgisParcels(OfLayer):
    """A layer of a MapServer or FeatureServer."""

    optional_token_header: str = "X-Esri-Authorization"  # noqa: S105
    token_prefix: str = "Bearer "  # noqa: S105

    def __init__(self, layer: Layer = READY["maricopa_parcels"]) -> None:
        super().__init__(layer)
        # The layer is its server's last part, so that its description has no slash behind it.
        self.base_url, _, self._path = layer.url.rpartition("/")
        self._facts: LayerFacts | None = None

    async def describe(self, ask: Ask) -> LayerFacts:
        """Ask what the layer says of itself."""
        page = await ask.get(self._path, name="layer", params={"f": "json"}, expect="arcgis")
        return arcgis.read_facts(page)

    async def sample(self, facts: LayerFacts, ask: Ask, rows: int) -> Answer:
        """Ask for some rows with every field."""
        params = arcgis.row_params(arcgis.area_params(self.layer.where, None), ["*"])
        if facts.can_page:
            params["resultRecordCount"] = str(rows)
        elif facts.object_id is not None:
            params["where"] = arcgis.range_params(params, facts.object_id, 0, rows)["where"]
        page = await self._query(ask, "sample", params)
        return arcgis.read_answer(page)

    async def measure(self, where: str | None, shape: Any, ask: Ask) -> Measured:
        """Count an area and say in which parts it will be asked for."""
        facts = await self.describe(ask)
        names = list(spell_names(self.layer, facts))
        if facts.object_id is not None and facts.object_id not in names:
            names.insert(0, facts.object_id)
        area = Area(
            where=self.join_wheres(where),
            shape=shape,
            names=tuple(names),
            object_id=facts.object_id,
        )
        count = await self._count(area, ask)
        size = facts.page_size
        parts: tuple[Part, ...]
        if facts.can_page and (count <= size or await self._pages_truly(area, ask)):
            parts = tuple(parts_by_offset(area, count, size))
        elif facts.object_id is None and count <= size:
            parts = tuple(parts_by_offset(area, count, size))  # one, without offset or order
        else:
            demand_object_id(self.layer, facts, count)
            params = {**arcgis.area_params(area.where, area.shape), "returnIdsOnly": "true"}
            ids = arcgis.read_ids(await self._query(ask, "ids", params))
            parts, count = tuple(parts_by_ids(area, ids, size)), len(ids)
        return Measured(area=replace(area, count=count), count=count, parts=parts, facts=facts)

    async def fetch(self, key: str, apn: str | None, ask: Ask) -> Payload:
        """Ask for some parcels by their APNs."""
        if self._facts is None:
            self._facts = await self.describe(ask)
        facts = self._facts
        names = spell_names(self.layer, facts)
        apn_field = find_name(self.layer.fields["apn"].names[0], facts.names) or ""
        kind = next(field.kind for field in facts.fields if field.name == apn_field)
        where = arcgis.keys_where(
            apn_field, split_keys(key), self.layer.where, is_number=kind in {"number", "id"}
        )
        asked = [facts.object_id, *names] if facts.object_id not in {None, *names} else names
        params = arcgis.row_params(
            arcgis.area_params(where, None), [name for name in asked if name is not None]
        )
        page = await self._query(ask, ROWS, params)
        rows, is_cut = arcgis.count_rows(page)
        if is_cut or rows >= facts.page_size:
            raise InvalidAnswerError(
                f"{self.name}: {rows} rows for {len(split_keys(key))} APNs, and more"
                " that the server keeps back",
                url=page.url,
            )
        return Payload(source=self.name, key=key, apn=apn, pages=(page,))

    async def fetch_part(self, area: Area, key: str, ask: Ask) -> Payload:
        """Ask for one part of an area, all of it.

        Raises
        ------
        InvalidAnswerError
            The server gives fewer rows than it counts, in however small parts it is asked.
        """
        part = read_part(key)
        pages: list[Page] = []
        if part.last is None:
            await self._fetch_rows(area, part, ask, pages)
        else:
            await self._fetch_ids(area, part.first, part.last, part.count, ask, pages)
        return Payload(source=self.name, key=key, pages=tuple(pages))

    def parse(self, payload: Payload) -> Parsed:
        """Read the parcels, and their shapes, of a payload."""
        places = check_pages(self.layer, payload)
        pages = [payload.pages[place] for place in places]
        found = [page.features() for page in pages]
        features = [one for one in found if one is not None]
        if len(features) == len(pages):
            return parse_features(self.layer, payload, features)
        with uncollected():
            answers = [arcgis.read_answer(page) for page in pages]
            return parse_rows(self.layer, payload, answers, read_esri)

    # --- asking -----------------------------------------------------------------------------

    async def _query(self, ask: Ask, name: str, params: arcgis.Params) -> Page:
        path = f"{self._path}/{arcgis.QUERY}"
        if isinstance(ask, FormAsk) and len(urlencode(params)) > arcgis.LONGEST_QUERY:
            return await ask.post_form(path, name=name, form=params, expect="arcgis")
        return await ask.get(path, name=name, params=params, expect="arcgis")

    async def _count(self, area: Area, ask: Ask, within: arcgis.Params | None = None) -> int:
        params = within or arcgis.area_params(area.where, area.shape)
        page = await self._query(ask, "count", {**params, "returnCountOnly": "true"})
        return arcgis.read_count(page)

    async def _pages_truly(self, area: Area, ask: Ask) -> bool:
        """Whether the second row is another than the first: some servers ignore an offset."""
        number = area.object_id or ""
        params = arcgis.area_params(area.where, area.shape)
        params |= {"outFields": number, "returnGeometry": "false"}
        found = []
        for start in (0, 1):
            asked = arcgis.page_params(params, number, start, 1)
            try:
                page = await self._query(ask, f"row {start}", asked)
            except InvalidAnswerError:  # it counts no offsets after all
                return False
            found.append(arcgis.read_answer(page, number).ids[:1])
        return len(found[0]) == len(found[1]) == 1 and found[0] != found[1]

    async def _fetch_rows(self, area: Area, part: Part, ask: Ask, pages: list[Page]) -> None:
        """Ask by offset until all rows have come, in smaller pages where the server fails."""
        params = arcgis.row_params(arcgis.area_params(area.where, area.shape), area.names)
        if area.count == part.count and await self._fetch_whole(area, params, ask, pages):
            return
        size, start, end = part.count, part.first, part.first + part.count
        while start < end:
            asked = arcgis.page_params(params, area.object_id or "", start, min(size, end - start))
            try:
                page = await self._query(ask, f"{ROWS} {len(pages) + 1}", asked)
            except _SPLIT_ON:
                if size <= LEAST_ROWS:
                    raise
                size = max(size // 2, LEAST_ROWS)
                continue
            rows, _ = arcgis.count_rows(page)
            if not rows:
                if await self._count(area, ask) > start:
                    raise _incomplete(self.name, part.key, start - part.first, page)
                pages += [] if pages else [page]
                return  # rows went away since the area was counted
            pages.append(page)
            start += rows

    async def _fetch_whole(
        self, area: Area, params: arcgis.Params, ask: Ask, pages: list[Page]
    ) -> bool:
        """Ask for what fits into one answer without offset and order, which not every layer has.

        Return whether it came whole; a layer that cannot page has no other way to send it.
        """
        try:
            page = await self._query(ask, f"{ROWS} whole", params)
        except _SPLIT_ON:
            if area.object_id is None:
                raise
            return False
        rows, _ = arcgis.count_rows(page)
        if rows < (area.count or 0) and rows != await self._count(area, ask):
            if area.object_id is None:
                raise _incomplete(self.name, "the area", rows, page)
            return False
        pages.append(page)
        return True

    async def _fetch_ids(  # noqa: PLR0917 - a range and where its pages go
        self, area: Area, first: int, last: int, count: int, ask: Ask, pages: list[Page]
    ) -> None:
        """Ask for a range of numbers; by halves where it does not come whole."""
        picked = arcgis.area_params(area.where, area.shape)
        within = arcgis.range_params(picked, area.object_id or "", first, last)
        page: Page | None = None
        rows = 0
        try:
            page = await self._query(
                ask, f"{ROWS} {len(pages) + 1}", arcgis.row_params(within, area.names)
            )
        except _SPLIT_ON:
            if count <= LEAST_ROWS or first >= last:
                raise
        else:
            rows, is_cut = arcgis.count_rows(page)
            is_whole = rows >= count and not is_cut
            if is_whole or rows == await self._count(area, ask, within):
                pages.append(page)
                return
            if first >= last:
                raise _incomplete(self.name, f"ids {first}-{last}", rows, page)
        middle = (first + last) // 2
        for low, high in ((first, middle), (middle + 1, last)):
            half = arcgis.range_params(picked, area.object_id or "", low, high)
            if held := await self._count(area, ask, half):
                await self._fetch_ids(area, low, high, held, ask, pages)


def _incomplete(name: str, what: str, rows: int, page: Page) -> InvalidAnswerError:
    return InvalidAnswerError(
        f"{name}: {what} came with {rows} rows, and the server counts more but sends none",
        url=page.url,
    )
