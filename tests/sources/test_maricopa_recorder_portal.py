"""What the recorder's portal is read as."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from propkit.errors import InvalidAnswerError, LayoutChangedError
from propkit.pages import Page
from propkit.records import Document
from propkit.sources import Parsed, Payload
from propkit.sources.maricopa_recorder_portal import MaricopaRecorderPortal

SAVED = Path(__file__).parent / "maricopa_recorder_portal"
NUMBER = "20186156007"


def parse(body: str, key: str = NUMBER) -> Parsed:
    page = Page(
        name="details",
        url="http://county.test/details",
        fetched_at=datetime(2026, 11, 22, tzinfo=UTC),
        status=200,
        content_type="text/html; charset=utf-8",
        body=body.encode(),
    )
    payload = Payload(source="maricopa_recorder_portal", key=key, apn="1", pages=(page,))
    return MaricopaRecorderPortal().parse(payload)


def test_what_a_script_could_say_is_not_what_the_page_says() -> None:
    """The script of the page holds the words for an unknown number, whatever came of it."""
    saved = (SAVED / "unknown_number/details.html").read_text("utf-8")
    assert parse(saved, "19990000001") == Parsed(is_found=False)

    failed = saved.replace("No document was found for recording number 19990000001.", "Try again.")

    assert "No document was found" in failed  # in the script
    with pytest.raises(InvalidAnswerError, match="not about 19990000001"):
        parse(failed, "19990000001")


def test_another_document_is_invalid() -> None:
    deed = (SAVED / "deed/details.html").read_text("utf-8")

    with pytest.raises(InvalidAnswerError, match="the answer is about"):
        parse(deed, "20186156008")


def test_labels_that_are_not_known_are_a_changed_layout() -> None:
    deed = (SAVED / "deed/details.html").read_text("utf-8")

    with pytest.raises(LayoutChangedError):
        parse(deed.replace("<th>", "<th>Our "))


def test_a_list_of_terms_is_read_as_a_table_is() -> None:
    body = (
        f"<html><body><dl><dt>Recording Number:</dt><dd>{NUMBER}</dd><dt>Names</dt>"
        "<dd><ul><li>DOE JO</li></ul></dd><dt>Document Code</dt><dd>WAR DEED</dd></dl></body></html>"
    )

    assert parse(body).records == (
        Document(recording_number=NUMBER, apn="1", names=("DOE JO",), document_codes=("WAR DEED",)),
    )
    assert "recorded_on" in parse(body).unsaid["documents"]


def test_a_blocked_page_is_a_restricted_document() -> None:
    body = "<html><head><title>Information Blocked</title></head><body>restricted</body></html>"

    assert parse(body).records == (Document(recording_number=NUMBER, apn="1", is_restricted=True),)
