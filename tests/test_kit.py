"""What a notebook holds: search, plan, collect, watch, stop, go on, and look, over a real county."""

from __future__ import annotations

import gc
import html
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import openpyxl
import pandas as pd
import pytest
from python_calamine import CalamineWorkbook

import propkit as pk
from propkit.errors import ExportError, IdentifierError, RequestError, SettingsError, StoreError
from propkit.frames import HIT_COLUMNS
from propkit.posters._account import login_file
from propkit.records import RECORD_TYPES
from propkit.runtime import work
from tests.collecting import quick_settings, table_as_truth
from tests.guests.notebooks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from propkit.demo_county import County

ASSESSOR, TREASURER, RECORDER = "maricopa_assessor", "maricopa_treasurer", "maricopa_recorder"
CHOICES = "apn, owner, address, subdivision"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.duckdb"


@pytest.fixture
def kit(county: County, path: Path) -> Iterator[pk.Kit]:
    with pk.open(path, settings=quick_settings(county)) as kit:
        yield kit


@pytest.fixture
def known(county: County) -> list[str]:
    """Return APNs that all three systems know, each with a deed of its own."""
    truth = county.truth(county.apns(120))
    deeds = {row["apn"] for row in truth["documents"]}
    billed = {row["apn"] for row in truth["tax_bills"]}
    found = [row["apn"] for row in truth["parcels"] if row["apn"] in deeds & billed]
    county.clear_ledger()
    return found


def slow_settings(county: County, per_second: float) -> pk.Settings:
    """Return settings by which every system is asked so slowly that a batch can be caught."""
    sources = {
        name: {**values, "requests_per_second": per_second}
        for name, values in county.settings().items()
    }
    return pk.Settings.load(sources=sources)


def until_ended(count: int) -> tuple[threading.Event, Callable[[pk.Progress], None]]:
    """Return an event and the listener that sets it once so many items have ended."""
    event = threading.Event()

    def listener(progress: pk.Progress) -> None:
        if progress.ended >= count:
            event.set()

    return event, listener


def asked(county: County) -> Counter[str]:
    """Count the requests by system, robots.txt left out."""
    return Counter(
        entry["system"] for entry in county.ledger() if not entry["path"].endswith("robots.txt")
    )


def first_request(source: str, key: str) -> tuple[str, str, str]:
    """Return the system, path and query by which an item is first asked for."""
    return {
        ASSESSOR: ("assessor", f"/parcel/{key}", ""),
        TREASURER: ("treasurer", "/Parcel/", f"Parcel={key}"),
        RECORDER: ("recorder", f"/documents/{key}", ""),
    }[source]


# --- search -----------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["owner", "address", "subdivision"])
def test_a_search_finds_what_the_county_holds(kit: pk.Kit, county: County, by: str):
    """Hits are the county's parcels whose field has every word, and their fields are its own."""
    field = {"owner": "owner_name", "address": "situs_address", "subdivision": "subdivision"}[by]
    truth = county.truth(county.apns())["parcels"]
    query = truth[0][field]
    expected = [row for row in truth if set(query.split()) <= set((row[field] or "").split())]

    hits = kit.search(query, by=by)

    columns = [name for name in HIT_COLUMNS if name in truth[0]]
    found = hits[columns].astype(object).where(hits[columns].notna(), None).to_dict("records")
    assert sorted(found, key=lambda row: row["apn"]) == sorted(
        ({name: row[name] for name in columns} for row in expected), key=lambda row: row["apn"]
    )
    assert list(hits.columns) == list(HIT_COLUMNS)
    assert (hits.attrs["is_complete"], hits.attrs["total"]) == (True, len(expected))


@pytest.mark.parametrize("write", [str, pk.Apn, lambda apn: pk.Apn(apn).display])
def test_a_search_by_apn_finds_this_one(kit: pk.Kit, known: list[str], write: Callable[[str], Any]):
    """An APN may be written with dashes or be an Apn; parcels beside it are no hits."""
    assert kit.search(write(known[0]), by="apn")["apn"].tolist() == [known[0]]


def test_a_search_without_hits_is_an_empty_frame(kit: pk.Kit):
    """Nobody of that name is an answer, with the columns of any other."""
    hits = kit.search("NOBODY BY THAT NAME", by="owner")

    assert (len(hits), list(hits.columns)) == (0, list(HIT_COLUMNS))
    assert hits.attrs == {"total": 0, "is_complete": True}


