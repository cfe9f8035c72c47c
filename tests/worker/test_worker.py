"""A worker owns the store for the notebooks: it outlives them, and another one takes over."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

import propkit as pk
from propkit import time_limits, worker_desk
from propkit.demo_county.faults import example_rule
from propkit.errors import RequestError, SettingsError, StoreError, StoreInUseError
from propkit.opening import _resume_unfinished
from propkit.sharing import joining
from propkit.sharing.discovery import read_discovery
from propkit.sharing.handing import handing_path, is_being_handed_over
from propkit.store import Store
from propkit.store.jobs import read_job
from propkit.worker import starting
from propkit.worker.command import _OwnLog
from propkit.worker.handing import dump_settings, load_settings, log_path
from tests.collecting import QUICK
from tests.guests.notebooks import notebook, settings_of, wait_until
from tests.listening import Hook, Mail, listening
from tests.worker.conftest import counts, owner_pid, wait_for_owner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from propkit.demo_county import County
    from propkit.sharing.guest import GuestPlace

    StartWorker = Callable[..., subprocess.Popen[bytes]]

DONE = {"done": 40}
SIGNALS = """
import os, signal, sys, threading
from pathlib import Path
from propkit.worker.command import run_worker
from propkit.worker.running import Worker

def send(frame, event, argument):
    if event == "line" and frame.f_code.co_filename in OWN:
        os.kill(os.getpid(), signal.SIGTERM)
    return send

def work(*given):
    sys.settrace(send)
    working(*given)
    sys.settrace(None)

OWN = {threading.__file__, sys.modules[Worker.__module__].__file__}
working, Worker._work = Worker._work, work
run_worker(Path(sys.argv[1]), given="{}")
"""
HANG = {"kind": "hang", "system": "assessor"}
NEVER_HANDED = (
    "from propkit.sharing import handing; handing.end_handing = lambda _: time.sleep(3600)"
)
"""A cell: never be done with handing over, so that whoever looks later still sees it begun."""


def slow(county: County, per_second: float = 20, **others: Any) -> pk.Settings:
    """Return settings under which 40 parcels take two seconds."""
    return pk.Settings.load(**settings_of(county, per_second=per_second, **others))


def log_of(path: Path) -> str:
    return log_path(path).read_text("utf-8")


# --- started by a kit ---------------------------------------------------------------------------


@pytest.mark.usefixtures("end_workers")
def test_a_kit_starts_a_worker_that_outlives_it(county: County, path: Path, apns: list[str]):
    """The batch goes on when the notebook is gone; the next one finds it, and its rows."""
    settings = slow(county)
    with pk.open(path, settings=settings, worker=True) as kit:
        worker = owner_pid(path)
        assert worker is not None
        assert worker != os.getpid()
        assert f"guest of PID {worker}" in repr(kit)
        batch = kit.start(apns, datasets=["parcels"]).id

    with pk.open(path, settings=settings, worker=True) as kit:
        assert owner_pid(path) == worker
        report = kit.batch(batch).wait(timeout=60)
        assert report.state == "completed"
        assert counts(kit) == DONE
        assert len(kit.frame("parcels")) == 40
        assert (kit.batch(batch).head.heartbeat_at or 0) != 0
    assert f"worker {worker} owns {path}" in log_of(path)
    assert stat.S_IMODE(log_path(path).stat().st_mode) == 0o600


@pytest.mark.usefixtures("end_workers")
def test_a_worker_that_a_kit_started_ends_when_it_is_idle(county: County, path: Path):
    """A kit that comes back gets another; the store is whole."""
    settings = slow(county, worker={"idle_seconds": 0.5})
    with pk.open(path, settings=settings, worker=True) as kit:
        first = owner_pid(path)
        assert first is not None
        wait_until(lambda: not os.path.exists(f"/proc/{first}"))  # noqa: PTH110 -- no zombie either

        assert kit.batches().empty

    # Where this process stands still, another may be idle before it is asked.
    owners = re.findall(r"worker (\d+) owns", log_of(path))
    idle = re.findall(r"worker (\d+) is idle", log_of(path))
    assert str(first) in idle
    assert len(owners) == len(set(owners)) > 1
    assert owners[:-1] == idle[: len(owners) - 1]


def test_a_worker_that_was_idle_before_its_kit_came_to_it_is_followed_by_another(
    settings: pk.Settings, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It began well, and ended well: nothing is wrong with the store."""
    workers = [Mock(poll=Mock(return_value=code)) for code in (0, None)]
    begun: list[Mock] = []
    place = Mock()

    def start(*_: object) -> Mock:
        begun.append(workers[len(begun)])
        return begun[-1]

    monkeypatch.setattr(starting, "_start", start)
    monkeypatch.setattr(starting, "attach", lambda _: place if len(begun) == 2 else None)

    assert starting.worker_joiner(path, settings)() is place
    assert begun == workers


