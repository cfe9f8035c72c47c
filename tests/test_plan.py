"""Plan: what is due and what is not, why, and what it costs; pure, whole plans compared."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from propkit.errors import RequestError
from propkit.identifier_lists import Identifiers, read_identifiers
from propkit.items import PRIORITIES, Item, State
from propkit.plan import (
    DATASETS,
    STATUSES,
    Entry,
    Freshness,
    Known,
    Plan,
    Terms,
    choose_sources,
    make_plan,
    parse_datasets,
)
from propkit.settings import NEVER

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
A, B, C = "13238011", "13238012A", "30477566"
HIGH = PRIORITIES["high"]

ASSESSOR = Terms(
    source="assessor",
    host="a.gov",
    provides=("parcels", "residences", "valuations", "sales"),
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


def seen(*keys: tuple[str, str], ago: timedelta = timedelta(hours=3), **facts: Any) -> Any:
    return {key: Freshness(checked_at=NOW - ago, **facts) for key in keys}


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
    )


def test_every_status_in_one_plan():
    """Due, incomplete, fresh, active, duplicate and invalid, each with its reason."""
    due, incomplete, fresh, active = "10000001", "10000002", "10000003", "10000004"
    known = Known(
        freshness={
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
        ),
        datasets=DATASETS,
        mode="auto",
        origin=identifiers(A).origin,
        requests={"a.gov": 2},
        follow_ups={},
        minutes=2 / 5 / 60,
        sources=("assessor",),
    )
    assert plan.counts == dict.fromkeys(STATUSES, 1)
    assert [entry.identifier for entry in plan.invalid] == ["13238x"]
    assert [item.key for item in plan.due] == [due, incomplete]


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
    plan = plan_of(A, known=Known(freshness=seen(("assessor", A))), priority=PRIORITIES["critical"])

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
        known=Known(freshness=seen(("assessor", A), ago=age)),
        max_age=max_age,
    )

    assert plan.counts == {status: 1}
    assert [item.state for item in plan.items] == [
        State.SKIPPED if status == "fresh" else State.WAITING
    ]


def test_never_refetching_still_collects_what_was_never_collected():
    """``max_age=None`` is about answers, not about their absence."""
    plan = plan_of(A, B, max_age=NEVER, known=Known(freshness=seen(("assessor", A))))

    assert summary(plan)["due"] == [("treasurer", A), ("assessor", B), ("treasurer", B)]


def test_each_source_has_its_own_age():
    """A day for one, a week for the other."""
    weekly = Terms(**{**_fields(TREASURER), "max_age": timedelta(days=7)})
    known = Known(freshness=seen(("assessor", A), ("treasurer", A), ago=timedelta(days=2)))

    plan = plan_of(A, terms=(ASSESSOR, weekly), known=known)

    assert summary(plan) == {
        "due": [("assessor", A)],
        "skipped": [("treasurer", A)],
        "requests": {"a.gov": 1},
        "follow_ups": {},
        "statuses": ["due"],
    }
    assert (plan.entries[0].reason, plan.entries[0].sources) == ("assessor: 2 d old", ("assessor",))


def _fields(terms: Terms) -> dict[str, Any]:
    return {name: getattr(terms, name) for name in Terms.__dataclass_fields__}


def test_a_parcel_that_is_known_not_to_exist_is_fresh_too():
    """That there is no such parcel is a result: it is not asked again before its time."""
    known = Known(freshness=seen(("assessor", A), is_found=False))

    plan = plan_of(A, terms=(ASSESSOR,), known=known)

    assert [entry.reason for entry in plan.entries] == ["assessor: not found 3 h ago"]
    assert summary(plan)["skipped"] == [("assessor", A)]


def test_only_missing_tables_that_are_wanted_make_an_answer_incomplete():
    """Who wants the parcels does not pay for the sales that were missing."""
    known = Known(freshness=seen(("assessor", A), missing=("sales",)))

    wanted = plan_of(A, terms=(ASSESSOR,), known=known, datasets=("parcels", "sales"))
    unwanted = plan_of(A, terms=(ASSESSOR,), known=known, datasets=("parcels",))

    assert (wanted.counts, unwanted.counts) == ({"incomplete": 1}, {"fresh": 1})


def test_a_missing_table_is_asked_again_even_when_nothing_is_ever_refetched():
    """Incomplete is not fresh, whatever the age."""
    known = Known(freshness=seen(("assessor", A), missing=("sales",)))

    assert plan_of(A, terms=(ASSESSOR,), known=known, max_age=NEVER).counts == {"incomplete": 1}


def test_what_another_batch_has_in_work_is_left_to_it():
    """Even when everything is to be fetched; the other sources are asked."""
    known = Known(active={("treasurer", A): "b7"})

    plan = plan_of(A, known=known, max_age=timedelta(0))

    assert summary(plan) == {
        "due": [("assessor", A)],
        "skipped": [],
        "requests": {"a.gov": 1},
        "follow_ups": {"r.gov": 1},
        "statuses": ["due"],
    }


# ---------------------------------------------------------------- keys of other offices

DEED, OTHER_DEED = "20130183449", "20150453721"
ASSESSED = seen(("assessor", A), ("treasurer", A), ("assessor", B), ("treasurer", B))


def test_a_known_deed_of_a_fresh_parcel_is_asked_for_directly():
    """The assessor need not be asked again to know the number."""
    known = Known(freshness=ASSESSED, keys={"recorder": {A: DEED}})

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
    plan = plan_of(A, known=Known(freshness=ASSESSED))

    assert summary(plan) == {
        "due": [],
        "skipped": [("assessor", A), ("treasurer", A)],
        "requests": {},
        "follow_ups": {},
        "statuses": ["fresh"],
    }


def test_a_deed_is_fresh_by_its_own_number():
    """It is skipped, and told to the collector for the follow-ups of other parcels."""
    known = Known(freshness={**ASSESSED, **seen(("recorder", DEED))}, keys={"recorder": {A: DEED}})

    plan = plan_of(A, known=known)

    assert summary(plan)["skipped"] == [("assessor", A), ("treasurer", A), ("recorder", DEED)]
    assert plan.fresh_keys == {("recorder", DEED)}


def test_the_fresh_keys_are_those_of_keyed_sources_that_need_no_request():
    """Not the old, the incomplete, the one in work, nor an APN."""
    known = Known(
        freshness={
            **seen(("recorder", "1"), ("recorder", "4"), ("assessor", A)),
            **seen(("recorder", "2"), ago=timedelta(days=2)),
            **seen(("recorder", "3"), missing=("documents",)),
        },
        active={("recorder", "4"): "b7"},
    )

    assert plan_of(A, known=known).fresh_keys == {("recorder", "1")}
    assert plan_of(A, known=known, max_age=timedelta(0)).fresh_keys == frozenset()


def test_a_deed_of_two_parcels_is_planned_once():
    """One request, one item; each parcel's row says how its deed stands."""
    known = Known(freshness=ASSESSED, keys={"recorder": {A: DEED, B: DEED}})

    plan = plan_of(A, B, known=known)

    assert [(item.source, item.key, item.apn) for item in plan.due] == [("recorder", DEED, A)]
    assert plan.requests["r.gov"] == 1
    assert [entry.status for entry in plan.entries] == ["due", "due"]


