"""Plan: what is due and what is not, why, and what it costs; pure, whole plans compared."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from propkit.durations import NEVER
from propkit.errors import RequestError
from propkit.identifier_lists import Identifiers, read_identifiers
from propkit.items import PRIORITIES, Item, State
from propkit.kinds import (
    ALL_DATASETS,
    DATASETS,
    KINDS,
    choose_datasets,
    choose_priority,
    choose_search,
    parse_budget,
    parse_datasets,
    read_credits,
)
from propkit.plan import STATUSES, Entry, Plan, make_plan, make_search_plan
from propkit.queries import read_queries
from propkit.terms import (
    Freshness,
    Known,
    Terms,
    choose_fallbacks,
    choose_searcher,
    choose_sources,
    choose_validator,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
A, B, C = "13238011", "13238012A", "30477566"
HIGH = PRIORITIES["high"]

ASSESSOR = Terms(
    source="assessor",
    host="a.gov",
    provides=("parcels", "residences", "improvements", "valuations", "sales"),
    needs=None,
    transport="http",
    requests_per_item=1,
    requests_per_second=5.0,
    max_age=DAY,
)
TREASURER = Terms(
    source="treasurer",
    host="t.gov",
    provides=("tax_bills", "tax_payments"),
    needs=None,
    transport="http",
    requests_per_item=4,
    requests_per_second=1.5,
    max_age=DAY,
)
RECORDER = Terms(
    source="recorder",
    host="r.gov",
    provides=("documents",),
    needs="deed_number",
    transport="http",
    requests_per_item=1,
    requests_per_second=2.0,
    max_age=DAY,
)
BROWSER = Terms(
    source="portal",
    host="p.gov",
    provides=("documents",),
    needs="deed_number",
    transport="browser",
    requests_per_item=2,
    requests_per_second=0.5,
    max_age=DAY,
)
ALL = (ASSESSOR, TREASURER, RECORDER)


def identifiers(*raw: object) -> Identifiers:
    return read_identifiers(list(raw))


def plan_of(*raw: object, terms: Any = ALL, known: Known | None = None, **changes: Any) -> Plan:
    options: dict[str, Any] = {
        "datasets": DATASETS,
        "mode": "auto",
        "max_age": None,
        "priority": HIGH,
        "now": NOW,
        **changes,
    }
    return make_plan(identifiers(*raw), terms, known or Known(), **options)


Answer = tuple[timedelta, bool, tuple[str, ...]]


def seen(
    *keys: tuple[str, str],
    ago: timedelta = timedelta(hours=3),
    is_found: bool = True,
    missing: tuple[str, ...] = (),
) -> dict[tuple[str, str], Answer]:
    return dict.fromkeys(keys, (ago, is_found, missing))


def freshness(answers: dict[tuple[str, str], Answer]) -> dict[str, Freshness]:
    """Put answers by (source, key) into the columns of each source."""
    by_source: dict[str, list[tuple[str, Answer]]] = {}
    for (source, key), answer in answers.items():
        by_source.setdefault(source, []).append((key, answer))
    return {
        source: Freshness(
            keys=[key for key, _ in rows],
            checked_at=[(NOW - ago).timestamp() for _, (ago, _, _) in rows],
            is_found=[is_found for _, (_, is_found, _) in rows],
            missing=[missing for _, (_, _, missing) in rows],
        )
        for source, rows in by_source.items()
    }


def known_of(answers: dict[tuple[str, str], Answer] | None = None, **changes: Any) -> Known:
    return Known(freshness=freshness(answers or {}), **changes)


def summary(plan: Plan) -> dict[str, Any]:
    """Return what is asked, what is skipped, and what it costs."""
    return {
        "due": [(item.source, item.key) for item in plan.due],
        "skipped": [(item.source, item.key) for item in plan.items if item.state is State.SKIPPED],
        "requests": {host: count for host, count in plan.requests.items() if count},
        "follow_ups": dict(plan.follow_ups),
        "statuses": [entry.status for entry in plan.entries],
    }


# ---------------------------------------------------------------- whole plans


def test_new_parcels_are_due_at_every_source_that_knows_them_by_apn():
    """Two parcels: items in the order given, follow-ups at the recorder, the slowest host's time."""
    plan = plan_of("132-38-011", B)

    reason = "assessor: never collected; treasurer: never collected"
    asked = ("assessor", "treasurer")
    assert plan == Plan(
        entries=(
            Entry(identifier="132-38-011", apn=A, status="due", reason=reason, sources=asked),
            Entry(identifier=B, apn=B, status="due", reason=reason, sources=asked),
        ),
        items=(
            Item(source="assessor", key=A, apn=A, priority=HIGH, sequence=0),
            Item(source="treasurer", key=A, apn=A, priority=HIGH, sequence=1),
            Item(source="assessor", key=B, apn=B, priority=HIGH, sequence=2),
            Item(source="treasurer", key=B, apn=B, priority=HIGH, sequence=3),
        ),
        datasets=DATASETS,
        mode="auto",
        origin=identifiers(A).origin,
        requests={"a.gov": 2, "t.gov": 8},
        follow_ups={"r.gov": 2},
        minutes=8 / 1.5 / 60,
        fresh_keys=frozenset(),
        sources=("assessor", "treasurer", "recorder"),
        planned_at=NOW,
    )


