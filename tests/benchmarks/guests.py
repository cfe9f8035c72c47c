"""Guests of one store: what they write and read through its owner, each a process of its own.

The owner collects, and a guest looks how soon it sees that.

A write is a batch of 400 items: ``kit.start(plan)`` returns once the owner has committed them. It
is the least that a guest can have written, for a guest has its owner collect and nothing else. The
owner asks its source at a county's pace, so that writes and hardly any collecting are timed. At the
end the owner is killed: one of the guests takes its place, and every row must be in the file.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from propkit.store import Store
from tests.benchmarks.jobs import Job
from tests.guests.notebooks import Notebook, notebook, started

GUESTS = 6
PARCELS = 50_000
"""Parcels of the frame."""
_WRITES = 20
_WRITES_OF_EACH = 5
_FRAMES = 5
_PACE = 5.0
_HEAD_START_SECONDS = 0.5
_COLLECTED = 20
"""Parcels that the owner collects while a guest looks for them, at five a second."""

_PLAN = """
plan = kit.plan({apns!r}, datasets=["parcels"], max_age=0)
assert {{item.state.value for item in plan.items}} == {{"waiting"}}
batch = kit.start(plan)
batch.cancel()
[len(plan.items), batch.id]
"""
_WRITE = """
while time.time() < {start_at!r}:
    time.sleep(0.001)
took, batches = [], []
for _ in range({writes}):
    began = time.perf_counter()
    batch = kit.start(plan)
    took.append(time.perf_counter() - began)
    batches.append(batch)
    {then}
[took, [batch.id for batch in batches]]
"""
_FRAME = """
began = time.perf_counter()
frame = kit.frame("parcels")
[time.perf_counter() - began, *frame.shape]
"""
_COLLECT = """
batch = kit.start({apns!r}, datasets=["parcels"], max_age=0)
batch.id
"""
_DELAYS = """
delays, give_up_at = {{}}, time.time() + 60
while len(delays) < {count} and time.time() < give_up_at:
    new = kit.sql("SELECT apn, epoch(collected_at) AS at FROM parcels WHERE collected_at > $1", [{since!r}])
    for apn, at in new.itertuples(index=False):
        delays.setdefault(apn, time.time() - at)
    time.sleep(0.02)
sorted(delays.values())
"""


def guests_at_once(job: Job, folder: Path) -> Callable[[], dict[str, Any]]:
    """Measure one guest's writes, its frame beside the owner's, and six guests' writes."""
    path = folder / "store-0.duckdb"
    make_parcels(path, PARCELS)
    host = job.hosts[0]
    source = {"base_url": host.base_url, "token": job.token, "requests_per_second": _PACE}
    settings = {"sources": {"maricopa_assessor": source}}
    size = len(host.keys) // GUESTS
    shares = [host.keys[number * size : (number + 1) * size] for number in range(GUESTS)]

    def measure() -> dict[str, Any]:
        with notebook(path, settings) as owner, notebook(path, settings) as first:
            figures = _measure_frames(owner, first)
            figures |= _measure_delays(owner, first, host.keys[:_COLLECTED])
            written = _plan([first], shares[:1])
            alone, made = _write([first], _WRITES, "batch.cancel()")
            written += made
            with started(path, settings, GUESTS - 1) as others:
                for other in others:
                    assert "guest" in other.receive()
                written += _plan(others, shares[1:])
                together, made = _write([first, *others], _WRITES_OF_EACH)
                written += made
                figures |= _measure_takeover(owner, [first, *others])
        with duckdb.connect(str(path)) as connection:
            counts = connection.execute(
                "SELECT batch_id, count(*), count(DISTINCT key) FROM items GROUP BY ALL"
            ).fetchall()
        lost, doubled = count_lost(written, counts, size)
        assert (lost, doubled) == (0, 0), f"{lost} rows lost, {doubled} doubled"
        return {
            **figures,
            "write_rows": size,
            "writes": len(alone),
            "write_ms": 1000 * statistics.median(alone),
            "write_p95_ms": 1000 * p95(alone),
            "six_writes": len(together),
            "six_ms": 1000 * statistics.median(together),
            "six_p95_ms": 1000 * p95(together),
        }

    return measure


