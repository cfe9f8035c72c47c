"""A real JupyterLab with a real browser: a folder, a notebook, and what a person would see."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import ProxyHandler, build_opener

import nbformat
from playwright.sync_api import sync_playwright

from propkit.browser import find_browser

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page

ROOT = Path(__file__).parent.parent.parent
READY_SECONDS = 60.0
# Of a server that starts among others that do: it reads hundreds of files.
_START_SECONDS = 180.0
# Read before the tests' own environment is made.
SCREENSHOTS = Path(os.environ.get("PROPKIT_SCREENSHOTS") or ROOT / ".screenshots").absolute()
# Asked from the first moment on, when there is no application yet.
_NOTEBOOK = "window.jupyterapp?.shell?.currentWidget"

# The kernel is there when its status is idle; before that a run would be lost.
_KERNEL_IS_IDLE = f"{_NOTEBOOK}?.sessionContext?.session?.kernel?.status === 'idle'"

_KERNEL = f"(kernel => kernel && kernel.status + ', ' + kernel.connectionStatus)({_NOTEBOOK}?.sessionContext?.session?.kernel)"
# How often each cell has run, and the text of what it shows.
_CELLS = f"""({_NOTEBOOK}?.content?.widgets ?? []).map(cell => [
    `run ${{cell.model.executionCount}}, ${{cell.model.executionState}}:`,
    cell.node.querySelector('.jp-OutputArea')?.innerText].join(' '))"""

# What a first-time visitor is asked would lie over the notebook.
_LAB_SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/apputils-extension:themes": {"theme": "JupyterLab Light"},
    # Cells out of sight are drawn as well.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    # What an installed propkit sets for everybody.
    **json.loads((ROOT / "propkit/widgets/lab_defaults.json").read_text("utf-8")),
}


@contextmanager
def open_lab(
    folder: Path, *, width: int = 1100, height: int = 900, scale: float = 1.0
) -> Iterator[LabPage]:
    """Start JupyterLab in ``folder`` and a browser; end both with the block.

    ``scale`` is the screen's pixels for each pixel of the page.
    """
    with start_lab(folder) as server, open_page(server, width, height, scale) as lab:
        yield lab


@dataclass(frozen=True, slots=True)
class LabServer:
    """A JupyterLab that listens, and the folder it shows."""

    folder: Path
    url: str
    token: str


@contextmanager
def start_lab(folder: Path) -> Iterator[LabServer]:
    """Start JupyterLab in ``folder``; end it with the block.

    Everything that Jupyter writes goes below ``folder``.
    """
    home = folder / ".home"
    home.mkdir(parents=True)
    settings = home / "overrides"
    settings.mkdir()
    (settings / "overrides.json").write_text(json.dumps(_LAB_SETTINGS), "utf-8")
    token = secrets.token_hex(16)
    with (home / "lab.log").open("w") as log:
        server = subprocess.Popen(
            [
                sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1",
                "--ServerApp.port=0", f"--IdentityProvider.token={token}", "--allow-root",
                f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True",
                f"--LabApp.app_settings_dir={settings}", "--LabApp.news_url=None",
                "--ServerApp.jpserver_extensions={'propkit.server': True}",
            ],
            env=_environment(home),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield LabServer(folder, _wait_for_server(server, home), token)
        finally:
            server.terminate()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


@contextmanager
def open_page(
    server: LabServer, width: int = 1100, height: int = 900, scale: float = 1.0
) -> Iterator[LabPage]:
    """Open a browser on a running JupyterLab; with the block end it and every kernel.

    What was chosen in a page before, such as a theme, is forgotten.

    Not for a whole session of tests: while the browser is open, its thread can run no other
    event loop.
    """
    for chosen in ("settings", "workspaces"):
        shutil.rmtree(server.folder / ".home" / chosen, ignore_errors=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**find_browser().launch_options())
        page = browser.new_page(
            viewport={"width": width, "height": height}, device_scale_factor=scale
        )
        page.set_default_timeout(READY_SECONDS * 1000)
        lab = LabPage(server, page)
        try:
            yield lab
        finally:
            lab.end_kernels()
            browser.close()


class LabPage:
    """One notebook in a tab of its own; ``errors`` is what the page's scripts complained of."""

    def __init__(self, server: LabServer, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self._server = server
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._hear)

    def open_notebook(self, name: str, cells: Sequence[str]) -> None:
        """Write a notebook of code cells, open it and wait for its kernel."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"}},
        )
        nbformat.write(notebook, self._server.folder / name)
        self.show_notebook(name)

    def show_notebook(self, name: str) -> None:
        """Open a notebook that is there and wait for its kernel."""
        self.page.goto(f"{self._server.url}doc/tree/{name}?token={self._server.token}")
        self.page.wait_for_function(_KERNEL_IS_IDLE)

    def execute(self, command: str) -> None:
        """Execute a command of JupyterLab; returns when it is done."""
        self.page.evaluate(
            "name => window.jupyterapp.commands.execute(name).then(() => null)", command
        )

    def run_cell(self, number: int) -> None:
        """Run one cell, counted from 0; returns at once."""
        self.page.evaluate(
            "number => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = number;"
            " void window.jupyterapp.commands.execute('notebook:run-cell'); }",
            number,
        )

    def run_all(self) -> None:
        """Run all cells; returns at once, while they run."""
        self.page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")

    def wait_until_run(self) -> None:
        """Wait until every code cell has been run."""
        self.page.wait_for_function(
            f"{_NOTEBOOK}?.content?.widgets?.every(cell => cell.model.executionState === 'idle'"
            " && cell.model.executionCount > 0)"
        )

    def run_to_end(self, number: int) -> None:
        """Run one cell, counted from 0, and wait until it has been run without an error.

        JupyterLab drops what it is asked to run while a kernel goes away, and says nothing.
        """
        has_run: bool = self.page.evaluate(
            "number => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = number;"
            " return window.jupyterapp.commands.execute('notebook:run-cell'); }",
            number,
        )
        assert has_run, f"cell {number} failed or was dropped: {self.output(number)!r}"

    def restart_kernel(self, is_seen: Callable[[], None]) -> None:
        """Restart the kernel and wait until it is there again; meanwhile see what is to be seen."""
        self.page.evaluate(
            "window.restarted = window.jupyterapp.commands.execute('notebook:restart-kernel'); null"
        )
        self.page.click(".jp-Dialog .jp-mod-accept")
        is_seen()
        assert self.page.evaluate("window.restarted"), "the kernel was not restarted"
        self.page.wait_for_function(_KERNEL_IS_IDLE)

    def output(self, number: int) -> str:
        """Return the text that a cell, counted from 0, has put out."""
        return (
            self.page.locator(".jp-Notebook .jp-Cell")
            .nth(number)
            .locator(".jp-OutputArea")
            .inner_text()
        )

    def describe(self) -> str:
        """Return what a failure's log should show: cells, the scripts' complaints, the server's."""
        cells = self.page.evaluate(_CELLS)
        log = (self.folder / ".home/lab.log").read_text("utf-8", "replace")
        return "\n".join(
            [
                f"the kernel is {self.page.evaluate(_KERNEL)}",
                *(f"[{place}] {_short(text, 700)}" for place, text in enumerate(cells)),
                *(f"error: {_short(one, 300)}" for one in self.errors[-10:]),
                f"lab.log: {_short(log[-2000:], 2000)}",
            ]
        )

    def keep(self, name: str, *, as_it_is: bool = False) -> None:
        """Keep a picture in ``.screenshots``, or where ``PROPKIT_SCREENSHOTS`` says.

        JupyterLab lays its splash over the page while it begins or changes its theme: the picture
        is taken when that is gone, or at once ``as_it_is``.
        """
        if not as_it_is:
            self.page.locator("#jupyterlab-splash").wait_for(state="detached")
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def end_kernels(self) -> None:
        """End every kernel: a kernel outlives a killed server."""
        headers = {"Authorization": f"token {self._server.token}"}
        sessions = f"{self._server.url}api/sessions"
        for session in self.page.request.get(sessions, headers=headers).json():
            self.page.request.delete(f"{sessions}/{session['id']}", headers=headers)

    @property
    def folder(self) -> Path:
        """The folder that JupyterLab shows."""
        return self._server.folder

    def _hear(self, message: ConsoleMessage) -> None:
        # What cannot be loaded is JupyterLab's own: this server has no user's settings.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.errors.append(message.text)


