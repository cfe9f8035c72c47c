"""The SQL that map servers and data sites take in a query: comparisons, IN, LIKE, AND, OR."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol


class Row(Protocol):
    """What a condition is about: a value by the name of its field."""

    def __getitem__(self, name: str, /) -> Any: ...


Test = Callable[[Row], bool]

_TOKENS = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w.]*)"
    r"|(?P<sign><=|>=|<>|!=|[=<>(),]))"
)


class WhereError(Exception):
    """The SQL is none, or names a field that is not there."""


def read_where(text: str, names: Mapping[str, str]) -> Test:
    """Return the test that a condition is; `names` are the fields, by their lower case."""
    return _Reader(text, names).read()


class _Reader:
    """Reads one condition, left to right."""

    def __init__(self, text: str, names: Mapping[str, str]) -> None:
        self._names = names
        self._tokens: list[tuple[str, str]] = []
        place, text = 0, text.strip()
        while place < len(text):
            match = _TOKENS.match(text, place)
            if match is None or match.lastgroup is None:
                raise WhereError(text)
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            place = match.end()

    def read(self) -> Test:
        test = self._any()
        if self._tokens:
            raise WhereError(self._tokens[0][1])
        return test

    def _any(self) -> Test:
        tests = [self._all()]
        while self._take_word("or"):
            tests.append(self._all())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._take_word("and"):
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _one(self) -> Test:
        if self._take("("):
            test = self._any()
            self._demand(")")
            return test
        left = self._value()
        if self._take_word("is"):
            is_wanted = not self._take_word("not")
            self._demand_word("null")
            return lambda row: (left(row) is None) is is_wanted
        if self._take_word("in"):
            self._demand("(")
            values = [self._value()({})]
            while self._take(","):
                values.append(self._value()({}))
            self._demand(")")
            return lambda row: left(row) in values
        if self._take_word("like"):
            text = str(self._value()({}))
            pattern = re.compile(re.escape(text).replace("%", ".*").replace("_", "."))
            return lambda row: pattern.fullmatch(str(left(row) or "")) is not None
        kind, sign = self._next()
        if kind != "sign" or sign not in _COMPARE:
            raise WhereError(sign)
        right, compare = self._value(), _COMPARE[sign]
        return lambda row: _compare(compare, left(row), right(row))

    def _value(self) -> Callable[[Row], Any]:
        kind, token = self._next()
        if kind == "text":
            text = token[1:-1].replace("''", "'")
            return lambda _: text
        if kind == "number":
            number = float(token) if "." in token else int(token)
            return lambda _: number
        name = self._names.get(token.lower()) if kind == "name" else None
        if name is None:
            raise WhereError(token)
        return lambda row: row[name]

    def _next(self) -> tuple[str, str]:
        if not self._tokens:
            raise WhereError("it ends too soon")
        return self._tokens.pop(0)

    def _take(self, sign: str) -> bool:
        if self._tokens and self._tokens[0] == ("sign", sign):
            self._tokens.pop(0)
            return True
        return False

    def _take_word(self, word: str) -> bool:
        if self._tokens and self._tokens[0][0] == "name" and self._tokens[0][1].lower() == word:
            self._tokens.pop(0)
            return True
        return False

    def _demand(self, sign: str) -> None:
        if not self._take(sign):
            raise WhereError(f"no {sign}")

    def _demand_word(self, word: str) -> None:
        if not self._take_word(word):
            raise WhereError(f"no {word}")


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: bool(a == b),
    "<>": lambda a, b: bool(a != b),
    "!=": lambda a, b: bool(a != b),
    "<": lambda a, b: bool(a < b),
    ">": lambda a, b: bool(a > b),
    "<=": lambda a, b: bool(a <= b),
    ">=": lambda a, b: bool(a >= b),
}


def _compare(compare: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    if left is None or right is None:  # as in SQL nothing compares with NULL
        return False
    return compare(left, right) if type(left) is type(right) else compare(str(left), str(right))
