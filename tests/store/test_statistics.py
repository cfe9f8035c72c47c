"""Figures of sources, of the store and its writer, slow operations, failures with evidence."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from propkit.items import Item, State
from propkit.store import writer
from propkit.store.batches import beat, create_batch
from propkit.store.statistics import (
    Failure,
    SlowOperation,
    SourceRun,
    SourceStatistics,
    failures,
    slow_operations,
    source_statistics,
    store_statistics,
    write_runs,
)
from tests.collecting import own_records
from tests.store.made import (
    ASSESSOR,
    RECORDER,
    TREASURER,
    batch_of,
    noon,
    page,
    parcel,
    result,
    write,
)

if TYPE_CHECKING:
    from propkit.store import Store


def log(store: Store, batch: str, event: str, seconds: float | None) -> None:
    store.writer.submit(
        lambda connection: connection.execute(
            "INSERT INTO batch_logs VALUES (?, ?, 'info', 'took long', ?, ?, 'k', ?)",
            [batch, noon(), event, ASSESSOR, seconds],
        )
    ).result(timeout=60)


def run(source: str, batch: str = "b1", **counts: int) -> SourceRun:
    return SourceRun(
        batch_id=batch, source=source, host="h", started_at=noon(), ended_at=noon(9), **counts
    )


def test_sources_are_counted_by_what_became_of_their_items(store: Store):
    """Rates leave out what was skipped or waits; times are of the items that ran."""
    batch = batch_of(store, *"12345678")
    ended = [State.DONE, State.DONE, State.NOT_FOUND, State.FAILED, State.CANCELLED]
    for number, state in enumerate(ended, start=1):
        failed = {"failure_class": "timeout"} if state is State.FAILED else {}
        started = {} if state is State.CANCELLED else {"started_at": noon(number)}
        more = {**failed, **started, "ended_at": noon(2 * number)}
        write(store, result(str(number), batch_id=batch, state=state, **more))
    write(store, result("6", batch_id=batch, state=State.SKIPPED, ended_at=noon()))
    write_runs(
        store,
        [
            run(ASSESSOR, batch, requests=7, refused=1, bytes=100, fresh=2),
            run(ASSESSOR, batch, requests=3, joined=1),
            run(TREASURER, batch, requests=5),
            run(TREASURER, "another", requests=50),
        ],
    ).result(timeout=60)

    assert source_statistics(store, batch) == [
        SourceStatistics(
            source=ASSESSOR,
            items={
                "cancelled": 1, "done": 2, "failed": 1, "not_found": 1, "skipped": 1, "waiting": 2
            },
            success_rate=3 / 4,
            failed={"timeout": 1},
            requests=10,
            refused=1,
            bytes=100,
            fresh=2,
            joined=1,
            seconds_p50=2.5,
            seconds_p95=pytest.approx(3.85),  # type: ignore[arg-type]
            items_per_second=4 / 7,
        ),
        SourceStatistics(source=TREASURER, requests=5),
    ]  # fmt: skip


def test_all_batches_together_do_not_count_the_time_between_them(store: Store):
    """Two batches a day apart worked for two seconds each."""
    for start in (0, 86_400):
        batch = batch_of(store, "1", "2")
        for key in "12":
            begin = noon(start + int(key) - 1)
            end = noon(start + int(key))
            write(store, result(key, batch_id=batch, started_at=begin, ended_at=end))

    (found,) = source_statistics(store, None)

    assert (found.items, found.success_rate) == ({"done": 4}, 1.0)
    assert (found.seconds_p50, found.items_per_second) == (1.0, 1.0)


def test_an_empty_store_has_no_sources(store: Store):
    """Nothing collected is nothing counted."""
    assert source_statistics(store, None) == []
    assert source_statistics(store, "b1") == []
    assert slow_operations(store) == []
    assert failures(store, "b1") == []


@pytest.mark.usefixtures("no_clock")
def test_a_stores_figures(store: Store):
    """Rows by table, bytes of bodies as they came, and the writer's commits since it opened."""
    before = store_statistics(store)
    pages = [page("é{}".encode()), page(b"\xff\x00")]
    write(store, result("1", [parcel("1")], pages=pages), result("2"))

    after = store_statistics(store)

    assert (before.commits, before.items_per_commit, before.commit_seconds_max) == (0, None, None)
    assert {table: n for table, n in after.rows.items() if n} == {
        "parcels": 1,
        "payloads": 2,
        "payload_blocks": 1,
        "fetches": 2,
        "freshness": 2,
    }
    assert (after.path, after.payload_bytes) == (store.path, 4 + 2)
    files = [path for path in store.path.parent.iterdir() if path.name.startswith(store.path.name)]
    assert after.file_bytes == sum(path.stat().st_size for path in files)
    assert (after.commits, after.items_per_commit) == (1, 2.0)
    assert after.commit_seconds_p50 is not None
    assert 0 < after.commit_seconds_p50 <= after.commit_seconds_p95 == after.commit_seconds_max


def test_the_writer_keeps_the_times_of_its_last_commits_only(store: Store):
    """A store that is open for weeks does not grow."""
    assert store.writer.timings.maxlen == writer.TIMINGS == 1000


