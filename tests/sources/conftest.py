"""What the tests of the sources share: pages made by hand, and an ask that answers from a list."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from propkit.errors import InvalidAnswerError, SourceError, SourceUnavailableError
from propkit.pages import Expect, Page, check_page
from propkit.sources import Parsed, Payload, Source

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ATTEMPTS = 3


def make_page(
    body: object, *, name: str = "page", status: int = 200, content_type: str | None = None
) -> Page:
    """Return a page; text is HTML, bytes are taken as they are, anything else becomes JSON."""
    is_text = isinstance(body, str) and body.lstrip().startswith("<")
    raw = body if isinstance(body, bytes) else None
    if raw is None:
        raw = str(body).encode() if is_text else json.dumps(body).encode()
    kind = "text/html" if is_text else "application/json"
    return Page(
        name=name,
        url=f"http://county.test/{name}",
        fetched_at=NOON,
        status=status,
        content_type=content_type or f"{kind}; charset=utf-8",
        body=raw,
    )


class ScriptedAsk:
    """Answer by path; a list is answered one after the other, the last for ever.

    It keeps the contract of the real one: retries first for 5xx and undecodable answers, and
    what ``accept`` lets pass.
    """

    def __init__(self, answers: Mapping[str, object]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []

    async def get(
        self,
        path: str,
        *,
        name: str,
        params: Mapping[str, str] | None = None,
        expect: Expect = "json",
        accept: Callable[[Page], bool] | None = None,
    ) -> Page:
        query = "&".join(f"{key}={value}" for key, value in (params or {}).items())
        address = f"{path}?{query}" if query else path
        for attempt in range(1, ATTEMPTS + 1):
            self.asked.append(address)
            answer = self._answer(address)
            if isinstance(answer, SourceError):
                raise answer
            page = answer if isinstance(answer, Page) else make_page(answer)
            page = make_page(
                page.body, name=name, status=page.status, content_type=page.content_type
            )
            error = self._judge(page, expect, accept, is_last=attempt == ATTEMPTS)
            if error is None:
                return page
            if attempt == ATTEMPTS or not (page.status >= 500 or page.status < 300):
                raise error
        raise AssertionError

    def _answer(self, address: str) -> object:
        answer = self.answers[address]
        if isinstance(answer, tuple):
            self.answers[address] = answer[1:] if len(answer) > 1 else answer
            return answer[0]
        return answer

    def _judge(
        self, page: Page, expect: Expect, accept: Callable[[Page], bool] | None, *, is_last: bool
    ) -> SourceError | None:
        if not (page.status >= 500 and not is_last) and accept is not None and accept(page):
            return None
        if page.status >= 500:
            return SourceUnavailableError(f"{page.name}: HTTP {page.status}")
        if not 200 <= page.status < 300:
            return InvalidAnswerError(f"{page.name}: HTTP {page.status}")
        try:
            check_page(page, expect)
        except InvalidAnswerError as error:
            return error
        return None


class Script:
    """A source and the answers it gets."""

    def __init__(self, source: Source, answers: Mapping[str, object]) -> None:
        self.source = source
        self.ask = ScriptedAsk(answers)

    def fetch(self, key: str, apn: str | None = None) -> Payload:
        """Fetch one key."""
        return asyncio.run(self.source.fetch(key, apn, self.ask))

    def collect(self, key: str, apn: str | None = None) -> Parsed:
        """Fetch and parse one key."""
        return self.source.parse(self.fetch(key, apn))

    def search(self, query: str, **options: Any) -> Any:
        """Search, where the source can."""
        search: Any = getattr(self.source, "search")  # noqa: B009
        return asyncio.run(search(query, ask=self.ask, **options))

    @property
    def asked(self) -> list[str]:
        """The addresses that were asked, in order."""
        return self.ask.asked


@pytest.fixture
def page() -> Callable[..., Page]:
    """Return the function that makes a page by hand."""
    return make_page


@pytest.fixture
def script() -> Callable[[Source, Mapping[str, object]], Script]:
    """Return the maker of a source with scripted answers."""
    return Script
