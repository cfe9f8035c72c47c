from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from decimal import Decimal
from random import Random
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propkit.quality import (
    CanaryLoss,
    Drift,
    DriftGuard,
    Verdict,
    choose_canaries,
    judge_canary,
    lost_by_canaries,
)
from propkit.records import Document, Parcel, Record, Residence, Sale, Valuation

KEEP, HOLD, DRIFT = Verdict
NAMES = [field.name for field in fields(Parcel) if field.name not in {"apn", "county"}]
LEARNED = {
    "parcels": {"(any)": (1240, 1240), "owner_name": (1240, 1240), "deed_type": (1240, 992)},
    "valuations": {"(any)": (1240, 1240), "full_cash_value": (1240, 1240)},
}


def answer(
    *,
    owner: str | None = "A",
    deed: str | None = "WD",
    value: int | None = 1,
    subdivision: str | None = None,
) -> list[Record]:
    amount = None if value is None else Decimal(value)
    return [
        Parcel(
            apn="1", county="maricopa", owner_name=owner, deed_type=deed, subdivision=subdivision
        ),
        Valuation(apn="1", tax_year=2026, full_cash_value=amount),
        Valuation(apn="1", tax_year=2025),
    ]


def judge(
    guard: DriftGuard, answers: Mapping[str, list[Record]]
) -> tuple[list[Verdict], list[list[str]]]:
    """Judge answers by key; return the verdicts and what each one releases."""
    verdicts, released = [], []
    for key, records in answers.items():
        verdicts.append(guard.judge(key, records))
        released.append(guard.released())
    return verdicts, released


def test_a_lost_column_that_was_always_filled_is_drift_and_nothing_of_it_is_kept():
    guard = DriftGuard(LEARNED)
    guard.judge("good", answer())

    verdicts, released = judge(guard, {f"{n}": answer(value=None) for n in range(7)})

    assert verdicts == [HOLD] * 4 + [DRIFT] * 3
    assert released == [[]] * 7
    assert guard.drifts == (
        Drift(
            table="valuations",
            column="full_cash_value",
            seen=(5, 0),
            learned=(1241, 1241),
            witness="good",
        ),
    )
    assert guard.message == (
        "valuations.full_cash_value: filled in 0 of the last 5 answers, learned 100 % of 1,241"
    )
    assert guard.withheld() == [f"{n}" for n in range(7)]
    assert guard.release_all() == []


def test_a_column_counts_as_filled_when_one_record_of_the_answer_fills_it():
    guard = DriftGuard(LEARNED)
    records = [Valuation(apn="1", tax_year=2027), *answer()]

    assert [guard.judge(f"{n}", records) for n in range(30)] == [KEEP] * 30


def test_zero_and_no_are_values_and_an_empty_list_is_none():
    learned = {
        "residences": {"pool_area_sqft": (1000, 1000)},
        "parcels": {"is_rental": (1000, 1000)},
        "documents": {"names": (1000, 1000)},
    }
    guard = DriftGuard(learned)
    good = [
        Residence(apn="1", pool_area_sqft=0),
        Parcel(apn="1", county="maricopa", is_rental=False),
        Document(recording_number="1", names=("A",)),
    ]

    assert guard.judge("1", good) is KEEP
    assert guard.judge("2", [*good[:2], Document(recording_number="1")]) is HOLD


def test_a_column_of_four_in_five_is_drift_within_thirty_answers():
    guard = DriftGuard(LEARNED)

    verdicts, _ = judge(guard, {f"{n}": answer(deed=None) for n in range(30)})

    at = verdicts.index(DRIFT)
    assert at < 30
    # The first few are what chance gives: only what is behind them is held back.
    assert verdicts[:at] == [KEEP] * 7 + [HOLD] * (at - 7)
    assert guard.drifts[0].learned[1] / guard.drifts[0].learned[0] > 0.79


