"""Faults that the county can be told to show: which requests fail, and how.

A rule is a JSON object, for example ``{"system": "assessor", "path": "^/parcel/", "kind":
"status", "status": 429, "retry_after": 2, "first": 3}``. Of `first`, `nth`, `every` and
`probability` at most one is given; with none, every matching request fails. `per` = "url" counts
each address by itself, so `first` = 1 means that each address fails once and then works. A rule
starts `after` so many matching requests and `after_seconds` from when it was put in force; the
requests before do not count.

What each kind does is told in `FAULT_KINDS`, where it can strike in `SYSTEMS_OF`.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from random import Random
from typing import Any, Final

from propkit.demo_county.fields import FIELDS, WAYS

SYSTEMS = ("assessor", "treasurer", "recorder")
"""The county's offices."""

LEADS = "propertyradar"
"""The leads API, which is no office of the county."""

MAPS, DATASETS = "arcgis", "socrata"
"""The map servers of several counties, and a site of open data."""

CLASSIFIEDS = "classifieds"
"""A site where people sell things."""

ALL_SYSTEMS = (*SYSTEMS, LEADS, MAPS, DATASETS, CLASSIFIEDS)

FAULT_KINDS: Final[Mapping[str, str]] = {
    "status": "An answer with the HTTP `status`, with `retry_after` seconds as number or date.",
    "hang": "No answer for `seconds` (an hour) or until the rule is taken back, then the connection closes.",
    "slow": "The true answer, `seconds` (1) late or when the rule is taken back.",
    "cut": "Half of the body that was announced, then the connection closes.",
    "truncated": "Three fifths of the body, with a length that fits.",
    "html200": "The assessor's frame page with status 200.",
    "captcha": "A page that asks for a human, with `status` (200).",
    "layout_v2": "The page with other ids and classes.",
    "empty200": "Status 200 and an empty body.",
    "204": "Status 204.",
    "wrong_charset": "The body in UTF-16 though its header says UTF-8.",
    "token_expiry": "Status 401, `after` so many requests with the token.",
    "drop": "The request is processed, then the connection closes without an answer.",
    "session_loss": "The session forgets its parcel before the page is made.",
    "lose_field": 'The answer without its `field`: gone (`how` = "absent") or "blank".',
}
"""What each kind of fault does to a request that it strikes."""

_ONLY_FOR = {"layout_v2": "treasurer", "session_loss": "treasurer", "token_expiry": "assessor"}

SYSTEMS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    kind: (_ONLY_FOR[kind],) if kind in _ONLY_FOR else SYSTEMS for kind in FAULT_KINDS
}
"""The systems at which each kind of fault means something."""

_EXAMPLES: Final[Mapping[str, Mapping[str, object]]] = {
    "status": {"status": 503},
    "slow": {"seconds": 0.2},
    "hang": {"seconds": 0.2},
}
_EXAMPLE_FIELDS: Final = {
    "assessor": "FullCashValue",
    "treasurer": "Assessed Tax",
    "recorder": "recordingDate",
}

_SELECTORS = ("first", "nth", "every", "probability")


@dataclass(frozen=True, slots=True)
class Rule:
    """One fault: where it strikes, how often, and what it does."""

    kind: str
    system: str | None = None
    path: str = ""
    method: str | None = None
    first: int | None = None
    nth: tuple[int, ...] | None = None
    every: int | None = None
    probability: float | None = None
    per: str = "rule"
    status: int | None = None
    retry_after: float | None = None
    retry_after_form: str = "seconds"
    seconds: float | None = None
    after: int = 0
    after_seconds: float = 0.0
    field: str | None = None
    how: str = "absent"


def example_rule(kind: str, system: str) -> dict[str, object]:
    """Return a rule that strikes every request of a system with a kind of fault.

    It has only what the kind needs; whatever selects requests is for the caller to add.
    """
    rule: dict[str, object] = {"kind": kind, "system": system, **_EXAMPLES.get(kind, {})}
    if kind == "lose_field":
        rule["field"] = _EXAMPLE_FIELDS[system]
    return rule