def test_a_search_stops_at_its_limit_and_says_so(kit: pk.Kit, county: County):
    """More hits than wanted: the first ones come, and how many there are."""
    truth = county.truth(county.apns())["parcels"]
    name, count = Counter(row["subdivision"] for row in truth).most_common(1)[0]

    hits = kit.search(name, by="subdivision", limit=30)

    assert count > 30
    assert (len(hits), hits.attrs) == (30, {"total": count, "is_complete": False})


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ("SMITH", {"by": "name"}, f"cannot search by 'name'; expected one of {CHOICES}"),
        ("", {}, "nothing to search for: query ''"),
        ("  ", {"by": "apn"}, "nothing to search for: query '  '"),
        ("SMITH", {"limit": 0}, "limit must be a whole number from 1 up, not 0"),
    ],
)
def test_a_wrong_search_asks_nobody(
    kit: pk.Kit, county: County, query: str, options: dict[str, Any], message: str
):
    """What cannot be searched for is told before any request."""
    with pytest.raises(RequestError) as failure:
        kit.search(query, **options)

    assert str(failure.value) == message
    assert county.ledger() == []


# --- plan -------------------------------------------------------------------------------------


def test_a_plan_says_what_is_due_without_a_request(kit: pk.Kit, county: County, known: list[str]):
    """Every identifier has a fate and a reason; the county hears nothing of it."""
    messy = [pk.Apn(known[0]).display, f"{known[1]}.0", "132-38", known[0]]

    plan = kit.plan(messy)

    frame = plan.frame()
    assert frame["identifier"].tolist() == messy
    assert frame["status"].tolist() == ["due", "due", "invalid", "duplicate"]
    assert frame["apn"].fillna("").tolist() == [known[0], known[1], "", known[0]]
    assert sorted((item.source, item.key) for item in plan.due) == [
        (source, apn) for source in (ASSESSOR, TREASURER) for apn in sorted(known[:2])
    ]
    assert county.ledger() == []
    assert kit.batches().empty


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"datasets": "houses"}, "no dataset 'houses'; expected some of parcels, residences,"),
        ({"datasets": ["parcels", "x"]}, "no dataset 'x'"),
        ({"mode": "fast"}, "no mode 'fast'; expected one of auto, api, browser"),
        ({"mode": "browser"}, "no source provides parcels"),
        ({"priority": "urgent"}, "no priority 'urgent'; expected one of critical, high"),
        ({"max_age": "1y"}, "'1y' is no duration"),
        ({"max_age": -1}, "-1 is no duration"),
    ],
)
def test_a_wrong_plan_names_the_choices(kit: pk.Kit, options: dict[str, Any], message: str):
    """Each option says what it takes, and nothing is started."""
    with pytest.raises(RequestError, match=message):
        kit.collect(["132-38-011A"], **options)

    assert kit.batches().empty


@pytest.mark.parametrize("parcels", ["nowhere.csv", None, {"apn": "13238011"}])
def test_parcels_that_cannot_be_read_are_told(kit: pk.Kit, parcels: Any):
    """Neither a list nor a file: an error that says what would be."""
    expected = r"'nowhere.csv': No such file|expected an APN, a list.*\.csv"
    with pytest.raises(IdentifierError, match=expected):
        kit.plan(parcels)


def test_a_plan_takes_no_options_twice(kit: pk.Kit, known: list[str]):
    """A plan is made; an option given with it would be silently lost."""
    with pytest.raises(RequestError, match="a plan is made already; max_age"):
        kit.start(kit.plan(known[:1]), max_age=0)


@pytest.mark.parametrize("workers", [0, -3])
def test_workers_are_at_least_one(kit: pk.Kit, known: list[str], workers: int):
    """Nobody at work would be a batch that never ends."""
    with pytest.raises(
        RequestError, match=f"workers must be a whole number from 1 to 1000, not {workers}"
    ):
        kit.start(known[:1], workers=workers)


# --- collect ----------------------------------------------------------------------------------


def test_what_is_collected_is_what_the_county_holds(kit: pk.Kit, county: County, known: list[str]):
    """Every table of some parcels is the county's truth, field for field."""
    report = kit.collect(known[:12], progress=False)

    truth = county.truth(known[:12])
    assert report.is_complete
    assert report.totals == {"done": 36}
    for table in RECORD_TYPES:
        expected = sorted(truth[table], key=lambda row: [str(row[name]) for name in sorted(row)])
        assert table_as_truth(kit, table) == expected, table


