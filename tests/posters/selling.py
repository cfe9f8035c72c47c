"""What the posters' tests share: listings, pictures, and a poster at the demo county's site."""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from propkit.demo_county import County
from propkit.demo_county.switches import Switches
from propkit.posters import Listing
from propkit.posters.kijiji import KijijiPoster, make_poster
from propkit.settings import Settings

DEADLINE = 60.0
TEXT = "Boom of 12 m, serviced in May.\nAsk for the papers."


def free_site(county: County, *, log_out: bool = False) -> None:
    """Take all faults from the classifieds site, and everything that was posted there."""
    switches = {"redirect_seconds": 0, "upload_seconds": 0}
    as_started = Switches().as_json()["classifieds"]
    county.switch(faults=[], limits={"classifieds": None}, classifieds={**as_started, **switches})
    county.clear_postings(log_out=log_out)
    county.clear_ledger()


def picture(folder: Path, number: int) -> Path:
    """Write a small PNG of one colour and return its path."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    side = 8
    row = b"\0" + bytes([number % 256, 90, 40]) * side
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row * side)) + chunk(b"IEND", b"")
    path = folder / f"truck-{number}.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def make_listing(number: int = 1, images: Sequence[Path] = (), **changes: Any) -> Listing:
    """Return a listing of which the site takes every field."""
    given: dict[str, Any] = {
        "row_key": f"BT{number:03}",
        "title": f"Bucket truck {number}",
        "description": TEXT,
        "price": Decimal(12500),
        "images": tuple(images),
        **changes,
    }
    return Listing(**given)


def make_settings(county: County, **changes: Any) -> Settings:
    """Return settings for the site, with hardly any pace."""
    given = {
        **county.poster_settings()["kijiji"],
        "pace_seconds": 0,
        "settle_seconds": 0,
        **changes,
    }
    return Settings.load(posters={"kijiji": given})


@asynccontextmanager
async def posting_at(county: County, **changes: Any) -> AsyncIterator[KijijiPoster]:
    """Give a poster at the site, in a browser of its own."""
    async with make_poster(make_settings(county, **changes)) as poster:
        yield poster


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds; fail when it does not in time."""
    async with asyncio.timeout(DEADLINE):
        while not holds():  # noqa: ASYNC110 -- the site tells nobody
            await asyncio.sleep(0.05)


class Sent:
    """The engine's `sending`: says when it was awaited, and what the site had got before."""

    def __init__(self, county: County) -> None:
        self.county = county
        self.times = 0

    async def __call__(self) -> None:
        self.times += 1
        assert submits(self.county) == []


def submits(county: County) -> list[int | None]:
    """Return the status of each form that was sent to the site."""
    sent = [one for one in county.ledger("classifieds") if one["path"] == "/p-submit-ad.html"]
    return [one["status"] for one in sent]
