"""The owner's door: who knocks is told at which port guests are served.

What serves them takes 12 MB and a dozen threads, and most stores never have a guest: so it begins
when the first one knocks. Nobody is let in here: the token is shown to Flight, where the door sends.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from propkit.sharing.discovery import Discovery, locate

log = logging.getLogger(__name__)

_KNOCK_SECONDS = 30.0
"""How long a guest waits for an owner that may be busy, or was suspended."""
_PAUSE_SECONDS = 0.2
"""Until a door that cannot be opened (no file is left to the process) is tried again."""
_MOST_BYTES = 16


class Door:
    """Listens at a port of its own, and sends everybody on.

    Parameters
    ----------
    address
        Where it listens.
    find_port
        Returns the port of what serves guests, which it begins where it has not begun. It is called
        in the door's thread.

    Raises
    ------
    OSError
        Nobody may listen there.
    """

    def __init__(self, address: str, find_port: Callable[[], int]) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self._find_port = find_port
        self._closing, self._close = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="propkit-door", daemon=True)
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Open to nobody any more; who is being sent on is waited for, at most so long."""
        self._close.close()
        self._thread.join(seconds)

    def _run(self) -> None:
        with self._listener, self._closing, selectors.DefaultSelector() as waiting:
            self._listener.settimeout(0)  # who knocked may be gone again
            for one in (self._listener, self._closing):
                waiting.register(one, selectors.EVENT_READ)
            while all(key.fileobj is self._listener for key, _ in waiting.select()):
                self._send_on()

    def _send_on(self) -> None:
        try:
            line, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            log.warning("a guest was not let in: %s", error)
            time.sleep(_PAUSE_SECONDS)
            return
        with line:
            try:
                port = self._find_port()
            except Exception as error:  # noqa: BLE001 -- the next who knocks may have more luck
                log.warning("guests cannot be served: %s", error)
                return
            with suppress(OSError):  # it is gone
                line.sendall(b"%d\n" % port)


def find_flight(discovery: Discovery) -> str:
    """Knock at an owner's door and return where it serves guests, as Flight writes it.

    Raises
    ------
    TimeoutError
        It does not answer in time.
    OSError
        It is gone, or serves nobody.
    """
    address, said = (discovery.address, discovery.port), b""
    with socket.create_connection(address, timeout=_KNOCK_SECONDS) as line:
        while len(said) < _MOST_BYTES and (more := line.recv(_MOST_BYTES)):
            said += more
    if not (said.endswith(b"\n") and said[:-1].isdigit()):
        raise ConnectionRefusedError(f"nobody serves guests behind port {discovery.port}")
    return locate(discovery.address, int(said), has_tls=discovery.certificate is not None)
