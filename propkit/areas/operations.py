"""What is asked of layers where the store is held, by name: for this process or for guests.

What goes in and comes out is what JSON holds, so that another process can ask for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Protocol, TypeVar

from propkit.areas.ordering import layer_row, make_area_plan
from propkit.collector import Collector
from propkit.errors import RequestError, SettingsError
from propkit.layers import Layer
from propkit.layers.areas import read_area_order
from propkit.layers.layer import make_layer
from propkit.plan import Plan
from propkit.progress import Listener
from propkit.runtime.thread import CollectorThread
from propkit.sources import Ask, SourceConfig, Sources
from propkit.sources._layer_source import LayerSource
from propkit.store import Store
from propkit.store.batches import read_batch_id
from propkit.store.results import replace_rows
from propkit.usage import Usage

Given = Mapping[str, Any]
T = TypeVar("T")

SAMPLE_ROWS: Final = 50


class AreasPlace(Protocol):
    """What asking layers needs of the place that holds the store."""

    @property
    def store(self) -> Store:
        """The store."""
        ...

    @property
    def sources(self) -> Sources:
        """The sources by name."""
        ...

    def collector(self) -> tuple[Collector, CollectorThread]:
        """Return what asks, and the thread it lives in."""
        ...

    def start_plan(
        self, plan: Plan, criteria: Mapping[str, Any], listeners: Iterable[Listener], batch_id: str
    ) -> str:
        """Start a batch and return its id."""
        ...


def do_areas(place: AreasPlace, name: str, given: Given, listeners: Iterable[Listener] = ()) -> Any:
    """Carry out an operation and return its answer as JSON can hold it.

    Raises
    ------
    RequestError
        There is no such operation or layer, or something given is wrong.
    SourceError
        The layer does not answer, or is not as it was described.
    """
    if name == "measure":
        return _measure(place, given)
    if name == "describe":
        return _describe(place, given)
    if name == "start":
        return _start(place, given, listeners)
    raise RequestError(f"layers know no operation {name!r}")


def find_layer_config(sources: Sources, name: object) -> tuple[SourceConfig, LayerSource]:
    """Return a map layer's source.

    Raises
    ------
    RequestError
        There is none of that name.
    """
    if not isinstance(name, str) or name not in sources:
        raise RequestError(
            f"no layer {name!r}; kit.counties() lists them, propkit counties import adds more"
        )
    config = sources[name]
    if not isinstance(config.source, LayerSource):
        raise RequestError(f"{name} is no map layer: it is asked by APN, not by area")
    return config, config.source


def _measure(place: AreasPlace, given: Given) -> dict[str, Any]:
    config, source = find_layer_config(place.sources, given.get("source"))
    where, shape = given.get("where"), given.get("shape")
    measured = _ask(place, config, lambda ask: source.measure(where, shape, ask))
    return {
        "area": measured.area.as_json(),
        "count": measured.count,
        "parts": [part.key for part in measured.parts],
        "title": measured.facts.title,
        "licence": source.layer.licence or measured.facts.licence,
    }


def _start(place: AreasPlace, given: Given, listeners: Iterable[Listener]) -> str:
    config, source = find_layer_config(place.sources, given.get("source"))
    said, batch_id = given.get("measured"), read_batch_id(given.get("batch_id"))
    if not isinstance(said, dict):
        raise RequestError("the area was not measured")
    area = read_area_order(said["area"])
    plan = make_area_plan(area, said["parts"], config)
    row = layer_row(config, source.layer, said)
    place.store.writer.submit(
        lambda connection: replace_rows(connection, "layers", [row], "source")
    ).result()
    return place.start_plan(plan, {"area": area.as_json()}, listeners, batch_id)


def _describe(place: AreasPlace, given: Given) -> dict[str, Any]:
    url = str(given.get("url") or "").strip()
    name = f"layer_{hashlib.sha256(url.encode()).hexdigest()[:8]}"
    kind = "socrata" if "/resource/" in url else "arcgis"
    try:
        layer: Layer = make_layer(name, "", url.partition("?")[0], {"apn": "?"}, kind=kind)
    except SettingsError as error:
        raise RequestError(f"{url!r} is no address of a layer or dataset") from error
    config = place.sources.add(layer)
    source = config.source
    if not isinstance(source, LayerSource):
        raise RequestError(f"{url} is no layer")

    async def look(ask: Ask) -> Any:
        facts = await source.describe(ask)
        return facts, await source.sample(facts, ask, SAMPLE_ROWS)

    try:
        facts, answer = _ask(place, config, look)
    finally:
        del place.sources[name]
    return {
        "kind": kind,
        "url": layer.url,
        "title": facts.title,
        "licence": facts.licence,
        "page_size": facts.page_size,
        "can_page": facts.can_page,
        "fields": [[field.name, field.kind, field.alias] for field in facts.fields],
        "rows": [dict(row) for row in answer.rows],
    }


def _ask(place: AreasPlace, config: SourceConfig, work: Callable[[Ask], Awaitable[T]]) -> T:
    """Ask in the collector's thread, while the person waits."""
    collector, thread = place.collector()

    async def run() -> T:
        async with collector.asking(config.source.name, Usage()) as ask:
            return await work(ask)

    return thread.submit(run()).result()
