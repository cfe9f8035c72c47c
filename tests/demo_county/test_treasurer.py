from __future__ import annotations

import re

import httpx
import pytest
from selectolax.lexbor import LexborHTMLParser

from propkit.demo_county import County
from propkit.demo_county.truth import CountyTruth

P = "#cphMainContent_cphRightColumn_"


def money(text: str) -> str:
    return text.strip().removeprefix("$").replace(",", "")


def read_bills(apn: str, page: str) -> list[dict]:
    tree = LexborHTMLParser(page)
    block = tree.css(f"{P}taxDue2 li") or tree.css(f"{P}taxDue1 td")
    table = f"{P}gvTaxYears tbody tr, {P}divBackTaxes table tbody tr"
    rows = [[cell.text().strip() for cell in row.css("td")] for row in tree.css(table)]
    return [
        {
            "apn": apn,
            "tax_year": int(cells[0]),
            "status": cells[1],
            "assessed_tax": money(cells[2]),
            "amount_paid": money(block[3].text()) if place == 0 else None,
            "amount_due": money(cells[3]),
            "has_tax_lien": "Tax Lien" in cells[4],
            "tax_lien_note": cells[4].replace("\xa0", "") or None,
        }
        for place, cells in enumerate(rows)
    ]


def read_payments(apn: str, page: str) -> list[dict]:
    rows = LexborHTMLParser(page).css(f"{P}Activities1_gvActs tbody tr.gridviewRow")
    found: list[dict] = []
    for cells in ([cell.text().strip() for cell in row.css("td")] for row in rows):
        year = int(cells[0])
        found.append(
            {
                "apn": apn,
                "tax_year": year,
                "number": 1 + sum(row["tax_year"] == year for row in found),
                "paid_on": f"{cells[4][6:]}-{cells[4][:2]}-{cells[4][3:5]}",
                "amount": money(cells[2]),
            }
        )
    return found


def test_what_the_pages_say_is_the_truth_field_for_field(client: httpx.Client, county: County):
    apns = county.apns(120, seed=2)
    bills, payments = [], []
    for apn in apns:
        client.get(f"/treasurer/Parcel/?Parcel={apn}")
        page = client.get("/treasurer/Parcel/Summary.aspx?List=All").text
        if "No records found" not in page:
            bills += read_bills(apn, page)
            payments += read_payments(apn, client.get("/treasurer/Parcel/Activities.aspx").text)

    truth = county.truth(apns)

    assert bills == truth["tax_bills"]
    assert payments == truth["tax_payments"]


def test_both_layouts_and_both_year_tables_occur_in_all_four_pairs(client, county: County):
    seen = set()
    for apn in county.apns(60):
        page = client.get(f"/treasurer/Parcel?Parcel={apn}").text
        ids = re.findall(r"_(taxDue1|taxDue2|divBackTaxes|gvTaxYears)\"", page)
        seen.add(tuple(ids))

    seen.discard(())
    assert seen == {
        ("taxDue1", "divBackTaxes"),
        ("taxDue1", "gvTaxYears"),
        ("taxDue2", "divBackTaxes"),
        ("taxDue2", "gvTaxYears"),
    }


@pytest.mark.parametrize(("layout", "name"), [("list", "taxDue2"), ("table", "taxDue1")])
def test_the_layout_can_be_switched_for_all_parcels(client, county: County, layout: str, name: str):
    county.switch(layout=layout, year_table="gvTaxYears")

    pages = [client.get(f"/treasurer/Parcel?Parcel={apn}").text for apn in county.apns(6)]

    assert [("_" + name in page) for page in pages] == ["No records" not in p for p in pages]
    assert [("2025 Assessed Tax:" in page) for page in pages] == [layout == "list"] * 6


def test_the_parcel_lives_in_the_session_so_a_shared_jar_reads_the_last_one(client, county: County):
    first, second = county.apns(60)[40:42]
    shared = "/treasurer/Parcel/Activities.aspx"

    client.get(f"/treasurer/Parcel/?Parcel={first}")
    client.get(f"/treasurer/PropertyTaxInformation/?Parcel={second}")
    with httpx.Client(
        base_url=county.url, follow_redirects=True, timeout=60, trust_env=False
    ) as other:
        other.get(f"/treasurer/Parcel/?Parcel={first}")
        theirs = other.get(shared).text
    ours = client.get(shared).text

    assert f"{second[:3]}-{second[3:5]}-{second[5:]}" in ours
    assert f"{first[:3]}-{first[3:5]}-{first[5:]}" in theirs


