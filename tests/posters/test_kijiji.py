"""Kijiji's poster against the demo county's site: each step proves itself, nothing goes twice."""

from __future__ import annotations

import asyncio
import hashlib
import re
from decimal import Decimal
from pathlib import Path

import pytest

from propkit.demo_county import County
from propkit.demo_county.classifieds_switches import FORM_FIELDS
from propkit.errors import (
    BrowserLostError,
    DryRunEndedError,
    LayoutChangedError,
    PostingError,
    PostingRefusedError,
    PostingUnknownError,
    SourceError,
    SourceTimeoutError,
)
from propkit.posters import Posted, Poster, PosterPace
from propkit.posters.kijiji import KijijiPoster
from tests.posters.selling import TEXT, Sent, make_listing, picture, posting_at, submits, until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]

EXTRA = {
    "Category": "Heavy Trucks",
    "Condition": "Used - Good",
    "for_sale_by": "Business",
    "Location": "Tempe",
    "Phone": "602-555-0100",
}


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return [picture(tmp_path, number) for number in (1, 2)]


async def nothing() -> None:
    """Be asked before the last click, and let it be made."""


async def test_every_field_of_a_listing_stands_on_the_site(
    site: County, poster: KijijiPoster, images: list[Path]
) -> None:
    sending = Sent(site)
    listing = make_listing(1, images, tags=("boom", "4x4"), extra=EXTRA, price=Decimal("12500.50"))

    posted = await poster.post(listing, sending)

    (ad,) = site.postings()
    when = {name: ad.pop(name) for name in ("posted_at", "appears_at")}
    assert isinstance(poster, Poster)
    assert posted == Posted(url=f"{site.url}/classifieds{ad['url']}")
    assert (sending.times, submits(site), len(when)) == (1, [200], 2)
    assert ad == {
        "id": 1_700_000_001,
        "account": "seller@example.org",
        "title": "Bucket truck 1",
        "description": TEXT,
        "price": "12500.50",
        "category": "Heavy Trucks",
        "condition": "Used - Good",
        "seller": "Business",
        "tags": ["boom", "4x4"],
        "images": [hashlib.sha256(one.read_bytes()).hexdigest() for one in images],
        "location": "Tempe, AZ 85281",
        "phone": "602-555-0100",
        "url": "/v-heavy-trucks/tempe/bucket-truck-1/1700000001",
        "deleted_at": None,
    }


@pytest.mark.parametrize("deaf", [{"images"}, {*FORM_FIELDS} - {"images"}], ids=["photos", "rest"])
async def test_every_field_that_does_not_take_its_value_is_named(
    site: County, poster: KijijiPoster, images: list[Path], deaf: set[str]
) -> None:
    site.switch(classifieds={"deaf": sorted(deaf)})
    sending = Sent(site)
    listing = make_listing(1, images, tags=("boom",), extra=EXTRA)

    with pytest.raises(PostingError) as failure:
        await poster.post(listing, sending)

    said = str(failure.value)
    named = (
        {"images"} if "0 of 2 photos" in said else {*re.findall(r"the field (\w+) did not", said)}
    )
    assert named == deaf
    assert (sending.times, submits(site), site.postings()) == (0, [], [])
    picture = poster.evidence["BT001"]
    assert picture.read_bytes().startswith(b"\xff\xd8")
    assert failure.value.__notes__ == [f"picture: {picture}"]


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"Location": "Phoenix"}, "location 'Phoenix' is not clear; the site offers: Phoenix, AZ"),
        ({"Location": "Atlantis"}, "location: the site offers nothing for 'Atlantis'"),
        ({"Condition": "Rusty"}, "condition 'Rusty' is not offered; there are: Select, New"),
        ({"Seller": "Nobody"}, "seller 'Nobody' is not offered; there are: Owner, Business"),
        ({"Category": "Boats"}, "does not suggest the category 'Boats' for 'Bucket truck 1', but"),
    ],
)
async def test_what_the_site_does_not_offer_is_said(
    site: County,
    poster: KijijiPoster,
    monkeypatch: pytest.MonkeyPatch,
    extra: dict[str, str],
    said: str,
) -> None:
    if "Atlantis" in said:
        short = poster._settings.model_copy(update={"step_seconds": 0.5})
        monkeypatch.setattr(poster, "_settings", short)

    with pytest.raises(PostingError, match=said):
        await poster.post(make_listing(extra={**EXTRA, **extra}), nothing)

    assert submits(site) == []


async def test_a_category_by_its_number_needs_no_suggestion(
    site: County, poster: KijijiPoster
) -> None:
    await poster.post(make_listing(extra={**EXTRA, "Category": "641"}), nothing)

    assert [ad["category"] for ad in site.postings()] == ["Land for Sale"]


