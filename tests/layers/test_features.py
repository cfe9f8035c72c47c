"""Answers by whole columns: the same records as value by value, whatever a county writes."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from propkit.errors import LayoutChangedError
from propkit.features import read_features
from propkit.layers import Layer, arcgis
from propkit.layers.geometry import read_esri
from propkit.layers.layer import make_layer
from propkit.pages import Page
from propkit.records import Parcel, ParcelShape
from propkit.sources import Parsed, Payload
from propkit.sources._layer_source import parse_rows
from propkit.sources.arcgis_parcels import ArcgisParcels

KEY = "area 0123456789ab: rows 0+1000"
KINDS = {
    "OBJECTID": "OID", "P.PIN": "String", "OWNER": "String", "NUM": "Integer", "STREET": "String",
    "UNIT": "String", "STR": "String", "SIZE": "Integer", "ACRES": "Double", "RENTAL": "String",
    "LAT": "Double", "DEEDED": "Date", "DEED": "BigInteger", "USE": "Double", "ZONE": "Whatever",
}  # fmt: skip
FIELDS = {
    "apn": "PIN", "owner_name": "OWNER", "situs_address": ["NUM", "STREET", "UNIT"],
    "section_township_range": {"field": "STR", "pattern": r"\s+"}, "lot_size_sqft": "SIZE",
    "is_rental": "RENTAL", "latitude": "LAT", "deed_date": "DEEDED", "deed_number": "DEED",
    "use_code": "USE", "jurisdiction": "ZONE",
}  # fmt: skip
PLAIN = make_layer("plain", "plain_az", "https://x.example/P/MapServer/3", FIELDS)
ACRES = make_layer(
    "acres", "maricopa", PLAIN.url,
    {
        **FIELDS,
        "lot_size_sqft": {"field": "ACRES", "factor": 43560},
        "latitude": {"field": "LAT", "factor": 0.5},
        "situs_address": {"fields": ["STREET", "UNIT"], "separator": "", "pattern": "A", "replace": "/A"},
        "deed_date": "STREET",
    },
)  # fmt: skip
SQUARE = [[0, 0], [0, 2], [2.5, 2], [2, 0], [0, 0]]
HOLE = [[1, 1], [1.5, 1], [1.5, 1.5], [1, 1]]
FAR = [[-112.1, 33.4], [-112.1, 33.5], [-112, 33.5], [-112.1, 33.4]]


def page_of(rows: list[dict[str, Any]], **more: Any) -> Page:
    fields = [{"name": name, "type": f"esriFieldType{kind}"} for name, kind in KINDS.items()]
    said = {"fields": fields, "features": rows, "exceededTransferLimit": True, **more}
    return Page(
        name="rows 1",
        url="https://x.example",
        fetched_at=datetime(2026, 1, 1, tzinfo=UTC),
        status=200,
        content_type="application/json",
        body=json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode(),
    )


def read(layer: Layer, pages: list[Page], *, by_value: bool) -> Parsed | str:
    payload = Payload(source=layer.name, key=KEY, pages=tuple(pages))
    try:
        if by_value:
            answers = [arcgis.read_answer(page) for page in pages]
            return parse_rows(layer, payload, answers, read_esri)
        return ArcgisParcels(layer).parse(payload)
    except LayoutChangedError as error:
        return str(error)


def everything(parsed: Parsed | str) -> object:
    if isinstance(parsed, str):
        return parsed
    return (
        [repr(record) for record in parsed.records], parsed.unsaid, parsed.answered, parsed.notes,
        parsed.is_found,
    )  # fmt: skip


def test_odd_values_are_read_by_whole_columns() -> None:
    rows: list[dict[str, Any]] = [
        {"attributes": {"OBJECTID": 7, "P.PIN": " 1-2 ", "OWNER": "  O'NEIL  J ", "NUM": 12,
            "STREET": "MAIN  ST ", "UNIT": "NULL", "STR": "1 2N 3E", "SIZE": 7015, "RENTAL": "Y",
            "LAT": 33.5, "DEEDED": 1361923200000, "DEED": 20130183449, "USE": 131.0, "ZONE": "x"},
         "geometry": {"rings": [FAR]}},
        {"attributes": {"OBJECTID": 8, "P.PIN": "2", "OWNER": "<Null>", "STREET": "", "STR": "",
            "RENTAL": "0", "DEEDED": 0, "SIZE": 10**15, "UNIT": "#\t3"},
         "geometry": {"rings": [SQUARE, HOLE]}},
        {"attributes": {"OBJECTID": 9, "P.PIN": "n/a", "OWNER": "NOBODY"}, "geometry": None},
        {"attributes": {"OBJECTID": 10, "P.PIN": "3", "OWNER": "PEÑA", "DEEDED": -1}},
    ]  # fmt: skip
    page = page_of(rows)
    features = page.features()

    parsed = ArcgisParcels(PLAIN).parse(Payload(source="plain", key=KEY, pages=(page,)))

    assert features is not None
    assert (len(features), arcgis.count_rows(page)) == (4, (4, True))
    first, hole = (read_esri({"rings": rings}) for rings in ([FAR], [SQUARE, HOLE]))
    assert first[1] is not None
    assert hole[1] is not None
    assert tuple(parsed.records) == (
        Parcel(
            apn="1-2", county="plain_az", situs_address="12 MAIN ST", owner_name="O'NEIL J",
            section_township_range="12N3E", lot_size_sqft=7015, jurisdiction="x", is_rental=True,
            latitude=33.5, longitude=first[1][0], deed_number="20130183449",
            deed_date=date(2013, 2, 27), use_code="131",
        ),
        Parcel(
            apn="2", county="plain_az", situs_address="# 3", is_rental=False,
            longitude=hole[1][0], latitude=hole[1][1],
        ),
        Parcel(apn="3", county="plain_az", owner_name="PEÑA", deed_date=date(1969, 12, 31)),
        ParcelShape(county="plain_az", apn="1-2", object_id="7", shape=first[0] or b""),
        ParcelShape(county="plain_az", apn="2", object_id="8", shape=hole[0] or b""),
    )  # fmt: skip
    assert parsed.notes == ("1 rows have no APN",)
    assert parsed.answered == {"1-2": True, "2": True, "3": True}


TEXTS = st.one_of(
    st.none(),
    st.sampled_from(
        ["", " ", "NULL", "<null>", "n/A", "NaN", "None", "0", "A", " A  B ", "A\tB", "Ñ", "\u00a0",
         "İ", '"},{"attributes":', "\\ud8", "]", "  2,874", "02/27/2013", "20130227", "12345678",
         "123-45-678A", "y", "F", "A\x7fB", "\x00"]
    ),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=6),
)  # fmt: skip
WHOLE = st.one_of(
    st.none(),
    st.sampled_from(
        [0, -1, 20130227, 10**15, 2**53 + 1, 2**63 - 1, -(2**63), -(10**14), 1361923200000]
    ),
    st.integers(-(10**14), 10**14),
)
BROKEN = st.one_of(
    st.none(), st.sampled_from([0, -0.0, 0.5, 1e15, 1e300, 2.5e-9]), st.floats(-1e6, 1e6)
)
POINTS = st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([0, 0.25, -0.1, 1])), max_size=6)
SHAPES = st.one_of(
    st.none(),
    st.builds(lambda rings: {"rings": rings}, st.lists(POINTS, max_size=3)),
    st.sampled_from(
        [{"rings": [SQUARE]}, {"rings": [FAR]}, {"rings": [SQUARE, HOLE]}, {"rings": [FAR, SQUARE]},
         {"rings": [[[*point, 5] for point in SQUARE]]}, {"x": 1, "y": 2.5}, {"x": "NaN"}, {}]
    ),
)  # fmt: skip
VALUES = {"String": TEXTS, "Whatever": TEXTS, "Double": BROKEN}


@st.composite
def features(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw some rows; now and then a value is of another kind than its field's."""
    rows = []
    odd = draw(st.sampled_from([None, None, None, *KINDS]))
    for number in range(draw(st.integers(1, 4))):
        attributes: dict[str, Any] = {"OBJECTID": number + 1}
        for name, kind in list(KINDS.items())[1:]:
            if name == "P.PIN":
                attributes[name] = draw(st.one_of(st.just(f"1234567{number}"), TEXTS))
            elif draw(st.integers(0, 4)):
                attributes[name] = draw(VALUES.get(kind, WHOLE))
        if odd is not None:
            attributes[odd] = draw(st.one_of(TEXTS, WHOLE, BROKEN, st.booleans(), st.just([1])))
        row = {"attributes": attributes}
        if draw(st.booleans()):
            row["geometry"] = draw(SHAPES)
        rows.append(row)
    return rows


