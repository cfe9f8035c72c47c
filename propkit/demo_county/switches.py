"""The county's switches: limits, latency, faults and the shapes that real systems vary in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from typing import Any

from propkit.demo_county.classifieds_switches import ClassifiedsSwitches
from propkit.demo_county.faults import ALL_SYSTEMS, Rule, read_rule
from propkit.demo_county.layer_switches import LayerSwitches
from propkit.demo_county.lead_switches import LeadSwitches
from propkit.demo_county.limits import POLITE_LIMITS, Limit

DEFAULT_TOKEN = "demo-token"  # noqa: S105
ALLOW_ALL = "User-agent: *\nDisallow:\n"

_WORDS = {
    "envelope": ("results", "real_property"),
    "layout": ("mixed", "list", "table"),
    "year_table": ("mixed", "divBackTaxes", "gvTaxYears"),
    "button": ("mixed", "input", "div"),
    "unknown_parcel": ("empty", "500"),
}


@dataclass(frozen=True, slots=True)
class Switches:
    """One state of all switches.

    `latency` multiplies the real systems' latency (0 = none); `leak_mb` is what a page of the
    treasurer or the recorder's portal takes of a browser's memory and does not let go.
    """

    limits: Mapping[str, Limit] = field(default_factory=lambda: dict(POLITE_LIMITS))
    latency: float = 0.0
    faults: tuple[Rule, ...] = ()
    envelope: str = "results"
    layout: str = "mixed"
    year_table: str = "mixed"
    button: str = "mixed"
    one_call: bool = True
    leak_mb: float = 0.0
    unknown_parcel: str = "empty"
    token: str | None = DEFAULT_TOKEN
    robots: Mapping[str, str] = field(default_factory=dict)
    leads: LeadSwitches = field(default_factory=LeadSwitches)
    layers: LayerSwitches = field(default_factory=LayerSwitches)
    classifieds: ClassifiedsSwitches = field(default_factory=ClassifiedsSwitches)

    def changed(self, changes: object) -> Switches:
        """Return these switches with some changed; raise ValueError for what cannot be.

        `limits` and `robots` change only the systems named, `leads`, `layers` and
        `classifieds` only their own switches named; None lifts a limit, and `limits` None lifts all.
        """
        if not isinstance(changes, Mapping):
            raise ValueError(f"switches are an object, not {changes!r}")  # noqa: TRY004
        names = [item.name for item in fields(self)]
        if unknown := sorted(set(changes) - set(names)):
            raise ValueError(f"unknown switches {unknown}; there are {', '.join(names)}")
        values: dict[str, Any] = {}
        for name, value in changes.items():
            values[name] = self._read(name, value)
        return replace(self, **values)

    def as_json(self) -> dict[str, object]:
        """Return the switches as `changed` reads them."""
        return asdict(self)

    def _read(self, name: str, value: Any) -> object:
        if name == "limits":
            return {**self.limits, **_read_limits(value)}
        if name == "robots":
            return {**self.robots, **_read_robots(value)}
        if name == "leads":
            return self.leads.changed(value)
        if name == "layers":
            return self.layers.changed(value)
        if name == "classifieds":
            return self.classifieds.changed(value)
        return _READERS.get(name, partial(_read_word, name))(value)


def _read_faults(value: Any) -> tuple[Rule, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"faults are a list of rules, not {value!r}")  # noqa: TRY004
    return tuple(read_rule(rule) for rule in value)


def _read_latency(value: Any) -> float:
    if not isinstance(value, int | float) or value < 0:
        raise ValueError(f"latency is true, false or a factor from 0 up, not {value!r}")
    return float(value)


def _read_leak(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1000:
        raise ValueError(f"a page leaks leak_mb megabytes, from 0 to 1000, not {value!r}")
    return float(value)


def _read_token(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and value):
        return value
    raise ValueError(f"the token is a text, or null for none, not {value!r}")


def _read_one_call(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"one_call is true or false, not {value!r}")  # noqa: TRY004
    return value


def _read_word(name: str, value: Any) -> str:
    if value not in _WORDS[name]:
        raise ValueError(f"{name} is one of {', '.join(_WORDS[name])}, not {value!r}")
    return str(value)


_READERS: dict[str, Callable[[Any], object]] = {
    "faults": _read_faults,
    "latency": _read_latency,
    "token": _read_token,
    "one_call": _read_one_call,
    "leak_mb": _read_leak,
}


def _read_limits(value: Any) -> dict[str, Limit]:
    if value is None:
        return {system: Limit() for system in ALL_SYSTEMS}
    if not isinstance(value, Mapping) or set(value) - set(ALL_SYSTEMS):
        raise ValueError(
            f"limits are an object by system ({', '.join(ALL_SYSTEMS)}), not {value!r}"
        )
    return {system: _read_limit(system, limit) for system, limit in value.items()}


def _read_limit(system: str, value: Any) -> Limit:
    if value is None:
        return Limit()
    if isinstance(value, int | float):
        value = {"requests_per_second": value}
    names = {item.name for item in fields(Limit)}
    if not isinstance(value, Mapping) or set(value) - names:
        raise ValueError(f"the limit of {system} takes {', '.join(sorted(names))}, not {value!r}")
    limit = Limit(**value)
    numbers = (limit.requests_per_second, limit.burst, limit.max_in_flight)
    if any(number is not None and number <= 0 for number in numbers):
        raise ValueError(f"the limit of {system} must be above 0, not {value!r}")
    return limit


def _read_robots(value: Any) -> dict[str, str]:
    systems = (*ALL_SYSTEMS, "root")
    if not isinstance(value, Mapping) or set(value) - set(systems):
        raise ValueError(f"robots are texts by system ({', '.join(systems)}), not {value!r}")
    if any(not isinstance(text, str) for text in value.values()):
        raise ValueError("a robots.txt is a text")
    return dict(value)
