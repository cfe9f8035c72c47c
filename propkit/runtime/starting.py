"""From a plan to a running batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from propkit.collector import Collector
from propkit.plan import Plan
from propkit.progress import Listener
from propkit.runtime.batch import Batch
from propkit.runtime.parts import OpenParts
from propkit.runtime.thread import CollectorThread
from propkit.store.batches import create_batch


def start_batch(
    parts: OpenParts,
    place: tuple[Collector, CollectorThread],
    plan: Plan,
    criteria: Mapping[str, Any],
    listeners: Iterable[Listener],
) -> Batch:
    """Store a batch with its items, all that a later process needs to go on, and start it."""
    batch_id = create_batch(
        parts.store,
        plan.items,
        kind=plan.kind,
        criteria={
            "origin": plan.origin,
            "datasets": plan.datasets,
            "mode": plan.mode,
            "by": plan.by,
            "sources": plan.sources,
            "fallbacks": dict(plan.fallbacks),
            "budget": None if plan.budget is None else str(plan.budget),
            "identifiers": plan.counts,
            "not_usable": {entry.identifier: entry.reason for entry in plan.invalid},
            **criteria,
        },
    )
    batch = parts.batch(batch_id, *place)
    batch.start(
        items=plan.items,
        fresh_keys=plan.fresh_keys,
        listeners=listeners,
        planned_at=plan.planned_at,
    )
    return batch
