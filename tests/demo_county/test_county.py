from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from propkit.demo_county import County, start_county
from propkit.demo_county.limits import POLITE_LIMITS, Bucket, Limit, retry_after
from propkit.demo_county.switches import Switches
from propkit.demo_county.truth import CountyTruth
from tests.guests.notebooks import wait_until


def test_the_ledger_holds_every_request_in_order_with_what_tests_ask_for(client, county: County):
    apn = county.apns(1)[0]
    headers = {"User-Agent": "propkit-test", "Referer": "http://localhost/", "X-Trace": "7"}

    client.get(f"/assessor/parcel/{apn}?a=1", headers=headers)
    client.get(f"/treasurer/Parcel/?Parcel={apn}", headers={"User-Agent": "propkit-test"})
    entries = county.ledger()

    first, second, third = entries
    assert (first["system"], first["method"], first["path"]) == (
        "assessor", "GET", f"/parcel/{apn}",
    )  # fmt: skip
    assert (first["query"], first["status"], first["in_flight"]) == ("a=1", 200, 1)
    assert first["headers"]["user-agent"] == "propkit-test"
    assert first["headers"]["x-trace"] == "7"
    assert first["has_authorization"] is True
    assert "demo-token" not in json.dumps(entries)
    assert 0 <= first["seconds"] < 60
    assert (second["status"], second["session"]) == (302, None)
    assert third["session"] is not None
    assert [e["number"] for e in entries] == list(range(first["number"], first["number"] + 3))
    assert county.ledger("treasurer") == entries[1:]
    assert county.ledger(since=second["number"]) == entries[2:]


def test_control_calls_are_not_in_the_ledger_and_robots_requests_are(client, county: County):
    county.switch(robots={"treasurer": "User-agent: *\nDisallow: /Parcel\n"})

    texts = [client.get(f"{p}/robots.txt").text for p in ("", "/assessor", "/treasurer")]

    allowed = "User-agent: *\nDisallow:\n"
    assert texts == [allowed, allowed, "User-agent: *\nDisallow: /Parcel\n"]
    assert [(e["system"], e["path"]) for e in county.ledger()] == [
        ("root", "/robots.txt"),
        ("assessor", "/robots.txt"),
        ("treasurer", "/robots.txt"),
    ]


def test_a_rate_above_the_limit_is_refused_with_429_and_counted(client, county: County):
    before = county.health()["violations"]["recorder"]["rate"]
    county.switch(limits={"recorder": {"requests_per_second": 0.01, "burst": 3}})

    found = [client.get("/recorder/documents/1") for _ in range(5)]

    assert [answer.status_code for answer in found] == [404, 404, 404, 429, 429]
    assert 90 <= int(found[-1].headers["retry-after"]) <= 100
    assert [e["is_refused"] for e in county.ledger()] == [False, False, False, True, True]
    assert county.health()["violations"]["recorder"]["rate"] == before + 2


def test_requests_above_the_cap_in_flight_are_refused_and_counted(client, county: County):
    county.switch(
        limits={"recorder": {"max_in_flight": 1}},
        faults=[{"system": "recorder", "kind": "slow", "seconds": 3600}],
    )

    def violations() -> int:
        return county.health()["violations"]["recorder"]["in_flight"]

    before = violations()
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(client.get, "/recorder/documents/1") for _ in range(3)]
        wait_until(lambda: violations() == before + 2)
        county.switch(faults=[])
        found = [answer.result().status_code for answer in asked]

    assert sorted(found) == [404, 429, 429]
    assert violations() == before + 2
    assert max(entry["in_flight"] for entry in county.ledger()) > 1


def test_a_bucket_refills_with_time_up_to_its_burst():
    bucket = Bucket(Limit(2.0, burst=2))

    waits = [bucket.seconds_until_allowed(now) for now in (0, 0, 0, 0.25, 0.5, 100, 100, 100)]

    assert waits == [0, 0, 0.5, 0.25, 0, 0, 0, 0.5]
    assert retry_after(0.2) == "1"
    assert retry_after(1.2) == "2"


def test_a_plain_county_has_polite_limits():
    with start_county(parcels=10) as county:
        limits = county.switches()["limits"]

    assert limits == {
        "assessor": {"requests_per_second": 5.0, "burst": 3, "max_in_flight": None},
        "treasurer": {"requests_per_second": 2, "burst": 3, "max_in_flight": None},
        "recorder": {"requests_per_second": 2.0, "burst": 3, "max_in_flight": None},
    }
    assert Switches().limits == POLITE_LIMITS


