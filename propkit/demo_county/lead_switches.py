"""The switches of the leads API: what its account may buy, and how its answers vary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

_WORDS = {
    "yesno": ("ints", "texts", "both"),
    "rebuys": ("charged", "free"),
    "rows": ("objects", "columns"),
}
_NUMBERS = {"quota": 0, "answer_after": 0, "entering": None}


@dataclass(frozen=True, slots=True)
class LeadSwitches:
    """One state of the leads API's switches.

    `quota` is how many records a month are free; each further one costs `price` (USD as text),
    or is refused with 402 where that is None. `rebuys` says what a record costs that was bought
    this month already. After a purchase the answer waits `answer_after` seconds. With each
    purchase so many records are `entering` the front of the result set; below 0 they leave it.
    Of the `odd` field the rows hold words that are no such value.
    """

    token: str | None = "demo-leads-token"  # noqa: S105
    quota: int = 10_000
    price: str | None = "0.10"
    rebuys: str = "charged"
    rows: str = "objects"
    yesno: str = "ints"
    error_status: int | None = None
    """The status of every error; None is each error's own."""
    entering: int = 0
    answer_after: float = 0.0
    odd: str | None = None

    def changed(self, changes: object) -> LeadSwitches:
        """Return these switches with some changed; raise ValueError for what cannot be."""
        if not isinstance(changes, Mapping):
            raise ValueError(f"the leads' switches are an object, not {changes!r}")  # noqa: TRY004
        names = [item.name for item in fields(self)]
        if unknown := sorted(set(changes) - set(names)):
            raise ValueError(f"unknown switches {unknown} of leads; there are {', '.join(names)}")
        for name, value in changes.items():
            _check(name, value)
        return replace(self, **changes)


def _check(name: str, value: Any) -> None:
    if name in _WORDS and value not in _WORDS[name]:
        raise ValueError(f"{name} is one of {', '.join(_WORDS[name])}, not {value!r}")
    if name in _NUMBERS:
        least = _NUMBERS[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} is a number, not {value!r}")
        if least is not None and value < least:
            raise ValueError(f"{name} is a number from {least} up, not {value!r}")
    if name == "error_status" and not (value is None or isinstance(value, int)):
        raise ValueError(f"error_status is a status or null, not {value!r}")
    if name in ("token", "price", "odd") and not (
        value is None or (isinstance(value, str) and value)
    ):
        raise ValueError(f"{name} is a text, or null for none, not {value!r}")
