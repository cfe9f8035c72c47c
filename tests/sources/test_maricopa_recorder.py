"""What the recorder's source asks for and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from propkit.errors import InvalidAnswerError, LayoutChangedError
from propkit.records import Document
from propkit.sources import Parsed
from propkit.sources.maricopa_recorder import MaricopaRecorder

SAVED = Path(__file__).parent / "maricopa_recorder"
DEED = json.loads((SAVED / "deed/document.json").read_text("utf-8"))
KEY = DEED["recordingNumber"]
PATH = f"/documents/{KEY}"

Make = Callable[..., Any]


@pytest.fixture
def recorder(script: Make) -> Callable[[dict[str, object]], Any]:
    return lambda answers: script(MaricopaRecorder(), answers)


def test_a_document_is_one_request(recorder: Make) -> None:
    run = recorder({PATH: DEED})

    parsed = run.collect(KEY, apn="30477566")

    assert run.asked == [PATH]
    assert [(one.recording_number, one.apn) for one in parsed.records] == [(KEY, "30477566")]


def test_an_unknown_number_is_a_result(recorder: Make, page: Make) -> None:
    answer = page({"status": 404, "error": "Not Found"}, status=404)

    assert recorder({PATH: answer}).collect(KEY) == Parsed(is_found=False)


def test_a_refused_number_is_invalid_and_says_why(recorder: Make, page: Make) -> None:
    answer = page({"status": 400, "message": "Invalid recording number"}, status=400)

    with pytest.raises(InvalidAnswerError, match="Invalid recording number"):
        recorder({"/documents/by-name": answer}).collect("by-name")


@pytest.mark.parametrize("status", [200, 404])
def test_a_blocked_document_is_restricted_whatever_the_status(
    recorder: Make, page: Make, status: int
) -> None:
    body = (SAVED / "information_blocked/document.html").read_text("utf-8")

    parsed = recorder({PATH: page(body, status=status)}).collect(KEY, apn="30477566")

    assert parsed.records == (Document(recording_number=KEY, apn="30477566", is_restricted=True),)


@pytest.mark.parametrize("status", [200, 404])
def test_another_page_says_nothing_about_the_document(
    recorder: Make, page: Make, status: int
) -> None:
    frame = "<!DOCTYPE html><html><head><title>Not found</title></head><body/></html>"

    with pytest.raises(InvalidAnswerError):
        recorder({PATH: page(frame, status=status)}).collect(KEY)


def test_no_content_is_not_an_unknown_number(recorder: Make, page: Make) -> None:
    with pytest.raises(InvalidAnswerError):
        recorder({PATH: page(b"", status=204)}).collect(KEY)


def test_another_document_is_invalid(recorder: Make) -> None:
    with pytest.raises(InvalidAnswerError, match="20250000002"):
        recorder({PATH: {**DEED, "recordingNumber": 20250000002}}).collect(KEY)


@pytest.mark.parametrize(
    "answer",
    [
        {"recordingNumber": KEY},
        {"names": ["OCOTILLO PAT"]},
        {**DEED, "names": [["OCOTILLO PAT"]]},
        {**DEED, "documentCodes": {"a": "WAR DEED"}},
        {**DEED, "recordingDate": "spring"},
        {**DEED, "pageAmount": "few"},
        {**DEED, "restricted": "perhaps"},
        None,
        [],
    ],
    ids=["number only", "no number", "names", "codes", "date", "pages", "flag", "null", "empty"],
)
def test_what_is_not_understood_is_a_changed_layout(recorder: Make, answer: object) -> None:
    with pytest.raises(LayoutChangedError):
        recorder({PATH: answer}).collect(KEY)


def test_a_number_without_its_leading_zero_is_the_same(recorder: Make) -> None:
    answer = {**DEED, "recordingNumber": 90123456}

    parsed = recorder({"/documents/090123456": answer}).collect("090123456")

    assert [one.recording_number for one in parsed.records] == ["090123456"]


def test_a_key_may_have_a_suffix(recorder: Make) -> None:
    """A second document of one number is asked for by its suffix, and has it."""
    suffixed = f"{PATH}?suffix=A"

    run = recorder({suffixed: DEED, PATH: DEED})
    parsed = run.collect(f"{KEY}a", apn="30477566")

    assert run.asked == [suffixed]
    assert [(one.recording_number, one.suffix) for one in parsed.records] == [(KEY, "A")]
