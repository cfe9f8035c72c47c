"""Jobs over HTTP, on a real Jupyter server: made, followed, cancelled, retried, forgotten."""

from __future__ import annotations

import getpass
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from tests.guests.notebooks import HASTY_CANCEL, notebook, settings_of
from tests.server.serving import JOBS, Client, Jupyter, jupyter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from propkit.demo_county import County

NO_JOB = "20260101-000000-00000000"
REFUSED = {"system": "assessor", "kind": "token_expiry"}
BROKEN = {"system": "assessor", "kind": "status", "status": 500}
HANG = {"system": "assessor", "kind": "hang"}


@pytest.fixture
def slow(county: County, tmp_path: Path) -> Iterator[Jupyter]:
    """Start a server that asks the county twenty times a second."""
    with jupyter(tmp_path / "notebooks", county, per_second=20) as server:
        yield server


def stored(server: Jupyter, county: County, sql: str, params: list[Any]) -> list[Any]:
    """Ask the server's store in a kit of our own: as its guest."""
    settings = pk.Settings.load(**settings_of(county))
    with pk.open(server.folder / "propkit.duckdb", settings=settings) as kit:
        assert "guest of PID" in repr(kit)
        return kit.store.rows(sql, params)


def test_a_job_from_its_order_to_its_rows(
    server: Jupyter, client: Client, county: County, apns: list[str]
):
    """Made with 201, told by events until it is completed, shown, listed; the rows are stored."""
    chosen = apns[:10]
    answer = client.post(JOBS, {"identifiers": [*chosen, "no parcel"], "datasets": ["parcels"]})

    made = answer.json
    assert answer.status == 201
    assert answer.headers["Location"] == f"{JOBS}/{made['id']}"
    assert answer.headers["Content-Type"] == "application/json"
    assert made["state"] in ("PROCESSING", "COMPLETED")
    assert made["created_by"] == getpass.getuser()
    with client.events(made["id"]) as lines:
        events = [event for event in lines if "event" in event]
    assert {event["event"] for event in events[:-1]} <= {"progress"}
    assert events[-1]["event"] == "end"
    assert events[-1]["id"] == "COMPLETED-10-10-0-10"
    assert json.loads(events[-1]["data"]) == {
        "id": made["id"],
        "state": "COMPLETED",
        "total": 10,
        "processed": 10,
        "success_count": 10,
        "error_count": 0,
        "elapsed_seconds": None,
        "eta_seconds": None,
        "sources": [],
    }
    job = client.get(f"{JOBS}/{made['id']}").json
    times = {name: job.pop(name) for name in list(job) if name.endswith("_at")}
    assert None not in times.values()
    assert job == {
        "id": made["id"],
        "number": made["number"],
        "kind": "comprehensive",
        "state": "COMPLETED",
        "criteria": {**made["criteria"], "identifiers": {"due": 10, "invalid": 1}},
        "total": 10,
        "processed": 10,
        "success_count": 10,
        "error_count": 0,
        "error_details": {},
        "created_by": getpass.getuser(),
        "notices": [],
    }
    assert job["criteria"]["not_usable"].keys() == {"no parcel"}
    newest = client.get(f"{JOBS}?status=COMPLETED").json["jobs"][0]
    assert newest["id"] == made["id"]
    assert "not_usable" not in newest["criteria"]
    rows = stored(server, county, "SELECT apn FROM parcels WHERE apn = ANY($1)", [chosen])
    assert {row["apn"] for row in rows} == set(chosen)


def test_the_options_of_an_order_are_those_of_the_kit(client: Client, apns: list[str]):
    """Each is kept with the job, as the kit keeps it."""
    job = client.create(
        apns[:2],
        kind="taxes",
        mode="api",
        max_age=0,
        priority="low",
        budget=5,
        workers=2,
        strategy="hybrid",
        batch_size=100,
        max_requests={"maricopa_treasurer": 50},
        stale_ok=True,
    )

    asked = {name: job["criteria"][name] for name in ("mode", "budget", "workers", "strategy")}
    assert asked == {"mode": "api", "budget": "5.0", "workers": 2, "strategy": "hybrid"}
    asked = {name: job["criteria"][name] for name in ("batch_size", "max_requests", "stale_ok")}
    assert asked == {
        "batch_size": 100,
        "max_requests": {"maricopa_treasurer": 50},
        "stale_ok": True,
    }
    assert client.wait(job["id"])["kind"] == "taxes"


