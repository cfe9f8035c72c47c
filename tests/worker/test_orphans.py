"""A batch that waited in the queue of a worker which is gone: run by who owns the store, or named."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import propkit as pk
from propkit.errors import RequestError
from propkit.sharing.here import HerePlace
from tests.guests.notebooks import notebook, settings_of
from tests.worker.conftest import counts, wait_for_owner

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from propkit.demo_county import County

    StartWorker = Callable[..., subprocess.Popen[bytes]]

HANG = {"kind": "hang", "system": "assessor"}


@pytest.fixture
def orphan(settings: pk.Settings, path: Path, apns: list[str]) -> str:
    """Leave a batch of five parcels in a queue that nobody has any more, and return its id."""
    with pk.open(path, settings=settings) as kit:
        queue_of(kit, most_running=0)
        return kit.start(apns[:5], datasets=["parcels"]).id


def queue_of(kit: pk.Kit, most_running: int) -> HerePlace:
    """Let an owner queue batches as a worker does."""
    place = kit._place
    assert isinstance(place, HerePlace)
    place.most_running = most_running
    return place


def test_who_takes_over_runs_what_it_has_in_the_queue(
    county: County, path: Path, apns: list[str], start_worker: StartWorker
):
    """The worker is killed with one batch running and one waiting: both end in the kernel."""
    settings = pk.Settings.load(**settings_of(county, worker={"batches": 1}))
    county.switch(faults=[HANG])  # the first is not to end before the second has begun
    worker = start_worker(settings)
    wait_for_owner(path, worker.pid)
    with pk.open(path, settings=settings) as kit:
        first = kit.start(apns[:20], datasets=["parcels"])
        second = kit.start(apns[20:30], datasets=["parcels"])
        assert (first.state, second.state) == ("running", "pending")
        assert kit.unfinished == []
        worker.kill()
        county.switch(faults=[])

        assert second.wait(timeout=60).state == "completed"
        assert first.wait(timeout=60).state == "completed"
        assert repr(kit).endswith("; owner: this process>")
        assert counts(kit) == {"done": 30}


def test_a_guest_gets_its_batch_run_by_a_kernel_that_took_over(
    county: County, path: Path, apns: list[str], start_worker: StartWorker
):
    """The new owner has no queue either: the guest that waits has its batch begun there."""
    settings = pk.Settings.load(**settings_of(county, worker={"batches": 1}))
    county.switch(faults=[HANG])  # the first is not to end before the second has begun
    worker = start_worker(settings)
    wait_for_owner(path, worker.pid)
    with pk.open(path, settings=settings) as kit:
        first = kit.start(apns[:20], datasets=["parcels"])
        second = kit.start(apns[20:30], datasets=["parcels"])
        assert (first.state, second.state) == ("running", "pending")
        worker.kill()
        county.switch(faults=[])
        with notebook(path, settings_of(county)) as owner:
            assert owner.run("kit.unfinished") == [first.id, second.id]

            assert second.wait(timeout=60).state == "completed"
            assert first.wait(timeout=60).state == "completed"
            assert f"guest of PID {owner.pid}" in repr(kit)
            assert owner.run("kit.unfinished") == []


def test_a_batch_that_nobody_will_run_is_shown_and_not_waited_for(
    settings: pk.Settings, path: Path, orphan: str
):
    """Waiting says what to do; who goes on with it gets it done."""
    says = (
        f"batch {orphan} waits for its turn, and the worker that would run it is gone:"
        " batch.resume() runs it now"
    )
    with pk.open(path, settings=settings) as kit:
        batch = kit.batch(orphan)
        assert batch.state == "pending"
        assert kit.unfinished == [orphan]
        assert f"unfinished: {orphan}" in repr(kit)
        with pytest.raises(RequestError) as waited:
            batch.wait()
        with pytest.raises(RequestError) as awaited:
            asyncio.run(_result(batch))
        with pytest.raises(RequestError) as watched:
            kit.watch(batch, show=False)
        assert [str(each.value) for each in (waited, awaited, watched)] == [says] * 3

        assert batch.resume().wait(timeout=60).totals == {"done": 5}
        assert batch.state == "completed"
        assert kit.unfinished == []


def test_what_waits_goes_on_when_the_store_is_opened_so(
    settings: pk.Settings, path: Path, orphan: str
):
    """``auto_resume`` runs it like any unfinished batch."""
    with pk.open(path, settings=settings, auto_resume=True) as kit:
        assert kit.batch(orphan).wait(timeout=60).totals == {"done": 5}


def test_a_cell_that_awaits_a_queued_batch_stays_free(
    settings: pk.Settings, path: Path, apns: list[str]
):
    """The loop goes on while the batch has not begun, and the end is known when it comes."""

    async def cell(kit: pk.Kit, place: HerePlace) -> str:
        batch = kit.start(apns[:3], datasets=["parcels"])
        report = asyncio.ensure_future(_result(batch))
        for _ in range(5):
            await asyncio.sleep(0.01)
        assert not report.done()
        assert kit.unfinished == []
        place.resume(batch.id)
        return (await report).state

    with pk.open(path, settings=settings) as kit:
        assert asyncio.run(cell(kit, queue_of(kit, most_running=0))) == "completed"


async def _result(batch: pk.Batch) -> pk.BatchReport:
    return await batch
