"""What sources that are map layers share: their manners, and how kept answers become records.

A layer is asked only when it is named: for some parcels by their APNs, many at once
(``keys_per_item``), or for all of an area, part by part. The parts of an area are checked: what
came must be what was counted, and a part that the server cannot or will not give whole is asked
for in smaller ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, Protocol, runtime_checkable

from propkit.errors import InvalidAnswerError, LayoutChangedError, RequestError
from propkit.features import Features
from propkit.layer_plan import BETWEEN
from propkit.layers.areas import Area, Part, is_part
from propkit.layers.facts import Answer, LayerFacts
from propkit.layers.fields import find_name
from propkit.layers.layer import Layer
from propkit.layers.reading import LayerReading, ReadShape, read_answers, read_features
from propkit.pages import Expect, Page
from propkit.sources._base import Ask, Parsed, Payload
from propkit.sources._readers import read_apn

ROWS: Final = "rows"
"""Pages of rows are named so, with their number behind it."""
LEAST_ROWS: Final = 25
"""So few rows are not split again: then the answer stands as it is, an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """An area as the layer counts it: how many rows, in which parts they will be asked for."""

    area: Area
    count: int
    parts: tuple[Part, ...]
    facts: LayerFacts


class OfLayer:
    """What every source that is made of a layer says of itself."""

    needs: str | None = None
    provides: tuple[str, ...] = ("parcels", "parcel_shapes")
    requests_per_second: float = 2.0
    seconds_per_item: float = 0.0
    max_in_flight: int = 2
    max_age: timedelta = timedelta(days=7)
    transport: Literal["http", "browser"] = "http"
    requests_per_item: int = 1
    keys_per_item: int = 100
    token_header: str | None = None
    is_session_bound: bool = False
    parser_version: int = 1

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.name: str = layer.name
        self.county: str = layer.county
        self.headers: Mapping[str, str] = layer.headers

    def join_wheres(self, where: str | None) -> str | None:
        """Return the layer's own condition and another one, None where there is neither."""
        wheres = [one for one in (self.layer.where, where) if one]
        return (
            " AND ".join(f"({one})" for one in wheres)
            if len(wheres) > 1
            else "".join(wheres) or None
        )


@runtime_checkable
class LayerSource(Protocol):
    """A source that is a map layer."""

    name: str
    layer: Layer
    keys_per_item: int

    async def describe(self, ask: Ask) -> LayerFacts:
        """Ask what the layer says of itself."""
        ...

    async def sample(self, facts: LayerFacts, ask: Ask, rows: int) -> Answer:
        """Ask for some rows with every field."""
        ...

    async def measure(self, where: str | None, shape: object, ask: Ask) -> Measured:
        """Count an area and say in which parts it will be asked for."""
        ...

    async def fetch_part(self, area: Area, key: str, ask: Ask) -> Payload:
        """Ask for one part of an area, all of it."""
        ...


@runtime_checkable
class FormAsk(Protocol):
    """What can ask by a form, where an address cannot hold all that is asked."""

    async def post_form(
        self, path: str, *, name: str, form: Mapping[str, str], expect: Expect = "json"
    ) -> Page:
        """Get one page by posting a form, which changes nothing, so that it may be tried again."""
        ...


def split_keys(key: str) -> list[str]:
    """Return the parcels that an item asks for."""
    return key.split(BETWEEN)


def read_key(layer: Layer, text: str) -> str | None:
    """Return an APN's stored form: of Maricopa's without dashes, elsewhere as the county writes it."""
    return read_apn(text) if layer.county == "maricopa" else text


def spell_names(layer: Layer, facts: LayerFacts) -> tuple[str, ...]:
    """Return the fields to ask for, as the layer spells them.

    Raises
    ------
    LayoutChangedError
        The layer lacks one of them.
    """
    found = {name: find_name(name, facts.names) for name in layer.names}
    if absent := [name for name, real in found.items() if real is None]:
        raise LayoutChangedError(
            f"{layer.name}: the layer has no field {', '.join(absent)}; it has"
            f" {', '.join(facts.names):.300}. kit.describe_layer({layer.url!r}) proposes fields"
        )
    return tuple(dict.fromkeys(name for name in found.values() if name is not None))


def demand_object_id(layer: Layer, facts: LayerFacts, count: int) -> str:
    """Return the field that numbers the rows, without which no second page can be asked for."""
    if facts.object_id is None:
        raise RequestError(
            f"{layer.name}: {count} rows come in pages of {facts.page_size}, and the layer has no"
            " field that numbers them: pick fewer by where or a bbox"
        )
    return facts.object_id


def parse_rows(
    layer: Layer, payload: Payload, answers: Sequence[Answer], read_shape: ReadShape
) -> Parsed:
    """Return the records of a payload's rows."""
    reading = read_answers(layer, answers, read_shape, lambda text: read_key(layer, text))
    return _make_parsed(layer, payload, reading)


def parse_features(layer: Layer, payload: Payload, answers: Sequence[Features]) -> Parsed:
    """Return the records of a payload's rows that came by whole columns."""
    reading = read_features(layer, answers, lambda text: read_key(layer, text))
    return _make_parsed(layer, payload, reading)


def _make_parsed(layer: Layer, payload: Payload, reading: LayerReading) -> Parsed:
    answered = dict.fromkeys(reading.apns, True)
    if not is_part(payload.key):
        asked = [read_key(layer, key) or key for key in split_keys(payload.key)]
        answered = {key: key in answered for key in asked}
    if not reading.apns:
        return Parsed(is_found=False, answered=answered, notes=reading.notes)
    unsaid = {"parcels": reading.unsaid} if reading.unsaid else {}
    return Parsed(records=reading.records, unsaid=unsaid, answered=answered, notes=reading.notes)


def check_pages(layer: Layer, payload: Payload) -> list[int]:
    """Return the places of a payload's pages of rows; none at all is no answer."""
    places = [
        place
        for place, page in enumerate(payload.pages)
        if page.name.startswith(ROWS) and not page.name.endswith("(failed)")
    ]
    if not places:
        raise InvalidAnswerError(f"{layer.name}: the payload of {payload.key!r:.60} has no rows")
    return places
