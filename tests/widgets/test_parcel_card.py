"""The card of one parcel: what is known, from where, and links that lead to the county only."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from propkit.kinds import DATASETS
from propkit.records import Parcel, TaxBill, column_names
from propkit.sources.maricopa_recorder_portal import MaricopaRecorderPortal
from propkit.store.parcel_facts import read_history
from propkit.widgets.parcel_card import card_block, county_pages
from propkit.widgets.spelling import (
    properties,
    show,
    show_age,
    show_apn,
    show_seconds,
    show_tables,
    spell,
)
from tests.store.made import result, write

if TYPE_CHECKING:
    import propkit as pk
    from propkit.demo_county.county import County
    from propkit.widgets.faces import Block

EVIL = "<img src=x onerror=alert(1)>"


def _kept(**given: Any) -> dict[str, list[dict[str, Any]]]:
    return {**{name: [] for name in DATASETS}, "changes": [], "fetches": [], "items": [], **given}


def _all(block: Block) -> list[Block]:
    return [block, *(each for inner in block.get("blocks", []) for each in _all(inner))]


def test_a_card_tells_all_that_is_kept_of_a_parcel(kit: pk.Kit, county: County) -> None:
    (apn,) = county.apns(1)
    kit.collect([apn], progress=False)
    bases = {name: config.base_url for name, config in kit.sources.items()}

    card = card_block(apn, read_history(kit.store, apn), kit.sources, "")

    blocks = _all(card)
    tables = {one["label"]: one["rows"] for one in blocks if one["kind"] == "table"}
    whole = {row[0]: row[1] for row in tables["Tables of this parcel"]}
    counts = {
        name: int(kit.sql(f"SELECT count(*) FROM {name} WHERE apn = $1", [apn]).iloc[0, 0])
        for name in DATASETS
    }
    assert whole == {
        name.replace("_", " ").capitalize(): f"✓ {count}" if count else "○ none"
        for name, count in counts.items()
    }
    links = [row[4] for row in tables["Answers"]]
    assert {link["kind"] for link in links} == {"link"}
    assert all(any(link["url"].startswith(base) for base in bases.values()) for link in links)
    assert {row[2] for row in tables["Batches"]} <= {"done", "not_found"}
    assert [(one["text"], one["url"]) for one in blocks if one["kind"] == "link"] == [
        ("Maricopa assessor", f"{bases['maricopa_assessor']}/mcs/?q={apn}"),
        ("Maricopa treasurer", f"{bases['maricopa_treasurer']}/Parcel/?Parcel={apn}"),
    ]
    facts = {
        name: value for one in blocks if one["kind"] == "facts" for name, value in one["facts"]
    }
    area = kit.frame("parcels")["lot_size_sqft"][0]
    assert (facts["APN"], facts["Lot size sqft"]) == (show_apn(apn), f"{area:,}")
    assert facts["Is rental"] in ("yes", "no")
    owner = kit.frame("parcels")["owner_name"][0]
    assert blocks[1]["text"] == owner


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "https://evil.example/parcel/1",
        "https://county.example.evil/parcel/1",
        "https://county.example@evil.example/",
    ],
)
def test_an_address_elsewhere_is_no_link(kit: pk.Kit, url: str) -> None:
    fetch = {
        "source": "maricopa_assessor", "page": "parcel", "url": url, "status": 200, "sha256": "ab" * 32,
        "fetched_at": datetime(2026, 11, 22, tzinfo=UTC), "parser_version": 1, "batch_id": "b",
    }  # fmt: skip
    config = replace(kit.sources["maricopa_assessor"], base_url="https://county.example")
    sources = {"maricopa_assessor": config}

    (answers,) = [
        one
        for one in _all(card_block("12345678", _kept(fetches=[fetch]), sources, ""))
        if one.get("label") == "Answers"
    ]

    assert answers["rows"][0][4] == url


def test_a_page_is_offered_only_where_the_office_has_one_for_the_parcel(kit: pk.Kit) -> None:
    """Another county's parcel, an unknown deed and an address that is none have no link."""
    config = kit.sources["maricopa_assessor"]
    portal = replace(config, source=MaricopaRecorderPortal(), base_url="https://recorder.example/")
    deeds = {"maricopa_recorder_portal": portal}
    evil = {"maricopa_assessor": replace(config, base_url="javascript:alert(1)//")}

    known = county_pages(kit.sources, "123/45", {"county": "maricopa", "deed_number": None})

    assert list(known) == ["maricopa_assessor", "maricopa_treasurer"]
    assert known["maricopa_assessor"] == f"{config.base_url}/mcs/?q=123%2F45"
    assert county_pages(kit.sources, "12345678", {"county": "pinal", "deed_number": "1"}) == {}
    assert county_pages(evil, "12345678", {}) == {}
    assert county_pages(deeds, "12345678", {"county": "maricopa"}) == {}
    assert county_pages(deeds, "12345678", {"deed_number": "20260000001"}) == {
        "maricopa_recorder_portal": "https://recorder.example/recording/document-details.html"
        "?recordingNumber=20260000001&suffix="
    }