def test_every_status_in_one_plan():
    """Due, incomplete, fresh, active, duplicate and invalid, each with its reason."""
    due, incomplete, fresh, active = "10000001", "10000002", "10000003", "10000004"
    known = known_of(
        {
            **seen(("assessor", due), ago=timedelta(hours=30)),
            **seen(("assessor", incomplete), missing=("sales", "valuations")),
            **seen(("assessor", fresh), ago=timedelta(minutes=5)),
        },
        active={("assessor", active): "b7"},
    )

    plan = plan_of(
        due, incomplete, fresh, active, "100-00-001", "13238x", terms=(ASSESSOR,), known=known
    )

    invalid = identifiers("13238x").entries[0].reason
    assert plan == Plan(
        entries=(
            Entry(
                identifier=due,
                apn=due,
                status="due",
                reason="assessor: 1 d old",
                sources=("assessor",),
            ),
            Entry(
                identifier=incomplete,
                apn=incomplete,
                status="incomplete",
                reason="assessor: sales, valuations missing",
                sources=("assessor",),
            ),
            Entry(identifier=fresh, apn=fresh, status="fresh", reason="assessor: 5 min ago"),
            Entry(
                identifier=active,
                apn=active,
                status="active",
                reason="assessor: in work in batch b7",
                sources=("assessor",),
            ),
            Entry(
                identifier="100-00-001",
                apn=due,
                status="duplicate",
                reason="an earlier row names the same APN",
            ),
            Entry(identifier="13238x", apn=None, status="invalid", reason=invalid or ""),
        ),
        items=(
            Item(source="assessor", key=due, apn=due, sequence=0),
            Item(source="assessor", key=incomplete, apn=incomplete, sequence=1),
            Item(
                source="assessor",
                key=fresh,
                apn=fresh,
                sequence=2,
                state=State.SKIPPED,
                error="fresh: assessor: 5 min ago",
            ),
            Item(source="assessor", key=active, apn=active, sequence=3),
        ),
        datasets=DATASETS,
        mode="auto",
        origin=identifiers(A).origin,
        requests={"a.gov": 2},
        follow_ups={},
        minutes=2 / 5 / 60,
        sources=("assessor",),
        planned_at=NOW,
    )
    assert plan.counts == dict.fromkeys([s for s in STATUSES if s != "over_budget"], 1)
    assert [entry.identifier for entry in plan.invalid] == ["13238x"]
    assert [item.key for item in plan.due] == [due, incomplete, active]


def test_an_empty_list_gives_an_empty_plan():
    """Nothing to do, no host, no time."""
    nothing = Identifiers(entries=(), origin="a list")
    plan = make_plan(
        nothing, ALL, Known(), datasets=DATASETS, mode="auto", max_age=None, priority=HIGH, now=NOW
    )

    assert plan == Plan(
        entries=(),
        items=(),
        datasets=DATASETS,
        mode="auto",
        origin="a list",
        requests={},
        follow_ups={},
        minutes=0.0,
        sources=("assessor", "treasurer", "recorder"),
        planned_at=NOW,
    )
    assert str(plan) == (
        "Plan: 0 identifiers from a list: nothing\n  about 0 s at the pace of the slowest host"
    )
    assert plan.frame().shape == (0, 5)


def test_without_sources_nothing_is_asked():
    """No terms, no items; the identifiers are accounted for all the same."""
    plan = plan_of(A, "x", terms=())

    assert (plan.items, plan.requests, plan.minutes) == ((), {}, 0.0)
    assert [entry.identifier for entry in plan.entries] == [A, "x"]


def test_a_repaired_identifier_says_so():
    """What the spreadsheet did to it stands beside the reason."""
    plan = plan_of(13238011.0, terms=(ASSESSOR,))

    assert plan.entries[0].apn == A
    assert plan.entries[0].reason == (
        "assessor: never collected; read with a repair: decimal tail removed"
    )


def test_only_certain_identifiers_are_asked():
    """A likely reading is a suggestion: it costs no request."""
    likely = 1323801  # a lost leading zero, perhaps
    entry = identifiers(likely).entries[0]
    plan = plan_of(likely)

    assert (entry.confidence, entry.apn is not None) == ("likely", True)
    assert (plan.items, plan.counts) == ((), {"invalid": 1})
    assert plan.entries[0] == Entry(
        identifier="1323801", apn=None, status="invalid", reason=entry.reason or ""
    )


def test_the_priority_is_that_of_every_item():
    """Also of what is skipped."""
    plan = plan_of(A, known=known_of(seen(("assessor", A))), priority=PRIORITIES["critical"])

    assert [item.priority for item in plan.items] == [0, 0]


# ---------------------------------------------------------------- how old is too old

AGES: list[tuple[timedelta, timedelta | None, str]] = [
    # age, max_age of the call (None: the source's own, 24 h), status
    (timedelta(hours=23), None, "fresh"),
    (timedelta(hours=24), None, "due"),
    (timedelta(hours=25), None, "due"),
    (timedelta(hours=25), timedelta(days=2), "fresh"),
    (timedelta(hours=2), timedelta(hours=1), "due"),
    (timedelta(seconds=0), timedelta(0), "due"),
    (timedelta(seconds=1), timedelta(0), "due"),
    # Collected by a machine whose clock is ahead of this one.
    (timedelta(seconds=-5), timedelta(0), "due"),
    (timedelta(seconds=-5), None, "fresh"),
    (timedelta(days=4000), NEVER, "fresh"),
]


@pytest.mark.parametrize(("age", "max_age", "status"), AGES)
def test_an_answer_is_fresh_while_it_is_younger_than_max_age(age, max_age, status):
    """0 always asks, never never does, the call's word goes before the source's."""
    plan = plan_of(
        A,
        terms=(ASSESSOR,),
        known=known_of(seen(("assessor", A), ago=age)),
        max_age=max_age,
    )

    assert plan.counts == {status: 1}
    assert [item.state for item in plan.items] == [
        State.SKIPPED if status == "fresh" else State.WAITING
    ]


def test_never_refetching_still_collects_what_was_never_collected():
    """``max_age=None`` is about answers, not about their absence."""
    plan = plan_of(A, B, max_age=NEVER, known=known_of(seen(("assessor", A))))

    assert summary(plan)["due"] == [("treasurer", A), ("assessor", B), ("treasurer", B)]


