"""The account's login: kept, asked for, never shown; what only a person can do is left to her."""

from __future__ import annotations

import asyncio
import logging
import stat
import traceback
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked

from propkit.browsing.window import Window
from propkit.demo_county import County
from propkit.demo_county.classifieds_switches import SECOND_FACTOR
from propkit.demo_county.switches import ALLOW_ALL
from propkit.errors import PersonNeededError, SettingsError, SourceTimeoutError
from propkit.posters import _account
from propkit.posters.kijiji import KijijiPoster
from propkit.sections import PosterSettings
from propkit.settings import Settings
from tests.posters.selling import DEADLINE, free_site, make_listing, posting_at

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]

HEADED = "set posters.<name>.headed = true, run again and do it in the window that opens"


async def nothing() -> None:
    """Be asked before the last click, and let it be made."""


async def tick_the_box(window: Window) -> None:
    await window.page.click("#human")


async def type_the_code(window: Window) -> None:
    await window.page.fill("#code", SECOND_FACTOR)
    await window.page.click("button:has-text('Verify')")


def get_person(
    poster: KijijiPoster, act: Callable[[Window], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Let somebody do something in the window when she is asked; return what she is told."""
    told: list[str] = []
    (window,) = poster._windows._queue
    tasks = []

    def come(text: str) -> None:
        told.append(text)
        tasks.append(asyncio.create_task(act(window)))

    monkeypatch.setattr(poster.entry, "on_person", come)
    monkeypatch.setattr(poster.entry, "person_seconds", DEADLINE)
    return told


@pytest.mark.parametrize(
    ("switches", "asked"),
    [
        ({"captcha": "login"}, "a captcha"),
        ({"captcha": "post"}, "a captcha"),
        ({"second_factor": True}, "the code of a second factor"),
    ],
)
async def test_where_nobody_sees_the_window_what_a_person_must_do_stops_the_run(
    site: County, poster: KijijiPoster, switches: dict[str, object], asked: str
) -> None:
    free_site(site, log_out=True)
    site.switch(classifieds=switches)

    with pytest.raises(PersonNeededError) as failure:
        await poster.post(make_listing(), nothing)

    assert str(failure.value) == (
        f"{poster.site} asks for {asked}, which only a person can give: {HEADED}"
    )
    assert site.postings() == []


async def test_what_the_site_forbids_to_robots_is_left_to_a_person(
    site: County, poster: KijijiPoster, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.switch(robots={"root": "User-agent: *\nDisallow: /classifieds/p-post-ad.html"})

    with pytest.raises(PersonNeededError) as failure:
        await poster.login()
    monkeypatch.setattr(poster._settings, "obey_robots", False)
    await poster.login()
    site.switch(robots={"root": ALLOW_ALL})

    assert str(failure.value) == (
        f"the robots.txt of {poster.site} forbids /p-post-ad.html to robots: ask the site, or, "
        "where you may post there so, set posters.<name>.obey_robots = false"
    )


@pytest.mark.parametrize(
    "case",
    [
        ({"captcha": "login"}, tick_the_box, "a captcha"),
        ({"captcha": "post"}, tick_the_box, "a captcha"),
        ({"second_factor": True}, type_the_code, "the code of a second factor"),
    ],
)
async def test_when_the_person_has_done_it_the_listing_goes_on(
    site: County,
    poster: KijijiPoster,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[dict[str, object], Callable[[Window], Awaitable[None]], str],
) -> None:
    switches, act, asked = case
    free_site(site, log_out=True)
    site.switch(classifieds=switches)
    told = get_person(poster, act, monkeypatch)

    await poster.post(
        make_listing(extra={"location": "Mesa", "condition": "New", "seller": "Owner"}), nothing
    )

    (text,) = told
    assert text == (
        f"{poster.site} asks for {asked}: do it in the browser's window within 1 min, "
        "then it goes on by itself"
    )
    assert len(site.postings()) == 1


async def test_a_person_is_asked_once_however_long_it_takes(
    poster: KijijiPoster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waited for the page meanwhile is done again when the person is ready."""
    asked, was_late = asyncio.Event(), asyncio.Event()
    told: list[str] = []

    async def reach(_: Window, name: str, **__: object) -> str:
        told.append(name)
        asked.set()
        await was_late.wait()
        return name

    async def work() -> str:
        if was_late.is_set():
            return "done"
        await asked.wait()
        was_late.set()
        raise SourceTimeoutError("title: no page in time", url=poster.site)

    monkeypatch.setattr(poster.entry, "reach", reach)
    (window,) = poster._windows._queue

    assert await poster.entry.through(window, "title", work) == "done"
    assert told == ["title"]


async def test_a_person_who_does_not_come_ends_the_waiting(
    site: County, poster: KijijiPoster, monkeypatch: pytest.MonkeyPatch
) -> None:
    free_site(site, log_out=True)
    site.switch(classifieds={"captcha": "login"})
    monkeypatch.setattr(poster.entry, "person_seconds", 0.2)

    with pytest.raises(PersonNeededError, match="asks for a captcha"):
        await poster.login()


async def test_without_a_password_the_person_logs_in(
    site: County, poster: KijijiPoster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def log_in(window: Window) -> None:
        await window.page.fill("#email", "seller@example.org")
        await window.page.fill("#password", "demo-password")
        await window.page.click("button:has-text('Sign in')")

    free_site(site, log_out=True)
    monkeypatch.setattr(poster.entry, "_password", None)
    told = get_person(poster, log_in, monkeypatch)

    await poster.login()

    assert [text.partition(": ")[0] for text in told] == [f"{poster.site} asks for a login"]


async def test_a_wrong_password_stops_the_run_and_is_shown_nowhere(
    site: County, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with posting_at(site, password="not-the-word") as poster:
        with pytest.raises(PersonNeededError) as failure:
            await poster.login()

    shown = "".join(traceback.format_exception(failure.value)) + caplog.text + repr(vars(poster))
    assert str(failure.value) == (
        f"{poster.site} refuses the login: The email or password is incorrect."
    )
    assert "not-the-word" not in shown


async def test_a_login_is_kept_for_the_next_run_in_a_file_of_the_owner_only(
    site: County, home: Path
) -> None:
    async with posting_at(site) as poster:
        await poster.login()
    site.clear_ledger()
    async with posting_at(site, password=None) as poster:
        await poster.login()

    (kept,) = (home / "xdg_state_home" / "propkit" / "posters").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "demo-password" not in kept.read_text("utf-8")
    assert "seller" not in kept.name
    assert [one["path"] for one in site.ledger("classifieds")] == ["/p-post-ad.html"]


class Ring(KeyringBackend):
    """A keyring of one process."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.is_locked:
            raise KeyringLocked("it is locked")
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password


@pytest.fixture
def ring() -> Iterator[Ring]:
    before = keyring.get_keyring()
    keyring.set_keyring(ring := Ring())
    yield ring
    keyring.set_keyring(before)


async def test_a_password_is_asked_for_where_a_person_sits_and_nothing_else_is_known(
    ring: Ring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(_account.getpass, "getpass", lambda text: asked.append(text) or "typed")
    kept, missing = tmp_path / "kept.json", tmp_path / "missing.json"
    kept.write_text("{}", "utf-8")

    def find(*, account: str | None = "me", is_there: bool = True, **more: object) -> str | None:
        monkeypatch.setattr(_account, "_is_somebody_there", lambda: is_there)
        file = kept if more.pop("is_kept", False) else missing
        found = _account.find_password(
            PosterSettings(account=account, **more), "https://site", file
        )
        return found.get_secret_value() if found else None

    assert find(password="set") == "set"
    assert [find(headed=True), find(is_kept=True), find(account=None), find(is_there=False)] == (
        [None] * 4
    )
    assert asked == []
    assert find() == "typed"
    assert asked == ["Password of me at https://site: "]


async def test_a_password_may_stand_in_the_keyring(ring: Ring, tmp_path: Path) -> None:
    site = "https://site"
    keyring.set_password(site, "me", "of the ring")

    def find(account: str, **more: object) -> str | None:
        given = PosterSettings(account=account, headed=True, **more)
        found = _account.find_password(given, site, tmp_path / "missing.json")
        return found.get_secret_value() if found else None

    assert (find("me"), find("me", password="set"), find("you")) == ("of the ring", "set", None)
    ring.is_locked = True
    assert find("me") is None


async def test_a_password_in_a_wrong_setting_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROPKIT_POSTERS__KIJIJI__PASSWORD__X", "s3cret-word")

    with pytest.raises(SettingsError) as failure:
        Settings.load()

    assert "s3cret-word" not in str(failure.value)
