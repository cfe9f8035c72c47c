"""A kit in another process is the same kit: what it shows, starts, follows and stops."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import signal
import socket
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import duckdb
import pandas as pd
import psutil
import pytest
from pandas.testing import assert_frame_equal

import propkit as pk
from propkit.errors import RequestError, StoreError
from propkit.frames import FRAMES
from propkit.records import RECORD_TYPES
from propkit.runtime import thread, work
from propkit.runtime.thread import CollectorThread
from propkit.sharing import guest, leaving, server
from propkit.sharing.discovery import Discovery
from propkit.sharing.guest import GuestPlace, OwnerLink
from propkit.sharing.here import HerePlace
from propkit.sharing.place import Place
from propkit.sharing.shared import SharedPlace
from propkit.store import Store
from propkit.store.batches import create_batch, set_state
from tests.collecting import own_records, quick_kit
from tests.guests.notebooks import (
    DEADLINE_SECONDS,
    HASTY_CANCEL,
    Notebook,
    notebook,
    settings_of,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from propkit.demo_county import County


SILENT = (
    "the process that owns the store (PID {}) does not answer: it is busy, or was suspended. What"
    " it runs goes on when it does. Try again then; or end it, and what opens the store next takes"
    " over, with all that is stored"
)


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize("kind", [HerePlace, GuestPlace, SharedPlace])
def test_every_place_is_the_same_to_a_kit(kind: type):
    """Whatever the kit calls is there, with the same arguments."""
    assert public(Place) - {"store", "owner", "sources"} <= public(kind)
    for name in public(Place) - {"store", "owner", "sources"}:
        wanted = inspect.signature(getattr(Place, name)).parameters
        offered = inspect.signature(getattr(kind, name)).parameters
        assert list(wanted) == list(offered)[: len(wanted)], name


def test_a_guest_has_the_kit_that_an_owner_has(kit: pk.Kit, county: County, tmp_path: Path):
    """The class is the same, and so is every public member."""
    with quick_kit(county, tmp_path / "own.duckdb") as own:
        assert type(kit) is type(own)
        assert {n for n in dir(kit) if n[0] != "_"} == {n for n in dir(own) if n[0] != "_"}


def test_a_kit_says_who_owns_the_store(kit: pk.Kit, owner: Notebook):
    """The owner says that it is, a guest whose guest it is."""
    assert repr(kit).endswith(f"; guest of PID {owner.pid}>")
    assert owner.run("repr(kit)").endswith("; owner: this process>")


def test_a_batch_of_a_guest_runs_at_the_owner_and_both_see_it(
    kit: pk.Kit, owner: Notebook, known: list[str], county: County
):
    """It is planned, started and awaited here, collected there, and its frames are equal."""
    plan = kit.plan([*known[:20], known[0], "no parcel"])
    batch = kit.start(plan)
    report = batch.wait()

    assert plan.counts == {"due": 20, "duplicate": 1, "invalid": 1}
    assert report.state == "completed"
    assert report.totals == {"done": 60}
    assert report.not_usable.keys() == {"no parcel"}
    assert owner.run("kit.batch('last').id") == batch.id
    assert owner.run("kit.batch('last').report.totals") == {"done": 60}
    assert kit.plan(known[:20]).counts == {"fresh": 20}
    folder = kit.store.path.parent
    owner.run(f"for n in {FRAMES}: kit.frame(n).to_pickle({str(folder)!r} + f'/{{n}}.pickle')")
    for name in FRAMES:
        assert_frame_equal(kit.frame(name), pd.read_pickle(folder / f"{name}.pickle"))  # noqa: S301
    assert {row["apn"] for row in kit.store.rows("FROM parcels")} == set(known[:20])


def test_a_guest_sees_what_the_owner_collects(kit: pk.Kit, owner: Notebook, known: list[str]):
    """What the owner has committed is read at once, without opening anything anew."""
    assert kit.frame("parcels").empty

    owner.run(f"kit.start({known[:5]!r}).wait()")

    assert len(kit.frame("parcels")) == 5
    assert kit.batches()["state"].tolist() == ["completed"]
    assert kit.batch("last").progress.ended == 15


def test_a_listener_in_a_guest_hears_every_item(kit: pk.Kit, known: list[str]):
    """The events come from the owner: each item's end is in one of them, the last is the end."""
    events: list[pk.Progress] = []

    kit.start(known[:30], listener=events.append).wait()

    ended = [(i.source, i.key) for e in events for i in e.changed if i.ended_at is not None]
    assert len(set(ended)) == 90
    assert (events[-1].state, events[-1].ended, events[-1].total) == ("completed", 90, 90)
    assert all(isinstance(event, pk.Progress) for event in events)