def _environment(home: Path) -> dict[str, str]:
    """Return an environment in which nothing of the person who runs this is read or written."""
    kept = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("JUPYTER", "IPYTHON", "XDG_"))
    }
    folders = {
        "HOME": "", "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython", "TMPDIR": "tmp",
    }  # fmt: skip
    (home / "tmp").mkdir()
    # Only this environment's kernels, and neither proxies nor other settings.
    return {
        **kept,
        **{name: str(home / place) for name, place in folders.items()},
        "JUPYTER_NO_CONFIG": "1",
    }


def _short(text: str, most: int) -> str:
    """Return the beginning and the end of a long text."""
    return text if len(text) <= most else f"{text[: most // 2]} … {text[-most // 2 :]}"


def _wait_for_server(server: subprocess.Popen[bytes], home: Path) -> str:
    """Return the server's address when it answers."""
    open_url = build_opener(ProxyHandler({})).open
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        for file in (home / "runtime").glob("jpserver-*.json"):
            try:
                url: str = json.loads(file.read_text("utf-8"))["url"]
                with open_url(f"{url}api", timeout=5):
                    return url
            except (ValueError, KeyError, OSError):
                continue  # it is still being written, or does not answer yet
        time.sleep(0.1)
    said = (home / "lab.log").read_text("utf-8")[-2000:]
    raise RuntimeError(f"JupyterLab did not start: {said}")
