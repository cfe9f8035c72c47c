"""Telling of the end of a batch: a real SMTP server and a real HTTP server hear of it."""

from __future__ import annotations

import logging
import queue
from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from propkit.errors import SettingsError
from propkit.notices import Notice
from propkit.sources import configure_sources
from propkit.store import Store
from tests.collecting import quick_settings
from tests.listening import Hook, Listener, Mail, listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from propkit.demo_county.county import County

SECONDS = 60.0


@pytest.fixture
def mail_server() -> Iterator[Listener]:
    with listening(Mail) as server:
        yield server


@pytest.fixture
def hook_server() -> Iterator[Listener]:
    with listening(Hook) as server:
        yield server


def _kit(county: County, path: Path, **notify: Any) -> pk.Kit:
    settings = quick_settings(county)
    given = pk.Settings.load(sources={}, notify=notify).notify
    settings = settings.model_copy(update={"notify": given})
    return pk.Kit(Store.open(path), settings, configure_sources(settings))


def test_an_end_is_told_by_mail_and_webhook_and_to_her_own_function(
    county: County, tmp_path: Path, mail_server: Listener, hook_server: Listener
) -> None:
    own: queue.Queue[Notice] = queue.Queue()
    kit = _kit(
        county,
        tmp_path / "told.duckdb",
        after_seconds=0,
        mail_to=["ada@example.org", "grace@example.org"],
        mail_from="propkit@example.org",
        smtp_host="127.0.0.1",
        smtp_port=mail_server.port,
        webhook=f"http://127.0.0.1:{hook_server.port}/told?by=propkit",
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
            "event": "ended",
            "state": "completed",
            "ended": 6,
            "total": 6,
            "failed": 0,
            "seconds": notice.seconds,
            "error": None,
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
    assert f"telling of batch {report.batch_id} failed" in caplog.text


def test_a_notebooks_own_batch_that_failed_is_told_of_however_short_it_was(
    county: County, tmp_path: Path, hook_server: Listener
) -> None:
    own: queue.Queue[Notice] = queue.Queue()
    url = f"http://127.0.0.1:{hook_server.port}/"
    county.switch(faults=[{"system": "assessor", "kind": "captcha"}])
    with _kit(county, tmp_path / "failed.duckdb", webhook=url) as kit:
        kit.notify(own.put)
        report = kit.collect(county.apns(9), datasets=["parcels"], progress=False)
        notice = own.get(timeout=SECONDS)
        _, _, body = hook_server.heard.get(timeout=SECONDS)

    assert (notice.batch_id, notice.event, notice.error) == (
        report.batch_id,
        "failed",
        report.error,
    )
    assert {name: body[name] for name in ("batch_id", "event", "state", "error")} == {
        "batch_id": report.batch_id,
        "event": "failed",
        "state": "paused",
        "error": report.error,
    }
    assert (own.qsize(), hook_server.heard.qsize()) == (0, 0)


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
    county: County, tmp_path: Path, hook_server: Listener, again: str
) -> None:
    own: queue.Queue[Notice] = queue.Queue()
    url = f"http://127.0.0.1:{hook_server.port}/"
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
