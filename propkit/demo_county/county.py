"""A running demo county to collect from: start it, ask it for its ledger and its truth, stop it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

from propkit.demo_county.classifieds_switches import ACCOUNTS
from propkit.demo_county.datasets import DATASET_ID, DATASET_SOURCE
from propkit.demo_county.faults import CLASSIFIEDS, DATASETS, LEADS, MAPS, SYSTEMS
from propkit.demo_county.map_rows import LAYERS

READY_SECONDS = 30.0

# Loopback never goes through a proxy.
opener = build_opener(ProxyHandler({}))


def start_county(
    *,
    parcels: int = 2000,
    seed: int = 7,
    port: int = 0,
    limits: Mapping[str, object] | None = None,
    latency: bool | float = False,
    faults: Sequence[Mapping[str, object]] | None = None,
    switches: Mapping[str, object] | None = None,
) -> County:
    """Start a demo county in a process of its own and return it when it answers.

    `limits` None keeps the polite ones of a plain county (assessor 5/s, treasurer 1.5/s, recorder
    2/s); `{"assessor": None}` lifts one. The process ends with this one. Raises ValueError when
    the county refuses its input and OSError when it can not be started.
    """
    wanted: dict[str, object] = {"latency": latency, **(switches or {})}
    if limits is not None:
        wanted["limits"] = limits
    if faults is not None:
        wanted["faults"] = list(faults)
    command = [
        sys.executable, "-m", "propkit.demo_county", "--end-with-stdin", "--port", str(port),
        "--parcels", str(parcels), "--seed", str(seed), "--switches", json.dumps(wanted),
    ]  # fmt: skip
    errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
    process = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env=_environment(),
        # The stop button of a notebook interrupts the kernel's whole group of processes; the
        # county goes on, and ends with its input.
        start_new_session=True,
    )
    line = _first_line(process)
    try:
        ready = json.loads(line)
        return County(process, ready["url"], errors)
    except (ValueError, KeyError, TypeError):
        _end(process)
        errors.seek(0)
        said = errors.read().strip().removeprefix("propkit county: ") or "it said nothing"
        errors.close()
        if process.returncode == 2 and not said.startswith("cannot"):
            raise ValueError(f"the demo county refused its input: {said}") from None
        raise OSError(f"the demo county did not start: {said}") from None


class County:
    """A demo county in another process; as a context manager it ends with the block."""

    def __init__(self, process: subprocess.Popen[str], url: str, errors: IO[str]) -> None:
        self.url = url
        self._process = process
        self._errors = errors

    @property
    def token(self) -> str | None:
        """Return the assessor's token that is valid now."""
        token: str | None = self.switches()["token"]
        return token

    def base_url(self, system: str) -> str:
        """Return the address of one system: "assessor", "treasurer" or "recorder"."""
        if system not in SYSTEMS:
            raise ValueError(f"the demo county has {', '.join(SYSTEMS)}, not {system!r}")
        return f"{self.url}/{system}"

    def settings(self) -> dict[str, dict[str, str]]:
        """Return what each source needs to be pointed here, by the source's name."""
        found = {f"maricopa_{name}": {"base_url": self.base_url(name)} for name in SYSTEMS}
        found["maricopa_treasurer_details"] = {"base_url": self.base_url("treasurer")}
        found["maricopa_treasurer_activities"] = {"base_url": self.base_url("treasurer")}
        token = self.token
        if token is not None:
            found["maricopa_assessor"]["token"] = token
        return found

    def leads_settings(self) -> dict[str, dict[str, str]]:
        """Return what the leads source needs to be pointed here, by the source's name."""
        given = {"base_url": f"{self.url}/{LEADS}/v1"}
        token: str | None = self.switches()["leads"]["token"]
        return {LEADS: given if token is None else {**given, "token": token}}

    def layers_settings(self) -> dict[str, dict[str, str]]:
        """Return what each map layer that is served here needs, by the source's name."""
        found = {
            f"{name}_parcels": {"base_url": f"{self.url}/{MAPS}/{name}/MapServer/0"}
            for name in LAYERS
        }
        found[DATASET_SOURCE] = {"base_url": f"{self.url}/{DATASETS}/resource/{DATASET_ID}"}
        return found

    def account(self) -> dict[str, Any]:
        """Return the leads account: `free_remaining`, `records`, `cost` and every charge."""
        found: dict[str, Any] = self._call("GET", "account", {})
        return found

    def clear_account(self) -> None:
        """Begin the leads account's month anew."""
        self._call("DELETE", "account", {})

    def poster_settings(self) -> dict[str, dict[str, str]]:
        """Return what the poster needs to be pointed here, by the poster's name."""
        email, password = next(iter(ACCOUNTS.items()))
        url = f"{self.url}/{CLASSIFIEDS}"
        return {"kijiji": {"base_url": url, "account": email, "password": password}}

    def postings(self) -> list[dict[str, Any]]:
        """Return every listing posted to the classifieds site, the deleted ones too."""
        found: list[dict[str, Any]] = self._call("GET", "postings", {})
        return found

    def clear_postings(self, *, log_out: bool = False) -> None:
        """Begin the classifieds site anew; with `log_out` nobody is logged in any more."""
        self._call("DELETE", "postings", {"log_out": 1 if log_out else None})

    def apns(
        self, count: int | None = None, *, skip: int = 0, seed: int | None = None
    ) -> list[str]:
        """Return APNs in the county's order, or a random sample when a seed is given."""
        query = {"count": count, "skip": skip, "sample": seed}
        found: list[str] = self._call("GET", "apns", query)
        return found

    def ledger(self, system: str | None = None, *, since: int = 0) -> list[dict[str, Any]]:
        """Return every request since the start or the last clearing, oldest first."""
        query = {"system": system, "since": since}
        found: list[dict[str, Any]] = self._call("GET", "ledger", query)
        return found

    def clear_ledger(self) -> None:
        """Forget the requests so far."""
        self._call("DELETE", "ledger", {})

    def truth(
        self, apns: Iterable[str], *, details: bool = False
    ) -> dict[str, list[dict[str, Any]]]:
        """Return what propkit should hold of these parcels, by table.

        With `details` it is what further pages say, which are not asked for by themselves.
        """
        tables: dict[str, list[dict[str, Any]]] = {}
        wanted = [str(apn) for apn in apns]
        # Short addresses: a server may refuse one of more than 8 kB.
        for start in range(0, max(len(wanted), 1), 500):
            part = self._call(
                "GET",
                "truth",
                {
                    "apns": ",".join(wanted[start : start + 500]),
                    "details": str(details).lower(),
                },
            )
            for name, rows in part.items():
                tables.setdefault(name, []).extend(rows)
        return tables

    def switch(self, **changes: object) -> dict[str, Any]:
        """Change switches and return all of them; raise ValueError for what cannot be."""
        found: dict[str, Any] = self._call("PUT", "switches", {}, changes)
        return found

    def switches(self) -> dict[str, Any]:
        """Return the switches in force."""
        found: dict[str, Any] = self._call("GET", "switches", {})
        return found

    def health(self) -> dict[str, Any]:
        """Return the county's size, its counts and the violations of its limits."""
        found: dict[str, Any] = self._call("GET", "health", {})
        return found

    def stop(self) -> None:
        """End the county's process; a second call does nothing."""
        _end(self._process)
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _call(
        self, method: str, name: str, query: Mapping[str, object], body: object = None
    ) -> Any:
        kept = {key: value for key, value in query.items() if value is not None}
        url = f"{self.url}/_county/{name}?{urlencode(kept)}"
        data = None if body is None else json.dumps(body).encode()
        try:
            with opener.open(Request(url, data=data, method=method), timeout=60) as answer:  # noqa: S310
                return json.load(answer)
        except HTTPError as error:
            with error:
                raise ValueError(json.load(error)["error"]) from None


def _environment() -> dict[str, str]:
    # The child must find this very propkit, whatever folder it starts in.
    root = str(Path(__file__).resolve().parents[2])
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root}


def _first_line(process: subprocess.Popen[str]) -> str:
    alarm = threading.Timer(READY_SECONDS, process.kill)
    alarm.start()
    try:
        return process.stdout.readline() if process.stdout else ""
    finally:
        alarm.cancel()


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin:
        with contextlib.suppress(OSError):
            process.stdin.close()
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
