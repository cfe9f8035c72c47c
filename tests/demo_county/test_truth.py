from __future__ import annotations

import re
from collections import Counter
from datetime import date
from decimal import Decimal

import pytest

from propkit.demo_county.truth import CountyTruth


def share(rows: list[dict], column: str, value: object) -> float:
    return sum(row[column] == value for row in rows) / len(rows)


@pytest.fixture(scope="module")
def tables(truth: CountyTruth) -> dict[str, list[dict]]:
    return truth.tables(range(2000))


def test_the_same_seed_gives_the_same_county_and_another_seed_another():
    first, again, other = CountyTruth(60, 3), CountyTruth(90, 3), CountyTruth(60, 4)

    assert first.tables(range(60)) == again.tables(range(60))
    assert first.apns() == again.apns(60)
    assert not set(first.apns()) & set(other.apns())


def test_the_order_in_which_parcels_are_asked_for_does_not_matter():
    forward, backward = CountyTruth(50, 5), CountyTruth(50, 5)

    one = [forward.parcel(index) for index in range(50)]
    two = [backward.parcel(index) for index in reversed(range(50))]

    assert one == two[::-1]


def test_every_apn_is_unique_and_leads_back_to_its_parcel():
    truth = CountyTruth(60_000, 7)

    apns = truth.apns()

    assert len(set(apns)) == 60_000
    assert [truth.index_of(apn) for apn in apns[::97]] == list(range(0, 60_000, 97))
    assert all(re.fullmatch(r"\d{8}[A-Z]?", apn) for apn in apns)


def test_an_apn_is_found_in_any_writing_but_not_without_its_letter(truth: CountyTruth):
    apn = next(apn for apn in truth.apns() if len(apn) == 9)
    dashed = f"{apn[:3]}-{apn[3:5]}-{apn[5:]}"

    found = truth.index_of(apn)

    assert found is not None
    assert truth.index_of(dashed) == found
    assert truth.index_of(dashed.replace("-", ".").lower()) == found
    assert truth.index_of(apn[:-1]) is None


def test_every_recording_number_is_unique_and_leads_back_to_its_document():
    truth = CountyTruth(60_000, 7)
    documents = [d for d in map(truth.document, range(0, 60_000, 3)) if d]

    numbers = [document.recording_number for document in documents]

    assert len(set(numbers)) == len(numbers)
    assert [truth.deed_document(n) for n in numbers[::50]] == documents[::50]
    assert all(re.fullmatch(r"\d{11}", number) for number in numbers)


