"""What was asked for and is not in the tables: the last word on each parcel at each source."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from propkit.items import Item, State
from propkit.store.batches import create_batch, delete_batch, set_state
from propkit.store.not_collected import read_not_collected
from propkit.terms import Terms
from tests.store.made import ASSESSOR, RECORDER, TREASURER, result, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from propkit.store import Result, Store

BROWSER, LAYER, LEADS = "maricopa_treasurer_browser", "pinal_parcels", "propertyradar"
TAXES = ("tax_bills", "tax_payments")
DATASETS = ("parcels", *TAXES, "sales", "documents")


def terms(source: str, *provides: str, needs: str | None = None) -> Terms:
    return Terms(
        source=source,
        host=source,
        provides=provides,
        needs=needs,
        transport="http",
        requests_per_item=1,
        requests_per_second=1.0,
        max_age=timedelta(days=1),
    )


TERMS = (
    terms(ASSESSOR, "parcels", "sales"),
    terms(TREASURER, *TAXES),
    terms(BROWSER, *TAXES),
    terms(RECORDER, "documents", needs="deed_number"),
    terms(LAYER, "parcels", "parcel_shapes"),
    terms(LEADS, "leads"),
)


def batch(
    store: Store,
    *items: Item,
    kind: str = "comprehensive",
    state: str = "running",
    given: dict[str, str] | None = None,
    **criteria: Any,
) -> str:
    """Store a batch as a plan makes it; return its id."""
    kept = {"origin": "list", "datasets": DATASETS, "sources": sorted({i.source for i in items})}
    made = create_batch(store, items, kind=kind, criteria={**kept, **criteria}, given=given)
    set_state(store, made.batch_id, state)
    return made.batch_id


def ended(
    batch_id: str, key: str, source: str = ASSESSOR, seconds: float = 0, **item: Any
) -> Result:
    """Return how an item ended, so long from now; the source answered where it is done or unknown."""
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    is_answered = item.get("state", State.DONE) in (State.DONE, State.NOT_FOUND)
    return result(
        key,
        batch_id=batch_id,
        source=source,
        at=at if is_answered else None,
        **{"ended_at": at, **item},
    )


def absent(store: Store, tables: Sequence[str] | None = None) -> list[tuple[Any, ...]]:
    """Return what is not in the tables: the apn or identifier, source, outcome and tables."""
    frame = read_not_collected(store, TERMS, tables)
    return [
        (
            row.identifier if row.outcome == "not_usable" else row.apn,
            None if row.outcome == "not_usable" else row.source,
            row.outcome,
            tuple(row.missing),
        )
        for row in frame.itertuples()
    ]


def failed(failure_class: str = "unavailable") -> dict[str, Any]:
    return {"state": State.FAILED, "failure_class": failure_class, "error": f"{failure_class}!"}


def test_each_outcome_says_what_is_missing_and_what_to_do(store: Store):
    """One row a parcel and source, with the tables, the error and what can be done."""
    keys = ["done", "late", "gone", "half", "waits", "left", "old", "dear"]
    items = [Item(source=ASSESSOR, key=key, apn=key) for key in keys]
    made = batch(
        store,
        *items,
        state="paused",
        sources=[ASSESSOR, RECORDER],
        not_usable={"=2+3": "is no APN"},
    )
    write(
        store,
        ended(made, "done"),
        ended(made, "late", **failed("timeout")),
        ended(made, "gone", state=State.NOT_FOUND),
        ended(made, "half", missing=("sales",), error="sales: HTTP 500"),
        ended(made, "left", state=State.CANCELLED, failure_class="cancelled"),
        ended(made, "old", state=State.SKIPPED, error="stale: timeout!"),
        ended(made, "dear", state=State.SKIPPED, error="budget: 3 credits"),
    )

    frame = read_not_collected(store, TERMS)

    roll = ["parcels", "sales"]
    columns = ["apn", "identifier", "outcome", "missing", "failure_class", "error", "what_to_do"]
    shown = frame[columns].astype(object).where(frame[columns].notna(), None)
    owed = [*roll, "documents"]  # what the roll leads to was never asked for
    resume = "kit.batch(1).resume()"
    assert [[*row[:3], list(row[3]), *row[4:]] for row in shown.itertuples(index=False)] == [
        ["dear", "dear", "over_budget", owed, None, "budget: 3 credits",
         "collect it again with a larger budget"],
        ["gone", "gone", "not_found", roll, None, None,
         "check the key: the source has nothing under it"],
        ["half", "half", "partial", ["sales"], None, "sales: HTTP 500",
         "collect it again: what is missing is asked for again"],
        ["late", "late", "failed", owed, "timeout", "timeout!", "later: kit.batch(1).retry()"],
        ["left", "left", "cancelled", owed, "cancelled", None, resume],
        ["old", "old", "stale", owed, None, "stale: timeout!",
         "collect it again when the source answers"],
        ["waits", "waits", "waiting", owed, None, None, resume],
        [None, "=2+3", "not_usable", list(DATASETS), None, "is no APN",
         "correct it in the list, and collect it"],
    ]  # fmt: skip
    assert set(frame["batch_id"]) == {made}
    assert str(frame["noted_at"].dtype) == "timestamp[us, tz=UTC][pyarrow]"
    assert not frame["noted_at"].isna().any()


def test_what_can_be_done_goes_by_the_failure_and_by_the_batch(store: Store):
    """A person has to look, to set a token, to settle; a batch that runs has to end first."""
    classes = ["blocked", "rejected", "unsettled", "layout_changed", "budget"]
    names = [*classes, "waits"]
    made = batch(store, *[Item(source=ASSESSOR, key=name, apn=name) for name in names])
    write(store, *[ended(made, name, **failed(name)) for name in classes])

    frame = read_not_collected(store, TERMS)

    assert dict(zip(frame["apn"], frame["what_to_do"], strict=True)) == {
        "blocked": "ask the county, then kit.batch(1).resume()",
        "budget": "raise the limit, then kit.batch(1).retry()",
        "layout_changed": "report it: propkit must learn the layout",
        "rejected": "set the token, then kit.batch(1).resume()",
        "unsettled": "kit.settle(), then kit.batch(1).resume()",
        "waits": "kit.batch(1).resume(), once it has ended",
    }


def test_what_was_collected_since_is_not_missing(store: Store):
    """The last word counts, whichever batch it came with; what failed again is missing again."""
    apns = ["again", "twice"]
    first = batch(store, *[Item(source=ASSESSOR, key=apn, apn=apn) for apn in apns])
    write(store, *[ended(first, apn, **failed()) for apn in apns])
    second = batch(store, *[Item(source=ASSESSOR, key=apn, apn=apn) for apn in apns])
    write(store, ended(second, "again", seconds=1), ended(second, "twice", seconds=1, **failed()))

    assert absent(store) == [("twice", ASSESSOR, "failed", ("parcels", "sales"))]
    assert list(read_not_collected(store, TERMS)["batch_id"]) == [second]


def test_an_identifier_stands_as_it_was_given(store: Store):
    """As it was the last time, so that a person finds it in the list; what nobody wrote is the APN."""
    apns = ["1", "2", "3"]
    items = [Item(source=ASSESSOR, key=apn, apn=apn) for apn in apns]
    batch(store, *items, given={"1": "old 1", "2": "=2"})
    last = batch(store, *items, given={"1": "1.0"})
    gone = batch(store, Item(source=ASSESSOR, key="4", apn="4"), given={"3": "three", "4": "four"})
    delete_batch(store, gone)

    frame = read_not_collected(store, TERMS)

    assert dict(zip(frame["apn"], frame["identifier"], strict=True)) == {
        "1": "1.0",
        "2": "=2",
        "3": "3",
    }
    assert set(frame["batch_id"]) == {last}
    assert store.rows("FROM batch_identifiers WHERE apn = '4'") == []


def test_what_the_tables_hold_of_before_is_said(store: Store):
    """A parcel that failed this time is in the tables, only older: it says of when."""
    first = batch(store, Item(source=ASSESSOR, key="p", apn="p"))
    write(store, ended(first, "p", seconds=-60))
    at = read_times(store, "SELECT max(checked_at) AS at FROM freshness")
    second = batch(store, Item(source=ASSESSOR, key="p", apn="p"), sources=[ASSESSOR, RECORDER])
    write(store, ended(second, "p", seconds=60, **failed()))

    (row,) = read_not_collected(store, TERMS).itertuples()

    assert (row.outcome, list(row.missing), row.older_collected_at) == (
        "failed",
        ["parcels", "sales"],
        at,
    )


def test_what_another_way_gave_is_not_missing(store: Store):
    """A second way of the same batch, or of a later one, gives the same tables; both count once."""
    keys = ["replaced", "later", "less"]
    before = batch(store, Item(source=BROWSER, key="before", apn="before"))
    write(store, ended(before, "before", BROWSER, -60))
    first = batch(
        store,
        *[Item(source=TREASURER, key=key, apn=key) for key in [*keys, "before", "both"]],
        *[Item(source=BROWSER, key=key, apn=key) for key in ("replaced", "both")],
    )
    write(
        store,
        ended(first, "replaced", TREASURER, replaced_by=BROWSER, **failed()),
        ended(first, "later", TREASURER, **failed()),
        ended(first, "less", TREASURER, **failed()),
        ended(first, "replaced", BROWSER),
        ended(first, "before", TREASURER, **failed()),
        ended(first, "both", TREASURER, replaced_by=BROWSER, **failed()),
        ended(first, "both", BROWSER, **failed()),
    )
    second = batch(store, *[Item(source=BROWSER, key=key, apn=key) for key in keys[1:]])
    write(
        store,
        ended(second, "later", BROWSER, 1),
        ended(second, "less", BROWSER, 1, missing=("tax_payments",)),
    )

    assert absent(store) == [
        ("before", TREASURER, "failed", TAXES),  # what came before it was asked for is older
        ("both", BROWSER, "failed", TAXES),
        ("less", TREASURER, "failed", ("tax_payments",)),
        ("less", BROWSER, "partial", ("tax_payments",)),
    ]


def test_what_is_fresh_by_another_way_is_not_missing(store: Store):
    """A plan leaves out what a second way has collected, though the first way knew nothing."""
    first = batch(store, Item(source=TREASURER, key="p", apn="p"))
    write(store, ended(first, "p", TREASURER, -9, missing=TAXES))
    other = batch(store, Item(source=BROWSER, key="p", apn="p"))
    write(store, ended(other, "p", BROWSER, -3))
    skipped = Item(
        source=TREASURER, key="p", apn="p", state=State.SKIPPED, error="fresh: collected 3 s ago"
    )
    batch(store, skipped, replace(skipped, source="gone"))

    assert absent(store) == []


def test_what_is_fresh_and_not_found_is_still_missing(store: Store):
    """It was not asked for again, and the office does not know it."""
    first = batch(store, Item(source=TREASURER, key="p", apn="p"))
    write(store, ended(first, "p", TREASURER, -9, state=State.NOT_FOUND))
    fresh = {"state": State.SKIPPED, "error": "fresh: not found 9 s ago"}
    batch(store, Item(source=TREASURER, key="p", apn="p", **fresh))

    assert absent(store) == [("p", TREASURER, "not_found", TAXES)]


def test_a_layers_item_is_as_many_parcels_as_it_asks_for(store: Store):
    """One request asks for many APNs; what one layer could not give another source may have given."""
    made = batch(store, Item(source=LAYER, key="1|2|3"), datasets=["parcels", "parcel_shapes"])
    write(store, ended(made, "1|2|3", LAYER, **failed()))
    roll = batch(store, Item(source=ASSESSOR, key="3", apn="3"))
    write(store, ended(roll, "3", seconds=1))

    assert absent(store) == [
        ("1", LAYER, "failed", ("parcels", "parcel_shapes")),
        ("2", LAYER, "failed", ("parcels", "parcel_shapes")),
        ("3", LAYER, "failed", ("parcel_shapes",)),
    ]


def test_pages_of_leads_and_parts_of_areas_name_no_parcel(store: Store):
    """They stand by their key; one beyond the last lead, or without a parcel, leaves nothing out."""
    pages = batch(
        store, *[Item(source=LEADS, key=key) for key in "abc"], kind="leads", datasets=["leads"]
    )
    write(
        store,
        ended(pages, "a", LEADS, **failed("unsettled")),
        ended(pages, "b", LEADS),
        ended(pages, "c", LEADS, state=State.NOT_FOUND),
    )
    parts = batch(store, Item(source=LAYER, key="x|y"), kind="area", datasets=["parcels"])
    write(store, ended(parts, "x|y", LAYER, **failed()))

    frame = read_not_collected(store, TERMS)

    assert frame[["apn", "key", "outcome"]].astype(object).where(
        frame[["apn", "key", "outcome"]].notna(), None
    ).to_numpy().tolist() == [[None, "x|y", "failed"], [None, "a", "failed"]]
    assert [list(tables) for tables in frame["missing"]] == [["parcels"], ["leads"]]


def test_only_the_tables_that_were_asked_for_can_be_missing(store: Store):
    """By any batch; and of those only what is wanted is told."""
    made = batch(store, Item(source=ASSESSOR, key="p", apn="p"), datasets=["sales"])
    write(store, ended(made, "p", **failed()))

    assert absent(store) == [("p", ASSESSOR, "failed", ("sales",))]
    assert absent(store, ["sales", "documents"]) == [("p", ASSESSOR, "failed", ("sales",))]
    assert absent(store, ["parcels"]) == []


def test_a_source_that_is_no_more_is_told_without_its_tables(store: Store):
    """What it gave nobody knows; that it failed is no secret."""
    made = batch(store, Item(source="gone", key="p", apn="p"), not_usable={"?": "is no APN"})
    write(store, ended(made, "p", "gone", **failed()))

    assert absent(store, ["sales"]) == [
        ("p", "gone", "failed", ()),
        ("?", None, "not_usable", ("sales",)),
    ]


def test_questions_that_fill_no_table_leave_nothing_out(store: Store):
    """A validation and a search collect nothing; neither does a batch that was deleted."""
    item = Item(source=ASSESSOR, key="p", apn="p")
    batch(store, item, kind="validation", datasets=[], not_usable={"a": "is no APN"})
    batch(store, item, kind="search", datasets=[], not_usable={"": "is blank"})
    delete_batch(store, batch(store, item, not_usable={"b": "is no APN"}))

    assert absent(store) == []


def test_a_newer_list_of_a_file_is_the_last_word_on_it(store: Store):
    """What was corrected in a file is missing no more; lists without a name do not speak for others."""
    origins = ["parcels.xlsx, sheet 'A'", "parcels.xlsx, sheet 'B'", "list"]
    for origin in origins:
        batch(store, origin=origin, not_usable={f"1 of {origin}": "no", f"2 of {origin}": "no"})
    for origin in (origins[0], "list"):
        batch(store, origin=origin, not_usable={f"2 of {origin}": "no"})

    frame = read_not_collected(store, TERMS)

    assert sorted(frame["identifier"]) == [
        "1 of list",
        "1 of parcels.xlsx, sheet 'B'",
        "2 of list",
        "2 of parcels.xlsx, sheet 'A'",
        "2 of parcels.xlsx, sheet 'B'",
    ]


def read_times(store: Store, sql: str) -> datetime:
    (row,) = store.rows(sql)
    at: datetime = row["at"]
    return at
