"""The rows of a table of parcels: from search hits, a list, and from what is collected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from propkit.identifier_lists import Identifiers
from propkit.store.parcel_facts import ParcelFacts
from propkit.widgets.faces import Block, details, table, text
from propkit.widgets.spelling import counted, properties, show_apn, show_tables
from propkit.widgets.status_grid import Column

COLUMNS: Final = (
    Column(name="apn", label="APN", width=112),
    Column(name="owner_name", label="Owner", width=200),
    Column(name="situs_address", label="Address", width=170),
    Column(name="situs_city", label="City", width=108),
    Column(name="subdivision", label="Subdivision", width=140, is_shown=False),
    Column(name="status", label="Status", kind="status", width=126),
    Column(name="tables", label="Tables", kind="tables", width=170),
    Column(name="updated", label="Last Updated", kind="time", width=120),
)
_MOST_ROWS: Final = 100
_TEXTS: Final = ("owner_name", "situs_address", "situs_city", "subdivision")


def texts_by_apn(hits: object) -> dict[str, dict[str, str]]:
    """Return what a frame of hits says of each parcel."""
    columns = getattr(hits, "columns", ())
    if "apn" not in columns:
        return {}
    names = [name for name in _TEXTS if name in columns]
    rows = hits[["apn", *names]].itertuples(index=False, name=None)  # type: ignore[index]
    return {
        str(apn): {
            name: value for name, value in zip(names, values, strict=True) if isinstance(value, str)
        }
        for apn, *values in rows
    }


def describe_list(identifiers: Identifiers, attrs: Mapping[Any, Any]) -> tuple[str, list[Block]]:
    """Return how many parcels a list names, and which of its rows name none for certain, and why.

    ``attrs`` are those of a frame of hits, which say whether there are more.
    """
    if not identifiers.entries:
        return "Nothing was found", []
    known, twice, unusable = identifiers.valid, identifiers.duplicates, identifiers.invalid
    more = f" of {attrs['total']:,}" if attrs.get("is_complete") is False else ""
    said = f"{properties(len(known))}{more}"
    if identifiers.column not in (None, "apn"):  # found by its name or its looks, or named
        said += f" from column {identifiers.column!r}"
    said += f", {counted(len(twice), 'duplicate')}" if twice else ""
    if not unusable:
        return said, []
    rows = [(str(one.raw), one.reason or "") for one in unusable[:_MOST_ROWS]]
    shown = [table("Rows that are not usable", ["Row", "Why"], rows)]
    if unusable[_MOST_ROWS:]:
        shown.append(text(f"… and {len(unusable) - _MOST_ROWS:,} more", look="faint"))
    title = f"Not usable ({len(unusable):,})"
    return f"{said}, {len(unusable):,} not usable", [details(title, *shown, key="unusable")]


def make_row(known: ParcelFacts, given: Mapping[str, str], status: str) -> list[Any]:
    """Return the row of a parcel; what is collected goes before what the hits say."""
    texts = [getattr(known, name) or given.get(name) for name in _TEXTS]
    return [
        show_apn(known.apn),
        *texts,
        status,
        show_tables(known.tables),
        known.checked_at,
    ]


def collected(known: ParcelFacts) -> dict[str, Any]:
    """Return what changes in a row when its parcel is collected."""
    texts = {name: getattr(known, name) for name in _TEXTS if getattr(known, name)}
    return {**texts, "tables": show_tables(known.tables), "updated": known.checked_at}
