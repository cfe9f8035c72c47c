"""Asking a map layer, answer by answer: what it is asked, and what becomes of odd answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from propkit.errors import (
    InvalidAnswerError,
    LayoutChangedError,
    RequestError,
    SourceRejectedError,
    SourceUnavailableError,
)
from propkit.layers.layer import make_layer
from propkit.pages import check_page
from propkit.sources.arcgis_parcels import ArcgisParcels
from tests.sources.conftest import ScriptedAsk, make_page

LAYER = make_layer("mine", "mine_az", "https://x.example/P/MapServer/3", {"apn": "PIN"})


class Answers(ScriptedAsk):
    """Answers by what is asked: the description, counts, ids, or rows."""

    def __init__(self, *, facts: dict[str, Any], count: Any, rows: Any, ids: Any = ()) -> None:
        super().__init__({})
        self._facts, self._rows, self._ids = facts, list(rows), list(ids)
        self.counts = [count] if isinstance(count, int) else list(count)

    def _answer(self, address: str) -> object:
        if address == "3?f=json":
            return self._facts
        if "returnCountOnly" in address:
            return {"count": self.counts[0] if len(self.counts) == 1 else self.counts.pop(0)}
        if "returnIdsOnly" in address:
            return {"objectIdFieldName": "OID", "objectIds": self._ids}
        return self._rows.pop(0)


def facts(**more: Any) -> dict[str, Any]:
    fields = [
        {"name": "OID", "type": "esriFieldTypeOID"},
        {"name": "PIN", "type": "esriFieldTypeString"},
    ]
    return {
        "name": "P", "fields": fields, "maxRecordCount": 10, "objectIdField": "OID",
        "advancedQueryCapabilities": {"supportsPagination": True}, **more,
    }  # fmt: skip


def rows(*numbers: int, **more: Any) -> dict[str, Any]:
    return {"features": [{"attributes": {"OID": n, "PIN": f"p{n}"}} for n in numbers], **more}


def collect(answers: Answers) -> list[str]:
    """Measure everything and collect it part by part; return the APNs."""
    source = ArcgisParcels(LAYER)
    measured = asyncio.run(source.measure(None, None, answers))
    found: list[str] = []
    for part in measured.parts:
        payload = asyncio.run(source.fetch_part(measured.area, part.key, answers))
        found += [str(record.apn) for record in source.parse(payload).records]  # type: ignore[attr-defined]
    return found


def test_what_fits_into_one_answer_is_asked_for_plainly() -> None:
    answers = Answers(facts=facts(), count=3, rows=[rows(1, 2, 3)])

    assert collect(answers) == ["p1", "p2", "p3"]
    assert "resultOffset" not in answers.asked[-1]
    assert "orderByFields" not in answers.asked[-1]


def test_a_layer_without_numbers_that_sends_too_little_is_an_error() -> None:
    bare = facts(objectIdField=None, fields=[{"name": "PIN", "type": "esriFieldTypeString"}])

    with pytest.raises(InvalidAnswerError, match="came with 2 rows"):
        collect(Answers(facts=bare, count=3, rows=[rows(1, 2)]))
    assert collect(Answers(facts=bare, count=2, rows=[rows(1, 2)])) == ["p1", "p2"]
    with pytest.raises(RequestError, match="no field that numbers them"):
        collect(Answers(facts=bare, count=11, rows=[]))


def test_rows_that_were_deleted_meanwhile_are_no_loss() -> None:
    answers = Answers(facts=facts(), count=3, rows=[rows(1, 2), rows(1, 2), rows()])
    source = ArcgisParcels(LAYER)
    measured = asyncio.run(source.measure(None, None, answers))
    answers.counts = [2]

    payload = asyncio.run(source.fetch_part(measured.area, measured.parts[0].key, answers))

    assert len(source.parse(payload).records) == 2


def test_a_range_that_comes_short_is_asked_for_by_halves() -> None:
    unpaged = facts(advancedQueryCapabilities={"supportsPagination": False})
    halves = [rows(4), rows(4), rows(9)]
    answers = Answers(facts=unpaged, count=[2, 2, 1, 1], ids=[4, 9], rows=halves)
    source = ArcgisParcels(LAYER)
    measured = asyncio.run(source.measure(None, None, answers))
    assert [part.key.partition(": ")[2] for part in measured.parts] == ["ids 4-9, 2"]

    payload = asyncio.run(source.fetch_part(measured.area, measured.parts[0].key, answers))

    assert [record.apn for record in source.parse(payload).records] == ["p4", "p9"]  # type: ignore[attr-defined]
    assert any("OID >= 4 AND OID <= 6" in address for address in answers.asked)
    assert any("OID >= 7 AND OID <= 9" in address for address in answers.asked)


def test_the_layers_own_condition_is_always_asked_with() -> None:
    layer = make_layer("m", "m_ny", LAYER.url, {"apn": "PIN"}, where="COUNTY = 'X'")
    answers = Answers(facts=facts(), count=1, rows=[rows(1), rows(1)])
    source = ArcgisParcels(layer)

    asyncio.run(source.measure("A = 1", None, answers))
    asyncio.run(source.fetch("p1|O'NEIL", None, answers))

    assert "where=(COUNTY = 'X') AND (A = 1)" in answers.asked[1]
    assert "where=(COUNTY = 'X') AND PIN IN ('p1','O''NEIL')" in answers.asked[-1]


def test_apns_with_more_rows_than_an_answer_holds_are_an_error() -> None:
    answers = Answers(facts=facts(), count=1, rows=[rows(1, exceededTransferLimit=True)])

    with pytest.raises(InvalidAnswerError, match="keeps back"):
        asyncio.run(ArcgisParcels(LAYER).fetch("p1", None, answers))


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            {"code": 400, "message": "Bad", "details": ["a", "a", "b"]},
            InvalidAnswerError,
            "Bad; a; b",
        ),
        ({"code": 500, "message": "Busy"}, SourceUnavailableError, "error 500: Busy"),
        ({"code": 429, "message": "Slow"}, SourceUnavailableError, "error 429: Slow"),
        ({"code": 403, "message": "No"}, SourceRejectedError, "error 403: No"),
        (
            {"code": 499, "message": "Token Required"},
            SourceRejectedError,
            "error 499: Token Required",
        ),
        ("strange", InvalidAnswerError, "strange"),
    ],
)
def test_an_error_with_status_200_is_an_error(error: object, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        check_page(make_page({"error": error}), "arcgis")


@pytest.mark.parametrize("said", [{}, [], 7, {"fields": []}, {"layers": [{"id": 0, "name": "A"}]}])
def test_what_describes_no_layer_is_told(said: Any) -> None:
    with pytest.raises(LayoutChangedError, match="no layer with fields"):
        asyncio.run(ArcgisParcels(LAYER).describe(Answers(facts=said, count=0, rows=[])))
