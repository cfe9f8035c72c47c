"""What every source must do, over the answers saved for it.

A folder ``tests/sources/<source>/<case>`` holds the pages of one payload as they came, the key
in ``case.json`` and the records they mean in ``expected.json``. Where the expectation is missing
the test writes it and fails, so that a person reads it before it counts.
"""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from propkit.errors import InvalidAnswerError, LayoutChangedError, SourceError
from propkit.pages import Page
from propkit.records import STORED_TYPES
from propkit.sources import Parsed, Payload, Source
from propkit.sources._config import find_sources
from propkit.sources.arcgis_parcels import ArcgisParcels
from propkit.sources.socrata_parcels import SocrataParcels

FOLDER = Path(__file__).parent
LAYERS: tuple[Source, ...] = (ArcgisParcels(), SocrataParcels())
SOURCES = {**find_sources(), **{layer.name: layer for layer in LAYERS}}
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def _cases() -> list[Any]:
    files = sorted(FOLDER.glob("*/*/case.json"))
    return [
        pytest.param(file.parent, id=f"{file.parent.parent.name}-{file.parent.name}")
        for file in files
    ]


def _page(file: Path, status: int = 200) -> Page:
    kind = "text/html" if file.suffix == ".html" else "application/json"
    return Page(
        name=file.stem,
        url=f"http://county.test/{file.stem}",
        fetched_at=NOON,
        status=status,
        content_type=f"{kind}; charset=utf-8",
        body=file.read_bytes(),
    )


def _payload(case: Path) -> Payload:
    told = json.loads((case / "case.json").read_text("utf-8"))
    files = [
        file
        for file in sorted(case.iterdir())
        if file.name not in {"case.json", "expected.json"} and file.suffix in {".json", ".html"}
    ]
    status = told.get("status", {})
    return Payload(
        source=case.parent.name,
        key=told["key"],
        apn=told["apn"],
        pages=tuple(_page(file, status.get(file.stem, 200)) for file in files),
        missing=told.get("missing", {}),
    )


def _plain(value: object) -> object:
    if isinstance(value, (Decimal, date)):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    return list(value) if isinstance(value, tuple) else value


def _shown(parsed: Parsed) -> dict[str, object]:
    return {
        "is_found": parsed.is_found,
        "missing": list(parsed.missing),
        "follow_ups": [dataclasses.asdict(one) for one in parsed.follow_ups],
        "records": [
            {"table": record.table}
            | {
                field.name: _plain(getattr(record, field.name))
                for field in dataclasses.fields(record)
                if field.name not in record.noted
            }
            for record in parsed.records
        ],
    }


def _first_case(name: str) -> Path:
    """Return a case whose payload holds records."""
    for case in sorted((FOLDER / name).iterdir()):
        if SOURCES[name].parse(_payload(case)).records:
            return case
    raise AssertionError(name)


def _spoilt(name: str, body: bytes, content_type: str | None = None) -> list[Payload]:
    """Return payloads in each of which one page of a good case has this body."""
    good = _payload(_first_case(name))
    return [
        dataclasses.replace(
            good,
            pages=tuple(
                dataclasses.replace(page, body=body, content_type=content_type or page.content_type)
                if page is bad
                else page
                for page in good.pages
            ),
        )
        for bad in good.pages
    ]


@pytest.fixture(params=sorted(SOURCES))
def source(request: pytest.FixtureRequest) -> Source:
    return SOURCES[request.param]


def test_every_source_has_saved_answers(source: Source) -> None:
    tables = {
        record.table
        for case in FOLDER.glob(f"{source.name}/*/case.json")
        for record in source.parse(_payload(case.parent)).records
    }

    assert tables == set(source.provides)


def test_every_saved_answer_has_a_source() -> None:
    assert {case.parent.parent.name for case in FOLDER.glob("*/*/case.json")} <= set(SOURCES)


def test_a_source_says_all_that_is_asked_of_it(source: Source) -> None:
    assert isinstance(source, Source)
    assert set(source.provides) <= set(STORED_TYPES)
    assert source.base_url.startswith("https://")
    assert source.requests_per_second > 0
    assert source.max_in_flight >= 1
    assert source.requests_per_item >= 1
    assert source.parser_version >= 1