def test_a_worker_that_begins_is_waited_for_though_the_machine_stands_still(
    settings: pk.Settings, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """So is an owner that begins: each of them stands still, too."""
    now, looks, place = [0.0], [0], Mock()

    def stand_still(*_: object) -> Mock | None:
        now[0] += 40.0
        looks[0] += 1
        return place if looks[0] == 3 else None

    def open_or_attach(*given: object) -> Mock:
        if (found := stand_still(*given)) is None:
            raise StoreInUseError("taken", pid=None)
        return found

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda _: None)
    for room in (time_limits, starting, joining):
        monkeypatch.setattr(room, "time", clock)
    monkeypatch.setattr(starting, "attach", stand_still)
    monkeypatch.setattr(starting, "_start", lambda *_: Mock(poll=Mock(return_value=None)))
    monkeypatch.setattr(joining, "own_place", open_or_attach)

    assert starting.worker_joiner(path, settings)() is place
    looks[0] = 0
    assert joining._join(path, settings, {}) is place  # type: ignore[comparison-overlap]


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux", {"start_new_session": True}),
        ("darwin", {"start_new_session": True}),
        ("win32", {"creationflags": 0x08000000}),  # CREATE_NO_WINDOW, as Windows documents it
    ],
)
def test_a_worker_does_not_hang_on_the_terminal_it_was_started_from(
    path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, expected: dict[str, object]
):
    """On Windows a session means nothing, and closing a console ends whatever is attached to it."""
    start = Mock(return_value=Mock(stdin=None))
    monkeypatch.setattr(starting.subprocess, "Popen", start)
    monkeypatch.setattr(starting.subprocess, "CREATE_NO_WINDOW", 0x08000000, raising=False)
    monkeypatch.setattr(starting.sys, "platform", platform)

    starting._start(path, pk.Settings())

    (command,), options = start.call_args
    assert command[1:5] == ["-m", "propkit.cli", "worker", "--db"]
    silent = {"stdin": subprocess.PIPE} | dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
    assert options == silent | expected


def test_the_log_is_bounded_and_private_whoever_writes_it(tmp_path: Path):
    """Two workers write at once, one of them waits: four files at most, the last lines in the first."""
    log = tmp_path / "worker.log"
    handlers = [_OwnLog(log, maxBytes=1000, backupCount=3, encoding="utf-8") for _ in range(2)]
    umask = os.umask(0)
    try:
        for number in range(200):
            line = f"line {number} {'x' * 40}"
            handlers[number % 2].emit(logging.makeLogRecord({"msg": line}))
    finally:
        os.umask(umask)
        for handler in handlers:
            handler.close()

    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [f"worker.log{end}" for end in ("", ".1", ".2", ".3")]
    assert [(stat.S_IMODE(file.stat().st_mode), file.stat().st_size <= 1000) for file in files] == [
        (0o600, True)
    ] * 4
    lines = [line for file in reversed(files) for line in file.read_text("utf-8").splitlines()]
    assert [int(line.split()[1]) for line in lines] == list(range(200 - len(lines), 200))


