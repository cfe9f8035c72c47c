"""Collecting from a county's file: downloaded once, politely, and taken from part by part."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from propkit import http_line
from propkit.areas.importing import import_counties
from propkit.errors import InvalidAnswerError, RequestError, SourceBlockedError
from propkit.sources import configure_sources
from propkit.store import Store
from tests.areas.conftest import QUICK
from tests.layers.test_files import packed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COUNT = 2300


def county_file(count: int = COUNT) -> bytes:
    """Return parcels along a road that runs east, one in a thousandth of a degree."""
    features = [
        {
            "type": "Feature",
            "properties": {"PIN": f"{n:09d}", "OWNER": f"OCOTILLO {n}", "NOTE": "x"},
            "geometry": {"type": "Point", "coordinates": [-112 + n / 1000, 33.0]},
        }
        for n in range(count)
    ]
    return packed(**{"p.geojson": json.dumps({"features": features}).encode()})


class Site:
    """A county's site: files by path, and what was asked for."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {"/data/parcels.zip": county_file()}
        self.moved: dict[str, str] = {}
        self.asked: list[str] = []
        self.agents: set[str | None] = set()
        self.url = ""

    @property
    def downloads(self) -> int:
        return sum(path.startswith("/data/") for path in self.asked)


@pytest.fixture
def site(_loopback_only: None) -> Iterator[Site]:
    held = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            held.asked.append(self.path)
            held.agents.add(self.headers["User-Agent"])
            body, elsewhere = held.bodies.get(self.path), held.moved.get(self.path)
            self.send_response(302 if elsewhere else 404 if body is None else 200)
            if elsewhere:
                self.send_header("Location", elsewhere)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    held.url = f"http://127.0.0.1:{server.server_port}"
    yield held
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def file_kit(site: Site, path: Path, **more: Any) -> Iterator[pk.Kit]:
    settings = pk.Settings.load(
        sources={
            "pima_file": {
                "kind": "file",
                "url": f"{site.url}/data/parcels.zip",
                "county": "pima_az",
                "fields": {"apn": "PIN", "owner_name": "owner"},
                "file": {"format": "geojson"},
                "licence": "as is",
                "requests_per_second": 5000,
            }
        },
        collect={**QUICK, "retry_attempts": 2},
        **more,
    )
    with pk.Kit(Store.open(path), settings, configure_sources(settings)) as kit:
        yield kit


def owners(kit: pk.Kit) -> dict[str, str]:
    rows = kit.store.rows("SELECT apn, owner_name FROM parcels WHERE county = 'pima_az'")
    return {str(row["apn"]): str(row["owner_name"]) for row in rows}


def expected(numbers: range) -> dict[str, str]:
    return {f"{n:09d}": f"OCOTILLO {n}" for n in numbers}


def test_a_file_is_downloaded_once_and_collected_whole(site: Site, tmp_path: Path) -> None:
    with file_kit(site, tmp_path / "f.duckdb") as kit:
        plan = kit.plan_area(source="pima_file")
        report = kit.collect_area(source="pima_file", progress=False)

        assert (plan.parcels, plan.requests, plan.licence) == (COUNT, 3, "as is")
        assert report.totals == {"done": 3}
        assert owners(kit) == expected(range(COUNT))
        places = kit.store.rows("SELECT min(longitude) AS w, max(longitude) AS e FROM parcels")
        assert places == [{"w": -112.0, "e": pytest.approx(-112 + (COUNT - 1) / 1000)}]
        assert kit.store.rows("SELECT count(*) AS n FROM parcel_shapes") == [{"n": COUNT}]
        assert kit.frame("layers")["licence"].tolist() == ["as is"]
        assert kit.reparse("pima_file").empty
    assert site.asked == ["/robots.txt", "/data/parcels.zip"]


def test_a_box_and_apns_pick_from_the_file(site: Site, tmp_path: Path) -> None:
    with file_kit(site, tmp_path / "f.duckdb") as kit:
        box = kit.plan_area(bbox=(-111.2505, 32, -110.9995, 34), source="pima_file")
        kit.collect_area(bbox=(-111.2505, 32, -110.9995, 34), source="pima_file", progress=False)
        in_box = owners(kit)
        report = kit.collect(["000002001", "000000007", "none"], source="pima_file", progress=False)

        assert (box.parcels, box.requests) == (251, 2)
        assert in_box == expected(range(750, 1001))
        assert report.is_complete
        assert owners(kit) == in_box | expected(range(7, 8)) | expected(range(2001, 2002))
        for given, said in (({"where": "A = 1"}, "knows no where"),
                            ({"polygon": [(-113, 32), (-110, 32), (-110, 34)]}, "not by a polygon")):  # fmt: skip
            with pytest.raises(RequestError, match=said):
                kit.plan_area(source="pima_file", **given)
    assert site.downloads == 1


