"""The imported catalogue of counties: one file beside the user's data, read when it is needed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from platformdirs import user_data_path

from propkit.errors import SettingsError
from propkit.layers.layer import Layer, make_layer

_NAME = "counties.json"
_FORM = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CountyLayer:
    """One layer of parcels in the catalogue, and what propkit can do with it.

    ``status`` is ``"ready"`` (it is a source of that name) or ``"unsupported"``, then ``reason``
    says why. ``path`` is the file that it was read from.
    """

    name: str
    state: str
    county: str
    coverage: str
    protocol: str
    data: str
    status: str
    reason: str | None = None
    licence: str | None = None
    website: str | None = None
    path: str = ""
    layer: dict[str, Any] | None = None


class Catalogue:
    """The layers of one catalogue file, by the names of their sources."""

    def __init__(self, entries: Iterable[CountyLayer]) -> None:
        self.entries = tuple(entries)
        self._by_name = {entry.name: entry for entry in self.entries if entry.layer is not None}

    @classmethod
    def at(cls, path: Path | None) -> CatalogueFile:
        """Return what reads a catalogue; None is the file in the user's data folder."""
        return CatalogueFile(user_data_path("propkit") / _NAME if path is None else path)

    def layer(self, name: str) -> Layer | None:
        """Return a source's layer, None where the catalogue has none of that name."""
        entry = self._by_name.get(name)
        return None if entry is None or entry.layer is None else make_layer(**entry.layer)


class CatalogueFile:
    """A catalogue's file, read anew when it has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Catalogue:
        """Return the catalogue; one that was never imported is empty.

        Raises
        ------
        SettingsError
            The file is no catalogue.
        """
        try:
            changed = self.path.stat().st_mtime_ns
        except OSError:
            return Catalogue(())
        return _read(self.path, changed)

    def layer(self, name: str) -> Layer | None:
        """Return a source's layer, None where the catalogue has none of that name."""
        return self.read().layer(name)

    def write(self, entries: Iterable[CountyLayer]) -> None:
        """Put a catalogue in the place of the one before."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f"{self.path.name}.draft")
        rows = [asdict(entry) for entry in entries]
        draft.write_text(json.dumps({"form": _FORM, "layers": rows}), "utf-8")
        draft.replace(self.path)


@lru_cache(maxsize=2)
def _read(path: Path, changed: int) -> Catalogue:
    del changed  # another time of change is another catalogue
    try:
        said = json.loads(path.read_text("utf-8"))
        return Catalogue([CountyLayer(**row) for row in said["layers"]])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SettingsError(
            f"{path} is no catalogue of counties: import it again with propkit counties import"
        ) from error