def test_what_an_owner_is_called_is_text() -> None:
    parcel = {"apn": "12345678", "owner_name": EVIL, "source": "s",
              "collected_at": datetime(2026, 11, 22, tzinfo=UTC)}  # fmt: skip

    blocks = _all(card_block("12345678", _kept(parcels=[parcel]), {}, ""))

    assert blocks[1]["kind"] == "text"
    assert blocks[1]["text"] == EVIL


def test_what_is_missing_is_told_from_what_there_is_not() -> None:
    item = {
        "batch_id": "b", "source": "county", "state": "done", "missing": ["sales"],
        "failure_class": None, "error": None, "replaced_by": None,
        "ended_at": None,
    }  # fmt: skip

    blocks = _all(card_block("12345678", _kept(items=[item]), {}, ""))

    whole = next(one for one in blocks if one.get("label") == "Tables of this parcel")
    assert {row[0]: row[1] for row in whole["rows"]}["Sales"] == "✗ missing"
    assert {row[0]: row[1] for row in whole["rows"]}["Parcels"] == "○ none"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02 03:04:05 UTC"),
        (date(2026, 1, 2), "2026-01-02"),
        (Decimal("1234.50"), "1,234.50"),
        (["a", "b"], "a, b"),
        (True, "yes"),
        (False, "no"),
        (7, "7"),
    ],
)
def test_values_are_shown_as_a_person_reads_them(value: object, text: str) -> None:
    assert show(value) == text


def test_words_for_numbers() -> None:
    assert [show_seconds(one) for one in (0.4, 59, 61, 3700)] == ["0 s", "59 s", "1 min 1 s",
                                                                  "1 h 1 min"]  # fmt: skip
    assert [show_age(one) for one in (-1, 5, 60, 7200, 200000)] == ["0 s", "5 s", "1 min", "2 h",
                                                                    "2 d"]  # fmt: skip
    assert [show_apn("12345678"), show_apn("20200000123")] == ["123-45-678", "20200000123"]
    assert [properties(1), properties(1200)] == ["1 property", "1,200 properties"]
    assert [spell("not_found"), spell("apn")] == ["Not found", "APN"]
    assert show_tables(DATASETS) == "all 8"
    assert show_tables([name for name in DATASETS if name != "tax_bills"]) == "all but tax bills"
    assert show_tables(["parcels"]) == "parcels"
    assert show_tables([]) == ""


def test_a_card_tells_what_has_changed(kit: pk.Kit, county: County) -> None:
    """Values that changed since the first batch stand there, the newest first, none before."""
    (apn,) = county.apns(1)
    kit.collect([apn], progress=False)
    first = read_history(kit.store, apn)["changes"]
    sold = Parcel(apn=apn, county="maricopa", owner_name=EVIL)
    bills = kit.store.rows("SELECT max(tax_year) AS year FROM tax_bills WHERE apn = $1", [apn])
    answer = result(apn, [sold], at=datetime.now(UTC))
    unsaid = frozenset(column_names(Parcel)) - {"owner_name"}
    owner = kit.frame("parcels")["owner_name"][0]
    write(kit.store, replace(answer, unsaid={"parcels": unsaid}))
    write(
        kit.store,
        result(
            apn,
            [TaxBill(apn=apn, tax_year=bills[0]["year"] + 1, status="Due")],
            source="maricopa_treasurer",
            at=datetime.now(UTC),
        ),
    )

    card = card_block(apn, read_history(kit.store, apn), {}, "")

    (history,) = [one for one in _all(card) if one.get("label") == "History"]
    year = str(bills[0]["year"] + 1)
    assert first == []
    assert [row[1:] for row in history["rows"]] == [
        ["Tax bills", year, "Status", "—", "Due", "maricopa_treasurer"],
        ["Parcels", "", "Owner name", owner, EVIL, "maricopa_assessor"],
    ]