def test_collecting_again_asks_nobody(kit: pk.Kit, county: County, known: list[str]):
    """What is fresh costs no request and changes nothing."""
    kit.collect(known[:5], progress=False)
    before = {table: kit.store.rows(f"FROM {table}") for table in RECORD_TYPES}
    county.clear_ledger()

    report = kit.collect(known[:5], progress=False)

    assert county.ledger() == []
    assert (report.state, report.totals, report.is_complete) == ("completed", {"skipped": 15}, True)
    assert {table: kit.store.rows(f"FROM {table}") for table in RECORD_TYPES} == before


def test_a_parcel_more_costs_its_own_requests_only(kit: pk.Kit, county: County, known: list[str]):
    """Of a list that has grown, the new parcels are asked for."""
    kit.collect(known[:5], progress=False)
    county.clear_ledger()

    report = kit.collect(known[:6], progress=False)

    assert report.totals == {"done": 3, "skipped": 15}
    assert [entry["path"] for entry in county.ledger("assessor") if "parcel" in entry["path"]] == [
        f"/parcel/{known[5]}"
    ]


def test_max_age_zero_asks_always(kit: pk.Kit, county: County, known: list[str]):
    """With max_age=0 nothing counts as fresh, the deed included; every row still stands once."""
    kit.collect(known[:2], progress=False)
    first = asked(county)
    county.clear_ledger()

    report = kit.collect(known[:2], progress=False, max_age=0)

    assert report.totals == {"done": 6}
    assert asked(county) == first
    assert kit.store.duplicates() == {}
    assert kit.frame("parcels")["apn"].tolist() == sorted(known[:2])


@pytest.mark.parametrize(
    ("datasets", "systems"),
    [
        ("tax_bills", {"treasurer"}),
        (["parcels"], {"assessor"}),
        (["valuations", "tax_payments"], {"assessor", "treasurer"}),
        (["documents"], {"assessor", "recorder"}),
    ],
)
def test_datasets_choose_whom_to_ask(
    kit: pk.Kit, county: County, known: list[str], datasets: Any, systems: set[str]
):
    """Only systems that have a wanted table are asked, and who gives the key for one."""
    report = kit.collect(known[:1], progress=False, datasets=datasets)

    assert report.is_complete
    assert set(asked(county)) == systems


def as_csv(apns: list[str], folder: Path) -> str:
    lines = ["note,Parcel #", *[f"x,{pk.Apn(apn).display}" for apn in apns]]
    (folder / "list.csv").write_text("\n".join(lines), "utf-8")
    return str(folder / "list.csv")


def as_xlsx(apns: list[str], folder: Path) -> Path:
    book = openpyxl.Workbook()
    for row in [["APN", "owner"], *[[int(a) if a.isdigit() else a, "x"] for a in apns]]:
        book.active.append(row)
    book.save(folder / "list.xlsx")
    return folder / "list.xlsx"


@pytest.mark.parametrize(
    "make",
    [
        lambda apns, _: apns,
        lambda apns, _: tuple(pk.Apn(apn) for apn in apns),
        lambda apns, _: pd.Series(apns, name="anything"),
        lambda apns, _: pd.DataFrame({"owner": ["x"] * len(apns), "apn": apns}),
        as_csv,
        as_xlsx,
    ],
    ids=["list", "Apns", "Series", "DataFrame", "csv", "xlsx"],
)
def test_parcels_come_as_an_analyst_has_them(
    kit: pk.Kit, known: list[str], tmp_path: Path, make: Callable[[list[str], Path], Any]
):
    """A list, a Series, a frame or a file: the same parcels are collected."""
    report = kit.collect(make(known[:3], tmp_path), progress=False, datasets="parcels")

    assert report.totals == {"done": 3}
    assert kit.frame("parcels")["apn"].tolist() == sorted(known[:3])


def test_hits_of_a_search_can_be_collected(kit: pk.Kit, county: County, known: list[str]):
    """What was found is handed on as it is."""
    owner = county.truth(known[:1])["parcels"][0]["owner_name"]
    hits = kit.search(owner, by="owner")

    kit.collect(hits, progress=False, datasets="parcels")

    assert set(kit.frame("parcels")["owner_name"]) == {owner}
    assert kit.frame("parcels")["apn"].tolist() == sorted(hits["apn"])


def test_what_is_not_usable_is_in_the_report(kit: pk.Kit, known: list[str]):
    """Usable parcels are collected; the others are named, and the report is not complete."""
    report = kit.collect([known[0], "132-38"], progress=False, datasets="parcels")

    assert report.totals == {"done": 1}
    assert list(report.not_usable) == ["132-38"]
    assert not report.is_complete
    assert "not usable: '132-38': " in str(report)