def test_an_assessor_that_is_asked_anyway_decides_the_deed():
    """Its answer may name a newer one: the number known today is not asked for by itself."""
    known = Known(
        freshness=seen(("assessor", A), ("treasurer", A), ago=timedelta(days=2)),
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
    shared = [Terms(**{**_fields(t), "host": "h", "requests_per_second": 2.0}) for t in ALL]

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
    known = Known(freshness=seen(("assessor", B), ("treasurer", B)))
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
    assert "Plan: 1 identifiers" in shown
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
    assert str(caught.value) == (f"no dataset {name!r}; expected some of {', '.join(DATASETS)}")


CHOICES: list[tuple[tuple[str, ...], str, list[str]]] = [
    (DATASETS, "auto", ["assessor", "treasurer", "recorder", "portal"]),
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
        (("parcels",), "fast", "no mode 'fast'; expected one of auto, api, browser"),
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


# ---------------------------------------------------------------- properties

apns = st.sampled_from([f"132380{number:02}" for number in range(12)])
rows = st.one_of(apns, apns.map(lambda a: f"{a[:3]}-{a[3:5]}-{a[5:]}"), st.sampled_from(["x", "?"]))
deeds = st.sampled_from(["20130000001", "20130000002", "20130000003"])
ages = st.timedeltas(min_value=timedelta(days=-1), max_value=timedelta(days=5))
states = st.builds(
    Freshness,
    checked_at=ages.map(lambda age: NOW - age),
    is_found=st.booleans(),
    missing=st.sampled_from([(), ("sales",), ("documents",)]),
)
keys = st.one_of(
    st.tuples(st.sampled_from(["assessor", "treasurer"]), apns),
    st.tuples(st.just("recorder"), deeds),
)
knowledge = st.builds(
    Known,
    freshness=st.dictionaries(keys, states, max_size=20),
    keys=st.fixed_dictionaries({"recorder": st.dictionaries(apns, deeds, max_size=8)}),
    active=st.dictionaries(keys, st.just("b7"), max_size=4),
)


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

    # Asked, skipped as fresh, or in work elsewhere: for each parcel at each source, one of them.
    for source in ("assessor", "treasurer"):
        active = {key for name, key in known.active if name == source}
        planned = {item.key for item in plan.items if item.source == source}
        assert planned == set(valid) - active

    asked = Counter[str]()
    for item in plan.due:
        terms = next(term for term in ALL if term.source == item.source)
        asked[terms.host] += terms.requests_per_item
        assert item.identity not in known.active
    assert asked == Counter({host: n for host, n in plan.requests.items() if n})
    assert all(
        item.identity in known.freshness for item in plan.items if item.state is State.SKIPPED
    )
    assert all(identity in known.freshness for identity in plan.fresh_keys)


@given(st.lists(rows, min_size=1, max_size=25))
def test_collecting_what_was_planned_leaves_nothing_to_do(raw):
    """The same list again costs no request."""
    first = plan_of(*raw)
    known = Known(freshness=seen(*(item.identity for item in first.items)))

    again = plan_of(*raw, known=known)

    assert (again.due, sum(again.requests.values()), again.follow_ups) == ((), 0, {})
    assert [item.identity for item in again.items] == [item.identity for item in first.items]
