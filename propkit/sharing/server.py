"""The owner's side: a store's door, behind which guests are served once the first one comes."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from propkit.errors import SettingsError
from propkit.sections import StoreSettings, is_loopback
from propkit.sharing.discovery import Discovery, locate, remove_discovery, write_discovery
from propkit.sharing.door import Door
from propkit.sharing.here import HerePlace
from propkit.store import StoreClosedError

if TYPE_CHECKING:
    from pyarrow.flight import FlightServerBase

log = logging.getLogger(__name__)

_END_SECONDS = 5.0
"""How long an owner that closes waits for a guest that does not read its answer."""


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
    """One store's door, and the file that says where it is. ``places`` are those it serves."""

    def __init__(self, store: Path, settings: StoreSettings) -> None:
        self.places: list[HerePlace] = []
        self._store = store
        self._token = secrets.token_urlsafe(32)
        self._address = settings.serve_address
        certificate, self._chain = _read_tls(settings)
        self._beginning = threading.Lock()
        self._flight: FlightServerBase | None = None
        self._door = Door(self._address, self._find_port)
        found = Discovery(
            address=self._address,
            port=self._door.port,
            token=self._token,
            pid=os.getpid(),
            certificate=certificate,
        )
        try:
            if certificate is not None:
                self._find_port()  # now: whether a certificate can be used shows when it is
            write_discovery(store, found)
        except BaseException:
            self._end()
            raise

    def close(self) -> None:
        """Be found no more, answer what was asked, and end."""
        remove_discovery(self._store, self._token)
        self._end()

    def _end(self) -> None:
        self._door.close(_END_SECONDS)
        if self._flight is None:
            return
        ending = threading.Thread(target=self._flight.shutdown, daemon=True)
        ending.start()
        ending.join(_END_SECONDS)
        # Flight holds on to what it serves, out of sight of the garbage collector.
        self._flight = None

    def _find_port(self) -> int:
        """Return the port of what serves guests, which begins with the first of them."""
        with self._beginning:
            if self._flight is None:
                from propkit.sharing.flight_server import serve_flight

                self._flight = serve_flight(
                    locate(self._address, 0, has_tls=self._chain is not None),
                    self._token,
                    self._place,
                    self._chain,
                    is_local=is_loopback(self._address),
                )
            return int(self._flight.port)

    def _place(self) -> HerePlace:
        places = self.places[:1]
        if not places:  # it opens, or closes, just now: the guest looks for an owner anew
            raise StoreClosedError("the store is being opened or closed")
        places[0].asked_at = time.monotonic()
        return places[0]


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