def test_each_source_has_its_own_age():
    """A day for one, a week for the other."""
    weekly = replace(TREASURER, max_age=timedelta(days=7))
    known = known_of(seen(("assessor", A), ("treasurer", A), ago=timedelta(days=2)))

    plan = plan_of(A, terms=(ASSESSOR, weekly), known=known)

    assert summary(plan) == {
        "due": [("assessor", A)],
        "skipped": [("treasurer", A)],
        "requests": {"a.gov": 1},
        "follow_ups": {},
        "statuses": ["due"],
    }
    assert (plan.entries[0].reason, plan.entries[0].sources) == ("assessor: 2 d old", ("assessor",))


def test_a_parcel_that_is_known_not_to_exist_is_fresh_too():
    """That there is no such parcel is a result: it is not asked again before its time."""
    known = known_of(seen(("assessor", A), is_found=False))

    plan = plan_of(A, terms=(ASSESSOR,), known=known)

    assert [entry.reason for entry in plan.entries] == ["assessor: not found 3 h ago"]
    assert summary(plan)["skipped"] == [("assessor", A)]


def test_only_missing_tables_that_are_wanted_make_an_answer_incomplete():
    """Who wants the parcels does not pay for the sales that were missing."""
    known = known_of(seen(("assessor", A), missing=("sales",)))

    wanted = plan_of(A, terms=(ASSESSOR,), known=known, datasets=("parcels", "sales"))
    unwanted = plan_of(A, terms=(ASSESSOR,), known=known, datasets=("parcels",))

    assert (wanted.counts, unwanted.counts) == ({"incomplete": 1}, {"fresh": 1})


def test_a_missing_table_is_asked_again_even_when_nothing_is_ever_refetched():
    """Incomplete is not fresh, whatever the age."""
    known = known_of(seen(("assessor", A), missing=("sales",)))

    assert plan_of(A, terms=(ASSESSOR,), known=known, max_age=NEVER).counts == {"incomplete": 1}


def test_what_another_batch_has_in_work_waits_here_too_and_costs_nothing():
    """One request serves both batches, so that a critical one can overtake; the rest is asked."""
    known = Known(active={("treasurer", A): "b7"})

    plan = plan_of(A, known=known, max_age=timedelta(0))
    alone = plan_of(A, known=known, terms=(TREASURER,))

    assert summary(plan) == {
        "due": [("assessor", A), ("treasurer", A)],
        "skipped": [],
        "requests": {"a.gov": 1},
        "follow_ups": {"r.gov": 1},
        "statuses": ["due"],
    }
    assert alone.entries == (
        Entry(
            identifier=A,
            apn=A,
            status="active",
            reason="treasurer: in work in batch b7",
            sources=("treasurer",),
        ),
    )
    assert (len(alone.due), alone.requests, alone.minutes) == (1, {}, 0.0)


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ({}, "active"),
        (seen(("assessor", A)), "fresh"),
        (seen(("assessor", A), ago=timedelta(days=2)), "active"),
        (seen(("assessor", A), missing=("sales",)), "active"),
    ],
)
def test_what_is_fresh_does_not_wait_for_the_batch_that_has_it_in_work(answers, status):
    """What is at hand already is at hand; the old and the incomplete wait."""
    known = known_of(answers, active={("assessor", A): "b7"})

    assert plan_of(A, terms=(ASSESSOR,), known=known).counts == {status: 1}


# ---------------------------------------------------------------- keys of other offices

DEED, OTHER_DEED = "20130183449", "20150453721"
ASSESSED = seen(("assessor", A), ("treasurer", A), ("assessor", B), ("treasurer", B))


def test_a_known_deed_of_a_fresh_parcel_is_asked_for_directly():
    """The assessor need not be asked again to know the number."""
    known = known_of(ASSESSED, keys={"recorder": {A: DEED}})

    plan = plan_of(A, known=known)

    assert summary(plan) == {
        "due": [("recorder", DEED)],
        "skipped": [("assessor", A), ("treasurer", A)],
        "requests": {"r.gov": 1},
        "follow_ups": {},
        "statuses": ["due"],
    }
    assert plan.due[0] == Item(source="recorder", key=DEED, apn=A, priority=HIGH, sequence=2)
    assert plan.entries[0].sources == ("recorder",)


def test_a_parcel_without_a_deed_costs_the_recorder_nothing():
    """The assessor's answer gave no number: there is nothing to ask for."""
    plan = plan_of(A, known=known_of(ASSESSED))

    assert summary(plan) == {
        "due": [],
        "skipped": [("assessor", A), ("treasurer", A)],
        "requests": {},
        "follow_ups": {},
        "statuses": ["fresh"],
    }


def test_a_deed_is_fresh_by_its_own_number():
    """It is skipped, and told to the collector for the follow-ups of other parcels."""
    known = known_of({**ASSESSED, **seen(("recorder", DEED))}, keys={"recorder": {A: DEED}})

    plan = plan_of(A, known=known)

    assert summary(plan)["skipped"] == [("assessor", A), ("treasurer", A), ("recorder", DEED)]
    assert plan.fresh_keys == {("recorder", DEED)}


def test_the_fresh_keys_are_those_of_keyed_sources_that_need_no_request():
    """Not the old, the incomplete, nor an APN; the one in work elsewhere is fresh all the same."""
    known = known_of(
        {
            **seen(("recorder", "1"), ("recorder", "4"), ("assessor", A)),
            **seen(("recorder", "2"), ago=timedelta(days=2)),
            **seen(("recorder", "3"), missing=("documents",)),
        },
        active={("recorder", "4"): "b7"},
    )

    assert plan_of(A, known=known).fresh_keys == {("recorder", "1"), ("recorder", "4")}
    assert plan_of(A, known=known, max_age=timedelta(0)).fresh_keys == frozenset()


