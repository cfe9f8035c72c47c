"""One answer as it came, and what can be told of it without knowing the source."""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import orjson

from propkit.errors import InvalidAnswerError, SourceRejectedError, SourceUnavailableError
from propkit.features import Features, read_features

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser

_LARGE_BYTES = 2**17

Expect = Literal["json", "html", "arcgis", "file"]
T = TypeVar("T")

_CHARSET = re.compile(r"charset=[\"']?([\w-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer as it came. ``name`` says which of an item's answers it is."""

    name: str
    url: str
    fetched_at: datetime
    status: int
    content_type: str
    body: bytes
    _read: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def text(self) -> str:
        """The body by its declared charset, else UTF-8; undecodable bytes are an error."""
        head = self.body[:1024].decode("ascii", "replace") if is_html(self) else ""
        match = _CHARSET.search(self.content_type) or _CHARSET.search(head)
        charset = match[1] if match else "utf-8"
        try:
            return self.body.decode(charset).removeprefix("\ufeff")
        except (UnicodeError, LookupError) as error:
            raise InvalidAnswerError(
                f"{self.name}: the answer is not readable as {charset}", url=self.url
            ) from error

    def json(self) -> Any:
        """Decode the body as JSON, once; anything else is an :class:`InvalidAnswerError`.

        A whole number beyond 64 bits comes as a float, which no reader takes for a value.
        """
        if "json" not in self._read:
            self._read["json"] = self._decode()
        return self._read["json"]

    def features(self) -> Features | None:
        """Return an ArcGIS answer's rows by whole columns, read once; None where they are not so."""
        if "features" not in self._read:
            is_utf8 = _is_utf8(self.content_type)
            self._read["features"] = read_features(self.body) if is_utf8 else None
        features: Features | None = self._read["features"]
        return features

    def read(self, reader: Callable[[Page], T]) -> T:
        """Return what a reader makes of the page, which it reads once."""
        if reader not in self._read:
            self._read[reader] = reader(self)
        found: T = self._read[reader]
        return found

    def forget(self) -> None:
        """Let go of what was read from the body, which takes ten times its room."""
        self._read.clear()

    def _decode(self) -> Any:
        if not _is_utf8(self.content_type):
            return self._decode_text()
        try:
            if len(self.body) < _LARGE_BYTES:
                return orjson.loads(self.body)
            with uncollected():
                return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            # json takes more: a byte order mark, NaN, half a surrogate pair.
            return self._decode_text()

    def _decode_text(self) -> Any:
        text = self.text
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:  # also numbers and nestings beyond measure
            what = "HTML" if is_html(self) else "an empty body" if not text.strip() else "bad JSON"
            raise InvalidAnswerError(
                f"{self.name}: expected JSON, got {what}", url=self.url
            ) from error

    def html(self) -> LexborHTMLParser:
        """Parse the body as an HTML page, once; what reads it leaves it as it is."""
        if "html" not in self._read:
            self._read["html"] = parse_html(self.text)
        html: LexborHTMLParser = self._read["html"]
        return html


def parse_html(text: str) -> LexborHTMLParser:
    """Parse a page; never raises. Who asks for no pages does not load what parses them."""
    from selectolax.lexbor import LexborHTMLParser

    return LexborHTMLParser(text)


@contextmanager
def uncollected() -> Iterator[None]:
    """Put off looking for garbage while many objects are made, none of which is any.

    The interpreter would look through all that it holds again and again, for a third of the time
    that a page of a thousand rows takes, or the plan of 100,000 parcels.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@lru_cache(maxsize=64)
def _is_utf8(content_type: str) -> bool:
    match = _CHARSET.search(content_type)
    return match is None or match[1].lower() in {"utf-8", "utf8"}


def is_html(page: Page) -> bool:
    """Whether the body is an HTML page, whatever its content type says."""
    if page.body.startswith((b"{", b"[")):
        return False
    head = page.body[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return head.startswith((b"<!doctype html", b"<html", b"<head", b"<body"))


def check_page(page: Page, expect: Expect) -> None:
    """Raise a ``SourceError`` unless the body is whole and of the kind expected.

    ``"arcgis"`` is JSON that says no error: such a server refuses with status 200. ``"file"`` is
    anything but a page.
    """
    if expect == "file":
        if is_html(page) or not page.body:
            what = "a page" if page.body else "an empty body"
            raise InvalidAnswerError(f"{page.name}: expected a file, got {what}", url=page.url)
        return
    if expect == "json":
        page.json()
        return
    if expect == "arcgis":
        _check_arcgis(page)
        return
    text = page.text.strip().lower()
    if not text:
        raise InvalidAnswerError(f"{page.name}: expected a page, got an empty body", url=page.url)
    if not is_html(page) and "html" not in page.content_type:
        raise InvalidAnswerError(
            f"{page.name}: expected a page, got {page.content_type or 'an unknown type'}",
            url=page.url,
        )
    if "<html" in text and not text.endswith(("</html>", "-->")) and "</html>" not in text:
        raise InvalidAnswerError(f"{page.name}: the page is cut short", url=page.url)


_WANTS_TOKEN = frozenset({401, 403, 498, 499})


def _check_arcgis(page: Page) -> None:
    features = page.features()
    said = page.json() if features is None else features.said
    error = said.get("error") if isinstance(said, dict) else None
    if error is None:
        return
    told = error if isinstance(error, dict) else {"message": error}
    code = told.get("code")
    details = told.get("details")
    lines = [told.get("message"), *(details if isinstance(details, list) else [details])]
    words = "; ".join(str(line) for line in dict.fromkeys(lines) if line)
    text = f"{page.name}: the server says error {code}: {words:.200}"
    if code in _WANTS_TOKEN:
        raise SourceRejectedError(text, url=page.url)
    if isinstance(code, int) and (code >= 500 or code == 429):
        raise SourceUnavailableError(text, url=page.url)
    raise InvalidAnswerError(text, url=page.url)


_WALL_TITLE = re.compile(
    r"just a moment|attention required|captcha|are you (a robot|human)|verify (that )?you are"
    r"|security check|access denied|request (was )?blocked|unusual traffic|pardon our interruption"
    r"|human verification|bot detection",
    re.IGNORECASE,
)
_CHALLENGE_MARKS = (
    b"g-recaptcha",
    b"h-captcha",
    b"cf-turnstile",
    b"cf-challenge",
    b"_cf_chl_opt",  # not "challenge-platform": Cloudflare puts that into innocent pages too
    b"_incapsula_resource",
    b'id="captcha',
    b"not a robot",
    b"verify you are human",
    b"unusual traffic",
)
_PASSWORD_BOX = re.compile(rb"\btype\s*=\s*[\"']?password\b")
_LOGIN_TITLE = re.compile(r"\b(log|sign)[ -]?(in|on)\b", re.IGNORECASE)
_SHORT_TEXT = 400
_TITLE = re.compile(rb"<(title|h1)[^>]*>(.*?)</\1>", re.DOTALL)


def find_block(page: Page) -> str | None:
    """Name what bars the way: a captcha or challenge, a login, a block page; None when nothing."""
    if not (is_html(page) or "html" in page.content_type):
        return None
    low = page.body.lower()
    titles = [match[2].decode("utf-8", "replace") for match in _TITLE.finditer(low)]
    if any(mark in low for mark in _CHALLENGE_MARKS) or any(map(_WALL_TITLE.search, titles)):
        return "a captcha or challenge page"
    has_password_box = b"password" in low and _PASSWORD_BOX.search(low) is not None
    if has_password_box and (any(map(_LOGIN_TITLE.search, titles)) or _is_short(page)):
        return "a login page"
    if page.status == 403:
        return "a page that refuses access"
    return None


def _is_short(page: Page) -> bool:
    """Whether a page says little: a content page may hold a box for a password in its header."""
    body = parse_html(page.body.decode("utf-8", "replace")).body
    return body is None or len(body.text()) < _SHORT_TEXT
