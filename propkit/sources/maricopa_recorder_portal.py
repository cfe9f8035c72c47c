"""The Maricopa County recorder's index by the pages of its portal, in a browser.

The second way to the documents of :mod:`propkit.sources.maricopa_recorder`. The pages are filled by
scripts, so what is read is the page as it stands when they are done. No capture of the real page
is public: its fields are known by their labels, and a page without them is ``layout_changed``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from propkit.errors import InvalidAnswerError, LayoutChangedError
from propkit.pages import Page, check_page, parse_html
from propkit.sources._base import Ask, Parsed, Payload
from propkit.sources._browsing import as_browsing
from propkit.sources._readers import node_text
from propkit.sources.maricopa_recorder import MaricopaRecorder

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

_PAGE: Final = "details"
_READY: Final = "#documentDetails, .no-record, .error"
_NOT_FOUND: Final = re.compile(r"\bno (document|record)s? (was|were) found", re.IGNORECASE)
_BLOCKED: Final = b"information blocked"
_FIELDS: Final[Mapping[str, str]] = {
    "recording number": "recordingNumber",
    "recording suffix": "recordingSuffix",
    "recording date": "recordingDate",
    "document code": "documentCodes",
    "name": "names",
    "page amount": "pageAmount",
    "pages": "pageAmount",
    "docket book": "docketBook",
    "docket": "docketBook",
    "page map": "pageMap",
    "docket page": "pageMap",
    "restricted": "restricted",
}
"""The API's name for what stands behind each label."""
_LISTS: Final = {"documentCodes", "names"}


class MaricopaRecorderPortal(MaricopaRecorder):
    """Documents by recording number, as a person looks at them."""

    name: str = "maricopa_recorder_portal"
    way_of: str = "maricopa_recorder"
    base_url: str = "https://recorder.maricopa.gov"
    transport: Literal["http", "browser"] = "browser"
    # The page, and what its script asks for.
    requests_per_item: int = 2
    credits_per_item: float = 0.0
    headers: Mapping[str, str] = {}
    parser_version: int = 1
    page_path: str = "/recording/document-details.html?recordingNumber={key}&suffix="

    async def fetch(self, key: str, apn: str | None, ask: Ask) -> Payload:
        """Open the page of one recording number and wait until its script has filled it."""
        page = await as_browsing(ask).render(
            "/recording/document-details.html",
            name=_PAGE,
            params={"recordingNumber": key, "suffix": ""},
            ready=_READY,
        )
        return Payload(source=self.name, key=key, apn=apn, pages=(page,))

    def parse(self, payload: Payload) -> Parsed:
        """Read the document: the labels as the API's fields, which its reader knows."""
        page = payload.page(_PAGE)
        if page is None:
            raise InvalidAnswerError(f"{self.name}: the payload of {payload.key} has no details")
        check_page(page, "html")
        if _BLOCKED in page.body.lower():
            return self._read(payload, replace(page, name="document"))
        html = page.html()
        fields = _read_fields(html)
        if not fields:
            text = _shown_text(page)
            if _NOT_FOUND.search(text):
                return Parsed(is_found=False)
            if payload.key not in text:
                raise InvalidAnswerError(f"{_PAGE}: not about {payload.key}", url=page.url)
            raise LayoutChangedError(f"{_PAGE}: no field of a document", url=page.url)
        body = json.dumps(fields).encode()
        kind = "application/json; charset=utf-8"
        return self._read(payload, replace(page, name="document", content_type=kind, body=body))

    def _read(self, payload: Payload, page: Page) -> Parsed:
        return super().parse(replace(payload, pages=(page,)))


def _read_fields(html: LexborHTMLParser) -> dict[str, str | list[str]]:
    """Return the labelled values of a page by the API's names for them."""
    fields: dict[str, str | list[str]] = {}
    for label in html.css("th, dt"):
        words = re.sub(r"\(s\)|[^a-z ]", "", node_text(label).lower()).strip()
        name = _FIELDS.get(words) or _FIELDS.get(words.removesuffix("s"))
        value = _next_element(label)
        if name is None or value is None or value.tag not in {"td", "dd"}:
            continue
        texts = [node_text(one) for one in value.css("li")] or [node_text(value)]
        fields[name] = texts if name in _LISTS else texts[0]
    return fields


def _shown_text(page: Page) -> str:
    """Return what a person can read: a script may hold every message that it might show."""
    html = parse_html(page.text)
    html.strip_tags(["script", "style", "noscript", "template"])
    return node_text(html.body)


def _next_element(node: LexborNode) -> LexborNode | None:
    after = node.next
    while after is not None and not (after.tag or "").isalpha():
        after = after.next
    return after
