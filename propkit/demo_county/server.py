"""The demo county's server: one loopback port, a prefix per system, controls under /_county."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from pathlib import Path

from aiohttp import web

from propkit.demo_county.answers import as_json
from propkit.demo_county.gate import Gate, control_error
from propkit.demo_county.switches import Switches
from propkit.demo_county.truth import CountyTruth


def run_county(
    *,
    port: int = 8900,
    parcels: int = 2000,
    seed: int = 7,
    faults_file: str | Path | None = None,
    switches: object = None,
    end_with_stdin: bool = False,
) -> None:
    """Serve the demo county on loopback until SIGTERM, SIGINT or, if asked, the end of stdin.

    When it is ready it prints one line of JSON, `{"url": ..., "token": ...}`, to stdout. Port 0
    takes a free one. Raises ValueError or OSError, each with one clear sentence, for bad input.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"a port is a number from 0 to 65535, not {port!r}")
    state = Switches().changed(switches or {})
    if faults_file is not None:
        state = state.changed(read_faults_file(Path(faults_file)))
    gate = Gate(CountyTruth(parcels, seed), state)
    asyncio.run(_serve(gate, port, end_with_stdin=end_with_stdin))


def read_faults_file(path: Path) -> dict[str, object]:
    """Return the switches in a JSON file: a list of fault rules, or an object of switches."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read the faults file {str(path)!r}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"the faults file {str(path)!r} is not JSON: {error}") from error
    if not isinstance(data, list | dict):
        raise ValueError(f"the faults file {str(path)!r} holds neither a list nor an object")  # noqa: TRY004
    return {"faults": data} if isinstance(data, list) else data


def make_app(gate: Gate) -> web.Application:
    """Return the application: control routes, and everything else through the gate."""
    controls = Controls(gate)
    app = web.Application(client_max_size=16 * 1024**2)
    app.router.add_get("/_county/health", controls.get_health)
    app.router.add_get("/_county/ledger", controls.get_ledger)
    app.router.add_delete("/_county/ledger", controls.clear_ledger)
    app.router.add_get("/_county/account", controls.get_account)
    app.router.add_delete("/_county/account", controls.clear_account)
    app.router.add_get("/_county/postings", controls.get_postings)
    app.router.add_delete("/_county/postings", controls.clear_postings)
    app.router.add_get("/_county/apns", controls.get_apns)
    app.router.add_get("/_county/truth", controls.get_truth)
    app.router.add_get("/_county/switches", controls.get_switches)
    app.router.add_put("/_county/switches", controls.put_switches)
    app.router.add_route("*", "/{path:.*}", gate.handle)
    return app


class Controls:
    """The control routes; none of them is written into the ledger."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def get_health(self, request: web.Request) -> web.Response:
        """Return size, counts and violations."""
        del request
        return as_json(self._gate.health())

    async def get_ledger(self, request: web.Request) -> web.Response:
        """Return the requests after number `since`, of one `system` or all."""
        try:
            since = int(request.query.get("since", "0"))
        except ValueError as error:
            return control_error(error)
        return as_json(self._gate.ledger.since(since, request.query.get("system")))

    async def clear_ledger(self, request: web.Request) -> web.Response:
        """Forget the requests so far."""
        del request
        self._gate.ledger.clear()
        return as_json({"ok": True})

    async def get_account(self, request: web.Request) -> web.Response:
        """Return the leads account: its quota and every charge, oldest first."""
        del request
        return as_json(self._gate.leads.account.as_json(self._gate.switches.leads))

    async def clear_account(self, request: web.Request) -> web.Response:
        """Begin the leads account's month anew, without any charge or list."""
        del request
        self._gate.leads.begin_anew()
        return as_json({"ok": True})

    async def get_postings(self, request: web.Request) -> web.Response:
        """Return every listing that was posted to the classifieds site, oldest first."""
        del request
        return as_json(self._gate.classifieds.ads.as_json())

    async def clear_postings(self, request: web.Request) -> web.Response:
        """Begin the classifieds site anew; with `log_out` nobody is logged in any more."""
        self._gate.classifieds.begin_anew(log_out="log_out" in request.query)
        return as_json({"ok": True})

    async def get_apns(self, request: web.Request) -> web.Response:
        """Return APNs in the county's order, or with `sample` a random sample by that seed."""
        query, truth = request.query, self._gate.truth
        try:
            count = int(query.get("count", truth.size))
            sample = int(query["sample"]) if "sample" in query else None
            return as_json(truth.apns(count, skip=int(query.get("skip", "0")), seed=sample))
        except ValueError as error:
            return control_error(error)

    async def get_truth(self, request: web.Request) -> web.Response:
        """Return the truth's tables for `apns=a,b`, or for `first=N` parcels after `skip=M`."""
        query, truth = request.query, self._gate.truth
        wanted: list[int | str]
        if "apns" in query:
            wanted = [apn for apn in query["apns"].split(",") if apn]
        else:
            try:
                skip, first = int(query.get("skip", "0")), int(query.get("first", "100"))
            except ValueError as error:
                return control_error(error)
            wanted = list(range(skip, min(skip + first, truth.size)))
        return as_json(truth.tables(wanted, details=query.get("details") == "true"))

    async def get_switches(self, request: web.Request) -> web.Response:
        """Return the switches in force."""
        del request
        return as_json(self._gate.switches.as_json())

    async def put_switches(self, request: web.Request) -> web.Response:
        """Change the switches that the body names; 400 with a sentence for what cannot be."""
        try:
            self._gate.throw(self._gate.switches.changed(json.loads(await request.text())))
        except (TypeError, ValueError) as error:
            return control_error(error)
        return as_json(self._gate.switches.as_json())


async def _serve(gate: Gate, port: int, *, end_with_stdin: bool) -> None:
    runner = web.AppRunner(make_app(gate), access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    try:
        try:
            await site.start()
        except OSError as error:
            raise OSError(
                f"cannot serve the demo county on port {port}: {error.strerror or error}"
            ) from error
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(name, ended.set)
        if end_with_stdin:
            _watch_stdin(loop, ended)
        bound = runner.addresses[0][1]
        ready = {"url": f"http://localhost:{bound}", "token": gate.switches.token}
        sys.stdout.write(f"{json.dumps(ready)}\n")
        sys.stdout.flush()
        await ended.wait()
    finally:
        await runner.cleanup()


def _watch_stdin(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    def wait() -> None:
        with contextlib.suppress(OSError, ValueError):
            # Below sys.stdin, whose lock would be held when the interpreter ends.
            while os.read(sys.stdin.fileno(), 4096):
                pass
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait, daemon=True, name="end-with-stdin").start()
