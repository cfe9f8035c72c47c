"""Parcels that were collected before are asked first: a field that all of them lost is gone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

from propkit.quality.columns import ANY, EMPTY, NOTHING, optional_columns
from propkit.records import RECORD_TYPES, Record

T = TypeVar("T")


def choose_canaries(
    due: Sequence[T], complete: Collection[T], *, count: int = 3
) -> tuple[list[T], list[T]]:
    """Return the keys to ask first and the others, both in the order given.

    Canaries are up to ``count`` due keys of ``complete``, those that were collected before and
    in full, from all over the list, so that they are not neighbours.
    """
    known = [key for key in due if key in complete]
    size = min(count, len(known))
    chosen = {known[at * len(known) // size] for at in range(size)}
    return [key for key in due if key in chosen], [key for key in due if key not in chosen]


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryLoss:
    """What the store has of a canary and its new answer lacks, as ``table.column``.

    ``unsaid`` are those that the answer does not carry any more, ``empty`` all others.
    """

    empty: frozenset[str] = frozenset()
    unsaid: frozenset[str] = frozenset()


def judge_canary(
    before: Mapping[str, Collection[str]],
    records: Iterable[Record],
    *,
    missing: Collection[str] = (),
    unsaid: Mapping[str, frozenset[str]] = NOTHING,
) -> CanaryLoss:
    """Compare a canary's answer with the columns that are filled in the store, by table.

    Columns of a table which the answer lacks altogether count as one, ``table.(any)``. A table
    in ``missing``, or one of which ``unsaid`` has every column, is left out.
    """
    after: dict[str, set[str]] = {}
    for record in records:
        filled = after.setdefault(record.table, set())
        filled.update(f.name for f in fields(record) if getattr(record, f.name) not in EMPTY)
    empty: set[str] = set()
    gone: set[str] = set()
    for table, columns in before.items():
        silent = unsaid.get(table, frozenset())
        if table in missing or not columns or silent >= _columns(table):
            continue
        if table not in after:
            empty.add(f"{table}.{ANY}")
            continue
        left = set(columns) - after[table]
        gone |= {f"{table}.{column}" for column in left & silent}
        empty |= {f"{table}.{column}" for column in left - silent}
    return CanaryLoss(empty=frozenset(empty), unsaid=frozenset(gone))


def lost_by_canaries(losses: Sequence[CanaryLoss]) -> list[str]:
    """Return the columns that are lost by what the canaries show.

    One canary is enough for a column that an answer does not carry any more. A column that is
    only empty must be so in all of them, and in two at least: one parcel may well have changed.
    """
    lost = frozenset[str]().union(*(loss.unsaid for loss in losses))
    if len(losses) > 1:
        lost |= frozenset.intersection(*(loss.empty | loss.unsaid for loss in losses))
    return sorted(lost)


def _columns(table: str) -> frozenset[str]:
    kind = RECORD_TYPES.get(table)
    return frozenset({ANY} if kind is None else optional_columns(kind))
