"""The owner goes, by its own will or not: a guest takes its place, and nothing is lost."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
import traceback
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from pyarrow import flight

import propkit as pk
from propkit.errors import RequestError, StoreError, StoreInUseError
from propkit.sharing import leaving
from propkit.sharing.discovery import (
    PROTOCOL,
    Discovery,
    discovery_path,
    read_discovery,
    write_discovery,
)
from propkit.sharing.flight_server import _answer
from propkit.sharing.leaving import resume_left
from propkit.sharing.shared import SharedPlace
from propkit.store import Store
from propkit.store.holders import may_serve
from tests.guests.dying import dying_kit
from tests.guests.notebooks import (
    CellError,
    Notebook,
    notebook,
    settings_of,
    started,
    wait_until,
)

if TYPE_CHECKING:
    from pathlib import Path

    from propkit.demo_county import County
    from propkit.sharing.guest import GuestPlace
    from propkit.sharing.here import HerePlace

KILLS = int(os.environ.get("PROPKIT_TEST_OWNER_KILLS", "2"))
SEED = 20261122

HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def pid_in(path: Path) -> int | None:
    """Return the process that says it owns a store."""
    found = read_discovery(path)
    return None if found is None else found.pid


def load(settings: dict[str, object]) -> pk.Settings:
    return pk.Settings.load(**settings)


def test_a_guest_takes_over_when_the_owner_is_killed(
    kit: pk.Kit, owner: Notebook, known: list[str], path: Path
):
    """The next call opens the file here; what was stored is there, and others are served."""
    kit.start(known[:5]).wait()
    owner.kill()

    parcels = kit.frame("parcels")

    assert len(parcels) == 5
    assert repr(kit).endswith("; owner: this process>")
    assert kit.start(known[5:8]).wait().totals == {"done": 9}
    said = json.loads(discovery_path(path).read_text("utf-8"))
    assert said["pid"] == os.getpid()


def test_a_batch_goes_on_under_the_guest_that_waits_for_it(
    county: County, path: Path, known: list[str], monkeypatch: pytest.MonkeyPatch
):
    """The owner dies in the middle: who waits takes over, and gets the report of the whole.

    To go on with a batch takes a while: what is asked of the store meanwhile is answered at once,
    and who asks about the batch does not find one that nobody runs.
    """
    may_go_on, said = threading.Event(), []
    monkeypatch.setattr(
        leaving, "resume_left", lambda *given: may_go_on.wait(60) and resume_left(*given)
    )
    settings = settings_of(county, per_second=50)
    county.switch(faults=[{"kind": "hang", "system": "assessor", "path": known[59]}])
    events: list[pk.Progress] = []
    with notebook(path, settings) as owner, pk.open(path, settings=load(settings)) as kit:
        batch = kit.start(known[:60], datasets="parcels", listener=events.append)
        wait_until(lambda: bool(events) and events[-1].ended > 10)
        owner.kill()

        kit.frame("parcels")
        asking = threading.Thread(target=lambda: said.append(batch.is_running))
        asking.start()
        asking.join(0.3)
        assert kit.batch("last").state == "interrupted"
        may_go_on.set()
        asking.join(60)
        county.switch(faults=[])
        report = batch.wait()

        assert said == [True]

        assert (report.state, report.totals) == ("completed", {"done": 60})
        assert (events[-1].state, events[-1].total) == ("completed", 60)
        assert kit.store.rows("SELECT count(*) AS n, count(DISTINCT apn) AS d FROM parcels") == [
            {"n": 60, "d": 60}
        ]


def test_a_batch_that_nobody_waits_for_is_shown_and_can_be_resumed(
    county: County, path: Path, known: list[str]
):
    """The owner's own batch is interrupted by its death; the next owner says so and goes on."""
    settings = settings_of(county)
    county.switch(faults=[{"kind": "hang", "system": "assessor"}])  # it may not end before
    with notebook(path, settings) as owner, pk.open(path, settings=load(settings)) as kit:
        batch_id = owner.run(f"kit.start({known[:40]!r}, datasets='parcels').id")
        owner.kill()
        county.switch(faults=[])

        assert kit.unfinished == [batch_id]
        assert f"unfinished: {batch_id}" in repr(kit)
        assert kit.batch("last").state == "interrupted"
        assert kit.batch("last").progress is None
        report = kit.batch("last").resume().wait()
        assert (report.state, report.totals) == ("completed", {"done": 40})


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize("verb", ["start", "retry", "resume"])
def test_a_batch_is_begun_once_though_one_owner_after_the_other_is_lost(
    county: County, path: Path, known: list[str], verb: str, *, is_done: bool
):
    """Three are lost at the call; the first may have carried it out, unheard: nothing is asked twice."""
    with dying_kit(path, load(settings_of(county))) as (kit, lose):
        plan, batch = kit.plan(known[:3], datasets="parcels"), None
        if verb != "start":
            county.switch(faults=[{"kind": "status", "status": 401, "system": "assessor"}])
            batch = kit.start(plan)
            assert batch.wait().totals == {"failed": 3}
            county.switch(faults=[])
            county.clear_ledger()
        lose(verb, is_done=is_done)

        batch = kit.start(plan) if batch is None else getattr(batch, verb)()

        assert batch.wait().totals == {"done": 3}
        assert kit.batches()["batch_id"].tolist() == [batch.id]
        assert len(county.ledger("assessor")) == 3


