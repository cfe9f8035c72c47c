"""The recorder: its API (documents by number, search by name, PDFs) and its portal's pages."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from urllib.parse import unquote

from aiohttp import web

from propkit.demo_county import facts
from propkit.demo_county.answers import as_json, as_page, leaking
from propkit.demo_county.archive import Archive, Hit, by_number
from propkit.demo_county.parcel import Document
from propkit.demo_county.portal_pages import portal_page
from propkit.demo_county.switches import Switches
from propkit.demo_county.truth import CountyTruth

PAGE_CAP = 200
TOTAL_CAP = 501

_BLOCKED = """<!DOCTYPE html><html><head><title>Information Blocked</title></head>
<body><h1>Information Blocked</h1><p>This document is restricted and can not be viewed online.</p>
</body></html>"""
_FILTERS = ("lastNames", "firstNames", "middleNameIs", "businessNames", "documentCode")

_Test = Callable[[Hit], bool]


class Recorder:
    """Answer one request to the recorder from the archive."""

    def __init__(self, truth: CountyTruth) -> None:
        self._archive = Archive(truth)
        self._reading = asyncio.Lock()

    async def answer(self, request: web.Request, path: str, switches: Switches) -> web.Response:
        """Return a document, a page of hits, a PDF, or an error in the API's one shape."""
        path = unquote(path).rstrip("/")
        if request.method != "GET":
            return _error(405, "Method Not Allowed", path)
        shell = portal_page(path)
        if shell is not None:
            return as_page(leaking(shell, switches.leak_mb))
        if path == "/documents/search":
            return await self._search(request.query, path)
        if path == "/preview/pdf":
            return self._pdf(request.query.get("recordingNumber", ""), request.query, path)
        part = re.fullmatch(r"/documents/([^/]+)(/pdf)?", path)
        if part is None:
            return _error(404, "Not Found", path)
        if part[2]:
            return self._pdf(part[1], request.query, path)
        found = self._find(part[1], request.query, path)
        return found if isinstance(found, web.Response) else as_json(document_body(found))

    def _find(self, number: str, query: Mapping[str, str], path: str) -> Document | web.Response:
        if not (number.isascii() and number.isdigit()):
            return _error(400, "Bad Request", path, message="Invalid recording number")
        document = self._archive.find(number, query.get("suffix", ""))
        return document or _error(404, "Not Found", path)

    def _pdf(self, number: str, query: Mapping[str, str], path: str) -> web.Response:
        found = self._find(number, query, path)
        if isinstance(found, web.Response):
            return found
        if found.is_restricted:
            return as_page(_BLOCKED)
        return web.Response(body=_pdf_of(found), content_type="application/pdf")

    async def _search(self, query: Mapping[str, str], path: str) -> web.Response:
        size = _whole(query, "pageSize", PAGE_CAP)
        page = _whole(query, "pageNumber", 1)
        most = _whole(query, "maxResults", TOTAL_CAP)
        days = [_day(query, name) for name in ("beginDate", "endDate")]
        if not query or size is None or page is None or most is None or "bad" in days:
            return _error(400, "Bad Request", path)
        tests = [*_name_tests(query), *_code_tests(query)]
        dates = [day for day in days if isinstance(day, date)]
        if not tests and not dates:
            # Filters that the API does not know are dropped without a word.
            hits = self._archive.seed_hits
        else:
            tests += _date_tests(*days)
            hits = [h for h in await self._candidates(query) if all(test(h) for test in tests)]
        size, most = min(size, PAGE_CAP), min(most, TOTAL_CAP)
        shown = hits[:most][(page - 1) * size : page * size]
        rows = [search_row(hit) for hit in shown]
        return as_json({"searchResults": rows, "totalResults": min(len(hits), TOTAL_CAP)})

    async def _candidates(self, query: Mapping[str, str]) -> Iterable[Hit]:
        async with self._reading:
            read = self._archive.by_first_word
            names = await asyncio.get_running_loop().run_in_executor(None, read)
        wanted = (query.get("lastNames") or query.get("businessNames") or "").upper().split()
        if wanted and wanted[0] in names:
            return names[wanted[0]]
        everyone = (hit for hits in names.values() for hit in hits)
        return sorted(everyone, key=by_number)