def test_a_log_that_was_deleted_is_begun_anew(tmp_path: Path):
    """A worker runs for weeks; what it says goes on to be found."""
    log = tmp_path / "worker.log"
    handler = _OwnLog(log, maxBytes=1000, backupCount=3, encoding="utf-8")
    try:
        handler.emit(logging.makeLogRecord({"msg": "before"}))
        log.unlink()
        handler.emit(logging.makeLogRecord({"msg": "after"}))
    finally:
        handler.close()

    assert log.read_text("utf-8") == "after\n"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_signal_ends_a_worker_whatever_it_does_just_then(path: Path):
    """Not a line of its work may hold a lock that the signal's handler would wait for."""
    done = subprocess.run(
        [sys.executable, "-c", SIGNALS, str(path)], capture_output=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")


def test_a_store_that_is_open_here_gets_no_worker(settings: pk.Settings, path: Path):
    """The same process cannot own the store and be a guest of its worker."""
    with pk.open(path, settings=settings), pytest.raises(RequestError) as caught:
        pk.open(path, settings=settings, worker=True)

    assert str(caught.value) == f"this process has {path} open itself: close that kit first"


def test_a_worker_that_cannot_begin_says_why(settings: pk.Settings, path: Path):
    """What is no store is named as anywhere else."""
    path.write_text("no database")

    with pytest.raises(StoreError, match=r"^the worker has ended: .*is no DuckDB file"):
        pk.open(path, settings=settings, worker=True)

    assert path.read_text() == "no database"


def test_a_worker_that_may_not_write_says_so(
    settings: pk.Settings, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It cannot even leave a log that would say why it has ended."""
    monkeypatch.setattr(starting, "_start", lambda *_: Mock(poll=Mock(return_value=1)))
    monkeypatch.setattr(os, "access", lambda *_: False)

    with pytest.raises(StoreError, match=f"^the worker has ended: {path.parent} cannot be written"):
        pk.open(path, settings=settings, worker=True)


def test_a_worker_that_does_not_get_the_file_is_ended(
    settings: pk.Settings, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What it waits for is said; nobody finds the file taken by it later on."""
    log_path(path).write_text("worker 1 waits: PID 4711 has it\n")
    worker = Mock(poll=Mock(return_value=None))
    monkeypatch.setattr(starting, "_start", lambda *_: worker)
    monkeypatch.setattr(starting, "_START_SECONDS", -1.0)

    with pytest.raises(StoreError, match=r"does not get hold of .*: worker 1 waits: PID 4711"):
        pk.open(path, settings=settings, worker=True)

    worker.terminate.assert_called_once_with()


def test_a_kit_that_wants_a_worker_is_content_with_another_owner(
    county: County, path: Path, settings: pk.Settings
):
    """A notebook that owns the store serves it as well."""
    with (
        notebook(path, settings_of(county)) as owner,
        pk.open(path, settings=settings, worker=True) as kit,
    ):
        assert f"guest of PID {owner.pid}" in repr(kit)
    assert not log_path(path).exists()


# --- ended, and taken over from -----------------------------------------------------------------


def test_sigterm_leaves_the_batch_to_the_next_worker(
    county: County, path: Path, apns: list[str], start_worker: StartWorker
):
    """What was collected is kept; nothing is asked twice; the next worker ends the batch."""
    settings = slow(county)
    first = start_worker(settings)
    wait_for_owner(path, first.pid)
    with pk.open(path, settings=settings) as kit:
        batch = kit.start(apns, datasets=["parcels"])
        wait_until(lambda: counts(kit).get("done", 0) >= 5)
        second = start_worker(settings)
        wait_until(lambda: f"worker {second.pid} waits: " in log_of(path))
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0
        wait_for_owner(path, second.pid)

        assert batch.wait(timeout=60).state == "completed"
        assert counts(kit) == DONE
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0

    asked = [request["path"] for request in county.ledger("assessor")]
    assert len(asked) - len(set(asked)) <= 8  # what was under way
    assert read_discovery(path) is None
    lines = log_of(path)
    assert f"worker {first.pid} has let {path} go" in lines
    assert "cannot go on" not in lines


@pytest.mark.parametrize("seed", range(int(os.environ.get("PROPKIT_WORKER_KILLS", "1"))))
def test_sigkill_leaves_the_batch_to_the_next_worker(
    county: County, path: Path, apns: list[str], start_worker: StartWorker, seed: int
):
    """Of several workers that wait one takes over and ends the batch, every item once."""
    settings = slow(county)
    workers = [start_worker(settings)]
    wait_for_owner(path, workers[0].pid)
    workers += [start_worker(settings), start_worker(settings)]
    with pk.open(path, settings=settings) as kit:
        batch = kit.start(apns, datasets=["parcels"])
        wait_until(lambda: counts(kit).get("done", 0) >= 3 + 7 * seed % 30)
        workers[0].kill()
        wait_until(lambda: owner_pid(path) in {workers[1].pid, workers[2].pid, os.getpid()})

        assert batch.wait(timeout=60).state == "completed"
        assert counts(kit) == DONE
        assert len(kit.frame("parcels")) == 40
        assert kit.store.rows("SELECT count(*) AS n, count(DISTINCT apn) AS d FROM parcels") == [
            {"n": 40, "d": 40}
        ]


def test_what_waits_is_run_by_the_worker_that_comes(
    county: County, path: Path, apns: list[str], start_worker: StartWorker
):
    """A batch that its notebook left unfinished goes on in the worker."""
    settings = slow(county)
    with pk.open(path, settings=settings) as kit:
        batch = kit.start(apns, datasets=["parcels"])
        wait_until(lambda: counts(kit).get("done", 0) >= 5)

    worker = start_worker(settings, "--until-idle", "0.5")

    assert worker.wait(60) == 0
    with pk.open(path, settings=settings) as kit:
        assert kit.batch(batch.id).state == "completed"
        assert counts(kit) == DONE


# --- several batches ----------------------------------------------------------------------------


def test_more_batches_than_may_run_wait_for_their_turn(
    county: County, path: Path, apns: list[str], start_worker: StartWorker
):
    """The third is pending while two run; a critical one does not wait; all end."""
    settings = slow(county, 500, worker={"batches": 2})
    county.switch(faults=[HANG])  # none may end before all have begun, however slow this is
    worker = start_worker(settings)
    wait_for_owner(path, worker.pid)
    with pk.open(path, settings=settings) as kit:
        batches = [
            kit.start(some, datasets=["parcels"])
            for some in (apns[:15], apns[15:30], apns[30:36], apns[36:38])
        ]
        urgent = kit.start(apns[38:], datasets=["parcels"], priority="critical")
        states = [batch.state for batch in (*batches, urgent)]
        assert states == ["running", "running", "pending", "pending", "running"]
        assert read_job(kit.store, batches[2].id).state == "PENDING"
        batches[3].cancel()
        county.switch(faults=[])

        for batch in batches[:3]:
            assert batch.wait(timeout=60).state == "completed"
        assert urgent.wait(timeout=60).state == "completed"
        assert batches[3].state == "cancelled"
        assert counts(kit) == {"cancelled": 2, "done": 38}


def test_the_more_urgent_batch_has_its_turn_first(
    county: County, path: Path, apns: list[str], start_worker: StartWorker
):
    """Of two that wait the one that came later goes first, since it is of a higher priority."""
    settings = slow(county, 500, worker={"batches": 1}, collect={**QUICK, "ageing_seconds": 1e6})
    county.switch(faults=[HANG])  # the first may not end before the others wait
    worker = start_worker(settings)
    wait_for_owner(path, worker.pid)
    with pk.open(path, settings=settings) as kit:
        batches = [
            kit.start(some, datasets=["parcels"], priority=priority)
            for some, priority in (
                (apns[:5], "normal"),
                (apns[5:10], "low"),
                (apns[10:15], "high"),
            )
        ]
        assert [batch.state for batch in batches] == ["running", "pending", "pending"]
        county.switch(faults=[])
        for batch in batches:
            assert batch.wait(timeout=60).state == "completed"
        started = [batch.head.started_at for batch in batches]

        assert started[0] < started[2] < started[1]


@pytest.mark.usefixtures("hasty_cancel")
def test_opening_with_auto_resume_runs_no_batch_that_the_worker_runs(
    county: County, path: Path, apns: list[str], start_worker: StartWorker
):
    """Both want what was left: one of them goes on with it, each parcel is asked for once."""
    settings = slow(county)
    county.switch(faults=[HANG])  # it may not end before both have come
    with pk.open(path, settings=settings) as kit:
        batch = kit.start(apns, datasets=["parcels"])
    worker = start_worker(settings)
    wait_for_owner(path, worker.pid)
    with ExitStack() as ends:
        kits = [
            ends.enter_context(pk.open(path, settings=settings, worker=True, auto_resume=True))
            for _ in range(2)
        ]
        county.switch(faults=[])
        for kit in kits:
            assert kit.batch(batch.id).wait(timeout=60).state == "completed"
        assert counts(kits[0]) == DONE
        assert kits[0].store.rows(
            "SELECT count(*) AS n FROM batch_logs WHERE message = 'batch resumed'"
        ) == [{"n": 1}]


class Resumed:
    """A kit with one unfinished batch, which somebody else takes up as it is resumed, or nobody."""

    def __init__(self, taken_up: bool) -> None:
        self.unfinished = ["it"]
        self._taken_up = taken_up

    def batch(self, batch_id: str) -> Resumed:
        return self

    def resume(self) -> None:
        if self._taken_up:
            self.unfinished = []
        raise RequestError("batch it is running")


def test_who_is_quicker_with_an_unfinished_batch_is_in_nobodys_way():
    """It is no error that it runs already; that it cannot be gone on with is one."""
    _resume_unfinished(Resumed(taken_up=True))  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="batch it is running"):
        _resume_unfinished(Resumed(taken_up=False))  # type: ignore[arg-type]


@pytest.mark.usefixtures("hasty_cancel")
def test_what_a_run_notes_is_in_the_log_while_it_runs(county: County, path: Path, apns: list[str]):
    """So it is there when the process is killed."""
    settings = slow(county)
    county.switch(faults=[HANG])  # it may not end before
    with pk.open(path, settings=settings) as kit:
        batch = kit.start(apns, datasets=["parcels"])
        run = kit._place._work(batch.id)._run
        run.note("slow", "the store: commit", seconds=2.5)

        wait_until(lambda: "slow" in set(batch.log()["event"]))
        assert batch.is_running
        assert batch.cancel().state == "cancelled"
        # On a machine that stands still something may really have taken long.
        assert list(dict.fromkeys(batch.log()["event"])) == ["created", "slow", "cancelled"]


def test_a_batch_that_cannot_be_run_fails_and_says_why(
    path: Path, apns: list[str], county: County, start_worker: StartWorker
):
    """A source that the worker does not know ends no worker."""
    settings = slow(county)
    with pk.open(path, settings=settings) as kit:
        batch = kit.start(apns[:2], datasets=["parcels"])
        batch.wait(timeout=60)
        kit.store.writer.submit(  # type: ignore[attr-defined]
            lambda connection: connection.execute(
                "UPDATE items SET state = 'waiting', source = 'nowhere'"
            ).execute("UPDATE batch_heads SET state = 'pending'")
        ).result(timeout=60)

    worker = start_worker(settings, "--until-idle", "0.5")

    assert worker.wait(60) == 0
    with pk.open(path, settings=settings) as kit:
        head = kit.batch(batch.id).head
    assert head.state == "failed"
    assert "nowhere" in str(head.error)


# --- telling a person ---------------------------------------------------------------------------


def test_a_failed_batch_is_told(
    county: County,
    path: Path,
    apns: list[str],
    start_worker: StartWorker,
    tmp_path: Path,
):
    """A command, a webhook and a mail say it once, and so does the log, however short it was."""
    told = tmp_path / "told.json"
    program = f"import sys; open({str(told)!r}, 'a').write(sys.stdin.read() + '\\n')"
    county.switch(faults=[example_rule("captcha", "assessor")])
    with listening(Mail) as mail, listening(Hook) as hook:
        notify = {
            "webhook": f"http://127.0.0.1:{hook.port}/",
            "mail_to": ["ada@example.org"],
            "smtp_host": "127.0.0.1",
            "smtp_port": mail.port,
        }
        command = {"notify": [sys.executable, "-c", program]}
        settings = slow(county, 500, worker=command, notify=notify)
        worker = start_worker(settings)
        wait_for_owner(path, worker.pid)
        with pk.open(path, settings=settings) as kit:
            batch = kit.start(apns, datasets=["parcels"])
            assert batch.wait(timeout=60).state == "paused"
            wait_until(lambda: told.exists() and told.read_text().endswith("\n"))
        _, message = mail.heard.get(timeout=60)
        _, _, body = hook.heard.get(timeout=60)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
        assert (mail.heard.qsize(), hook.heard.qsize()) == (0, 0)

    (line,) = told.read_text().splitlines()
    said = json.loads(line)
    assert said["event"] == "failed"
    assert (said["job"]["id"], said["job"]["state"]) == (batch.id, "FAILED")
    assert (body["batch_id"], body["event"], body["state"]) == (batch.id, "failed", "paused")
    assert "maricopa_assessor is stopped (blocked)" in body["error"]
    assert message["Subject"] == body["text"]
    assert f"batch {batch.id} is failed: " in log_of(path)


# --- settings by the worker's input -------------------------------------------------------------


def test_settings_come_to_the_worker_as_they_are(path: Path):
    """Secrets, durations, rates and paths are the same on the other side."""
    settings = pk.Settings.load(
        contact="ana@example.org",
        sources={
            "maricopa_assessor": {
                "token": "planted-secret",
                "base_url": "http://localhost:1/x",
                "requests_per_second": "learn",
                "max_age": "7d",
            },
            "maricopa_recorder": {"max_age": None, "requests_per_second": 2.5},
        },
        collect={"workers": 7, "profile": "fast"},
        store={"keep": "90d"},
        worker={"notify": ["mail", "ana"], "batches": 2},
        browser=path,
    )

    again = load_settings(dump_settings(settings))

    assert again == settings
    assert again.sources["maricopa_assessor"].max_age == timedelta(days=7)
    token = again.sources["maricopa_assessor"].token
    assert token is not None
    assert token.get_secret_value() == "planted-secret"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the settings are no JSON: "),
        ("[]", "the settings are no JSON object"),
        ('{"worker": {"batches": 0}}', "settings are wrong: worker.batches 0: "),
    ],
)
def test_bad_settings_are_told(text: str, message: str):
    """Nothing is guessed."""
    with pytest.raises(SettingsError) as caught:
        load_settings(text)

    assert str(caught.value).startswith(message)


