"""The classifieds site by itself: who is let in, what a form makes, and what a switch changes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from propkit.demo_county import County
from propkit.demo_county.classifieds_switches import ACCOUNTS, SECOND_FACTOR
from propkit.demo_county.switches import Switches

EMAIL, PASSWORD = next(iter(ACCOUNTS.items()))
FORM = {
    "categoryId": "342",
    "postAdForm.title": "Bucket truck",
    "postAdForm.description": "Boom of 12 m.\r\nServiced in May.",
    "postAdForm.priceAmount": "12500",
    "postAdForm.attributeMap[condition_s]": "New",
    "seller": "Owner",
    "location": "Mesa, AZ 85201",
    "postAdForm.phoneNumber": "",
}


@pytest.fixture
def visitor(county: County) -> Iterator[httpx.Client]:
    """Give somebody who is not logged in, at a site without listings."""
    county.switch(limits={"classifieds": None}, classifieds=Switches().as_json()["classifieds"])
    county.clear_postings(log_out=True)
    url = f"{county.url}/classifieds"
    with httpx.Client(base_url=url, follow_redirects=True, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def seller(visitor: httpx.Client) -> httpx.Client:
    log_in(visitor)
    return visitor


def log_in(visitor: httpx.Client, password: str = PASSWORD) -> httpx.Response:
    given = {"email": EMAIL, "password": password, "service": "/classifieds/p-post-ad.html"}
    return visitor.post("/id/login", data=given)


def send(
    client: httpx.Client, form: str = "a", changes: dict[str, str] | None = None
) -> httpx.Response:
    given = {**FORM, "token": form, **(changes or {})}
    return client.post("/p-submit-ad.html", data=given)


def errors(answer: httpx.Response) -> list[str]:
    return re.findall(r"<li class='error' role='alert'>(.*?)</li>", answer.text)


def test_the_form_asks_for_a_login_and_comes_back(visitor: httpx.Client) -> None:
    asked = visitor.get("/p-post-ad.html")
    wrong = log_in(visitor, "wrong")
    right = log_in(visitor)

    assert asked.url.path == "/classifieds/id/login"
    assert asked.url.params["service"] == "/classifieds/p-post-ad.html"
    assert "The email or password is incorrect." in wrong.text
    assert (right.url.path, "Ad title" in right.text) == ("/classifieds/p-post-ad.html", True)


def test_a_login_leads_nowhere_else(visitor: httpx.Client) -> None:
    given = {"email": EMAIL, "password": PASSWORD, "service": "https://example.org/"}

    answer = visitor.post("/id/login", data=given, follow_redirects=False)

    assert answer.headers["Location"] == "/classifieds/"


def test_a_second_factor_is_asked_for(county: County, visitor: httpx.Client) -> None:
    county.switch(classifieds={"second_factor": True})

    asked = log_in(visitor)
    wrong = visitor.post("/id/verify", data={"code": "1", "service": "/classifieds/"})
    right = visitor.post("/id/verify", data={"code": SECOND_FACTOR, "service": "/classifieds/"})

    assert ("one-time-code" in asked.text, "incorrect" in wrong.text) == (True, True)
    assert EMAIL in right.text


def test_a_form_makes_one_listing_however_often_it_is_sent(
    county: County, seller: httpx.Client
) -> None:
    county.switch(classifieds={"duplicates": "accepted"})
    answers = [send(seller, token) for token in ("a", "a", "b")]

    ads = county.postings()
    assert [(ad["title"], ad["price"], ad["description"]) for ad in ads] == [
        ("Bucket truck", "12500.00", "Boom of 12 m.\nServiced in May.")
    ] * 2
    assert [ads[0]["url"] in answer.text for answer in answers] == [True, True, False]
    assert seller.get(ads[0]["url"]).status_code == 200


def test_what_is_wrong_with_a_form_is_listed(county: County, seller: httpx.Client) -> None:
    county.switch(classifieds={"least_images": 1})
    wrong = {
        "postAdForm.title": "",
        "postAdForm.description": "short",
        "postAdForm.priceAmount": "a lot",
        "postAdForm.attributeMap[condition_s]": "",
        "seller": "",
        "location": "Mesa",
    }

    answer = send(seller, "a", wrong)

    assert errors(answer) == [
        "Please enter a title of at most 64 characters.",
        "Please enter a description of at least 10 characters.",
        "Please enter a valid price.",
        "Please select a condition.",
        "Please say who sells.",
        "Please select a location from the list.",
        "Please add at least one photo.",
    ]
    assert county.postings() == []


def test_a_duplicate_and_an_account_that_is_refused(county: County, seller: httpx.Client) -> None:
    send(seller, "a")
    again = send(seller, "b")
    county.switch(classifieds={"refusal": "You have too many ads."})
    refused = send(seller, "c", {"postAdForm.title": "Another"})

    assert errors(again) == ["This ad looks like a duplicate of another ad of yours."]
    assert errors(refused) == ["You have too many ads."]
    assert len(county.postings()) == 1


def test_my_ads_are_paged_and_deleted_by_their_owner_only(
    county: County, seller: httpx.Client
) -> None:
    county.switch(classifieds={"page_size": 2, "duplicates": "accepted"})
    for token in "abc":
        send(seller, token)
    first, second = (seller.get(f"/m-my-ads/active/{page}").text for page in (1, 2))
    number = county.postings()[0]["id"]
    with httpx.Client(
        base_url=seller.base_url, follow_redirects=True, timeout=60, trust_env=False
    ) as other:
        other.post("/id/login", data={"email": "dealer@example.org", "password": PASSWORD})
        refused = other.post(f"/m-delete-ad/{number}")
    deleted = [seller.post(f"/m-delete-ad/{number}").status_code for _ in range(2)]

    assert [text.count("listing-id-") for text in (first, second)] == [2, 1]
    assert ["next-page" in text for text in (first, second)] == [True, False]
    assert (refused.status_code, deleted) == (404, [200, 404])
    assert seller.get(county.postings()[0]["url"]).status_code == 404
    assert [ad["deleted_at"] is None for ad in county.postings()] == [False, True, True]


def test_an_image_may_fail_before_it_is_taken(county: County, seller: httpx.Client) -> None:
    county.switch(classifieds={"upload_fails": 1, "upload_seconds": 0})
    tries = [
        seller.post("/p-upload-image.html", files={"file": ("a.png", b"bytes", "image/png")})
        for _ in range(2)
    ]

    assert [one.status_code for one in tries] == [503, 200]
    shown = tries[1].json()["thumbnailUrl"].removeprefix("/classifieds")
    assert seller.get(shown).content == b"bytes"
    assert seller.post("/p-upload-image.html", data={"file": "text"}).status_code == 400


def test_the_changed_form_calls_its_fields_otherwise(county: County, seller: httpx.Client) -> None:
    query = {"categoryId": "342", "adTitle": "Truck", "package": "0"}
    first = seller.get("/p-post-ad.html", params=query).text
    county.switch(classifieds={"layout": "v2"})
    second = seller.get("/p-post-ad.html", params=query).text

    names = ("PriceAmount", "pstad-descrptn", "Description:", "location-options")
    assert [name in first for name in names] == [True] * 4
    assert [name in second for name in names] == [False] * 4


def test_titles_suggest_categories_and_words_places(seller: httpx.Client) -> None:
    suggested = seller.get("/suggest", params={"title": "Bucket truck"}).json()

    assert [one["name"] for one in suggested] == ["Heavy Trucks", "Cars & Trucks", "Other"]
    assert seller.get("/locations", params={"q": "phoe 018"}).json() == ["Phoenix, AZ 85018"]
    assert seller.get("/locations", params={"q": ""}).json() == []
    assert "Houses for Sale" in seller.get("/p-select-category.html").text


def test_the_site_has_a_robots_txt(county: County, visitor: httpx.Client) -> None:
    county.switch(robots={"classifieds": "User-agent: *\nDisallow: /p-\n"})

    assert visitor.get("/robots.txt").text == "User-agent: *\nDisallow: /p-\n"
    county.switch(robots={"classifieds": "User-agent: *\nDisallow:\n"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "red"}, "unknown switches ['colour'] of classifieds"),
        ({"captcha": "always"}, "captcha is one of never, login, post, not 'always'"),
        ({"deaf": ["hat"]}, "deaf fields are some of title, "),
        ({"page_size": 0}, "page_size is a number from 1 up, not 0"),
        ({"second_factor": 1}, "second_factor is true or false, not 1"),
        ({"package_cost": 5}, "package_cost is a text, not 5"),
        ({"refusal": ""}, "refusal is a text, or null for none, not ''"),
        ("v2", "the switches of classifieds are an object, not 'v2'"),
    ],
)
def test_a_switch_that_cannot_be_is_refused(county: County, change: object, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        county.switch(classifieds=change)
