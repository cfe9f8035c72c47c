"""What the classifieds site keeps: every listing that was posted, and what it asks of one."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from propkit.demo_county.classifieds_switches import ClassifiedsSwitches

FIRST_ID = 1_700_000_001
MOST_TITLE, LEAST_DESCRIPTION, MOST_TAGS, MOST_IMAGES = 64, 10, 5, 10

CONDITIONS = ("New", "Used - Like new", "Used - Good", "Used - Fair")
SELLERS = ("Owner", "Business")


@dataclass(frozen=True, slots=True)
class Category:
    """A category of listings, with the words of a title that suggest it."""

    id: int
    name: str
    slug: str
    words: tuple[str, ...]


CATEGORIES = (
    Category(342, "Heavy Trucks", "heavy-trucks", ("truck", "bucket", "boom", "crane")),
    Category(340, "Heavy Equipment", "heavy-equipment", ("excavator", "loader", "equipment")),
    Category(174, "Cars & Trucks", "cars-trucks", ("sedan", "pickup", "truck", "van")),
    Category(35, "Houses for Sale", "house-for-sale", ("house", "home", "bedroom")),
    Category(641, "Land for Sale", "land-for-sale", ("lot", "land", "acre", "parcel")),
    Category(26, "Other", "other", ()),
)

PLACES = (
    "Phoenix, AZ 85016", "Phoenix, AZ 85018", "Mesa, AZ 85201", "Tempe, AZ 85281",
    "Chandler, AZ 85224", "Scottsdale, AZ 85251", "Gilbert, AZ 85233", "Glendale, AZ 85301",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ad:
    """One listing of the site; `images` are the SHA-256 of its pictures, times are Unix seconds."""

    id: int
    account: str
    title: str
    description: str
    price: str
    category: str
    condition: str
    seller: str
    tags: tuple[str, ...]
    images: tuple[str, ...]
    location: str
    phone: str
    url: str
    posted_at: float
    appears_at: float
    deleted_at: float | None = None

    def is_listed(self, now: float) -> bool:
        """Whether the listing stands on the site at a time."""
        return self.deleted_at is None and self.appears_at <= now


class Ads:
    """Every listing ever posted, the deleted ones included."""

    def __init__(self) -> None:
        self._ads: dict[int, Ad] = {}
        self._by_token: dict[str, int] = {}

    def clear(self) -> None:
        """Forget all listings."""
        self._ads.clear()
        self._by_token.clear()

    def find(self, ad_id: int) -> Ad | None:
        """Return a listing by its id, also one that is deleted."""
        return self._ads.get(ad_id)

    def by_token(self, token: str, switches: ClassifiedsSwitches) -> Ad | None:
        """Return the listing that the same form has made already, where the site asks."""
        known = self._by_token.get(token) if switches.form_token == "once" else None  # noqa: S105
        return None if known is None else self._ads[known]

    def listed(self, account: str) -> list[Ad]:
        """Return an account's listings that stand on the site, newest first."""
        now = time.time()
        found = [ad for ad in self._ads.values() if ad.account == account and ad.is_listed(now)]
        return sorted(found, key=lambda ad: -ad.id)

    def add(
        self,
        account: str,
        form: Mapping[str, str],
        tags: Sequence[str],
        images: Sequence[str],
        switches: ClassifiedsSwitches,
    ) -> Ad:
        """Keep a new listing and return it."""
        ad_id, now = FIRST_ID + len(self._ads), time.time()
        category = next(one for one in CATEGORIES if str(one.id) == form["categoryId"])
        city = form["location"].partition(",")[0].lower()
        slug = re.sub(r"[^a-z0-9]+", "-", form["title"].lower()).strip("-") or "ad"
        ad = Ad(
            id=ad_id,
            account=account,
            title=form["title"],
            description=form["description"],
            price=f"{float(form['priceAmount']):.2f}",
            category=category.name,
            condition=form["condition"],
            seller=form["seller"],
            tags=tuple(tags),
            images=tuple(images),
            location=form["location"],
            phone=form["phoneNumber"],
            url=f"/v-{category.slug}/{city}/{slug}/{ad_id}",
            posted_at=now,
            appears_at=now + switches.appear_seconds,
        )
        self._ads[ad_id] = ad
        self._by_token[form["token"]] = ad_id
        return ad

    def delete(self, ad_id: int) -> None:
        """Take a listing off the site."""
        self._ads[ad_id] = replace(self._ads[ad_id], deleted_at=time.time())

    def as_json(self) -> list[dict[str, object]]:
        """Return every listing as tests read it, in the order of posting."""
        return [asdict(ad) for ad in self._ads.values()]

    def faults(
        self,
        account: str,
        form: Mapping[str, str],
        images: Sequence[str],
        switches: ClassifiedsSwitches,
    ) -> list[str]:
        """Return what the site says is wrong with a form; empty where it takes it."""
        if switches.refusal is not None:
            return [switches.refusal]
        faults = []
        if not 1 <= len(form["title"]) <= MOST_TITLE:
            faults.append(f"Please enter a title of at most {MOST_TITLE} characters.")
        if len(form["description"]) < LEAST_DESCRIPTION:
            faults.append(f"Please enter a description of at least {LEAST_DESCRIPTION} characters.")
        if not re.fullmatch(r"\d+(\.\d{1,2})?", form["priceAmount"]):
            faults.append("Please enter a valid price.")
        if form["condition"] not in CONDITIONS:
            faults.append("Please select a condition.")
        if form["seller"] not in SELLERS:
            faults.append("Please say who sells.")
        if form["location"] not in PLACES:
            faults.append("Please select a location from the list.")
        if len(images) < switches.least_images:
            faults.append("Please add at least one photo.")
        text = (form["title"], form["description"])
        if switches.duplicates == "refused" and any(
            (ad.title, ad.description) == text for ad in self.listed(account)
        ):
            faults.append("This ad looks like a duplicate of another ad of yours.")
        return faults


def suggest(title: str) -> list[Category]:
    """Return the categories that a title's words suggest, "Other" last."""
    words = set(re.findall(r"[a-z]+", title.lower()))
    found = [one for one in CATEGORIES if words.intersection(one.words)]
    return [*found, CATEGORIES[-1]]


def places_like(text: str) -> list[str]:
    """Return the places that have every word of a text."""
    words = re.findall(r"\w+", text.lower())
    return [one for one in PLACES if words and all(word in one.lower() for word in words)]
