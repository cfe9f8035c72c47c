"""Batches that a Dask cluster collects: the same tables, at the same pace, whatever dies."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from itertools import chain, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from distributed import Client

import propkit as pk
from propkit.errors import RequestError
from propkit.records import RECORD_TYPES
from propkit.runtime.cluster import address
from propkit.runtime.cluster.asker import Asker
from propkit.runtime.cluster.lending import Lender
from propkit.runtime.cluster.messages import LEASE_SECONDS
from propkit.sharing.joining import attach
from propkit.sharing.place import make_order
from propkit.sources import configure_sources
from propkit.store import Store
from tests.cluster.conftest import WORKERS
from tests.collecting import QUICK, quick_kit, quick_settings, table_as_truth
from tests.guests.notebooks import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from propkit.demo_county import County
    from tests.cluster.conftest import Cluster

pytestmark = pytest.mark.timeout(120)

LAST = 60
HANG = {"kind": "hang", "system": "assessor"}
README = Path(__file__).parents[2] / "README.md"
OWNER = Path(__file__).parent / "owner_run.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
ROLL = ["parcels", "residences", "valuations", "sales"]


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with Client(cluster.address, set_as_default=False) as client:
        yield client


def paced_kit(county: County, path: Path, rate: float, **collect: Any) -> pk.Kit:
    """Open a kit that asks each system so often, with at most two requests in flight."""
    sources = {
        name: {**values, "requests_per_second": rate, "max_in_flight": 2}
        for name, values in county.settings().items()
    }
    settings = pk.Settings.load(sources=sources, collect={**QUICK, **collect})
    return pk.Kit(Store.open(path), settings, configure_sources(settings))


def asked(county: County) -> list[str]:
    """Return what was asked for, robots.txt left out."""
    entries = county.ledger()
    return [e["path"] + e["query"] for e in entries if not e["path"].endswith("robots.txt")]


def under_way(county: County) -> int:
    """Return how many requests the assessor has not answered yet."""
    in_flight: dict[str, int] = county.health()["in_flight"]
    return in_flight["assessor"]


def test_the_tables_are_those_of_a_kernel(
    county: County, cluster: Cluster, client: Client, tmp_path: Path
):
    """Also of the treasurer's pages, which are bound to a session; and nothing is asked twice."""
    apns = county.apns(60)
    with quick_kit(county, tmp_path / "kernel.duckdb") as kit:
        expected_report = kit.collect(apns, progress=False)
        expected = {table: table_as_truth(kit, table) for table in RECORD_TYPES}
    asked_by_kernel = sorted(asked(county))
    county.clear_ledger()
    before = client.run_on_scheduler(left_at)

    with quick_kit(county, tmp_path / "cluster.duckdb") as kit:
        report = kit.collect(apns, progress=False, cluster=client)
        tables = {table: table_as_truth(kit, table) for table in RECORD_TYPES}
        log = kit.batch("last").log()

    assert report.state == "completed"
    assert report.totals == expected_report.totals
    assert tables == expected
    assert sorted(asked(county)) == asked_by_kernel
    assert sum(one.requests for one in report.sources) == len(county.ledger())
    robots = [e["path"] for e in county.ledger() if e["path"].endswith("robots.txt")]
    assert all(robots.count(path) <= len(cluster.workers) for path in robots)
    assert f"collected by 2 workers of the cluster {cluster.address}" in list(log["message"])
    assert "demo-token" not in cluster.said()
    wait_until(lambda: set(client.run_on_scheduler(left_at)) <= set(before))


def left_at(dask_scheduler: Any) -> list[str]:
    """Return what runs have left at the scheduler: queues, and tasks.

    That of an owner that was killed stays until its workers take it for lost.
    """
    return [*dask_scheduler.extensions["queues"].queues, *dask_scheduler.tasks]