@pytest.mark.parametrize("case", _cases())
def test_saved_answers_mean_exactly_these_records(case: Path) -> None:
    shown = _shown(SOURCES[case.parent.name].parse(_payload(case)))
    file = case / "expected.json"
    if not file.exists():
        file.write_text(json.dumps(shown, indent=1) + "\n", "utf-8")
        pytest.fail(f"wrote {file}: read it, then run again")

    assert shown == json.loads(file.read_text("utf-8"))


@pytest.mark.parametrize("case", _cases())
def test_parsing_is_pure(case: Path) -> None:
    source, payload = SOURCES[case.parent.name], _payload(case)

    first, second = source.parse(payload), source.parse(payload)

    assert first == second
    assert payload == _payload(case)


@pytest.mark.parametrize("case", _cases())
def test_no_record_has_a_blank_in_place_of_an_absent_value(case: Path) -> None:
    for record in SOURCES[case.parent.name].parse(_payload(case)).records:
        values = [getattr(record, field.name) for field in dataclasses.fields(record)]

        assert not [v for v in values if isinstance(v, str) and v.strip().lower() in {"", "na"}]
        assert not [v for v in values if isinstance(v, str) and v != v.strip()]


@pytest.mark.parametrize("case", _cases())
def test_no_two_records_have_one_identity(case: Path) -> None:
    records = SOURCES[case.parent.name].parse(_payload(case)).records

    identities = [
        (record.table, *(getattr(record, name) for name in record.identity)) for record in records
    ]

    assert len(set(identities)) == len(identities)


def test_no_such_key_is_a_result(source: Source) -> None:
    found = [
        source.parse(_payload(case.parent)) for case in FOLDER.glob(f"{source.name}/*/case.json")
    ]

    assert Parsed(is_found=False) in found


_OTHER_PAGE = b"<!DOCTYPE html><html><head><title>News</title></head><body>News</body></html>"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(_OTHER_PAGE, "text/html; charset=utf-8", id="another page"),
        pytest.param(b"", None, id="an empty body"),
        pytest.param(b"\xff\xfe\xfa<html></html>", None, id="undecodable bytes"),
        pytest.param(b"{}", "application/json; charset=nonsense", id="an unknown charset"),
    ],
)
def test_an_answer_of_another_kind_is_invalid(
    source: Source, body: bytes, content_type: str | None
) -> None:
    for payload in _spoilt(source.name, body, content_type):
        with pytest.raises(InvalidAnswerError):
            source.parse(payload)


def test_a_cut_answer_is_invalid(source: Source) -> None:
    good = _payload(_first_case(source.name))
    for bad in good.pages:
        cut = dataclasses.replace(bad, body=bad.body[: len(bad.body) * 2 // 3])
        pages = tuple(cut if page is bad else page for page in good.pages)

        with pytest.raises(InvalidAnswerError):
            source.parse(dataclasses.replace(good, pages=pages))


def _unknown_layouts(payload: Payload) -> list[bytes]:
    if not payload.pages[0].content_type.startswith("text/html"):
        return [b'[["strange"]]', b'["strange"]', b'{"surprise": 1}', b"7"]
    number = f"{payload.key[:3]}-{payload.key[3:5]}-{payload.key[5:]}"
    header = f'<h3 class="parcel-num">{number}</h3><p>{payload.key}</p>'
    return [
        f"<html><body>{header}<p>All new.</p></body></html>".encode(),
        f"<html><body>{header}<table><tr><td>2025</td></tr></table></body></html>".encode(),
    ]


def test_an_unknown_layout_is_never_nothing(source: Source) -> None:
    good = _payload(_first_case(source.name))

    for body in _unknown_layouts(good):
        for payload in _spoilt(source.name, body):
            with pytest.raises(LayoutChangedError):
                source.parse(payload)


def test_a_payload_without_pages_is_invalid(source: Source) -> None:
    with pytest.raises(SourceError):
        source.parse(Payload(source=source.name, key="30477566"))
