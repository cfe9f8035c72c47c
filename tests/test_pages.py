"""Pages: what the body says, what it fails to say, and what bars the way."""

from __future__ import annotations

import contextlib
import gc
import json
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from propkit.errors import InvalidAnswerError
from propkit.pages import Page, check_page, find_block, is_html, uncollected

JSON = "application/json"
HTML = "text/html; charset=utf-8"


def page(body: str | bytes, content_type: str = HTML, status: int = 200) -> Page:
    return Page(
        name="summary",
        url="http://h/x",
        fetched_at=datetime(2026, 11, 22, tzinfo=UTC),
        status=status,
        content_type=content_type,
        body=body.encode() if isinstance(body, str) else body,
    )


def html(content: str, title: str = "Tax Summary | Maricopa County Treasurer's Office") -> str:
    head = f"<head><meta charset='utf-8'><title>{title}</title></head>"
    return f"<!DOCTYPE html>\n<html lang='en'>{head}<body>{content}</body></html>\n"


# ---------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("Peña".encode(), JSON),
        ("Peña".encode(), ""),
        ("\ufeffPeña".encode(), "text/html"),
        ("Peña".encode("latin-1"), "text/html; charset=ISO-8859-1"),
        ("Peña".encode("cp1252"), 'text/html; Charset="windows-1252"'),
        ("Peña".encode("utf-16"), "text/html; charset='UTF-16'; x=1"),
    ],
)
def test_the_text_is_read_by_the_declared_charset_or_utf_8(body, content_type):
    """A byte order mark is no part of the text."""
    assert page(body, content_type).text == "Peña"


@pytest.mark.parametrize(
    ("body", "charset"),
    [
        ("Peña".encode("latin-1"), "utf-8"),
        ("Peña".encode("utf-16"), "utf-8"),
        (b"abc", "klingon"),
        (b"abc", "hex"),
        (b"a..b\x80", "idna"),
        (b"abc", "undefined"),
    ],
)
def test_a_body_in_another_charset_than_declared_is_an_error(body, charset):
    """No replacement marks in owner names, and no error of Python's own, whatever is declared."""
    with pytest.raises(InvalidAnswerError) as caught:
        _ = page(body, f"text/html; charset={charset}").text

    expected = f"summary: the answer is not readable as {charset} (http://h/x)"
    assert str(caught.value) == expected


# ---------------------------------------------------------------- JSON


def test_json_is_decoded():
    """Whatever the content type says."""
    assert page('\ufeff{"Owner": ["Peña", 1, null]}', "text/plain").json() == {
        "Owner": ["Peña", 1, None]
    }


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"Owner": "Pe\xc3\xb1a"}', "application/json;charset=UTF-8", {"Owner": "Peña"}),
        (b'{"Owner": "Pe\xf1a"}', "application/json; charset=latin-1", {"Owner": "Peña"}),
        (b'{"a": 1, "A": 2, "a": 3}', JSON, {"a": 3, "A": 2}),
        (b'["\\ud800"]', JSON, ["\ud800"]),
        (b"[1e400, 18446744073709551615]", JSON, [float("inf"), 2**64 - 1]),
        (b"[" * 300 + b"]" * 300, JSON, json.loads("[" * 300 + "]" * 300)),
    ],
    ids=range(6),
)
def test_json_is_decoded_as_python_does(body, content_type, expected):
    """By the declared charset, with what only Python's own decoder takes, the last of twins."""
    assert page(body, content_type).json() == expected


def test_a_page_is_read_once():
    """What was decoded is kept: fetching and parsing read the same."""
    answer, summary = page("[1]", JSON), page(html("<p>1</p>"))

    assert answer.json() is answer.json()
    assert summary.html() is summary.html()
    assert answer == page("[1]", JSON)


def test_rows_are_read_by_columns_once_and_only_where_the_answer_is_utf_8():
    """In another charset they are left to what knows of it: a name would be another's."""
    fields = '[{"name":"OWNER","type":"esriFieldTypeString"}]'
    body = f'{{"fields":{fields},"features":[{{"attributes":{{"OWNER":"Peña"}}}}]}}'
    rows = page(body, JSON)
    other = page(body.encode("latin-1"), f"{JSON}; charset=iso-8859-1")
    ascii_only = page(body.replace("ñ", "n"), f"{JSON}; charset=iso-8859-1")

    assert rows.features() is not None
    assert rows.features() is rows.features()
    assert (other.features(), ascii_only.features()) == (None, None)


