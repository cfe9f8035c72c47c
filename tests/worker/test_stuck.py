"""A batch whose process hangs is seen, freed and gone on with."""

from __future__ import annotations

import asyncio
import queue
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

import propkit as pk
from propkit import watching
from propkit.cli import main
from propkit.errors import RequestError, SourceUnavailableError, StoreError
from propkit.notices import Notice
from propkit.runtime import work
from propkit.sharing import here
from propkit.sources.maricopa_assessor import MaricopaAssessor
from propkit.store import jobs
from tests.collecting import own_records
from tests.guests.notebooks import settings_of, wait_until
from tests.worker.conftest import counts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from propkit.demo_county import County


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let the reading of an answer hang until the gate is opened."""
    gate = threading.Event()
    parse = MaricopaAssessor.parse

    def hang(self: MaricopaAssessor, payload: Any) -> Any:
        gate.wait(60)
        return parse(self, payload)

    monkeypatch.setattr(MaricopaAssessor, "parse", hang)
    monkeypatch.setattr(work, "_HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(jobs, "STUCK_AFTER", timedelta(seconds=0.5))
    monkeypatch.setattr(watching, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(here, "_FREE_SECONDS", 0.2)
    yield gate
    gate.set()


def test_a_batch_that_hangs_is_freed_and_gone_on_with(
    settings: pk.Settings,
    path: Path,
    apns: list[str],
    gate: threading.Event,
    capsys: pytest.CaptureFixture[str],
):
    """It is listed as stuck and told of, then left; what hung ends later and harms nothing."""
    told: queue.Queue[Notice] = queue.Queue()
    with pk.open(path, settings=settings) as kit:
        kit.notify(told.put)
        batch = kit.start(apns[:5], datasets=["parcels"])
        wait_until(lambda: [job.id for job in jobs.stuck_jobs(kit.store)] == [batch.id])

        notice = told.get(timeout=60)
        assert (notice.batch_id, notice.event) == (batch.id, "stuck")
        assert notice.title == "propkit: batch stuck, 0 of 5 items"
        assert main(["batches", "--db", str(path), "--stuck"]) == 0
        assert capsys.readouterr().out.startswith(f"{batch.id}  0 of 5 items, silent since ")
        assert main(["worker", "--db", str(path), "--health"]) == 1
        said = capsys.readouterr().out.splitlines()
        assert said[0].startswith("<Kit test.duckdb: 0 parcels; ")
        assert said[1] == "jobs: 1 run, 0 wait"
        assert said[2].startswith("items: ")
        assert said[3:] == [f"stuck: {batch.id}", "failed within a day: none"]
        assert main(["batches", "--db", str(path), "--free", batch.id]) == 0
        assert capsys.readouterr().out == f"freed: {batch.id}\n"
        assert batch.state == "interrupted"
        assert jobs.stuck_jobs(kit.store) == []
        assert "batch freed: it gave no sign of life" in set(batch.log()["message"])

        gate.set()
        assert batch.resume().wait(timeout=60).state == "completed"
        assert counts(kit) == {"done": 5}
        assert main(["worker", "--db", str(path), "--health"]) == 0
        assert capsys.readouterr().out.splitlines()[1:] == [
            "jobs: 0 run, 0 wait",
            "items: 0 wait",
            "stuck: none",
            "failed within a day: none",
        ]


def test_a_batch_that_is_silent_when_the_computer_wakes_up_is_not_told_of(
    monkeypatch: pytest.MonkeyPatch,
):
    """Its next sign of life is seconds away: only who is silent for longer is stuck."""
    silent, told = [Mock(id="sleeper"), Mock(id="hung")], []
    monkeypatch.setattr(watching, "find_trouble", lambda *_: [(job, "stuck") for job in silent])
    monkeypatch.setattr(watching, "_LOOK_SECONDS", 0.0)
    watch = watching.Watch(Mock(), lambda job, event: told.append((job.id, event)))

    watch._look()
    del silent[0]
    watch._look()
    silent.append(Mock(id="sleeper"))
    watch._look()

    assert told == [("hung", "stuck")]


@pytest.mark.parametrize(
    ("error", "level", "message"),
    [
        (
            OSError(28, "No space left"),
            "ERROR",
            "the batches could not be looked at; the watch goes on",
        ),
        (StoreError("no answer"), "INFO", "the batches could not be looked at: no answer"),
    ],
)
def test_a_watch_goes_on_whatever_goes_wrong_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    level: str,
    message: str,
):
    """Else nothing would be watched any more, and nobody told; once it is well it is said anew."""
    monkeypatch.setattr(watching, "_LOOK_SECONDS", 0.0)
    caplog.set_level("INFO", "propkit.watching")
    outcomes = iter([error, error, error, None, error, None])
    job, looked, told = Mock(id="b1", completed_at=None), threading.Event(), []

    def find(*_: Any) -> list[Any]:
        outcome = next(outcomes, looked)
        if outcome is error:
            raise error
        if outcome is looked:
            looked.set()
        return [(job, "failed")]

    monkeypatch.setattr(watching, "find_trouble", find)
    watch = watching.Watch(Mock(), lambda job, event: told.append((job.id, event)))
    watch.begin()
    assert looked.wait(60)
    watch.end()

    assert told == [("b1", "failed")]
    said = [(record.levelname, record.getMessage()) for record in own_records(caplog)]
    assert said == [(level, message)] * 2


def test_a_watch_keeps_nothing_of_what_failed_long_ago(monkeypatch: pytest.MonkeyPatch):
    """In weeks thousands fail: each is told of once, and looked up for an hour."""
    noon, asked, told = datetime(2027, 1, 1, 12, tzinfo=UTC), [], []
    clock = Mock(wraps=datetime)
    monkeypatch.setattr(watching, "datetime", clock)
    failed: list[Any] = []

    def find(_: object, since: datetime) -> list[Any]:
        asked.append(since)
        return [(job, "failed") for job in failed if job.completed_at > since]

    monkeypatch.setattr(watching, "find_trouble", find)
    clock.now.return_value = noon
    watch = watching.Watch(Mock(), lambda job, event: told.append(job.id))
    for minutes in (10, 80, 150):
        clock.now.return_value = noon + timedelta(minutes=minutes)
        failed.append(Mock(id=minutes, completed_at=clock.now() - timedelta(minutes=1)))
        watch._look()
        watch._look()

    began = [noon + timedelta(minutes=minutes) for minutes in (0, 0, 0, 20, 20, 90)]
    assert asked == began
    assert told == [10, 80, 150]
    assert {key[1] for key in watch._known} == {150}


def test_only_what_runs_is_freed(settings: pk.Settings, path: Path, apns: list[str]):
    """A batch that has ended is left as it is."""
    with pk.open(path, settings=settings) as kit:
        batch = kit.start(apns[:2], datasets=["parcels"])
        batch.wait(timeout=60)

        with pytest.raises(RequestError) as caught:
            batch.free()

        assert str(caught.value) == f"batch {batch.id} does not run; there is nothing to free"
        assert batch.state == "completed"


@pytest.mark.usefixtures("hasty_cancel")
def test_a_batch_that_lives_is_left_like_any_other(county: County, path: Path, apns: list[str]):
    """Freed though it was well: it stops, keeps what it has and can be gone on with."""
    settings = pk.Settings.load(**settings_of(county))
    # One is not answered: the batch does not end before it is freed.
    county.switch(faults=[{"kind": "hang", "system": "assessor", "path": apns[-1]}])
    with pk.open(path, settings=settings) as kit:
        batch = kit.start(apns, datasets=["parcels"])
        wait_until(lambda: counts(kit).get("done", 0) >= 1)

        batch.free()

        assert batch.state == "interrupted"
        county.switch(faults=[])
        assert batch.resume().wait(timeout=60).state == "completed"
        assert counts(kit) == {"done": 40}


def test_what_hung_changes_nothing_when_it_ends_at_last(
    settings: pk.Settings, path: Path, apns: list[str], monkeypatch: pytest.MonkeyPatch
):
    """The batch is freed, gone on with and completed; then the first run comes to its end."""
    gate = threading.Event()
    hanging: set[str] = set()
    fetch = MaricopaAssessor.fetch

    async def hang_once(self: MaricopaAssessor, key: str, apn: str | None, ask: Any) -> Any:
        if key not in hanging:
            hanging.add(key)
            while not gate.is_set():
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.01)
            raise SourceUnavailableError("it was asked much too late")
        return await fetch(self, key, apn, ask)

    monkeypatch.setattr(MaricopaAssessor, "fetch", hang_once)
    monkeypatch.setattr(here, "_FREE_SECONDS", 0.1)
    with pk.open(path, settings=settings) as kit:
        batch = kit.start(apns[:2], datasets=["parcels"])
        wait_until(lambda: len(hanging) == 2)
        assert isinstance(kit._place, here.HerePlace)
        first = kit._place._find(batch.id)
        assert first is not None

        batch.free()
        assert batch.state == "interrupted"
        assert batch.resume().wait(timeout=60).totals == {"done": 2}
        log = batch.log()["message"].tolist()
        assert first.is_running
        gate.set()
        wait_until(lambda: first.wait(0.1))

        assert batch.state == "completed"
        assert counts(kit) == {"done": 2}
        assert batch.log()["message"].tolist() == log
        assert batch.report.totals == {"done": 2}
