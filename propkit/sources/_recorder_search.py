"""Searching the recorder's index by name: caps, filters that it ignores, one row a party.

The search answers at most 501 rows and counts no further, so a larger answer is asked for again
by halves of its days. A filter that it does not know it drops without a word: every row is held
against what was asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from propkit.document_codes import DocumentCode, document_kind, find_code
from propkit.errors import InvalidAnswerError, LayoutChangedError, RequestError
from propkit.pages import Page
from propkit.sources._base import Ask, SearchHits, read_date, read_int, read_text
from propkit.sources._readers import fold_keys, pick

PAGE_SIZE: Final = 200
TOTAL_CAP: Final = 501
FIRST_DAY: Final = date(1871, 2, 14)
"""The county is no older."""

_COMPANY: Final = re.compile(
    r"\b(?:LLC|L L C|INC|CORP|CO|COMPANY|LP|LLP|LTD|BANK|TRUST|ASSOCIATION|ASSN|CHURCH|CITY OF"
    r"|STATE OF|HOLDINGS|PROPERTIES|PARTNERS|PARTNERSHIP|N A)\b"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is searched for: a person by last and first name, or a business."""

    last: str = ""
    first: str = ""
    business: str = ""
    since: date
    until: date
    code: DocumentCode | None = None

    @property
    def params(self) -> dict[str, str]:
        """The filters, as the API takes them."""
        given = {"lastNames": self.last, "firstNames": self.first, "businessNames": self.business}
        if self.code is not None:
            given["documentCode"] = self.code.input_code or ""
        days = {"beginDate": self.since.isoformat(), "endDate": self.until.isoformat()}
        return {name: text for name, text in (given | days).items() if text}

    def why_not(self, row: Mapping[str, Any]) -> str | None:
        """Say which filter a row does not satisfy; None when it satisfies all."""
        name, day = str(row["name"] or ""), row["recorded_on"]
        begin = self.business or self.last
        if not name.startswith(begin):
            return f"the name {begin!r}"
        rest = name[len(self.last) :].split()
        if self.first and not any(word.startswith(self.first) for word in rest):
            return f"the first name {self.first!r}"
        if day is None or not self.since <= day <= self.until:
            return f"the days {self.since} to {self.until}"
        is_other = self.code is not None and row["document_code"] != self.code.label
        # A row shows one of its document's codes.
        if is_other and not row["has_more_codes"]:
            return f"the document code {self.code.label if self.code else ''!r}"
        return None


def read_wanted(given: Mapping[str, str]) -> Wanted:
    """Read what is searched for: ``name`` (``SMITH JOHN`` or ``SMITH, JOHN``), days, a code.

    Raises
    ------
    RequestError
        There is no name, the days are none, or the code cannot be asked for.
    """
    name = " ".join(given.get("name", "").upper().split())
    if not name:
        raise RequestError("the name is empty; expected one such as SMITH JOHN")
    since, until = _read_day(given, "since", FIRST_DAY), _read_day(given, "until", _today())
    if since > until:
        raise RequestError(f"since {since} is after until {until}")
    code = find_code(given["code"]) if given.get("code") else None
    if _COMPANY.search(name) and "," not in name:
        return Wanted(business=name, since=since, until=until, code=code)
    last, _, first = name.partition(",") if "," in name else name.partition(" ")
    return Wanted(last=last.strip(), first=first.strip(), since=since, until=until, code=code)


async def search_documents(given: Mapping[str, str], ask: Ask, limit: int) -> SearchHits:
    """Return the rows of a name, ascending; all of them, unless there are more than ``limit``.

    Raises
    ------
    InvalidAnswerError
        A row does not satisfy what was asked: the recorder has ignored a filter.
    """
    rows: dict[tuple[str, str | None, str], Mapping[str, Any]] = {}
    is_complete = True
    wanted = read_wanted(given)
    left = [(wanted.since, wanted.until)]
    while left and len(rows) < limit:
        since, until = left.pop()
        part = Wanted(
            last=wanted.last,
            first=wanted.first,
            business=wanted.business,
            code=wanted.code,
            since=since,
            until=until,
        )
        found, total = await _ask_page(part, 1, ask)
        if total >= TOTAL_CAP and since < until:
            middle = since + (until - since) // 2
            left += [(middle + timedelta(days=1), until), (since, middle)]
            continue
        is_complete &= total < TOTAL_CAP
        number = 1
        while len(found) < total:
            number += 1
            more, _ = await _ask_page(part, number, ask)
            if not more:
                raise InvalidAnswerError(f"search: {total} results, but only {len(found)} rows")
            found += more
        for row in found:
            rows.setdefault((row["recording_number"], row["suffix"], row["name"]), row)
    kept = sorted(rows.values(), key=lambda row: (row["recorded_on"], row["recording_number"]))
    is_complete &= not left and len(kept) <= limit
    shown = tuple({**row, "recorded_on": row["recorded_on"].isoformat()} for row in kept[:limit])
    return SearchHits(rows=shown, total=len(kept) if not left else None, is_complete=is_complete)


async def _ask_page(wanted: Wanted, number: int, ask: Ask) -> tuple[list[dict[str, Any]], int]:
    """Ask for one page; return its rows and how many the recorder counts."""
    page = await ask.get(
        "/documents/search",
        name=f"search {wanted.since} {number}",
        params={**wanted.params, "pageNumber": str(number), "pageSize": str(PAGE_SIZE)},
    )
    rows, total = read_search(page)
    for row in rows:
        if (why := wanted.why_not(row)) is not None:
            raise InvalidAnswerError(
                f"search: the recorder has ignored {why}: it answers {row['recording_number']}"
                f" of {row['recorded_on']}, {row['name']!r}",
                url=page.url,
            )
    return rows, total


def read_search(page: Page) -> tuple[list[dict[str, Any]], int]:
    """Read one page of a search: its rows, and the count that saturates at 501."""
    fields = fold_keys(page.json(), "search")
    rows, total = fields.get("searchresults"), read_int(fields.get("totalresults"), "totalResults")
    if not isinstance(rows, list) or total is None:
        raise LayoutChangedError("search: no searchResults or totalResults", url=page.url)
    return [_read_row(row) for row in rows], total


def _read_row(row: object) -> dict[str, Any]:
    fields = fold_keys(row, "search row")
    number = read_text(fields.get("recordingnumber"))
    name = read_text(fields.get("names"))
    if number is None or "names" not in fields or "recordingdate" not in fields:
        raise LayoutChangedError(f"search: unknown row {row!r:.120}")
    shown = read_text(pick(fields, "documentCode", "documentCodes")) or ""
    label = shown.rstrip("+").strip() or None
    return {
        "recording_number": number,
        "suffix": read_text(fields.get("recordingsuffix")),
        "recorded_on": read_date(fields.get("recordingdate"), "recordingDate"),
        "name": name,
        "document_code": label,
        "has_more_codes": shown.endswith("+"),
        "document_kind": document_kind(label),
        "docket_book": _docket(fields.get("docketbook")),
        "docket_page": _docket(fields.get("pagemap")),
    }


def _docket(value: object) -> str | None:
    text = read_text(value)
    return text if text and text.strip("0") else None


def _read_day(given: Mapping[str, str], name: str, default: date) -> date:
    text = given.get(name)
    if not text:
        return default
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise RequestError(f"{name}={text!r} is no day; expected YYYY-MM-DD") from None


def _today() -> date:
    return datetime.now(UTC).date()
