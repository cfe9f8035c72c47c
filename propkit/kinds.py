"""What may be asked of a batch: its kind, the tables, the ways in, the money."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Final

from propkit.errors import RequestError
from propkit.items import parse_priority
from propkit.records import RECORD_TYPES

HOME_COUNTY: Final = "maricopa"
"""The county whose sources are asked unless another one is named."""

EXTRA_DATASETS: Final = (
    "tax_levies",
    "tax_installments",
    "tax_statements",
    "tax_valuations",
    "tax_payment_halves",
)
"""The tables whose pages cost requests of their own: collected only where they are named."""

DATASETS: Final = tuple(
    table for table in RECORD_TYPES if table != "leads" and table not in EXTRA_DATASETS
)
"""The tables that are collected unless told otherwise; leads are bought, never collected."""

ALL_DATASETS: Final = (*DATASETS, *EXTRA_DATASETS)
"""The tables that can be asked for."""

KINDS: Final[dict[str, tuple[str, ...]]] = {
    "comprehensive": DATASETS,
    "taxes": ("tax_bills", "tax_payments"),
    "sales_and_documents": ("sales", "documents"),
    "validation": (),
    "search": (),
    "enhance": DATASETS,
}
"""The tables that a kind of batch collects, by kind.

``validation`` finds out which APNs exist and ``search`` what fits a query: neither fills a table.
``enhance`` completes in the background what a search has shown.
"""

_OPEN_KINDS = {"comprehensive", "enhance"}
"""Kinds whose tables the caller may choose."""

MODES: Final[dict[str, tuple[str, ...]]] = {
    "auto": ("http", "browser"),
    "api": ("http",),
    "browser": ("browser",),
    "api_then_browser": ("http", "browser"),
    "all": ("http", "browser"),
}
"""The ways in that a mode allows, by mode."""

SEARCHES: Final = ("apn", "owner", "address", "subdivision")
"""What can be searched by."""


def parse_datasets(datasets: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return the tables asked for; None is all but the extra ones.

    Raises
    ------
    RequestError
        A name is no table; the message lists the tables.
    """
    if datasets is None:
        return DATASETS
    if not isinstance(datasets, Iterable):
        raise RequestError(
            f"datasets must be a table's name, or a list of them, not {datasets!r};"
            f" expected some of {', '.join(ALL_DATASETS)}"
        )
    asked = [datasets] if isinstance(datasets, str) else list(datasets)
    if unknown := [name for name in asked if name not in ALL_DATASETS]:
        raise RequestError(
            f"no dataset {', '.join(map(repr, unknown))}; expected some of {', '.join(ALL_DATASETS)}"
        )
    return tuple(name for name in ALL_DATASETS if name in asked)


def choose_datasets(kind: str, datasets: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return the tables that a kind of batch collects; ``datasets`` narrows the open kinds.

    Raises
    ------
    RequestError
        No such kind or table, or a kind that fixes other tables than those asked for.
    """
    if not isinstance(kind, str) or kind not in KINDS:
        raise RequestError(f"no kind {kind!r}; expected one of {', '.join(KINDS)}")
    if datasets is None:
        return KINDS[kind]
    asked = parse_datasets(datasets)
    if not asked and KINDS[kind]:
        raise RequestError(
            f"datasets={datasets!r} names no table; None is all that {kind} collects"
        )
    if kind not in _OPEN_KINDS and asked != KINDS[kind]:
        fixed = ", ".join(KINDS[kind]) or "no table"
        raise RequestError(
            f"kind={kind!r} collects {fixed}, not datasets={list(asked)!r}; leave one of them out"
        )
    return asked


def choose_priority(kind: str, priority: str | None) -> int:
    """Return the rank of a priority; None is ``"low"`` for ``enhance``, else ``"high"``."""
    if priority is None:
        priority = "low" if kind == "enhance" else "high"
    return parse_priority(priority)


def choose_search(kind: str, by: str | None) -> str | None:
    """Return what a batch searches by; None where it does not search.

    Raises
    ------
    RequestError
        Nothing can be searched by that, or the kind of batch does not search.
    """
    if kind != "search":
        if by is not None:
            raise RequestError(f"by={by!r} belongs to kind='search', not to kind={kind!r}")
        return None
    by = "owner" if by is None else by
    if by not in SEARCHES:
        raise RequestError(f"cannot search by {by!r}; expected one of {', '.join(SEARCHES)}")
    return by


def parse_budget(budget: object) -> Decimal | None:
    """Return the most credits that may be spent, exactly; None sets no limit.

    Raises
    ------
    RequestError
        Not a number from 0 up.
    """
    if budget is None:
        return None
    if isinstance(budget, (int, float, Decimal)) and not isinstance(budget, bool):
        credits_ = read_credits(budget)
        if credits_.is_finite() and credits_ >= 0:
            return credits_
    raise RequestError(f"budget must be a number of credits from 0 up, not {budget!r}")


def read_credits(number: float | Decimal) -> Decimal:
    """Return a number of credits as it is written: 0.1 is a tenth, not the nearest binary."""
    try:
        return Decimal(str(number))
    except InvalidOperation:  # a kind of float that prints otherwise
        return Decimal(float(number))