@pytest.mark.parametrize("parcels", [[], ["132-38"]])
def test_nothing_to_collect_asks_nobody(kit: pk.Kit, county: County, parcels: list[str]):
    """An empty or hopeless list ends at once, with a report."""
    report = kit.collect(parcels, progress=False)

    assert (report.state, report.totals, list(report.not_usable)) == ("completed", {}, parcels)
    assert county.ledger() == []


def test_a_failure_can_be_retried(kit: pk.Kit, county: County, known: list[str]):
    """One parcel fails, the others do not; retry asks for that one only."""
    county.switch(
        faults=[{"system": "assessor", "path": known[1], "kind": "status", "status": 500}]
    )
    report = kit.collect(known[:3], progress=False, datasets="parcels")
    county.switch(faults=[])
    county.clear_ledger()

    again = kit.batch(report.batch_id).retry().wait()

    assert [(item.key, item.failure_class) for item in report.failures] == [
        (known[1], "unavailable")
    ]
    assert report.totals == {"done": 2, "failed": 1}
    assert (again.batch_id, again.totals) == (report.batch_id, {"done": 3})
    assert {entry["path"] for entry in county.ledger("assessor")} <= {
        f"/parcel/{known[1]}",
        "/robots.txt",
    }


# --- start, watch, wait -----------------------------------------------------------------------


async def test_a_batch_can_be_awaited(kit: pk.Kit, known: list[str]):
    """`await batch` gives the report, as wait does."""
    batch = kit.start(known[:2], datasets="parcels")

    report = await batch

    assert report.totals == {"done": 2}
    assert batch.state == report.state == "completed"
    assert str(batch.wait()) == str(report)


def test_a_batch_tells_how_far_it_is(county: County, path: Path, known: list[str]):
    """Events count up to all items; each item's end is in exactly one of them."""
    events: list[pk.Progress] = []
    with pk.open(path, settings=quick_settings(county)) as kit:
        batch = kit.start(known[:10], listener=events.append)
        report = batch.wait()
        items = batch.items()

    ends = Counter(
        item.identity for event in events for item in event.changed if item.state == "done"
    )
    assert report.totals == {"done": 30}
    assert set(ends.values()) == {1}
    assert set(ends) == set(zip(items["source"], items["key"], strict=True))
    assert (events[-1].state, events[-1].ended, events[-1].total) == ("completed", 30, 30)
    assert [event.ended for event in events] == sorted(event.ended for event in events)
    assert {event.batch_id for event in events} == {batch.id}


def test_waiting_ends_in_time(county: County, path: Path, known: list[str]):
    """A wait that is too short says so, and the batch goes on."""
    with pk.open(path, settings=slow_settings(county, 1)) as kit:
        batch = kit.start(known[:40], datasets="parcels")
        with pytest.raises(TimeoutError, match=r"still running after 0\.01 s"):
            batch.wait(timeout=0.01)
        state, report = batch.state, batch.cancel()
        last = batch.progress

    assert state == "running"
    assert report.state == "cancelled"
    assert report.totals["cancelled"] >= 5
    assert last is not None
    ended = report.totals.get("done", 0)
    assert [(one.ended, one.cancelled, one.total) for one in last.sources] == [
        (ended, 40 - ended, 40)
    ]
    assert (last.ended, last.total) == (ended, 40)


def test_requests_are_reported_while_a_batch_runs(
    county: County, path: Path, known: list[str], monkeypatch: pytest.MonkeyPatch
):
    """Of a run that is killed nothing else would ever be known; at its end each counts once."""
    monkeypatch.setattr(work, "_HEARTBEAT_SECONDS", 0.2)
    # The fourth parcel waits, or the batch may be over before it is looked at.
    county.switch(faults=[{"system": "assessor", "kind": "slow", "seconds": 3600, "after": 3}])
    with pk.open(path, settings=slow_settings(county, 20)) as kit:
        batch = kit.start(known[:40], datasets="parcels")
        wait_until(lambda: kit.batch(batch.id).report.requests >= 3)
        while_it_runs = batch.is_running
        county.switch(faults=[])
        report = batch.cancel()

    assert while_it_runs
    assert report.requests == len(county.ledger())


def test_a_listener_that_fails_is_told_and_harms_nothing(kit: pk.Kit, known: list[str]):
    """The batch is collected; the report says what the listener did, and it is called no more."""
    calls: list[pk.Progress] = []

    def listener(progress: pk.Progress) -> None:
        calls.append(progress)
        raise ZeroDivisionError("mine")

    report = kit.collect(known[:3], progress=listener)

    assert report.totals == {"done": 9}
    assert report.state == "completed"
    assert report.error == "a progress listener failed: ZeroDivisionError('mine')"
    assert len(calls) == 1


