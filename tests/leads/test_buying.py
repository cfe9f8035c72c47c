"""Buying leads over the demo county's API: previews, caps, pages, and what goes wrong on the way."""

from __future__ import annotations

import html
import re
import threading
from collections import Counter
from concurrent.futures import Future
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propkit import buying
from propkit.buying import affordable, read_price
from propkit.errors import InvalidAnswerError, RequestError, SourceRejectedError, StoreError
from propkit.leads import operations
from propkit.leads.ordering import estimate_cost
from propkit.sources.propertyradar import Envelope, PropertyRadar, read_page_key
from propkit.store.writer import Writer
from tests.leads.selling import (
    CAPS,
    CRITERIA,
    WAIT,
    leads_kit,
    paid_ids,
    states,
    stored_ids,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from propkit.demo_county import County
    from propkit.pages import Page
    from propkit.store import Result, Store
    from propkit.store.purchases import Purchase

PAGE = 100


def asked(county: County) -> list[tuple[str, str, str]]:
    """Return Purchase, Start and Limit of every search, in order."""
    found = []
    for entry in county.ledger("propertyradar"):
        if entry["path"] == "/v1/properties":
            query = dict(part.split("=") for part in entry["query"].split("&"))
            found.append((query["Purchase"], query["Start"], query["Limit"]))
    return found


def test_a_preview_counts_prices_and_buys_nothing(county: County, path: Path):
    """One free request; what it says stands in words."""
    with leads_kit(county, path) as kit:
        preview = kit.leads(CRITERIA)
        shown = str(preview)

        assert asked(county) == [("0", "0", "400")]
        assert (preview.cost, preview.free_remaining, preview.over_quota, preview.stored) == (
            Decimal("0.00"),
            10_000,
            0,
            0,
        )
        assert shown.splitlines() == [
            f"Leads preview {preview.criteria.id}: {preview.records} records; nothing is bought",
            "  AVM 150000 to …; State AZ; isSiteVacant 0",
            "  cost beyond the quota: 0.00 USD",
            "  left of this month's quota: 10,000 records",
            f"  {-(-preview.records // 400)} pages of 400",
            "  preview.buy(max_records=…, max_cost=…) buys",
        ]
        assert preview._repr_html_().count(html.escape(shown)) == 1
        assert county.account()["records"] == 0
        assert kit.purchases().empty
        assert kit.batches().empty


def test_everything_is_bought_once_page_by_page(county: County, path: Path):
    """Start begins at 0, a free count stands before the first page, the ledger is the store.

    Each page says that the quota covers the next, so that none of them is counted.
    """
    with leads_kit(county, path) as kit:
        preview = kit.leads(CRITERIA, page_size=PAGE)
        report = preview.buy(**CAPS).wait(WAIT)

        pages = -(-preview.records // PAGE)
        last = preview.records - PAGE * (pages - 1)
        sizes = [*[PAGE] * (pages - 1), last]
        starts = [str(PAGE * number) for number in range(pages)]
        assert asked(county)[1:] == [
            ("0", "0", str(PAGE)),
            *[("1", start, str(size)) for start, size in zip(starts, sizes, strict=True)],
        ]
        assert report.counts == {"propertyradar": {"done": pages}}
        assert report.is_complete
        assert set(paid_ids(county).values()) == {1}
        assert paid_ids(county) == stored_ids(kit)
        assert states(kit) == ["bought"] * pages
        assert list(kit.purchases()["records"]) == sizes
        assert kit.store.duplicates() == {}
        assert kit.store.rows("SELECT criteria FROM lead_criteria") == [
            {"criteria": preview.criteria.json}
        ]


def test_a_page_is_asked_for_while_the_one_before_is_stored(
    county: County, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its intent goes to the writer at once, also where that is slow; never are three unsettled."""
    events: list[tuple[str, int]] = []
    last = 3 * PAGE
    waiting = {start: threading.Event() for start in range(0, last + PAGE, PAGE)}
    early: list[bool] = []
    do, write = Writer._do, Writer._write
    make_intent, buy = buying.write_intent, PropertyRadar.buy

    def start_of(key: str) -> int:
        return read_page_key(key)[1]

    def intend(store: Store, purchase: Purchase, answered: str | None = None) -> Any:
        written = make_intent(store, purchase, answered)
        waiting[start_of(purchase.key)].set()
        return written

    def do_slowly(
        self: Writer, work: Any, future: Future[Any], *, is_small: bool, **more: Any
    ) -> None:
        do(self, work, future, is_small=is_small, **more)
        if is_small and (next_start := PAGE * (len(early) + 1)) <= last:
            # This page is asked for now, and the one before it waits for its turn in here.
            early.append(waiting[next_start].wait(WAIT))

    def store(self: Writer, results: Sequence[Result]) -> None:
        write(self, results)
        events.extend(("stored", start_of(result.item.key)) for result in results)

    async def send(self: PropertyRadar, *args: Any, start: int, limit: int) -> Any:
        events.append(("sent", start))
        return await buy(self, *args, start=start, limit=limit)

    monkeypatch.setattr(buying, "write_intent", intend)
    monkeypatch.setattr(Writer, "_do", do_slowly)
    monkeypatch.setattr(Writer, "_write", store)
    monkeypatch.setattr(PropertyRadar, "buy", send)
    with leads_kit(county, path) as kit:
        kit.leads(
            CRITERIA, purchase=True, page_size=PAGE, max_records=last + PAGE, max_cost=0
        ).wait(WAIT)

        assert states(kit) == ["bought"] * 4
    assert early == [True, True, True]
    assert [start for event, start in events if event == "sent"] == sorted(waiting)
    for start in range(0, last - PAGE, PAGE):
        assert events.index(("stored", start)) < events.index(("sent", start + 2 * PAGE))


def test_what_the_quota_does_not_cover_is_counted_first(county: County, path: Path):
    """Page by page, as soon as the one before says that less is left than the next has."""
    county.switch(leads={"quota": 2 * PAGE + 50, "price": "0.10"})
    with leads_kit(county, path) as kit:
        kit.leads(CRITERIA, purchase=True, page_size=PAGE, max_records=4 * PAGE, max_cost=100).wait(
            WAIT
        )

        assert [(purchase, start) for purchase, start, _ in asked(county)[1:]] == [
            ("0", "0"),
            ("1", "0"),
            ("1", "100"),
            ("0", "200"),
            ("1", "200"),
            ("0", "300"),
            ("1", "300"),
        ]
        assert kit.purchases()["cost"].tolist() == [0, 0, 5, 10]


def test_what_a_page_said_of_the_quota_holds_for_a_while_only(
    county: County, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Others may use the account meanwhile: later it is asked again."""
    monkeypatch.setattr("propkit.buying._SAID_SECONDS", 0)
    with leads_kit(county, path) as kit:
        kit.leads(CRITERIA, purchase=True, page_size=PAGE, max_records=2 * PAGE, max_cost=0).wait(
            WAIT
        )

    assert [purchase for purchase, *_ in asked(county)[1:]] == ["0", "1", "0", "1"]


def test_columns_mean_the_same_as_objects(county: County, tmp_path: Path):
    """The account may answer row by row or column by column."""
    found = []
    for rows in ("objects", "columns"):
        county.switch(leads={"rows": rows})
        with leads_kit(county, tmp_path / f"{rows}.duckdb") as kit:
            kit.leads(CRITERIA, purchase=True, **CAPS).wait(WAIT)
            found.append(
                kit.store.rows(
                    "SELECT * EXCLUDE (collected_at, unchanged_since) FROM leads ORDER BY radar_id"
                )
            )

    assert found[0]
    assert found[0] == found[1]


def test_leads_are_parcels_for_a_plan(county: County, path: Path):
    """Their APNs go straight into a plan and a batch, and both into a workbook."""
    with leads_kit(county, path) as kit:
        kit.leads(CRITERIA, purchase=True, max_records=5, max_cost=0).wait(WAIT)
        leads = kit.frame("leads")
        plan = kit.plan(leads)
        report = kit.collect(plan, progress=False)
        book = kit.to_excel(path.parent / "leads.xlsx", ["leads", "parcels"])

        assert plan.counts == {"due": 5}
        assert report.counts["maricopa_assessor"] == {"done": 5}
        assert sorted(kit.frame("parcels")["apn"]) == sorted(leads["apn"])
        assert book.is_file()


@pytest.mark.parametrize("most", [1, PAGE - 1, PAGE, PAGE + 1, 250])
def test_never_one_record_above_the_cap(county: County, tmp_path: Path, most: int):
    """The last page is asked for as small as the cap leaves it; the batch is complete."""
    with leads_kit(county, tmp_path / "a.duckdb") as kit:
        report = kit.leads(
            CRITERIA, purchase=True, max_records=most, max_cost=0, page_size=PAGE
        ).wait(WAIT)

        assert county.account()["records"] == most
        assert len(kit.frame("leads")) == most
        assert report.is_complete


@pytest.mark.parametrize(
    ("quota", "max_cost", "records"),
    [
        (150, 0, 150),  # what the quota covers, and no record more
        (150, 0.05, 150),  # less than a record costs
        (150, "7.05", 220),  # 70 records at 0.10, the rest of a dime left
        (0, 3, 30),
        (0, 0, 0),
    ],
)
def test_never_a_cent_above_the_cap(
    county: County, tmp_path: Path, quota: int, max_cost: float | str, records: int
):
    """A page that would cost too much is bought as far as it fits; then the batch waits."""
    county.switch(leads={"quota": quota, "price": "0.10"})
    with leads_kit(county, tmp_path / "a.duckdb") as kit:
        cost = Decimal(str(max_cost))
        report = kit.leads(
            CRITERIA, purchase=True, max_records=10_000, max_cost=cost, page_size=PAGE
        ).wait(WAIT)

        account = county.account()
        assert account["records"] == records
        assert Decimal(account["cost"]) == max(0, records - quota) * Decimal("0.10")
        assert Decimal(account["cost"]) <= cost
        assert paid_ids(county) == stored_ids(kit)
        assert report.state == "paused"
        assert "max_cost" in str(report.error)


def test_a_preview_beyond_the_quota_says_what_it_costs(county: County, path: Path):
    """Part of the first page is free: the price of the rest is known. All of it: it is not."""
    with leads_kit(county, path) as kit:
        total = kit.leads(CRITERIA).records
        county.switch(leads={"quota": 40, "price": "0.10"})
        priced = kit.leads(CRITERIA, page_size=PAGE)
        county.switch(leads={"quota": total - 1})
        unknown = kit.leads(CRITERIA, page_size=PAGE)

    assert (priced.cost, priced.over_quota) == ((total - 40) * Decimal("0.10"), total - 40)
    assert (unknown.cost, unknown.over_quota) == (None, 1)
    assert "cost beyond the quota: not said before they are bought" in str(unknown)


def test_a_quota_that_ends_in_mid_run_stops_the_batch(county: County, path: Path):
    """402: nothing was charged for the page; with a new month the batch goes on to its end."""
    county.switch(leads={"quota": 250, "price": None})
    with leads_kit(county, path) as kit:
        batch = kit.leads(CRITERIA, purchase=True, page_size=PAGE, **CAPS)
        report = batch.wait(WAIT)
        account = county.account()
        before = stored_ids(kit)
        county.switch(leads={"quota": 10_000})
        after = batch.resume().wait(WAIT)

        assert account["records"] == 200
        assert sum(before.values()) == 200
        assert report.state == "paused"
        assert "Monthly export quota exhausted" in str(report.error)
        assert after.state == "completed"
        assert paid_ids(county) == stored_ids(kit)
        assert set(paid_ids(county).values()) == {1}
        assert Counter(states(kit))["not_bought"] == 1


@pytest.mark.parametrize("entering", [7, -7])
def test_a_result_set_that_moves_is_noticed(county: County, path: Path, entering: int):
    """Rows that come twice are stored once and said; what the source says of the total is too."""
    county.switch(leads={"entering": entering})
    with leads_kit(county, path) as kit:
        batch = kit.leads(CRITERIA, purchase=True, page_size=50, **CAPS)
        batch.wait(WAIT)
        paid, stored, items = paid_ids(county), stored_ids(kit), batch.items()
        notes = [
            text for text in items["error"].dropna() if text.startswith("the result set moved")
        ]

    assert set(paid) == set(stored)
    assert set(stored.values()) == {1}
    assert any("records when ordered, now" in note for note in notes)
    assert any("had come before" in note for note in notes) is (entering > 0)
    assert (max(paid.values()) > 1) is (entering > 0)


def test_what_cannot_be_read_is_absent_and_said(county: County, path: Path):
    """The rows are paid for and kept; their page's item names some of the values."""
    county.switch(leads={"odd": "AVM"})
    with leads_kit(county, path) as kit:
        batch = kit.leads(CRITERIA, purchase=True, page_size=50, **{**CAPS, "max_records": 50})
        report = batch.wait(WAIT)
        leads = kit.store.rows("SELECT radar_id, avm FROM leads ORDER BY radar_id")
        notes = list(batch.items()["error"])

    assert report.state == "completed"
    assert [lead["avm"] for lead in leads] == [None] * 50
    (note,) = notes
    named = re.findall(r"(\w+): AVM 'see file \d+' cannot be read", note)
    assert len(named) == 3
    assert set(named) < {lead["radar_id"] for lead in leads}
    assert note.endswith("; 47 more values cannot be read")


def test_a_set_that_grows_is_bought_to_its_end(county: County, path: Path):
    """Pages that nobody planned follow, on the grid of the others, up to the cap."""
    county.switch(leads={"entering": 30})
    with leads_kit(county, path) as kit:
        preview = kit.leads(CRITERIA, page_size=50)
        batch = preview.buy(**CAPS)
        report = batch.wait(WAIT)
        keys = list(batch.items()["key"])

    planned = -(-preview.records // 50)
    assert len(keys) > planned
    assert len(set(keys)) == len(keys)
    assert report.state == "completed"


def test_a_short_page_is_followed_by_what_it_lacks(
    county: County, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """And by no more: the page behind it is planned already, and nothing is paid for twice."""
    buy = PropertyRadar.buy

    async def buy_less(self: PropertyRadar, *args: Any, start: int, limit: int) -> Any:
        return await buy(self, *args, start=start, limit=limit if start else limit - 5)

    monkeypatch.setattr(PropertyRadar, "buy", buy_less)
    with leads_kit(county, path) as kit:
        preview = kit.leads(CRITERIA, page_size=PAGE)
        report = preview.buy(**CAPS).wait(WAIT)
        stored = stored_ids(kit)

    assert report.state == "completed"
    assert len(stored) == preview.records
    assert paid_ids(county) == stored
    assert set(stored.values()) == {1}


@pytest.mark.parametrize(("counted", "limits"), [(105, ["100", "95"]), (0, ["100", "100"])])
def test_the_more_of_what_is_counted_and_what_comes_is_paid_for(
    county: County,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    counted: int,
    limits: list[str],
):
    """So the cap holds, however the source numbers its pages."""
    read = buying.read_envelope

    def count_oddly(page: Page) -> Envelope:
        return replace(read(page), count=counted)

    monkeypatch.setattr(buying, "read_envelope", count_oddly)
    with leads_kit(county, path) as kit:
        caps = {**CAPS, "max_records": 2 * PAGE}
        kit.leads(CRITERIA, page_size=PAGE).buy(**caps).wait(WAIT)

    assert [limit for paid, _, limit in asked(county) if paid == "1"] == limits


def test_a_second_purchase_of_the_same_is_refused(county: County, path: Path):
    """By the same preview, by another, by the call: unless it is said that it is meant."""
    with leads_kit(county, path) as kit:
        preview = kit.leads(CRITERIA)
        small = {"max_records": 10, "max_cost": 0}
        preview.buy(**small).wait(WAIT)

        for buy in (
            lambda: preview.buy(**small),
            lambda: kit.leads(CRITERIA).buy(**small),
            lambda: kit.leads(CRITERIA, purchase=True, **small),
        ):
            with pytest.raises(
                RequestError, match=r"10 leads of these criteria are bought already"
            ):
                buy()
        assert county.account()["records"] == 10
        assert "10 leads of these criteria are in the store already" in str(kit.leads(CRITERIA))

        kit.leads(CRITERIA, purchase=True, again=True, **small).wait(WAIT)
        assert county.account()["records"] == 20
        assert len(kit.frame("leads")) == 10


def test_criteria_are_bought_by_one_batch_at_a_time(county: County, path: Path):
    """While a batch that buys them is unfinished another one is refused, and the first named."""
    county.switch(leads={"quota": 100, "price": None})
    with leads_kit(county, path) as kit:
        batch = kit.leads(CRITERIA, purchase=True, page_size=PAGE, **CAPS)
        batch.wait(WAIT)

        with pytest.raises(RequestError, match=f"batch {batch.id} buys these criteria already"):
            kit.leads(CRITERIA, purchase=True, again=True, **CAPS)


def test_nothing_is_bought_of_criteria_that_cannot_be_kept(
    county: County, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What is not settled could not be asked for by them."""
    failed: Future[None] = Future()
    failed.set_exception(StoreError("the disk is full"))
    monkeypatch.setattr(operations, "keep_criteria", lambda *_: failed)
    with leads_kit(county, path) as kit:
        preview = kit.leads(CRITERIA)

        with pytest.raises(StoreError, match="the disk is full"):
            preview.buy(**CAPS)

        assert len(kit.batches()) == 0
        assert [purchase for purchase, *_ in asked(county)] == ["0"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"purchase": True}, "needs max_records, .*, not None"),
        ({"purchase": True, "max_records": 5}, "needs max_cost, .*, not None"),
        ({"purchase": True, "max_records": 0, "max_cost": 1}, "max_records, .*, not 0"),
        ({"purchase": True, "max_records": 2.5, "max_cost": 1}, "max_records, .*, not 2.5"),
        ({"purchase": True, "max_records": True, "max_cost": 1}, "max_records, .*, not True"),
        ({"purchase": True, "max_records": 5, "max_cost": -1}, "max_cost, .*, not -1"),
        ({"purchase": True, "max_records": 5, "max_cost": float("nan")}, "max_cost, .*, not nan"),
        ({"purchase": True, "max_records": 5, "max_cost": "1"}, "max_cost, .*, not '1'"),
        ({"purchase": 1, "max_records": 5, "max_cost": 1}, "purchase must be True or False, not 1"),
        ({"max_records": 5}, "say purchase=True too"),
        ({"again": True}, "say purchase=True too"),
        ({"page_size": 0}, "page_size must be a whole number from 1 to 500, not 0"),
        ({"page_size": 501}, "page_size must be a whole number from 1 to 500, not 501"),
    ],
)
def test_a_bad_option_is_named_and_nothing_is_asked(
    county: County, path: Path, options: dict[str, Any], says: str
):
    """Without both caps nothing is bought, and a wrong one is shown."""
    with leads_kit(county, path) as kit, pytest.raises(RequestError, match=says):
        kit.leads(CRITERIA, **options)

    assert county.ledger("propertyradar") == []


def test_an_empty_result_cannot_be_bought(county: County, path: Path):
    """Nothing fits: a preview says 0, and buying is refused."""
    with leads_kit(county, path) as kit:
        preview = kit.leads({"YearBuilt": (1700, 1701)})

        assert preview.records == 0
        with pytest.raises(RequestError, match="nothing to buy: no record fits YearBuilt"):
            preview.buy(**CAPS)


@pytest.mark.parametrize("status", [None, 200])
def test_what_the_source_says_is_wrong_is_told_under_any_status(
    county: County, path: Path, status: int | None
):
    """The simulator wants flags as texts now: its own words come through, also under 200."""
    county.switch(leads={"yesno": "texts", "error_status": status})
    with leads_kit(county, path) as kit, pytest.raises(InvalidAnswerError, match="Invalid yesno"):
        kit.leads(CRITERIA)


def test_a_refused_token_is_told(county: County, path: Path):
    """401: renew the token; nothing is tried again."""
    county.switch(leads={"token": "another"})
    with leads_kit(county, path) as kit:
        county.switch(leads={"token": "yet-another"})
        with pytest.raises(SourceRejectedError, match=r"HTTP 401.*set PROPKIT_SOURCES__PROPERTYR"):
            kit.leads(CRITERIA)

    assert [entry["status"] for entry in county.ledger("propertyradar")][-1] == 401


def test_counts_are_tried_again_and_purchases_are_not(county: County, path: Path):
    """A free count that fails is asked again; a paid page answered 429 is not bought, nor again."""
    count = {"kind": "status", "status": 500, "system": "propertyradar", "first": 2}
    paid = {"kind": "status", "status": 429, "system": "propertyradar", "first": 1}
    county.switch(faults=[{**count, "path": "Purchase=0"}, {**paid, "path": "Purchase=1"}])
    with leads_kit(county, path) as kit:
        batch = kit.leads(CRITERIA, purchase=True, max_records=10, max_cost=0)
        report = batch.wait(WAIT)
        asked_first = [purchase for purchase, *_ in asked(county)]
        after = batch.retry().wait(WAIT)

        assert asked_first == ["0", "0", "0", "0", "1"]
        assert report.failure_classes == {"unavailable": 1}
        assert states(kit) == ["not_bought", "bought"]
        assert after.is_complete
        assert county.account()["records"] == 10


def test_a_source_that_does_not_say_its_price_sells_nothing():
    """Without a cost no cap could hold; what the quota covers to the last record costs nothing."""
    quote = Envelope(rows=(), count=5, total=5, cost=None, free_remaining=5)

    assert estimate_cost(quote) == 0
    assert estimate_cost(replace(quote, free_remaining=None)) is None
    with pytest.raises(InvalidAnswerError, match="does not say what the records cost"):
        read_price(quote)


def test_a_count_that_numbers_only_the_total_is_understood(
    county: County, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Without a number for the page what is left of the total is asked for, and no more."""
    count = PropertyRadar.count

    async def count_total(self: PropertyRadar, *args: Any, **options: Any) -> Any:
        envelope, page = await count(self, *args, **options)
        return replace(envelope, count=0), page

    monkeypatch.setattr(PropertyRadar, "count", count_total)
    with leads_kit(county, path) as kit:
        preview = kit.leads(CRITERIA, page_size=PAGE)
        report = preview.buy(**CAPS).wait(WAIT)

        assert preview.cost == 0
        assert report.is_complete
        assert county.account()["records"] == preview.records == len(kit.frame("leads"))


@given(
    count=st.integers(1, 500),
    free=st.integers(0, 600),
    price=st.integers(1, 300),
    left=st.integers(0, 20_000),
)
def test_what_a_sum_buys_never_costs_more(count: int, free: int, price: int, left: int):
    """Prices and sums in cents: as many records as fit, and not one more."""
    priced = max(0, count - free)
    quote = Envelope(
        rows=(), count=count, total=count, cost=Decimal(priced * price) / 100, free_remaining=free
    )

    bought = affordable(quote, Decimal(left) / 100)

    if priced:
        assert max(0, bought - free) * price <= left
        assert (bought + 1 - min(free, count)) * price > left


def test_bought_pages_are_read_again_without_paying(county: County, path: Path):
    """Kept pages say what is stored, and to read them costs no request."""
    with leads_kit(county, path) as kit:
        preview = kit.leads(CRITERIA, page_size=PAGE)
        preview.buy(**CAPS).wait(WAIT)
        before = len(county.ledger("propertyradar"))

        frame = kit.reparse("propertyradar")

        assert frame.empty
        assert frame.attrs["answers"] == -(-preview.records // PAGE)
        assert frame.attrs["unreadable"] == {}
        assert len(county.ledger("propertyradar")) == before