def test_a_whole_table_that_vanishes_is_drift():
    guard = DriftGuard(LEARNED)

    verdicts, _ = judge(guard, {f"{n}": answer()[:1] for n in range(5)})

    assert verdicts == [HOLD] * 4 + [DRIFT]
    assert guard.message == ("valuations: given in 0 of the last 5 answers, learned 100 % of 1,240")


def test_an_empty_answer_is_released_when_the_next_one_fills_the_column():
    guard = DriftGuard(LEARNED)

    verdicts, released = judge(guard, {"1": answer(owner=None), "2": answer()})

    assert verdicts == [HOLD, KEEP]
    assert released == [[], ["1"]]
    assert guard.learned()["parcels"]["owner_name"] == (1242, 1241)


def test_two_empty_answers_in_a_row_wait_for_some_more_that_are_filled():
    guard = DriftGuard(LEARNED)
    judge(guard, {"1": answer(owner=None), "2": answer(owner=None)})

    _, released = judge(guard, {f"filled {n}": answer() for n in range(40)})

    assert released.index(["1", "2"]) > 1


def test_an_answer_suspicious_in_two_columns_waits_for_both():
    guard = DriftGuard(LEARNED)

    _, released = judge(
        guard,
        {
            "1": answer(owner=None, value=None),
            "2": answer(owner=None),
            "3": answer(),
            "4": answer(),
        },
    )

    assert released == [[], [], [], []]
    assert guard.release_all() == ["1", "2"]


def test_columns_that_are_lost_together_are_named_together():
    guard = DriftGuard(LEARNED)

    judge(guard, {f"{n}": answer(owner=None, value=None) for n in range(5)})

    assert guard.message == (
        "parcels.owner_name: filled in 0 of the last 5 answers, learned 100 % of 1,240; "
        "valuations.full_cash_value: filled in 0 of the last 5 answers, learned 100 % of 1,240"
    )


def test_an_answer_in_flight_behind_a_drift_is_judged_by_its_own_columns():
    guard = DriftGuard(LEARNED)
    judge(guard, {f"{n}": answer(value=None) for n in range(5)})

    verdicts = [
        guard.judge("whole", answer()),
        guard.judge("empty", answer(value=None)),
        guard.judge("redacted", answer(owner=None)),
    ]

    assert verdicts == [KEEP, DRIFT, HOLD]
    assert guard.release_all() == ["redacted"]
    assert guard.withheld() == ["0", "1", "2", "3", "4", "empty"]


def test_an_outage_of_every_tenth_answer_is_held_and_released_and_then_drift():
    guard = DriftGuard(LEARNED)
    outage = {f"{n}": answer(value=None if n % 10 == 9 else 1) for n in range(200)}

    verdicts, released = judge(guard, outage)

    at = verdicts.index(DRIFT)
    assert 80 <= at <= 150
    assert KEEP not in verdicts[9::10]
    stored = [key for keys in released for key in keys]
    assert 1 <= len(stored) <= 6
    assert {*stored, *guard.withheld()} == {f"{n}" for n in range(9, 200, 10)}


def test_nothing_is_guarded_before_fifty_answers_and_a_drop_behind_them_is_caught():
    guard = DriftGuard({})

    early, _ = judge(guard, {f"{n}": answer(owner="A" if n else None) for n in range(60)})
    late, _ = judge(guard, {f"late {n}": answer(owner=None) for n in range(30)})

    assert early == [KEEP] * 60
    assert late[0] is HOLD
    assert late.index(DRIFT) <= 25


def test_a_column_that_few_answers_fill_is_not_guarded():
    guard = DriftGuard({"parcels": {"deed_type": (1000, 190)}})

    verdicts, _ = judge(guard, {f"{n}": answer(deed=None) for n in range(200)})

    assert verdicts == [KEEP] * 200


