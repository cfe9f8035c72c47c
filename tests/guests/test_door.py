"""The owner's door: who knocks is sent to where guests are served, which begins with the first."""

from __future__ import annotations

import logging
import os
import socket
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

import propkit as pk
from propkit.sharing import flight_server
from propkit.sharing.discovery import Discovery, read_discovery
from propkit.sharing.door import Door, find_flight
from tests.collecting import own_records
from tests.guests.notebooks import notebook, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from propkit.demo_county import County


@contextmanager
def opened(find_port: Callable[[], int]) -> Iterator[Discovery]:
    """Open a door, and say where it is."""
    door = Door("127.0.0.1", find_port)
    yield Discovery(address="127.0.0.1", port=door.port, token="t", pid=os.getpid())
    door.close(5)


def test_who_knocks_is_sent_on_until_the_door_is_closed():
    """Each is told the port anew; behind a closed door nobody is."""
    ports = iter([4711, 4712])

    with opened(lambda: next(ports)) as found:
        assert [find_flight(found), find_flight(found)] == [
            "grpc://127.0.0.1:4711",
            "grpc://127.0.0.1:4712",
        ]

    with pytest.raises(ConnectionRefusedError):
        find_flight(found)


def test_where_guests_cannot_be_served_who_knocks_is_sent_away(caplog: pytest.LogCaptureFixture):
    """The next one is served when it can be done again; the owner's log says what was wrong."""
    outcomes = iter([OSError("no port is left"), 4711])

    def find_port() -> int:
        outcome = next(outcomes)
        if isinstance(outcome, int):
            return outcome
        raise outcome

    with caplog.at_level(logging.WARNING), opened(find_port) as found:
        with pytest.raises(ConnectionRefusedError, match="nobody serves guests"):
            find_flight(found)
        assert find_flight(found) == "grpc://127.0.0.1:4711"

    assert [record.getMessage() for record in own_records(caplog)] == [
        "guests cannot be served: no port is left"
    ]


@pytest.mark.parametrize("said", [b"", b"47", b"x\n", b"-1\n", b"1" * 100])
def test_what_a_stranger_says_leads_nowhere(said: bytes):
    """Another program may listen by now where an owner was."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        found = Discovery(
            address="127.0.0.1", port=stranger.getsockname()[1], token="t", pid=os.getpid()
        )

        def answer() -> None:
            line, _ = stranger.accept()
            with line:
                line.sendall(said)

        answering = threading.Thread(target=answer)
        answering.start()
        with pytest.raises(ConnectionRefusedError, match="nobody serves guests"):
            find_flight(found)
        answering.join()


def test_what_serves_guests_begins_with_the_first_one(
    county: County, path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Most stores never have a guest; whoever comes later finds what serves the first."""
    begun: list[str] = []
    serve = flight_server.serve_flight
    monkeypatch.setattr(
        flight_server,
        "serve_flight",
        lambda location, *given, **named: (
            begun.append(location) or serve(location, *given, **named)
        ),
    )
    settings = settings_of(county)
    with pk.open(path, settings=pk.Settings.load(**settings)) as kit:
        assert kit.frame("parcels").empty
        assert begun == []
        with notebook(path, settings) as first, notebook(path, settings) as second:
            owners = [guest.run("repr(kit)").rpartition("; ")[2] for guest in (first, second)]

    assert owners == [f"guest of PID {os.getpid()}>"] * 2
    assert begun == ["grpc://127.0.0.1:0"]


def test_who_knocks_and_is_no_guest_harms_nobody(county: County, path: Path):
    """Some program looks for open ports: it may go at once, stay, or talk."""
    settings = settings_of(county)
    with pk.open(path, settings=pk.Settings.load(**settings)), ExitStack() as ends:
        found = read_discovery(path)
        assert found is not None
        for _ in range(20):
            with socket.create_connection((found.address, found.port)) as line:
                line.sendall(b"GET / HTTP/1.1\r\n\r\n")
            socket.create_connection((found.address, found.port)).close()
            ends.enter_context(socket.create_connection((found.address, found.port)))
        with notebook(path, settings) as guest:
            assert guest.run("len(kit.frame('parcels'))") == 0