def document_body(document: Document) -> dict[str, object]:
    """Return a document as /documents/{number} writes it: the number is text, no docket is 0."""
    return {
        "names": list(document.names),
        "documentCodes": list(document.codes),
        "recordingDate": api_date(document.recorded_on),
        "recordingNumber": document.recording_number,
        "pageAmount": document.page_count,
        "docketBook": document.docket_book or 0,
        "pageMap": document.docket_page or 0,
        "affidavitPresent": False,
        "affidavitPageAmount": 0,
        "restricted": document.is_restricted,
    }


def search_row(hit: Hit) -> dict[str, object]:
    """Return a row as the search writes it: the number is a number, no docket is ""."""
    document = hit.document
    more = "+" if len(document.codes) > 1 else ""
    return {
        "names": hit.name,
        "recordingNumber": hit.number,
        "recordingSuffix": hit.suffix,
        "recordingDate": api_date(document.recorded_on),
        "documentCode": f"{document.codes[0]}{more}",
        "docketBook": str(document.docket_book or ""),
        "pageMap": str(document.docket_page or ""),
    }


def api_date(day: date) -> str:
    """Return a date with the month unpadded and the day padded: "3-05-2026"."""
    return f"{day.month}-{day:%d-%Y}"


def _name_tests(query: Mapping[str, str]) -> list[_Test]:
    last, first, middle, business = (query.get(n, "").strip().upper() for n in _FILTERS[:4])
    tests: list[_Test] = []
    if last:
        tests.append(lambda hit: f"{hit.name} ".startswith(f"{last} "))
    if first:
        tests.append(lambda hit: _rest(hit.name, last)[:1] == [first])
    if middle:
        tests.append(lambda hit: "".join(_rest(hit.name, last)[1:2]).startswith(middle))
    if business:
        tests.append(lambda hit: hit.name.startswith(business))
    return tests


def _rest(name: str, last: str) -> list[str]:
    return name[len(last) :].split() if last else name.split()[1:]


def _code_tests(query: Mapping[str, str]) -> list[_Test]:
    label = facts.INPUT_CODES.get(query.get("documentCode", ""))
    return [lambda hit: label in hit.document.codes] if label else []


def _date_tests(begin: date | str | None, end: date | str | None) -> list[_Test]:
    tests: list[_Test] = []
    if isinstance(begin, date):
        tests.append(lambda hit: hit.document.recorded_on >= begin)
    if isinstance(end, date):
        tests.append(lambda hit: hit.document.recorded_on <= end)
    return tests


def _whole(query: Mapping[str, str], name: str, default: int) -> int | None:
    text = query.get(name, str(default))
    return int(text) if text.isdigit() and int(text) > 0 else None


def _day(query: Mapping[str, str], name: str) -> date | str | None:
    text = query.get(name, "")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return "bad"


def _error(status: int, reason: str, path: str, *, message: str = "") -> web.Response:
    body: dict[str, object] = {
        "timestamp": api_date(datetime.now(UTC).date()),
        "status": status,
        "error": reason,
        "path": path,
    }
    return as_json({**body, "message": message} if message else body, status=status)


def _pdf_of(document: Document) -> bytes:
    text = f"BT /F1 12 Tf 72 720 Td (Document {document.recording_number}) Tj ET".encode()
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
            b"/Resources << /Font << /F1 5 0 R >> >> >>"
        ),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    pdf, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(pdf))
        pdf += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return (
        pdf + b"xref\n0 6\n0000000000 65535 f \n" + table
        + b"trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(pdf)
    )  # fmt: skip
