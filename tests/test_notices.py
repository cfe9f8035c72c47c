"""Telling of the end of a batch: a real SMTP server and a real HTTP server hear of it."""

from __future__ import annotations

import json
import logging
import queue
import socketserver
import threading
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from propkit.errors import SettingsError
from propkit.notices import Notice
from propkit.sources import configure_sources
from propkit.store import Store
from tests.collecting import quick_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from propkit.demo_county.county import County

SECONDS = 60.0


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.heard: queue.Queue[Any] = queue.Queue()


class _Mail(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a client needs."""

    server: _Server

    def handle(self) -> None:
        self._say("220 test")
        asked: list[str] = []
        while line := self.rfile.readline().decode().strip():
            verb = line.split(":")[0].upper()
            if verb == "DATA":
                self._say("354 go on")
                body = b""
                while (more := self.rfile.readline()) != b".\r\n":
                    body += more
                self.server.heard.put((asked, message_from_bytes(body)))
            elif verb in ("MAIL FROM", "RCPT TO"):
                asked.append(line)
            self._say("221 bye" if verb == "QUIT" else "250 well")
            if verb == "QUIT":
                return

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class _Hook(BaseHTTPRequestHandler):
    server: _Server  # type: ignore[assignment]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.put((self.path, self.headers["Content-Type"], json.loads(body)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _serve(handler: type[socketserver.BaseRequestHandler]) -> Iterator[_Server]:
    with _Server(handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def mail_server() -> Iterator[_Server]:
    yield from _serve(_Mail)


@pytest.fixture
def hook_server() -> Iterator[_Server]:
    yield from _serve(_Hook)


def _kit(county: County, path: Path, **notify: Any) -> pk.Kit:
    settings = quick_settings(county)
    given = pk.Settings.load(sources={}, notify=notify).notify
    settings = settings.model_copy(update={"notify": given})
    return pk.Kit(Store.open(path), settings, configure_sources(settings))


def test_an_end_is_told_by_mail_and_webhook_and_to_her_own_function(
    county: County, tmp_path: Path, mail_server: _Server, hook_server: _Server
) -> None:
    own: queue.Queue[Notice] = queue.Queue()
    kit = _kit(
        county,
        tmp_path / "told.duckdb",
        after_seconds=0,
        mail_to=["ada@example.org", "grace@example.org"],
        mail_from="propkit@example.org",
        smtp_host="127.0.0.1",
        smtp_port=mail_server.server_address[1],
        webhook=f"http://127.0.0.1:{hook_server.server_address[1]}/told?by=propkit",
    )
    with kit:
        kit.notify(own.put)
        batch = kit.start(county.apns(2))
        batch.wait(SECONDS)
        notice = own.get(timeout=SECONDS)
        asked, message = mail_server.heard.get(timeout=SECONDS)
        posted = hook_server.heard.get(timeout=SECONDS)

    title = "propkit: batch completed, 6 of 6 items"
    assert (notice.batch_id, notice.title) == (batch.id, title)
    assert [line.partition(":")[2].partition(" ")[0] for line in asked] == [
        "<propkit@example.org>",
        "<ada@example.org>",
        "<grace@example.org>",
    ]
    assert (message["Subject"], message["To"]) == (title, "ada@example.org, grace@example.org")
    assert f"Batch {batch.id} is completed" in message.get_payload()
    assert posted == (
        "/told?by=propkit",
        "application/json",
        {
            "text": title,
            "batch_id": batch.id,
            "state": "completed",
            "ended": 6,
            "total": 6,
            "failed": 0,
            "seconds": notice.seconds,
        },
    )


def test_a_quick_batch_is_not_told_of(county: County, tmp_path: Path) -> None:
    told: list[Notice] = []
    with _kit(county, tmp_path / "quick.duckdb") as kit:
        kit.notify(told.append)
        kit.collect(county.apns(1), progress=False)

    assert told == []


def test_what_fails_at_telling_is_logged_and_harms_nothing(
    county: County, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: queue.Queue[Notice] = queue.Queue()

    def fail(notice: Notice) -> None:
        raise RuntimeError("no line")

    with (
        caplog.at_level(logging.WARNING, "propkit"),
        _kit(county, tmp_path / "harm.duckdb", after_seconds=0) as kit,
    ):
        kit.notify(fail)
        kit.notify(told.put)
        report = kit.collect(county.apns(1), progress=False)
        told.get(timeout=SECONDS)

    assert report.is_complete
    assert f"telling of the end of batch {report.batch_id} failed" in caplog.text


@pytest.mark.parametrize(
    ("notify", "message"),
    [
        (
            {"smtp_host": "mail.example.org", "smtp_password": "not-said"},
            "smtp_password would be sent in the open",
        ),
        ({"webhook": "file:///etc/passwd"}, "notify.webhook"),
        ({"smtp_port": 0}, "notify.smtp_port 0"),
    ],
)
def test_wrong_settings_are_refused(notify: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as refused:
        pk.Settings.load(notify=notify)

    assert "not-said" not in str(refused.value)


@pytest.mark.parametrize("again", ["resume", "retry"])
def test_the_end_of_a_batch_that_was_gone_on_with_is_told(
    county: County, tmp_path: Path, hook_server: _Server, again: str
) -> None:
    own: queue.Queue[Notice] = queue.Queue()
    url = f"http://127.0.0.1:{hook_server.server_address[1]}/"
    with _kit(county, tmp_path / "again.duckdb", after_seconds=0, webhook=url) as kit:
        if again == "retry":
            rule = {"system": "treasurer", "kind": "status", "status": 404}
            county.switch(faults=[rule])
        batch = kit.start(county.apns(2), batch_size=2 if again == "retry" else 1)
        batch.wait(SECONDS)
        first = hook_server.heard.get(timeout=SECONDS)
        county.switch(faults=[])

        kit.notify(own.put)
        getattr(batch, again)()
        batch.wait(SECONDS)
        notice = own.get(timeout=SECONDS)
        second = hook_server.heard.get(timeout=SECONDS)

    assert first[2]["batch_id"] == second[2]["batch_id"] == notice.batch_id == batch.id
    assert (notice.state, notice.failed, second[2]["state"]) == ("completed", 0, "completed")
