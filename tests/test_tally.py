"""A run counted as it goes: every item once, wherever it stands."""

from __future__ import annotations

import pytest

from propkit.asking import Host
from propkit.batch_run import Run
from propkit.batch_run.tally import Tally
from propkit.breaker import Breaker
from propkit.items import Item, State
from propkit.pace import Pace
from propkit.progress import Progress, SourceProgress, describe

SOURCES = ("first", "second", "third")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("propkit.batch_run.tally.time.monotonic", clock)
    return clock


@pytest.fixture
def heard() -> list[Progress]:
    return []


@pytest.fixture
def run(heard: list[Progress]) -> Run:
    """Return a run in which a second way may be asked in place of the first source."""
    return Run(
        batch_id="b",
        items=(),
        sources=frozenset(SOURCES),
        workers=1,
        fallbacks={"first": ("second",)},
        max_requests={"first": 4, "h": 10},
        listeners=[heard.append],
    )


@pytest.fixture
def host(clock: Clock) -> Host:
    return Host(base_url="http://h", pace=Pace(1.012, 1, clock=clock))


@pytest.fixture
def breakers(clock: Clock) -> dict[str, Breaker]:
    return {
        name: Breaker(failures=1, seconds=30, seconds_max=60, probes=5, clock=clock)
        for name in SOURCES
    }


@pytest.fixture
def tally(run: Run, clock: Clock, host: Host, breakers: dict[str, Breaker]) -> Tally:
    names = {"first": "h", "second": "h", "third": "other"}
    return Tally(run, dict.fromkeys(SOURCES, host), names, breakers, {})


def item(key: str, source: str = "first", **more: object) -> Item:
    return Item(source=source, key=key, **more)  # type: ignore[arg-type]


def end(tally: Tally, before: Item, state: State, **changes: object) -> Item:
    """Count an item as it runs and ends; return how it ended."""
    running = before.move(State.RUNNING)
    tally.move(before.state, running)
    ended = running.move(state, **changes)
    tally.move(State.RUNNING, ended)
    return ended


def emitted(tally: Tally, heard: list[Progress], state: str = "running") -> Progress:
    tally.emit(state)
    return heard[-1]


def test_every_item_counts_once(tally: Tally, heard: list[Progress], run: Run):
    """By its source, too; where a second way was asked it counts for the parcel, not the first."""
    waiting = [item(key) for key in "123456"]
    for one in [*waiting, item("0", state=State.DONE, missing=("sales",))]:
        tally.add(one)
    tally.add(item("old", state=State.FAILED, replaced_by="second"))
    tally.add(item("old", "second"))
    before = emitted(tally, heard)
    end(tally, waiting[0], State.DONE)
    end(tally, waiting[1], State.DONE, missing=("sales",))
    end(tally, waiting[2], State.FAILED, failure_class="timeout")
    end(tally, waiting[3], State.FAILED, failure_class="blocked", replaced_by="second")
    tally.add(item("4", "second"))
    tally.move(State.WAITING, waiting[4].move(State.RUNNING))
    tally.usage["first"].count(5, refused=2)
    run.stopped["first"] = "first is stopped"

    after = emitted(tally, heard)

    assert (before.total, before.ended, before.partial, before.replaced) == (8, 1, 1, 1)
    assert (after.total, after.ended, after.partial, after.replaced) == (8, 4, 2, 2)
    assert {state: n for state, n in after.counts.items() if n} == {
        State.DONE: 3, State.FAILED: 1, State.RUNNING: 1, State.WAITING: 3
    }  # fmt: skip
    assert after.sources == (
        SourceProgress(
            source="first",
            total=8,
            ended=6,
            failed=1,
            requests=5,
            refused=2,
            requests_per_second=pytest.approx(1.0),  # type: ignore[arg-type]
            stopped="first is stopped",
            replaced=2,
        ),
        SourceProgress(
            source="second",
            total=2,
            ended=0,
            failed=0,
            requests=0,
            refused=0,
            requests_per_second=pytest.approx(1.0),  # type: ignore[arg-type]
        ),
        SourceProgress(
            source="third",
            total=0,
            ended=0,
            failed=0,
            requests=0,
            refused=0,
            requests_per_second=pytest.approx(1.0),  # type: ignore[arg-type]
        ),
    )


def test_a_source_that_is_left_alone_says_until_when(
    tally: Tally, heard: list[Progress], clock: Clock, breakers: dict[str, Breaker]
):
    """It has no time to go, and the batch has none: that grew for as long as the source was down."""
    waiting = [item(key) for key in "123"]
    for one in waiting:
        tally.add(one)
    end(tally, waiting[0], State.DONE)
    clock.now = 2
    end(tally, waiting[1], State.FAILED, failure_class="unavailable")
    before = emitted(tally, heard)
    breakers["first"].leave("yes", "unavailable")
    clock.now = 10

    resting = emitted(tally, heard)
    over = emitted(tally, heard, "cancelled")
    clock.now = 40
    breakers["first"].try_enter()
    probed = emitted(tally, heard)
    breakers["first"].reset()

    assert [before.sources[0].rest, before.eta_seconds] == [None, 2.0]
    assert [resting.sources[0].rest, resting.eta_seconds] == ["asked again in 22 s", None]
    assert describe(resting).endswith("10 s | first left alone, asked again in 22 s")
    assert over.sources[0].rest is None  # nobody asks it any more
    assert probed.sources[0].rest == "asked again now"
    assert emitted(tally, heard).sources[0].rest is None