def test_latency_is_drawn_from_the_real_profile_and_scaled(client, county: County):
    county.switch(latency=0.1)

    client.get("/recorder/documents/1")

    assert 0.01 <= county.ledger()[0]["seconds"] < 60


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"volume": 11}, "unknown switches"),
        ({"envelope": "paper"}, "envelope is one of results, real_property"),
        ({"limits": {"sheriff": 1}}, "limits are an object by system"),
        ({"limits": {"assessor": 0}}, "must be above 0"),
        ({"limits": {"assessor": {"per_minute": 1}}}, "the limit of assessor takes"),
        ({"latency": -1}, "latency is"),
        ({"one_call": "no"}, "one_call is true or false"),
        ({"token": ""}, "the token is a text"),
        ({"robots": {"assessor": 1}}, "robots.txt is a text"),
        ({"faults": {}}, "faults are a list"),
    ],
)
def test_a_wrong_switch_is_refused_with_a_sentence_and_changes_nothing(county, changes, says):
    before = county.switches()

    with pytest.raises(ValueError, match=says):
        county.switch(**changes)

    assert county.switches() == before


def test_the_county_hands_out_its_apns_truth_and_settings(county: County, truth: CountyTruth):
    assert county.apns(5) == truth.apns(5)
    assert county.apns(5, skip=7) == truth.apns(5, skip=7)
    assert county.apns(5, seed=9) == truth.apns(5, seed=9) != county.apns(5, seed=10)
    assert county.truth(county.apns(1200)) == truth.tables(range(1200))
    assert httpx.get(
        f"{county.url}/_county/truth?first=2&skip=4", timeout=60, trust_env=False
    ).json() == (truth.tables([4, 5]))
    assert county.health()["parcels"] == 2000
    assert county.settings() == {
        "maricopa_assessor": {"base_url": f"{county.url}/assessor", "token": "demo-token"},
        "maricopa_treasurer": {"base_url": f"{county.url}/treasurer"},
        "maricopa_treasurer_details": {"base_url": f"{county.url}/treasurer"},
        "maricopa_treasurer_activities": {"base_url": f"{county.url}/treasurer"},
        "maricopa_recorder": {"base_url": f"{county.url}/recorder"},
    }


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"parcels": 0}, ValueError, "holds 1 to 200,000 parcels, not 0"),
        ({"seed": -1}, ValueError, "a number from 0 up"),
        ({"port": 99999}, ValueError, "a port is a number"),
        ({"switches": {"x": 1}}, ValueError, "unknown switches"),
    ],
)
def test_bad_input_is_one_clear_sentence(options: dict, error: type[Exception], says: str):
    with pytest.raises(error, match=says):
        start_county(**options)


def test_a_port_in_use_is_one_clear_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(OSError, match=f"cannot serve the demo county on port {port}"):
            start_county(port=port)


def run_county(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "propkit.demo_county", *arguments]
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=100, cwd=root, check=False
    )


def test_an_unreadable_faults_file_is_one_clear_sentence(tmp_path: Path):
    broken = tmp_path / "broken.json"
    broken.write_text("{", "utf-8")

    missing = run_county("--port", "0", "--faults", str(tmp_path / "none.json"))
    unread = run_county("--port", "0", "--faults", str(broken))

    assert missing.returncode == unread.returncode == 2
    assert missing.stderr.startswith("propkit county: cannot read the faults file")
    assert "is not JSON" in unread.stderr
    assert len(missing.stderr.splitlines()) == len(unread.stderr.splitlines()) == 1


@pytest.mark.parametrize("end", ["stdin", signal.SIGTERM, signal.SIGINT])
def test_the_process_prints_one_ready_line_and_ends_cleanly(tmp_path: Path, end: object):
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps([{"kind": "html200", "system": "recorder"}]), "utf-8")
    command = [
        sys.executable, "-m", "propkit.demo_county", "--port", "0", "--parcels", "20",
        "--end-with-stdin", "--faults", str(faults),
    ]  # fmt: skip
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    root = Path(__file__).resolve().parents[2]

    with subprocess.Popen(command, text=True, cwd=root, **pipes) as process:
        ready = json.loads(process.stdout.readline())
        page = httpx.get(f"{ready['url']}/recorder/documents/1", timeout=60, trust_env=False).text
        if end == "stdin":
            process.stdin.close()
        else:
            process.send_signal(end)
        code = process.wait(timeout=60)
        rest, errors = process.stdout.read(), process.stderr.read()

    assert ready["token"] == "demo-token"
    assert "Page not found" in page
    assert (code, rest, errors) == (0, "", "")
