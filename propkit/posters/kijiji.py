"""Kijiji: a listing goes through its form in steps, and is posted when its own page shows.

What the row's columns `category`, `condition`, `seller` (or `for sale by`), `location` and `phone`
say wins over the settings ``posters.kijiji``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlencode

from propkit.browsing.form import Form
from propkit.browsing.pool import BrowserPool
from propkit.browsing.window import Selectors, Window
from propkit.errors import (
    DryRunEndedError,
    LayoutChangedError,
    PostingError,
    PostingRefusedError,
    PostingUnknownError,
    SourceError,
)
from propkit.posters._account import find_password, keep_picture, login_file
from propkit.posters._base import Listing, Posted, PosterLimits, PosterPace, Sending
from propkit.posters._entry import BARRIERS, Entry
from propkit.posters._robots import check_robots
from propkit.sections import PosterSettings
from propkit.settings import Settings

log = logging.getLogger(__name__)

BASE_URL: Final = "https://www.kijiji.ca"
FORM_PATH: Final = "/p-post-ad.html"
MY_ADS_PATH: Final = "/m-my-ads/active/{}"

ELEMENTS: Final[Mapping[str, Selectors]] = {
    # The login.
    "login form": ("#emailOrNickname", 'role=textbox[name="Email Address"i]'),
    "password": ("input[type=password]",),
    "sign in": ('role=button[name="Sign in"i]',),
    "login error": ("form [role=alert]", "p[role=alert]"),
    "captcha": (".g-recaptcha", "#challenge-running", "iframe[title*=challenge]"),
    "second factor": ("input[autocomplete=one-time-code]",),
    # The steps of the form.
    "title": ("#postad-title", 'role=textbox[name="Ad title"i]'),
    "next": ('role=button[name="Next"i]',),
    "suggested categories": ("[data-testid^=suggested-category]",),
    "free package": ("[data-testid=package-0-bottom-select]",),
    "description": ("#pstad-descrptn", 'role=textbox[name="Description:"i]'),
    "price": ("#PriceAmount", "#priceAmount"),
    "condition": ("#condition_s", 'role=combobox[name="Condition:"i]'),
    "seller": ("[name=seller]", "[role=radio]", "input[type=radio]"),
    "tags": ("#tags", 'role=textbox[name="Tags: (optional)"i]'),
    "add tag": ("#add-tag", 'role=button[name="Add"i]'),
    "photos": ("input[type=file]",),
    "location": ("#location", "#pstad-map-address"),
    "phone": ("#PhoneNumber", 'role=textbox[name="Phone number: (optional)"i]'),
    "total": ("[data-testid=checkout-total]",),
    "post": ("[data-testid=checkout-post-btn]", 'role=button[name="Post Your Ad"i]'),
    "form errors": ("[data-testid=form-errors]",),
    # The account's own listings.
    "my ads": ('role=heading[name="My Ads"i]',),
    "next page": ("[data-testid=next-page]",),
    "delete": ("[data-testid=delete-ad]",),
    "no reason": (
        'role=radio[name="Prefer not to say"i]',
        'role=button[name="Prefer not to say"i]',
    ),
    "delete my ad": ('role=button[name="Delete My Ad"i]',),
    "close dialog": ("[data-testid=ModalCloseButton]",),
    # A listing's own page.
    "listing": ("[data-testid=listing-description]",),
    "gone": ('role=heading[name="no longer available"i]',),
}
"""Where everything is found; a site that changed is followed here and nowhere else."""

TAG_CHIPS: Final = "[data-testid=tag-chip]"
THUMBNAILS: Final = "[data-testid=image-thumbnail]"
PHOTO_ERRORS: Final = "[data-testid=image-error]"
LOCATION_OPTIONS: Final = "[role=listbox] [role=option]"
ROW: Final = "[data-testid^='listing-id-']"
ROW_PARTS: Final = {"url": "a", "title": "a", "price": "[data-testid=listing-price]"}
PROOF: Final = re.compile(r"/v-[^/?]+/[^/?]+/[^/?]+/(\d+)/?(?:[?#].*)?$")
"""The address that only a published listing has, with its id."""

FORM: Final = (
    "description", "title", "price", "condition", "seller", "tags", "add tag", "photos",
    "location", "phone", "total", "post",
)  # fmt: skip

LIMITS: Final = PosterLimits(
    required=("title", "description", "price"),
    title_length_max=64,
    description_length_min=10,
    tags_max=5,
    images_max=10,
    image_types=("jpeg", "png"),
    settle_seconds=30.0,
)
_PACE_SECONDS, _JITTER_SECONDS = 30.0, 15.0
_UPLOAD_SECONDS = 30.0
"""So long may each photo take."""
_MOST_PAGES = 500
_COLUMNS: Final = {
    "category": ("category",),
    "condition": ("condition",),
    "seller": ("seller", "for sale by"),
    "location": ("location", "city"),
    "phone": ("phone", "phone number"),
}


def make_poster(settings: Settings) -> KijijiPoster:
    """Return the poster of the account that the settings name."""
    return KijijiPoster(settings.posters.get("kijiji", PosterSettings()), settings)


class KijijiPoster:
    """Posts the listings of one account; a poster as :mod:`propkit.posters._base` says.

    ``entry.on_person`` is told when a person is needed and the window waits for her; ``evidence``
    has the picture of what the window showed when a listing failed, by the row's key.
    """

    name = "kijiji"

    def __init__(self, settings: PosterSettings, whole: Settings) -> None:
        self.site = str(settings.base_url or BASE_URL).rstrip("/")
        self.evidence: dict[str, Path] = {}
        self._settings = settings
        self._kept = login_file(self.name, self.site, settings.account)
        password = find_password(settings, self.site, self._kept)
        browsing = whole.browsing.model_copy(
            update={
                "block": (),  # a form shows its photos, a captcha its pictures
                "pages": settings.workers,
                "browsers": 1,
                "headed": settings.headed or whole.browsing.headed,
            }
        )
        self._pool = BrowserPool(browsing, whole.browser)
        self._windows: asyncio.Queue[Window] = asyncio.Queue()
        self.entry = Entry(self.site, ELEMENTS, settings, password, is_headed=browsing.headed)

    @property
    def limits(self) -> PosterLimits:
        """What the site takes."""
        given = self._settings
        settle = LIMITS.settle_seconds if given.settle_seconds is None else given.settle_seconds
        return dataclasses.replace(LIMITS, workers=given.workers, settle_seconds=settle)

    @property
    def pace(self) -> PosterPace:
        """How often it may be posted to."""
        given = self._settings.pace_seconds
        if given is None:
            return PosterPace(seconds=_PACE_SECONDS, jitter_seconds=_JITTER_SECONDS)
        return PosterPace(seconds=given, jitter_seconds=given / 2)

    async def __aenter__(self) -> Self:
        """Make the windows ready; the browser opens with the first page."""
        name = self._settings.user_agent
        for _ in range(self._settings.workers):
            window = Window(
                self._pool, self.site, identity=(("User-Agent", name),) if name else (),
                state=self._kept, seconds=self._settings.step_seconds,
            )  # fmt: skip
            self._windows.put_nowait(window)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the browser."""
        while not self._windows.empty():
            await self._windows.get_nowait().close()
        await self._pool.close()

    async def login(self) -> None:
        """Log in, or see that the account is logged in; before that, that a robot may."""
        if self._settings.obey_robots:
            pages = (FORM_PATH, MY_ADS_PATH.format(1))
            await check_robots(self.site, pages, self._settings.step_seconds)
        async with self._window() as window:
            await window.go(FORM_PATH)
            await self.entry.reach(window, "title")
            await window.keep_login()

    # --- posting --------------------------------------------------------------------------------

    async def post(self, listing: Listing, sending: Sending) -> Posted:
        """Publish a listing and return its address."""
        async with self._window() as window:
            try:
                return await self._post(window, listing, sending)
            except DryRunEndedError:
                raise
            except Exception as error:
                await self._keep_evidence(window, listing, error)
                raise

    async def _post(self, window: Window, listing: Listing, sending: Sending) -> Posted:
        form = Form(window)
        await window.go(FORM_PATH)
        await self.entry.through(
            window, "title", lambda: window.write("title", ELEMENTS["title"], listing.title)
        )
        await self._choose_category(window, listing)
        await self.entry.press(window, "free package")
        fields = {name: ELEMENTS[name] for name in FORM}
        await self.entry.through(
            window, "description", lambda: form.find(fields), or_else=("post", "photos")
        )
        await self._fill_in(form, listing)
        cost = _as_money((await form.check("total"))["total"])
        if cost != 0:
            shown = "an unknown amount" if cost is None else f"${cost}"
            raise PostingRefusedError(f"the listing would cost {shown}; only free ones are posted")
        async with form.sent_once(sending):
            await window.press("post", ELEMENTS["post"])
            await self._wait_for_proof(window, form)
        return Posted(url=window.url)

    async def _choose_category(self, window: Window, listing: Listing) -> None:
        wanted = self._value(listing, "category")
        if wanted.isdecimal():
            asked = urlencode({"categoryId": wanted, "adTitle": listing.title})
            await window.go(f"{FORM_PATH}?{asked}")
            return
        await window.press("next", ELEMENTS["next"])
        if not wanted:
            await self.entry.press(window, "suggested categories")
            return
        await self.entry.reach(window, "suggested categories")
        offered = await window.texts(ELEMENTS["suggested categories"])
        chosen = next((one for one in offered if one.lower() == wanted.lower()), None)
        if chosen is None:
            raise PostingRefusedError(
                f"the site does not suggest the category {wanted!r} for {listing.title!r}, but "
                f"{', '.join(offered)}; name one of these, or the category's number"
            )
        elements = ELEMENTS["suggested categories"]
        await window.press("suggested categories", elements, text=chosen)

    async def _fill_in(self, form: Form, listing: Listing) -> None:
        if count := len(listing.images):  # they arrive while the rest is typed
            await form.attach(
                "photos", listing.images, shown=THUMBNAILS, failed=PHOTO_ERRORS,
                seconds=_UPLOAD_SECONDS * count,
            )  # fmt: skip
        form.expect("title", listing.title)  # from the first step
        await form.fill("description", listing.description)
        if listing.price is not None:
            await form.fill("price", f"{listing.price:f}")
        if condition := self._value(listing, "condition"):
            await form.choose("condition", condition)
        if seller := self._value(listing, "seller"):
            await form.tick("seller", seller)
        for tag in listing.tags:
            await form.add("tags", "add tag", tag, TAG_CHIPS)
        if place := self._value(listing, "location"):
            seconds = self._settings.step_seconds
            await form.choose_option("location", place, LOCATION_OPTIONS, seconds=seconds)
        if phone := self._value(listing, "phone"):
            await form.fill("phone", phone)

    async def _wait_for_proof(self, window: Window, form: Form) -> None:
        """Return when the listing's own page shows; raise what the site says otherwise."""
        others = {name: ELEMENTS[name] for name in ("form errors", *BARRIERS)}
        seen = await form.wait_for_end(PROOF, others, seconds=self._settings.confirm_seconds)
        if seen is None:
            return
        if seen == "form errors":
            said = await window.text(ELEMENTS["form errors"])
            raise PostingRefusedError(f"the site does not take the listing: {said}")
        self.entry.ask_person(seen)
        rest = {name: others[name] for name in others if name != seen}
        try:
            then = await form.wait_for_end(PROOF, rest, seconds=self.entry.person_seconds)
        except SourceError as error:
            raise self.entry.unsolved(seen) from error
        if then is not None:
            raise PostingUnknownError(f"after the last click the site shows: {then}")

    # --- what stands on the site ----------------------------------------------------------------

    async def find(self, listing: Listing, known: Collection[str]) -> Posted | None:
        """Look for a listing on the account's own pages: by title and price, then by its text."""
        fitting: list[str] = []
        same: list[str] = []
        ids = {_id_of(url) for url in known}
        title, text = _as_line(listing.title), _as_line(listing.description)
        try:
            async with self._window() as window:
                async for row in self._my_ads(window):
                    is_alike = _as_line(row["title"]) == title and (
                        listing.price is None or _as_money(row["price"]) in {None, listing.price}
                    )
                    if is_alike and _id_of(row["url"]) not in ids:
                        fitting.append(row["url"])
                for url in fitting:
                    await window.go(url)
                    seen = await self.entry.reach(window, "listing", "gone")
                    if seen == "listing" and await window.text(ELEMENTS["listing"]) == text:
                        same.append(url)
        except SourceError as error:
            raise PostingUnknownError(f"the account's listings cannot be read: {error}") from error
        if not fitting:
            return None
        if len(same) != 1:
            raise PostingUnknownError(
                f"{len(fitting)} listings have the title and the price of {listing.row_key!r}, "
                f"{len(same)} of them its text: {', '.join(fitting)}"
            )
        return Posted(url=same[0])

    async def delete(self, posted: Posted) -> None:
        """Take a listing down, and see that it is not among the account's listings any more."""
        wanted = _id_of(posted.url or "")
        async with self._window() as window:
            async for row in self._my_ads(window):
                if _id_of(row["url"]) == wanted is not None:
                    break
            else:
                raise PostingError(f"the listing {posted.url} is not among the account's listings")
            place = f"[data-testid='listing-id-{wanted}'] "
            await window.press("delete", [place + one for one in ELEMENTS["delete"]])
            for name in ("no reason", "delete my ad", "close dialog"):
                await self.entry.press(window, name)
            async for row in self._my_ads(window):
                if _id_of(row["url"]) == wanted:
                    raise PostingError(f"the listing {posted.url} is still there")

    async def _my_ads(self, window: Window) -> AsyncIterator[dict[str, str]]:
        """Give every row of the account's own listings, page after page."""
        for page in range(1, _MOST_PAGES):
            await window.go(MY_ADS_PATH.format(page))
            await self.entry.reach(window, "my ads")
            for row in await window.rows(ROW, ROW_PARTS):
                if _id_of(row["url"]) is None:
                    raise LayoutChangedError("a row of my ads has no address", url=window.url)
                yield row
            if not await window.is_visible(ELEMENTS["next page"]):
                return
        raise PostingUnknownError(f"the account has more than {_MOST_PAGES} pages of listings")

    @asynccontextmanager
    async def _window(self) -> AsyncIterator[Window]:
        """Give one of the windows, opened."""
        window = await self._windows.get()
        try:
            await window.open()
            yield window
        finally:
            self._windows.put_nowait(window)

    def _value(self, listing: Listing, name: str) -> str:
        """Return what the row says, or else the settings."""
        told = {key.strip().lower().replace("_", " "): text for key, text in listing.extra.items()}
        found = next((told[one] for one in _COLUMNS[name] if told.get(one)), None)
        return found or getattr(self._settings, name) or ""

    async def _keep_evidence(self, window: Window, listing: Listing, error: Exception) -> None:
        picture = await window.picture()
        if picture is None:
            return
        try:
            path = keep_picture(self.name, listing.row_key, picture)
        except OSError as failure:
            log.warning("%s: its picture cannot be kept: %s", listing.row_key, failure)
            error.add_note(f"its picture cannot be kept: {failure}")
            return
        self.evidence[listing.row_key] = path
        error.add_note(f"picture: {path}")


def _id_of(url: str) -> str | None:
    found = PROOF.search(url)
    return found[1] if found else None


def _as_money(text: str) -> Decimal | None:
    found = re.search(r"\d[\d,]*(?:\.\d+)?", text)
    return Decimal(found[0].replace(",", "")) if found else None


def _as_line(text: str) -> str:
    return " ".join(text.split())
