"""What every test stands on: no network beyond loopback, no settings of the person who runs it."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from propkit.demo_county.county import County

# How long an example takes says more of the machine than of the code.
settings.register_profile("propkit", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("propkit")

# Of this process and of those that it starts: what they need not import stays out.
_WITHOUT = str(Path(__file__).parent / "without")
sys.path.insert(0, _WITHOUT)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_WITHOUT, os.environ.get("PYTHONPATH")]))

_LONG = ("browser", "notebook", "timeout")
_OUTER_BROWSER = os.environ.get("PROPKIT_BROWSER")
_BLOCKED: list[str] = []
_LOOPBACK_NAMES = {"localhost", "localhost.localdomain", "ip6-localhost", ""}


def _is_loopback(host: object) -> bool:
    if host is None:
        return True
    name = host.decode() if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return name in _LOOPBACK_NAMES or name.endswith(".localhost")


def _refuse(where: object) -> OSError:
    _BLOCKED.append(str(where))
    return OSError(f"a test may not leave loopback: {where}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run one test more than there are cores: many wait for a page, a process or a pace."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long; what is shuffled stays so within each part.

    Else one such test goes on alone for a minute when all others are done.
    """
    items.sort(key=lambda item: not any(map(item.get_closest_marker, _LONG)))


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    """Let sockets of this process reach loopback only, and remember who tried elsewhere."""
    real_getaddrinfo = socket.getaddrinfo

    def getaddrinfo(host: object, *args: Any, **kwargs: Any) -> Any:
        # RFC 6761: names under .invalid never exist; answered here, so that no resolver is asked.
        if str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if not _is_loopback(host):
            raise _refuse(host)
        return real_getaddrinfo(host, *args, **kwargs)

    def guarded(name: str) -> Any:
        real = getattr(socket.socket, name)

        def call(self: socket.socket, *args: Any) -> Any:
            address = args[-1]
            is_internet = self.family in (socket.AF_INET, socket.AF_INET6)
            if is_internet and not _is_loopback(address[0]):
                raise _refuse(address)
            return real(self, *args)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, guarded(name))
        yield


@pytest.fixture(autouse=True)
def _nothing_left_loopback() -> Iterator[None]:
    """Fail the test that tried, also when the code under test swallowed the refusal."""
    _BLOCKED.clear()
    yield
    assert _BLOCKED == [], "a test tried to leave loopback"


@pytest.fixture(scope="session", autouse=True)
def _interrupt_is_heard() -> None:
    """Let Interrupt end what tests start, though a shell that starts the suite with & ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _signals_are_left_alone(_interrupt_is_heard: None) -> Iterator[None]:
    """Fail the test that changes who hears of a signal: later ones, and their processes, need it."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    found = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert found == handlers


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """Drop the PROPKIT_* variables of the person who runs the tests, for session fixtures too."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith("PROPKIT_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _workers_end() -> Iterator[None]:
    """End the workers that kits of this process have started: they are made to outlive it."""
    yield
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if "worker" in child.cmdline():
                child.kill()


@pytest.fixture(autouse=True)
def home(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    _clean_environment: None,
) -> Path:
    """Give each test an empty home and an empty working folder in it; return the home."""
    if request.node.get_closest_marker("browser"):
        # The browsers of the person who runs the tests are the ones to try.
        monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(_playwright_browsers()))
        if _OUTER_BROWSER:
            monkeypatch.setenv("PROPKIT_BROWSER", _OUTER_BROWSER)
    folder = tmp_path_factory.mktemp("home")
    work = folder / "work"
    work.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(folder))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(folder / name.lower()))
    for name in ("APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(folder / name.lower()))
    # A propkit.toml in the folder where pytest was started would be read as a setting.
    monkeypatch.chdir(work)
    return folder


def _playwright_browsers() -> Path:
    if path := os.environ.get("PLAYWRIGHT_BROWSERS_PATH"):
        return Path(path)
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/ms-playwright"
    if sys.platform == "win32":
        return Path(os.environ["LOCALAPPDATA"]) / "ms-playwright"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ms-playwright"


@pytest.fixture
def hasty_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing that is under way when a batch is cancelled, where the county hangs."""
    from propkit.batch_run import work

    monkeypatch.setattr(work, "CANCEL_SECONDS", 0.05)


@pytest.fixture(scope="session")
def _county_process(_clean_environment: None, _loopback_only: None) -> Iterator[County]:
    from propkit.demo_county.county import start_county

    county = start_county(parcels=2000, seed=20261122)
    yield county
    county.stop()


@pytest.fixture
def county(_county_process: County) -> County:
    """Return the demo county of the test session: no faults, no limits, an empty ledger."""
    from tests.collecting import free_county

    free_county(_county_process)
    return _county_process