def test_a_deed_of_two_parcels_is_planned_once():
    """One request, one item; each parcel's row says how its deed stands."""
    known = known_of(ASSESSED, keys={"recorder": {A: DEED, B: DEED}})

    plan = plan_of(A, B, known=known)

    assert [(item.source, item.key, item.apn) for item in plan.due] == [("recorder", DEED, A)]
    assert plan.requests["r.gov"] == 1
    assert [entry.status for entry in plan.entries] == ["due", "due"]


def test_an_assessor_that_is_asked_anyway_decides_the_deed():
    """Its answer may name a newer one: the number known today is not asked for by itself."""
    known = known_of(
        seen(("assessor", A), ("treasurer", A), ago=timedelta(days=2)),
        keys={"recorder": {A: DEED}},
    )

    plan = plan_of(A, known=known)

    assert summary(plan) == {
        "due": [("assessor", A), ("treasurer", A)],
        "skipped": [],
        "requests": {"a.gov": 1, "t.gov": 4},
        "follow_ups": {"r.gov": 1},
        "statuses": ["due"],
    }


# ---------------------------------------------------------------- hosts, requests, minutes


def test_two_sources_on_one_host_share_its_requests_and_its_time():
    """The cost is that of the host, not of each source."""
    shared = [replace(t, host="h", requests_per_second=2.0) for t in ALL]

    plan = plan_of(A, B, C, terms=shared)

    assert (dict(plan.requests), dict(plan.follow_ups)) == ({"h": 15}, {"h": 3})
    assert plan.minutes == pytest.approx(18 / 2 / 60)


@pytest.mark.parametrize(
    ("terms", "seconds"),
    [((ASSESSOR,), 100 / 5), ((TREASURER,), 400 / 1.5), (ALL, 400 / 1.5), ((RECORDER,), 0)],
)
def test_the_time_is_that_of_the_slowest_host(terms, seconds):
    """Hosts are asked side by side."""
    apns = [f"132380{number:02}" for number in range(100)]

    assert plan_of(*apns, terms=terms).minutes == pytest.approx(seconds / 60)


# ---------------------------------------------------------------- how it is shown


def test_a_plan_prints_what_a_person_decides_on():
    """Counts, hosts, time, and the identifiers that cannot be used."""
    known = known_of(seen(("assessor", B), ("treasurer", B)))
    bad = [f"x{number}" for number in range(7)]
    plan = plan_of(A, B, A, *bad, known=known)

    lines = str(plan).splitlines()

    assert lines[:5] == [
        f"Plan: 10 identifiers from {plan.origin}: 1 due, 1 fresh, 1 duplicate, 7 invalid",
        "  a.gov: 1 request",
        "  t.gov: 4 requests",
        "  r.gov: 0 requests, up to 1 more by what they answer",
        "  about 3 s at the pace of the slowest host",
    ]
    assert lines[5:10] == [
        f"  not usable: {entry.identifier!r}: {entry.reason}" for entry in plan.invalid[:5]
    ]
    assert lines[10:] == ["  … and 2 more; see plan.frame()"]
    assert str(plan_of(A)).startswith(f"Plan: 1 identifier from {plan.origin}: 1 due\n")
    assert repr(plan) == str(plan)


@pytest.mark.parametrize(
    ("count", "shown"), [(1, "about 3 s"), (22, "about 59 s"), (23, "about 1 min"), (2250, "about 100 min")]
)  # fmt: skip
def test_the_time_is_shown_in_seconds_up_to_a_minute(count, shown):
    """Nobody reads 6000 seconds."""
    apns = [f"1{number:07}" for number in range(count)]

    assert shown in str(plan_of(*apns))


def test_html_of_a_plan_is_its_text_escaped():
    """An identifier with markup is shown, not run."""
    plan = plan_of("<script>x</script>")

    shown = plan._repr_html_()
    assert "Plan: 1 identifier from" in shown
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_a_plan_as_a_frame_has_a_row_an_identifier():
    """Text only, in the order given; an absent APN is missing."""
    plan = plan_of(A, "x", 13238011.0, terms=(ASSESSOR, TREASURER))

    expected = pd.DataFrame(
        {
            "identifier": [A, "x", "13238011.0"],
            "apn": [A, None, A],
            "status": ["due", "invalid", "duplicate"],
            "reason": [entry.reason for entry in plan.entries],
            "sources": ["assessor, treasurer", "", ""],
        },
        dtype="string",
    )
    pd.testing.assert_frame_equal(plan.frame(), expected)


# ---------------------------------------------------------------- what may be asked for


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, DATASETS),
        ("sales", ("sales",)),
        (["tax_bills", "parcels", "parcels"], ("parcels", "tax_bills")),
        ((), ()),
    ],
)
def test_datasets_are_read_in_the_order_of_the_tables(asked, expected):
    """One name, several, or all."""
    assert parse_datasets(asked) == expected


@pytest.mark.parametrize("asked", ["sale", ["parcels", "leeds"], ["items"]])
def test_an_unknown_dataset_is_refused_with_the_choices(asked):
    """The message names it, and every table there is."""
    with pytest.raises(RequestError) as caught:
        parse_datasets(asked)

    name = asked if isinstance(asked, str) else asked[-1]
    assert str(caught.value) == (f"no dataset {name!r}; expected some of {', '.join(ALL_DATASETS)}")


CHOICES: list[tuple[tuple[str, ...], str, list[str]]] = [
    (DATASETS, "auto", ["assessor", "treasurer", "recorder"]),
    (DATASETS, "all", ["assessor", "treasurer", "recorder", "portal"]),
    (DATASETS, "api_then_browser", ["assessor", "treasurer", "recorder"]),
    (DATASETS, "api", ["assessor", "treasurer", "recorder"]),
    (("tax_bills",), "auto", ["treasurer"]),
    (("sales", "tax_payments"), "api", ["assessor", "treasurer"]),
    # The recorder is asked by deed number, and only the assessor gives it.
    (("documents",), "api", ["assessor", "recorder"]),
    (("documents", "tax_bills"), "api", ["assessor", "treasurer", "recorder"]),
]


