"""How a parcel stands: decided from what is stored, from a plan, or from a batch's items."""

from __future__ import annotations

from collections.abc import Mapping

from propkit.items import State
from propkit.plan import Plan
from propkit.store.parcel_facts import ParcelFacts, ParcelTally


def judge_planned(plan: Plan, facts: Mapping[str, ParcelFacts]) -> dict[str, str]:
    """Return the status by APN of parcels that no batch of this panel has in work."""
    skipped = {item.apn for item in plan.items if item.state is State.SKIPPED}
    judged = {}
    for entry in plan.entries:
        if entry.apn is None or entry.status in ("duplicate", "invalid"):
            continue
        known = facts.get(entry.apn) or ParcelFacts(apn=entry.apn)
        if entry.status == "active":
            judged[entry.apn] = "queued"
        elif not known.is_known and "parcels" not in known.tables:
            judged[entry.apn] = "no_data"
        elif entry.status == "fresh":
            judged[entry.apn] = "fresh"
        elif known.checked_at is None:
            judged[entry.apn] = "none"
        else:
            is_partial = entry.status == "incomplete" or entry.apn in skipped
            judged[entry.apn] = "partial" if is_partial else "old"
    return judged


def judge_collected(tally: ParcelTally, *, is_running: bool, is_on_roll: bool = True) -> str:
    """Return the status of a parcel of a batch.

    What a batch that does not run leaves waiting counts as cancelled: it is not in work, and what
    was collected before says more. A parcel that is on the roll is complete also where an office
    has nothing about it.
    """
    ended = tally.done + tally.not_found + tally.failed
    if tally.waiting and is_running:
        return "active" if ended else "queued"
    if tally.failed:
        return "failed"
    if tally.waiting or tally.cancelled:
        return "cancelled"
    if tally.not_found and not (tally.done and is_on_roll):
        return "no_data"
    if tally.partial:
        return "partial"
    return "complete" if ended else "fresh"