async def test_a_package_that_costs_is_never_bought_though_its_picture_is_lost(
    site: County, poster: KijijiPoster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.switch(classifieds={"package_cost": "4.99"})
    no_folder = tmp_path / "state"
    no_folder.touch()  # where the pictures of what failed are to go
    monkeypatch.setenv("XDG_STATE_HOME", str(no_folder))

    with pytest.raises(PostingRefusedError, match=r"would cost \$4\.99") as failure:
        await poster.post(make_listing(extra=EXTRA), nothing)

    [note] = failure.value.__notes__
    assert note.startswith("its picture cannot be kept: [Errno 20] Not a directory")
    assert (submits(site), poster.evidence) == ([], {})


async def test_photos_that_do_not_arrive_are_no_success(
    site: County, poster: KijijiPoster, images: list[Path]
) -> None:
    # The site's own page tries three times.
    site.switch(classifieds={"upload_fails": 3})

    with pytest.raises(PostingError, match=r"0 of 2 photos \(This photo could not be uploaded"):
        await poster.post(make_listing(1, images, extra=EXTRA), nothing)

    assert submits(site) == []


async def test_slow_photos_are_waited_for(
    site: County, poster: KijijiPoster, images: list[Path]
) -> None:
    site.switch(classifieds={"upload_fails": 1, "upload_seconds": 0.2})

    await poster.post(make_listing(1, images, extra=EXTRA), nothing)

    assert [len(ad["images"]) for ad in site.postings()] == [2]


async def test_a_form_that_was_changed_is_no_listing(site: County, poster: KijijiPoster) -> None:
    site.switch(classifieds={"layout": "v2"})

    with pytest.raises(LayoutChangedError) as failure:
        await poster.post(make_listing(extra=EXTRA), nothing)

    assert "description" in str(failure.value)
    assert submits(site) == []


async def test_a_dry_run_does_everything_but_the_last_click(
    site: County, poster: KijijiPoster, images: list[Path]
) -> None:
    async def end() -> None:
        raise DryRunEndedError("dry run")

    with pytest.raises(DryRunEndedError):
        await poster.post(make_listing(1, images, extra=EXTRA), end)

    uploads = [one for one in site.ledger("classifieds") if one["path"] == "/p-upload-image.html"]
    assert (len(uploads), submits(site), site.postings()) == (2, [], [])
    assert poster.evidence == {}


async def test_what_the_site_refuses_is_told_in_its_words(
    site: County, poster: KijijiPoster
) -> None:
    listing = make_listing(extra=EXTRA)
    await poster.post(listing, nothing)

    with pytest.raises(PostingRefusedError, match="looks like a duplicate of another ad of yours"):
        await poster.post(listing, nothing)

    assert (len(site.postings()), submits(site)) == (1, [200, 200])


# Chromium sends a form again by itself where a connection that it used before is cut: two listings
# by one click at a site that asks for no token (three forms seen at the site for two clicks).
async def test_a_listing_that_is_kept_while_the_connection_is_cut_is_found_and_not_sent_again(
    site: County, poster: KijijiPoster
) -> None:
    drop = {"system": "classifieds", "path": "^/p-submit-ad", "kind": "drop"}
    site.switch(faults=[drop], classifieds={"form_token": "ignored", "duplicates": "accepted"})
    listing, sending = make_listing(extra=EXTRA), Sent(site)

    with pytest.raises(SourceError, match="after the last click"):
        await poster.post(listing, sending)
    found = await poster.find(listing, [])

    (ad,) = site.postings()
    assert found == Posted(url=f"{site.url}/classifieds{ad['url']}")
    assert (sending.times, submits(site)) == (1, [None])


async def test_a_post_that_was_cut_before_the_site_had_it_is_not_found(
    site: County, poster: KijijiPoster
) -> None:
    lost = {"system": "classifieds", "path": "^/p-submit-ad", "kind": "hang", "seconds": 0}
    site.switch(faults=[lost])
    listing = make_listing(extra=EXTRA)

    with pytest.raises(SourceError, match="after the last click"):
        await poster.post(listing, nothing)

    assert await poster.find(listing, []) is None
    assert (site.postings(), len(submits(site))) == ([], 1)


async def test_a_confirmation_that_comes_too_late_is_unknown_and_found(
    site: County, poster: KijijiPoster, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.switch(classifieds={"redirect_seconds": 600})
    short = poster._settings.model_copy(update={"confirm_seconds": 0.5})
    monkeypatch.setattr(poster, "_settings", short)
    listing = make_listing(extra=EXTRA)

    with pytest.raises(SourceTimeoutError, match="after the last click no page came"):
        await poster.post(listing, nothing)

    await until(site.postings)  # it was sent; the site may be slow to keep it
    (ad,) = site.postings()
    assert await poster.find(listing, []) == Posted(url=f"{site.url}/classifieds{ad['url']}")


async def test_what_appears_late_is_not_there_before(site: County, poster: KijijiPoster) -> None:
    site.switch(classifieds={"appear_seconds": 600})
    listing = make_listing(extra=EXTRA)
    await poster.post(listing, nothing)

    assert await poster.find(listing, []) is None
    assert len(site.postings()) == 1


async def test_a_listing_is_found_on_any_page_and_told_from_others(
    site: County, poster: KijijiPoster
) -> None:
    site.switch(classifieds={"page_size": 1, "duplicates": "accepted"})
    wanted = make_listing(extra=EXTRA)
    first = await poster.post(wanted, nothing)
    second = await poster.post(wanted, nothing)

    assert await poster.find(wanted, [second.url or ""]) == first
    assert await poster.find(wanted, [first.url or "", second.url or ""]) is None
    with pytest.raises(PostingUnknownError, match="2 listings have the title and the price"):
        await poster.find(wanted, [])
    # Another text under the same title: it may be ours, as the site has changed it.
    with pytest.raises(PostingUnknownError, match=r"1 listings have .* 0 of them its text"):
        await poster.find(make_listing(description="Quite another text"), [first.url or ""])
    assert await poster.find(make_listing(price=Decimal(1)), []) is None
    assert await poster.find(make_listing(price=None), [second.url or ""]) == first
    assert await poster.find(make_listing(7), []) is None


async def test_a_listing_is_taken_down_once(site: County, poster: KijijiPoster) -> None:
    kept = await poster.post(make_listing(1, extra=EXTRA), nothing)
    gone = await poster.post(make_listing(2, extra=EXTRA), nothing)

    await poster.delete(gone)

    assert [ad["deleted_at"] is None for ad in site.postings()] == [True, False]
    assert await poster.find(make_listing(2), []) is None
    assert await poster.find(make_listing(1), []) == kept
    with pytest.raises(PostingError, match="is not among the account's listings"):
        await poster.delete(gone)


async def test_no_page_is_asked_for_while_the_last_ones_guard_is_taken_off(
    site: County, poster: KijijiPoster
) -> None:
    """Chromium may hold such a request for ever (https://github.com/microsoft/playwright/issues/41802)."""
    asked: list[str] = []

    async def take_off() -> None:
        for _ in range(20):  # far longer than a page takes to be asked for
            asked.extend(one["path"] for one in await asyncio.to_thread(site.ledger, "classifieds"))

    await poster.login()
    async with poster._window() as window:
        site.clear_ledger()
        window.later(take_off())
        await window.go("/m-my-ads/active/1")

    assert asked == []
    assert [one["path"] for one in site.ledger("classifieds")] == ["/m-my-ads/active/1"]


async def test_a_guard_that_cannot_be_taken_off_holds_nothing_up(
    poster: KijijiPoster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await poster.login()
    async with poster._window() as window:
        monkeypatch.setattr(window, "seconds", 0.05)
        window.later(asyncio.sleep(3600))
        later = window._later

        await window.go("/m-my-ads/active/1")

    assert later is not None
    assert later.cancelled()


async def test_a_session_that_ends_is_begun_again(site: County, poster: KijijiPoster) -> None:
    await poster.login()
    site.clear_postings(log_out=True)

    await poster.post(make_listing(extra=EXTRA), nothing)

    assert len(site.postings()) == 1


async def test_a_browser_that_dies_loses_one_try_only(site: County, poster: KijijiPoster) -> None:
    await poster.login()

    async def die() -> None:
        poster._pool.engines[0].kill()

    with pytest.raises(BrowserLostError):
        await poster.post(make_listing(extra=EXTRA), die)
    await poster.post(make_listing(extra=EXTRA), nothing)

    assert (len(site.postings()), submits(site)) == (1, [200])


async def test_as_many_windows_as_the_settings_say_post_at_once(site: County) -> None:
    site.switch(classifieds={"redirect_seconds": 0.5})
    async with posting_at(site, workers=2, pace_seconds=4) as poster:
        await poster.login()
        await asyncio.gather(*(poster.post(make_listing(n, extra=EXTRA), nothing) for n in (1, 2)))

        assert poster.limits.workers == 2
        assert poster.pace == PosterPace(seconds=4, jitter_seconds=2)
    logins = [one for one in site.ledger("classifieds") if one["method"] == "POST"]
    assert sorted(ad["title"] for ad in site.postings()) == ["Bucket truck 1", "Bucket truck 2"]
    assert [one["path"] for one in logins].count("/id/login") == 1


async def test_a_pace_is_kept_unless_it_is_set(site: County) -> None:
    async with posting_at(site, pace_seconds=None) as poster:
        assert poster.pace == PosterPace(seconds=30.0, jitter_seconds=15.0)