def test_a_book_without_subdivisions_is_no_drift_but_two_hundred_parcels_are():
    guard = DriftGuard({"parcels": {"subdivision": (1240, 1240)}})

    rural, _ = judge(guard, {f"{n}": answer() for n in range(150)})
    _, released = judge(guard, {f"town {n}": answer(subdivision="OAKS") for n in range(30)})
    gap = guard.learned()["parcels"]["(gap) subdivision"]
    lost, _ = judge(guard, {f"lost {n}": answer() for n in range(310)})

    assert rural == [HOLD] * 150
    assert [key for keys in released for key in keys] == [f"{n}" for n in range(150)]
    assert gap == (150, 0)
    # It now takes twice the longest row.
    assert lost.index(DRIFT) == 300


def test_a_gap_is_learned_for_the_next_run():
    guard = DriftGuard({"parcels": {"deed_type": (1240, 992), "(gap) deed_type": (20, 0)}})

    verdicts, _ = judge(guard, {f"{n}": answer(deed=None) for n in range(50)})

    assert verdicts.index(DRIFT) == 40


def test_acquittal_releases_what_was_withheld_and_lets_the_column_be():
    guard = DriftGuard(LEARNED)
    judge(guard, {f"{n}": answer(value=None) for n in range(5)})

    guard.acquit()

    assert guard.released() == ["0", "1", "2", "3", "4"]
    assert (guard.drifts, guard.message, guard.withheld()) == ((), "", [])
    assert guard.judge("5", answer(value=None)) is KEEP
    assert guard.learned()["valuations"]["full_cash_value"] == (1246, 1240)


def test_a_table_that_the_answer_does_not_carry_is_not_judged():
    guard = DriftGuard(LEARNED)
    names = frozenset(NAMES)

    by_missing = guard.judge("1", answer()[:1], missing=("valuations",))
    by_unsaid = guard.judge("2", answer(owner=None), unsaid={"parcels": names})
    by_column = guard.judge("3", answer(owner=None), unsaid={"parcels": frozenset({"owner_name"})})

    assert [by_missing, by_unsaid, by_column] == [KEEP, KEEP, HOLD]
    assert guard.learned()["valuations"]["(any)"] == (1241, 1241)


def test_counts_are_halved_above_five_thousand():
    guard = DriftGuard({"parcels": {"owner_name": (5000, 4990), "(gap) owner_name": (9, 0)}})

    guard.judge("1", answer())

    learned = guard.learned()["parcels"]
    assert learned["owner_name"] == (2500, 2495)
    assert learned["(gap) owner_name"] == (4, 0)


def test_answers_that_are_not_stored_are_not_learned():
    guard = DriftGuard(LEARNED)

    judge(guard, {f"{n}": answer(value=None) for n in range(9)})
    guard.release_all()

    assert guard.learned()["valuations"]["full_cash_value"] == (1240, 1240)


def test_a_table_of_another_package_can_be_guarded():
    guard = DriftGuard({"levies": {"rate": (100, 100)}})

    verdicts, _ = judge(guard, {f"{n}": [Sale(apn="1")] for n in range(60)})

    assert verdicts == [KEEP] * 60
    assert guard.learned()["sales"]["(any)"] == (60, 60)


# --- by chance --------------------------------------------------------------------------------


def by_chance(draw: Random, shares: Mapping[str, float], count: int) -> Iterator[list[Record]]:
    for _ in range(count):
        filled = {name: "x" for name, share in shares.items() if draw.random() < share}
        yield [Parcel(apn="1", county="maricopa", **filled)]  # type: ignore[arg-type]


def shares_of(draw: Random) -> dict[str, float]:
    levels = (1.0, 0.999, 0.99, 0.98, 0.95, 0.8, 0.5, 0.3, 0.2, 0.1)
    return {name: draw.choice(levels) for name in NAMES}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("past", [0, 200, 4000])
