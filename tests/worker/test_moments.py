"""Two looks at a batch that are from different moments: nobody is told what never was so."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import propkit as pk
from propkit.runtime import work
from propkit.sharing import here
from propkit.sharing.here import HerePlace
from propkit.worker.running import Worker
from tests.guests.notebooks import wait_until
from tests.worker.conftest import counts

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from propkit.demo_county import County

HANG = {"kind": "hang", "system": "assessor"}


def place_of(kit: pk.Kit) -> HerePlace:
    """Return the place of a kit that owns the store, with a queue as a worker has it."""
    place = kit._place
    assert isinstance(place, HerePlace)
    place.most_running = 0
    return place


def test_a_batch_whose_turn_comes_just_now_has_not_ended(
    settings: pk.Settings,
    path: Path,
    apns: list[str],
    county: County,
    monkeypatch: pytest.MonkeyPatch,
):
    """It is looked for among those that run, then in the queue, which it has left meanwhile."""
    county.switch(faults=[HANG])
    read_head = here.read_head
    with pk.open(path, settings=settings) as kit:
        place = place_of(kit)
        for _ in range(2):
            batch = kit.start(apns[:3], datasets=["parcels"])
            assert batch.state == "pending"

            def read_later(store: Any, batch_id: str) -> Any:
                monkeypatch.setattr(here, "read_head", read_head)
                place.resume(batch_id)
                return read_head(store, batch_id)

            monkeypatch.setattr(here, "read_head", read_later)
            if kit.batches().shape[0] == 1:
                assert not place.wait(batch.id, 0.01)
            else:
                assert place.will_run(batch.id)
            assert batch.state == "running"
        county.switch(faults=[])
        assert batch.wait(timeout=60).totals == {"done": 3}


def test_a_batch_that_is_cancelled_when_its_turn_comes_stays_so(
    settings: pk.Settings, path: Path, apns: list[str], monkeypatch: pytest.MonkeyPatch
):
    """The worker has seen it wait, and then goes on with it: too late."""
    with pk.open(path, settings=settings) as kit:
        place = place_of(kit)
        batch = kit.start(apns[:3], datasets=["parcels"])
        resume = place.resume

        def resume_late(batch_id: str, **options: Any) -> None:
            place.cancel(batch_id)
            resume(batch_id, **options)

        monkeypatch.setattr(place, "resume", resume_late)
        Worker(path, settings, {})._start_waiting(place, set())

        assert batch.state == "cancelled"
        assert counts(kit) == {"cancelled": 3}


def test_what_can_be_seen_to_have_ended_can_be_gone_on_with(
    settings: pk.Settings, path: Path, apns: list[str], monkeypatch: pytest.MonkeyPatch
):
    """The end is stored a moment before the run is over: nobody is refused in between."""
    stored, gate = threading.Event(), threading.Event()
    set_state = work.set_state

    def set_slowly(store: Any, batch_id: str, state: str, **more: Any) -> None:
        set_state(store, batch_id, state, **more)
        if state == "completed":
            stored.set()
            gate.wait(60)

    monkeypatch.setattr(work, "set_state", set_slowly)
    with pk.open(path, settings=settings) as kit:
        batch = kit.start(apns[:3], datasets=["parcels"])
        assert stored.wait(60)
        assert (batch.state, batch.is_running) == ("completed", True)
        deleting = threading.Thread(target=batch.delete)
        deleting.start()
        wait_until(lambda: not _is_free(kit, batch.id))
        gate.set()
        deleting.join(60)

        assert kit.batches().empty


def _is_free(kit: pk.Kit, batch_id: str) -> bool:
    """Whether nobody deletes the batch, or goes on with it, just now."""
    lock = place_of(kit)._find(batch_id)._lock  # type: ignore[union-attr]
    if lock.acquire(blocking=False):
        lock.release()
        return True
    return False