def test_a_listener_that_fails_stops_nothing(kit: pk.Kit, known: list[str]):
    """The batch goes on, and so does the telling."""
    told = []

    def listener(progress: pk.Progress) -> None:
        told.append(progress)
        raise ValueError("a listener's own trouble")

    assert kit.start(known[:5], listener=listener).wait().state == "completed"
    assert told[-1].state == "completed"


async def test_a_batch_can_be_awaited_in_a_guest(kit: pk.Kit, known: list[str]):
    """The cell gets the report, and the loop is free meanwhile."""
    batch = kit.start(known[:5])
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    report = await batch
    ticking.cancel()

    assert report.state == "completed"
    assert ticks > 1


def since(before: list[threading.Thread]) -> list[threading.Thread]:
    """Return the threads that have begun since."""
    return [one for one in threading.enumerate() if one not in before]


def test_interrupt_ends_the_wait_for_an_owner_that_does_not_answer(path: Path):
    """It may be suspended, or compute: who waits in a cell is told so, and is free at once."""
    before = threading.enumerate()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        link = OwnerLink(Discovery(address="127.0.0.1", port=port, token="t", pid=4711))

        def interrupt() -> None:
            wait_until(lambda: "propkit-asking" in {one.name for one in since(before)})
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        with pytest.raises(KeyboardInterrupt) as stopped:
            link.table(sql="SELECT 1", params=None)
        interrupting.join()

    assert stopped.value.__notes__ == [
        "the process that owns the store (PID 4711) had not answered yet: it is busy, or was suspended"
    ]


@contextmanager
def suspended(owner: Notebook) -> Iterator[None]:
    """Let a process stand still, as a computer that swaps or a debugger may."""
    os.kill(owner.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: psutil.Process(owner.pid).status() == psutil.STATUS_STOPPED)
        yield
    finally:
        os.kill(owner.pid, signal.SIGCONT)


