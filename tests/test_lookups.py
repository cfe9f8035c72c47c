"""What is looked up at once: rows and columns are the county's own, filters hold, caps are passed."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from propkit.demo_county import assessor_shapes as shapes
from propkit.demo_county.archive import Archive
from propkit.demo_county.facts import BUSINESS_TYPES
from propkit.demo_county.truth import CountyTruth
from propkit.document_codes import DEED_LABELS, DOCUMENT_CODES, document_kind, find_code
from propkit.errors import InvalidAnswerError, LayoutChangedError, RequestError
from propkit.lookups import LOOKUPS
from propkit.sources._assessor_lookups import ASSESSOR_LOOKUPS, look_up_assessor, read_section
from propkit.sources._recorder_search import read_wanted, search_documents
from tests.collecting import quick_kit
from tests.store.made import page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from propkit.demo_county import County
    from propkit.pages import Page

COUNT = 2000


@pytest.fixture(scope="module")
def truth() -> CountyTruth:
    return CountyTruth(COUNT, seed=20261122)


@pytest.fixture
def kit(county: County, tmp_path: Path) -> Iterator[pk.Kit]:
    assert len(county.apns()) == COUNT
    with quick_kit(county, tmp_path / "look.duckdb") as kit:
        yield kit


class Answers:
    """Gives answers by path and page, and keeps what it was asked."""

    def __init__(self, *answers: bytes) -> None:
        self.left = list(answers)
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    async def get(
        self, path: str, *, name: str, params: Mapping[str, str] | None = None, **_: object
    ) -> Page:
        self.asked.append((path, dict(params or {})))
        return page(self.left.pop(0), name=name)


def rows(frame: Any) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = (
        frame.astype(object).where(frame.notna(), None).to_dict("records")
    )
    return records


# --- the recorder -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "begins", "more_than"),
    [
        pytest.param("OCOTILLO PAT", "OCOTILLO PAT", 501, id="beyond the cap of 501"),
        pytest.param("cholla,  sam", "CHOLLA SAM", 200, id="beyond one page of 200"),
        pytest.param("SAGUARO HOLDINGS LLC", "SAGUARO HOLDINGS LLC", 30, id="a business"),
    ],
)
def test_every_document_of_a_name_is_found(
    kit: pk.Kit, truth: CountyTruth, name: str, begins: str, more_than: int
) -> None:
    frame = kit.documents(name)

    archive = [hit for hits in Archive(truth).by_first_word().values() for hit in hits]
    hits = [hit for hit in archive if f"{hit.name} ".startswith(f"{begins} ")]
    # A document that names one party twice shows it once.
    wanted = {(hit.document.recording_number, hit.suffix, hit.name) for hit in hits}
    assert len(wanted) > more_than
    assert sorted((r["recording_number"], r["suffix"] or "", r["name"]) for r in rows(frame)) == (
        sorted(wanted)
    )
    assert frame.attrs == {"total": len(wanted), "is_complete": True}
    assert {c: str(t) for c, t in frame.dtypes.items()} == {
        **dict.fromkeys(LOOKUPS["documents"], "string"),
        "recorded_on": "date32[day][pyarrow]",
        "has_more_codes": "bool[pyarrow]",
    }
    assert "A" in set(frame["suffix"].dropna()) or more_than < 200


def test_days_and_codes_narrow_it(kit: pk.Kit, truth: CountyTruth) -> None:
    frame = kit.documents(
        "OCOTILLO PAT", since=date(1990, 1, 1), until="2009-12-31", code="fed tax l"
    )

    hits = Archive(truth).by_first_word()["OCOTILLO"]
    wanted = {
        hit.document.recording_number
        for hit in hits
        if f"{hit.name} ".startswith("OCOTILLO PAT ")
        and date(1990, 1, 1) <= hit.document.recorded_on <= date(2009, 12, 31)
        and "FED TAX L" in hit.document.codes
    }
    assert wanted
    assert set(frame["recording_number"]) == wanted
    assert set(frame["document_kind"][~frame["has_more_codes"]]) == {"lien"}


def test_a_limit_says_that_there_are_more(kit: pk.Kit) -> None:
    frame = kit.documents("OCOTILLO PAT", limit=10)

    assert len(frame) == 10
    assert frame.attrs["is_complete"] is False


def all_at_once(kit: pk.Kit, *wanted: tuple[Any, ...]) -> list[Any]:
    """Ask the kit's collector in one turn of its loop, as threads and guests may; return answers."""
    collector, thread = kit._place.collector()

    async def ask() -> list[Any]:
        calls = [getattr(collector, name)(*given) for name, *given in wanted]
        return await asyncio.gather(*calls, return_exceptions=True)

    return thread.submit(ask()).result(timeout=60)