def test_what_a_reader_makes_of_a_page_is_kept_until_it_is_forgotten():
    read: list[str] = []
    body = page("{}", JSON)

    def count(one: Page) -> int:
        read.append(one.name)
        return len(read)

    assert [body.read(count), body.read(count)] == [1, 1]
    body.forget()
    assert (body.read(count), read) == (2, ["summary", "summary"])


BAD_JSON = [
    (b"", "an empty body"),
    (b" \r\n", "an empty body"),
    (html("x").encode(), "HTML"),
    (b"\xef\xbb\xbf\n <HTML><body>", "HTML"),
    (b'{"TOTAL": 1, "Resul', "bad JSON"),
    (b"Not found", "bad JSON"),
    (b"[1] [2]", "bad JSON"),
    (b"[" * 100_000, "bad JSON"),
    (b"9" * 5000, "bad JSON"),
]


@pytest.mark.parametrize(("body", "what"), BAD_JSON, ids=range(len(BAD_JSON)))
def test_what_is_no_json_is_named(body, what):
    """Empty, HTML, cut short; also nested too deep and numbers beyond measure."""
    with pytest.raises(InvalidAnswerError) as caught:
        page(body, JSON).json()

    assert str(caught.value) == f"summary: expected JSON, got {what} (http://h/x)"


@given(st.binary(max_size=40), st.sampled_from([JSON, HTML, "", "text/html; charset=utf-16"]))
def test_any_bytes_give_a_value_or_an_invalid_answer(body, content_type):
    """Whatever a server sends, no other error leaves the page."""
    one = page(body, content_type)

    for read in (one.json, lambda: one.text, lambda: check_page(one, "html")):
        with contextlib.suppress(InvalidAnswerError):
            read()
    find_block(one)


# ---------------------------------------------------------------- whole and of the kind expected


@pytest.mark.parametrize("body", [b"[]", b"null", b'{"a": 1}', b" 7 "])
def test_whole_json_passes(body):
    """An empty list is an answer: no such parcel."""
    check_page(page(body, JSON), "json")


@pytest.mark.parametrize("body", [body for body, _ in BAD_JSON], ids=range(len(BAD_JSON)))
def test_json_that_is_none_does_not_pass(body):
    """The check is the same as the reading."""
    with pytest.raises(InvalidAnswerError):
        check_page(page(body, JSON), "json")


WHOLE_PAGES = [
    page(html("<p>1</p>")),
    page(html("<p>1</p>") + "<!-- server 4 -->"),
    page(html("<p>1</p>") + "<script>late()</script>"),
    page(html("<p>1</p>"), ""),
    page(html("<p>1</p>").upper().replace("CHARSET", "charset"), ""),
    page("<!-- v2 -->" + html("<p>1</p>")),
    page("<p>a part of a page</p>"),
]


@pytest.mark.parametrize("whole", WHOLE_PAGES, ids=range(len(WHOLE_PAGES)))
def test_a_whole_page_passes(whole):
    """By its content type or by how it begins, with anything behind its end."""
    check_page(whole, "html")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (page(""), "expected a page, got an empty body"),
        (page(" \r\n "), "expected a page, got an empty body"),
        (page('{"a": 1}', JSON), "expected a page, got application/json"),
        (page("<p>1</p>", ""), "expected a page, got an unknown type"),
        (page(html("<p>1</p>")[:-12]), "the page is cut short"),
        (page(html("<p>1</p>").encode()[:80]), "the page is cut short"),
        (page("Peña".encode("latin-1")), "the answer is not readable as utf-8"),
    ],
    ids=range(7),
)
def test_a_broken_page_is_named(broken, said):
    """Empty, another kind, cut short, another charset."""
    with pytest.raises(InvalidAnswerError) as caught:
        check_page(broken, "html")

    assert str(caught.value) == f"summary: {said} (http://h/x)"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<!doctype HTML><p>", True),
        ("\ufeff\r\n  <html lang=en>", True),
        ("<HEAD>", True),
        ("<body>", True),
        ('{"html": "<html>"}', False),
        ("", False),
        ("<?xml version='1.0'?><rss/>", False),
    ],
)
def test_html_is_told_by_how_the_body_begins(body, expected):
    """The content type is not asked: counties send HTML as JSON."""
    assert is_html(page(body, JSON)) is expected


# ---------------------------------------------------------------- what bars the way

CAPTCHA = "a captcha or challenge page"
LOGIN = "a login page"
REFUSED = "a page that refuses access"

