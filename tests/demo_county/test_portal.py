"""The recorder's portal, and what the county can do to a browser: buttons, pages that leak."""

from __future__ import annotations

import httpx
import pytest
from selectolax.lexbor import LexborHTMLParser

from propkit.demo_county import County


def get(county: County, path: str) -> httpx.Response:
    return httpx.get(f"{county.url}{path}", follow_redirects=True, timeout=60, trust_env=False)


@pytest.mark.parametrize("name", ["document-details", "document-search-results"])
def test_a_portal_page_says_nothing_before_its_script_has_run(county: County, name: str) -> None:
    number = county.truth(county.apns(50))["documents"][0]["recording_number"]

    page = get(county, f"/recorder/recording/{name}.html?recordingNumber={number}&suffix=")
    html = LexborHTMLParser(page.text)

    assert page.status_code == 200
    assert html.css_first("main").text() == "Loading …"
    assert len(html.css("script")) == 1
    assert number not in page.text


def test_the_portal_has_a_search_form_and_no_other_pages(county: County) -> None:
    form = LexborHTMLParser(get(county, "/recorder/recording/document-search.html").text)

    assert form.css_first("form").attributes["action"] == "document-search-results.html"
    assert get(county, "/recorder/recording/parcel-search.html").status_code == 404


@pytest.mark.parametrize(
    ("button", "path", "kind"),
    [
        ("mixed", "/treasurer/", "div"),
        ("mixed", "/treasurer/Parcel/Summary.aspx", "input"),
        ("input", "/treasurer/", "input"),
        ("div", "/treasurer/Parcel/Summary.aspx", "div"),
    ],
)
def test_the_form_has_one_of_two_buttons(county: County, button: str, path: str, kind: str) -> None:
    county.switch(button=button)

    found = LexborHTMLParser(get(county, path).text).css("#btnGo")

    assert [node.tag for node in found] == [kind]


def test_pages_leak_when_they_are_told_to(county: County) -> None:
    details = "/recorder/recording/document-details.html"
    whole = {path: get(county, path).text for path in ("/treasurer/", details)}

    county.switch(leak_mb=20)
    leaking = {path: get(county, path).text for path in whole}

    assert all("new Uint8Array(2000000)" in text for text in leaking.values())
    assert not any("Uint8Array" in text for text in whole.values())
    for wrong in (-1, 1001, True, "much"):
        with pytest.raises(ValueError, match="a page leaks leak_mb megabytes, from 0 to 1000"):
            county.switch(leak_mb=wrong)