EXTREME = {"OBJECTID": 1, "P.PIN": "12345678", "LAT": 1e15, "DEEDED": -(10**14), "ACRES": 1e15}
SHARP = [[0, 0], [3, 0.7], [1, 2]]
PLACED = [
    {
        "attributes": {"OBJECTID": n, "P.PIN": "12345678", "ACRES": 0.2468},
        "geometry": {"rings": rings},
    }
    for n, rings in enumerate([[SQUARE], [SHARP], [SHARP[:2]], [FAR]])
]


@settings(max_examples=50, deadline=None)
@example([[{"attributes": EXTREME, "geometry": {"rings": [FAR]}}]], PLAIN)
@example([PLACED], PLAIN)
@example([PLACED], ACRES)
@example([[{"attributes": EXTREME}], [{"attributes": {"OBJECTID": 2}}]], ACRES)
@given(st.lists(features(), min_size=1, max_size=2), st.sampled_from([PLAIN, ACRES]))
def test_whole_columns_say_what_single_values_say(
    answers: list[list[dict[str, Any]]], layer: Layer
) -> None:
    pages = [page_of(rows) for rows in answers]

    assert everything(read(layer, pages, by_value=False)) == everything(
        read(layer, pages, by_value=True)
    )


@pytest.mark.parametrize("by_value", [False, True])
def test_a_full_page_without_an_apn_is_a_changed_layout(by_value: bool) -> None:
    """A few rows may all be streets; of many none is left out without a word."""
    rows = [{"attributes": {"OBJECTID": number, "P.PIN": " "}} for number in range(100)]

    few = read(PLAIN, [page_of(rows[:99])], by_value=by_value)

    assert not isinstance(few, str)
    assert (tuple(few.records), few.notes) == ((), ("99 rows have no APN",))
    assert read(PLAIN, [page_of(rows)], by_value=by_value) == (
        "none of 100 rows has a value of PIN"
    )