def test_the_entry_page_sets_the_cookie_and_sends_on_to_the_summary(county: County):
    apn = county.apns(1)[0]

    answer = httpx.get(f"{county.url}/treasurer/Parcel/?Parcel={apn}", timeout=60, trust_env=False)

    assert answer.status_code == 302
    assert answer.headers["location"] == "/treasurer/Parcel/Summary.aspx"
    assert answer.cookies["ASP.NET_SessionId"]


def test_without_a_parcel_in_the_session_there_is_only_the_search_form(client: httpx.Client):
    for page in ("Summary.aspx", "Activities.aspx", "Valuations.aspx", "DetailedTaxStatement.aspx"):
        tree = LexborHTMLParser(client.get(f"/treasurer/Parcel/{page}").text)
        boxes = [f"#txtParcelNum{name}" for name in ("Book", "Map", "Item", "Split")]
        assert all(tree.css_first(box) for box in [*boxes, "#btnGo"])
        assert tree.css_first(f"{P}headerSummary") is None


def test_the_form_can_be_posted_box_by_box_or_whole(client: httpx.Client, truth: CountyTruth):
    apn = next(h.apn for h in truth.heads() if h.is_in_treasurer and len(h.apn) == 9)
    split = {"Book": apn[:3], "Map": apn[3:5], "Item": apn[5:8], "Split": apn[8:]}
    forms = [{f"txtParcelNum{k}": v for k, v in split.items()}, {"txtParcelNumBook": apn}]

    headers = [
        LexborHTMLParser(client.post("/treasurer/Parcel/Summary.aspx", data=form).text)
        .css_first(f"{P}headerSummary")
        .text()
        for form in forms
    ]

    assert headers == [f"Tax Summary {apn[:3]}-{apn[3:5]}-{apn[5:]}"] * 2


def test_an_unknown_parcel_says_no_records_found(client: httpx.Client, truth: CountyTruth):
    hidden = next(h.apn for h in truth.heads() if not h.is_in_treasurer)

    for apn in ("99999999", "nonsense", hidden):
        assert "No records found" in client.get(f"/treasurer/Parcel/?Parcel={apn}").text
        assert "No records found" in client.get("/treasurer/Parcel/Activities.aspx").text


def test_the_summary_shows_three_years_and_a_link_to_more(client, truth: CountyTruth):
    heads = [h for h in truth.heads() if h.is_in_treasurer]
    apn = next(h.apn for h in heads if len(truth.parcel(h.index).tax_bills) == 8)

    short = client.get(f"/treasurer/Parcel/?Parcel={apn}").text
    full = client.get("/treasurer/Parcel/Summary.aspx?List=All").text

    assert (len(read_bills(apn, short)), len(read_bills(apn, full))) == (3, 8)
    assert LexborHTMLParser(short).css_first(f"{P}divViewAdditionalYears a")
    assert not LexborHTMLParser(full).css_first(f"{P}divViewAdditionalYears a")


def test_the_statement_and_valuations_pages_belong_to_the_session_too(client, county: County):
    apn = county.truth(county.apns(3))["tax_bills"][0]["apn"]
    client.get(f"/treasurer/Parcel/?Parcel={apn}")

    statement = client.get("/treasurer/Parcel/DetailedTaxStatement.aspx").text
    valuations = client.get("/treasurer/Parcel/Valuations.aspx").text

    total = LexborHTMLParser(statement).css_first(f"{P}dtlTaxBill_lblGrandTotalCurrentYear")
    assert money(total.text()) == county.truth([apn])["tax_bills"][0]["assessed_tax"]
    assert "Detailed Tax Statement" in statement
    assert len(LexborHTMLParser(valuations).css(f"{P}gvValuations tbody tr")) in (5, 6)