def test_what_several_ask_for_at_the_same_time_is_asked_once(kit: pk.Kit, county: County) -> None:
    """Threads and guests share the answer; what differs, or is asked later, is asked anew."""
    search = ("search", "maricopa_assessor", "OCOTILLO", "owner", 5)
    named = {"name": "OCOTILLO PAT"}
    alone = all_at_once(kit, search, ("look_up", "documents", named, 10))
    requests = [entry["path"] for entry in county.ledger() if "robots" not in entry["path"]]
    county.clear_ledger()

    found = all_at_once(kit, *[search] * 3, *[("look_up", "documents", named, 10)] * 3)
    shared = [entry["path"] for entry in county.ledger()]
    county.clear_ledger()
    other = all_at_once(kit, search, (*search[:-1], 4), ("look_up", "documents", named, 9))

    assert [len(answer.rows) for answer in alone] == [5, 10]
    assert found == [alone[0]] * 3 + [alone[1]] * 3
    assert sorted(shared) == sorted(requests)
    assert [len(answer.rows) for answer in other] == [5, 4, 9]
    assert len(county.ledger()) > len(requests)


def test_what_several_ask_for_in_vain_fails_for_each(kit: pk.Kit, county: County) -> None:
    """It is asked once; who asks later is not told of the error before."""
    search = ("search", "maricopa_assessor", "OCOTILLO", "owner", 5)
    county.switch(faults=[{"system": "assessor", "kind": "status", "status": 404}])

    failed = all_at_once(kit, search, search)
    requests = len(county.ledger("assessor"))
    county.switch(faults=[])

    assert [type(error) for error in failed] == [InvalidAnswerError] * 2
    assert requests == 1
    assert len(kit.search("OCOTILLO", limit=5)) == 5


ROW = (
    b'{"names":"SILVA ROBERT","recordingNumber":20150453721,"recordingSuffix":"",'
    b'"recordingDate":"6-25-2015","documentCode":"WAR DEED","docketBook":"","pageMap":""}'
)
GIVEN = {"name": "SILVA ROBERT", "since": "2015-01-01", "until": "2015-12-31", "code": "WD"}


def answer(row: bytes = ROW, total: int = 1) -> bytes:
    return b'{"searchResults":[%s],"totalResults":%d}' % (row, total)


async def test_what_is_asked_is_what_the_api_takes() -> None:
    ask = Answers(answer())

    found = await search_documents(GIVEN, ask, 100)  # type: ignore[arg-type]

    assert ask.asked == [
        (
            "/documents/search",
            {
                "lastNames": "SILVA",
                "firstNames": "ROBERT",
                "documentCode": "WD",
                "beginDate": "2015-01-01",
                "endDate": "2015-12-31",
                "pageNumber": "1",
                "pageSize": "200",
            },
        )
    ]
    assert found.rows == (
        {
            "recording_number": "20150453721",
            "suffix": None,
            "recorded_on": "2015-06-25",
            "name": "SILVA ROBERT",
            "document_code": "WAR DEED",
            "has_more_codes": False,
            "document_kind": "deed",
            "docket_book": None,
            "docket_page": None,
        },
    )


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"SILVA ROBERT", b"SMITH JOHN", "the name 'SILVA'"),
        (b"SILVA ROBERT", b"SILVA ANA", "the first name 'ROBERT'"),
        (b"6-25-2015", b"3-05-1947", "the days 2015-01-01 to 2015-12-31"),
        (b"WAR DEED", b"PART REL", "the document code 'WAR DEED'"),
    ],
)
async def test_a_filter_that_was_ignored_is_refused(old: bytes, new: bytes, why: str) -> None:
    """The real search answers rows of 1947 when it knows no filter that it was given."""
    with pytest.raises(InvalidAnswerError, match=f"the recorder has ignored {why}"):
        await search_documents(GIVEN, Answers(answer(ROW.replace(old, new))), 9)  # type: ignore[arg-type]


