"""Which browser propkit opens pages with, and how it gets one.

``python -m propkit.browser`` finds or installs one, opens an empty page in it and says what it is.
The order: the path in ``PROPKIT_BROWSER``; Playwright's own Chromium, downloaded when it can be;
an installed Chrome, Chromium or Edge; Debian's package ``chromium``, installed when run as root.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar

from propkit.errors import BrowserNotFoundError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

# A county's page is all that is asked for: nothing else may leave this machine.
_FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
)

_NAMES = (
    "google-chrome",
    "google-chrome-stable",
    "chromium",
    "chromium-browser",
    "microsoft-edge",
    "microsoft-edge-stable",
)
_MAC_PLACES = (
    "Google Chrome.app/Contents/MacOS/Google Chrome",
    "Chromium.app/Contents/MacOS/Chromium",
    "Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
_WINDOWS_PLACES = (
    "Google/Chrome/Application/chrome.exe",
    "Chromium/Application/chrome.exe",
    "Microsoft/Edge/Application/msedge.exe",
)

# Playwright tries five times; offline this ends the attempt within a minute even when every
# connection is silently dropped, and it does not cut a slow download that moves.
_CONNECTION_TIMEOUT_MS = 10_000
_DOWNLOAD_TIMEOUT_SECONDS = 900
_APT_TIMEOUT_SECONDS = 900
_OPEN_TIMEOUT_MS = 30_000

_WHAT_TO_DO = (
    "install Google Chrome, Chromium or Microsoft Edge, "
    "or set PROPKIT_BROWSER to the path of one that is installed"
)


class LaunchOptions(TypedDict, total=False):
    """What Playwright's ``chromium.launch`` is called with."""

    headless: bool
    args: list[str]
    chromium_sandbox: bool
    executable_path: Path
    env: dict[str, str | float | bool]


@dataclasses.dataclass(frozen=True, slots=True)
class Browser:
    """One browser that propkit can open pages with.

    Parameters
    ----------
    path
        Its executable; None is Playwright's own Chromium.
    origin
        How it was found, in words.
    version
        Empty until `verify_browser` has opened it.
    """

    path: Path | None
    origin: str
    version: str = ""

    @property
    def no_sandbox_reason(self) -> str:
        """Why Chromium's sandbox has to be off on this machine; empty when it is on."""
        if _is_root():
            return "running as root"
        if _is_container():
            return "running in a container"
        return ""

    def __str__(self) -> str:
        """Return one line for people."""
        name = f"Chromium {self.version}".strip()
        place = f" at {self.path}" if self.path else ""
        sandbox = f", without sandbox ({self.no_sandbox_reason})" if self.no_sandbox_reason else ""
        return f"{name}{place} ({self.origin}){sandbox}"

    def launch_options(self) -> LaunchOptions:
        """Return the keyword arguments for Playwright's ``chromium.launch``."""
        options = LaunchOptions(
            headless=True,
            args=list(_FLAGS),
            # Playwright's default is off, and it adds --no-sandbox then.
            chromium_sandbox=not self.no_sandbox_reason,
            # A browser that crashes writes its memory to a file: no token may stand in it.
            env={
                name: value
                for name, value in os.environ.items()
                if not name.upper().startswith("PROPKIT_")
            },
        )
        if self.path:
            options["executable_path"] = self.path
        return options


def find_browser(path: Path | None = None) -> Browser:
    """Return the first browser that is there, without opening or installing one.

    ``path`` is the one that the settings name; the variable ``PROPKIT_BROWSER`` wins over it.

    Raises
    ------
    BrowserNotFoundError
        There is none, or ``path`` or ``PROPKIT_BROWSER`` names no executable.
    """
    for browser in _present(path):
        return browser
    message = f"no browser was found: run `python -m propkit.browser`, {_WHAT_TO_DO}"
    raise BrowserNotFoundError(message)


def ensure_browser() -> Browser:
    """Return the first browser that really opens a page; install one when none does.

    Raises
    ------
    BrowserNotFoundError
        None opens and none can be installed; the message says what was tried and what to do.
    """
    chosen = _named_by_user()
    if chosen:
        return verify_browser(chosen)
    tried: list[str] = []
    for candidates in (_own, _downloaded, _installed, _from_debian):
        try:
            for browser in candidates():
                try:
                    return verify_browser(browser)
                except BrowserNotFoundError as error:
                    tried.append(str(error))
        except _InstallError as error:
            tried.append(str(error))
    message = f"no browser could be opened or installed: {_WHAT_TO_DO}"
    if tried:
        message += f" (tried: {'; '.join(tried)})"
    raise BrowserNotFoundError(message)


def verify_browser(browser: Browser) -> Browser:
    """Open an empty page in `browser` and return it with its version.

    Raises
    ------
    BrowserNotFoundError
        It does not open; the message gives the browser's own reason.
    """
    if browser.no_sandbox_reason:
        _log.warning("Chromium runs without its sandbox: %s", browser.no_sandbox_reason)
    return dataclasses.replace(browser, version=_run(_open_empty_page(browser)))


async def _open_empty_page(browser: Browser) -> str:
    from playwright.async_api import Error, async_playwright

    try:
        async with async_playwright() as playwright:
            opened = await playwright.chromium.launch(
                timeout=_OPEN_TIMEOUT_MS, **browser.launch_options()
            )
            try:
                page = await opened.new_page()
                await page.goto("about:blank")
                return opened.version
            finally:
                await opened.close()
    except Error as error:
        what = str(browser.path or "Playwright's own Chromium")
        message = f"{what} does not open a page: {_browser_reason(error.message)}"
        raise BrowserNotFoundError(message) from error


