"""The API from a shell, with curl: the README's example, and the life of a job."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

from tests.server.serving import JOBS, ROOT, Jupyter

if TYPE_CHECKING:
    from propkit.demo_county import County


def shell(command: str, server: Jupyter) -> str:
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "TOKEN": server.token, "URL": f"http://127.0.0.1:{server.port}{JOBS}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.replace("\r", "")


def curl(arguments: str, server: Jupyter) -> tuple[int, str]:
    """Return the status and the body."""
    said = shell(f"curl -s -w '\\n%{{http_code}}' {arguments}", server)
    body, _, status = said.rpartition("\n")
    return int(status), body


def test_the_example_of_the_readme(server: Jupyter):
    """What it shows is what it says, but for the job's id."""
    readme = (ROOT / "README.md").read_text("utf-8")
    (block,) = re.findall(r"^```console\n\$ (.*?)^```", readme, re.DOTALL | re.MULTILINE)
    command, _, shown = block.partition("\nHTTP/")

    said = shell(command.replace("localhost:8888", f"localhost:{server.port}"), server)

    def without_id(lines: str) -> set[str]:
        return set(re.sub(r"\d{8}-\d{6}-[0-9a-f]{8}", "ID", lines).strip().splitlines())

    assert without_id(f"HTTP/{shown}") <= without_id(said)
    (job_id,) = re.findall(r"^Location: .*/(.+)$", said, re.MULTILINE)
    server.client.wait(job_id)  # or it asks the county in the tests that follow


def test_the_life_of_a_job(server: Jupyter, county: County, apns: list[str]):
    """403 without the token; 422, 201, 409, 202, 202 and 204 with it."""
    order = json.dumps({"identifiers": apns, "datasets": ["parcels"]})
    token, kind = '-H "Authorization: token $TOKEN"', '-H "Content-Type: application/json"'
    post = f"{token} {kind} -d"

    # Or the job may be over before its twin is posted, or before it is cancelled.
    county.switch(faults=[{"system": "assessor", "kind": "hang"}])
    stranger, _ = curl(f"{kind} -d '{order}' $URL", server)
    wrong, told = curl(f"""{post} '{{"identifiers": ["no parcel"]}}' $URL""", server)
    made, job = curl(f"{post} '{order}' $URL", server)
    job_id = json.loads(job)["id"]
    twin, conflict = curl(f"{post} '{order}' $URL", server)
    cancelled, _ = curl(f"{token} -X POST $URL/{job_id}/cancel", server)
    county.switch(faults=[])
    retried, _ = curl(f"{token} -X POST $URL/{job_id}/retry", server)
    _, events = curl(f"-N {token} $URL/{job_id}/events", server)
    gone, _ = curl(f"{token} -X DELETE $URL/{job_id}", server)

    assert [stranger, wrong, made, twin, cancelled, retried, gone] == [
        403, 422, 201, 409, 202, 202, 204,
    ]  # fmt: skip
    assert json.loads(told)["errors"][0]["field"] == "identifiers.0"
    assert json.loads(conflict)["job"] == job_id
    assert "event: end" in events
