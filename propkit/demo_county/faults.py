"""Faults that the county can be told to show: which requests fail, and how.

A rule is a JSON object, for example ``{"system": "assessor", "path": "^/parcel/", "kind":
"status", "status": 429, "retry_after": 2, "first": 3}``. Of `first`, `nth`, `every` and
`probability` at most one is given; with none, every matching request fails. `per` = "url" counts
each address by itself, so `first` = 1 means that each address fails once and then works.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from random import Random
from typing import Any

SYSTEMS = ("assessor", "treasurer", "recorder")
KINDS = (
    "status", "hang", "slow", "cut", "truncated", "html200", "captcha", "layout_v2", "empty200",
    "204", "wrong_charset", "token_expiry", "drop", "session_loss",
)  # fmt: skip

_ONLY_FOR = {"layout_v2": "treasurer", "session_loss": "treasurer", "token_expiry": "assessor"}
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


def read_rule(data: object) -> Rule:
    """Return a rule from JSON; raise ValueError with what is wrong with it."""
    if not isinstance(data, Mapping):
        raise ValueError(f"a fault rule is an object, not {data!r}")  # noqa: TRY004
    known = {field.name for field in fields(Rule)}
    if unknown := sorted(set(data) - known):
        raise ValueError(f"unknown fields {unknown} in the fault rule {dict(data)!r}")
    values: dict[str, Any] = dict(data)
    kind = values.get("kind")
    if kind not in KINDS:
        raise ValueError(f"a fault's kind is one of {', '.join(KINDS)}, not {kind!r}")
    if isinstance(values.get("nth"), int):
        values["nth"] = (values["nth"],)
    elif values.get("nth") is not None:
        values["nth"] = tuple(values["nth"])
    rule = Rule(**values)
    _check(rule)
    return rule


def _check(rule: Rule) -> None:
    if rule.system is not None and rule.system not in SYSTEMS:
        raise ValueError(f"a fault's system is one of {', '.join(SYSTEMS)}, not {rule.system!r}")
    owner = _ONLY_FOR.get(rule.kind)
    if owner and rule.system != owner:
        raise ValueError(f"the fault {rule.kind!r} belongs to the system {owner!r}")
    if sum(getattr(rule, name) is not None for name in _SELECTORS) > 1:
        raise ValueError(f"a fault takes one of {', '.join(_SELECTORS)}, not several: {rule!r}")
    if rule.kind == "status" and not (rule.status and 400 <= rule.status <= 599):
        raise ValueError(f"a status fault needs a status from 400 to 599, not {rule.status!r}")
    if rule.per not in ("rule", "url") or rule.retry_after_form not in ("seconds", "date"):
        raise ValueError(f"per is rule or url, retry_after_form seconds or date, not {rule!r}")
    try:
        re.compile(rule.path)
    except re.error as error:
        raise ValueError(f"the fault's path {rule.path!r} is no pattern: {error}") from error


class FaultPlan:
    """Decide for each request which fault strikes; at most one, the first rule that fires."""

    def __init__(self, rules: tuple[Rule, ...] = (), *, seed: int = 0) -> None:
        self.rules = rules
        self._seed = seed
        self._counts: Counter[tuple[int, str]] = Counter()

    def choose(self, system: str, method: str, url: str) -> Rule | None:
        """Return the rule that strikes this request; every matching rule counts it."""
        chosen: Rule | None = None
        for number, rule in enumerate(self.rules):
            if _matches(rule, system, method, url):
                key = (number, url if rule.per == "url" else "")
                self._counts[key] += 1
                if chosen is None and self._fires(rule, number, self._counts[key]):
                    chosen = rule
        return chosen

    def _fires(self, rule: Rule, number: int, count: int) -> bool:
        if rule.kind == "token_expiry":
            return count > rule.after
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