def test_a_line_says_what_is_kept_back_and_why():
    source = SourceProgress(
        source="first", total=4, ended=0, failed=0, requests=3, refused=0, requests_per_second=1.0,
        kept_back=3, lacking=("sales",),
    )  # fmt: skip
    event = Progress(
        batch_id="b", state="running", total=4, counts={State.RUNNING: 4}, partial=0,
        sources=(source,), elapsed_seconds=2.0, eta_seconds=None, current=None,
    )  # fmt: skip

    assert describe(event) == (
        "Collecting 0 of 4 items (0 %): 0 done, 2 s"
        " | first: 3 kept back until it is clear why they lack sales"
    )


def test_so_does_one_whose_host_asks_for_a_pause(tally: Tally, heard: list[Progress], host: Host):
    tally.add(item("1"))
    host.pace.resume(1.0, None, 4)
    short = emitted(tally, heard).sources
    host.pace.resume(1.0, None, 600)

    assert [source.rest for source in short] == [None, None]
    # The others share the host and have nothing to ask it for.
    assert [source.rest for source in emitted(tally, heard).sources] == [
        "asked again in 600 s", None
    ]  # fmt: skip


def test_a_second_way_is_told_of_once_it_is_asked(tally: Tally, heard: list[Progress]):
    """Also where it failed at once, and a third way counts in its place."""
    never = [source.source for source in emitted(tally, heard).sources]
    tally.add(item("1", "second", state=State.FAILED, replaced_by="third"))

    assert never == ["first", "third"]
    assert [source.source for source in emitted(tally, heard).sources] == list(SOURCES)


def test_each_event_has_what_has_changed_since_the_last(tally: Tally, heard: list[Progress]):
    """Each item once, as it is now; what was there from the start is no news."""
    one, two = item("1"), item("2")
    tally.add(one)
    ended = end(tally, one, State.NOT_FOUND)
    tally.add(two)
    tally.change(two)
    first = emitted(tally, heard)

    assert first.changed == (ended, two)
    assert emitted(tally, heard).changed == ()


def test_the_time_to_go_is_told_while_it_runs(tally: Tally, heard: list[Progress], clock: Clock):
    """At the rate of the last ends: of what waits, and of what is under way."""
    items = [item(str(number)) for number in range(6)]
    for one in items:
        tally.add(one)
    seconds = [emitted(tally, heard).eta_seconds]
    for one in items[:3]:
        clock.now += 2
        end(tally, one, State.DONE)
        seconds.append(emitted(tally, heard).eta_seconds)
    clock.now += 100
    tally.move(State.WAITING, items[3].move(State.RUNNING))
    seconds.append(emitted(tally, heard).eta_seconds)

    assert seconds == [None, None, 8.0, 6.0, 6.0]
    assert (heard[-1].elapsed_seconds, emitted(tally, heard, "completed").eta_seconds) == (
        106,
        None,
    )


def test_what_waits_is_counted_as_cancelled(tally: Tally, heard: list[Progress]):
    """At the end of a run that was cancelled nothing waits any more."""
    for one in (item("1"), item("2", "third"), item("3", state=State.DONE)):
        tally.add(one)
    tally.cancel_waiting()

    assert emitted(tally, heard, "cancelled").counts == {State.CANCELLED: 2, State.DONE: 1}
    assert (tally.count(State.WAITING), tally.count(State.CANCELLED)) == (0, 2)


def test_a_listener_that_fails_is_told_of_once(tally: Tally, heard: list[Progress], run: Run):
    """The others go on hearing."""

    def fail(event: Progress) -> None:
        raise ValueError(event.state)

    run.listeners.insert(0, fail)
    for _ in range(2):
        tally.emit("running")

    assert run.warnings == ["a progress listener failed: ValueError('running')"]
    assert len(heard) == 2


def test_sources_share_the_caps_of_their_host_and_have_their_own(tally: Tally, run: Run):
    """What one has asked is taken from the cap of all; a stopped run asks nothing."""
    tally.usage["second"].count(8)
    rooms = {
        name: [usage.is_enough_for(most) for most in (2, 3, 5)]
        for name, usage in tally.usage.items()
    }
    run.cancelled.set()

    assert rooms == {
        "first": [True, False, False],
        "second": [True, False, False],
        "third": [True, True, True],
    }
    assert [cap.most for cap in tally.usage["first"].caps] == [4, 10]
    assert all(usage.should_stop() for usage in tally.usage.values())
