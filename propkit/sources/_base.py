"""What every source is: one ``fetch`` that asks, one ``parse`` that reads, and shared readers.

A source is a class with the attributes of :class:`Source`, in a module of this package or at
the entry point ``propkit.sources``. ``fetch`` is the only I/O; it never sleeps, retries or opens
a session by itself: the ``ask`` it is given does. ``parse`` is pure, so that a kept payload can
be read again without the network.

What a source need not have, and the isinstance check does not ask for:

``credits_per_item: float``
    What one item costs at a paid source, in its credits; without it 0.0.
``way_of: str``
    The source to whose system this one is a second way in; what is set for that holds here too.
``async search(query, by, ask, limit=None) -> SearchHits``
    Search the office's roll by one of its fields.
``optional_token_header: str``
    The header of a token that the source can do without; ``token_prefix`` stands before it.
``offers_files: bool``
    Its answers are public files, which may lie at another site: redirects lead there, and what is
    meant for the source alone (a token) stays behind. Without it no other site is asked.
``layer: Layer``
    A source that is made of a map layer, and asked only when it is named; see
    :mod:`propkit.sources._layer_source`.
``async validate(key, apn, ask) -> Payload`` and ``parse_validation(payload) -> bool``
    Does the office know this key? At the cost of the cheapest call that says so for certain: one
    request where the key is known. ``parse_validation`` is pure as ``parse`` is, False means that
    the office says it has no such key, and what does not settle it is an error.
``lookups: tuple[str, ...]`` and ``async look_up(what, given, ask, limit) -> SearchHits``
    What a person may look up there at once (:mod:`propkit.lookups`), days as ISO text.
``assemble(key, apn, pages) -> Payload``
    Put the kept pages of one item together as ``fetch`` did, for a later parser: pure. Without
    it every page that did not fail belongs to the payload.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, Literal, Protocol, runtime_checkable

from propkit.errors import LayoutChangedError
from propkit.pages import Expect, Page
from propkit.record_block import Emptied
from propkit.records import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """All answers to one key, and the sections that could not be had.

    ``missing`` maps a section's page name to why it is missing; the parser tells the tables.
    """

    source: str
    key: str
    apn: str | None = None
    pages: tuple[Page, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)

    def page(self, name: str) -> Page | None:
        """Return the page of that name, or None."""
        for page in self.pages:
            if page.name == name:
                return page
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """A key that an answer gives for another source."""

    source: str
    key: str
    apn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """What was read from a payload.

    ``is_found`` False means that the office says it has no such key. ``missing`` names the
    tables which the answer leaves out though the source provides them. ``unsaid`` maps a table to
    the columns about which the answer says nothing (it has no such field, which is not the same
    as an empty one): a value that is absent there is not known to be absent, so what is already
    stored stays. ``emptied`` names what the answer says that there are no rows of: stored ones are gone. ``answered`` tells, where one answer is about many keys, which of them were
    found; ``notes`` what is odd about the answer.
    """

    records: Sequence[Record] = ()
    follow_ups: tuple[FollowUp, ...] = ()
    is_found: bool = True
    missing: tuple[str, ...] = ()
    unsaid: Mapping[str, frozenset[str]] = field(default_factory=dict)
    emptied: tuple[Emptied, ...] = ()
    answered: Mapping[str, bool] = field(default_factory=dict, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHits:
    """What a search found: rows to show, how many the office counts, and whether these are all.

    ``total`` counts what the office matched, which may be more than the rows that fit the query.
    """

    rows: tuple[Mapping[str, Any], ...] = ()
    total: int | None = None
    is_complete: bool = True


class Ask(Protocol):
    """What a source asks with: paced, retried, with its own cookies, errors mapped."""

    async def get(
        self,
        path: str,
        *,
        name: str,
        params: Mapping[str, str] | None = None,
        expect: Expect = "json",
        accept: Callable[[Page], bool] | None = None,
    ) -> Page:
        """Get one page.

        Parameters
        ----------
        path
            Relative to the source's ``base_url``.
        name
            The page's name within the payload.
        expect
            ``"json"``: a body that decodes as JSON, else it is tried again and at last an
            ``InvalidAnswerError``. ``"arcgis"``: JSON that says no error. ``"html"``: a page that
            is not empty. ``"file"``: anything but a page. A captcha, challenge or login page is a ``SourceBlockedError`` whatever
            is expected.
        accept
            Lets an answer pass that would not (an HTML page in place of JSON which means
            something, a 404, a 500): True keeps it. Where trying again may help (429, 5xx) it is
            asked after the last try, else at once.

        Raises
        ------
        SourceError
            One of its kinds; see :mod:`propkit.errors`.
        """
        ...


@runtime_checkable
class Source(Protocol):
    """One office or API that is asked."""

    name: str
    county: str
    provides: tuple[str, ...]
    """Record tables."""
    needs: str | None
    """The column of ``parcels`` that gives this source's keys; None: keys are APNs."""
    base_url: str
    requests_per_second: float
    seconds_per_item: float
    """Items start at least so far apart, at the default pace."""
    max_in_flight: int
    max_age: timedelta
    transport: Literal["http", "browser"]
    requests_per_item: int
    """Requests that one item costs when nothing goes wrong."""
    token_header: str | None
    """The header that carries the bare token; None: the source wants no token."""
    headers: Mapping[str, str]
    """Further headers that the source's contract asks for."""
    is_session_bound: bool
    """Whether the site keeps the key in a session, so that each item needs its own cookies."""
    parser_version: int

    async def fetch(self, key: str, apn: str | None, ask: Ask) -> Payload:
        """Ask for everything about ``key``."""
        ...

    def parse(self, payload: Payload) -> Parsed:
        """Read the records of a payload; pure."""
        ...