def test_what_is_left_of_another_file_is_not_mixed_in(site: Site, tmp_path: Path) -> None:
    """A run that goes on where another left off takes the same rows, or says that it cannot."""
    with file_kit(site, tmp_path / "f.duckdb") as kit:
        plan = kit.plan_area(source="pima_file")
        site.bodies["/data/parcels.zip"] = county_file(1500)
    with file_kit(site, tmp_path / "g.duckdb") as kit:
        other = kit.plan_area(source="pima_file")
        assert (plan.parcels, other.parcels) == (COUNT, 1500)
        source = kit.sources["pima_file"].source
        site.bodies["/data/parcels.zip"] = county_file()
        source._held = None  # type: ignore[attr-defined]  # as in a process that starts anew
        report = other.start().wait()

    assert report.totals == {"failed": 2}
    assert {one.failure_class for one in report.failures} == {"invalid_answer"}
    assert all("has changed since it was counted" in one.error for one in report.failures)


def test_what_is_too_large_or_a_page_is_refused(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with file_kit(site, tmp_path / "f.duckdb") as kit:
        monkeypatch.setattr(http_line, "MAX_BODY_BYTES", 1000)
        with pytest.raises(InvalidAnswerError, match="the answer is too large"):
            kit.plan_area(source="pima_file")
        monkeypatch.undo()
        site.bodies["/data/parcels.zip"] = b"<!DOCTYPE html><html><title>Moved</title></html>"
        with pytest.raises(InvalidAnswerError, match="expected a file, got a page"):
            kit.plan_area(source="pima_file")
        site.bodies["/robots.txt"] = b"User-agent: *\nDisallow: /data/\n"
    with file_kit(site, tmp_path / "g.duckdb") as kit, pytest.raises(SourceBlockedError):
        kit.plan_area(source="pima_file")


def test_a_county_of_the_catalogue_is_collected_from_its_file(site: Site, tmp_path: Path) -> None:
    """Catalogue and file are each sent for elsewhere, as GitHub and open data portals do."""
    elsewhere = site.url.replace("127.0.0.1", "localhost")
    site.moved = {
        "/archive/master.zip": f"{elsewhere}/packed",
        "/moved/parcels.zip": f"{elsewhere}/data/parcels.zip",
    }
    told = {
        "coverage": {"country": "us", "state": "az", "county": "Pima"},
        "schema": 2,
        "layers": {
            "parcels": [
                {
                    "data": f"{site.url}/moved/parcels.zip",
                    "protocol": "http",
                    "compression": "zip",
                    "license": "CC0",
                    "conform": {"format": "geojson", "pid": "PIN"},
                }
            ]
        },
    }
    site.bodies["/packed"] = packed(**{"oa/sources/us/az/pima.json": json.dumps(told).encode()})
    place = tmp_path / "counties.json"
    settings = pk.Settings.load(counties=place, contact="me@example.org")
    found = import_counties(f"{site.url}/archive/master.zip", settings)
    assert (found.ready, found.unsupported) == (1, 0)

    with file_kit(site, tmp_path / "f.duckdb", counties=place, contact="me@example.org") as kit:
        (row,) = kit.counties("az").query("source == 'us_az_pima'").to_dict("records")
        report = kit.collect_area(source="us_az_pima", progress=False)

        assert (row["status"], row["protocol"], row["licence"]) == ("ready", "http", "CC0")
        assert report.totals == {"done": 3}
        assert set(owners(kit)) == set(expected(range(COUNT)))
    robots = ["/robots.txt"]  # of each site that the file is asked for at
    file = [*robots, "/moved/parcels.zip", *robots, "/data/parcels.zip"]
    assert site.asked == ["/archive/master.zip", "/packed", *file]
    assert site.agents == {f"propkit/{pk.__version__} (+me@example.org)"}
