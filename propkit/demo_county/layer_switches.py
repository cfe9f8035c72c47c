"""The switches of the map servers: how they page, where they cut, and what they cannot bear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

_PAGINGS = ("own", "ignored", "refused")


@dataclass(frozen=True, slots=True)
class LayerSwitches:
    """One state of the map servers' switches.

    `max_rows` is what a layer announces as the most rows of an answer. `cap` is what it sends at
    most, whatever it announces; `is_cap_told` says so in the answer. `paging` "ignored" announces
    offsets and does not count them, "refused" announces none and refuses them; "own" is each
    layer's own way. The `first_fail` first queries get an error with status 200, and so does
    every query for more than `most_bearable` rows. Rows from number `lost_from` on are counted,
    and never sent.
    """

    max_rows: int = 1000
    cap: int | None = None
    is_cap_told: bool = False
    paging: str = "own"
    first_fail: int = 0
    most_bearable: int | None = None
    lost_from: int | None = None

    def changed(self, changes: object) -> LayerSwitches:
        """Return these switches with some changed; raise ValueError for what cannot be."""
        if not isinstance(changes, Mapping):
            raise ValueError(f"the layers' switches are an object, not {changes!r}")  # noqa: TRY004
        names = [item.name for item in fields(self)]
        if unknown := sorted(set(changes) - set(names)):
            raise ValueError(f"unknown switches {unknown} of layers; there are {', '.join(names)}")
        for name, value in changes.items():
            _check(name, value)
        return replace(self, **changes)


def _check(name: str, value: Any) -> None:
    if name == "paging":
        if value not in _PAGINGS:
            raise ValueError(f"paging is one of {', '.join(_PAGINGS)}, not {value!r}")
    elif name == "is_cap_told":
        if not isinstance(value, bool):
            raise ValueError(f"is_cap_told is true or false, not {value!r}")
    elif not (value is None and name not in {"max_rows", "first_fail"}):
        least = 0 if name in {"first_fail", "lost_from"} else 1
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} is a whole number from {least} up, not {value!r}")