def test_shares_are_near_the_real_ones(truth: CountyTruth, tables: dict[str, list[dict]]):
    parcels, houses = tables["parcels"], tables["residences"]
    houses = [row for row in houses if row["livable_area_sqft"]]
    known = {row["apn"] for row in parcels}
    billed = {row["apn"] for row in tables["tax_bills"]}
    sold = [row for row in tables["sales"] if row["sale_price"]]
    documented = {row["apn"] for row in tables["documents"]}
    deeds = {row["apn"] for row in parcels if row["deed_number"]}

    assert share(parcels, "jurisdiction", "NO CITY/TOWN") == pytest.approx(0.07, abs=0.02)
    assert share(parcels, "jurisdiction", "PHOENIX") == pytest.approx(0.29, abs=0.04)
    assert share(parcels, "latitude", None) == pytest.approx(0.003, abs=0.003)
    assert 1 - len(sold) / len(parcels) == pytest.approx(0.41, abs=0.03)
    assert 1 <= sum(row["sale_price"] is None for row in tables["sales"]) <= 12
    assert sum(len(apn) == 9 for apn in truth.apns()) / 2000 == pytest.approx(0.03, abs=0.012)
    assert 1 - len(known) / 2000 == pytest.approx(0.01, abs=0.007)
    assert 1 - len(billed) / 2000 == pytest.approx(0.01, abs=0.007)
    assert len(deeds - documented) / len(deeds) == pytest.approx(0.01, abs=0.007)
    assert known | billed == set(truth.apns())
    assert share(houses, "parking_type", "Garage") == pytest.approx(0.825, abs=0.03)
    assert share(houses, "parking_type", None) == pytest.approx(0.06, abs=0.02)
    assert share(houses, "patio_type", None) == pytest.approx(0.17, abs=0.03)
    assert len(houses) / len(parcels) == pytest.approx(0.89, abs=0.03)
    lots = sorted(row["lot_size_sqft"] for row in parcels)
    assert lots[len(lots) // 2] == pytest.approx(7320, rel=0.08)


def test_sales_are_dated_the_first_of_a_month_and_not_after_the_deed(tables):
    deeds = {row["apn"]: row["deed_date"] for row in tables["parcels"]}

    days = [date.fromisoformat(row["sold_on"]) for row in tables["sales"]]

    assert {day.day for day in days} == {1}
    assert all(
        row["sold_on"] <= deeds[row["apn"]] or deeds[row["apn"]][8:] < "10"
        for row in tables["sales"]
        if deeds[row["apn"]]
    )


def test_limited_values_follow_arizonas_rules(tables: dict[str, list[dict]]):
    values = {(row["apn"], row["tax_year"]): row for row in tables["valuations"]}
    grown = 0

    for (apn, year), row in values.items():
        full, limited = row["full_cash_value"], row["limited_property_value"]
        if full and limited:
            assert Decimal(limited) <= Decimal(full)
        before = values.get((apn, year - 1))
        if before and limited:
            most = Decimal(before["limited_property_value"]) * Decimal("1.05")
            assert Decimal(limited) <= most.quantize(Decimal(1)) + 1
            grown += Decimal(limited) > Decimal(before["limited_property_value"])

    assert grown > 5000
    assert {row["assessment_ratio"] for row in values.values()} >= {"0.1000", "0.1600", "0.1800"}
    years = Counter(row["apn"] for row in tables["valuations"])
    assert set(years.values()) == {5, 6}
    pending = [row for row in values.values() if row["is_pending_change"]]
    assert pending
    assert {row["full_cash_value"] for row in pending} == {None}


def test_bills_payments_and_liens_agree(tables: dict[str, list[dict]]):
    paid: dict[tuple, Decimal] = {}
    for row in tables["tax_payments"]:
        key = (row["apn"], row["tax_year"])
        paid[key] = paid.get(key, Decimal(0)) + Decimal(row["amount"])
    bills = {(row["apn"], row["tax_year"]): row for row in tables["tax_bills"]}

    for key, row in bills.items():
        assert (row["status"] == "Paid") == (row["amount_due"] == "0.00")
        assert (row["amount_paid"] is not None) == (key[1] == 2025)
        if row["status"] == "Paid" and key in paid:
            assert paid[key] == Decimal(row["assessed_tax"])
        if row["has_tax_lien"]:
            assert row["status"] == "Unpaid"

    assert {row["status"] for row in bills.values()} == {"Paid", "Unpaid", "Partially Paid"}
    assert any(row["has_tax_lien"] for row in bills.values())
    assert set(Counter(apn for apn, _ in bills).values()) == set(range(3, 9))


def test_two_equal_payments_on_one_day_stay_two(tables: dict[str, list[dict]]):
    seen = Counter(
        (r["apn"], r["tax_year"], r["paid_on"], r["amount"]) for r in tables["tax_payments"]
    )
    numbered = [(r["apn"], r["tax_year"], r["number"]) for r in tables["tax_payments"]]

    assert 2 in seen.values()
    assert len(set(numbered)) == len(numbered)


@pytest.mark.parametrize("parcels", [0, -1, 200_001])
def test_an_impossible_number_of_parcels_is_refused(parcels: int):
    with pytest.raises(ValueError, match="holds 1 to 200,000 parcels"):
        CountyTruth(parcels)