def test_a_job_says_that_a_token_was_refused(client: Client, county: County, apns: list[str]):
    """In the answer to its order, and wherever it is shown, until the source has answered again."""
    county.switch(faults=[REFUSED])
    refused = client.wait(client.create(apns[:2], datasets=["parcels"])["id"])
    county.switch(faults=[])

    made = client.create(apns[2:4], datasets=["parcels"])
    shown = client.wait(made["id"])
    (listed,) = client.get(f"{JOBS}?per_page=1").json["jobs"]
    after = client.create(apns[4:6], datasets=["parcels"])

    assert list(refused["error_details"]["failures"]) == ["rejected"]
    (notice,) = made["notices"]
    assert re.fullmatch(
        r"maricopa_assessor: the token was refused [-0-9]{10} [0-9:]{5} UTC:"
        r" set PROPKIT_SOURCES__MARICOPA_ASSESSOR__TOKEN, or token under"
        r" \[sources.maricopa_assessor\] in propkit.toml",
        notice,
    )
    assert made["notices"] == shown["notices"] == listed["notices"]
    assert "notices" not in made["criteria"]
    assert after["notices"] == client.wait(after["id"])["notices"] == []


def test_a_search_and_a_validation_are_jobs_too(client: Client, apns: list[str]):
    """What is searched for stands in the place of the APNs."""
    search = client.create(["SMITH"], kind="search", by="owner")
    validation = client.create(apns[:3], kind="validation")

    assert client.wait(search["id"])["state"] == "COMPLETED"
    assert client.wait(validation["id"])["success_count"] == 3


def test_what_is_fresh_is_a_job_that_has_ended(client: Client, apns: list[str]):
    """Nothing is asked: the items are skipped, and the job says so."""
    client.wait(client.create(apns[:3], datasets=["parcels"])["id"])

    job = client.create(apns[:3], datasets=["parcels"])

    told = client.wait(job["id"])
    assert (told["state"], told["success_count"]) == ("COMPLETED", 3)
    assert told["criteria"]["identifiers"] == {"fresh": 3}


def test_a_job_is_cancelled_and_gone_on_with(client: Client, county: County, apns: list[str]):
    """202 each time; 409 where it has ended, runs, or is in the way of an equal one."""
    county.switch(faults=[HANG])  # it may not end before
    job = client.create(apns, datasets=["parcels"])
    path = f"{JOBS}/{job['id']}"

    twin = client.post(JOBS, {"identifiers": apns, "datasets": ["parcels"]})
    problem = twin.problem()
    assert problem == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": f"All of it is in work already: {job['id']}.",
        "instance": JOBS,
        "job": job["id"],
    }
    running = client.post(f"{path}/retry").problem()
    assert (running["status"], running["job"]) == (409, job["id"])
    assert client.ask("DELETE", path).problem()["detail"] == "The job runs: cancel it first."

    cancelled = client.post(f"{path}/cancel")
    assert (cancelled.status, cancelled.json["state"]) == (202, "CANCELLED")
    again = client.post(f"{path}/cancel").problem()
    assert again["detail"] == "The job has ended: CANCELLED."
    county.switch(faults=[])

    resumed = client.post(f"{path}/retry")
    assert (resumed.status, resumed.json["state"]) == (202, "PROCESSING")
    assert resumed.json["criteria"] == job["criteria"]
    assert client.wait(job["id"])["success_count"] == 40

    nothing = client.post(f"{path}/retry").problem()
    assert (nothing["status"], nothing["detail"]) == (409, "Nothing of the job failed so.")


def test_what_failed_is_collected_again(client: Client, county: County, apns: list[str]):
    """Only one failure class, where it is named."""
    county.switch(faults=[BROKEN])
    job = client.create(apns[:2], datasets=["parcels"])
    failed = client.wait(job["id"])
    assert failed["error_count"] == 2
    assert failed["error_details"]["failures"] == {"unavailable": 2}

    path = f"{JOBS}/{job['id']}/retry"
    assert client.post(path, {"only": "timeout"}).problem()["status"] == 409
    unknown = client.post(path, {"only": "bad luck"}).problem()
    assert [error["field"] for error in unknown["errors"]] == ["only"]
    county.switch(faults=[])
    assert client.post(path, {"only": "unavailable"}).status == 202

    assert client.wait(job["id"])["success_count"] == 2
    assert "failures" not in client.get(f"{JOBS}/{job['id']}").json["error_details"]


