"""What a person hears of a run besides its report: the command line, a webhook, an e-mail."""

from __future__ import annotations

import json
import queue
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from propkit import cli
from propkit.posting.report import PostingNotice
from propkit.settings import Settings
from tests.posting.sheets import make_trucks, statuses
from tests.posting.site import FakeSite, SitePoster

if TYPE_CHECKING:
    from collections.abc import Iterator

POSTER = """
from propkit.errors import PostingRefusedError


def post(row, sending):
    if row["title"] == "Truck T002":
        raise PostingRefusedError("a duplicate")
    sending()
    return f"https://x/{row['truck_id']}"
"""


@pytest.fixture
def sheet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make a sheet and a poster in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROPKIT_POSTING__BACKOFF_INITIAL", "0")
    Path("mine.py").write_text(POSTER, "utf-8")
    make_trucks(3).to_excel("trucks.xlsx", index=False)
    return Path("trucks.xlsx")


def test_a_sheet_is_posted_from_the_command_line(
    sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dry = cli.main(["post", "trucks.xlsx", "--poster", "mine.py:post", "--dry-run"])
    said_dry = capsys.readouterr()
    code = cli.main(["post", "trucks.xlsx", "--poster", "mine.py:post"])
    said = capsys.readouterr()
    again = cli.main(["post", "trucks.xlsx", "--poster", "mine.py:post", "--mode", "all"])

    assert (dry, code, again) == (cli.FAILED, cli.FAILED, cli.FAILED)
    assert said_dry.out.splitlines()[-1] == (
        "[100.0%] trucks.xlsx/Sheet1: dry run, 2 ready, 1 failed, 0 skipped"
    )
    assert said.out.splitlines() == [
        "[33.3%] Processing record 1/3: T001",
        "[66.7%] Processing record 2/3: T002",
        "[99.9%] Processing record 3/3: T003",
        "[100.0%] trucks.xlsx/Sheet1: 2 posted, 1 failed, 0 skipped",
    ]
    assert said.err == "  T002: failed: a duplicate\n"
    assert re.fullmatch(r"Posted \d{4}-\d\d-\d\d", statuses(sheet)["T001"])
    assert Path("postings.duckdb").is_file()


def test_what_is_wrong_with_a_sheet_is_bad_input(
    sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.csv").write_text("name\nx\n", "utf-8")

    codes = [
        cli.main(["post", "bad.csv", "--poster", "mine.py:post"]),
        cli.main(["post", "trucks.xlsx", "--poster", "nobody"]),
        cli.main(["post", "trucks.xlsx", "--poster", "mine.py:post", "--mode", "some"]),
        cli.main(["post", "trucks.xlsx", "--poster", "mine.py:post", "--tab", "Gone"]),
    ]

    assert codes == [cli.BAD_INPUT] * 4
    assert "propkit: bad.csv: no column for row_key" in capsys.readouterr().err


def test_columns_are_mapped_by_settings(sheet: Path) -> None:
    Path("propkit.toml").write_text(
        '[posting]\nstore = "mine.duckdb"\n[posting.columns]\nrow_key = "title"\n', "utf-8"
    )

    report = pk.run_batch(sheet, poster="mine.py:post")

    assert [one.row_key for one in report.results] == ["Truck T001", "Truck T002", "Truck T003"]
    assert Path("mine.duckdb").is_file()


@pytest.fixture
def heard() -> Iterator[queue.Queue[tuple[str, Any]]]:
    """Return what a webhook hears, its address first."""
    messages: queue.Queue[tuple[str, Any]] = queue.Queue()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            messages.put(("body", json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        messages.put(("url", f"http://127.0.0.1:{server.server_address[1]}/"))
        yield messages
        server.shutdown()
        thread.join()


def test_the_end_of_a_run_is_told_of(tmp_path: Path, heard: queue.Queue[tuple[str, Any]]) -> None:
    _, url = heard.get()
    settings = Settings.load(notify={"webhook": url, "after_seconds": 0})
    poster = SitePoster(FakeSite(tmp_path / "site.jsonl"), faults={"T002": ["refused"]})

    report = pk.run_batch(
        make_trucks(3), poster=poster, store=tmp_path / "l.duckdb", settings=settings
    )

    _, body = heard.get(timeout=60)
    message = "frame: 2 posted, 1 failed, 0 skipped"
    assert body == {
        "text": f"propkit: {message}",
        "batch_id": report.run_id,
        "event": "ended",
        "state": "completed",
        "ended": 3,
        "total": 3,
        "failed": 1,
        "seconds": report.seconds,
        "error": None,
        "message": message,
    }


def test_a_notice_is_a_mail_too() -> None:
    notice = PostingNotice(
        batch_id="r",
        state="completed",
        ended=1,
        total=1,
        failed=0,
        seconds=61.4,
        message="all well",
    )

    assert notice.text == "all well\n\nThe run took 61 s.\n"
