"""Collecting with requests: five threads, or one parcel after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from tests.benchmarks.by_hand import Rows, Sink, read_parcel
from tests.benchmarks.jobs import ATTEMPTS, Finish, Job, backoff

_THREADS = 5


def requests_threads(job: Job, folder: Path) -> Finish:
    """Collect in five threads, a session each."""
    local = threading.local()

    def fetch(asked: tuple[str, str]) -> Rows:
        if not hasattr(local, "session"):
            local.session = _session(job)
        return _fetch(local.session, *asked)

    def collect() -> None:
        with ThreadPoolExecutor(_THREADS) as threads, Sink(folder / "store.duckdb") as sink:
            for rows in threads.map(fetch, _addresses(job)):
                sink.add(rows)

    return collect


def requests_one_by_one(job: Job, folder: Path) -> Finish:
    """Collect one parcel after the other."""

    def collect() -> None:
        with _session(job) as session, Sink(folder / "store.duckdb") as sink:
            for url, apn in _addresses(job):
                sink.add(_fetch(session, url, apn))

    return collect


def _addresses(job: Job) -> Iterable[tuple[str, str]]:
    return ((f"{host.base_url}/parcel/{apn}", apn) for host in job.hosts for apn in host.keys)


def _session(job: Job) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.headers["AUTHORIZATION"] = job.token
    return session


def _fetch(session: requests.Session, url: str, apn: str) -> Rows:
    attempt = 0
    while attempt < ATTEMPTS:
        attempt += 1
        pause = backoff(attempt)
        try:
            answer = session.get(url, timeout=30)
            if answer.status_code == 200:
                return read_parcel(apn, answer.content)
            if "Retry-After" in answer.headers:
                pause = float(answer.headers["Retry-After"])
                attempt -= 1  # waiting as long as the host asks is no failed attempt
        except (requests.RequestException, ValueError):
            pass
        time.sleep(pause)
    return {}