A = b'"OWNER":"A"'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b'},{"attr', b'}{"attr', id="a comma is missing"),
        pytest.param(A, b'"OWNER":"\xff"', id="no UTF-8"),
        pytest.param(A, b'"OWNER":"\\ud83d"', id="half a pair"),
        pytest.param(A, b'"OWNER":7', id="another kind"),
        pytest.param(A, A + A.replace(b'"O', b',"O'), id="a field twice"),
        pytest.param(b'{"attributes":{', b'{ "attributes":{', id="blanks"),
        pytest.param(b'"features"', b'"more":{"features"', id="cut short"),
        pytest.param(b'"fields"', b'"fieldz"', id="no fields"),
        pytest.param(b'"USE":1', b'"USE":9007199254740993', id="no float"),
        pytest.param(b'{"fields"', b'\xef\xbb\xbf{"fields"', id="a mark in front"),
        pytest.param(b'"features":[{', b'"error":[{', id="no rows"),
        pytest.param(b'FieldName":"OBJECTID"', b'FieldName":"FID"', id="no numbers"),
    ],
)
def test_what_is_not_just_so_is_not_read_by_columns(old: bytes, new: bytes) -> None:
    attributes = {"OBJECTID": 1, "P.PIN": "1", "OWNER": "A", "USE": 1}
    body = page_of([{"attributes": attributes}] * 2, objectIdFieldName="OBJECTID").body

    assert read_features(body) is not None
    assert old in body
    assert (
        read_features(body.replace(old, new).replace(b"FieldTypeOID", b"FieldTypeInteger")) is None
    )