@pytest.mark.parametrize(("datasets", "mode", "expected"), CHOICES)
def test_the_sources_asked_are_those_that_provide_what_is_wanted(datasets, mode, expected):
    """And those that give another one its keys, each once."""
    chosen = choose_sources([*ALL, BROWSER], datasets, mode)

    assert sorted(term.source for term in chosen) == sorted(expected)


def test_documents_alone_cost_the_assessor_too():
    """The deed number has to come from somewhere."""
    plan = plan_of(A, terms=choose_sources(ALL, ("documents",), "auto"), datasets=("documents",))

    assert summary(plan) == {
        "due": [("assessor", A)],
        "skipped": [],
        "requests": {"a.gov": 1},
        "follow_ups": {"r.gov": 1},
        "statuses": ["due"],
    }


@pytest.mark.parametrize(
    ("datasets", "mode", "said"),
    [
        (
            ("parcels",),
            "fast",
            "no mode 'fast'; expected one of auto, api, browser, api_then_browser, all",
        ),
        (("parcels",), "browser", "no source provides parcels with mode='browser'"),
        (
            ("parcels", "tax_bills", "documents"),
            "browser",
            "no source provides parcels, tax_bills with mode='browser'",
        ),
    ],
)
def test_what_no_source_provides_is_refused(datasets, mode, said):
    """Before anything is asked; the message names the tables or the modes."""
    with pytest.raises(RequestError) as caught:
        choose_sources([*ALL, BROWSER], datasets, mode)

    assert str(caught.value) == said


# ---------------------------------------------------------------- ways in

HTTP = replace(RECORDER, source="http", host="h.gov")
SLOW = replace(HTTP, source="slow", requests_per_item=3)
PAID = replace(HTTP, source="paid", credits_per_item=2.0)

WAYS: list[tuple[list[Terms], str, list[str], dict[str, tuple[str, ...]]]] = [
    # what can be asked, mode, what is asked, what is tried in its place
    ([HTTP, BROWSER], "auto", ["http"], {"http": ("portal",)}),
    ([BROWSER, SLOW, HTTP], "auto", ["http"], {"http": ("slow", "portal")}),
    ([BROWSER, SLOW, HTTP], "api_then_browser", ["http"], {"http": ("portal",)}),
    ([BROWSER, SLOW, HTTP], "api", ["http"], {"http": ("slow",)}),
    ([BROWSER, SLOW, HTTP], "browser", ["portal"], {}),
    ([BROWSER, SLOW, HTTP], "all", ["portal", "slow", "http"], {}),
    # Only a browser provides the table.
    ([BROWSER], "auto", ["portal"], {}),
    ([BROWSER], "api_then_browser", ["portal"], {}),
    # Nobody pays by surprise.
    ([PAID, BROWSER], "auto", ["portal"], {}),
    ([PAID], "auto", ["paid"], {}),
    ([PAID, replace(PAID, source="paid2")], "auto", ["paid"], {"paid": ("paid2",)}),
    # Other keys cannot be asked for.
    ([HTTP, replace(BROWSER, needs="mcr")], "auto", ["http"], {}),
]


@pytest.mark.parametrize(("able", "mode", "asked", "instead"), WAYS)
def test_a_mode_says_who_is_asked_and_who_in_its_place(able, mode, asked, instead):
    """The cheapest way in first; those that take the same keys when it fails."""
    roll = [ASSESSOR, replace(ASSESSOR, source="roll", transport="browser")]
    chosen = choose_sources([*roll, *able], ("documents",), mode)
    fallbacks = choose_fallbacks([*roll, *able], chosen, ("documents",), mode)

    rolls = {"assessor", "roll"}
    assert [term.source for term in chosen if term.source not in rolls] == asked
    assert {k: v for k, v in fallbacks.items() if k not in rolls} == instead
    assert rolls & {term.source for term in chosen}


def test_a_source_is_left_out_when_others_provide_its_tables_anyway():
    """The assessor is asked for sales, so that nobody else is asked for parcels; and reversed."""
    light = replace(ASSESSOR, source="light", provides=("parcels",))

    both = choose_sources([light, ASSESSOR], ("parcels", "sales"), "auto")
    one = choose_sources([light, replace(ASSESSOR, requests_per_item=2)], ("parcels",), "auto")
    every = choose_sources([light, ASSESSOR], ("parcels", "sales"), "all")

    assert [term.source for term in both] == ["assessor"]
    assert [term.source for term in one] == ["light"]
    assert [term.source for term in every] == ["light", "assessor"]


def test_the_fallbacks_are_said():
    """The plan carries and prints them."""
    ways = {"assessor": [replace(ASSESSOR, source=name) for name in ("wide", "portal")]}
    plan = plan_of(A, terms=(ASSESSOR,), ways=ways)

    assert plan.fallbacks == {"assessor": ("wide", "portal")}
    assert "  wide, then portal in place of assessor, should it fail" in str(plan)


LIGHT = replace(ASSESSOR, source="light", provides=("parcels",), max_age=2 * DAY)
OLD = timedelta(hours=30)