def test_a_batch_is_forgotten_once_though_the_owner_is_lost_at_it(
    county: County, path: Path, known: list[str]
):
    """That it was carried out, unheard, is no error."""
    with dying_kit(path, load(settings_of(county))) as (kit, lose):
        batch = kit.start(known[:1], datasets="parcels")
        batch.wait()
        lose("delete", is_done=True)

        batch.delete()

        assert kit.batches().empty


def test_an_owner_that_closes_hands_over(county: County, path: Path, known: list[str]):
    """Its batch goes on under the guest that waits; the file that says where it is has gone."""
    settings = settings_of(county, per_second=50)
    with notebook(path, settings) as owner, pk.open(path, settings=load(settings)) as kit:
        batch = kit.start(known[:60], datasets="parcels")
        wait_until(lambda: batch.progress is not None and batch.progress.ended > 10)

        assert owner.close() == 0
        report = batch.wait()

        assert (report.state, report.totals) == ("completed", {"done": 60})
        assert repr(kit).endswith("; owner: this process>")
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_store_that_is_closed_under_a_guests_query_is_asked_anew(path: Path):
    """Its owner closes it: that is the guest's cue to look for the next one, and no error."""
    store = Store.open(path)
    store.close()

    with pytest.raises(flight.FlightUnavailableError, match="is closed"):
        _answer(lambda: store.rows("SELECT 1"))


def test_a_kit_that_is_closed_while_it_takes_over_lets_the_file_go(
    kit: pk.Kit, owner: Notebook, path: Path
):
    """Else the process would hold it until its end, for a kit that nobody has any more."""
    place = kit._place
    assert isinstance(place, SharedPlace)
    rejoin, closing = place._rejoin, threading.Thread(target=kit.close)

    def rejoin_and_close() -> GuestPlace | HerePlace:
        found = rejoin()
        closing.start()
        wait_until(lambda: place._is_closed)
        return found

    place._rejoin = rejoin_and_close
    owner.kill()
    with pytest.raises(RequestError, match="is closed; open it again"):
        kit.frame("parcels")
    closing.join()

    assert not Store.is_open(path)


def test_the_slower_guest_attaches_to_the_quicker_one(kit: pk.Kit, county: County, path: Path):
    """Two guests lose their owner: one takes over, the other is its guest."""
    settings = settings_of(county)
    owner_pid = int(repr(kit).rpartition("PID ")[2].rstrip(">"))
    with notebook(path, settings) as other:
        os.kill(owner_pid, 9)

        other.send("kit.frame('parcels'); repr(kit)")
        kit.frame("parcels")
        said = [repr(kit), other.receive()]

        owners = [one.endswith("owner: this process>") for one in said]
        assert sorted(owners) == [False, True]
        pid = other.pid if owners[1] else os.getpid()
        assert any(one.endswith(f"guest of PID {pid}>") for one in said)


