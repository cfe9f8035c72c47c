"""A classifieds site as a file: each line one listing, there for good once it is written.

So it outlives a poster's process that is killed, and tells in the end what was published.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from propkit.errors import (
    LayoutChangedError,
    PersonNeededError,
    PostingError,
    PostingRefusedError,
    PostingUnknownError,
)
from propkit.posters import Listing, Posted, PosterLimits, PosterPace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from propkit.posters import Sending


class FakeSite:
    """The site's own ledger."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def publish(self, listing: Listing) -> str:
        """Publish a listing and return its address."""
        url = f"https://site.example/{len(self.listings()) + 1}"
        price = None if listing.price is None else str(listing.price)
        line = json.dumps(
            {"row_key": listing.row_key, "title": listing.title, "price": price, "url": url}
        )
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        return url

    def listings(self) -> list[dict[str, str]]:
        """Return what is published, the oldest first."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]

    def counts(self) -> dict[str, int]:
        """Return how many listings each row has."""
        return dict(Counter(one["row_key"] for one in self.listings()))


class SitePoster:
    """A poster of that site, which fails as it is told.

    ``faults`` has, by row key ("" is the login, "find T001" a look), what goes wrong at its
    attempts, in their order: ``early`` (before the last click), ``lost`` (after it, not published),
    ``dropped`` (published, no answer), ``refused``, ``denied`` (the site says no after it),
    ``captcha``, ``captcha_late``, ``bug``, ``changed``, ``hang``, ``hang_late``, ``timeout_late``,
    ``slow``, ``twice``. ``at`` is called with the name of each step.
    """

    name = "fake_site"
    site = "https://site.example"
    pace = PosterPace()

    def __init__(
        self,
        site: FakeSite,
        *,
        faults: Mapping[str, Sequence[str]] | None = None,
        limits: PosterLimits | None = None,
        can_find: bool = True,
        at: Callable[[str], Any] | None = None,
    ) -> None:
        self.limits = limits or PosterLimits(required=("title",))
        self.calls: list[str] = []
        self.in_flight = self.most_in_flight = 0
        self.seen: list[Listing] = []
        self.published = site
        self._faults = {key: list(some) for key, some in (faults or {}).items()}
        self._can_find = can_find
        self._at = at or (lambda _: None)

    async def __aenter__(self) -> Self:
        self.calls.append("open")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.calls.append("close")

    async def login(self) -> None:
        """Fail as told for the row key ""."""
        self.calls.append("login")
        self._raise("", "early", PostingError("no answer"))
        self._raise("", "captcha", PersonNeededError("captcha"))

    async def find(self, listing: Listing, known: Collection[str]) -> Posted | None:
        """Look for the title, and for the price where it is told."""
        self.calls.append(f"find {listing.row_key}")
        self._raise(f"find {listing.row_key}", "captcha", PersonNeededError("captcha"))
        if not self._can_find:
            raise PostingUnknownError("the page cannot be read")
        fitting = [
            one["url"]
            for one in self.published.listings()
            if one["title"] == listing.title
            and listing.price in (None, one["price"] and Decimal(one["price"]))
            and one["url"] not in known
        ]
        if len(fitting) > 1:
            raise PostingUnknownError(f"{len(fitting)} listings fit")
        return Posted(url=fitting[0]) if fitting else None

    async def post(self, listing: Listing, sending: Sending) -> Posted:
        """Publish, or fail as told."""
        key = listing.row_key
        self.calls.append(f"post {key}")
        self.seen.append(listing)
        fault = self._faults[key].pop(0) if self._faults.get(key) else ""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(0)
            return await self._post(listing, sending, fault)
        finally:
            self.in_flight -= 1

    async def _post(self, listing: Listing, sending: Sending, fault: str) -> Posted:
        early: dict[str, Exception] = {
            "early": PostingError("the form did not take its value"),
            "refused": PostingRefusedError("a duplicate"),
            "captcha": PersonNeededError("captcha"),
            "bug": KeyError("title"),
            "changed": LayoutChangedError("no field 'title'", url=self.site),
        }
        self._at("before_sent")
        if fault in early:
            raise early[fault]
        if fault == "hang":
            await asyncio.Event().wait()
        await sending()
        self._at("after_sent")
        late: dict[str, Exception] = {
            "lost": ConnectionError("connection lost"),
            "denied": PostingError("the site says no"),
            "captcha_late": PersonNeededError("captcha"),
        }
        if fault in late:
            raise late[fault]
        url = self.published.publish(listing)
        self._at("after_click")
        if fault == "slow":
            await asyncio.sleep(0.5)
        if fault == "timeout_late":
            raise TimeoutError
        if fault == "hang_late":
            await asyncio.Event().wait()
        if fault == "twice":
            await sending()
        if fault == "dropped":
            raise PostingUnknownError("a page that nobody knows")
        return Posted(url=url)

    async def delete(self, posted: Posted) -> None:
        """Not asked for here."""
        raise PostingError(f"{posted.url} cannot be taken down")

    def _raise(self, key: str, fault: str, error: Exception) -> None:
        if (self._faults.get(key) or [""])[0] == fault:
            self._faults[key].pop(0)
            raise error