@pytest.mark.usefixtures("end_workers")
def test_the_token_is_written_nowhere(county: County, path: Path, apns: list[str]):
    """Not in the log, the store, the discovery file or the process list."""
    given = settings_of(county)
    token = given["sources"]["maricopa_assessor"]["token"]
    settings = pk.Settings.load(**given)
    with pk.open(path, settings=settings, worker=True) as kit:
        assert kit.start(apns, datasets=["parcels"]).wait(timeout=60).state == "completed"
        pid = owner_pid(path)
        assert pid is not None
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            command = file.read()
        written = {each.name: each.read_bytes() for each in path.parent.iterdir() if each.is_file()}

    assert b"worker" in command
    assert token.encode() not in command
    assert {name for name, body in written.items() if token.encode() in body} == set()
    assert f".{path.name}.worker.log" in written


# --- handed over by a kit that owns the store ---------------------------------------------------


@pytest.mark.usefixtures("end_workers")
def test_a_kit_hands_its_store_over_to_a_worker(county: County, path: Path, apns: list[str]):
    """What ran in the kernel and what is started next go on in the worker, without the kernel."""
    settings = slow(county)
    ended: list[str] = []
    with pk.open(path, settings=settings) as kit:
        kit.at_close(lambda: ended.append("county"))
        before = kit.start(apns[:30], datasets=["parcels"])
        assert "owner: this process" in repr(kit)

        kit.hand_over()
        after = kit.start(apns[30:], datasets=["parcels"])

        worker = owner_pid(path)
        assert worker not in (None, os.getpid())
        assert f"guest of PID {worker}" in repr(kit)
        assert ended == []
        kit.hand_over()  # a worker owns it already
        assert owner_pid(path) == worker
        wait_until(lambda: before.progress is not None)  # who holds the batch follows it there
    assert ended == ["county"]

    with pk.open(path, settings=settings) as kit:
        for batch in (before, after):
            assert kit.batch(batch.id).wait(timeout=60).state == "completed"
        assert counts(kit) == DONE


