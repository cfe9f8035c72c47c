"""Planning over a store: what it knows is asked for in sets, and the plan says it."""

from __future__ import annotations

import gc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from propkit.errors import IdentifierError, RequestError
from propkit.items import PRIORITIES, Item, State
from propkit.planning import plan_parcels
from propkit.settings import Settings
from propkit.sources import configure_sources
from propkit.store import Store
from propkit.store.batches import create_batch
from tests.store.made import noon, parcel, result, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from propkit.plan import Plan
    from propkit.terms import Terms

A, B, C, D = "13238011", "13238012", "13238013", "13238014"
ASSESSOR, TREASURER, RECORDER = (f"maricopa_{x}" for x in ("assessor", "treasurer", "recorder"))
NOW = noon(0) + timedelta(hours=3)


class Config:
    """A source's settings, of which planning reads the terms only."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "test.duckdb")
    yield store
    store.close()


@pytest.fixture
def sources() -> dict[str, Any]:
    """Return the county's sources; the assessor can search and validate."""
    terms = {name: config.terms for name, config in configure_sources(Settings()).items()}
    able = {"can_search": True, "can_validate": True}
    terms[ASSESSOR] = replace(terms[ASSESSOR], **able)
    terms = {name: terms[name] for name in (ASSESSOR, TREASURER, RECORDER)}
    return {name: Config(term) for name, term in terms.items()}


def plan_of(store: Store, sources: Mapping[str, Any], parcels: object, **options: Any) -> Plan:
    return plan_parcels(store, sources, parcels, **{"now": NOW, **options})


def waiting(plan: Plan) -> list[tuple[str, str]]:
    return [item.identity for item in plan.due]


def running(store: Store, kind: str, *identities: tuple[str, str]) -> str:
    items = [Item(source=s, key=k, sequence=n) for n, (s, k) in enumerate(identities)]
    return create_batch(store, items, kind=kind, criteria={}).batch_id


def test_a_plan_knows_what_the_store_knows(store, sources):
    """Fresh, old, incomplete and new parcels, and the deed of a fresh one."""
    with_deed = replace(parcel(A), deed_number="20130183449")
    write(
        store,
        result(A, [with_deed], source=ASSESSOR),
        result(B, [parcel(B)], source=ASSESSOR, at=NOW - timedelta(days=3)),
        result(C, [parcel(C)], source=ASSESSOR, missing=("sales",)),
    )

    plan = plan_of(store, sources, [A, "132-38-012", C, D], datasets=["sales", "documents"])

    assert [(entry.status, entry.reason) for entry in plan.entries] == [
        ("due", f"{RECORDER}: never collected"),
        ("due", f"{ASSESSOR}: 3 d old"),
        ("incomplete", f"{ASSESSOR}: sales missing"),
        ("due", f"{ASSESSOR}: never collected"),
    ]
    assert waiting(plan) == [
        (RECORDER, "20130183449"),
        (ASSESSOR, B),
        (ASSESSOR, C),
        (ASSESSOR, D),
    ]
    assert [item.error for item in plan.items if item.state is State.SKIPPED] == [
        f"fresh: {ASSESSOR}: 3 h ago"
    ]
    assert sum(plan.follow_ups.values()) == 3
    assert plan.fresh_keys == frozenset()


@pytest.mark.parametrize("empty", [[], pd.DataFrame(), pd.Series([], dtype="string"), ["", None]])
@pytest.mark.parametrize("kind", ["comprehensive", "taxes", "validation", "search"])
def test_nothing_gives_an_empty_plan(store, sources, empty, kind):
    """No error, no item, no request; only a search names its blank rows."""
    plan = plan_of(store, sources, empty, kind=kind)

    assert (len(plan.items), plan.requests, plan.minutes) == (0, {}, 0.0)
    assert set(plan.counts) <= {"invalid"}
    assert plan.kind == kind


def test_the_learnt_pace_gives_the_time(store, sources):
    """By host, where it is known; the known pace elsewhere."""
    term = sources[ASSESSOR].terms

    known = plan_of(store, sources, [A, B], datasets="parcels")
    learnt = plan_of(store, sources, [A, B], datasets="parcels", rates={term.host: 0.5, "x": 9})

    assert known.minutes == pytest.approx(2 / term.requests_per_second / 60)
    assert learnt.minutes == pytest.approx(4 / 60)


def test_what_another_batch_has_in_work_is_active(store, sources):
    """In a batch that runs and asks the same; not in an ended one, nor in a validation."""
    first = running(store, "collect", (TREASURER, A))
    running(store, "validation", (ASSESSOR, A))
    ended = running(store, "collect", (TREASURER, B))
    store.writer.submit(
        lambda connection: connection.execute(
            "UPDATE batch_heads SET state = 'completed' WHERE batch_id = ?", [ended]
        ).fetchall()
    ).result()

    taxes = plan_of(store, sources, [A, B], kind="taxes", max_age=0)
    validation = plan_of(store, sources, [A, B], kind="validation")
    everything = plan_of(store, sources, [A], datasets="parcels")

    assert [(entry.status, entry.reason) for entry in taxes.entries] == [
        ("active", f"{TREASURER}: in work in batch {first}"),
        ("due", f"{TREASURER}: never collected"),
    ]
    assert waiting(taxes) == [(TREASURER, A), (TREASURER, B)]
    assert sum(taxes.requests.values()) == 4
    assert [entry.status for entry in validation.entries] == ["active", "due"]
    assert everything.counts == {"due": 1}