@pytest.mark.timeout(120 + 30 * KILLS)
def test_owners_killed_again_and_again_lose_nothing(county: County, path: Path, known: list[str]):
    """Each time the owner of a batch is killed, another goes on; at the end all is there once."""
    settings = settings_of(county, per_second=40)
    moments = random.Random(SEED)
    took: list[float] = []
    with ExitStack() as ends:
        owner = ends.enter_context(notebook(path, settings))
        # One parcel is not answered before the kill: however slow a guest begins, it finds a batch.
        last = {"kind": "hang", "system": "assessor", "path": known[-1]}
        county.switch(faults=[last])
        owner.run(f"batch = kit.start({known!r}, datasets='parcels')")
        for _ in range(KILLS):
            guest = ends.enter_context(notebook(path, settings))
            guest.run("batch = kit.batch('last'); None")  # what it then waits for goes on
            guest.send("batch.wait().state")
            time.sleep(moments.uniform(0, 0.5))
            owner.kill()
            killed_at = time.monotonic()
            county.switch(faults=[])
            wait_until(lambda: pid_in(path) == guest.pid)  # noqa: B023
            took.append(time.monotonic() - killed_at)
            assert guest.receive() == "completed"
            county.switch(faults=[last])
            guest.run(f"batch = kit.start({known!r}, datasets='parcels', max_age=0)")
            owner = guest
        county.switch(faults=[])
        owner.run("[kit.batch(n).wait() for n in kit.batches()['batch_id']]")
        states = owner.run("kit.batches()['state'].tolist()")
        assert states == ["completed"] * (KILLS + 1)
        assert owner.run("sorted(kit.frame('parcels')['apn'])") == sorted(known)
    print(f"taken over after {', '.join(f'{seconds:.2f}' for seconds in took)} s")  # noqa: T201 -- the figure


@pytest.mark.timeout(180)
def test_of_those_who_open_at_once_one_owns_and_six_guests_write_at_once(
    county: County, path: Path
):
    """Nobody is refused; each has a batch, every batch ends, and every parcel is stored once."""
    apns = county.apns(140)
    parts = [apns[place::7] for place in range(7)]
    with started(path, settings_of(county), 6) as notebooks:
        said = [one.receive() for one in notebooks]
        owners = [
            one.pid for one, text in zip(notebooks, said, strict=True) if "owner: this" in text
        ]
        assert len(owners) == 1
        assert sum(f"guest of PID {owners[0]}>" in text for text in said) == 5
        with pk.open(path, settings=load(settings_of(county))) as kit:
            assert repr(kit).endswith(f"guest of PID {owners[0]}>")
            for one, part in zip(notebooks, parts[1:], strict=True):
                one.send(f"kit.collect({part!r}, datasets='parcels', progress=False).totals")
            totals = [kit.collect(parts[0], datasets="parcels", progress=False).totals]
            totals += [one.receive() for one in notebooks]

            assert [sum(one.values()) for one in totals] == [20] * 7
            assert kit.batches()["state"].tolist() == ["completed"] * 7
            found = kit.frame("parcels")["apn"]
    assert found.is_unique
    assert set(found) == {row["apn"] for row in county.truth(apns)["parcels"]}


def test_a_foreign_program_that_holds_the_file_is_named(path: Path, county: County):
    """Its PID and its name are said; DuckDB's own words never are."""
    with pk.open(path, settings=load(settings_of(county))):
        pass
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreInUseError) as failure:
            pk.open(path, settings=load(settings_of(county)))
        holder.stdin.close()

    assert f"is in use by another process (PID {holder.pid}), python" in str(failure.value)
    assert failure.value.pid == holder.pid
    assert "set lock" not in "".join(traceback.format_exception(failure.value))


def test_a_foreign_program_is_named_at_once(
    path: Path, county: County, owner: Notebook, monkeypatch: pytest.MonkeyPatch
):
    """Only who has loaded what propkit needs may be an owner that begins, and is waited for."""
    monkeypatch.setattr("propkit.sharing.joining.STRANGER_SECONDS", 3600.0)
    other = path.with_name("other.duckdb")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(other)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreInUseError):
            pk.open(other, settings=load(settings_of(county)))
        assert (may_serve(holder.pid), may_serve(owner.pid)) == (False, True)
        holder.stdin.close()


def test_an_owner_that_serves_nobody_is_named(path: Path, county: County):
    """With ``store.serve`` off the file is held as by any other program."""
    settings = settings_of(county, store={"serve": False})
    with notebook(path, settings) as owner:
        with pytest.raises(StoreInUseError, match=rf"PID {owner.pid}\)"):
            pk.open(path, settings=load(settings))
        assert not discovery_path(path).exists()


@pytest.mark.parametrize("pid", [1, 2**22 - 1, None])
def test_a_file_left_by_a_dead_owner_is_in_nobodys_way(path: Path, county: County, pid: int | None):
    """Its PID may be gone, or another program's by now: who can open the file owns it."""
    left = Discovery(address="127.0.0.1", port=9, token="old", pid=pid or os.getpid(), host="else")
    write_discovery(path, left)

    with pk.open(path, settings=load(settings_of(county))) as kit:
        assert repr(kit).endswith("; owner: this process>")
        assert "old" not in discovery_path(path).read_text("utf-8").split('"')
    assert not discovery_path(path).exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"pid": "x"}', b"\x00" * 200_000])
