from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from propkit import browser
from propkit.browser import Browser, ensure_browser, find_browser, verify_browser
from propkit.errors import BrowserNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Return a function that puts a shell script into the only folder of PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(name: str, script: str = "exit 1") -> Path:
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    return put


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Stand for a machine with nothing: no browser of Playwright's, no root, no Debian."""
    own = tmp_path / "ms-playwright"
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(own))

    async def executable() -> Path:
        return own / "chrome"

    monkeypatch.setattr(browser, "_own_executable", executable)
    monkeypatch.setattr(browser, "_is_root", lambda: False)
    monkeypatch.setattr(browser, "_is_container", lambda: False)
    monkeypatch.setattr(browser, "_is_debian", lambda: False)
    monkeypatch.setattr(browser.platform, "system", lambda: "Linux")
    return monkeypatch


@pytest.fixture
def installs(machine: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Record what would be installed; nothing can be."""
    ran: list[str] = []

    def install(command: list[str], *, environment: object, timeout_seconds: float) -> None:
        ran.append(" ".join(command).replace(f"{sys.executable} -m ", ""))
        raise browser._InstallError(f"`{command[0]}` failed")

    machine.setattr(browser, "_install", install)
    return ran


def _opens(machine: pytest.MonkeyPatch, *names: str) -> None:
    """Let only the browsers called `names` open a page; "own" is Playwright's."""

    def verify(found: Browser) -> Browser:
        name = found.path.name if found.path else "own"
        if name not in names:
            raise BrowserNotFoundError(f"{name} does not open a page")
        return found

    machine.setattr(browser, "verify_browser", verify)


def _download_own(tmp_path: Path) -> None:
    own = tmp_path / "ms-playwright"
    own.mkdir(exist_ok=True)
    (own / "chrome").touch()


def test_the_users_path_comes_first(
    machine: pytest.MonkeyPatch, programs: Callable[..., Path], tmp_path: Path
) -> None:
    chosen = programs("mine")
    programs("chromium")
    _download_own(tmp_path)
    machine.setenv("PROPKIT_BROWSER", str(chosen))

    assert find_browser() == Browser(chosen, "PROPKIT_BROWSER")


def test_playwrights_own_comes_before_an_installed_one(
    machine: pytest.MonkeyPatch, programs: Callable[..., Path], tmp_path: Path
) -> None:
    programs("chromium")
    _download_own(tmp_path)

    assert find_browser() == Browser(None, "Playwright's own")


def test_chrome_comes_before_chromium_and_edge(
    machine: pytest.MonkeyPatch, programs: Callable[..., Path]
) -> None:
    programs("microsoft-edge")
    programs("chromium")
    chrome = programs("google-chrome")

    assert find_browser() == Browser(chrome, "installed")


@pytest.mark.parametrize(
    ("system", "place"),
    [
        ("Darwin", "Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
        ("Windows", "programs/Microsoft/Edge/Application/msedge.exe"),
    ],
)
def test_the_usual_places_of_other_systems_are_searched(
    machine: pytest.MonkeyPatch, home: Path, system: str, place: str
) -> None:
    executable = home / place
    executable.parent.mkdir(parents=True)
    executable.touch()
    executable.chmod(0o755)
    machine.setattr(browser.platform, "system", lambda: system)
    machine.setenv("PATH", str(home))
    machine.setenv("PROGRAMFILES", str(home / "programs"))

    assert find_browser() == Browser(executable, "installed")


@pytest.mark.parametrize("kind", ["absent", "folder", "not executable"])
def test_a_wrong_path_of_the_user_is_an_error_and_not_passed_over(
    machine: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "browser"
    if kind == "folder":
        path.mkdir()
    elif kind == "not executable":
        path.touch(mode=0o644)
    _download_own(tmp_path)
    machine.setenv("PROPKIT_BROWSER", str(path))

    for search in (find_browser, ensure_browser):
        with pytest.raises(BrowserNotFoundError, match=r"PROPKIT_BROWSER is .* no executable file"):
            search()


def test_the_users_browser_that_does_not_open_is_an_error(
    installs: list[str],
    machine: pytest.MonkeyPatch,
    programs: Callable[..., Path],
    tmp_path: Path,
) -> None:
    _opens(machine, "own")
    _download_own(tmp_path)
    machine.setenv("PROPKIT_BROWSER", str(programs("mine")))

    with pytest.raises(BrowserNotFoundError, match="mine does not open a page"):
        ensure_browser()

    assert installs == []


def test_no_browser_says_what_to_do(machine: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine.setenv("PATH", str(tmp_path))

    with pytest.raises(
        BrowserNotFoundError,
        match=r"no browser was found: run `python -m propkit\.browser`, install .* PROPKIT_BROWSER",
    ):
        find_browser()


def test_playwright_is_tried_before_an_installed_browser(
    installs: list[str], machine: pytest.MonkeyPatch, programs: Callable[..., Path]
) -> None:
    _opens(machine, "chromium")
    chromium = programs("chromium")

    found = ensure_browser()

    assert found == Browser(chromium, "installed")
    assert installs == ["playwright install chromium"]


def test_what_playwright_downloads_is_used(machine: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _opens(machine, "own")
    machine.setenv("PATH", str(tmp_path))
    machine.setattr(browser, "_install", lambda command, **options: _download_own(tmp_path))

    assert ensure_browser() == Browser(None, "Playwright's own")


def test_a_browser_that_does_not_open_is_passed_over(
    installs: list[str],
    machine: pytest.MonkeyPatch,
    programs: Callable[..., Path],
    tmp_path: Path,
) -> None:
    _opens(machine, "microsoft-edge")
    _download_own(tmp_path)
    programs("chromium")
    edge = programs("microsoft-edge")

    assert ensure_browser() == Browser(edge, "installed")


def test_debians_package_is_the_last_resort_and_needs_root(
    machine: pytest.MonkeyPatch, programs: Callable[..., Path]
) -> None:
    _opens(machine, "chromium")
    programs("apt-get")
    ran = []

    def install(command: list[str], **options: object) -> None:
        ran.append(" ".join(command[-3:]))
        if command[0] != "apt-get" or len(ran) == 2:
            raise browser._InstallError(f"`{' '.join(command[-3:])}` failed")
        if "install" in command:
            programs("chromium")

    machine.setattr(browser, "_install", install)
    machine.setattr(browser, "_is_debian", lambda: True)
    with pytest.raises(BrowserNotFoundError):
        ensure_browser()
    ran.clear()
    machine.setattr(browser, "_is_root", lambda: True)

    found = ensure_browser()

    assert found.origin == "Debian's package"
    assert ran == [
        "playwright install chromium",
        "install -y chromium",
        "apt-get update",
        "install -y chromium",
    ]


def test_when_nothing_works_one_sentence_says_what_was_tried_and_what_to_do(
    installs: list[str], machine: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine.setenv("PATH", str(tmp_path))

    with pytest.raises(BrowserNotFoundError) as caught:
        ensure_browser()

    assert str(caught.value) == (
        "no browser could be opened or installed: install Google Chrome, Chromium or Microsoft "
        "Edge, or set PROPKIT_BROWSER to the path of one that is installed "
        f"(tried: `{sys.executable}` failed)"
    )


def test_an_installer_that_fails_or_hangs_says_so(programs: Callable[..., Path]) -> None:
    failing = programs("failing", "echo Reading; echo 'E: Unable to locate package'; exit 100")
    hanging = programs("hanging", "exec /bin/sleep 60")

    with pytest.raises(browser._InstallError, match="failing` failed: E: Unable to locate package"):
        browser._install([str(failing)], environment={}, timeout_seconds=60)
    with pytest.raises(browser._InstallError, match=r"hanging` did not end within 0 s"):
        browser._install([str(hanging)], environment={}, timeout_seconds=0.2)


@pytest.mark.parametrize(
    ("release", "is_debian"),
    [
        ({"ID": "debian"}, True),
        ({"ID": "raspbian", "ID_LIKE": "debian"}, True),
        ({"ID": "ubuntu", "ID_LIKE": "debian"}, False),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, False),
        ({"ID": "fedora"}, False),
    ],
)
def test_debians_package_is_for_debian_and_not_for_ubuntu(
    monkeypatch: pytest.MonkeyPatch, release: dict[str, str], is_debian: bool
) -> None:
    monkeypatch.setattr(browser.platform, "freedesktop_os_release", lambda: release)

    assert browser._is_debian() is is_debian


def test_the_sandbox_is_off_only_as_root_or_in_a_container(machine: pytest.MonkeyPatch) -> None:
    found = Browser(Path("chrome"), "installed", "156.0")
    shown = f"Chromium 156.0 at {Path('chrome')} (installed)"

    assert found.launch_options()["chromium_sandbox"] is True
    assert str(found) == shown
    machine.setattr(browser, "_is_container", lambda: True)
    assert found.launch_options()["chromium_sandbox"] is False
    assert str(found) == f"{shown}, without sandbox (running in a container)"
    machine.setattr(browser, "_is_root", lambda: True)
    assert str(found) == f"{shown}, without sandbox (running as root)"


@pytest.mark.browser
def test_the_browser_found_opens_a_page() -> None:
    found = verify_browser(find_browser())

    assert int(found.version.partition(".")[0]) >= 100
    assert found.path is None or found.path.is_file()


@pytest.mark.browser
async def test_a_browser_can_be_verified_where_a_loop_is_running() -> None:
    found = verify_browser(find_browser())

    in_thread = await asyncio.to_thread(verify_browser, found)
    in_cell = verify_browser(found)

    assert in_thread == in_cell == found


@pytest.mark.browser
def test_what_is_no_browser_is_told_with_its_own_reason(tmp_path: Path) -> None:
    broken = tmp_path / "chrome"
    broken.write_text(
        "#!/bin/sh\necho 'error while loading shared libraries: libnss3.so' >&2\nexit 1\n"
    )
    broken.chmod(0o755)

    with pytest.raises(
        BrowserNotFoundError,
        match=r"chrome does not open a page: error while loading shared libraries: libnss3\.so",
    ):
        verify_browser(Browser(broken, "installed"))


@pytest.mark.browser
def test_the_command_tells_what_it_found() -> None:
    root = Path(__file__).parent.parent
    # Named by its path, so that the command downloads nothing.
    executable = find_browser().path or asyncio.run(browser._own_executable())

    done = subprocess.run(
        [sys.executable, "-m", "propkit.browser"],
        cwd=root,
        env={**os.environ, "PROPKIT_BROWSER": str(executable)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.startswith("Browser: Chromium ")
    assert ("without sandbox" in done.stdout) == ("without its sandbox" in done.stderr)


def test_the_command_fails_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROPKIT_BROWSER", "/no/such/browser")

    code = browser.main()

    assert code == 1
    assert capsys.readouterr().err == (
        "propkit: PROPKIT_BROWSER is '/no/such/browser', which is no executable file: "
        "set it to the path of Chrome, Chromium or Edge, or unset it\n"
    )