def make_parcels(path: Path, count: int) -> None:
    """Make a store with so many parcels, written straight into it."""
    Store.open(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "INSERT INTO parcels BY NAME SELECT format('{:08d}', n + 10000000) AS apn,"
            " 'maricopa' AS county, 'RESIDENTIAL' AS property_type,"
            " format('{} W {}TH ST', n, n % 100) AS situs_address, 'MESA' AS situs_city,"
            " format('85{:03d}', n % 500) AS situs_zip, format('OWNER {} AND {}', n, n + 1)"
            " AS owner_name, format('CARE OF {}', n % 700) AS in_care_of,"
            " format('{} E {}ND AVE', n, n % 90) AS mailing_address, 'PHOENIX' AS mailing_city,"
            " 'AZ' AS mailing_state, format('85{:03d}', n % 400) AS mailing_zip,"
            " format('LOT {} OF SUBDIVISION {} AS RECORDED IN MCR {}', n % 300, n // 300, n)"
            " AS legal_description, format('SUBDIVISION {}', n // 300) AS subdivision,"
            " (n % 300)::VARCHAR AS lot_number, n::VARCHAR AS mcr,"
            " format('{} 1N {}E', n % 36, n % 8) AS section_township_range,"
            " 4000 + n % 9000 AS lot_size_sqft, 'MESA' AS jurisdiction,"
            " 'MESA UNIFIED' AS elementary_school_district, 'MESA UNIFIED' AS high_school_district,"
            " format('{:06d}', n % 900) AS tax_area_code, '0131' AS use_code,"
            " 'SFR GRADE 010-3 URBAN SUBDIV' AS use_description, n % 5 = 0 AS is_rental,"
            " 33 + n / 100000 AS latitude, -112 - n / 100000 AS longitude,"
            " format('2020{:07d}', n) AS deed_number, DATE '2020-01-01' + (n % 900)::INTEGER"
            " AS deed_date, 'WARRANTY DEED' AS deed_type, 'maricopa_assessor' AS source,"
            " TIMESTAMPTZ '2026-01-01 00:00:00+00' AS collected_at FROM range(?) AS numbers(n)",
            [count],
        )


def p95(values: Sequence[float]) -> float:
    """Return the value that 95 in 100 do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def count_lost(
    batches: Iterable[str], counts: Iterable[Sequence[Any]], size: int
) -> tuple[int, int]:
    """Return how many items of these batches are not stored, and how many stand twice.

    ``counts`` are each batch's id, its rows and its different keys, as stored.
    """
    stored = {batch_id: (rows, keys) for batch_id, rows, keys in counts}
    found = [stored.get(batch_id, (0, 0)) for batch_id in batches]
    return sum(size - keys for _, keys in found), sum(rows - keys for rows, keys in found)


def _measure_frames(owner: Notebook, guest: Notebook) -> dict[str, Any]:
    took: dict[str, list[float]] = {"owner": [], "guest": []}
    for _ in range(1 + _FRAMES):
        for name, one in (("owner", owner), ("guest", guest)):
            seconds, rows, columns = one.run(_FRAME)
            assert rows == PARCELS
            took[name].append(seconds)
    # The first frame loads what the others find loaded.
    medians = {name: statistics.median(times[1:]) for name, times in took.items()}
    return {
        "frames": _FRAMES,
        "columns": columns,
        "owner_frame_ms": 1000 * medians["owner"],
        "guest_frame_ms": 1000 * medians["guest"],
        "frame_ratio": medians["guest"] / medians["owner"],
    }


def _measure_delays(owner: Notebook, guest: Notebook, apns: Sequence[str]) -> dict[str, Any]:
    since = datetime.now(UTC).isoformat()
    owner.run(_COLLECT.format(apns=list(apns)))
    delays = guest.run(_DELAYS.format(count=len(apns), since=since))
    assert len(delays) == len(apns), f"{len(delays)} of {len(apns)} parcels came"
    assert owner.run("batch.wait().state") == "completed"
    return {
        "delays": len(delays),
        "delay_ms": 1000 * statistics.median(delays),
        "delay_p95_ms": 1000 * p95(delays),
        "delay_most_ms": 1000 * max(delays),
    }


def _measure_takeover(owner: Notebook, guests: Sequence[Notebook]) -> dict[str, Any]:
    """Kill the owner: what was written must be in the file, and every guest is answered again."""
    owner.kill()
    began = time.perf_counter()
    for guest in guests:
        guest.send("repr(kit)")
    said = [guest.receive() for guest in guests]
    seconds = time.perf_counter() - began
    assert sum("owner: this process" in one for one in said) == 1, said
    return {"takeovers": 1, "takeover_ms": 1000 * seconds}


def _plan(guests: Sequence[Notebook], shares: Sequence[Sequence[str]]) -> list[str]:
    """Have each guest make its plan, and write it once, which is not measured."""
    ids = []
    for guest, apns in zip(guests, shares, strict=True):
        items, batch_id = guest.run(_PLAN.format(apns=apns))
        assert items == len(apns)
        ids.append(batch_id)
    return ids


def _write(
    guests: Sequence[Notebook], writes: int, then: str = "pass"
) -> tuple[list[float], list[str]]:
    """Let guests write at once, so often each; return all seconds, and the batches' ids."""
    code = _WRITE.format(start_at=time.time() + _HEAD_START_SECONDS, writes=writes, then=then)
    for guest in guests:
        guest.send(code)
    said = [guest.receive() for guest in guests]
    return [one for took, _ in said for one in took], [one for _, ids in said for one in ids]
