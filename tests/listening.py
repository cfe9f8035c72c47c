"""A real SMTP server and a real HTTP server that keep what they are told."""

from __future__ import annotations

import json
import queue
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler
from typing import Any


class Listener(socketserver.ThreadingTCPServer):
    """Keeps in ``heard`` what it is told, at the port ``port``."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.heard: queue.Queue[Any] = queue.Queue()
        self.port: int = self.server_address[1]


class Mail(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a client needs."""

    server: Listener

    def handle(self) -> None:
        self._say("220 test")
        asked: list[str] = []
        while line := self.rfile.readline().decode().strip():
            verb = line.split(":")[0].upper()
            if verb == "DATA":
                self._say("354 go on")
                body = b""
                while (more := self.rfile.readline()) != b".\r\n":
                    body += more
                self.server.heard.put((asked, message_from_bytes(body)))
            elif verb in ("MAIL FROM", "RCPT TO"):
                asked.append(line)
            self._say("221 bye" if verb == "QUIT" else "250 well")
            if verb == "QUIT":
                return

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class Hook(BaseHTTPRequestHandler):
    """A webhook: path, content type and JSON of each POST."""

    server: Listener  # type: ignore[assignment]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.put((self.path, self.headers["Content-Type"], json.loads(body)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def listening(handler: type[socketserver.BaseRequestHandler]) -> Iterator[Listener]:
    """Serve on loopback."""
    with Listener(handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
