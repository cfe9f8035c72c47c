"""What the doctor finds: versions, browser, folders, settings, sources; changed is nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import propkit as pk
from propkit import doctor
from propkit.doctor import Finding, examine
from propkit.errors import BrowserNotFoundError

if TYPE_CHECKING:
    from propkit.demo_county import County

TOKEN = "PROPKIT_SOURCES__MARICOPA_ASSESSOR__TOKEN"


@pytest.fixture(autouse=True)
def browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the real browser to its own tests: starting it takes a second each time."""
    monkeypatch.setattr(doctor, "find_browser", lambda: "/opt/browser")
    monkeypatch.setattr(doctor, "verify_browser", lambda browser: f"{browser} works")


def by_topic() -> dict[str, Finding]:
    findings = examine()
    assert len({finding.topic for finding in findings}) == len(findings)
    return {finding.topic: finding for finding in findings}


def test_all_is_well_with_a_token(monkeypatch: pytest.MonkeyPatch):
    """With everything installed and a token set nothing is wrong."""
    monkeypatch.setenv(TOKEN, "a-secret")

    findings = by_topic()

    assert [finding for finding in findings.values() if finding.is_wrong] == []
    assert findings["propkit"].text == pk.__version__
    assert findings["python"].text.startswith(platform.python_version())
    assert findings["browser"].text == "/opt/browser works"
    assert "a-secret" not in " ".join(map(str, findings.values()))


def test_every_source_is_named_with_its_address_and_pace(county: County, monkeypatch):
    """What is configured can be read: where each source is asked and how often."""
    url = county.base_url("treasurer")
    monkeypatch.setenv("PROPKIT_SOURCES__MARICOPA_TREASURER__BASE_URL", url)
    monkeypatch.setenv("PROPKIT_SOURCES__MARICOPA_TREASURER__REQUESTS_PER_SECOND", "7.5")

    findings = by_topic()

    assert findings["maricopa_treasurer"] == Finding("maricopa_treasurer", f"{url}, 7.5 requests/s")
    assert {name for name in findings if name.startswith("maricopa")} == {
        "maricopa_assessor",
        "maricopa_recorder",
        "maricopa_recorder_portal",
        "maricopa_treasurer",
        "maricopa_treasurer_activities",
        "maricopa_treasurer_browser",
        "maricopa_treasurer_details",
    }
    assert county.ledger() == []


def test_a_missing_token_is_wrong_and_says_how_to_set_it():
    """The assessor answers nobody without a token."""
    finding = by_topic()["maricopa_assessor"]

    assert finding.is_wrong
    assert f"no token: set {TOKEN}, or token under [sources.maricopa_assessor]" in finding.text
    assert str(finding).startswith("! maricopa_assessor ")


def test_a_paid_source_without_an_account_is_told_and_not_wrong():
    """Nobody need buy leads."""
    finding = by_topic()["propertyradar"]

    assert not finding.is_wrong
    assert "no token: set PROPKIT_SOURCES__PROPERTYRADAR__TOKEN" in finding.text


def test_wrong_settings_are_a_finding_and_no_failure(monkeypatch: pytest.MonkeyPatch):
    """The doctor tells of settings that nothing else could start with."""
    monkeypatch.setenv("PROPKIT_COLLECT__WORKERS", "many")

    wrong = [finding for finding in examine() if finding.is_wrong]

    assert len(wrong) == 1
    assert wrong[0].topic == "settings"
    assert "PROPKIT_COLLECT__WORKERS 'many'" in wrong[0].text


def test_the_settings_file_is_shown(home: Path):
    """Which file is read is told, the nearest first; without one, where it would be looked for."""
    nowhere = by_topic()["settings"].text
    path = home / "work" / "propkit.toml"
    path.write_text('[sources.maricopa_assessor]\ntoken = "a-secret"\n', "utf-8")

    findings = by_topic()

    assert nowhere.startswith("none; propkit.toml is looked for here and in ")
    assert findings["settings"].text == str(path)
    assert not findings["maricopa_assessor"].is_wrong


def test_a_missing_package_is_wrong(monkeypatch: pytest.MonkeyPatch):
    """What is not installed is named with the remedy."""
    monkeypatch.setattr(doctor, "PACKAGES", ("duckdb", "no-such-package"))

    finding = by_topic()["no-such-package"]

    assert str(finding) == "! no-such-package               is not installed: pip install propkit"


def test_a_missing_browser_is_wrong(monkeypatch: pytest.MonkeyPatch):
    """No browser is one clear sentence, not the end of the examination."""

    def find_none() -> None:
        raise BrowserNotFoundError("no browser: install one")

    monkeypatch.setattr(doctor, "find_browser", find_none)

    assert by_topic()["browser"] == Finding("browser", "no browser: install one", is_wrong=True)


def test_a_folder_that_cannot_be_written_is_wrong(monkeypatch: pytest.MonkeyPatch):
    """Where nothing can be written no store can be made."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere

    finding = by_topic()["folder"]

    assert (finding.text, finding.is_wrong) == (f"{Path.cwd()} cannot be written", True)


def test_looking_changes_nothing(home: Path):
    """An examination makes no file, neither here nor at home."""
    examine()

    assert [entry.name for entry in (home / "work").iterdir()] == []
    assert [path for path in home.rglob("*") if path.is_file()] == []
