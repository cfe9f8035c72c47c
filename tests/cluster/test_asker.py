"""A worker's asker whose owner says nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any, Self

import distributed
import pytest

from propkit.runtime.cluster import asker as asking
from propkit.runtime.cluster.asker import Asker
from propkit.runtime.cluster.messages import FromOwner, Setup, dump, is_gone
from propkit.sections import BrowsingSettings, CollectSettings

LONG = 60.0


class Queue:
    """A queue of the scheduler's; what was told before the owner died is in it."""

    closed: Counter[str]

    def __init__(self, name: str, told: list[bytes]) -> None:
        self._name, self._told = name, told

    async def put(self, _: bytes) -> None:
        """Nobody hears it."""

    async def get(self) -> bytes:
        if not self._told:
            await asyncio.Event().wait()
        return self._told.pop()

    def close(self) -> None:
        self.closed[self._name] += 1


class Client:
    """Dask's client, at a scheduler that has lost the owner's."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def get_events(self, name: str) -> tuple[tuple[float, Any], ...]:
        actions = {
            "owner": ["add-client", "remove-client"],
            "back": ["remove-client", "add-client"],
        }
        return tuple((0.0, {"action": action}) for action in actions.get(name, []))


def test_an_asker_whose_owner_is_silent_ends_and_leaves_no_queue(monkeypatch: pytest.MonkeyPatch):
    """It lets go of the owner's queue for the owner, too."""
    setup = Setup(
        owner="owner", configs={}, collect=CollectSettings(), browsing=BrowsingSettings(),
        browser=None, way="collect", order=None, workers=1, cap_names={},
    )  # fmt: skip

    async def open_queue(name: str, _: object) -> Queue:
        is_down = "#" in name
        return Queue("down" if is_down else "up", [dump(FromOwner(setup=setup))] * is_down)

    monkeypatch.setattr(Queue, "closed", Counter(), raising=False)
    monkeypatch.setattr(distributed, "Client", Client)
    monkeypatch.setattr(asking, "open_queue", open_queue)
    monkeypatch.setattr(asking, "SILENCE_SECONDS", 0.0)
    scheduler = SimpleNamespace(address="tcp://s:1")
    worker = SimpleNamespace(address="tcp://w:1", scheduler=scheduler, security=None)

    asker = Asker("run", worker)
    asker.work("chunk").result(LONG)

    assert asker.is_over
    assert Queue.closed == {"up": 4, "down": 4}


async def test_an_owner_that_has_come_back_is_not_gone():
    names = ["owner", "back", "never seen"]

    assert [await is_gone(name, Client()) for name in names] == [True, False, False]