async def test_fewer_rows_than_counted_are_an_error() -> None:
    ask = Answers(answer(total=2), answer(b"", 2))

    with pytest.raises(InvalidAnswerError, match="2 results, but only 1 rows"):
        await search_documents(GIVEN, ask, 9)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body", [b"[]", b'{"results": []}', b'{"searchResults":[{"a":1}],"totalResults":1}']
)
async def test_an_unknown_layout_of_the_search_is_an_error(body: bytes) -> None:
    with pytest.raises(LayoutChangedError):
        await search_documents(GIVEN, Answers(body), 9)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": " "}, "the name is empty"),
        ({"name": "X", "since": "6/1/2020"}, "since='6/1/2020' is no day"),
        ({"name": "X", "since": "2020-01-02", "until": "2020-01-01"}, "is after until"),
        ({"name": "X", "code": "PRDEED"}, "cannot be asked for documents 'PRDEED'"),
        ({"name": "X", "code": "EASEMENT"}, "cannot be asked for documents 'EASEMENT'"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_asking(given: dict[str, str], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        read_wanted(given)


def test_a_deed_of_trust_is_no_deed() -> None:
    assert "DEED TRST" not in DEED_LABELS
    assert [document_kind(code) for code in ("WAR DEED+", "DEED TRST", "TRST DEED", "NEW", None)] == [
        "deed", "deed_of_trust", "deed", None, None,
    ]  # fmt: skip
    assert find_code("wd") is DOCUMENT_CODES["WAR DEED"]


def test_deeds_have_the_price_that_was_declared(kit: pk.Kit, county: County) -> None:
    apns = county.apns(60)
    kit.collect(apns, kind="sales_and_documents", progress=False)
    truth = county.truth(apns)
    sales = {row["recording_number"]: row for row in truth["sales"] if row["recording_number"]}

    frame = kit.deeds()

    expected = [
        (
            document["apn"],
            document["recording_number"],
            document["recorded_on"],
            DOCUMENT_CODES[document["document_codes"][0]].meaning,
            sales.get(document["recording_number"], {}).get("sale_price"),
        )
        for document in truth["documents"]
    ]
    assert sorted(expected) == sorted(
        (
            r["apn"],
            r["recording_number"],
            r["recorded_on"].isoformat(),
            r["deed_kind"],
            None if r["sale_price"] is None else str(r["sale_price"]),
        )
        for r in rows(frame)
    )
    assert set(frame["deed_source"]) == {"maricopa_recorder"}
    priced = frame[frame["sale_price"].notna()]
    assert set(priced["price_source"]) == {"maricopa_assessor"}


# --- the assessor -----------------------------------------------------------------------------


@pytest.mark.parametrize("envelope", ["results", "real_property"])
@pytest.mark.parametrize(
    "search",
    [
        (
            "personal_property",
            lambda h: (f"{h.index:07d}", h.owner.name, h.situs_address),
            lambda h: h.property_type in BUSINESS_TYPES,
        ),
        (
            "mobile_homes",
            lambda h: (f"{h.index:07d}", h.owner.name, h.situs_address),
            lambda h: h.index % 11 == 5,
        ),
        ("rentals", lambda h: (h.apn, h.owner.name, h.situs_address), lambda h: h.is_rental),
    ],
)
def test_accounts_and_rentals_are_found_to_the_last_page(
    kit: pk.Kit, county: County, truth: CountyTruth, search: tuple[str, Any, Any], envelope: str
) -> None:
    what, shape, has = search
    county.switch(envelope=envelope)
    words = "E" if what == "personal_property" else "A" if what == "rentals" else "ST"

    frame = kit.look_up(what, words)

    heads = [h for h in truth.heads() if h.is_in_assessor and has(h)]
    fits = [
        h
        for h in heads
        if words
        in "\n".join(filter(None, (h.owner.name, h.situs_address, h.block.subdivision, h.apn)))
    ]
    key = "apn" if what == "rentals" else "account_number"
    name = "owner_name" if what == "rentals" else "name"
    assert len(fits) > 25
    assert [(r[key], r[name], r["situs_address"]) for r in rows(frame)] == list(map(shape, fits))
    assert list(frame.columns) == list(LOOKUPS[what])
    assert frame.attrs == {"total": len(fits), "is_complete": True}


def test_subdivisions_are_counted(kit: pk.Kit, truth: CountyTruth) -> None:
    frame = kit.look_up("subdivisions", "RANCH")

    counts: dict[str, int] = {}
    for head in truth.heads():
        if head.is_in_assessor and "RANCH" in (head.block.subdivision or ""):
            counts[str(head.block.subdivision)] = counts.get(str(head.block.subdivision), 0) + 1
    assert counts
    assert dict(zip(frame["subdivision"], frame["parcels"], strict=True)) == counts


@pytest.mark.parametrize("what", ["parcels_by_mcr", "parcels_by_section"])
def test_listings_go_to_the_page_that_is_empty(kit: pk.Kit, truth: CountyTruth, what: str) -> None:
    head = next(h for h in truth.heads() if h.block.mcr and h.is_in_assessor)
    column = "mcr" if what == "parcels_by_mcr" else "section_township_range"
    value = getattr(head.block, column)

    frame = kit.look_up(what, value)

    fits = [h.apn for h in truth.heads() if h.is_in_assessor and getattr(h.block, column) == value]
    assert frame["apn"].tolist() == fits
    assert set(frame[column]) == {value}
    assert frame.attrs == {"total": len(fits), "is_complete": True}
    assert len(kit.look_up(what, "99-09N-09E" if column != "mcr" else "0")) == 0


def test_the_further_sections_of_a_parcel(kit: pk.Kit, truth: CountyTruth, county: County) -> None:
    heads = [h for h in truth.heads() if h.is_in_assessor]
    shop = next(h for h in heads if shapes.improvements(truth.parcel(h.index)))
    house = next(
        h
        for h in heads
        if h.is_rental and h.block.mcr and shapes.sketches(truth.parcel(h.index))["Pages"]
    )
    improvements = rows(kit.look_up("improvements", shop.apn))
    rental = rows(kit.look_up("rental_registration", house.apn))
    maps = rows(kit.look_up("map_files", house.apn))
    sketches = rows(kit.look_up("sketches", house.apn))
    similar = rows(kit.look_up("similar_parcels", house.apn))

    raw = shapes.improvements(truth.parcel(shop.index))
    assert improvements == [
        {
            "apn": shop.apn,
            "improvement_number": one["ImprovementNumber"],
            "description": str(one["ImprovementDescription"]).strip(),
            "area_sqft": int(str(one["ImprovementSquareFootage"])),
            "effective_age_years": int(str(one["EffectiveAge"])),
            "quality_rank": "2",
            "model": one["Model"],
            "cci": one["CCI"],
        }
        for one in raw
    ]
    assert rental == [
        {
            "apn": house.apn,
            "owner_name": house.owner.name,
            "owner_phone": "602-555-0100",
            "business_phone": None,
            "agent_phone": "602-555-0101",
            "registered_on": date(2019, 1, 15),
            "updated_on": date(2024, 2, 1),
        }
    ]
    files = shapes.map_ids(house)
    assert [(m["kind"], m["file_name"], m["url"]) for m in maps] == [
        (kind.removesuffix(" Maps").lower(), f["FileName"], f["Url"])
        for kind, some in files.items()
        for f in some  # type: ignore[attr-defined]
    ]
    assert {m["updated_on"].strftime("%Y-%m") for m in maps} == {"2008-03"}
    assert [s["page"] for s in sketches] == [1]
    assert sketches[0]["png_base64"].startswith("iVBORw0KGgo")
    assert similar
    assert all(len(s["apn"]) >= 8 and s["construction_year"] for s in similar)
    assert county.ledger("treasurer") == []


def test_an_account_is_found_by_its_number(kit: pk.Kit, truth: CountyTruth) -> None:
    """Each account is the one that the search shows; of another kind there is none."""
    heads = [h for h in truth.heads() if h.is_in_assessor]
    shops = [h for h in heads if h.property_type in BUSINESS_TYPES]
    home = next(h for h in heads if h.index % 11 == 5 and h.index % 2)
    by_search = {r["account_number"]: r for r in rows(kit.look_up("personal_property", "E"))}
    for letter, odd in (("C", 0), ("L", 1)):
        number = next(f"{h.index:07d}" for h in shops if h.index % 2 == odd)
        for query in (f"{letter}-{number}", f"{letter.lower()} {number} 2025"):
            assert rows(kit.look_up("personal_property_account", query)) == [by_search[number]]
        assert len(kit.look_up("personal_property_account", f"M-{number}")) == 0
    vins = [f"CAV{home.index:07d}X", f"CAV{home.index:07d}U"]
    number = f"{home.index:07d}"

    (found,) = rows(kit.look_up("mobile_home_account", number))

    assert (found["account_number"], found["name"], found["vins"]) == (
        number,
        home.owner.name,
        vins,
    )
    for vin in vins:
        of_vin = rows(kit.look_up("mobile_home_of_vin", f"{vin[:3]} {vin[3:].lower()}"))
        assert of_vin == [{"vin": vin, "account_number": number}]


@pytest.mark.parametrize(
    ("what", "query"),
    [
        ("personal_property_account", "C-9999999"),
        ("mobile_home_account", "9999999"),
        ("mobile_home_of_vin", "CAV9999999X"),
        ("map_files_by_mcr", "999-99"),
        ("map_files_by_page", "999-99"),
    ],
)
def test_an_unknown_number_has_nothing(kit: pk.Kit, what: str, query: str) -> None:
    frame = kit.look_up(what, query)

    assert (len(frame), list(frame.columns)) == (0, list(LOOKUPS[what]))


def test_map_files_of_a_plat_and_of_a_page(kit: pk.Kit, truth: CountyTruth) -> None:
    head = next(h for h in truth.heads() if h.block.mcr and h.is_in_assessor)
    mcr, page = head.block.mcr, f"{head.block.book}-{head.block.map_page:02d}"
    expected = rows(kit.look_up("map_files", head.apn))

    assert rows(kit.look_up("map_files_by_mcr", str(mcr))) == expected
    assert rows(kit.look_up("map_files_by_page", page)) == expected


def test_an_unknown_parcel_has_nothing(kit: pk.Kit) -> None:
    for what in ("improvements", "map_files", "sketches", "similar_parcels", "rental_registration"):
        frame = kit.look_up(what, "99999999")
        assert (len(frame), list(frame.columns)) == (0, list(LOOKUPS[what]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("131N4E", "13-01N-04E"),
        ("81N2E", "08-01N-02E"),
        ("23 2S 6E", "23-02S-06E"),
        ("01-02N-03E", "01-02N-03E"),
        ("SEC 13 T1N R4E", "13-01N-04E"),
    ],
)
def test_sections_as_people_write_them(text: str, expected: str) -> None:
    assert read_section(text) == expected


@pytest.mark.parametrize(
    ("what", "query", "said"),
    [
        ("nothing", "x", "cannot look up 'nothing'; expected one of documents, personal_property"),
        ("rentals", "  ", "the query is empty"),
        ("parcels_by_section", "here", "'here' is no section"),
        ("improvements", "SMITH", "'SMITH' is no APN"),
        ("personal_property_account", "X-12", "'X-12' is no number for personal_property_account"),
        ("mobile_home_account", "12a", "'12A' is no number for mobile_home_account"),
        ("mobile_home_of_vin", "x!", "'X!' is no number for mobile_home_of_vin"),
        ("map_files_by_page", "30-477", "'30-477' is no page of a map book"),
    ],
)
def test_what_cannot_be_looked_up_is_refused(kit: pk.Kit, what: str, query: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        kit.look_up(what, query)


@pytest.mark.parametrize(
    ("what", "answers", "error"),
    [
        ("rentals", [b'{"surprise": 1}'], LayoutChangedError),
        ("rentals", [b"[]"], LayoutChangedError),
        ("rentals", [b'{"TOTAL": 1, "Results": [{"a": 1}]}'], LayoutChangedError),
        ("subdivisions", [b'{"TOTAL": 2, "Results": [{"SubdivisionName": "A"}]}'] * 2, InvalidAnswerError),
        ("sketches", [b'{"TotalPages": 2, "Pages": []}'], LayoutChangedError),
        ("improvements", [b'{"a": 1}'], LayoutChangedError),
        ("mobile_home_account", [b'{"a": 1}'], LayoutChangedError),
        ("mobile_home_account", [b'[["a"]]'], LayoutChangedError),
        ("mobile_home_of_vin", [b'"none such"'], LayoutChangedError),
        ("mobile_home_of_vin", [b'{"a": 1}'], LayoutChangedError),
        ("map_files", [b'{"Parcel Maps": [{"FileName": "a", "UpdateDate": "x"}]}'], LayoutChangedError),
        ("similar_parcels", [b'{"MCR": "1"}', b'[{"Parcel": "x"}]'], LayoutChangedError),
    ],
)  # fmt: skip
async def test_strange_answers_are_errors(
    what: str, answers: list[bytes], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await look_up_assessor(what, {"query": "30477566"}, Answers(*answers), 100)  # type: ignore[arg-type]


def test_every_lookup_has_a_source() -> None:
    assert {*ASSESSOR_LOOKUPS, "documents"} == set(LOOKUPS)
