"""The assessor's accounts of what is no land: business personal property and mobile homes.

Searches find them by a name; here is how one is asked for by its number, and how a row is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from propkit.errors import LayoutChangedError, RequestError
from propkit.pages import Page
from propkit.sources._base import Ask, read_text
from propkit.sources._readers import Fields, fold_keys, is_empty

Row = dict[str, Any]

SITUS: Final = (
    ("situs_address", "situsaddress"),
    ("situs_city", "situscity"),
    ("situs_zip", "situszip"),
)
_ACCOUNT: Final = (
    ("account_number", "accountno"),
    ("name", "name1"),
    ("second_name", "name2"),
    *SITUS,
)
# Commercial, multiple, lessor; the number; a year of the roll.
_PROPERTY_ACCOUNT: Final = re.compile(r"([CML])[\s/-]*(\d{1,12})(?:[\s/-]+(\d{4}))?", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,12}", re.ASCII)
_VIN: Final = re.compile(r"[A-Z0-9]{5,25}", re.ASCII)


def read_texts(fields: Fields, *names: tuple[str, str]) -> Row:
    """Return texts by column; the first must have a key, an empty value is absent."""
    if missing := [key for _, key in names[:1] if key not in fields]:
        raise LayoutChangedError(f"search: a row without {missing[0]}: {sorted(fields)[:8]}")
    return {column: read_text(fields.get(key)) for column, key in names}


def read_personal_property(fields: Fields) -> Row:
    """Read an account of business personal property."""
    return read_texts(fields, *_ACCOUNT, ("is_multiple", "multi"), ("lease", "lease"))


def read_mobile_home(fields: Fields) -> Row:
    """Read an account of a mobile home, whose parts have a number each."""
    vins = [read_text(fields.get(f"vin{number}")) for number in range(1, 5)]
    return read_texts(fields, *_ACCOUNT) | {"vins": [vin for vin in vins if vin]}


async def look_up_account(what: str, query: str, ask: Ask) -> list[Row]:
    """Ask for one account; none is no error.

    Raises
    ------
    RequestError
        The query is no number of such an account.
    """
    text = query.upper()
    if what == "personal_property_account":
        kind, number, year = _demand(_PROPERTY_ACCOUNT, text, what, "C-0000370 or C-0000370-2025")
        path = f"/bpp/{kind.lower()}/{number}" + (f"/{year}" if year else "")
        return await _ask(path, read_personal_property, ask)
    if what == "mobile_home_account":
        _demand(_NUMBER, text, what, "0001003")
        return await _ask(f"/mh/{text}", read_mobile_home, ask)
    vin = re.sub(r"[\s-]", "", text)
    _demand(_VIN, vin, what, "CAVAZ0910180X")
    answer = (await _get(f"/mh/vin/{quote(vin, safe='')}", ask)).json()
    # The number may come bare or in an account.
    if isinstance(answer, dict | list):
        return [
            {"vin": vin, "account_number": row["account_number"]} for row in _rows(answer, _only)
        ]
    bare = read_text(answer)
    if bare is not None and not _NUMBER.fullmatch(bare):
        raise LayoutChangedError(f"mh: {bare!r:.40} is no number of an account")
    return [] if bare is None else [{"vin": vin, "account_number": bare}]


def _only(fields: Fields) -> Row:
    return read_texts(fields, _ACCOUNT[0])


async def _ask(path: str, read: Callable[[Fields], Row], ask: Ask) -> list[Row]:
    return _rows((await _get(path, ask)).json(), read)


async def _get(path: str, ask: Ask) -> Page:
    return await ask.get(path, name="account", accept=_is_unknown)


def _is_unknown(page: Page) -> bool:
    """Whether an answer 404 is the API's own word for an unknown account, and not the site's page."""
    if page.status != 404:
        return False
    try:
        return isinstance(page.json(), dict | list)
    except ValueError:
        return False


def _rows(answer: Any, read: Callable[[Fields], Row]) -> list[Row]:
    if is_empty(answer) or (isinstance(answer, Mapping) and set(answer) == {"message"}):
        return []
    rows = answer if isinstance(answer, list) else [answer]
    return [read(fold_keys(row, "account")) for row in rows]


def _demand(pattern: re.Pattern[str], text: str, what: str, example: str) -> tuple[str, ...]:
    match = pattern.fullmatch(text)
    if match is None:
        raise RequestError(f"{text!r} is no number for {what}; expected one such as {example}")
    return tuple(group or "" for group in match.groups())
