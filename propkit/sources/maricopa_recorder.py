"""The Maricopa County recorder's index, by the JSON API behind its portal.

The index has no search by APN: its keys are the deed numbers that the assessor's answer gives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, Literal
from urllib.parse import quote

from propkit.errors import InvalidAnswerError, LayoutChangedError
from propkit.pages import Page, is_html
from propkit.records import Document
from propkit.sources._base import (
    Ask,
    Parsed,
    Payload,
    SearchHits,
    read_bool,
    read_date,
    read_int,
    read_text,
)
from propkit.sources._readers import Fields, fold_keys, pick
from propkit.sources._recorder_search import search_documents

_PAGE: Final = "document"
_WITH_SUFFIX: Final = re.compile(r"(\d+)-?([A-Za-z])")
_KEYS_OF: Final[Mapping[str, frozenset[str]]] = {
    "suffix": frozenset({"recordingsuffix"}),
    "apn": frozenset(),
    "recorded_on": frozenset({"recordingdate"}),
    "document_codes": frozenset({"documentcodes", "documentcode"}),
    "names": frozenset({"names"}),
    "page_count": frozenset({"pageamount"}),
    "docket_book": frozenset({"docketbook"}),
    "docket_page": frozenset({"pagemap"}),
    "is_restricted": frozenset({"restricted"}),
}
"""The keys that may hold each column, in lower case; the index knows no APN."""
_BLOCKED: Final = ("restricted",)
"""What the page "Information Blocked" says, as the keys of an answer."""


class MaricopaRecorder:
    """Documents by recording number."""

    name: str = "maricopa_recorder"
    county: str = "maricopa"
    provides: tuple[str, ...] = ("documents",)
    needs: str | None = "deed_number"
    base_url: str = "https://publicapi.recorder.maricopa.gov"
    requests_per_second: float = 2.0
    seconds_per_item: float = 0.0
    max_in_flight: int = 2
    max_age: timedelta = timedelta(hours=24)
    transport: Literal["http", "browser"] = "http"
    requests_per_item: int = 1
    credits_per_item: float = 0.0
    token_header: str | None = None
    headers: Mapping[str, str] = {
        "Referer": "https://recorder.maricopa.gov/",
        "Origin": "https://recorder.maricopa.gov",
    }
    is_session_bound: bool = False
    parser_version: int = 1
    lookups: tuple[str, ...] = ("documents",)

    async def fetch(self, key: str, apn: str | None, ask: Ask) -> Payload:
        """Ask for the document of one recording number."""
        number, suffix = _split_suffix(key)
        page = await ask.get(
            f"/documents/{quote(number, safe='')}",
            name=_PAGE,
            params={"suffix": suffix} if suffix else None,
            accept=_says_something,
        )
        return Payload(source=self.name, key=key, apn=apn, pages=(page,))

    async def look_up(
        self, what: str, given: Mapping[str, str], ask: Ask, limit: int
    ) -> SearchHits:
        """Search documents by a party's name."""
        del what
        return await search_documents(given, ask, limit)

    def parse(self, payload: Payload) -> Parsed:
        """Read the document; a page "Information Blocked" is a document that is restricted."""
        page = payload.page(_PAGE)
        if page is None:
            raise InvalidAnswerError(f"{self.name}: the payload of {payload.key} has no document")
        if _is_information_blocked(page):
            key, suffix = _split_suffix(payload.key)
            document = Document(
                recording_number=key, suffix=suffix, apn=payload.apn, is_restricted=True
            )
            return Parsed(records=(document,), unsaid=_find_unsaid((_BLOCKED,)))
        answer = page.json()
        if page.status == 404:
            return Parsed(is_found=False)
        if page.status != 200:
            raise InvalidAnswerError(f"document {payload.key}: {_message(answer)}", url=page.url)
        answers = answer if isinstance(answer, list) and answer else [answer]
        rows = [fold_keys(one, f"document {payload.key}") for one in answers]
        return Parsed(
            records=tuple(_read_document(fields, payload, page) for fields in rows),
            unsaid=_find_unsaid(tuple(tuple(fields) for fields in rows)),
        )


def _split_suffix(key: str) -> tuple[str, str | None]:
    """Split the suffix off a key: ``"20150453721A"`` is the document of suffix A."""
    match = _WITH_SUFFIX.fullmatch(key.strip())
    return (match[1], match[2].upper()) if match else (key.strip(), None)


def _says_something(page: Page) -> bool:
    """Let pass what means something about the document: 400 and 404 in JSON, a block page."""
    if is_html(page):
        return _is_information_blocked(page)
    return page.status in {400, 404} and bool(page.body.strip())


def _is_information_blocked(page: Page) -> bool:
    return is_html(page) and b"information blocked" in page.body.lower()


def _message(answer: Any) -> str:
    fields = fold_keys(answer, "recorder error") if isinstance(answer, dict) else {}
    return read_text(pick(fields, "message", "error")) or repr(answer)


@lru_cache(maxsize=64)
def _find_unsaid(layouts: tuple[tuple[str, ...], ...]) -> Mapping[str, frozenset[str]]:
    """Name the columns for which not every one of these objects has a key; not to be changed."""
    unsaid = frozenset(
        column
        for column, keys in _KEYS_OF.items()
        if any(keys.isdisjoint(names) for names in layouts)
    )
    return {"documents": unsaid}


def _read_document(fields: Fields, payload: Payload, page: Page) -> Document:
    where = f"document {payload.key}"
    number = read_text(fields.get("recordingnumber"))
    if number is None or not ({"names", "documentcodes", "documentcode"} & fields.keys()):
        raise LayoutChangedError(f"{where}: no recording number, names or codes", url=page.url)
    # A number in the JSON loses its leading zeros.
    key, suffix = _split_suffix(payload.key)
    if number.lstrip("0") != key.lstrip("0"):
        raise InvalidAnswerError(f"{where}: the answer is about {number!r}", url=page.url)
    return Document(
        recording_number=key,
        suffix=read_text(fields.get("recordingsuffix")) or suffix,
        apn=payload.apn,
        recorded_on=read_date(fields.get("recordingdate"), f"{where} recordingDate"),
        document_codes=_read_codes(pick(fields, "documentCodes", "documentCode"), where),
        names=_read_texts(fields.get("names"), f"{where} names"),
        page_count=read_int(fields.get("pageamount"), f"{where} pageAmount") or None,
        docket_book=_read_docket(fields, "docketbook"),
        docket_page=_read_docket(fields, "pagemap"),
        is_restricted=read_bool(fields.get("restricted"), f"{where} restricted"),
    )


def _read_texts(value: object, where: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if any(isinstance(one, (dict, list)) for one in values):
        raise LayoutChangedError(f"{where}: expected texts, got {value!r}")
    return tuple(text for one in values if (text := read_text(one)))


def _read_codes(value: object, where: str) -> tuple[str, ...]:
    """Read a list of codes, or one text joined by "+" (a last "+" says that there are more)."""
    texts = _read_texts(value, f"{where} documentCodes")
    return tuple(code.strip() for text in texts for code in text.split("+") if code.strip())


def _read_docket(fields: Fields, name: str) -> str | None:
    text = read_text(fields.get(name))
    return None if text is None or not text.strip("0") else text