def read_rule(data: object) -> Rule:
    """Return a rule from JSON; raise ValueError with what is wrong with it."""
    if not isinstance(data, Mapping):
        raise ValueError(f"a fault rule is an object, not {data!r}")  # noqa: TRY004
    known = {field.name for field in fields(Rule)}
    if unknown := sorted(set(data) - known):
        raise ValueError(f"unknown fields {unknown} in the fault rule {dict(data)!r}")
    values: dict[str, Any] = dict(data)
    kind = values.get("kind")
    if kind not in FAULT_KINDS:
        raise ValueError(f"a fault's kind is one of {', '.join(FAULT_KINDS)}, not {kind!r}")
    if isinstance(values.get("nth"), int):
        values["nth"] = (values["nth"],)
    elif values.get("nth") is not None:
        values["nth"] = tuple(values["nth"])
    rule = Rule(**values)
    _check(rule)
    return rule


def _check(rule: Rule) -> None:
    if rule.system is not None and rule.system not in ALL_SYSTEMS:
        names = ", ".join(ALL_SYSTEMS)
        raise ValueError(f"a fault's system is one of {names}, not {rule.system!r}")
    owner = _ONLY_FOR.get(rule.kind)
    if owner and rule.system != owner:
        raise ValueError(f"the fault {rule.kind!r} belongs to the system {owner!r}")
    if sum(getattr(rule, name) is not None for name in _SELECTORS) > 1:
        raise ValueError(f"a fault takes one of {', '.join(_SELECTORS)}, not several: {rule!r}")
    if rule.kind == "status" and not (rule.status and 400 <= rule.status <= 599):
        raise ValueError(f"a status fault needs a status from 400 to 599, not {rule.status!r}")
    _check_field(rule)
    if rule.per not in ("rule", "url") or rule.retry_after_form not in ("seconds", "date"):
        raise ValueError(f"per is rule or url, retry_after_form seconds or date, not {rule!r}")
    try:
        re.compile(rule.path)
    except re.error as error:
        raise ValueError(f"the fault's path {rule.path!r} is no pattern: {error}") from error


def _check_field(rule: Rule) -> None:
    if rule.how not in WAYS:
        raise ValueError(f"how a field is lost is one of {', '.join(WAYS)}, not {rule.how!r}")
    if rule.kind != "lose_field":
        if rule.field is not None:
            raise ValueError(f"only the fault 'lose_field' takes a field, not {rule.kind!r}")
        return
    if rule.system not in SYSTEMS:
        raise ValueError(f"the fault 'lose_field' needs a system: {', '.join(SYSTEMS)}")
    known = FIELDS[rule.system]
    if rule.field not in known:
        raise ValueError(
            f"a field of the {rule.system} is one of {', '.join(known)}, not {rule.field!r}"
        )


class FaultPlan:
    """Decide for each request which fault strikes; at most one, the first rule that fires.

    `clock` gives seconds; rules with `after_seconds` count them from the plan's making.
    """

    def __init__(
        self,
        rules: tuple[Rule, ...] = (),
        *,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = rules
        self._seed = seed
        self._clock = clock
        self._started = clock()
        self._counts: Counter[tuple[int, str]] = Counter()

    def choose(self, system: str, method: str, url: str) -> Rule | None:
        """Return the rule that strikes this request; every matching rule counts it."""
        chosen: Rule | None = None
        for number, rule in enumerate(self.rules):
            if self._is_on(rule) and _matches(rule, system, method, url):
                key = (number, url if rule.per == "url" else "")
                self._counts[key] += 1
                count = self._counts[key] - rule.after
                if chosen is None and count > 0 and self._fires(rule, number, count):
                    chosen = rule
        return chosen

    def _is_on(self, rule: Rule) -> bool:
        return not rule.after_seconds or self._clock() - self._started >= rule.after_seconds

    def _fires(self, rule: Rule, number: int, count: int) -> bool:
        if rule.first is not None:
            return count <= rule.first
        if rule.nth is not None:
            return count in rule.nth
        if rule.every is not None:
            return count % rule.every == 0
        if rule.probability is not None:
            draw = Random(f"{self._seed}:{number}:{count}").random()
            return draw < rule.probability
        return True


def _matches(rule: Rule, system: str, method: str, url: str) -> bool:
    if rule.system not in (None, system) or rule.method not in (None, method):
        return False
    if url.startswith("/robots.txt") and "robots" not in rule.path:
        return False
    return re.search(rule.path, url) is not None
