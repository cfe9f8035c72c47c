"""Chunks that go to workers which die, or do not do them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from propkit.batch_run import Run
from propkit.item_asker import Outcome
from propkit.items import Item, State
from propkit.runtime.cluster.handing import Chunks
from propkit.runtime.cluster.parts import Out


class Client:
    """Dask's client: every task waits until a test ends it."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def submit(self, _: object, run_id: str, name: str, **how: Any) -> Task:
        self.tasks.append(Task(name, how.get("workers", [None])[0]))
        return self.tasks[-1]


class Task(asyncio.Future[None]):
    def __init__(self, name: str, worker: str | None) -> None:
        super().__init__()
        self.name, self.worker = name, worker

    def release(self) -> None:
        """Nothing is kept."""


class KilledWorker(Exception):  # noqa: N818 -- Dask's own name
    """As Dask says it."""


class Writer:
    """The store's: has room until a test takes it."""

    def __init__(self) -> None:
        self.has_room: Future[None] = Future()
        self.has_room.set_result(None)

    def room(self) -> Future[None]:
        return self.has_room


class Handing:
    """Chunks for some workers, with the run they belong to."""

    def __init__(self, *workers: str, per_worker: int = 3) -> None:
        self.run = Run(batch_id="b", items=(), sources=frozenset({"s"}), workers=per_worker)
        self.client = Client()
        self.writer = Writer()
        self.lost: list[str] = []
        self.work: list[asyncio.Task[None]] = []
        self.chunks = Chunks(
            self.run,
            "run",
            writer=self.writer,  # type: ignore[arg-type]
            start=self._start,
            lose=self.lost.append,
            on_death=lambda _: None,
            hear_all=settle,
        )
        self.chunks.client, self.chunks.workers = self.client, set(workers)
        self._start(self.chunks.hand_out)

    def _start(self, work: Callable[[], Any]) -> None:
        self.work.append(asyncio.ensure_future(work()))

    def add(self, number: int) -> list[Out]:
        loop = asyncio.get_running_loop()
        outs = [
            Out(n, Item(source="s", key=str(n), state=State.RUNNING), "h", loop.create_future())
            for n in range(number)
        ]
        for out in outs:
            self.chunks.add(out)
        return outs

    def sizes(self) -> list[int]:
        return [len(chunk.items) for chunk in self.chunks.chunks.values()]

    async def end(self) -> None:
        self.chunks.is_over = True
        for task in self.work:
            task.cancel()
        await asyncio.gather(*self.work, return_exceptions=True)


@pytest.fixture(autouse=True)
def _gather_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("propkit.runtime.cluster.handing._GATHER_SECONDS", 0)


async def settle() -> None:
    """Let what waits be gathered and handed out."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_items_are_shared_out_in_chunks_of_ten_to_fifty():
    many, few, one = Handing("a", "b"), Handing("a", "b"), Handing("a", "b")
    for handing, number in ((many, 300), (few, 25), (one, 4)):
        handing.add(number)
    await settle()

    assert [handing.sizes() for handing in (many, few, one)] == [[50, 50], [13, 12], [4]]
    for handing in (many, few, one):
        await handing.end()


async def test_a_worker_that_works_on_many_has_more_than_these():
    """Else it would run out of items before it gets the next chunk."""
    handing = Handing("a", "b", per_worker=64)
    handing.add(300)
    await settle()

    assert handing.sizes() == [50, 50, 50, 50]
    await handing.end()


async def test_nothing_goes_out_while_the_writer_is_full():
    """What comes back would only lie in memory."""
    handing = Handing("a")
    handing.writer.has_room = Future()
    handing.add(4)
    await settle()
    assert handing.sizes() == []

    handing.writer.has_room.set_result(None)
    await settle()

    assert handing.sizes() == [4]
    await handing.end()


async def test_a_chunk_without_a_worker_says_that_some_are_wanted():
    """An adaptive cluster starts one then, whichever it is."""
    handing = Handing()
    handing.add(80)
    await settle()
    assert [(task.worker, task.done()) for task in handing.client.tasks] == [(None, False)]

    handing.chunks.workers = {"a"}
    handing.chunks.withdraw_lost()

    assert [chunk.is_withdrawn for chunk in handing.chunks.chunks.values()] == [False]
    await handing.end()


async def test_an_item_that_kills_three_workers_fails_and_no_other_does():
    handing = Handing("a", per_worker=2)
    outs = handing.add(4)
    for _ in range(20):
        await settle()
        for task in [task for task in handing.client.tasks if not task.done()]:
            chunk = handing.chunks.chunks[task.name]
            chunk.asker = "asker"
            begun = list(chunk.items.values())[:2]
            for out in begun:
                out.is_begun = True
            if outs[0] in begun:
                task.set_exception(KilledWorker())
                continue
            for out in list(chunk.items.values()):
                out.settle(Outcome(item=out.item.move(State.DONE)))
                handing.chunks.drop(out.number)
            task.set_result(None)

    assert [out.answer.result().item.state for out in outs] == ["failed", "done", "done", "done"]
    failed = outs[0].answer.result().item
    assert failed.error == "3 workers of the cluster died while they had this item in work"
    assert failed.failure_class == "invalid_answer"
    assert handing.lost == []
    await handing.end()


async def test_workers_that_cannot_do_it_end_the_run():
    handing = Handing("a")
    handing.add(3)
    for _ in range(3):
        await settle()
        handing.client.tasks[-1].set_exception(ModuleNotFoundError("No module named 'x'"))
    await settle()

    why = "the cluster's workers fail: ModuleNotFoundError: No module named 'x'"
    assert handing.lost == [why]
    await handing.end()


async def test_a_stop_gives_back_what_no_worker_has_begun():
    handing = Handing("a")
    outs = handing.add(80)
    await settle()

    handing.chunks.stop()

    assert {out.answer.result().item.state for out in outs} == {"waiting"}
    await handing.end()
