"""The owner's side of Arrow Flight: who has the token may ask, order batches and follow them."""

from __future__ import annotations

import hmac
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from pyarrow import flight

from propkit.errors import ProcessEndsError, PropkitError, RequestError, SettingsError, StoreError
from propkit.sections import StoreSettings, is_loopback
from propkit.sharing.calls import call, start
from propkit.sharing.discovery import Discovery, locate, remove_discovery, write_discovery
from propkit.sharing.here import HerePlace
from propkit.sharing.wire import MAX_TABLE, dump_error, load_order, load_params, read_json
from propkit.store import StoreClosedError

log = logging.getLogger(__name__)

T = TypeVar("T")

_END_SECONDS = 5.0
"""How long an owner that closes waits for a guest that does not read its answer."""

_FAILED = StoreError("the process that owns the store failed on the request; its log says why")


_servers: dict[Path, OwnerServer] = {}
_servers_lock = threading.Lock()


def serve_place(place: HerePlace, settings: StoreSettings) -> None:
    """Let guests work in a place, until it is closed.

    Kits that this process has open over the same store share one server, which works for the
    first of them. Where this computer lets nobody listen, the store is not shared, no more.

    Raises
    ------
    SettingsError
        The address or the certificate cannot be used.
    """
    path = place.store.path
    with _servers_lock:
        server = _servers.get(path)
        if server is None:
            try:
                server = _servers[path] = OwnerServer(path, settings)
            except (OSError, pa.ArrowException) as error:
                if is_loopback(settings.serve_address):
                    log.warning("%s is not shared with other processes: %s", path, error)
                    return
                raise SettingsError(
                    f"guests cannot be served at {settings.serve_address}: {error}"
                ) from error
        server.places.append(place)
    place.at_close(lambda: _leave(place), first=True)


def _leave(place: HerePlace) -> None:
    path = place.store.path
    with _servers_lock:
        server = _servers[path]
        server.places.remove(place)
        if not server.places:
            del _servers[path]
            server.close()


class OwnerServer:
    """One store's server, and the file that says where it is. ``places`` are those it serves."""

    def __init__(self, store: Path, settings: StoreSettings) -> None:
        self.places: list[HerePlace] = []
        self._store = store
        self._token = secrets.token_urlsafe(32)
        certificate, chain = _read_tls(settings)
        address = settings.serve_address
        self._flight = _Flight(
            locate(address, 0, has_tls=certificate is not None),
            self._token,
            self._place,
            chain,
            is_local=is_loopback(address),
        )
        found = Discovery(
            address=address,
            port=self._flight.port,
            token=self._token,
            pid=os.getpid(),
            certificate=certificate,
        )
        try:
            write_discovery(store, found)
        except OSError:
            self._flight.shutdown()
            raise

    def close(self) -> None:
        """Be found no more, answer what was asked, and end."""
        remove_discovery(self._store, self._token)
        ending = threading.Thread(target=self._flight.shutdown, daemon=True)
        ending.start()
        ending.join(_END_SECONDS)
        # Flight holds on to what it serves, out of sight of the garbage collector.
        del self._flight

    def _place(self) -> HerePlace:
        places = self.places[:1]
        if not places:  # it opens, or closes, just now: the guest looks for an owner anew
            raise flight.FlightUnavailableError("the store is being opened or closed")
        places[0].asked_at = time.monotonic()
        return places[0]


