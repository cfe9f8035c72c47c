"""How a county's file of parcels is to be read, as a catalogue or the settings say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from propkit.errors import SettingsError

FORMATS: Final = ("geojson", "csv", "shapefile", "gdb")
"""What a file may be; the last two are read by GDAL, which the extra ``propkit[files]`` brings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileForm:
    """How a file is to be read.

    ``member`` names a file within the archive, ``layer`` one within a geodatabase. ``longitude``
    and ``latitude`` are the columns of a table without shapes. ``srs`` is what the file's
    coordinates are in, where it does not say so itself.
    """

    format: str
    member: str | None = None
    layer: str | None = None
    longitude: str | None = None
    latitude: str | None = None
    srs: str | None = None
    encoding: str | None = None
    delimiter: str | None = None

    def as_json(self) -> dict[str, str]:
        """Return the form as :func:`read_form` reads it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def read_form(said: Mapping[str, Any]) -> FileForm:
    """Return how a file is to be read, as settings give it.

    Raises
    ------
    SettingsError
        There is no such format, or something else is said.
    """
    known = {field.name for field in fields(FileForm)}
    if unknown := sorted(set(said) - known):
        raise SettingsError(f"a file knows no {', '.join(unknown)}; it knows {', '.join(known)}")
    if said.get("format") not in FORMATS:
        raise SettingsError(
            f"a file's format must be one of {', '.join(FORMATS)}, not {said.get('format')!r}"
        )
    if wrong := [name for name, value in said.items() if not isinstance(value, str)]:
        raise SettingsError(f"a file's {wrong[0]} must be a text, not {said[wrong[0]]!r:.40}")
    return FileForm(**said)