def test_a_file_that_nobody_wrote_is_in_nobodys_way(path: Path, county: County, content: bytes):
    """What is no discovery file is replaced."""
    discovery_path(path).write_bytes(content)

    with pk.open(path, settings=load(settings_of(county))) as kit:
        assert kit.frame("parcels").empty


def test_a_file_that_was_moved_away_is_not_made_anew(
    kit: pk.Kit, owner: Notebook, path: Path, county: County
):
    """Two stores of one name would spoil each other, and a new one would seem to have lost all."""
    path.rename(path.with_name("elsewhere.duckdb"))

    with pytest.raises(StoreError, match=f"and PID {owner.pid} has it open still: close it there"):
        pk.open(path, settings=load(settings_of(county)))
    owner.kill()
    with pytest.raises(StoreError, match="was moved or deleted while it was open"):
        kit.frame("parcels")
    assert not path.exists()


def test_a_file_that_was_deleted_is_made_anew_when_it_is_closed(path: Path, county: County):
    """In the same notebook too: its kit would go on with what nobody finds."""
    settings = load(settings_of(county))
    with pk.open(path, settings=settings):
        path.unlink()
        with pytest.raises(StoreError, match="and this process has it open still"):
            pk.open(path, settings=settings)

    with pk.open(path, settings=settings) as kit:
        assert kit.frame("parcels").empty


def test_an_owners_file_that_others_may_read_is_named(
    owner: Notebook, path: Path, county: County, monkeypatch: pytest.MonkeyPatch
):
    """On some shares no file is private: who is not let in learns why."""
    monkeypatch.setattr("propkit.sharing.joining.JOIN_SECONDS", 0.0)
    monkeypatch.setattr("propkit.sharing.joining.STRANGER_SECONDS", 0.0)
    discovery_path(path).chmod(0o644)

    with pytest.raises(StoreInUseError) as failure:
        pk.open(path, settings=load(settings_of(county)))

    assert failure.value.pid == owner.pid
    assert str(failure.value).endswith(
        f"others than you may read or write {discovery_path(path)}, which is not used so"
    )


def test_when_the_file_cannot_be_taken_over_the_message_is_clear(
    kit: pk.Kit, owner: Notebook, path: Path
):
    """A foreign program was quicker: it is named, and once it has gone the kit works again."""
    owner.kill()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(StoreError, match=rf"in use by another process \(PID {holder.pid}\)"):
            kit.frame("parcels")
        holder.stdin.close()

    assert kit.frame("parcels").empty


def test_another_version_is_refused_by_name(
    county: County, path: Path, owner: Notebook, monkeypatch: pytest.MonkeyPatch
):
    """Owner and guest must be of one release; the message names both."""
    monkeypatch.setattr("propkit.sharing.discovery.__version__", "9.4.1")

    with pytest.raises(StoreError) as failure:
        pk.open(path, settings=load(settings_of(county)))

    assert f"is held by propkit {pk.__version__} (protocol {PROTOCOL}, PID {owner.pid})" in str(
        failure.value
    )
    assert "this is propkit 9.4.1" in str(failure.value)


def test_the_owner_refuses_another_version_too(owner: Notebook, kit: pk.Kit):
    """Who says hello as another version hears both names."""
    with pytest.raises(StoreError, match=r"propkit 7\.1\.0"):
        kit._place._place._link.call("hello", version="7.1.0", protocol=PROTOCOL)
    with pytest.raises(StoreError, match=f"protocol {PROTOCOL}"):
        kit._place._place._link.call("hello", version=pk.__version__, protocol=PROTOCOL + 1)


def test_a_patch_release_is_no_other_version(
    county: County, path: Path, owner: Notebook, monkeypatch: pytest.MonkeyPatch
):
    """Only the last number differs: they understand each other."""
    release = ".".join(pk.__version__.split(".")[:2])
    monkeypatch.setattr("propkit.sharing.discovery.__version__", f"{release}.99")

    with pk.open(path, settings=load(settings_of(county))) as kit:
        assert "guest of PID" in repr(kit)


def test_a_notebook_reports_what_failed_in_it(owner: Notebook):
    """The helper of these tests shows errors of cells."""
    with pytest.raises(CellError, match="ZeroDivisionError"):
        owner.run("1 / 0")