class _Token(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Refuses every call that does not bring the token."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._expected = f"Bearer {token}".encode()

    def start_call(self, info: Any, headers: dict[str, Sequence[str | bytes]]) -> None:  # noqa: ARG002
        given = [
            value for name in headers if name.lower() == "authorization" for value in headers[name]
        ]
        brought = given[0] if len(given) == 1 else b""
        raw = brought.encode("utf-8", "replace") if isinstance(brought, str) else brought
        if not hmac.compare_digest(raw, self._expected):
            raise flight.FlightUnauthenticatedError("the token is missing or wrong")


class _Flight(flight.FlightServerBase):  # type: ignore[misc]
    """Hands each request over to the owner's place; whatever goes wrong is told in our words."""

    def __init__(
        self,
        location: str,
        token: str,
        place: Callable[[], HerePlace],
        chain: list[tuple[bytes, bytes]] | None,
        *,
        is_local: bool,
    ) -> None:
        super().__init__(location, tls_certificates=chain, middleware={"token": _Token(token)})
        self._place = place
        self._is_local = is_local

    def do_action(self, context: Any, action: Any) -> list[bytes]:  # noqa: ARG002
        return _answer(lambda: [self._call(action.type, action.body.to_pybytes())])

    def do_get(self, context: Any, ticket: Any) -> Any:  # noqa: ARG002
        return _answer(lambda: flight.RecordBatchStream(self._ask(ticket.ticket)))

    def do_put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:  # noqa: ARG002
        def put() -> None:
            body, place = descriptor.command or b"", self._place()
            read_json(body)
            order = load_order(body, _read_table(reader), place.sources)
            start(place, order, is_local=self._is_local)

        _answer(put)

    def do_exchange(
        self,
        context: Any,  # noqa: ARG002
        descriptor: Any,
        reader: Any,
        writer: Any,
    ) -> None:
        def exchange() -> None:
            body = read_json(descriptor.command or b"")
            table = self._query(body, _read_table(reader))
            writer.begin(table.schema)
            writer.write_table(table)

        _answer(exchange)

    def list_flights(self, context: Any, criteria: bytes) -> Any:  # noqa: ARG002
        return _answer(_refuse)

    def get_flight_info(self, context: Any, descriptor: Any) -> Any:  # noqa: ARG002
        return _answer(_refuse)

    def get_schema(self, context: Any, descriptor: Any) -> Any:  # noqa: ARG002
        # The one request whose errors Flight would tell with this process's stack.
        return flight.SchemaResult(pa.schema([]))

    def list_actions(self, context: Any) -> Any:  # noqa: ARG002
        return _answer(_refuse)

    def _call(self, name: str, body: bytes) -> bytes:
        return json.dumps({"answer": call(self._place(), name, read_json(body))}).encode()

    def _ask(self, ticket: bytes) -> pa.Table:
        body = read_json(ticket)
        return self._search(body) if body.get("what") == "search" else self._query(body, None)

    def _query(self, body: dict[str, Any], wanted: pa.Table | None) -> pa.Table:
        sql, params = body.get("sql"), load_params(body.get("params"))
        if not isinstance(sql, str) or not (params is None or isinstance(params, list | dict)):
            raise RequestError("the request holds no query")
        return self._place().store.answer_guest(sql, params, wanted=wanted)

    def _search(self, body: dict[str, Any]) -> pa.Table:
        query, by, limit = body.get("query"), body.get("by"), body.get("limit")
        if not (isinstance(query, str) and isinstance(by, str) and type(limit) is int):
            raise RequestError("the request holds no search")
        found = self._place().search(query, by, limit)
        table = pa.Table.from_pandas(found, preserve_index=False)
        return table.replace_schema_metadata({"attrs": json.dumps(found.attrs)})


def _answer(do: Callable[[], T]) -> T:
    """Carry a request out; Flight itself would tell the guest this process's stack."""
    try:
        return do()
    except flight.FlightUnavailableError:
        raise
    except (ProcessEndsError, StoreClosedError) as error:  # the guest looks for the next owner
        raise flight.FlightUnavailableError(str(error)) from None
    except PropkitError as error:
        raise flight.FlightServerError("refused", extra_info=dump_error(error)) from None
    except Exception:
        log.exception("a guest's request failed")
        raise flight.FlightServerError("failed", extra_info=dump_error(_FAILED)) from None


def _refuse() -> Any:
    raise RequestError("the owner knows no such request")


def _read_table(reader: Any) -> pa.Table:
    chunks, size = [], 0
    try:
        schema = reader.schema
        for chunk in reader:
            size += chunk.data.nbytes
            if size > MAX_TABLE:
                raise RequestError(f"the table is larger than {MAX_TABLE:,} bytes")
            chunk.data.validate(full=True)
            chunks.append(chunk.data)
        return pa.Table.from_batches(chunks, schema)
    except pa.ArrowException as error:
        raise RequestError("the table cannot be read") from error


def _read_tls(settings: StoreSettings) -> tuple[str | None, list[tuple[bytes, bytes]] | None]:
    """Return the certificate that guests check, and what the server shows; None without TLS."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None, None
    try:
        certificate = settings.tls_certificate.expanduser().read_bytes()
        key = settings.tls_key.expanduser().read_bytes()
        return certificate.decode("ascii"), [(certificate, key)]
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"store.tls_certificate or store.tls_key: {error}") from error