def test_progress_is_shown_or_not(
    kit: pk.Kit, known: list[str], capsys: pytest.CaptureFixture[str]
):
    """A line of text on stderr outside a notebook, nothing with progress=False."""
    kit.collect(known[:1], datasets="parcels", progress=False)
    silent = capsys.readouterr()
    kit.collect(known[1:2], datasets="parcels")
    shown = capsys.readouterr()

    assert (silent.out, silent.err, shown.out) == ("", "", "")
    assert "Collected 1 of 1 items (100 %): 1 done" in shown.err


COLLECT = """
import sys
import propkit as pk

def tell(progress):
    if progress.ended >= 3 and progress.state == "running":
        print("far enough", flush=True)

with pk.open(sys.argv[1]) as kit:
    report = kit.collect(sys.argv[2:], progress=tell, datasets="parcels")
    print(report.state, report.totals, kit.batch("last").state)
print("closed")
"""


def test_interrupt_cancels_and_returns_the_report(
    county: County, path: Path, known: list[str], monkeypatch: pytest.MonkeyPatch
):
    """Ctrl+C in the middle: the report comes back, what was fetched is stored, the rest cancelled."""
    for name, values in county.settings().items():
        for key, value in {**values, "requests_per_second": "4"}.items():
            monkeypatch.setenv(f"PROPKIT_SOURCES__{name}__{key}".upper(), value)
    with subprocess.Popen(
        [sys.executable, "-c", COLLECT, str(path), *known[:60]],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "far enough\n"
        child.send_signal(signal.SIGINT)
        said = [line for line in child.stdout.read().splitlines() if line != "far enough"]

    with pk.open(path, settings=quick_settings(county)) as kit:
        states = Counter(kit.batch("last").items()["state"])
        stored = len(kit.frame("parcels"))
        shown = repr(kit)
    assert child.returncode == 0
    assert 3 <= states["done"] < 60
    assert states == {"done": stored, "cancelled": 60 - stored}
    assert said == [f"cancelled {dict(states)} cancelled", "closed"]
    assert "unfinished" not in shown


# --- batches ----------------------------------------------------------------------------------


def test_what_a_notebook_shows_is_escaped_text(kit: pk.Kit, known: list[str]):
    """Kit, plan, batch and report end a cell as text, whatever an identifier looks like."""
    plan = kit.plan([known[0], "<b>no parcel</b>"])
    batch = kit.start(plan)
    report = batch.wait()

    for shown in (kit, plan, batch, report):
        words = html.unescape(re.sub(r"</?pre[^>]*>", "", shown._repr_html_()))
        assert words == repr(shown)
        assert "<b>" not in shown._repr_html_()


def test_a_batch_is_attached_to_by_name(kit: pk.Kit, known: list[str]):
    """The last batch, a number or an id: the same batch, also after its end."""
    first = kit.start(known[:1], datasets="parcels")
    first.wait()
    second = kit.start(known[1:2], datasets="parcels")
    second.wait()

    assert kit.batch() is kit.batch("last") is kit.batch(2) is kit.batch(second.id) is second
    assert kit.batch(1) is first
    assert kit.batches()[["number", "state", "done"]].to_numpy().tolist() == [
        [1, "completed", 1],
        [2, "completed", 1],
    ]
    with pytest.raises(RequestError, match="no batch 'next'"):
        kit.batch("next")


def test_a_batch_of_an_earlier_session_can_be_read(county: County, path: Path, known: list[str]):
    """Its report, items and state come from the store."""
    with pk.open(path, settings=quick_settings(county)) as kit:
        before = kit.collect([known[0], "132-38"], progress=False)

    with pk.open(path, settings=quick_settings(county)) as kit:
        batch = kit.batch("last")

        assert batch.report == before
        assert batch.items()["state"].tolist() == ["done"] * 3
        assert batch.progress is None
        assert str(batch.wait()) == str(before)
        assert batch.resume().state == "completed"


def test_closing_leaves_a_batch_to_be_resumed(county: County, path: Path, known: list[str]):
    """A kit closed in mid-run cancels nothing; the next one shows the batch and finishes it."""
    event, listener = until_ended(8)
    kit = pk.open(path, settings=slow_settings(county, 12))
    batch = kit.start(known[:60], listener=listener)
    assert event.wait(60)
    kit.close()

    with pk.open(path, settings=quick_settings(county)) as again:
        rows = again.sql("SELECT source, key FROM items WHERE state = 'done'")
        done = list(rows.itertuples(index=False, name=None))
        state, shown = again.batch("last").state, repr(again)
        county.clear_ledger()
        report = again.batch(batch.id).resume().wait()
        asked_again = {
            (entry["system"], entry["path"], entry["query"]) for entry in county.ledger()
        }
        duplicates = again.store.duplicates()
        finished = repr(again)
        fetches = again.sql("SELECT source, key, page FROM fetches")

    assert 8 <= len(done) < 180
    assert state == "interrupted"
    assert f"unfinished: {batch.id}" in shown
    assert (report.state, report.totals) == ("completed", {"done": 180})
    assert {first_request(source, key) for source, key in done} & asked_again == set()
    assert not fetches.duplicated().any()
    assert duplicates == {}
    assert "unfinished" not in finished


def test_a_running_batch_cannot_be_resumed_or_retried(county: County, path: Path, known: list[str]):
    """Twice at once would ask twice."""
    with pk.open(path, settings=slow_settings(county, 10)) as kit:
        batch = kit.start(known[:40])
        for go_on in (batch.resume, batch.retry):
            with pytest.raises(RequestError, match="is running; wait for it or cancel it first"):
                go_on()
        shown = repr(kit)
        batch.cancel()

    assert "unfinished" not in shown


def test_a_batch_is_forgotten_and_what_it_collected_stays(
    county: County, path: Path, known: list[str]
):
    """Not while it runs; afterwards nothing is left of it but the records."""
    with pk.open(path, settings=slow_settings(county, 1)) as kit:
        batch = kit.start(known[:40], datasets="parcels", created_by="ana")
        with pytest.raises(RequestError, match="is running; wait for it or cancel it first"):
            batch.delete()
        assert batch.head.created_by == "ana"
        done = batch.cancel().totals.get("done", 0)

        batch.delete()

        assert kit.batches().empty
        for table in ("items", "batch_logs", "runs"):
            assert kit.sql(f"FROM {table}").empty
        assert len(kit.frame("parcels")) == done
        assert batch.progress is None
        with pytest.raises(RequestError, match=f"no batch '{batch.id}'"):
            batch.delete()


# --- two kits, and the end --------------------------------------------------------------------


def test_two_kits_on_one_file_are_of_one_mind(county: County, path: Path, known: list[str]):
    """What one has in work the other does not ask for; what one stores the other sees."""
    county.switch(faults=[{"system": "assessor", "kind": "slow", "seconds": 3600}])
    first = pk.open(path, settings=quick_settings(county))
    second = pk.open(path, settings=quick_settings(county))
    batch = first.start(known[:3], datasets="parcels")

    plan = second.plan(known[:4], datasets="parcels")
    county.switch(faults=[])
    batch.wait()
    first.close()

    assert plan.frame()["status"].tolist() == ["active", "active", "active", "due"]
    assert second.frame("parcels")["apn"].tolist() == sorted(known[:3])
    assert second.collect(known[:4], progress=False, datasets="parcels").totals == {
        "done": 1,
        "skipped": 3,
    }
    second.close()


def test_a_closed_kit_says_that_it_is(county: County, path: Path, known: list[str]):
    """After closing every call is an error with the file's name, and closing again is none."""
    kit = pk.open(path, settings=quick_settings(county))
    kit.collect(known[:1], progress=False)
    kit.close()
    kit.close()

    assert repr(kit) == "<Kit test.duckdb: closed>"
    for call in (
        lambda: kit.frame("parcels"),
        lambda: kit.sql("SELECT 1"),
        lambda: kit.plan(known[:1]),
        lambda: kit.collect(known[:1]),
        lambda: kit.search("SMITH"),
        kit.batches,
        lambda: kit.batch("last"),
        lambda: kit.to_excel(path.with_suffix(".xlsx")),
    ):
        with pytest.raises((StoreError, RequestError), match=r"test\.duckdb is closed"):
            call()


def test_a_forgotten_kit_lets_its_file_go(county: County, path: Path, known: list[str]):
    """A name that is bound anew must not leave the file locked."""
    kit = pk.open(path, settings=quick_settings(county))
    kit.collect(known[:1], progress=False)
    del kit
    gc.collect()

    with duckdb.connect(path) as connection:  # refused while the store has it open
        assert connection.execute("SELECT count(*) FROM parcels").fetchone() == (1,)


def test_a_store_that_cannot_be_written_is_let_go_all_the_same(
    county: County, path: Path, known: list[str]
):
    """When the last results cannot be stored, close says so and still closes everything."""
    event, listener = until_ended(2)
    kit = pk.open(path, settings=slow_settings(county, 10))

    def break_it(connection: duckdb.DuckDBPyConnection) -> None:
        """Hold the writer until the kit closes, so that its last results are still to store."""
        wait_until(lambda: repr(kit).endswith("closed>"))
        connection.execute("DROP TABLE freshness")

    kit.start(known, listener=listener)
    kit.store.writer.submit(break_it)
    assert event.wait(60)

    with pytest.raises(StoreError, match="could not be written"):
        kit.close()

    with duckdb.connect(path) as connection:
        assert connection.execute("SELECT state FROM batch_heads").fetchall() == [("running",)]


def test_a_store_that_fails_ends_the_batch_with_an_error(
    county: County, path: Path, known: list[str]
):
    """Collecting into a store that cannot be written raises; what was stored before stays."""
    with pk.open(path, settings=quick_settings(county)) as kit:
        kit.collect(known[:1], progress=False)
        kit.store.writer.submit(
            lambda connection: connection.execute("DROP TABLE fetches")
        ).result()

        with pytest.raises(StoreError, match=r"could not be written.*fetches"):
            kit.collect(known[1:3], progress=False)

        assert kit.frame("parcels")["apn"].tolist() == known[:1]


# --- opening ----------------------------------------------------------------------------------


def test_a_new_kit_is_empty_and_asks_nobody(county: County, path: Path):
    """Opening makes the file; every frame is there, empty."""
    with pk.open(str(path), settings=quick_settings(county)) as kit:
        counts = {name: len(kit.frame(name)) for name in RECORD_TYPES}
        shown = repr(kit)

    assert counts == dict.fromkeys(RECORD_TYPES, 0)
    assert (
        shown == f"<Kit test.duckdb: 0 parcels; {ASSESSOR}, {RECORDER}, {RECORDER}_portal,"
        f" {TREASURER}, {TREASURER}_activities, {TREASURER}_browser, {TREASURER}_details,"
        " propertyradar;"
        " owner: this process>"
    )
    assert county.ledger() == []


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PROPKIT_SOURCES__PINAL__TOKEN", "x", "unknown source pinal"),
        ("PROPKIT_COLLECT__WORKERS", "many", "PROPKIT_COLLECT__WORKERS 'many'"),
        ("PROPKIT_SOURCES__MARICOPA_ASSESSOR__BASE_URL", "nonsense", "BASE_URL 'nonsense'"),
    ],
)
def test_wrong_settings_make_no_file(
    path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
):
    """The variable is named, and nothing is left behind."""
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError, match=message):
        pk.open(path)

    assert not path.exists()


