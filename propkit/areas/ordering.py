"""From an area to a batch that collects it: counted first, then asked for part by part."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from propkit.errors import RequestError
from propkit.items import Item
from propkit.layers.areas import Area, read_part
from propkit.plan import Plan
from propkit.progress import Listener
from propkit.runtime.batch import Batch
from propkit.sources import SourceConfig

KIND = "area"
"""The kind of a batch that collects an area."""

_MOST_CHARACTERS = {"socrata": 5000}
_MOST_POSTED = 200_000
"""Characters of a polygon that goes into an address, by the kind of layer, and that is posted."""

Start = Callable[[list[Listener]], Batch]


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaPlan:
    """What collecting an area will ask for; making it has collected nothing.

    ``parcels`` is how many rows the layer counts. ``licence`` is what the publisher says about
    use; None where nothing is known. ``planned_at`` is aware UTC.
    """

    source: str
    county: str
    what: str
    parcels: int
    requests: int
    minutes: float
    licence: str | None
    planned_at: datetime
    start_batch: Start = field(repr=False, compare=False)

    def start(self, listener: Listener | None = None) -> Batch:
        """Collect the area in a background batch and return it at once.

        Raises
        ------
        RequestError
            There is nothing to collect.
        """
        if not self.parcels:
            raise RequestError(f"nothing to collect: {self.source} counts no parcel {self.what}")
        return self.start_batch([listener] if listener else [])

    def __str__(self) -> str:
        """Return the plan in a few lines."""
        time = f"{self.minutes * 60:.0f} s" if self.minutes < 1 else f"{self.minutes:.0f} min"
        return "\n".join(
            [
                f"Plan area: {self.parcels:,} parcels of {self.source} {self.what}",
                f"  {self.requests:,} request{'' if self.requests == 1 else 's'}, about {time}",
                f"  licence: {self.licence or 'not said; ask the county before you share the data'}",
            ]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre style='white-space: pre-wrap'>{html.escape(str(self))}</pre>"


def describe_area(area: object, where: str | None) -> str:
    """Return an area in words."""
    words = []
    if area is not None:
        words.append(
            "within a box" if isinstance(area, dict) and "xmin" in area else "in a polygon"
        )
    if where:
        words.append(f"where {where}")
    return " ".join(words) or "in all"


def check_size(area: object, kind: str) -> None:
    """Refuse a polygon with more corners than one request to such a layer can hold."""
    if len(str(area)) > _MOST_CHARACTERS.get(kind, _MOST_POSTED):
        raise RequestError(
            "the polygon has too many corners to be asked for in one request: simplify it"
            " (shapely: polygon.simplify(0.001)), or use its bbox"
        )


def make_area_plan(area: Area, parts: Sequence[str], config: SourceConfig) -> Plan:
    """Return a plan with one item a part.

    Raises
    ------
    InvalidAnswerError
        A key names no part.
    """
    name = config.source.name
    for key in parts:
        read_part(key)
    items = tuple(Item(source=name, key=key, sequence=number) for number, key in enumerate(parts))
    return Plan(
        entries=(),
        items=items,
        datasets=config.source.provides,
        mode="api",
        origin=f"area {area.id} of {name}",
        requests={config.host: len(items)},
        follow_ups={},
        minutes=minutes_of(len(items), config),
        sources=(name,),
        kind=KIND,
        planned_at=datetime.now(UTC),
    )


def minutes_of(requests: int, config: SourceConfig) -> float:
    """Return how long so many requests take at the source's pace."""
    return requests / config.requests_per_second / 60


def layer_row(config: SourceConfig, layer: Any, said: dict[str, Any]) -> dict[str, Any]:
    """Return a layer's row of the table ``layers``: where the data is from, and its licence."""
    import json

    told = layer.as_json()
    return {
        "source": config.source.name,
        "county": config.source.county,
        "kind": layer.kind,
        "url": layer.url,
        "title": said.get("title"),
        "licence": said.get("licence"),
        "fields": json.dumps(told["fields"]),
        "rows": said.get("count"),
        "described_at": datetime.now(UTC),
    }
