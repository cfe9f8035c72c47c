"""Seeded choices: the same seed and the same parcel always give the same county."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

from propkit.demo_county.facts import QUANTILE_LEVELS

T = TypeVar("T")

PLACE, OWNER, HOUSE, DEED, VALUES, TAXES, DOCUMENT, LEAD = range(8)

_GOLDEN = 0.6180339887498949


def stream(seed: int, number: int, topic: int) -> Random:
    """Return the random stream of one topic of one parcel (or block)."""
    return Random(((seed * 1_000_003 + number) << 4) + topic)


def spread(seed: int, number: int) -> float:
    """Return a number in [0, 1) whose sequence fills the range evenly, also for few numbers."""
    return (Random(seed).random() + number * _GOLDEN) % 1.0


def at_quantile(values: Sequence[float], level: float) -> float:
    """Return the value at a level (0 to 1) of a quantile table, interpolated."""
    place = min(bisect_right(QUANTILE_LEVELS, level), len(QUANTILE_LEVELS) - 1)
    low, high = QUANTILE_LEVELS[place - 1], QUANTILE_LEVELS[place]
    share = (level - low) / (high - low)
    return values[place - 1] + share * (values[place] - values[place - 1])


class Choice(Generic[T]):
    """Pick from a frequency table, by a random stream or by a level in [0, 1)."""

    __slots__ = ("_bounds", "_words")

    def __init__(self, table: Sequence[tuple[T, int]]) -> None:
        self._words = tuple(word for word, _ in table)
        self._bounds = tuple(accumulate(count for _, count in table))

    def at(self, level: float) -> T:
        """Return the entry at a level in [0, 1)."""
        return self._words[bisect_right(self._bounds, level * self._bounds[-1])]

    def pick(self, random: Random) -> T:
        """Return an entry at random, by its frequency."""
        return self.at(random.random())
