"""A real Jupyter server with propkit's extension, and a client for it; shared by its tests."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.guests.notebooks import end_workers, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from propkit.demo_county import County

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
JOBS = "/propkit/api/batch-jobs"
DEADLINE_SECONDS = 60.0
START_SECONDS = 100.0
"""On a busy machine Jupyter takes half a minute to begin; one that ends is seen at once."""
PLANTED = "planted-county-token-8d1f"
"""A token for a county that must never be seen again."""


@dataclass(frozen=True)
class Answer:
    """What the server has said."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    def problem(self) -> dict[str, Any]:
        """Return the problem details, after a look at what all of them have."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.headers["Cache-Control"] == "no-store"
        problem: dict[str, Any] = self.json
        assert problem["type"] == "about:blank"
        assert problem["status"] == self.status
        return problem


class Client:
    """Speaks with the server as whoever has these headers."""

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        self.port = port
        self.headers = dict(headers)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request and return the answer; ``body`` is sent as JSON, ``raw`` as it is."""
        sent = raw if body is None else json.dumps(body).encode()
        all_headers = {**self.headers, **(headers or {})}
        if sent is not None:
            all_headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        try:
            connection.request(method, path, sent, all_headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **options: Any) -> Answer:
        """Send a GET."""
        return self.ask("GET", path, **options)

    def post(self, path: str, body: object = None, **options: Any) -> Answer:
        """Send a POST."""
        return self.ask("POST", path, body, **options)

    def create(self, identifiers: list[str], **order: Any) -> Any:
        """Make a job and return it."""
        answer = self.post(JOBS, {"identifiers": identifiers, **order})
        assert answer.status == 201, answer.body
        return answer.json

    def wait(self, job_id: str) -> Any:
        """Wait until a job ends, by its events, and return it."""
        with self.events(job_id) as lines:
            assert list(lines)
        return self.get(f"{JOBS}/{job_id}").json

    @contextmanager
    def events(
        self, job_id: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[Iterator[dict[str, str]]]:
        """Follow a job: an iterator of events, each by field; a comment has the field ''."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        try:
            path = f"{JOBS}/{job_id}/events"
            connection.request("GET", path, headers={**self.headers, **(headers or {})})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            assert answer.headers["Content-Type"] == "text/event-stream"
            yield _read_events(answer)
        finally:
            connection.close()


def _read_events(answer: http.client.HTTPResponse) -> Iterator[dict[str, str]]:
    event: dict[str, str] = {}
    for line in answer:
        text = line.decode().rstrip("\n")
        if text:
            name, _, value = text.partition(":")
            event[name] = value.strip()
        elif event:
            yield event
            event = {}


class Jupyter:
    """A running server. ``folder`` is what it shows, ``home`` where it writes everything else.

    ``given`` counts the APNs that tests have been given.
    """

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, url: str, token: str):
        self.process = process
        self.folder = folder
        self.home = folder.with_name(f"{folder.name}-home")
        self.port = urlsplit(url).port or 0
        self.token = token
        self.given = 0

    @property
    def client(self) -> Client:
        """A client with the server's token."""
        return self.client_of(self.token)

    @property
    def stranger(self) -> Client:
        """A client without any token."""
        return Client(self.port, {})

    @property
    def log(self) -> str:
        """What the server has said so far."""
        return (self.home / "server.log").read_text("utf-8")

    def client_of(self, token: str) -> Client:
        """Return a client with another token."""
        return Client(self.port, {"Authorization": f"token {token}"})

    def stop(self) -> int:
        """Ask the server to end, as `systemctl stop` would, and return its exit code."""
        self.process.terminate()
        return self.process.wait(DEADLINE_SECONDS)


@contextmanager
def jupyter(
    folder: Path, county: County, *arguments: str, per_second: float = 5000, **server: Any
) -> Iterator[Jupyter]:
    """Start a server that shows ``folder``, with a county as its source, and end it."""
    folder.mkdir(parents=True, exist_ok=True)
    home = folder.with_name(f"{folder.name}-home")
    (home / "tmp").mkdir(parents=True)
    worker = {"idle_seconds": DEADLINE_SECONDS, "batches": 100}
    settings = settings_of(county, per_second=per_second, server=server, worker=worker)
    token = secrets.token_hex(16)
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root",
                "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", "--ServerApp.port_retries=0",
                f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}",
                "--ServerApp.jpserver_extensions={'propkit.server': True}", *arguments,
            ],
            env=_environment(home, settings),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield Jupyter(process, folder, _wait_for(process, home), token)
        finally:
            process.terminate()
            try:
                process.wait(DEADLINE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for store in folder.rglob("*.duckdb"):
                end_workers(store)


def _environment(home: Path, settings: dict[str, Any]) -> dict[str, str]:
    """Return an environment with nothing of the person who runs this, and with these settings."""
    names = ("JUPYTER", "IPYTHON", "XDG_", "PROPKIT_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(names)}
    folders = {
        "HOME": "", "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime", "IPYTHONDIR": "ipython", "TMPDIR": "tmp",
    }  # fmt: skip
    sources = settings["sources"]
    sources["maricopa_recorder"]["token"] = PLANTED
    return {
        **kept,
        **{name: str(home / place) for name, place in folders.items()},
        **{f"PROPKIT_{name.upper()}": json.dumps(value) for name, value in settings.items()},
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE), os.environ["PYTHONPATH"]]),
        "JUPYTER_NO_CONFIG": "1",
    }


def _wait_for(process: subprocess.Popen[bytes], home: Path) -> str:
    """Return the server's address once it answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for file in (home / "runtime").glob("jpserver-*.json"):
            try:
                url: str = json.loads(file.read_text("utf-8"))["url"]
                place = urlsplit(url)
                if Client(place.port or 0, {}).get(f"{place.path}api").status == 200:
                    return url
            except (ValueError, KeyError, OSError):
                continue  # it is still being written, or does not listen yet
        time.sleep(0.05)
    said = (home / "server.log").read_text("utf-8")[-2000:]
    raise RuntimeError(f"the server did not start: {said}")