@pytest.mark.parametrize(
    ("answers", "datasets", "status", "reason"),
    [
        (seen(("light", A)), ("parcels",), "fresh", "light: 3 h ago"),
        # Its own age counts for it.
        (seen(("light", A), ago=OLD), ("parcels",), "fresh", "light: 1 d ago"),
        (seen(("light", A), ago=3 * DAY), ("parcels",), "due", "light: 3 d old"),
        (
            seen(("assessor", A), ago=OLD) | seen(("light", A)),
            ("parcels",),
            "fresh",
            "light: 3 h ago",
        ),
        (
            seen(("assessor", A)) | seen(("light", A), ago=3 * DAY),
            ("parcels",),
            "fresh",
            "assessor: 3 h ago",
        ),
        (
            seen(("light", A), is_found=False),
            ("parcels",),
            "fresh",
            "light: not found 3 h ago",
        ),
        (
            seen(("light", A), missing=("parcels",)),
            ("parcels",),
            "incomplete",
            "light: parcels missing",
        ),
        # What it cannot give at all is missing as well.
        (seen(("light", A)), ("parcels", "sales"), "incomplete", "light: sales missing"),
    ],
)
def test_what_a_second_way_has_collected_is_collected(answers, datasets, status, reason):
    """An item stands as its best way does, in so far as that gives all that is wanted."""
    known = Known(freshness=freshness(answers))
    alone = plan_of(A, terms=(ASSESSOR,), known=known, datasets=datasets)

    plan = plan_of(
        A, terms=(ASSESSOR,), known=known, datasets=datasets, ways={"assessor": (LIGHT,)}
    )

    assert [(entry.status, entry.reason) for entry in plan.entries] == [(status, reason)]
    assert plan.requests == ({} if status == "fresh" else {"a.gov": 1})
    is_own = reason.startswith("assessor")
    assert alone.counts == {"fresh" if is_own else "due": 1}  # where it may not be asked


@pytest.mark.parametrize(("datasets", "status"), [(("parcels",), "active"), (("sales",), "due")])
def test_what_another_batch_has_in_work_by_a_second_way_waits_too(datasets, status):
    """Where that way gives all that is wanted of it."""
    known = Known(active={("light", A): "b7"})

    plan = plan_of(
        A, terms=(ASSESSOR,), known=known, datasets=datasets, ways={"assessor": (LIGHT,)}
    )

    reason = {"active": "light: in work in batch b7", "due": "assessor: never collected"}
    assert [(entry.status, entry.reason) for entry in plan.entries] == [(status, reason[status])]
    assert [(item.source, item.state) for item in plan.items] == [("assessor", State.WAITING)]


def test_what_is_in_work_waits_though_a_second_way_has_an_old_answer():
    known = Known(
        freshness=freshness(seen(("light", A), ago=3 * DAY)), active={("assessor", A): "b"}
    )

    plan = plan_of(A, terms=(ASSESSOR,), known=known, ways={"assessor": (LIGHT,)})

    assert plan.counts == {"active": 1}


# ---------------------------------------------------------------- kinds


@pytest.mark.parametrize(
    ("kind", "datasets", "expected"),
    [
        ("comprehensive", None, DATASETS),
        ("comprehensive", "sales", ("sales",)),
        ("enhance", None, DATASETS),
        ("enhance", ["sales"], ("sales",)),
        ("taxes", None, ("tax_bills", "tax_payments")),
        ("taxes", ["tax_payments", "tax_bills"], ("tax_bills", "tax_payments")),
        ("sales_and_documents", None, ("sales", "documents")),
        ("validation", None, ()),
        ("search", (), ()),
    ],
)
def test_a_kind_has_its_tables(kind, datasets, expected):
    """The open kinds can be narrowed."""
    assert choose_datasets(kind, datasets) == expected


@pytest.mark.parametrize(
    ("kind", "datasets", "said"),
    [
        (
            "taxes",
            "sales",
            (
                "kind='taxes' collects tax_bills, tax_payments, not datasets=['sales']; "
                "leave one of them out"
            ),
        ),
        (
            "search",
            ["sales"],
            "kind='search' collects no table, not datasets=['sales']; leave one of them out",
        ),
        ("tax", None, f"no kind 'tax'; expected one of {', '.join(KINDS)}"),
        ("taxes", "x", f"no dataset 'x'; expected some of {', '.join(ALL_DATASETS)}"),
    ],
)
def test_tables_that_a_kind_does_not_collect_are_refused(kind, datasets, said):
    """The message names both."""
    with pytest.raises(RequestError) as caught:
        choose_datasets(kind, datasets)

    assert str(caught.value) == said


def test_a_background_batch_is_low_unless_something_else_is_said():
    """Enhancing must not hold up a person."""
    assert choose_priority("enhance", None) == PRIORITIES["low"]
    assert choose_priority("enhance", "critical") == PRIORITIES["critical"]
    assert choose_priority("taxes", None) == HIGH


VALIDATOR = replace(ASSESSOR, can_validate=True, requests_per_item=6)


def test_a_validation_asks_once_for_each_parcel_that_is_not_known():
    """A fresh record has answered; missing sales do not matter, a missing record does."""
    fresh, old, partial, bare = "10000001", "10000002", "10000003", "10000004"
    known = known_of(
        {
            **seen(("assessor", fresh)),
            **seen(("assessor", old), ago=timedelta(days=3)),
            **seen(("assessor", partial), missing=("sales",)),
            **seen(("assessor", bare), missing=("parcels",)),
        }
    )
    terms = [choose_validator([TREASURER, VALIDATOR], "auto")]

    plan = plan_of(
        fresh, old, partial, bare, "x", A, A,
        terms=terms, known=known, datasets=(), kind="validation",
    )  # fmt: skip

    assert summary(plan) == {
        "due": [("assessor", old), ("assessor", bare), ("assessor", A)],
        "skipped": [("assessor", fresh), ("assessor", partial)],
        "requests": {"a.gov": 3},
        "follow_ups": {},
        "statuses": ["fresh", "due", "fresh", "incomplete", "invalid", "due", "duplicate"],
    }
    assert plan.items[0].error == "fresh: assessor: 3 h ago"
    assert str(plan).startswith("Plan validation: 7 identifiers from list: 2 due, 1 incomplete")


SEARCHER = replace(ASSESSOR, can_search=True, requests_per_item=6)