def test_nulls_that_come_by_chance_are_no_drift(seed: int, past: int):
    draw = Random(seed * 10_000 + past)
    shares = shares_of(draw)
    before = DriftGuard({})
    for records in by_chance(draw, shares, past):
        before.judge("x", records)
    guard = DriftGuard(before.learned())

    verdicts = [
        guard.judge(f"{n}", records) for n, records in enumerate(by_chance(draw, shares, 3000))
    ]

    assert guard.message == ""
    assert verdicts.count(KEEP) > 2000
    stored = {*guard.released(), *guard.release_all()}
    assert len(stored) == verdicts.count(HOLD)


@settings(max_examples=60, deadline=None)
@given(
    past=st.sampled_from([50, 200, 1240, 5000]),
    lost=st.lists(st.booleans(), min_size=1, max_size=300),
)
def test_every_answer_is_stored_or_withheld_once_and_a_hole_is_never_kept_at_once(
    past: int, lost: list[bool]
):
    guard = DriftGuard({"valuations": {"full_cash_value": (past, past)}})
    kept: list[str] = []
    for number, is_lost in enumerate(lost):
        key = f"{number}"
        verdict = guard.judge(key, answer(value=None if is_lost else 1)[1:])
        assert (verdict is KEEP) == (not is_lost)
        kept += [key] * (verdict is KEEP) + guard.released()
    withheld = guard.withheld()

    kept += guard.release_all()

    assert sorted([*kept, *withheld]) == sorted(f"{number}" for number in range(len(lost)))
    assert bool(withheld) == bool(guard.drifts)


def test_judging_an_answer_costs_little():
    draw = Random(1)
    shares = dict.fromkeys(NAMES, 0.9)
    answers = [[*records, *answer()[1:]] for records in by_chance(draw, shares, 500)]
    guard, calls = DriftGuard(LEARNED), 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        for records in answers:
            guard.judge("x", records)
    finally:
        sys.setprofile(None)

    # It is 36, a few a record; each column asked of each record would be some 200.
    assert calls / len(answers) < 100


# --- canaries ---------------------------------------------------------------------------------


def test_canaries_are_taken_from_all_over_the_list():
    due = list(range(100))

    assert choose_canaries(due, set(range(10, 70))) == (
        [10, 30, 50],
        [key for key in due if key not in {10, 30, 50}],
    )
    assert choose_canaries([3, 1, 2], {1, 2}) == ([1, 2], [3])
    assert choose_canaries([3, 1], set()) == ([], [3, 1])
    assert choose_canaries([3, 1], {3, 1}, count=0) == ([], [3, 1])


def test_a_canary_tells_what_the_store_has_and_the_answer_lacks():
    before = {
        "parcels": {"apn", "owner_name", "deed_type", "mcr"},
        "valuations": {"full_cash_value", "limited_property_value"},
        "sales": {"sale_price"},
        "residences": {"heating"},
    }

    loss = judge_canary(
        before,
        answer(deed=None),
        missing=("residences",),
        unsaid={"parcels": frozenset({"mcr", "owner_name"})},
    )

    assert loss == CanaryLoss(
        empty=frozenset({
            "parcels.deed_type", "valuations.limited_property_value", "sales.(any)"
        }),
        unsaid=frozenset({"parcels.mcr"}),
    )  # fmt: skip


def test_a_canary_does_not_judge_a_table_that_the_answer_is_silent_about():
    loss = judge_canary(
        {"parcels": {"owner_name"}}, answer(owner=None), unsaid={"parcels": frozenset(NAMES)}
    )

    assert loss == CanaryLoss()


def test_one_canary_convicts_of_what_is_unsaid_and_only_all_of_what_is_empty():
    one = CanaryLoss(empty=frozenset({"parcels.mcr", "parcels.deed_type"}))
    two = CanaryLoss(empty=frozenset({"parcels.mcr"}), unsaid=frozenset({"parcels.latitude"}))

    assert lost_by_canaries([one, two]) == ["parcels.latitude", "parcels.mcr"]
    assert lost_by_canaries([one, two, CanaryLoss()]) == ["parcels.latitude"]
    assert lost_by_canaries([one]) == []
    assert lost_by_canaries([]) == []
