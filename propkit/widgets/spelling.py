"""Values as a person reads them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

from propkit.identifiers import parse_identifier
from propkit.kinds import DATASETS

_INITIALS: Final = frozenset({"api", "apn", "mcr"})


def show(value: object) -> str:
    """Return a value as text; absent is empty, times are UTC."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def show_apn(key: str) -> str:
    """Return an APN with its dashes; another key as it is."""
    found = parse_identifier(key)
    return found.apn.display if found.apn and found.is_valid else key


def show_seconds(seconds: float) -> str:
    """Return how long something takes."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"


def show_age(seconds: float) -> str:
    """Return an age in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def show_ages(moments: Collection[float]) -> str:
    """Return how old the oldest and the newest of some moments are (seconds of the epoch, UTC)."""
    if not moments:
        return ""
    now = datetime.now(UTC).timestamp()
    least, most = show_age(now - max(moments)), show_age(now - min(moments))
    return f"{least} old" if least == most else f"{least} to {most} old"


def show_tables(tables: Collection[str]) -> str:
    """Return which tables of a parcel are at hand, in few words."""
    missing = [name.replace("_", " ") for name in DATASETS if name not in tables]
    if not missing:
        return f"all {len(DATASETS)}"
    if len(missing) <= 3 and tables:
        return f"all but {', '.join(missing)}"
    return ", ".join(name.replace("_", " ") for name in tables)


def spell(name: str) -> str:
    """Return a name of the code as words."""
    words = [word.upper() if word in _INITIALS else word for word in name.lower().split("_")]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]])


def properties(count: int) -> str:
    """Return how many properties in words."""
    return counted(count, "property", "properties")


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return how many there are of something; ``many`` is ``one`` with an s unless told."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