def test_the_demo_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Without a path its store stands in a temporary folder that goes with the kit."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    with pk.demo(parcels=10) as kit:
        stored = kit.store.path
        assert stored.is_file()
        given = kit.settings.posters["kijiji"]
        login = login_file("kijiji", str(given.base_url), given.account)
        login.parent.mkdir(parents=True, exist_ok=True)
        login.touch()

    assert not stored.parent.exists()
    assert list(tmp_path.iterdir()) == []
    assert not login.exists()


def test_the_demo_is_a_kit_over_a_county_of_its_own(path: Path):
    """The county starts with the kit, answers it, and ends with it."""
    with pk.demo(path, parcels=100) as kit:
        assert kit.county is not None
        apns = kit.county.apns(3)
        report = kit.collect(apns, progress=False)
        county, shown = kit.county, repr(kit)

    assert report.state == "completed"
    assert len(report.counts) == 3
    assert shown.startswith("<Kit test.duckdb: ")
    assert "demo county" in shown
    assert path.is_file()
    with pytest.raises(OSError, match="refused"):
        county.health()


# --- out --------------------------------------------------------------------------------------


def test_a_workbook_has_a_sheet_for_each_table(kit: pk.Kit, known: list[str], tmp_path: Path):
    """Every record table is a sheet, its header the columns, its rows the frame's."""
    kit.collect(known[:2], progress=False)

    path = kit.to_excel(tmp_path / "out.xlsx")

    book = CalamineWorkbook.from_path(path)
    assert book.sheet_names == list(RECORD_TYPES)
    for name in RECORD_TYPES:
        header, *rows = book.get_sheet_by_name(name).to_python()
        assert (header, len(rows)) == (list(kit.frame(name).columns), len(kit.frame(name)))


