"""Which counties' layers are known, as a frame: those that propkit brings, and the imported ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from propkit.layers.catalogue import Catalogue, CountyLayer
from propkit.layers.ready import READY

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "source",
    "state",
    "county",
    "coverage",
    "protocol",
    "status",
    "reason",
    "licence",
    "data",
    "file",
)
"""The columns of the frame."""

_HOME_STATE = {"maricopa": "az"}


def list_counties(path: Path | None, state: str | None) -> pd.DataFrame:
    """Return a range index and :data:`COLUMNS`, all text, by state, county and source."""
    import pandas as pd

    entries = [*_ready(), *Catalogue.at(path).read().entries]
    rows = [
        (
            entry.state,
            entry.county,
            entry.name,
            entry.coverage,
            entry.protocol,
            entry.status,
            entry.reason,
            entry.licence,
            entry.data,
            entry.path,
        )
        for entry in sorted(entries, key=lambda one: (one.state, one.county, one.name))
        if state is None or entry.state == state.lower()
    ]
    order = ["state", "county", "source", *COLUMNS[3:]]
    return pd.DataFrame(rows, columns=order, dtype="string[pyarrow]")[list(COLUMNS)]


def _ready() -> list[CountyLayer]:
    found = []
    for layer in READY.values():
        county, _, state = layer.county.rpartition("_")
        found.append(
            CountyLayer(
                name=layer.name,
                state=_HOME_STATE.get(layer.county, state),
                county=county or layer.county,
                coverage=f"{(county or layer.county).replace('_', ' ').title()} County",
                protocol=layer.kind,
                data=layer.url,
                status="ready",
                licence=layer.licence,
                path="propkit",
            )
        )
    return found
