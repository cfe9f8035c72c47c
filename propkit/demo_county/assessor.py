"""The assessor's API: searches of 25 a page, parcels in one call or by sections, map files."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from typing import TypeVar
from urllib.parse import unquote

from aiohttp import web

from propkit.demo_county import assessor_shapes as shapes
from propkit.demo_county import places
from propkit.demo_county.answers import as_json, as_page, frame_page
from propkit.demo_county.facts import BUSINESS_TYPES
from propkit.demo_county.parcel import Head, Parcel
from propkit.demo_county.switches import Switches
from propkit.demo_county.truth import CountyTruth

T = TypeVar("T")

PAGE_SIZE = 25


class Assessor:
    """Answer one request to the assessor from the truth and the switches."""

    def __init__(self, truth: CountyTruth) -> None:
        self._truth = truth
        self._index: list[tuple[str, Head]] | None = None
        self._indexing = asyncio.Lock()

    async def answer(self, request: web.Request, path: str, switches: Switches) -> web.Response:
        """Return the API's answer; a path that it does not have gives the site's frame page."""
        path = unquote(path).rstrip("/")
        if request.method == "GET" and path == "/mcs":
            return self._page(request.query.get("q", ""))
        if request.method != "GET" or not _KNOWN.fullmatch(path):
            return frame_page()
        if switches.token is not None and request.headers.get("AUTHORIZATION") != switches.token:
            return as_json({"message": "Unauthorized"}, status=401)
        if path.startswith("/search/"):
            return await self._search(request, path.removeprefix("/search/"), switches)
        if path.startswith("/mapid/"):
            return self._maps(path.removeprefix("/mapid/"))
        if path.startswith(("/bpp/", "/mh/")):
            return self._account(path)
        listing = re.fullmatch(r"/parcel/(mcr|str)/([^/]+)", path)
        if listing:
            return self._listing(request, listing[1], listing[2])
        return self._parcel(path.removeprefix("/parcel/"), switches)

    def _page(self, apn: str) -> web.Response:
        """Return what a person sees of a parcel."""
        parcel = self._truth.find(apn)
        if parcel is None or not parcel.head.is_in_assessor:
            return frame_page()
        words = [str(value) for value in shapes.property_info(parcel).values() if value]
        lines = "".join(f"<p>{escape(word)}</p>" for word in words)
        return as_page(
            f"<!DOCTYPE html><title>Parcel {escape(apn)}</title><h1>{escape(apn)}</h1>{lines}"
        )

    def _parcel(self, path: str, switches: Switches) -> web.Response:
        apn, _, section = path.partition("/")
        section, _, argument = section.partition("/")
        if not section and not switches.one_call:
            return frame_page()
        parcel = self._truth.find(apn)
        if parcel is None or not parcel.head.is_in_assessor:
            if not section and switches.unknown_parcel == "500":
                return as_json({"message": "An error has occurred."}, status=500)
            return as_json([])
        return as_json(self._section(parcel, section, argument))

    def _section(self, parcel: Parcel, section: str, argument: str) -> object:
        sections: dict[str, Callable[[], object]] = {
            "": lambda: shapes.everything(parcel, rental_owner="", similar=self._similar(parcel)),
            "propertyinfo": lambda: shapes.property_info(parcel),
            "address": lambda: shapes.address(parcel.head),
            "valuations": lambda: shapes.valuations(parcel),
            "residential-details": lambda: shapes.residential_details(parcel),
            "owner-details": lambda: shapes.owner_details(parcel),
            "improvements": lambda: shapes.improvements(parcel),
            "sketches": lambda: shapes.sketches(parcel),
            "mapids": lambda: shapes.map_ids(parcel.head),
            "rental-details": lambda: shapes.rental_details(parcel.head, argument),
            "similar-parcels-residential": lambda: shapes.similar_parcels(self._similar(parcel)),
        }
        return sections[section]()

    def _similar(self, parcel: Parcel) -> list[Parcel]:
        first = parcel.head.block.number * places.PARCELS_PER_BLOCK
        last = min(first + 8, self._truth.size)
        found = (self._truth.parcel(index) for index in range(first, last))
        return [p for p in found if p.residence and p.head.index != parcel.head.index][:5]

    def _listing(self, request: web.Request, kind: str, value: str) -> web.Response:
        if kind == "mcr":
            blocks = self._truth.blocks_by_mcr.get(value, [])
        else:
            part = re.fullmatch(r"(\d{1,2})-0?(\d[NS])-0?(\d[EW])", value.upper())
            key = f"{int(part[1])}{part[2]}{part[3]}" if part else ""
            blocks = self._truth.blocks_by_str.get(key, [])
        heads = [head for block in blocks for head in self._truth.block_heads(block)]
        page = _page_number(request)
        if page is None:
            return _bad_request("page")
        rows = [shapes.search_row(head) for head in _page(heads, page)]
        return as_json({"Parcels": rows} if rows else [])

    def _maps(self, path: str) -> web.Response:
        kind, _, value = path.partition("/")
        heads: list[Head] = []
        if kind == "parcel":
            parcel = self._truth.find(value)
            heads = [parcel.head] if parcel and parcel.head.is_in_assessor else []
        elif kind == "mcr":
            heads = [
                head
                for block in self._truth.blocks_by_mcr.get(value, [])
                for head in self._truth.block_heads(block)[:1]
            ]
        else:
            block = places.block_on_page(self._truth.seed, value.replace("/", ""))
            heads = [] if block is None else self._truth.block_heads(block)
        return as_json(shapes.map_ids(heads[0]) if heads else [])

    def _account(self, path: str) -> web.Response:
        """Return one account; a year of the roll is the only one there is."""
        if path.startswith("/mh/vin/"):
            vin = path.removeprefix("/mh/vin/").upper()
            home = self._head_of_account(vin[3:-1], "mh") if len(vin) == 11 else None
            is_known = home is not None and vin in shapes.mobile_home_row(home).values()
            return as_json(f"{home.index:07d}" if home and is_known else "")
        kind, *parts = path.strip("/").split("/")
        head = self._head_of_account(parts[-1] if kind == "mh" else parts[1], kind)
        if head is None or (kind == "bpp" and parts[0].lower() != shapes.account_kind(head)):
            return as_json([])
        return as_json(_SHAPES[kind](head))

    def _head_of_account(self, number: str, kind: str) -> Head | None:
        index = int(number) if number.isdecimal() and number.isascii() else self._truth.size
        head = self._truth.head(index) if index < self._truth.size else None
        return head if head is not None and head.is_in_assessor and _HAS[kind](head) else None

    async def _search(self, request: web.Request, kind: str, switches: Switches) -> web.Response:
        words = request.query.get("q", "").strip()
        page = _page_number(request)
        if not words:
            return _bad_request("q")
        if page is None:
            return _bad_request("page")
        if kind == "sub":
            rows: list[object] = list(await self._subdivisions(words))
            total, shown = len(rows), list(_page(rows, page))
        else:
            heads = await self._find(words)
            heads = [head for head in heads if _HAS.get(kind, bool)(head)]
            shape = _SHAPES.get(kind, shapes.search_row)
            total, shown = len(heads), [shape(head) for head in _page(heads, page)]
        if switches.envelope == "real_property":
            return as_json({"RealProperty": {"results": shown, "total": total}})
        return as_json({"TOTAL": total, "Results": shown})

    async def _find(self, words: str) -> list[Head]:
        apn = places.normalise_apn(words)
        if apn:
            return self._near(apn)
        index = await self._text_index()
        texts = {words.upper()}
        if re.fullmatch(r"[\d.\- ]{5,}", words):
            texts.add(re.sub(r"[-. ]", "", words))
        return [head for searched, head in index if any(text in searched for text in texts)]

    def _near(self, apn: str) -> list[Head]:
        # A search by APN answers near matches too, and the exact one is not always first.
        block = places.block_on_page(self._truth.seed, apn)
        heads = [] if block is None else self._truth.block_heads(block)
        near = [head for head in heads if head.apn.startswith(apn[:7])]
        others = [head for head in near if head.apn != apn]
        place = int(apn[7]) % 3
        return [*others[:place], *(h for h in near if h.apn == apn), *others[place:]]

    async def _subdivisions(self, words: str) -> list[dict[str, object]]:
        text = words.upper()
        counts: dict[str, int] = {}
        for _, head in await self._text_index():
            name = head.block.subdivision
            if name and text in name:
                counts[name] = counts.get(name, 0) + 1
        return [{"SubdivisionName": name, "ParcelCount": counts[name]} for name in sorted(counts)]

    async def _text_index(self) -> list[tuple[str, Head]]:
        async with self._indexing:
            if self._index is None:
                read = partial(_read_index, self._truth)
                self._index = await asyncio.get_running_loop().run_in_executor(None, read)
        return self._index


_HAS: dict[str, Callable[[Head], bool]] = {
    "rental": lambda head: head.is_rental,
    "bpp": lambda head: head.property_type in BUSINESS_TYPES,
    "mh": lambda head: head.index % 11 == 5,
}
_SHAPES = {
    "rental": shapes.rental_row,
    "bpp": shapes.personal_property_row,
    "mh": shapes.mobile_home_row,
}
_KNOWN = re.compile(
    r"/search/(property|rp|sub|rental|bpp|mh)"
    r"|/parcel/(mcr|str)/[^/]+"
    r"|/parcel/[0-9][0-9A-Za-z.\- ]*(/(propertyinfo|address|valuations|residential-details"
    r"|owner-details|improvements|sketches|mapids|rental-details(/.*)?|similar-parcels-residential(/.*)?))?"
    r"|/bpp/[cmlCML]/\d+(/\d{4})?|/mh/\d+|/mh/vin/[0-9A-Za-z]+"
    r"|/mapid/(parcel/[^/]+|bookmap/\d{3}/\d{2}|mcr/[^/]+)"
)


def _read_index(truth: CountyTruth) -> list[tuple[str, Head]]:
    rows = []
    for head in truth.heads():
        if head.is_in_assessor:
            parts = (head.owner.name, head.situs_address, head.block.subdivision, head.apn)
            rows.append(("\n".join(part for part in parts if part), head))
    return rows


def _page(rows: Sequence[T], number: int) -> Sequence[T]:
    return rows[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]


def _page_number(request: web.Request) -> int | None:
    text = request.query.get("page", "1")
    return int(text) if text.isdigit() and int(text) > 0 else None


def _bad_request(name: str) -> web.Response:
    return as_json({"message": f"The parameter {name!r} is missing or invalid."}, status=400)