def test_the_pace_holds_over_all_workers(county: County, cluster: Cluster, tmp_path: Path):
    """Both workers ask, and the county's own limits refuse nothing."""
    limit = {"requests_per_second": 20, "burst": 3, "max_in_flight": 2}
    county.switch(limits=dict.fromkeys(("assessor", "treasurer", "recorder"), limit))

    with paced_kit(county, tmp_path / "a.duckdb", 20) as kit:
        report = kit.collect(
            county.apns(40), progress=False, cluster=cluster.address, datasets=ROLL
        )

    entries = county.ledger("assessor")
    assert report.state == "completed"
    assert sum(report.totals.values()) == 40
    assert [e for e in entries if e["is_refused"]] == []
    assert max(e["in_flight"] for e in entries) <= 2
    starts = [e["started_monotonic"] for e in entries]
    # 21 requests take the spacing twenty times; a server that stands still may see them closer.
    assert [b - a for a, b in zip(starts, starts[20:], strict=False) if b - a < 0.9] == []


def longest_gap(county: County) -> float:
    """Return how long the assessor was left alone, in seconds."""
    starts = [e["started_monotonic"] for e in county.ledger("assessor")]
    return max((later - first for first, later in pairwise(starts)), default=0.0)


def test_one_workers_retry_after_pauses_all(county: County, cluster: Cluster, tmp_path: Path):
    """The other one, which has more to ask than it could within that time, asks nothing either."""
    rule = {"system": "assessor", "kind": "status", "status": 429, "retry_after": 3, "first": 1}
    county.switch(faults=[HANG])  # none is refused before both have begun

    with quick_kit(county, tmp_path / "a.duckdb", workers=2) as kit:
        batch = kit.start(county.apns(60), cluster=cluster.address, datasets=ROLL)
        wait_until(lambda: under_way(county) == 2 * WORKERS)
        county.clear_ledger()
        county.switch(faults=[rule], latency=0.5)
        wait_until(lambda: longest_gap(county) >= 1.5 or not batch.is_running)
        totals = batch.cancel().totals

    assert longest_gap(county) >= 1.5
    assert totals["cancelled"] > 0
    assert "failed" not in totals


def test_what_a_killed_worker_had_is_handed_out_again(
    county: County, cluster: Cluster, client: Client, tmp_path: Path
):
    """Nothing of the run stays at the scheduler, though one of them could not let go of it."""
    county.switch(faults=[{**HANG, "after": 20}])
    before = client.run_on_scheduler(left_at)
    apns = county.apns(80)
    with quick_kit(county, tmp_path / "a.duckdb", workers=2) as kit:
        batch = kit.start(apns, cluster=cluster.address, datasets=ROLL)
        wait_until(lambda: under_way(county) == 2 * WORKERS)

        os.kill(cluster.workers[0].pid, signal.SIGKILL)
        county.switch(faults=[])

        report = batch.wait(LAST)
        items = batch.items()
        messages = " ".join(batch.log()["message"])

    assert report.state == "completed"
    assert set(items["state"]) <= {"done", "not_found"}
    assert sorted(items["key"]) == sorted(apns)
    assert "a worker of the cluster was lost" in messages
    wait_until(lambda: set(client.run_on_scheduler(left_at)) <= set(before))


def test_items_wait_for_workers_when_all_are_gone(county: County, cluster: Cluster, tmp_path: Path):
    county.switch(faults=[{**HANG, "after": 10}])
    with quick_kit(county, tmp_path / "a.duckdb", workers=2) as kit:
        batch = kit.start(county.apns(60), cluster=cluster.address, datasets=ROLL)
        wait_until(lambda: under_way(county) == 2 * WORKERS)
        for worker in cluster.workers:
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
        wait_until(lambda: "items wait for some" in " ".join(batch.log()["message"]))
        county.switch(faults=[])

        cluster.start_workers()

        assert batch.wait(LAST).state == "completed"
        assert set(batch.items()["state"]) <= {"done", "not_found"}


def test_a_cancel_stops_all_workers_and_keeps_what_came(
    county: County, cluster: Cluster, tmp_path: Path
):
    with paced_kit(county, tmp_path / "a.duckdb", 20) as kit:
        batch = kit.start(county.apns(200), cluster=cluster.address, datasets=ROLL)
        wait_until(lambda: len(asked(county)) > 10)

        before = len(asked(county))
        batch.cancel()

        number = len(asked(county))
        states = batch.items()["state"].value_counts().to_dict()
        stored = len(kit.frame("parcels"))
        state = batch.state
    assert state == "cancelled"
    assert set(states) <= {"done", "not_found", "cancelled"}
    assert stored == states["done"] > 5
    assert number - before < 40  # what is asked until all have heard; 100 were handed out
    assert len(asked(county)) == number


