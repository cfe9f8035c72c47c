"""A site of a few pages on loopback, and pools of real browsers to open them in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psutil
import pytest
import pytest_asyncio
from aiohttp import web

from propkit.asking import Host
from propkit.browsing import BrowserAsk, BrowserPool
from propkit.browsing import ask as asks
from propkit.browsing import slot as slots
from propkit.http_client import HttpClient
from propkit.items import RetryPolicy
from propkit.pace import Pace
from propkit.sections import BrowsingSettings
from propkit.usage import Usage

IDENTITY = (("User-Agent", "propkit/test (+me@example.org)"), ("X-Client", "test"))
DEADLINE = 60.0

STORING = """<!doctype html><html><body>storing<script>
  document.cookie = 'script=1; path=/'; localStorage.a = '1'; sessionStorage.a = '1'
  window.name = 'kept'
  addEventListener('pagehide', () => {
    document.cookie = 'late=1; path=/'; localStorage.late = '1'; sessionStorage.late = '1'
  })
  Promise.all([
    new Promise(done => {
      const asked = indexedDB.open('kept', 1)
      asked.onsuccess = () => { asked.result.close(); done() }
    }),
    caches.open('kept').then(cache => cache.put('/kept', new Response('kept'))),
  ]).then(() => { document.body.id = 'stored' })
</script></body></html>"""

LOOKING = """<!doctype html><html><body><script>
  Promise.all([indexedDB.databases(), caches.keys()]).then(([bases, kept]) => {
    document.body.innerHTML = '<pre id="seen"></pre>'
    document.getElementById('seen').textContent = JSON.stringify([
      document.cookie, localStorage.length, sessionStorage.length, window.name, bases, kept])
  })
</script></body></html>"""

MANY_KINDS = """<!doctype html><html><head><link rel="stylesheet" href="/a.css">
<style>@font-face { font-family: f; src: url(/a.woff2) } body { font-family: f }</style>
</head><body>text<img src="/a.png"><video src="/a.mp4" autoplay></video>
<script src="/a.js"></script></body></html>"""

LEAKING = """<!doctype html><html><body><script>
  // Outside the scripts' heap, filled, so that it is really taken: 10 MB each time that it may.
  const kept = []
  const leak = async () => {
    while (kept.length < 20) {
      await (await fetch('/may', { cache: 'no-store' })).text()
      kept.push(new Uint8Array(1e7).fill(7))
    }
    document.body.id = 'leaked'
  }
  leak()
</script></body></html>"""

Answer = web.StreamResponse | Awaitable[web.StreamResponse]


@dataclass
class Site:
    """A site that answers from ``pages`` and writes down what it was asked for."""

    url: str = ""
    pages: dict[str, Callable[[web.Request], Answer]] = field(default_factory=dict)
    asked: list[web.Request] = field(default_factory=list)
    come: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def paths(self) -> list[str]:
        """What was asked for, robots.txt and the browser's own icon left out."""
        own = {"/robots.txt", "/favicon.ico"}
        return [request.path for request in self.asked if request.path not in own]


def html(text: str, **more: object) -> web.Response:
    return web.Response(text=text, content_type="text/html", **more)


@pytest.fixture(autouse=True)
def _what_failed_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no picture be left out because the machine is busy."""
    monkeypatch.setattr(asks, "_SIGHT_SECONDS", DEADLINE)


@pytest_asyncio.fixture(loop_scope="module")
async def site() -> AsyncIterator[Site]:
    found = Site()

    async def slow(_: web.Request) -> web.Response:
        found.come.set()
        await found.go_on.wait()
        return html("<!doctype html><html>at last</html>")

    found.pages = {
        "/plain": lambda _: html("<!doctype html><html><title>Plain</title>text</html>"),
        "/storing": lambda _: html(STORING, headers={"Set-Cookie": "http=1; Path=/; HttpOnly"}),
        "/looking": lambda _: html(LOOKING),
        "/kinds": lambda _: html(MANY_KINDS),
        "/leaking": lambda _: html(LEAKING),
        "/slow": slow,
    }

    async def answer(request: web.Request) -> web.StreamResponse:
        found.asked.append(request)
        make = found.pages.get(request.path)
        if make is None:
            return web.Response(status=404, text="none")
        made = make(request)
        return await made if isinstance(made, Awaitable) else made

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    place = web.TCPSite(runner, "127.0.0.1", 0)
    await place.start()
    found.url = f"http://localhost:{runner.addresses[0][1]}"
    yield found
    found.go_on.set()
    await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[BrowserPool]:
    """Give one page, which the tests of a module use one after the other."""
    async with pooled(pages=1) as found:
        yield found


@asynccontextmanager
async def pooled(**settings: object) -> AsyncIterator[BrowserPool]:
    """Give a pool; at the end none of its processes may be left."""
    # However busy the machine is, a page that can be wiped is used again.
    patch = pytest.MonkeyPatch()
    patch.setattr(slots, "_WIPE_SECONDS", DEADLINE)
    pool = BrowserPool(BrowsingSettings(**settings))
    trees: set[int] = set()
    opening = pool._open_engine

    async def noted() -> object:
        engine = await opening()
        trees.update(pids_of(engine.tree.pid))
        return engine

    pool._open_engine = noted
    try:
        yield pool
        for engine in pool.engines:
            trees.update(pids_of(engine.tree.pid))
    finally:
        await pool.close()
        patch.undo()
    await wait_until(lambda: not running(trees))


@asynccontextmanager
async def asking(
    pool: BrowserPool, site: Site, *, seconds: float = DEADLINE, attempts: int = 1, **host: object
) -> AsyncIterator[BrowserAsk]:
    """Give what one item asks with; hardly any pace and back-off. ``seconds`` are a page's."""
    retry = RetryPolicy(
        attempts=attempts, backoff_initial=0.01, backoff_max=0.02, retry_after_max=30.0
    )
    pace = Pace(5000, 16)
    async with (
        HttpClient(retry=retry, request_timeout=DEADLINE) as client,
        BrowserAsk(
            pool,
            client,
            Host(base_url=site.url, pace=pace, headers=dict(IDENTITY), **host),
            Usage(),
            rank=0,
            retry=retry,
            request_timeout=seconds,
        ) as ask,
    ):
        yield ask


def pids_of(pid: int) -> set[int]:
    """Return a process's id and those of all that it has started."""
    try:
        root = psutil.Process(pid)
        return {pid, *(child.pid for child in root.children(recursive=True))}
    except psutil.NoSuchProcess:
        return {pid}


def running(pids: set[int]) -> set[int]:
    """Return those that are browsers and run; an id may have been given away."""
    found = set()
    for pid in pids:
        try:
            process = psutil.Process(pid)
            is_browser = "chrom" in process.name().lower()
            if is_browser and process.status() != psutil.STATUS_ZOMBIE:
                found.add(pid)
        except psutil.NoSuchProcess:
            continue
    return found


def left_of(pids: set[int]) -> set[int]:
    """Return those that still run, once the others have ended, or when it is too late."""
    processes = []
    for pid in running(pids):
        with contextlib.suppress(psutil.NoSuchProcess):
            processes.append(psutil.Process(pid))
    psutil.wait_procs(processes, timeout=DEADLINE)
    return running(pids)


async def wait_until(holds: Callable[[], object]) -> None:
    """Wait until something holds; fail when it does not in time."""
    async with asyncio.timeout(DEADLINE):
        while not holds():  # noqa: ASYNC110 -- processes tell nobody
            await asyncio.sleep(0.05)
