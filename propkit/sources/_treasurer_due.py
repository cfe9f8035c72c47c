"""Reading the treasurer's tax-due block: what the current year's bill comes to, in two layouts."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from propkit.errors import LayoutChangedError
from propkit.sources._base import read_decimal
from propkit.sources._readers import node_text
from propkit.sources._treasurer_columns import (
    ASSESSED_WORDS,
    DUE_WORDS,
    MONEY,
    PAID_WORDS,
    PART_WORDS,
    YEAR,
)

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser

PREFIX: Final = "cphMainContent_cphRightColumn_"
"""What every id of the site starts with."""
DUE_COLUMNS: Final = ("assessed_tax", "amount_paid", "amount_due")

_DUE_BLOCKS: Final = (
    (f"#{PREFIX}taxDue2", "li"),
    (f"#{PREFIX}taxDue1", "td, th"),
    (".block-grid", "li"),
)


def find_due_cells(html: LexborHTMLParser) -> list[str] | None:
    """Return the texts of the tax-due block's cells, in one of its layouts."""
    for block, cell in _DUE_BLOCKS:
        for node in html.css(block):
            texts = [node_text(one) for one in node.css(cell)]
            if any(MONEY.search(text) for text in texts):
                return texts
    return None


def read_due_block(cells: list[str], url: str) -> tuple[dict[str, Decimal | None], int | None]:
    """Read assessed tax, paid and due of the current year, and the year if a label tells it."""
    amounts: list[tuple[str, Decimal | None]] = []
    label = ""
    for text in cells:
        match = MONEY.search(text)
        if match is None:
            label = f"{label} {text}".strip()
            continue
        label = f"{label} {text[: match.start()]}".strip() or text[match.end() :].strip()
        amounts.append((label, read_decimal(match[0].replace(" ", ""), "tax-due block")))
        label = ""
    texts = [*(text for text, _ in amounts), label]
    years = {int(year) for text in texts for year in YEAR.findall(text)}
    whole = [(text, amount) for text, amount in amounts if not _is_part(text)]
    columns = _due_columns([text for text, _ in whole])
    if columns is None:
        raise LayoutChangedError(f"summary: unknown tax-due block {cells!r}", url=url)
    found = {
        column: amount
        for column, (_, amount) in zip(columns, whole, strict=True)
        if column is not None
    }
    return found, years.pop() if len(years) == 1 else None


def _due_columns(labels: list[str]) -> list[str | None] | None:
    """Name the amounts by their labels; those that have no clear one, by their places."""
    named = [_due_column(label) for label in labels]
    known = [column for column in named if column is not None]
    if len(set(known)) < len(known):
        return None
    if len(known) == len(DUE_COLUMNS):
        return named
    if len(labels) != len(DUE_COLUMNS):
        return None
    left = [column for column in DUE_COLUMNS if column not in known]
    if len(left) > 1 and any(
        column not in {None, place} for column, place in zip(named, DUE_COLUMNS, strict=True)
    ):
        return None
    return [column or left.pop(0) for column in named]


def _is_part(label: str) -> bool:
    is_whole = re.search(r"\b(?:total|balance|incl)", label, re.IGNORECASE)
    return PART_WORDS.search(label) is not None and is_whole is None


def _due_column(label: str) -> str | None:
    for words, column in (
        (PAID_WORDS, "amount_paid"),
        (ASSESSED_WORDS, "assessed_tax"),
        (DUE_WORDS, "amount_due"),
    ):
        if words.search(label):
            return column
    return None