def test_a_search_has_an_item_a_query():
    """Blank ones are invalid, equal ones duplicates, and pages are not known beforehand."""
    plan = make_search_plan(
        read_queries(["SMITH", " SMITH ", "", None, "DOE  JOHN", "DOE"]),
        choose_searcher([TREASURER, SEARCHER], "auto"),
        {("assessor", "owner:DOE"): "b7"},
        by="owner",
        mode="auto",
        priority=HIGH,
    )

    assert [(item.key, item.apn) for item in plan.due] == [
        ("owner:SMITH", None),
        ("owner:DOE JOHN", None),
        ("owner:DOE", None),
    ]
    assert [(e.status, e.sources) for e in plan.entries] == [
        ("due", ("assessor",)),
        ("duplicate", ()),
        ("invalid", ()),
        ("invalid", ()),
        ("due", ("assessor",)),
        ("active", ("assessor",)),
    ]
    assert (plan.kind, plan.by, plan.requests) == ("search", "owner", {"a.gov": 2})
    assert str(plan).splitlines() == [
        "Plan search: 6 queries from list: 2 due, 1 active, 1 duplicate, 2 invalid",
        "  a.gov: at least 2 requests",
        "  at least about 0 s at the pace of the slowest host",
        "  not usable: '': is blank",
        "  not usable: '': is blank",
    ]


@pytest.mark.parametrize("choose", [choose_validator, choose_searcher])
def test_who_cannot_validate_or_search_is_not_asked(choose):
    """The message says what nobody can do; the cheapest of those who can is asked, once."""
    dear = replace(SEARCHER, source="dear", can_validate=True, transport="browser")
    cheap = replace(SEARCHER, source="cheap", can_validate=True)

    chosen = choose([ASSESSOR, dear, cheap], "auto")

    assert (chosen.source, chosen.requests_per_item) == ("cheap", 1)
    with pytest.raises(RequestError, match=r"no source can .* with mode='api'"):
        choose([ASSESSOR, dear], "api")


@pytest.mark.parametrize(
    ("kind", "by", "expected"),
    [("search", None, "owner"), ("search", "address", "address"), ("taxes", None, None)],
)
def test_only_a_search_is_by_something(kind, by, expected):
    """By owner unless something else is said."""
    assert choose_search(kind, by) == expected


@pytest.mark.parametrize(("kind", "by"), [("search", "phone"), ("search", ""), ("taxes", "owner")])
def test_a_wrong_way_to_search_is_refused(kind, by):
    """The message names it."""
    with pytest.raises(RequestError, match=repr(by)):
        choose_search(kind, by)


# ---------------------------------------------------------------- credits


@pytest.mark.parametrize(
    "budget", [-1, -0.01, True, False, "10", float("nan"), float("inf"), [], b"1"]
)
def test_a_budget_that_is_no_amount_is_refused_with_its_value(budget):
    """Also what is not finite."""
    with pytest.raises(RequestError) as caught:
        parse_budget(budget)

    assert str(caught.value) == (f"budget must be a number of credits from 0 up, not {budget!r}")


@pytest.mark.parametrize(
    ("budget", "bought"),
    [(None, 4), (0, 0), (0.09, 0), (0.3, 3), (0.29999, 2), (Decimal("0.3"), 3), (100, 4)],
)
def test_credits_are_spent_in_the_plans_order_up_to_the_budget(budget, bought):
    """Three tenths are three times one tenth; what is free is never left out."""
    paid = replace(TREASURER, credits_per_item=0.1)
    apns = ["10000001", "10000002", "10000003", "10000004"]

    plan = plan_of(*apns, terms=(ASSESSOR, paid), budget=parse_budget(budget))

    assert [i.key for i in plan.due if i.source == "treasurer"] == apns[:bought]
    assert [i.key for i in plan.due if i.source == "assessor"] == apns
    assert plan.credits == Decimal("0.1") * bought
    assert plan.requests.get("t.gov", 0) == 4 * bought
    assert plan.budget == parse_budget(budget)


def test_what_the_budget_leaves_out_is_said():
    """The item's error, the identifier's status and reason, and the printed plan name it."""
    paid = replace(TREASURER, credits_per_item=0.1)

    plan = plan_of(A, B, terms=(paid,), budget=Decimal("0.1"))
    mixed = plan_of(A, terms=(ASSESSOR, paid), budget=Decimal(0))

    reason = "treasurer: 0.1 credits do not fit the budget of 0.1"
    assert plan.entries[1] == Entry(identifier=B, apn=B, status="over_budget", reason=reason)
    assert plan.items[1] == Item(
        source="treasurer",
        key=B,
        apn=B,
        sequence=1,
        state=State.SKIPPED,
        error=f"budget: {reason}",
    )
    assert (plan.counts, mixed.counts) == ({"due": 1, "over_budget": 1}, {"due": 1})
    assert "assessor: never collected; treasurer: 0.1 credits do not fit" in mixed.entries[0].reason
    assert str(plan).splitlines()[-1] == "  0.1 credits (budget 0.1)"
    assert str(plan_of(A, terms=(paid,))).splitlines()[-1] == "  0.1 credits (no budget)"


def test_what_is_in_work_elsewhere_is_free_and_yet_reserved():
    """Should the other batch be cancelled, this one pays: it must be able to."""
    paid = replace(TREASURER, credits_per_item=1)
    known = Known(active={("treasurer", A): "b7"})

    plan = plan_of(A, B, terms=(paid,), known=known, budget=Decimal(1))

    assert (plan.counts, plan.credits) == ({"active": 1, "over_budget": 1}, 0)


def test_follow_ups_of_a_paid_source_are_said_to_cost():
    """They are counted apart, since nobody knows yet how many there will be."""
    plan = plan_of(A, B, terms=(ASSESSOR, replace(RECORDER, credits_per_item=0.1)))

    assert (plan.credits, plan.follow_up_credits) == (0, Decimal("0.2"))
    assert str(plan).splitlines()[-1] == (
        "  0 credits, up to 0.2 more by what they answer (no budget)"
    )


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_a_source_with_an_impossible_price_is_refused(price):
    """A negative price would make room in the budget."""
    with pytest.raises(RequestError, match=f"assessor.*{price!r}"):
        plan_of(A, terms=(replace(ASSESSOR, credits_per_item=price),))