def test_a_lender_that_fails_leaves_the_batch_and_says_why(
    county: County, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It would stand still for good."""

    def fail(_: Lender) -> None:
        raise RuntimeError("the lender is broken")

    with quick_kit(county, tmp_path / "a.duckdb") as kit:
        with monkeypatch.context() as patch:
            patch.setattr(Lender, "_give_parts", fail)
            batch = kit.start(county.apns(20), cluster=cluster.address, datasets=ROLL)
            batch.wait(LAST)
        head = batch.head
        report = batch.resume(cluster=cluster.address).wait(LAST)

    assert head.state == "interrupted"
    assert head.error == (
        f"the cluster at {cluster.address} is lost: the lender is broken;"
        " batch.resume() goes on with what waits"
    )
    assert (report.state, report.totals) == ("completed", {"done": 20})


def askers_at() -> list[str]:
    """Return the runs that a worker asks for."""
    return [run_id for run_id, _ in Asker._askers]


def test_a_closed_client_leaves_the_batch_to_be_gone_on_with(
    county: County, cluster: Cluster, client: Client, tmp_path: Path
):
    """No worker asks for it any more by then, so that nothing is asked twice."""
    county.switch(faults=[{**HANG, "after": 12}])
    before = client.run(askers_at)
    with paced_kit(county, tmp_path / "a.duckdb", 30) as kit:
        given = Client(cluster.address, set_as_default=False)
        batch = kit.start(county.apns(60), cluster=given, datasets=ROLL)
        wait_until(lambda: under_way(county) == 2)
        wait_until(lambda: batch.progress is not None and batch.progress.ended == 12)
        given.close()
        batch.wait(LAST)
        left = client.run(askers_at)
        head = batch.head
        kept = batch.items()["state"].value_counts()

        county.switch(faults=[])
        batch.resume(cluster=cluster.address).wait(LAST)
        report = batch.report

    assert head.state == "interrupted"
    assert head.error == "the Dask client was closed; batch.resume() goes on with what waits"
    assert kept["waiting"] > 0
    assert report.state == "completed"
    assert {*chain(*left.values())} <= {*chain(*before.values())}
    assert len(asked(county)) <= 60 + 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (7, "cluster=7 is no cluster; expected a distributed.Client, or the address"),
        ("", "cluster='' is no cluster"),
        ("nonsense://x", "cluster='nonsense://x' cannot be reached"),
    ],
)
def test_what_is_no_cluster_is_refused(county: County, tmp_path: Path, given: object, said: str):
    with (
        quick_kit(county, tmp_path / "a.duckdb") as kit,
        pytest.raises(RequestError, match=said.replace("(", r"\(")),
    ):
        kit.start(county.apns(2), cluster=given)
    assert asked(county) == []


def test_a_worker_with_another_version_is_refused(
    county: County, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(address, "__version__", "0.0.9")
    with (
        quick_kit(county, tmp_path / "a.duckdb") as kit,
        pytest.raises(RequestError, match=r"has propkit 0\.1\.0, and here is 0\.0\.9"),
    ):
        kit.start(county.apns(2), cluster=cluster.address)
    assert asked(county) == []


def test_a_cluster_without_workers_is_refused_where_nothing_starts_some():
    client = SimpleNamespace(cluster=None, run=lambda *_, **__: {})
    with pytest.raises(RequestError, match="the cluster has no workers; start some"):
        address._check_workers(client)

    client.cluster = object()
    address._check_workers(client)


def test_a_worker_without_propkit_is_refused():
    missing = ModuleNotFoundError("No module named 'propkit'")

    with pytest.raises(RequestError, match=r"tcp://w:1 has no propkit \(No module named"):
        address.check_version("tcp://w:1", missing)


@pytest.mark.browser
def test_browsers_are_the_workers_own(county: County, cluster: Cluster, tmp_path: Path):
    taxes = ["tax_bills", "tax_payments"]
    apns = county.apns(4)
    with quick_kit(county, tmp_path / "a.duckdb", has_browser=True, request_timeout=60) as kit:
        report = kit.collect(
            apns, mode="browser", datasets=taxes, progress=False, cluster=cluster.address
        )
        tables = {table: table_as_truth(kit, table) for table in taxes}
        browsers = kit._place.collector()[0].browsers.engines
    with quick_kit(county, tmp_path / "b.duckdb") as kit:
        kit.collect(apns, datasets=taxes, progress=False)
        expected = {table: table_as_truth(kit, table) for table in taxes}

    assert report.state == "completed"
    assert tables == expected
    assert browsers == []


def test_an_owner_that_dies_stops_the_cluster_within_seconds(
    county: County, cluster: Cluster, tmp_path: Path
):
    """Without its leases nobody asks; the batch is unfinished, and goes on without a cluster."""
    path = tmp_path / "a.duckdb"
    sources = {
        name: {**values, "requests_per_second": 30, "max_in_flight": 2}
        for name, values in county.settings().items()
    }
    apns = county.apns(400)
    order = json.dumps({"sources": sources, "apns": apns, "cluster": cluster.address})
    with subprocess.Popen([sys.executable, str(OWNER), str(path), order], env=ENVIRONMENT) as owner:
        wait_until(lambda: len(asked(county)) > 20)
        owner.kill()
    killed_at = time.time()
    number = 0

    def is_quiet() -> bool:
        nonlocal number
        last, number = number, len(asked(county))
        time.sleep(0.3)  # ten requests, at the pace of the batch
        return last == number

    wait_until(is_quiet)

    assert max(entry["started_at"] for entry in county.ledger()) < killed_at + LEASE_SECONDS
    with quick_kit(county, path) as kit:
        assert len(kit.unfinished) == 1
        report = kit.batch("last").resume().wait(LAST)
    assert report.state == "completed"


def test_a_guest_cannot_send_the_owner_to_a_cluster(
    county: County, cluster: Cluster, tmp_path: Path
):
    settings = quick_settings(county)
    with pk.open(tmp_path / "a.duckdb", settings=settings) as owner:
        guest = attach(owner.store.path)
        assert guest is not None
        order = make_order(owner.plan(county.apns(2)), {})
        with pytest.raises(RequestError, match=r"is for the process that owns the store, which is"):
            guest.start(order, (), cluster=cluster.address)
        with pytest.raises(RequestError, match="is for the process that owns the store"):
            guest.resume(order.batch_id, cluster=cluster.address)
        guest.close()
    assert asked(county) == []


def test_leads_are_not_for_a_cluster():
    with pytest.raises(RequestError, match="leads are bought by the owner of the store only"):
        address.find_cluster("tcp://127.0.0.1:1", "leads")


def test_dask_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "distributed", None)

    with pytest.raises(RequestError, match=r'pip install "propkit\[cluster\]"'):
        address.find_cluster("tcp://127.0.0.1:1", "comprehensive")


def test_a_source_that_blocks_is_asked_no_more_by_any_worker(
    county: County, cluster: Cluster, tmp_path: Path
):
    """What was handed out already comes back unasked, and waits."""
    county.switch(faults=[{"system": "assessor", "kind": "captcha", "after": 12}])

    with quick_kit(county, tmp_path / "a.duckdb", workers=2) as kit:
        report = kit.collect(
            county.apns(150), progress=False, cluster=cluster.address, datasets=ROLL
        )

    assert report.state == "paused"
    assert report.totals["waiting"] > 100
    assert len(asked(county)) < 40


def test_a_cap_holds_over_all_workers(county: County, cluster: Cluster, tmp_path: Path):
    with quick_kit(county, tmp_path / "a.duckdb") as kit:
        report = kit.collect(
            county.apns(60), progress=False, cluster=cluster.address, datasets=ROLL, max_requests=25
        )

    assert report.state == "paused"
    assert 20 <= len(county.ledger("assessor")) <= 25


def test_the_lines_of_the_readme_run(county: County, cluster: Cluster, tmp_path: Path):
    shown = re.search(
        r"```python\n(from distributed import Client.*?)```", README.read_text(), re.DOTALL
    )
    assert shown is not None
    lines = shown[1].replace("tcp://scheduler:8786", cluster.address)
    with quick_kit(county, tmp_path / "a.duckdb") as kit:
        names = {"kit": kit, "parcels": county.apns(3)}
        exec(lines, names)  # noqa: S102 -- as a reader does
        names["client"].close()

    assert names["report"].state == "completed"
