"""Telling the columns of the treasurer's tables: where they stand, refined by what headers say.

Where a column stands is documented; what its header says is not. So a header moves a column only
where its words clearly name it, and the kinds of the cells tell whether a row fits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from propkit.errors import LayoutChangedError

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

YEAR: Final = re.compile(r"(?<![\d/.,$-])((?:19|20)\d\d)(?![\d/,-])")
_AMOUNT: Final = r"(?:-?\$ ?-?\d[\d,]*(?:\.\d+)?|-?\d[\d,]*\.\d\d(?!\d))"
MONEY: Final = re.compile(rf"\({_AMOUNT}\)|{_AMOUNT}")

# What clearly names a column, in a header of a table and in a label of the tax-due block.
PAID_WORDS: Final = re.compile(r"\b(?:paid|payments?)\b", re.IGNORECASE)
ASSESSED_WORDS: Final = re.compile(r"\b(?:assessed|levy|levied|billed)\b", re.IGNORECASE)
DUE_WORDS: Final = re.compile(
    r"\b(?:due|owed|owing|balance|outstanding|unpaid)\b(?! date)", re.IGNORECASE
)
PART_WORDS: Final = re.compile(
    r"\b(?:interest|fees?|penalt(?:y|ies)|half|installments?|exemptions?)\b", re.IGNORECASE
)
_YEAR_WORDS: Final = re.compile(r"\b(?:years?|yr)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a table: where each is documented to stand and the words that name it."""

    name: str
    documented: Mapping[str, int]
    words: Mapping[str, re.Pattern[str]]
    others: re.Pattern[str]
    """What clearly names something that is none of the columns."""

    def is_header(self, nodes: list[LexborNode], cells: list[str]) -> bool:
        """Whether a row only names columns: header cells, or a first cell that says "year"."""
        if not nodes or any(YEAR.search(text) or MONEY.search(text) for text in cells):
            return False
        if all(node.tag == "th" for node in nodes):
            return True
        return len(nodes) > 1 and _YEAR_WORDS.search(cells[0]) is not None

    def places(self, nodes: list[LexborNode], cells: list[str]) -> dict[str, int] | None:
        """Return where the columns stand below a header; None when it names none of them."""
        if len(nodes) == 1:  # a caption over the whole table
            return None
        texts = [
            text for node, text in zip(nodes, cells, strict=True) for _ in range(_span_of(node))
        ]
        places = self._named(texts)
        if not places:
            return None
        free = {
            place
            for place, text in enumerate(texts)
            if place not in places.values() and not self.others.search(text)
        }
        unnamed = [column for column in self.documented if column not in places]
        for column in unnamed:
            if (place := self.documented[column]) in free:
                places[column] = place
                free.remove(place)
        left = [column for column in unnamed if column not in places]
        if left and free and self._is_moved(places):
            if len(left) > 1 or len(free) > 1:
                raise LayoutChangedError(f"{self.name}: no column for {left!r} in {texts!r}")
            places[left[0]] = free.pop()
        return places

    def _named(self, texts: list[str]) -> dict[str, int]:
        named: dict[str, int] = {}
        for column, words in self.words.items():
            at = [place for place, text in enumerate(texts) if words.search(text)]
            if self.documented[column] in at:
                named[column] = self.documented[column]
            elif len(at) == 1:
                named[column] = at[0]
            elif at:
                raise LayoutChangedError(
                    f"{self.name}: more than one column for {column!r} in {texts!r}"
                )
        if len(set(named.values())) < len(named):
            raise LayoutChangedError(f"{self.name}: one column for two in {texts!r}")
        return named

    def _is_moved(self, places: Mapping[str, int]) -> bool:
        return any(place != self.documented[column] for column, place in places.items())


YEARS: Final = Layout(
    "years",
    {"year": 0, "status": 1, "assessed": 2, "due": 3},
    {
        "year": _YEAR_WORDS,
        "status": re.compile(r"\bstatus\b", re.IGNORECASE),
        "assessed": ASSESSED_WORDS,
        "due": DUE_WORDS,
    },
    re.compile(
        rf"{PART_WORDS.pattern}|{PAID_WORDS.pattern}|\b(?:notes?|remarks?|lien)\b", re.IGNORECASE
    ),
)
PAYMENTS: Final = Layout(
    "activities",
    {"year": 0, "amount": 2, "date": 4},
    {
        "year": _YEAR_WORDS,
        "amount": re.compile(r"\bamount\b", re.IGNORECASE),
        "date": re.compile(r"\bdate\b", re.IGNORECASE),
    },
    PART_WORDS,
)


def _span_of(node: LexborNode) -> int:
    span = node.attributes.get("colspan") or ""
    return int(span) if span.isascii() and span.isdecimal() and 0 < int(span) < 100 else 1
