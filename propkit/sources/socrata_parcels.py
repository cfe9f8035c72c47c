"""Parcels from a dataset of a Socrata site (SODA API); by itself Cook County's in Illinois."""

from __future__ import annotations

from typing import Any

from propkit.errors import InvalidAnswerError
from propkit.layers import Layer, socrata
from propkit.layers.areas import Area, parts_by_offset, read_part
from propkit.layers.facts import Answer, LayerFacts
from propkit.layers.geometry import read_geojson
from propkit.layers.ready import READY
from propkit.pages import Page
from propkit.sources._base import Ask, Parsed, Payload
from propkit.sources._layer_source import (
    ROWS,
    Measured,
    OfLayer,
    check_pages,
    parse_rows,
    spell_names,
    split_keys,
)


class SocrataParcels(OfLayer):
    """A dataset of a Socrata site."""

    # Without a token everybody on one address shares a pool.
    optional_token_header: str = "X-App-Token"  # noqa: S105

    def __init__(self, layer: Layer = READY["cook_il_parcels"]) -> None:
        super().__init__(layer)
        site, _, self._dataset = layer.url.rpartition("/")
        self.base_url = site.removesuffix("/resource")
        self._facts: LayerFacts | None = None

    async def describe(self, ask: Ask) -> LayerFacts:
        """Ask what the dataset says of itself."""
        page = await ask.get(f"api/views/{self._dataset}.json", name="layer")
        return socrata.read_facts(page)

    async def sample(self, facts: LayerFacts, ask: Ask, rows: int) -> Answer:
        """Ask for some rows with every field."""
        params = socrata.row_params(["*"], self.layer.where, 0, rows)
        page = await self._query(ask, "sample", params)
        return socrata.read_answer(page, facts.names, socrata.shape_field(facts))

    async def measure(self, where: str | None, shape: Any, ask: Ask) -> Measured:
        """Count an area and say in which parts it will be asked for."""
        facts = await self.describe(ask)
        shape_field = socrata.shape_field(facts)
        picked = socrata.area_where(self.join_wheres(where), shape, shape_field)
        area = Area(
            where=picked,
            shape=None,
            names=spell_names(self.layer, facts),
            object_id=facts.object_id,
            shape_field=shape_field,
        )
        count = await self._count(area, ask)
        parts = tuple(parts_by_offset(area, count, facts.page_size))
        return Measured(area=area, count=count, parts=parts, facts=facts)

    async def fetch(self, key: str, apn: str | None, ask: Ask) -> Payload:
        """Ask for some parcels by their APNs."""
        if self._facts is None:
            self._facts = await self.describe(ask)
        names = list(spell_names(self.layer, self._facts))
        if shape_field := socrata.shape_field(self._facts):
            names.append(shape_field)
        apn_field = self.layer.fields["apn"].names[0]
        where = socrata.keys_where(apn_field, split_keys(key), self.layer.where)
        size = self._facts.page_size
        page = await self._query(ask, ROWS, socrata.row_params(names, where, 0, size))
        rows = len(socrata.read_answer(page, names, shape_field).rows)
        if rows >= size:
            raise InvalidAnswerError(f"{self.name}: {rows} rows for some APNs, and more behind")
        return Payload(source=self.name, key=key, apn=apn, pages=(page,))

    async def fetch_part(self, area: Area, key: str, ask: Ask) -> Payload:
        """Ask for one part of an area, all of it.

        Raises
        ------
        InvalidAnswerError
            The site gives fewer rows than it counts.
        """
        part = read_part(key)
        names = [*area.names, *([area.shape_field] if area.shape_field else [])]
        pages: list[Page] = []
        start, end = part.first, part.first + part.count
        while start < end:
            params = socrata.row_params(names, area.where, start, end - start)
            page = await self._query(ask, f"{ROWS} {len(pages) + 1}", params)
            rows = len(socrata.read_answer(page, names, area.shape_field).rows)
            if not rows:
                if await self._count(area, ask) > start:
                    raise InvalidAnswerError(
                        f"{self.name}: {key} came with {start - part.first} rows, and the site"
                        " counts more but sends none",
                        url=page.url,
                    )
                pages += [] if pages else [page]
                break
            pages.append(page)
            start += rows
        return Payload(source=self.name, key=key, pages=tuple(pages))

    def parse(self, payload: Payload) -> Parsed:
        """Read the parcels, and their shapes, of a payload."""
        answers = []
        for place in check_pages(self.layer, payload):
            page = payload.pages[place]
            shape = _shape_of(page)
            answers.append(socrata.read_answer(page, self.layer.names, shape))
        return parse_rows(self.layer, payload, answers, read_geojson)

    async def _query(self, ask: Ask, name: str, params: socrata.Params) -> Page:
        return await ask.get(f"resource/{self._dataset}.json", name=name, params=params)

    async def _count(self, area: Area, ask: Ask) -> int:
        page = await self._query(ask, "count", socrata.count_params(area.where))
        return socrata.read_count(page)


def _shape_of(page: Page) -> str | None:
    """Return the field of an answer whose values are shapes."""
    said = page.json()
    rows = said if isinstance(said, list) else []
    for row in rows:
        for name, value in row.items() if isinstance(row, dict) else ():
            if isinstance(value, dict) and "coordinates" in value:
                return str(name)
    return None