def test_a_job_is_forgotten_and_its_rows_stay(
    server: Jupyter, client: Client, county: County, apns: list[str]
):
    """204, then 404 at every address of it."""
    job = client.create(apns[:3], datasets=["parcels"])
    client.wait(job["id"])
    path = f"{JOBS}/{job['id']}"

    gone = client.ask("DELETE", path)

    assert (gone.status, gone.body) == (204, b"")
    for method, place in [
        ("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("POST", "/retry"), ("GET", "/log"),
        ("GET", "/events"),
    ]:  # fmt: skip
        assert client.ask(method, path + place).problem() == {
            "type": "about:blank",
            "title": "Not Found",
            "status": 404,
            "detail": "There is no such job.",
            "instance": path + place,
        }
    rows = stored(server, county, "SELECT apn FROM parcels WHERE apn = ANY($1)", [apns[:3]])
    assert len(rows) == 3


@pytest.mark.parametrize("name", [NO_JOB, "last", "1", "..%2F..%2Fetc", "%00", "x" * 3000, "%F0"])
def test_what_is_no_job_is_not_found(client: Client, name: str):
    """A number or "last" is no id here; a name that is no text is refused as such."""
    answer = client.get(f"{JOBS}/{name}")

    assert answer.problem()["status"] == (400 if name == "%F0" else 404)


def test_a_log_is_paged(client: Client, apns: list[str]):
    """The oldest entry first; the pages together are the whole."""
    job = client.create(apns[:2], datasets=["parcels"])
    client.wait(job["id"])
    path = f"{JOBS}/{job['id']}/log"

    whole = client.get(path).json
    one = client.get(f"{path}?page=1&per_page=1")
    two = client.get(f"{path}?page=2&per_page=1")

    assert whole["total"] == len(whole["entries"]) >= 2
    assert [*one.json["entries"], *two.json["entries"]] == whole["entries"][:2]
    first = dict(whole["entries"][0])
    assert first.pop("logged_at")
    assert first == {
        "level": "info", "event": "created", "source": None, "key": None, "seconds": None,
        "message": "batch made",
    }  # fmt: skip
    last = whole["total"]
    assert one.headers["Link"] == (
        f'<{path}?page=1&per_page=1>; rel="first", <{path}?page={last}&per_page=1>; rel="last",'
        f' <{path}?page=2&per_page=1>; rel="next"'
    )


def test_pages_and_filters(slow: Jupyter, county: County):
    """The newest first, each job on one page; the links keep the filters."""
    client, chosen = slow.client, county.apns(12)
    made = [client.create([apn], datasets=["parcels"])["id"] for apn in chosen[:5]]
    for job_id in made:
        client.wait(job_id)
    county.switch(faults=[HANG])  # it may not end before
    cancelled = client.create(chosen[5:], kind="validation")["id"]
    client.post(f"{JOBS}/{cancelled}/cancel")

    newest, oldest = (client.get(f"{JOBS}?per_page=2&page={page}") for page in (1, 3))
    assert f'<{JOBS}?up_to=6&page=2&per_page=2>; rel="next"' in newest.headers["Link"]
    assert [job["id"] for job in newest.json["jobs"]] == [cancelled, made[4]]
    assert [job["id"] for job in oldest.json["jobs"]] == [made[1], made[0]]
    assert {name: oldest.json[name] for name in ("total", "page", "per_page")} == {
        "total": 6,
        "page": 3,
        "per_page": 2,
    }
    assert oldest.headers["Link"] == (
        f'<{JOBS}?page=1&per_page=2>; rel="first", <{JOBS}?page=3&per_page=2>; rel="last",'
        f' <{JOBS}?page=2&per_page=2>; rel="prev"'
    )
    beyond = client.get(f"{JOBS}?page=1000000&per_page=200").json
    assert (beyond["jobs"], beyond["total"]) == ([], 6)
    for query, ids in {
        "status=CANCELLED": [cancelled],
        "status=PENDING": [],
        "kind=comprehensive": made[::-1],
        "kind=leads": [],
        "status=CANCELLED&kind=validation": [cancelled],
        f"created_by={getpass.getuser()}": [cancelled, *made[::-1]],
        "created_by=nobody%20else": [],
        "up_to=2": made[1::-1],
    }.items():
        answer = client.get(f"{JOBS}?{query}")
        assert [job["id"] for job in answer.json["jobs"]] == ids, query
        anchor = (
            f"&up_to={answer.json['jobs'][0]['number']}" if ids and "up_to" not in query else ""
        )
        first = f'<{JOBS}?{query.replace("%20", "+")}{anchor}&page=1&per_page=50>; rel="first"'
        assert first in answer.headers["Link"]


def test_a_listed_job_is_as_it_is_now(client: Client, county: County, apns: list[str]):
    """What the server keeps of a job that has ended is given up when that changes."""
    county.switch(faults=[BROKEN])
    job = client.create(apns[:2], datasets=["parcels"])
    client.wait(job["id"])

    def listed() -> list[Any]:
        jobs = client.get(f"{JOBS}?per_page=200").json["jobs"]
        return [one for one in jobs if one["id"] == job["id"]]

    assert [one["error_count"] for one in listed()] == [2]
    county.switch(faults=[])
    client.post(f"{JOBS}/{job['id']}/retry")
    client.wait(job["id"])
    assert [(one["error_count"], one["success_count"]) for one in listed()] == [(0, 2)]
    client.ask("DELETE", f"{JOBS}/{job['id']}")
    assert listed() == []


def test_the_queue_is_healthy(slow: Jupyter, county: County):
    """How many jobs run and items wait, since when, what is stuck and what failed today."""
    client = slow.client
    assert client.get("/propkit/api/health").json == {
        "status": "good",
        "pending_jobs": 0,
        "processing_jobs": 0,
        "waiting_items": 0,
        "oldest_waiting_at": None,
        "stuck": [],
        "failed_today": [],
    }
    county.switch(faults=[HANG])  # it may not end before
    job = client.create(county.apns(40), datasets=["parcels"])

    health = client.get("/propkit/api/health").json

    assert health["processing_jobs"] == 1
    assert 0 < health["waiting_items"] <= 40
    assert health["oldest_waiting_at"] == job["created_at"]


def test_a_notebook_owns_the_store_and_both_see_the_jobs(county: County, tmp_path: Path):
    """The server is a guest; the job runs at the notebook's, which may cancel it as its own."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    with (
        notebook(folder / "propkit.duckdb", settings_of(county, per_second=20)) as owner,
        jupyter(folder, county) as server,
    ):
        client = server.client
        owner.run(HASTY_CANCEL)
        county.switch(faults=[HANG])  # it may not end before
        job = client.create(county.apns(40), datasets=["parcels"])
        assert owner.run("kit.batch('last').id") == job["id"]
        assert owner.run("kit.batch('last').is_running") is True
        assert owner.run("kit.batch('last').head.created_by") == getpass.getuser()

        owner.run("kit.batch('last').cancel(); None")
        assert client.wait(job["id"])["state"] == "CANCELLED"
        county.switch(faults=[])
        assert client.post(f"{JOBS}/{job['id']}/retry").status == 202
        assert client.wait(job["id"])["success_count"] == 40

        own = owner.run(f"kit.start({county.apns(41)[40:]!r}, datasets='parcels').id")
        assert client.wait(own)["state"] == "COMPLETED"
        assert client.ask("DELETE", f"{JOBS}/{own}").status == 204
        assert own not in owner.run("list(kit.batches()['batch_id'])")


def test_a_server_below_an_address_of_its_own(county: County, tmp_path: Path):
    """As behind JupyterHub: every address that is told begins with it."""
    base = "/user/ana"
    with jupyter(tmp_path / "notebooks", county, f"--ServerApp.base_url={base}/") as server:
        client, path = server.client, base + JOBS
        made = client.post(path, {"identifiers": county.apns(1), "datasets": ["parcels"]})
        place = made.headers["Location"]

        assert place == f"{path}/{made.json['id']}"
        assert client.get(place).json["id"] == made.json["id"]
        assert client.get(f"{place}/x").problem()["instance"] == f"{place}/x"
        link = client.get(path).headers["Link"]
        assert link.startswith(f'<{path}?up_to=1&page=1&per_page=50>; rel="first"')
        document = client.get(f"{base}/propkit/api/openapi.json").json
        assert document["servers"] == [{"url": f"{base}/propkit/api"}]
        assert client.get(JOBS).status == 404


def test_a_job_outlives_the_server(slow: Jupyter, county: County):
    """It runs in a worker, which the next one who opens the store finds at work."""
    client = slow.client
    county.switch(faults=[HANG])  # it may not end before
    job = client.create(county.apns(40), datasets=["parcels"])
    with client.events(job["id"]) as lines:
        assert next(event for event in lines if "event" in event)["event"] == "progress"

        assert slow.stop() == 0

        assert all(event.get("event") != "end" for event in lines)
    county.switch(faults=[])
    store = slow.folder / "propkit.duckdb"
    with pk.open(store, settings=pk.Settings.load(**settings_of(county))) as kit:
        assert "guest of PID" in repr(kit)
        assert kit.batch(job["id"]).wait(timeout=60).totals == {"done": 40}
    names = {file.name for file in slow.folder.iterdir() if file.is_file()} - {f"{store.name}.wal"}
    assert names == {store.name, f".{store.name}.owner.json", f".{store.name}.worker.log"}
