"""The classifieds site: accounts, a posting form in steps, the account's own listings."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from urllib.parse import quote

from aiohttp import web
from aiohttp.web_request import FileField

from propkit.demo_county import classifieds_pages as pages
from propkit.demo_county.answers import as_json, as_page
from propkit.demo_county.classifieds_ads import (
    CATEGORIES,
    MOST_IMAGES,
    Ad,
    Ads,
    Category,
    places_like,
    suggest,
)
from propkit.demo_county.classifieds_form import details_page
from propkit.demo_county.classifieds_pages import ROOT
from propkit.demo_county.classifieds_switches import (
    ACCOUNTS,
    SECOND_FACTOR,
    ClassifiedsSwitches,
)
from propkit.demo_county.switches import Switches

COOKIE = "classifieds_session"

_MAX_SESSIONS = 10_000
_MOST_IMAGES_KEPT = 500


@dataclass(slots=True)
class Session:
    """What the site knows of one visitor."""

    account: str | None = None
    waits_for_code: str | None = None
    is_human: bool = False
    images: dict[str, str] = field(default_factory=dict)
    """SHA-256 by the id of an uploaded image."""


class Classifieds:
    """Answer one request to the classifieds site."""

    def __init__(self) -> None:
        self.ads = Ads()
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._images: OrderedDict[str, tuple[bytes, str]] = OrderedDict()
        self._tries: Counter[str] = Counter()

    def begin_anew(self, *, log_out: bool) -> None:
        """Forget every listing and image, and with `log_out` every visitor."""
        self.ads.clear()
        self._images.clear()
        self._tries.clear()
        if log_out:
            self._sessions.clear()

    async def answer(self, request: web.Request, path: str, switches: Switches) -> web.Response:
        """Return a page, with a session cookie for whoever has none."""
        name = request.cookies.get(COOKIE)
        is_new = name is None or name not in self._sessions
        if name is None or is_new:
            name = secrets.token_hex(12)
            self._sessions[name] = Session()
            if len(self._sessions) > _MAX_SESSIONS:
                self._sessions.popitem(last=False)
        visitor = self._sessions[name]
        response = await self._page(request, path, visitor, switches.classifieds)
        if is_new:
            month = 30 * 24 * 3600
            response.set_cookie(
                COOKIE, name, path=ROOT, max_age=month, httponly=True, samesite="Lax"
            )
        return response

    async def _page(
        self, request: web.Request, path: str, visitor: Session, switches: ClassifiedsSwitches
    ) -> web.Response:
        if path in ("/", ""):
            ads = self.ads.listed(visitor.account) if visitor.account else []
            return as_page(pages.home_page(visitor.account, ads[:10]))
        if path == "/captcha":
            form = await request.post()
            visitor.is_human = form.get("human") == "yes"
            return _moved(_own(str(form.get("back", ""))))
        if path.startswith("/id/"):
            return await self._login(request, path, visitor, switches)
        if match := re.fullmatch(r"/v-[^/]+/[^/]+/[^/]+/(\d+)", path):
            return self._listing(int(match[1]), visitor)
        if match := re.fullmatch(r"/img/(\w+)", path):
            body, kind = self._images.get(match[1], (b"", ""))
            return web.Response(body=body, content_type=kind) if kind else web.Response(status=404)
        if visitor.account is None:
            back = quote(f"{ROOT}{path}?{request.query_string}".rstrip("?"), safe="")
            return _moved(f"{ROOT}/id/login?service={back}")
        return await self._own_page(request, path, visitor.account, visitor, switches)

    async def _own_page(
        self,
        request: web.Request,
        path: str,
        account: str,
        visitor: Session,
        switches: ClassifiedsSwitches,
    ) -> web.Response:
        if path == "/suggest":
            found = suggest(request.query.get("title", ""))
            return as_json([{"id": one.id, "name": one.name} for one in found])
        if path == "/locations":
            return as_json(places_like(request.query.get("q", "")))
        if path == "/p-select-category.html":
            return as_page(pages.category_page(account, CATEGORIES))
        if path == "/p-post-ad.html":
            return self._step(request, account, visitor, switches)
        if path == "/p-upload-image.html" and request.method == "POST":
            return await self._upload(request, visitor, switches)
        if path == "/p-submit-ad.html" and request.method == "POST":
            return await self._submit(request, account, visitor, switches)
        if match := re.fullmatch(r"/m-my-ads/active/(\d+)", path):
            return self._my_ads(int(match[1]), account, switches)
        if (match := re.fullmatch(r"/m-delete-ad/(\d+)", path)) and request.method == "POST":
            ad = self.ads.find(int(match[1]))
            if ad is None or ad.account != account or ad.deleted_at is not None:
                return as_json({"error": "no such ad"}, status=404)
            self.ads.delete(ad.id)
            return as_json({"ok": True})
        return as_page(pages.gone_page(), status=404)

    # --- the login ------------------------------------------------------------------------------

    async def _login(
        self, request: web.Request, path: str, visitor: Session, switches: ClassifiedsSwitches
    ) -> web.Response:
        if path == "/id/verify" and request.method == "POST":
            return await self._verify(request, visitor)
        if path != "/id/login":
            return as_page(pages.gone_page(), status=404)
        if switches.captcha == "login" and not visitor.is_human:
            return as_page(pages.captcha_page(str(request.rel_url)))
        if request.method != "POST":
            return as_page(pages.login_page(_own(request.query.get("service", ""))))
        form = await request.post()
        email, service = str(form.get("email", "")), _own(str(form.get("service", "")))
        if ACCOUNTS.get(email) != form.get("password"):
            return as_page(pages.login_page(service, "The email or password is incorrect."))
        if switches.second_factor:
            visitor.waits_for_code = email
            return as_page(pages.code_page(service))
        visitor.account = email
        return _moved(service)

    async def _verify(self, request: web.Request, visitor: Session) -> web.Response:
        form = await request.post()
        service = _own(str(form.get("service", "")))
        if visitor.waits_for_code is None or form.get("code") != SECOND_FACTOR:
            return as_page(pages.code_page(service, "The code is incorrect."))
        visitor.account, visitor.waits_for_code = visitor.waits_for_code, None
        return _moved(service)

    # --- posting --------------------------------------------------------------------------------

    def _step(
        self, request: web.Request, account: str, visitor: Session, switches: ClassifiedsSwitches
    ) -> web.Response:
        asked, title = request.query.get("categoryId"), request.query.get("adTitle", "")
        if asked is None:
            return as_page(pages.title_page(account))
        category: Category | None = next((c for c in CATEGORIES if str(c.id) == asked), None)
        if category is None:
            return as_page(pages.category_page(account, CATEGORIES))
        if "package" not in request.query:
            return as_page(pages.package_page(account, category, title, switches.package_cost))
        if switches.captcha == "post" and not visitor.is_human:
            return as_page(pages.captcha_page(str(request.rel_url)))
        token = secrets.token_hex(8)
        return as_page(details_page(account, category, title, token, switches))

    async def _upload(
        self, request: web.Request, visitor: Session, switches: ClassifiedsSwitches
    ) -> web.Response:
        given = (await request.post()).get("file")
        if not isinstance(given, FileField):
            return as_json({"error": "no file"}, status=400)
        body = given.file.read()
        digest = hashlib.sha256(body).hexdigest()
        await asyncio.sleep(switches.upload_seconds)
        self._tries[digest] += 1
        if self._tries[digest] <= switches.upload_fails:
            return as_json({"error": "upload failed"}, status=503)
        image_id = secrets.token_hex(8)
        visitor.images[image_id] = digest
        self._images[digest] = (body, given.content_type)
        if len(self._images) > _MOST_IMAGES_KEPT:
            self._images.popitem(last=False)
        return as_json({"id": image_id, "thumbnailUrl": f"{ROOT}/img/{digest}"})

    async def _submit(
        self, request: web.Request, account: str, visitor: Session, switches: ClassifiedsSwitches
    ) -> web.Response:
        given = await request.post()
        form = {name: str(given.get(key, "")).strip() for name, key in _FORM.items()}
        # A form sends the ends of lines as a network does.
        form["description"] = form["description"].replace("\r\n", "\n")
        ad = self.ads.by_token(form["token"], switches)
        if ad is None:
            ids = [str(one) for one in given.getall("images", [])]
            images = [visitor.images[one] for one in ids if one in visitor.images][:MOST_IMAGES]
            if faults := self.ads.faults(account, form, images, switches):
                return as_page(pages.refused_page(account, faults))
            tags = [str(one) for one in given.getall("tags", [])]
            ad = self.ads.add(account, form, tags, images, switches)
        return as_page(pages.posting_page(account, ad.url, switches.redirect_seconds))

    # --- what stands on the site ----------------------------------------------------------------

    def _listing(self, ad_id: int, visitor: Session) -> web.Response:
        ad: Ad | None = self.ads.find(ad_id)
        if ad is None or ad.deleted_at is not None:
            return as_page(pages.gone_page(), status=404)
        return as_page(pages.listing_page(visitor.account, ad))

    def _my_ads(self, page: int, account: str, switches: ClassifiedsSwitches) -> web.Response:
        found, size = self.ads.listed(account), switches.page_size
        count = max(1, -(-len(found) // size))
        shown = found[(page - 1) * size : page * size]
        return as_page(pages.my_ads_page(account, shown, page, count))


_FORM = {
    "token": "token",
    "categoryId": "categoryId",
    "title": "postAdForm.title",
    "description": "postAdForm.description",
    "priceAmount": "postAdForm.priceAmount",
    "condition": "postAdForm.attributeMap[condition_s]",
    "seller": "seller",
    "location": "location",
    "phoneNumber": "postAdForm.phoneNumber",
}
"""The form's own names by the site's."""


def _own(address: str) -> str:
    """Return an address of this site as it is, in place of any other the start page."""
    return address if address.startswith(f"{ROOT}/") else f"{ROOT}/"


def _moved(address: str) -> web.Response:
    return web.Response(status=302, headers={"Location": address})