@runtime_checkable
class Shown(Protocol):
    """A source whose office shows what it has of a key to anybody with a browser."""

    page_path: str
    """Where, below the source's own address; ``{key}`` stands for the key."""


def now() -> datetime:
    """Return the time, aware UTC."""
    return datetime.now(UTC)


# --- readers: raw value in, typed value or None out; what is not understood raises -----------

ABSENT = frozenset({"", "na", "n/a", "null", "none"})
"""The texts, in any case, that stand for nothing."""
_LONGEST_ABSENT = max(map(len, ABSENT))
_EXACT_FLOATS = 2.0**63
_MONEY = re.compile(
    r"(?P<open>\()?(?P<minus>-)?\s*\$?\s*(?P<minus2>-)?"
    r"(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+)(?(open)\))",
    re.ASCII,
)
_FLOAT = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?", re.ASCII)
_US_DATE = re.compile(r"(\d{1,2})([/-])(\d{1,2})\2(\d{4})(?=$|\s)", re.ASCII)
_ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?=$|[T\s])", re.ASCII)


def read_text(value: object) -> str | None:
    """Strip a text and fold inner blanks; "na", "n/a", "", [] and None are absent, a bool too."""
    if not isinstance(value, str):
        if value is None or isinstance(value, bool) or value in ([], {}):
            return None
        if isinstance(value, (list, dict)):
            raise LayoutChangedError(f"expected one value, got {value!r:.80}")
        if isinstance(value, float) and abs(value) >= _EXACT_FLOATS:
            # The decoder gives a float for a whole number beyond 64 bits: its digits are lost.
            raise LayoutChangedError(f"expected one value, got a number beyond measure: {value!r}")
        value = str(value)
    text = value.strip()
    # Of all blanks only the plain one is printable.
    if "  " in text or not text.isprintable():
        text = " ".join(text.split())
    return None if _is_absent(text) else text


def _is_absent(text: str) -> bool:
    return len(text) <= _LONGEST_ABSENT and text.lower() in ABSENT


def read_decimal(value: object, where: str) -> Decimal | None:
    """Read money or another exact number: ``"$1,234.56"``, ``"164998      "``, ``"($5.00)"``."""
    if isinstance(value, str):
        text = value.strip()
        if text.isdecimal() and text.isascii():
            return Decimal(text)
        if _is_absent(text):
            return None
    folded = read_text(value)
    if folded is None:
        return None
    match = _MONEY.fullmatch(folded)
    if match is None:
        raise LayoutChangedError(f"{where}: {value!r} is no amount")
    opened, minus, minus2, number = match.groups()
    amount = Decimal(number.replace(",", ""))
    return -amount if opened or minus or minus2 else amount


def read_int(value: object, where: str) -> int | None:
    """Read a whole number: ``7``, ``"7247"``, ``"   2,874"``; a fraction is an error."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        return int(value)
    if isinstance(value, int) and value >= 0:
        return value
    amount = read_decimal(value, where)
    if amount is None:
        return None
    if amount != amount.to_integral_value():
        raise LayoutChangedError(f"{where}: {value!r} is no whole number")
    return int(amount)


def read_float(value: object, where: str) -> float | None:
    """Read a coordinate."""
    if isinstance(value, float) and isfinite(value):
        return value
    text = read_text(value)
    if text is None:
        return None
    if _FLOAT.fullmatch(text) is None:
        raise LayoutChangedError(f"{where}: {value!r} is no number")
    return float(text)


def read_bool(value: object, where: str) -> bool | None:
    """Read a flag: a JSON boolean, Y/N, Yes/No, true/false, 1/0."""
    if isinstance(value, bool):
        return value
    text = read_text(value)
    if text is None:
        return None
    word = text.lower()
    if word in {"y", "yes", "true", "1"}:
        return True
    if word in {"n", "no", "false", "0"}:
        return False
    raise LayoutChangedError(f"{where}: {value!r} is neither yes nor no")


def read_date(value: object, where: str) -> date | None:
    """Read a calendar date: MM/DD/YYYY, M-DD-YYYY, YYYY-MM-DD (a time behind it is dropped)."""
    text = read_text(value)
    if text is None:
        return None
    parts: tuple[str, ...] | None = None
    if match := _US_DATE.match(text):
        parts = match.group(4, 1, 3)
    elif match := _ISO_DATE.match(text):
        parts = match.groups()
    if parts is None:
        raise LayoutChangedError(f"{where}: {value!r} is no date")
    try:
        return date(int(parts[0]), int(parts[1]), int(parts[2]))
    except ValueError:
        raise LayoutChangedError(f"{where}: {value!r} is no date") from None
