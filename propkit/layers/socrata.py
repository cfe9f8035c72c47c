"""Socrata's SODA API: how a dataset is asked, and how its answers are read.

A dataset has no order of its own, so pages are asked for in that of the rows' ids. Values are
mostly texts; what is empty is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from propkit.errors import LayoutChangedError, RequestError
from propkit.layers.facts import Answer, LayerFacts, LayerField
from propkit.pages import Page

PAGE_ROWS: Final = 1000
OBJECT_ID: Final = ":id"
_SHAPES: Final = {"point", "location", "polygon", "multipolygon"}
_KINDS: Final = {
    "text": "text",
    "number": "number",
    "calendar_date": "date",
    "floating_timestamp": "date",
    "fixed_timestamp": "date",
    **dict.fromkeys(_SHAPES, "shape"),
}

Params = dict[str, str]


def read_facts(page: Page) -> LayerFacts:
    """Read a dataset's description (``/api/views/{4x4}.json``)."""
    said = page.json()
    columns = said.get("columns") if isinstance(said, dict) else None
    if not isinstance(columns, list):
        raise LayoutChangedError("this is no dataset with columns", url=page.url)
    fields = tuple(
        LayerField(
            name=str(one["fieldName"]),
            kind=_KINDS.get(str(one.get("dataTypeName")), "other"),
            alias=str(one.get("name") or ""),
        )
        for one in columns
        if isinstance(one, dict) and one.get("fieldName")
    )
    licence = said.get("license")
    named = licence.get("name") if isinstance(licence, dict) else said.get("licenseId")
    return LayerFacts(
        title=str(said.get("name") or ""),
        fields=fields,
        page_size=PAGE_ROWS,
        can_page=True,
        object_id=OBJECT_ID,
        has_shapes=any(field.kind == "shape" for field in fields),
        licence=str(named) if named else None,
    )


def shape_field(facts: LayerFacts) -> str | None:
    """Return the field that holds the rows' shapes."""
    return next((field.name for field in facts.fields if field.kind == "shape"), None)


def area_where(where: str | None, area: Mapping[str, Any] | None, shape: str | None) -> str | None:
    """Return what picks an area's rows, None where all are picked.

    Raises
    ------
    RequestError
        The dataset has no shapes, so that no area can be picked.
    """
    if area is None:
        return where
    if shape is None:
        raise RequestError("the dataset has no shapes: pick its rows by where, not by an area")
    if "xmin" in area:
        west, south, east, north = (area[name] for name in ("xmin", "ymin", "xmax", "ymax"))
        ring = [(west, south), (west, north), (east, north), (east, south), (west, south)]
        parts = [ring]
    else:
        parts = area["rings"]
    texts = [", ".join(f"{x} {y}" for x, y in ring) for ring in parts]
    text = ", ".join(f"(({ring}))" for ring in texts)
    picked = f"intersects({shape}, 'MULTIPOLYGON ({text})')"
    return f"({where}) AND {picked}" if where else picked


def keys_where(field: str, keys: Sequence[str], where: str | None) -> str:
    """Return what picks the rows of some parcels."""
    texts = ",".join("'" + key.replace("'", "''") + "'" for key in keys)
    picked = f"{field} in ({texts})"
    return f"({where}) AND {picked}" if where else picked


def count_params(where: str | None) -> Params:
    """Return what asks how many rows there are."""
    return {"$select": "count(*) AS count", **({"$where": where} if where else {})}


def row_params(names: Iterable[str], where: str | None, start: int, count: int) -> Params:
    """Return what asks for one page of rows with these fields."""
    params = {
        "$select": ",".join([OBJECT_ID, *names]),
        "$order": OBJECT_ID,
        "$limit": str(count),
        "$offset": str(start),
    }
    return {**params, "$where": where} if where else params


def read_count(page: Page) -> int:
    """Read how many rows there are."""
    said = page.json()
    try:
        return int(said[0]["count"])
    except (TypeError, ValueError, LookupError):
        raise LayoutChangedError(
            f"{page.name}: expected a count, got {said!r:.80}", url=page.url
        ) from None


def read_answer(page: Page, names: Sequence[str], shape: str | None) -> Answer:
    """Read rows; a field that a row leaves out is empty there."""
    said = page.json()
    if not isinstance(said, list) or not all(isinstance(row, dict) for row in said):
        raise LayoutChangedError(f"{page.name}: expected rows, got {said!r:.80}", url=page.url)
    if said and not any(name in row for row in said for name in names):
        raise LayoutChangedError(
            f"{page.name}: no row has any of {', '.join(names):.200}", url=page.url
        )
    return Answer(
        rows=tuple(said),
        shapes=tuple([row.get(shape) for row in said] if shape else [None] * len(said)),
        names=tuple(names),
        ids=tuple([str(row.get(OBJECT_ID, "")) for row in said]),
    )
