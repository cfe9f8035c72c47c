"""The journal of paid requests: each is written once, and what may have been paid for counts."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from propkit.store.purchases import Purchase, Spent, spent, unsettled, write_intent

if TYPE_CHECKING:
    from propkit.store import Store


def purchase(key: str, **more: Any) -> Purchase:
    return Purchase(batch_id="b", source="s", kind="leads", key=key, records_asked=40, **more)


def test_an_intent_is_written_once_and_stands_in_the_way_of_others(store: Store):
    """It may be written again where a commit has failed and nobody knows what came of it."""
    first, second = purchase("1"), purchase("2")
    answers = [
        write_intent(store, one, answered).result(timeout=60)
        for one, answered in ((first, None), (first, None), (second, None))
    ]
    journal = [one.key for one in unsettled(store, "s")]
    behind = write_intent(store, second, first.purchase_id).result(timeout=60)

    assert answers == [None, None, first.purchase_id]
    assert journal == ["1"]
    assert (behind, [one.key for one in unsettled(store, "s")]) == (None, ["1", "2"])


def test_what_may_have_been_paid_for_counts_as_paid(store: Store):
    """With what was asked for and expected, until it is known how much came and what it cost."""
    for one in (
        purchase("1", state="bought", records=30, cost=Decimal("1.50")),
        purchase("2", state="not_bought", records=0, cost=Decimal(0)),
        purchase("3", cost_expected=Decimal("2.25")),
    ):
        write_intent(store, one).result(timeout=60)

    assert spent(store, "b") == Spent(70, Decimal("3.75"))
    assert spent(store, "another") == Spent(0, Decimal("0.00"))
