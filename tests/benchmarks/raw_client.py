"""How fast the server is: every request at once on one connection, the answers counted only."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

from tests.benchmarks.jobs import Finish, Job


def server_alone(job: Job, folder: Path) -> Finish:
    """Send every request without waiting, and read until the server closes."""
    host = job.hosts[0]
    address = urlsplit(host.base_url)
    requests = [f"GET /parcel/{apn} HTTP/1.1\r\nHost: bench\r\n\r\n" for apn in host.keys]
    requests[-1] = requests[-1].replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    data = "".join(requests).encode()

    def fetch() -> None:
        with socket.create_connection((address.hostname, address.port)) as connection:
            sender = threading.Thread(target=connection.sendall, args=[data])
            sender.start()
            answers = 0
            while received := connection.recv(2**20):
                answers += received.count(b"HTTP/1.1 200 OK\r\n")
            sender.join()
        # An answer's first line may fall between two reads.
        assert answers > 0.9 * len(requests), answers

    return fetch