def test_a_guest_goes_on_where_a_suspended_owner_wakes(
    kit: pk.Kit,
    owner: Notebook,
    known: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    """Who waits for a batch is told, and waits on; what was asked meanwhile is answered, once."""
    monkeypatch.setattr(guest, "_QUIET_SECONDS", DEADLINE_SECONDS)  # it is slow, not suspended
    events: list[pk.Progress] = []
    batch = kit.start(known[:2], datasets="parcels")
    batch.wait()
    with suspended(owner), ThreadPoolExecutor() as asking:
        asked = [
            asking.submit(lambda: kit.plan(known[:3]).counts),
            asking.submit(repr, batch),
            asking.submit(kit.start, known[2:4], datasets="parcels", listener=events.append),
            asking.submit(batch.resume),
        ]
        with monkeypatch.context() as patch:
            patch.setattr(guest, "_QUIET_SECONDS", 0.05)
            with pytest.raises(TimeoutError, match=r"is still running after 0\.5 s"):
                batch.wait(timeout=0.5)
        is_asking = not any(one.done() for one in asked)
        os.kill(owner.pid, signal.SIGCONT)
        plan, said, started, _ = [one.result(timeout=60) for one in asked]
        ended = started.wait(timeout=60)

    assert is_asking
    assert plan == {"due": 3}
    assert said == f"<Batch {batch.id}: completed, 2 of 2 items>"
    assert (ended.state, ended.totals) == ("completed", {"done": 2})
    assert events[-1].state == "completed"
    assert len(kit.batches()) == 2
    assert [record.getMessage() for record in own_records(caplog)] == [
        f"batch {batch.id} is waited for: {SILENT.format(owner.pid)}"
    ]


def test_an_owner_that_stays_silent_is_named_to_who_comes_and_to_who_waits(
    kit: pk.Kit, owner: Notebook, known: list[str], monkeypatch: pytest.MonkeyPatch
):
    """The words say what it may be, what happens to what runs, and what a person can do."""
    batch = kit.start(known[:2], datasets="parcels")
    batch.wait()
    monkeypatch.setattr("propkit.sharing.door._KNOCK_SECONDS", 0.05)
    for name in ("_HELLO_SECONDS", "_SECONDS", "_QUIET_SECONDS"):
        monkeypatch.setattr(guest, name, 0.05)
    with suspended(owner):
        failed = []
        for do in (lambda: pk.open(kit.store.path), batch.wait, lambda: kit.frame("parcels")):
            with pytest.raises(StoreError) as error:
                do()
            failed.append(str(error.value))

    assert failed == [SILENT.format(owner.pid)] * 3


def test_collect_in_a_guest_shows_and_reports(
    kit: pk.Kit, known: list[str], capsys: pytest.CaptureFixture[str]
):
    """The progress line of the owner's batch is shown here."""
    report = kit.collect(known[:5])

    assert report.is_complete
    assert "Collected 15 of 15 items (100 %)" in capsys.readouterr().err


def test_a_guest_cancels_resumes_and_retries(county: County, path: Path, known: list[str]):
    """The batch stops at the owner's, goes on at its will, and failed items are asked again."""
    settings = settings_of(county, per_second=20)
    with (
        notebook(path, settings) as owner,
        pk.open(path, settings=pk.Settings.load(**settings)) as kit,
    ):
        owner.run(HASTY_CANCEL)
        # One is not answered: the batch does not end before it is cancelled.
        county.switch(faults=[{"kind": "hang", "system": "assessor", "path": known[39]}])
        batch = kit.start(known[:40], datasets="parcels")
        wait_until(lambda: (batch.progress is not None) and batch.progress.ended > 2)
        with pytest.raises(TimeoutError):
            batch.wait(timeout=0.01)
        with pytest.raises(RequestError, match="is running"):
            batch.resume()
        cancelled = batch.cancel()
        assert cancelled.state == batch.state == "cancelled"
        assert 2 < cancelled.totals["done"] < 40
        assert not batch.is_running

        county.switch(faults=[])
        resumed = batch.resume().wait()
        assert (resumed.state, resumed.totals) == ("completed", {"done": 40})

        assert batch.retry().wait().totals == {"done": 40}
        with pytest.raises(RequestError, match="no failure class 'bad'"):
            batch.retry(only="bad")


def test_a_guest_orders_in_a_name_and_forgets(kit: pk.Kit, owner: Notebook, known: list[str]):
    """Whose batch it is goes to the owner; so does the wish to forget it."""
    batch = kit.start(known[:3], datasets="parcels", created_by="ana")
    batch.wait()
    assert owner.run("kit.batch('last').head.created_by") == "ana"

    batch.delete()

    assert owner.run("len(kit.batches())") == 0
    assert len(kit.frame("parcels")) == 3
    with pytest.raises(RequestError, match=f"no batch '{batch.id}'"):
        batch.delete()


def test_collecting_in_the_background_is_stopped_and_goes_on(
    county: County, path: Path, known: list[str]
):
    """``enhance``, ``pause`` and ``unpause`` work through the owner."""
    settings = settings_of(county)
    county.switch(faults=[{"kind": "hang", "system": "assessor"}])  # it may not end before
    with (
        notebook(path, settings) as owner,
        pk.open(path, settings=pk.Settings.load(**settings)) as kit,
    ):
        owner.run(HASTY_CANCEL)
        batch = kit.enhance(known[:15])
        assert batch is not None
        kit.pause()
        assert batch.state == "interrupted"
        assert kit.unfinished == [batch.id]
        kit.unpause()
        assert batch.is_running
        assert kit.unfinished == []
        batch.cancel()


def test_a_guest_searches_the_owners_county(kit: pk.Kit, county: County, owner: Notebook):
    """The hits are a frame as in the owner, its attributes too; errors are the same."""
    name = county.truth(county.apns(1))["parcels"][0]["owner_name"].split()[0]

    hits = kit.search(name)

    told = owner.run(f"h = kit.search({name!r}); [h['apn'].tolist(), h.attrs]")
    assert [hits["apn"].tolist(), hits.attrs] == told
    assert len(hits) > 0
    with pytest.raises(RequestError, match="cannot search by 'smell'"):
        kit.search("x", by="smell")


def test_a_guest_is_refused_what_the_owner_would_refuse(kit: pk.Kit, known: list[str]):
    """The message is the owner's, and nothing was started."""
    with pytest.raises(RequestError, match="workers must be a whole number"):
        kit.start(known[:2], workers=0)
    with pytest.raises(RequestError, match="no strategy 'wild'"):
        kit.start(known[:2], strategy="wild")
    with pytest.raises(RequestError, match="max_requests: no host or source 'nowhere'"):
        kit.start(known[:2], max_requests={"nowhere": 1})
    with pytest.raises(RequestError, match="no frame"):
        kit.frame("nothing")
    with pytest.raises(RequestError, match="no batch 'last'"):
        kit.batch("last")
    assert kit.batches().empty


def test_the_other_verbs_work_in_a_guest(
    kit: pk.Kit, owner: Notebook, known: list[str], tmp_path: Path
):
    """Workbook, statistics, pruning and the export of a batch."""
    report = kit.start(
        [*known[:5], "999-99-999", "no parcel"], export_to=tmp_path / "batch.xlsx"
    ).wait()

    assert report.state == "completed"
    assert (tmp_path / "batch.xlsx").is_file()
    workbook = kit.to_excel(tmp_path / "all.xlsx")
    assert len(pd.read_excel(workbook, sheet_name="parcels", engine="calamine")) == 5
    not_there = ["999-99-999", "999-99-999", "no parcel"]  # at both offices
    assert kit.frame("not_collected")["identifier"].tolist() == not_there
    terms = kit._place.sources["maricopa_assessor"].terms  # so a plan tells what the owner lacks
    assert (terms.token_hint[:25], terms.lacks_token) == ("set PROPKIT_SOURCES__MARI", False)
    for name in ("batch.xlsx", "all.xlsx"):
        left = pd.read_excel(tmp_path / name, sheet_name="not_collected", engine="calamine")
        assert left["identifier"].tolist() == not_there
    statistics = kit.statistics("last")
    assert {one.source: one.items["done"] for one in statistics.sources} == {
        "maricopa_assessor": 5,
        "maricopa_recorder": 5,
        "maricopa_treasurer": 5,
    }
    assert statistics.store.rows["parcels"] == 5
    assert statistics.store.commits > 0
    of_parcels = kit.quality().tables.query("table == 'parcels'")
    assert list(of_parcels["rows"]) == [5]
    assert kit.prune(0).payloads == 0
    assert kit.prune(0, apply=True).is_done
    assert kit.sql("SELECT count(*) AS n FROM parcels WHERE apn = $1", [known[0]])["n"][0] == 1
    assert kit.sql("SELECT $a + $b AS n", {"a": 1, "b": 2})["n"].tolist() == [3]


def test_a_snapshot_opens_with_any_duckdb_while_a_batch_runs(
    county: County, path: Path, known: list[str], tmp_path: Path
):
    """From owner and guest alike; it is whole, and an existing file is only replaced if asked."""
    settings = settings_of(county, per_second=20)
    target = tmp_path / "copy.duckdb"
    with (
        notebook(path, settings) as owner,
        pk.open(path, settings=pk.Settings.load(**settings)) as kit,
    ):
        batch = kit.start(known[:20], datasets="parcels")
        wait_until(lambda: batch.progress is not None and batch.progress.ended > 4)

        assert kit.snapshot(target) == target

        with duckdb.connect(target, read_only=True) as copy:
            items = copy.sql("SELECT state, count(*) FROM items GROUP BY state").fetchall()
            counts = {table: copy.sql(f"FROM {table}").to_arrow_table() for table in RECORD_TYPES}
        assert sum(dict(items).values()) == 20
        assert counts["parcels"].num_rows == dict(items).get("done", 0)
        with pytest.raises(RequestError, match=r"copy\.duckdb exists already"):
            kit.snapshot(target)
        with pytest.raises(RequestError, match="is the store itself"):
            kit.snapshot(path, overwrite=True)
        batch.wait()
        owner.run(f"kit.snapshot({str(target)!r}, overwrite=True)")
        with duckdb.connect(target, read_only=True) as copy:
            assert copy.sql("SELECT count(*) FROM parcels").fetchall() == [(20,)]
        left = {one.name for one in tmp_path.iterdir() if one.is_file()} - {"test.duckdb.wal"}
        assert left == {".test.duckdb.owner.json", "copy.duckdb", "test.duckdb"}


def test_a_closed_guest_leaves_its_batch_to_the_owner(
    county: County, path: Path, owner: Notebook, known: list[str]
):
    """The batch goes on when the notebook that started it has gone; the closed kit says so."""
    with pk.open(path, settings=pk.Settings.load(**settings_of(county))) as kit:
        batch = kit.start(known[:10])

    with pytest.raises(RequestError, match="is closed; open it again"):
        kit.start(known[:1])
    assert repr(kit) == "<Kit test.duckdb: closed>"
    wait_until(lambda: owner.run(f"kit.batch({batch.id!r}).state") == "completed")
    assert owner.run("len(kit.frame('parcels'))") == 10


def test_two_kits_of_one_process_serve_until_both_are_closed(county: County, path: Path):
    """The first to close does not send the guests away."""
    settings = settings_of(county)
    first = pk.open(path, settings=pk.Settings.load(**settings))
    second = pk.open(path, settings=pk.Settings.load(**settings))
    with second, notebook(path, settings) as guest:
        assert guest.run("repr(kit)").count("guest of PID") == 1
        first.close()
        assert guest.run("len(kit.frame('parcels'))") == 0
        assert guest.run("repr(kit)").count("guest of PID") == 1
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_events_of_a_batch_that_ended_long_ago_are_let_go(
    county: County, path: Path, known: list[str], monkeypatch: pytest.MonkeyPatch
):
    """A notebook that runs batch after batch does not keep what nobody follows any more."""
    monkeypatch.setattr(work, "_KEPT_SECONDS", -1.0)
    with quick_kit(county, path) as kit:
        first = kit.start(known[:2], datasets="parcels")
        first.wait()
        second = kit.start(known[2:4], datasets="parcels")
        second.wait()

        assert kit._place.events(first.id, 0) == []
        assert kit._place.events(second.id, 0)[-1][1].state == "completed"


def test_of_batches_that_ended_long_ago_little_is_kept(
    county: County, path: Path, known: list[str], monkeypatch: pytest.MonkeyPatch
):
    """A worker that runs thousands of them in its weeks does not grow; each can be gone on with."""
    monkeypatch.setattr(thread, "_MOST_ENDED", 1)
    with quick_kit(county, path) as kit:
        kit.collect(known[:2], datasets="parcels", progress=False)
        batches = [kit.start(known[:2], datasets="parcels", listener=print) for _ in range(3)]
        for batch in batches:
            batch.wait()
        batches.append(kit.start(known[:2], datasets="parcels"))
        batches[-1].wait()

        works = CollectorThread.find(kit.store).works
        assert list(works) == [batch.id for batch in batches[-2:]]
        assert [one.id for one in kit._place._started] == list(works)
        run = works[batches[-1].id]._run
        assert (run.fresh_keys, run.stale, run.listeners) == (frozenset(), {}, [])
        assert batches[0].progress is None
        assert batches[0].wait().state == "completed"


def test_batches_that_nobody_waits_for_are_forgotten(
    kit: pk.Kit, known: list[str], monkeypatch: pytest.MonkeyPatch
):
    """A guest that starts thousands keeps none that has ended; each can be asked about still."""
    monkeypatch.setattr(leaving, "_MOST_WANTED", 2)
    place = kit._place
    assert isinstance(place, SharedPlace)
    place._wanted = leaving.WantedBatches(kit.store)
    ids = []
    for _ in range(3):
        ids.append(kit.start(known[:2], datasets="parcels", listener=print).id)
        wait_until(lambda: not place._followers)
    place._wanted.ids |= {*ids, "deleted"}

    last = kit.start(known[2:4], datasets="parcels")

    assert place._wanted.ids == {last.id}
    assert (place._wanted._most, place._followers) == (2, {})
    assert [kit.batch(batch_id).wait().state for batch_id in ids] == ["completed"] * 3


def test_batches_that_run_or_wait_stay_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The next owner has to go on with them, however many they are."""
    monkeypatch.setattr(leaving, "_MOST_WANTED", 3)
    states = ["pending", "running", "interrupted", "paused", "completed", "failed", "cancelled"]
    with closing(Store.open(tmp_path / "test.duckdb")) as store:
        wanted = leaving.WantedBatches(store)
        for state in states:
            make = {"kind": "collect", "criteria": {}, "batch_id": state, "state": state}
            create_batch(store, [], **make)
            wanted.add(state)

        wanted.forget_ended()
        kept = sorted(wanted.ids)
        set_state(store, "paused", "completed")
        wanted.forget_ended()

    assert kept == ["interrupted", "paused", "pending", "running"]
    assert sorted(wanted.ids) == kept  # it is looked up again when they are twice as many
    assert wanted._most == 8


def test_a_batch_that_nobody_holds_is_let_go(county: County, path: Path, known: list[str]):
    """The kit of a process that lives for weeks keeps none; who holds one has the same each time."""
    with quick_kit(county, path) as kit:
        held = kit.start(known[:2], datasets="parcels")
        passing = kit.start(known[:2], datasets="parcels").id
        held.wait()
        kit.batch(passing).wait()
        gc.collect()

        assert list(kit._batches) == [held.id]
        assert kit.batch(held.id) is held
        assert kit.batch(passing).state == "completed"


def test_a_batch_is_started_while_another_kit_starts_one(
    county: County, path: Path, known: list[str]
):
    """Both are of one store and of one thread; neither is told that the other changed something."""
    started = []
    with quick_kit(county, path) as kit:
        first = kit.start(known[:2], datasets="parcels")
        first.wait()
        works = CollectorThread.find(kit.store).works
        starting = threading.Thread(
            target=lambda: started.append(kit.start(known[2:4], datasets="parcels"))
        )
        with works[first.id]._lock:  # it is gone on with just now
            starting.start()
            wait_until(lambda: "forget_events" in _calls_of(starting))
            works["another kit's"] = works[first.id]
        starting.join()

        assert [batch.wait().state for batch in started] == ["completed"]


def _calls_of(running: threading.Thread) -> list[str]:
    frame = sys._current_frames()[running.ident or 0]
    return [summary.name for summary in traceback.extract_stack(frame)]


def test_where_nobody_may_listen_the_store_is_opened_all_the_same(
    county: County, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Only other processes miss something."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError("no socket for you")

    monkeypatch.setattr(server, "Door", refuse)
    with pk.open(path, settings=pk.Settings.load(**settings_of(county))) as kit:
        assert repr(kit).endswith("; owner: this process>")
        assert [one.name for one in path.parent.iterdir() if one.suffix == ".json"] == []


def test_a_guest_reads_kept_answers_again(kit: pk.Kit, owner: Notebook, known: list[str]):
    """It reads them itself; what differs is stored by the owner."""
    owner.run(f"kit.start({known[:3]!r}).wait()")
    owner.run(
        "kit.store.writer.submit(lambda c: c.execute(\"UPDATE parcels SET jurisdiction = 'OLD'\"))"
        ".result() and None"
    )

    told = kit.reparse("maricopa_assessor")
    stored = kit.reparse("maricopa_assessor", apply=True)

    assert told["column"].tolist() == ["jurisdiction"] * 3
    assert_frame_equal(told, stored)
    assert len(kit.reparse("maricopa_assessor")) == 0
    assert kit.store.rows("SELECT count(*) n FROM reparse_changes") == [{"n": 3}]


def test_a_guest_looks_things_up_at_the_owners_pace(kit: pk.Kit, owner: Notebook):
    """The owner asks; the guest has the same rows, and the same refusals."""
    folder = kit.store.path.parent
    owner.run(f"kit.documents('AGAVE LEE').to_pickle({str(folder / 'a.pickle')!r})")

    found = kit.documents("AGAVE LEE")

    assert_frame_equal(found, pd.read_pickle(folder / "a.pickle"))  # noqa: S301
    assert found.attrs == {"total": len(found), "is_complete": True}
    with pytest.raises(RequestError, match="the name is empty"):
        kit.documents(" ")


def test_a_guest_keeps_its_postings_in_the_owners_store(kit: pk.Kit, owner: Notebook):
    """No row is posted twice, whoever of the two posts; the owner sees what was posted."""
    trucks = pd.DataFrame({"id": ["T1", "T2"], "title": ["Truck 1", "Truck 2"]})
    posted: list[str] = []

    def post(row: dict[str, str]) -> str:
        posted.append(row["id"])
        return f"https://site.example/{row['id']}"

    given = {"poster": post, "name": "trucks", "store": kit}
    reports = [pk.run_batch(trucks, **given) for _ in range(2)]
    again = pk.run_batch(trucks, "all", repost=True, **given)

    assert [report.counts() for report in reports] == [{"posted": 2}, {"skipped": 2}]
    assert again.counts() == {"posted": 2}
    assert posted == ["T1", "T2", "T1", "T2"]
    sql = "SELECT row_key, posting_status, posted_url, attempt FROM listings ORDER BY row_key"
    assert owner.run(f"[list(row.values()) for row in kit.store.rows({sql!r})]") == [
        ["T1", "posted", "https://site.example/T1", 2],
        ["T2", "posted", "https://site.example/T2", 2],
    ]
    runs = kit.store.rows("SELECT ended_at FROM posting_runs")
    assert [row["ended_at"] is None for row in runs] == [False] * 3
