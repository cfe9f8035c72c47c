"""What a cell of a sheet says, as text, number or list; pure."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

_MOST_DIGITS = 12


def is_blank(cell: object) -> bool:
    """Whether a cell is empty: None, NaN, NaT, NA, or blanks."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return True
    try:
        return bool(cell != cell)  # noqa: PLR0124 -- NaN and NaT differ from themselves
    except (TypeError, ValueError):
        return repr(cell) == "<NA>"


def plain(cell: Any) -> Any:
    """Return a cell as Python's own value: no numpy scalars, None where it is empty."""
    if is_blank(cell):
        return None
    return cell.item() if type(cell).__module__ == "numpy" and hasattr(cell, "item") else cell


def text_of(cell: object) -> str:
    """Return a cell as text: whole numbers without a fraction, days in ISO, no outer blanks."""
    value = plain(cell)
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return str(value).strip()


def price_of(cell: object) -> Decimal | None:
    """Return a price; None for an empty cell.

    Raises
    ------
    ValueError
        The cell is no price of zero or more with at most two decimals.
    """
    text = text_of(cell)
    if not text:
        return None
    digits = re.sub(r"^(?:CA|US)?\$\s*|(?<=\d)[ ,](?=\d{3}\b)", "", text)
    try:
        price = Decimal(digits)
    except InvalidOperation:
        raise ValueError(f"price {text!r} is no number") from None
    if not price.is_finite() or price < 0 or price.adjusted() >= _MOST_DIGITS:
        raise ValueError(f"price {text!r} is no price")
    if price != round(price, 2):
        raise ValueError(f"price {text!r} has parts of a cent")
    return round(price, 2)


def list_of(cell: object) -> tuple[str, ...]:
    """Return the parts of a list in a cell, separated by commas, semicolons or line breaks."""
    parts = (part.strip() for part in re.split(r"[,;\n|]", text_of(cell)))
    return tuple(dict.fromkeys(part for part in parts if part))