@pytest.mark.usefixtures("end_workers")
def test_a_guest_has_its_owner_hand_the_store_over(county: County, path: Path, apns: list[str]):
    """What either of two notebooks started goes on in the worker, when both are gone."""
    given = settings_of(county, per_second=20)
    with notebook(path, given) as first, pk.open(path, settings=slow(county)) as kit:
        first.run(f"batch = kit.start({apns[:20]!r}, datasets=['parcels'])")
        batch = kit.start(apns[20:], datasets=["parcels"])
        assert f"guest of PID {first.pid}" in repr(kit)

        kit.hand_over()

        worker = owner_pid(path)
        assert worker not in (None, os.getpid(), first.pid)
        assert f"guest of PID {worker}" in repr(kit)
        assert f"guest of PID {worker}" in first.run("repr(kit)")
        wait_until(lambda: not handing_path(path).exists())
        first.kill()
        assert batch.wait(timeout=60).state == "completed"
        assert kit.batch(1).wait(timeout=60).state == "completed"
        assert counts(kit) == DONE


@pytest.mark.usefixtures("end_workers")
def test_a_kernel_that_ends_while_it_hands_over_loses_nothing(
    county: County, path: Path, apns: list[str]
):
    """Whoever owns the store then, the batch goes on; the file that said it is worth nothing."""
    # A worker that finds the store taken again waits, and ends soon after it is free.
    given = settings_of(county, per_second=20, worker={"idle_seconds": 2})
    with notebook(path, given) as first:
        first.run(f"batch = kit.start({apns!r}, datasets=['parcels'])")
        first.run(f"import time; {NEVER_HANDED}")
        first.send("kit.hand_over()")
        wait_until(handing_path(path).exists)
        first.kill()

    with pk.open(path, settings=slow(county)) as kit:
        for batch_id in kit.unfinished:
            with suppress(RequestError):  # the worker was quicker
                kit.batch(batch_id).resume()
        assert kit.batch("last").wait(timeout=60).state == "completed"
        assert counts(kit) == DONE