def test_items_that_start_apart_take_their_time():
    """A source that spaces its items is not done before the last one started."""
    spaced = replace(ASSESSOR, seconds_per_item=2.0)

    assert plan_of(A, B, C, terms=(spaced,)).minutes == pytest.approx(6 / 60)


# ---------------------------------------------------------------- properties

apns = st.sampled_from([f"132380{number:02}" for number in range(12)])
rows = st.one_of(apns, apns.map(lambda a: f"{a[:3]}-{a[3:5]}-{a[5:]}"), st.sampled_from(["x", "?"]))
deeds = st.sampled_from(["20130000001", "20130000002", "20130000003"])
ages = st.timedeltas(min_value=timedelta(days=-1), max_value=timedelta(days=5))
states = st.tuples(
    ages, st.booleans(), st.sampled_from([(), ("sales",), ("documents",), ("parcels",)])
)
keys = st.one_of(
    st.tuples(st.sampled_from(["assessor", "treasurer"]), apns),
    st.tuples(st.just("recorder"), deeds),
)
knowledge = st.builds(
    known_of,
    st.dictionaries(keys, states, max_size=20),
    keys=st.fixed_dictionaries({"recorder": st.dictionaries(apns, deeds, max_size=8)}),
    active=st.dictionaries(keys, st.just("b7"), max_size=4),
)
costs = st.one_of(st.just(0.0), st.sampled_from([0.1, 1 / 3, 2.5, 7]), st.floats(0, 1e300))
budgets = st.one_of(st.none(), st.sampled_from([0, 0.3, 7.5]), st.floats(0, 1e308))


@given(
    st.lists(rows, min_size=1, max_size=25),
    knowledge,
    st.sampled_from([None, timedelta(0), DAY, NEVER]),
)
def test_every_identifier_is_accounted_for_and_nothing_is_asked_twice(raw, known, max_age):
    """Items are unique; each valid APN has one fate of its own; the counts add up."""
    plan = plan_of(*raw, known=known, max_age=max_age)

    identities = [item.identity for item in plan.items]
    assert len(identities) == len(set(identities))
    assert [item.sequence for item in plan.items] == list(range(len(identities)))

    assert [entry.identifier for entry in plan.entries] == raw
    assert sum(plan.counts.values()) == len(raw)
    statuses = {status: [e.apn for e in plan.entries if e.status == status] for status in STATUSES}
    valid = [apn.canonical for apn in identifiers(*raw).valid]
    own = [e.apn for e in plan.entries if e.status not in {"duplicate", "invalid"}]
    assert own == valid
    assert set(statuses["duplicate"]) <= set(valid)
    assert all(entry.reason for entry in plan.entries)

    # For each parcel at each source one item: it waits, or is skipped as fresh.
    for source in ("assessor", "treasurer"):
        assert [item.key for item in plan.items if item.source == source] == valid
    answers = {(s, key) for s, columns in known.freshness.items() for key in columns.keys}
    skipped = {item.identity for item in plan.items if item.state is State.SKIPPED}
    assert skipped | plan.fresh_keys <= answers

    asked = Counter[str]()
    for item in plan.due:
        if item.identity not in known.active:
            terms = next(term for term in ALL if term.source == item.source)
            asked[terms.host] += terms.requests_per_item
    assert asked == Counter({host: n for host, n in plan.requests.items() if n})
    waiting = {item.apn for item in plan.due if item.source != "recorder"}
    assert {e.apn for e in plan.entries if {"assessor", "treasurer"} & {*e.sources}} == waiting


@given(st.lists(rows, max_size=12), knowledge, st.tuples(costs, costs, costs), budgets)
def test_a_budget_is_never_overspent(raw, known, prices, budget):
    """Whatever the prices: all that waits fits, exactly; nothing that fits is left out."""
    terms = [replace(t, credits_per_item=c) for t, c in zip(ALL, prices, strict=True)]
    price = {t.source: Fraction(read_credits(t.credits_per_item)) for t in terms}
    limit = parse_budget(budget)
    plan = plan_of(*raw, terms=terms, known=known, budget=limit)

    waiting = sum(price[item.source] for item in plan.due)
    paid = sum(price[i.source] for i in plan.due if i.identity not in known.active)
    over = [item for item in plan.items if (item.error or "").startswith("budget: ")]

    assert Fraction(plan.credits) == paid
    assert (plan.budget is None) == (budget is None)
    assert all(item.state is State.SKIPPED for item in over)
    if limit is None:
        assert over == []
    else:
        assert waiting <= Fraction(limit)
        assert all(waiting + price[item.source] > Fraction(limit) for item in over)
    named = {apn for apn in (e.apn for e in plan.entries if "budget of" in e.reason) if apn}
    assert {item.apn for item in over} <= named


@given(st.lists(rows, max_size=12), knowledge, budgets)
def test_a_plan_is_pure(raw, known, budget):
    """The same input gives the same plan, item by item, and leaves its input alone."""
    terms = [replace(term, credits_per_item=1.5) for term in ALL]
    before = repr(known)

    plans = [plan_of(*raw, terms=terms, known=known, budget=parse_budget(budget)) for _ in "12"]

    assert plans[0] == plans[1]
    assert plans[0].items == tuple(plans[1].items)
    assert [item.order for item in plans[0].items] == sorted(i.order for i in plans[0].items)
    assert repr(known) == before


@given(st.lists(rows, min_size=1, max_size=25))
def test_collecting_what_was_planned_leaves_nothing_to_do(raw):
    """The same list again costs no request."""
    first = plan_of(*raw)
    known = known_of(seen(*(item.identity for item in first.items)))

    again = plan_of(*raw, known=known)

    assert (again.due, sum(again.requests.values()), again.follow_ups) == ((), 0, {})
    assert [item.identity for item in again.items] == [item.identity for item in first.items]
