"""One layer of parcels: where it is, whose it is, and which of its fields are which columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from yarl import URL

from propkit.errors import SettingsError
from propkit.layers.fields import Field, read_field, write_field
from propkit.layers.file_form import read_form

KINDS: Final = ("arcgis", "socrata", "file")
"""What a layer can be asked by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer of parcels.

    Parameters
    ----------
    name
        Of the source that it becomes.
    county
        Lower case: ``"maricopa"``; elsewhere with the state's letters behind it, ``"bexar_tx"``,
        since many states have a Clark.
    kind
        ``"arcgis"`` (a layer of a MapServer or FeatureServer), ``"socrata"`` (a dataset) or
        ``"file"`` (a download).
    url
        Of the layer, of the dataset without ``.json``, or of the file.
    fields
        By column of ``parcels``; ``apn`` is needed.
    where
        What picks the county's parcels out of a layer that holds more, in the layer's own SQL.
    licence
        What the publisher says about use, as it was found; None: nothing is known.
    file
        How a file is to be read: see :class:`propkit.layers.file_form.FileForm`.
    """

    name: str
    county: str
    url: str
    fields: Mapping[str, Field]
    kind: str = "arcgis"
    where: str | None = None
    licence: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    file: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Every field that the columns need, each once."""
        return tuple(dict.fromkeys(name for one in self.fields.values() for name in one.names))

    def as_json(self) -> dict[str, Any]:
        """Return the layer as :func:`read_layer` reads it."""
        return {
            "name": self.name,
            "county": self.county,
            "kind": self.kind,
            "url": self.url,
            "fields": {column: write_field(one) for column, one in self.fields.items()},
            "where": self.where,
            "licence": self.licence,
            "headers": dict(self.headers),
            "file": dict(self.file),
        }


def make_layer(  # noqa: PLR0917 - the table of ready layers reads better so
    name: str,
    county: str,
    url: str,
    fields: Mapping[str, object],
    kind: str = "arcgis",
    where: str | None = None,
    licence: str | None = None,
    headers: Mapping[str, str] | None = None,
    file: Mapping[str, Any] | None = None,
) -> Layer:
    """Return a layer whose fields are given as settings give them.

    Raises
    ------
    SettingsError
        There is no such kind, the address is none, or a field is wrong or missing.
    """
    if kind not in KINDS:
        raise SettingsError(f"{name}: kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if not _is_address(url):
        raise SettingsError(f"{name}: {url!r} is no address of a layer")
    if "apn" not in fields:
        raise SettingsError(f"{name}: fields must say which field is the apn")
    read = {column: read_field(column, given) for column, given in fields.items()}
    return Layer(
        name=name,
        county=county,
        kind=kind,
        url=url if kind == "file" else url.rstrip("/").removesuffix(".json"),
        fields=read,
        where=where,
        licence=licence,
        headers=dict(headers or {}),
        file=read_form(file or {}).as_json() if kind == "file" else {},
    )


def _is_address(url: str) -> bool:
    """Whether something below a host can be asked at an address."""
    try:
        place = URL(url)
        labels = (place.raw_host or "").split(".")
    except ValueError:  # a port or a host that is none
        return False
    is_host = all(0 < len(label) < 64 for label in labels)
    return place.scheme in {"http", "https"} and is_host and place.path.strip("/") != ""


def read_layer(said: Mapping[str, Any]) -> Layer:
    """Return the layer that :meth:`Layer.as_json` wrote."""
    return make_layer(**said)
