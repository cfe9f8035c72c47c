"""Server-sent events: told when something changes, kept alive, gone on with, ended."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from logging import getLogger
from typing import TYPE_CHECKING

import pytest

from propkit.server import service as service_room
from propkit.server.limits import MOST_STREAMS, RateLimit, Streams
from propkit.server.problems import ProblemError
from tests.collecting import quick_kit
from tests.server.serving import JOBS, Client, Jupyter, jupyter

if TYPE_CHECKING:
    from pathlib import Path

    import propkit as pk
    from propkit.demo_county import County
    from propkit.store.jobs import Job


def test_who_has_seen_the_end_is_told_that_there_is_no_more(client: Client, apns: list[str]):
    """204 ends an EventSource; who has seen less is told the end."""
    job = client.create(apns[:3], datasets=["parcels"])
    with client.events(job["id"]) as lines:
        last = list(lines)[-1]["id"]
    path = f"{JOBS}/{job['id']}/events"

    again = client.get(path, headers={"Last-Event-ID": last})
    with client.events(job["id"], {"Last-Event-ID": "PROCESSING-1-1-0-3"}) as lines:
        events = list(lines)

    assert (again.status, again.body) == (204, b"")
    assert events[0] == {"retry": "1000"}
    assert [(one["id"], one["event"]) for one in events[1:]] == [(last, "end")]


def test_a_job_that_stands_still_is_told_to_go_on(
    server: Jupyter, client: Client, county: County, apns: list[str]
):
    """Nothing new: a comment in place of an event; then the job is deleted by somebody."""
    county.switch(faults=[{"system": "assessor", "kind": "hang"}])
    job = client.create(apns[:1], datasets=["parcels"])
    with client.events(job["id"]) as lines:
        first = next(event for event in lines if "event" in event)
        silent = next(lines)
        with client.events(job["id"], {"Last-Event-ID": first["id"]}) as later:
            seen = [next(later), next(later)]
        client.post(f"{JOBS}/{job['id']}/cancel")
        county.switch(faults=[])
        *_, end = (event for event in lines if "event" in event)

    assert first["event"] == "progress"
    assert silent == {"": "the job goes on"}
    assert seen == [{"retry": "1000"}, {"": "the job goes on"}]
    assert (end["event"], end["id"]) == ("end", "CANCELLED-1-0-0-1")


def test_events_come_while_it_runs_and_the_loop_stays_free(county: County, tmp_path: Path):
    """Counts only grow; after each event Jupyter itself answers, and more events follow.

    The store is its own: by what others have collected the guard may keep all 40 back to the end.
    """
    apns = county.apns(40)
    hang = {"system": "assessor", "kind": "hang"}
    # Nothing comes before it is followed, and the last not before some have come.
    county.switch(faults=[hang])
    processed: list[int] = []
    with jupyter(tmp_path / "notebooks", county) as server:
        job = server.client.create(apns, datasets=["parcels"])
        with server.client.events(job["id"]) as lines:
            for event in lines:
                if "id" in event:
                    processed.append(int(event["id"].split("-")[1]))
                    some = processed[-1] > 0
                    county.switch(faults=[] if some else [{**hang, "path": apns[-1]}])
                assert server.stranger.get("/api").status == 200

    assert len(processed) > 2
    assert processed == sorted(processed)
    assert (processed[0], processed[-1]) == (0, 40)


def test_the_count_stays_when_the_job_ends_while_it_is_looked_up(
    county: County, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its row was read while results waited to be written, its progress after the end."""
    find = service_room._find
    with quick_kit(county, tmp_path / "county.duckdb") as kit:
        batch = kit.start(county.apns(3), datasets=["parcels"])

        def find_before_the_end(kit: pk.Kit, job_id: str) -> Job:
            batch.wait()
            monkeypatch.setattr(service_room, "_find", find)
            return replace(find(kit, job_id), state="PROCESSING", processed=0)

        service = service_room.Service(kit.settings, tmp_path, getLogger(__name__))
        monkeypatch.setattr(service, "_opened", kit)
        monkeypatch.setattr(service_room, "_find", find_before_the_end)
        event = service.event(batch.id)

    assert event.event_id == "COMPLETED-3-3-0-3"


async def test_a_user_has_so_many_streams_at_once():
    """One more is refused with the time to come again; each that ends makes room."""
    streams = Streams()
    endings = [asyncio.Event() for _ in range(MOST_STREAMS)]
    with ExitStack() as open_streams:
        for ending in endings:
            open_streams.enter_context(streams.follow("ana", ending))
        with (
            pytest.raises(ProblemError) as refused,
            streams.follow("ana", asyncio.Event()),
        ):
            pass
        with streams.follow("ben", asyncio.Event()):
            streams.end()

    assert (refused.value.status_code, refused.value.headers) == (429, {"Retry-After": "5"})
    assert all(ending.is_set() for ending in endings)
    with streams.follow("ana", asyncio.Event()):
        pass


def test_the_measure_of_requests_fills_again():
    """Twice the rate at once, then the rate; nobody's measure is another's."""
    now = [0.0]
    rates = RateLimit(2, clock=lambda: now[0])

    assert [rates.take("ana") for _ in range(5)] == [0, 0, 0, 0, 1]
    now[0] = 0.4
    assert rates.take("ana") == 1
    now[0] = 0.5
    assert [rates.take("ana") for _ in range(2)] == [0, 1]
    assert rates.take("ben") == 0


def test_users_who_have_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch):
    """The memory of measures does not grow with every name that was ever seen."""
    monkeypatch.setattr("propkit.server.limits._MOST_USERS", 10)
    now = [0.0]
    rates = RateLimit(1, clock=lambda: now[0])
    for number in range(20):
        now[0] += 5
        rates.take(f"user {number}")

    assert len(rates._buckets) <= 11