@pytest.mark.parametrize(
    ("frames", "sheets"),
    [
        ("sales", ["sales"]),
        (["batches", "parcels"], ["batches", "parcels"]),
        ({"mine": pd.DataFrame({"apn": ["001"]})}, ["mine"]),
    ],
    ids=["one name", "names", "own frames"],
)
def test_a_workbook_of_chosen_frames(kit: pk.Kit, tmp_path: Path, frames: Any, sheets: list[str]):
    """Frames are chosen by name, or given."""
    path = kit.to_excel(tmp_path / "out.xlsx", frames=frames)

    assert CalamineWorkbook.from_path(path).sheet_names == sheets


def test_a_workbook_of_an_unknown_frame_is_none(kit: pk.Kit, tmp_path: Path):
    """A wrong name or a wrong file says so and writes nothing."""
    with pytest.raises(RequestError, match="no frame 'parcel'"):
        kit.to_excel(tmp_path / "out.xlsx", frames=["parcel"])
    with pytest.raises(ExportError, match=r"'out\.csv' is no workbook's name"):
        kit.to_excel(tmp_path / "out.csv")

    assert not list(tmp_path.glob("out*"))


def test_what_cannot_be_used_is_named_with_what_was_expected(kit: pk.Kit, known: list[str]):
    """Never an error of Python's own from within, a wish that is passed over, or a query of "None"."""
    kit.collect(known[:1], progress=False)
    batch, apns = kit.batch("last"), known[:1]
    path = "path must be a text or a Path, not 5"
    asked: list[tuple[Callable[[], object], str]] = [
        (lambda: kit.plan(apns, mode=[]), "no mode []; expected one of auto"),
        (lambda: kit.plan(apns, kind={}), "no kind {}; expected one of comprehensive"),
        (lambda: kit.plan(apns, source=[]), "source=[] is no map layer"),
        (lambda: kit.plan(apns, datasets=5), "a table's name, or a list of them, not 5"),
        (lambda: kit.plan(apns, datasets=[]), "datasets=[] names no table"),
        (lambda: kit.start(apns, profile=[]), "no profile []; expected one of conservative"),
        (lambda: kit.start(apns, export_to=5), "export_to must be a text or a Path, not 5"),
        (lambda: kit.start(apns, listener="x"), "listener must be a function, not 'x'"),
        (lambda: kit.collect(apns, progress=None), "not True or False, must be a function"),
        (lambda: kit.notify(None), "hook must be a function, not None"),
        (lambda: kit.batch(None), "its id, its number or 'last', not by None"),
        (lambda: kit.batch(10**12), "no batch 1000000000000 in"),
        (lambda: batch.wait("1 min"), "a number of seconds or None, not '1 min'"),
        (lambda: kit.prune(None), "nothing is older than None"),
        (lambda: kit.prune("90d", apply="no"), "apply must be True or False, not 'no'"),
        (lambda: kit.reparse("maricopa_assessor", apply=1), "apply must be True or False, not 1"),
        (lambda: kit.frame(["parcels"]), "no frame ['parcels']; expected one of parcels"),
        (lambda: kit.sql(None), "a query is a text, not None"),
        (lambda: kit.sql("SELECT $1", 5), "a list of values, or values by name, not 5"),
        (lambda: kit.search(None), "query must be a text or an APN, not None"),
        (lambda: kit.search("SMITH", limit="9"), "limit must be a whole number from 1 up, not '9'"),
        (lambda: kit.changes(None, apn=5), "an APN is a text, not 5"),
        (lambda: kit.explain(5, "owner_name"), "an APN is a text, not 5"),
        (lambda: kit.to_excel(5), path),
        (lambda: kit.to_excel("x.xlsx", frames=5), "or frames by name, not 5"),
        (lambda: kit.snapshot(5), path),
    ]
    said = []
    for ask, _ in asked:
        with pytest.raises(RequestError) as caught:
            ask()
        said.append(str(caught.value))

    assert [text for (_, text), found in zip(asked, said, strict=True) if text not in found] == []
    assert len(kit.batches()) == 1


def test_a_batch_that_is_gone_can_still_be_shown(county: County, path: Path):
    """A notebook shows the cell's last value, whatever was closed meanwhile."""
    with pk.open(path, settings=quick_settings(county)) as kit:
        batch, other = kit.start([]), kit.start([])
        batch.wait()
        other.wait()
        other.delete()
        deleted = repr(other)

    assert deleted == f"<Batch {other.id}: deleted>"
    assert repr(batch) == f"<Batch {batch.id}: the store is closed>"