def test_what_another_batch_asks_a_second_way_for_is_active(store, sources):
    """Its first way has failed, and the parcel is in work all the same."""
    browser = f"{TREASURER}_browser"
    terms = replace(sources[TREASURER].terms, source=browser, transport="browser")
    batch = running(store, "collect", (browser, A))

    plan = plan_of(store, {**sources, browser: Config(terms)}, [A, B], kind="taxes")

    assert [(entry.status, entry.reason) for entry in plan.entries] == [
        ("active", f"{browser}: in work in batch {batch}"),
        ("due", f"{TREASURER}: never collected"),
    ]
    assert waiting(plan) == [(TREASURER, A), (TREASURER, B)]


def test_a_validation_skips_what_the_roll_has_just_said(store, sources):
    """Also where the source that validates keeps no roll of its own."""
    write(store, result(A, [parcel(A)], source=ASSESSOR))
    checker = replace(
        sources[ASSESSOR].terms, source="checker", provides=(), requests_per_item=0, host="c"
    )

    own = plan_of(store, sources, [A, B], kind="validation")
    other = plan_of(store, {"checker": Config(checker), **sources}, [A, B], kind="validation")

    assert (waiting(own), sum(own.requests.values())) == ([(ASSESSOR, B)], 1)
    assert (waiting(other), other.requests) == ([("checker", B)], {"c": 1})
    assert [entry.status for entry in other.entries] == ["fresh", "due"]


def test_a_search_is_planned(store, sources):
    """One item a query, at the source that can search; one in work is shared."""
    batch = running(store, "search", (ASSESSOR, "address:MAIN ST"))
    frame = pd.DataFrame({"street": ["MAIN  ST", "ELM ST"], "n": [1, 2]})

    plan = plan_of(store, sources, frame, kind="search", by="address", column="street")

    assert waiting(plan) == [(ASSESSOR, "address:MAIN ST"), (ASSESSOR, "address:ELM ST")]
    assert [entry.status for entry in plan.entries] == ["active", "due"]
    assert batch in plan.entries[0].reason
    assert (plan.by, plan.datasets, sum(plan.requests.values())) == ("address", (), 1)


def test_options_reach_the_plan(store, sources):
    """Kind, mode, priority, budget."""
    sources[TREASURER].terms = replace(sources[TREASURER].terms, credits_per_item=0.1)

    plan = plan_of(store, sources, [A, B, C], kind="enhance", mode="api", budget=0.2)

    assert (plan.kind, plan.mode, plan.budget) == ("enhance", "api", Decimal("0.2"))
    assert plan.credits == Decimal("0.2")
    assert {item.priority for item in plan.items} == {PRIORITIES["low"]}


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "x"},
        {"kind": "taxes", "datasets": "sales"},
        {"mode": "x"},
        {"mode": "browser"},
        {"kind": "validation", "mode": "browser"},
        {"kind": "search", "mode": "browser"},
        {"max_age": "1y"},
        {"max_age": -1},
        {"priority": "urgent"},
        {"budget": -1},
        {"by": "owner"},
        {"kind": "search", "by": "phone"},
    ],
)
def test_a_wrong_option_is_refused(store, sources, options):
    """Before anything is read."""
    with pytest.raises(RequestError):
        plan_of(store, sources, [A], **options)


def test_parcels_that_cannot_be_read_are_refused(store, sources):
    """And the collector of garbage works on."""
    with pytest.raises(IdentifierError):
        plan_of(store, sources, "none.csv")

    assert gc.isenabled()


def test_without_a_clock_given_the_age_is_by_now(store, sources):
    """What was written just now is fresh."""
    write(store, result(A, [parcel(A)], source=ASSESSOR, at=datetime.now(UTC)))

    assert plan_parcels(store, sources, [A], datasets="parcels").counts == {"fresh": 1}


def test_a_plan_says_that_a_token_is_missing(store, sources):
    """Before anybody waits, and only of a source that would be asked."""
    hint = (
        "set PROPKIT_SOURCES__MARICOPA_ASSESSOR__TOKEN, or token under [sources.maricopa_assessor]"
        " in propkit.toml"
    )
    write(store, result(A, [parcel(A)], source=ASSESSOR, at=NOW))

    due = plan_of(store, sources, [A, B])
    taxes = plan_of(store, sources, [A, B], kind="taxes")
    fresh = plan_of(store, sources, [A])
    searched = plan_of(store, sources, ["SMITH"], kind="search")

    assert due.notices == searched.notices == (f"{ASSESSOR}: no token: {hint}",)
    assert str(due).splitlines()[-1] == f"! {ASSESSOR}: no token: {hint}"
    assert taxes.notices == fresh.notices == ()
    assert "token" not in f"{taxes}{fresh}"


def test_a_plan_says_that_the_token_was_refused(store, sources):
    """When it was, until the source has answered again."""
    sources[ASSESSOR] = Config(replace(sources[ASSESSOR].terms, lacks_token=False))
    before = plan_of(store, sources, [B])
    refusal = {"state": State.FAILED, "failure_class": "rejected", "ended_at": noon()}
    made = create_batch(store, [Item(source=ASSESSOR, key=A)], kind="comprehensive", criteria={})
    write(store, result(A, batch_id=made.batch_id, source=ASSESSOR, at=None, **refusal))

    refused = plan_of(store, sources, [B])
    write(store, result(C, [parcel(C)], source=ASSESSOR, at=noon(5)))
    after = plan_of(store, sources, [B])

    said = f"{ASSESSOR}: the token was refused 2026-11-22 12:00 UTC: set PROPKIT_SOURCES__"
    assert [notice.startswith(said) for notice in refused.notices] == [True]
    assert before.notices == after.notices == ()