def _run(work: Coroutine[object, object, _T]) -> _T:
    """Run `work` in a thread of its own, since the caller may be a notebook's cell."""

    def run() -> _T:
        if sys.platform == "win32":
            # Jupyter sets a kind of loop there that cannot start processes.
            with asyncio.Runner(loop_factory=asyncio.ProactorEventLoop) as runner:
                return runner.run(work)
        return asyncio.run(work)

    with ThreadPoolExecutor(1, "propkit-browser") as thread:
        return thread.submit(run).result()


def _present(path: Path | None) -> Iterator[Browser]:
    chosen = _named_by_user() or (None if path is None else _named("browser", path))
    if chosen:
        yield chosen
    yield from _own()
    yield from _installed()


def _named_by_user() -> Browser | None:
    name = os.environ.get("PROPKIT_BROWSER", "").strip()
    if not name:
        return None
    return _named("PROPKIT_BROWSER", Path(name))


def _named(setting: str, path: Path) -> Browser:
    place = path.expanduser()
    if not (place.is_file() and os.access(place, os.X_OK)):
        message = (
            f"{setting} is {str(path)!r}, which is no executable file: "
            "set it to the path of Chrome, Chromium or Edge, or unset it"
        )
        raise BrowserNotFoundError(message)
    return Browser(place, setting)


def _own() -> Iterator[Browser]:
    if _own_place(os.environ.get("PLAYWRIGHT_BROWSERS_PATH"), Path.home()).is_file():
        yield Browser(None, "Playwright's own")


@functools.cache
def _own_place(_folder: str | None, _home: Path) -> Path:
    # It takes a process of Playwright's to learn it, and depends on these alone.
    return _run(_own_executable())


async def _own_executable() -> Path:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        return Path(playwright.chromium.executable_path)


def _downloaded() -> Iterator[Browser]:
    _install(
        [sys.executable, "-m", "playwright", "install", "chromium"],
        environment={"PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT": str(_CONNECTION_TIMEOUT_MS)},
        timeout_seconds=_DOWNLOAD_TIMEOUT_SECONDS,
    )
    yield from _own()


def _installed() -> Iterator[Browser]:
    for place in _usual_places():
        if place.is_file() and os.access(place, os.X_OK):
            yield Browser(place, "installed")


def _usual_places() -> Iterator[Path]:
    yield from (Path(found) for name in _NAMES if (found := shutil.which(name)))
    if platform.system() == "Darwin":
        for folder in (Path("/Applications"), Path.home() / "Applications"):
            yield from (folder / place for place in _MAC_PLACES)
    if platform.system() == "Windows":
        for variable in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"):
            if folder_name := os.environ.get(variable):
                yield from (Path(folder_name) / place for place in _WINDOWS_PLACES)


def _from_debian() -> Iterator[Browser]:
    if not (_is_root() and _is_debian() and shutil.which("apt-get")):
        return
    install = ["apt-get", "install", "-y", "chromium"]
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        _install(install, environment=environment, timeout_seconds=_APT_TIMEOUT_SECONDS)
    except _InstallError:
        # A fresh machine or container has no package lists yet.
        update = ["apt-get", "update"]
        _install(update, environment=environment, timeout_seconds=_APT_TIMEOUT_SECONDS)
        _install(install, environment=environment, timeout_seconds=_APT_TIMEOUT_SECONDS)
    found = shutil.which("chromium")
    if found:
        yield Browser(Path(found), "Debian's package")


class _InstallError(Exception):
    """One way of installing a browser did not work."""


def _install(command: list[str], *, environment: dict[str, str], timeout_seconds: float) -> None:
    words = " ".join(["playwright", *command[3:]] if command[0] == sys.executable else command)
    _log.info("running %s", words)
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"`{words}` did not end within {timeout_seconds:.0f} s"
        raise _InstallError(message) from error
    if done.returncode:
        message = f"`{words}` failed: {_installer_reason(done.stdout)}"
        raise _InstallError(message)


def _installer_reason(output: str) -> str:
    """Return the first line of `output` that names an error, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("Error:", "E:"))]
    return (errors or lines[-1:] or ["it gave no reason"])[0]


def _browser_reason(message: str) -> str:
    """Return what the browser said on its error stream, else the first line of `message`."""
    said: list[str] = re.findall(r"\[err\] (.+)", message)
    telling = [
        line for line in said if re.search(r"error|fatal|missing|denied", line, re.IGNORECASE)
    ]
    return (telling or said[-1:] or [message.partition("\n")[0]])[0]


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _is_container() -> bool:
    marks = (Path("/.dockerenv"), Path("/run/.containerenv"))
    return "container" in os.environ or any(mark.exists() for mark in marks)


def _is_debian() -> bool:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return False
    names = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    # Ubuntu's package `chromium` only points to a snap.
    return "debian" in names and "ubuntu" not in names


def main() -> int:
    """Find or install a browser and say which; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        browser = ensure_browser()
    except BrowserNotFoundError as error:
        sys.stderr.write(f"propkit: {error}\n")
        return 1
    sys.stdout.write(f"Browser: {browser}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