def test_a_slow_commit_is_told(store: Store, monkeypatch: pytest.MonkeyPatch):
    """Who listens hears of every commit that took too long, and of no other."""
    told: list[tuple[str, float]] = []
    with store.writer.telling("b1", lambda event, seconds: told.append((event, seconds))):
        monkeypatch.setattr(writer, "SLOW_SECONDS", 3600.0)  # a busy machine may take seconds
        write(store, result("1"))
        quick = list(told)

        monkeypatch.setattr(writer, "SLOW_SECONDS", 0.0)
        store.writer.submit(lambda _: None, batch_id="b1").result(timeout=60)

    assert quick == []
    assert told == [("commit", store.writer.timings[-1])]


def test_a_slow_commit_is_told_to_the_batches_whose_it_is(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Not to the one begun last; what is of none is logged, and who has ended hears no more."""
    monkeypatch.setattr(writer, "SLOW_SECONDS", 0.0)
    caplog.set_level("INFO", "propkit.store.writer")
    told: list[str] = []

    with store.writer.telling("b1", lambda *_: told.append("b1")):
        with store.writer.telling("b2", lambda *_: told.append("b2")):
            write(store, result("1", batch_id="b1"))
            of_results = list(told)
            beat(store, "b2")
            store.writer.flush().result(timeout=30)
            store.writer.submit(lambda _: None).result(timeout=30)
        write(store, result("2", batch_id="b2"))

    assert (of_results, told) == (["b1"], ["b1", "b2"])
    of_none = list(store.writer.timings)[-2:]
    said = [record.getMessage() for record in own_records(caplog)]
    assert said == [f"a commit took {seconds:.1f} s" for seconds in of_none]


def test_a_batch_that_was_given_up_does_not_silence_its_next_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    """What hung ends while another run of the same batch listens."""
    monkeypatch.setattr(writer, "SLOW_SECONDS", 0.0)
    told: list[str] = []

    hung = ExitStack()
    hung.enter_context(store.writer.telling("b1", lambda *_: told.append("hung")))
    with store.writer.telling("b1", lambda *_: told.append("next")):
        hung.close()
        store.writer.submit(lambda _: None, batch_id="b1").result(timeout=30)

    assert told == ["next"]


def test_who_listens_and_stumbles_does_not_stop_the_writer(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    """The commit stands and is not repeated."""
    monkeypatch.setattr(writer, "SLOW_SECONDS", 0.0)
    with store.writer.telling("b1", lambda event, seconds: 1 / 0):
        write(store, result("1"))

    assert store.rows("SELECT key FROM freshness") == [{"key": "1"}]
    assert len(store.writer.timings) == store.writer.commits == 1


def test_slow_operations_come_slowest_first(store: Store):
    """Only what was logged as slow counts, of one batch or of all."""
    for batch, event, seconds in [
        ("b1", "slow", 2.5), ("b1", "slow", 9.0), ("b1", "done", 99.0), ("b2", "slow", 5.0)
    ]:  # fmt: skip
        log(store, batch, event, seconds)

    def slow(batch: str, seconds: float) -> SlowOperation:
        return SlowOperation(
            batch_id=batch,
            logged_at=noon(),
            message="took long",
            source=ASSESSOR,
            key="k",
            seconds=seconds,
        )

    assert slow_operations(store, "b1") == [slow("b1", 9.0), slow("b1", 2.5)]
    assert slow_operations(store, None, 2) == [slow("b1", 9.0), slow("b2", 5.0)]


def test_failures_come_with_their_last_answer(store: Store):
    """Evidence is the last page that this batch got for the item; there may be none."""
    items = [
        Item(source=ASSESSOR, key="1", apn="1"),
        Item(source=RECORDER, key="2", apn="1", sequence=1),
        Item(source=ASSESSOR, key="3", apn="3", sequence=2),
    ]
    batch = create_batch(store, items, kind="collect", criteria={}).batch_id
    failed = {"state": State.FAILED, "at": None, "batch_id": batch, "attempts": 3}
    last = page(b"last", name="second", at=noon(1))
    write(
        store,
        result("1", pages=[last], batch_id="another"),
        result("1", pages=[page(b"first"), last], failure_class="blocked", error="no", **failed),
        result("2", source=RECORDER, failure_class="timeout", ended_at=noon(4), **failed),
        result("3", batch_id=batch),
    )

    found = failures(store, batch)

    assert found == [
        Failure(
            source=ASSESSOR,
            key="1",
            apn="1",
            failure_class="blocked",
            error="no",
            attempts=3,
            ended_at=None,
            evidence_url="http://localhost/second",
            evidence_sha256=found[0].evidence_sha256,
            evidence_status=200,
        ),
        Failure(
            source=RECORDER,
            key="2",
            apn="1",
            failure_class="timeout",
            error=None,
            attempts=3,
            ended_at=noon(4),
            evidence_url=None,
            evidence_sha256=None,
            evidence_status=None,
        ),
    ]
    assert list(store.bodies([str(found[0].evidence_sha256)]).values()) == [b"last"]