BLOCKS = {
    "recaptcha": (page(html("<div class='g-recaptcha' data-sitekey='1'></div>")), CAPTCHA),
    "hcaptcha": (page(html("<div class='h-captcha'></div>")), CAPTCHA),
    "turnstile": (page(html("<div class='cf-turnstile'></div>")), CAPTCHA),
    "cloudflare": (page(html("Checking your browser", "Just a moment..."), status=503), CAPTCHA),
    "cloudflare in German": (
        page(html("<script>window._cf_chl_opt={cType:'managed'}</script>", "Nur einen Moment…")),
        CAPTCHA,
    ),
    "cloudflare block": (page(html("x", "Attention Required! | Cloudflare"), status=403), CAPTCHA),
    "imperva": (page(html("<iframe src='/_Incapsula_Resource?x=1'></iframe>", "")), CAPTCHA),
    "distil": (page(html("x", "Pardon Our Interruption")), CAPTCHA),
    "heading": (page(html("<h1 class='t'>\n Are you a robot?</h1>", "County")), CAPTCHA),
    "checkbox": (page(html("<label>I'm not a robot</label>", "County")), CAPTCHA),
    "image": (page(html("<img id='c'><input id=\"captcha_text\">", "County")), CAPTCHA),
    "traffic": (page(html("unusual traffic from your network", "Sorry"), status=429), CAPTCHA),
    "denied": (page(html("Reference #18.2d", "Access Denied"), status=403), CAPTCHA),
    "sent as JSON": (page(html("<div class='g-recaptcha'></div>"), JSON), CAPTCHA),
    "login": (page(html("<form><input type='password' name='p'></form>", "Sign in")), LOGIN),
    "login, bare": (page(html("<form><INPUT name=p TYPE=Password></form>", "County")), LOGIN),
    "login, spaced": (page(html('<form><input type = "password"/></form>', "County")), LOGIN),
    "403": (page(html("Forbidden", "403 Forbidden"), status=403), REFUSED),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_page_that_bars_the_way_is_named(name):
    """Captchas, challenges, logins, refusals: otherwise they look like a parcel without data."""
    barred, expected = BLOCKS[name]

    assert find_block(barred) == expected


SEARCH_FORM = """<form method="post"><input type="hidden" name="__VIEWSTATE" value="/wEP" />
<div id="taxPayerParcelInput"><input id="txtParcelNumBook" /><input id="btnGo" type="submit" />
</div></form>"""

INNOCENT = {
    "a search form": page(html(SEARCH_FORM, "Parcel Search")),
    "a legal description": page(
        html("<td>LOT 7 SECURITY LAND CO TRACT, ACCESS EASEMENT DENIED BY PLAT 66, CHECK BLK 2</td>")
    ),
    "an owner": page(html("<h3>Tax Summary 304-77-566</h3><div>ROBOT SECURITY BANK TR</div>")),
    "information blocked": page(
        html("<h1>Information Blocked</h1><p>This document is restricted.</p>",
             "Information Blocked")
    ),
    # Cloudflare adds this script to ordinary pages of a site that it guards.
    "cloudflare's own script": page(
        html("<script>a.src='/cdn-cgi/challenge-platform/scripts/jsd/main.js'</script>")
    ),
    "a page not found": page(html("x", "Page not found: Maricopa County Assessor's Office"), status=404),
    "a server error": page(html("x", "Runtime Error"), status=500),
    "a box that shows passwords": page(html("<a data-type='passwords'>x</a>", "County")),
    "JSON that speaks of captchas": page('{"Owner": "G-RECAPTCHA LLC"}', JSON),
    "JSON with 403": page('{"message": "Forbidden"}', JSON, 403),
    "nothing": page("", "", 204),
}  # fmt: skip


@pytest.mark.parametrize("name", INNOCENT)
def test_an_innocent_page_is_no_block(name):
    """A word in an owner's name or a legal description stops no source."""
    assert find_block(INNOCENT[name]) is None


def test_a_large_answer_is_decoded_without_looking_for_garbage(monkeypatch: pytest.MonkeyPatch):
    """A small one is not worth it; afterwards all is as it was, after an error too."""
    large = b'{"a": [' + b"[1], " * 60_000 + b"[2]]}"
    loads, seen = orjson.loads, []
    monkeypatch.setattr(
        "propkit.pages.orjson.loads", lambda body: seen.append(gc.isenabled()) or loads(body)
    )

    assert len(page(large, JSON).json()["a"]) == 60_001
    assert page(b"[1]", JSON).json() == [1]
    with pytest.raises(InvalidAnswerError):
        page(large[:-1], JSON).json()

    assert seen == [False, True, False]
    assert gc.isenabled()


def test_who_has_switched_the_search_for_garbage_off_finds_it_off():
    gc.disable()
    try:
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