def test_those_who_find_a_store_free_leave_it_to_its_heir(settings: pk.Settings, path: Path):
    """As long as its owner lives, and for a minute at most."""
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    handing_path(path).write_text(f"{sleeper.pid}\n")

    assert is_being_handed_over(path)
    for moment in (0, time.time() + 3600):  # the clock was set back since
        os.utime(handing_path(path), (moment, moment))
        assert not is_being_handed_over(path)
    os.utime(handing_path(path))
    sleeper.communicate(b"\n")
    assert not is_being_handed_over(path)
    with pk.open(path, settings=settings) as kit:
        assert "owner: this process" in repr(kit)


def test_a_store_that_another_kit_has_open_is_not_handed_over(settings: pk.Settings, path: Path):
    """The file could not be let go; both kits stay as they are."""
    with pk.open(path, settings=settings) as kit, pk.open(path, settings=settings) as other:
        with pytest.raises(RequestError, match="another kit of this process has"):
            kit.hand_over()

        assert owner_pid(path) == os.getpid()
        assert (len(kit.batches()), len(other.batches())) == (0, 0)


def test_a_kit_that_is_closed_while_it_hands_over_ends_whole(
    settings: pk.Settings, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The file is let go, and what ends with the kit does: a demo county, a folder."""
    kit = pk.open(path, settings=settings)
    ended: list[str] = []
    kit.at_close(lambda: ended.append("county"))
    closing = threading.Thread(target=kit.close)

    def join() -> GuestPlace:
        closing.start()
        wait_until(lambda: kit.is_closed)
        raise StoreError("the worker does not start")

    monkeypatch.setattr(worker_desk, "worker_joiner", lambda *_: join)
    with pytest.raises(StoreError, match="the worker does not start"):
        kit.hand_over()
    closing.join()

    assert ended == ["county"]
    assert not Store.is_open(path)


def test_a_closed_kit_hands_nothing_over(settings: pk.Settings, path: Path):
    """It stays closed, and no worker is started for it."""
    kit = pk.open(path, settings=settings)
    kit.close()

    with pytest.raises(RequestError, match="is closed; open it again"):
        kit.hand_over()

    assert kit.is_closed
    assert owner_pid(path) is None


def test_a_worker_that_does_not_come_leaves_the_store_here(
    settings: pk.Settings, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The kit owns the store as before, and says why."""
    with pk.open(path, settings=settings) as kit, monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(StoreError, match="the worker has ended"):
            kit.hand_over()

        assert "owner: this process" in repr(kit)
        assert len(kit.batches()) == 0
