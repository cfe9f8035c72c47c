"""How a kit hands its batches over to a worker: a part of :class:`propkit.Kit`."""

from __future__ import annotations

from typing import Protocol

from propkit.settings import Settings
from propkit.sharing.here import HerePlace
from propkit.sharing.joining import share_place
from propkit.sharing.place import Place
from propkit.worker import worker_joiner


class WorkerKit(Protocol):
    """What handing over needs of a kit."""

    settings: Settings

    @property
    def _place(self) -> Place: ...

    def _move_to(self, place: Place) -> None: ...


class WorkerDesk:
    """The method of a kit that lets its batches outlive this process."""

    def hand_over(self: WorkerKit) -> None:
        """Let a worker process own the store and run the batches, also when this process ends.

        This kit goes on as its guest, and so does any that opens the store later. What runs here
        is left, and the worker goes on with it. Where another notebook owns the store, that one
        hands it over; where a worker does, nothing happens.

        Raises
        ------
        RequestError
            The kit is closed, or another one of this process, or of the owner's, has the store open.
        StoreError
            The worker does not start; its log is named, and everything is as before.
        """
        from propkit.sharing.shared import SharedPlace

        place = self._place
        place.check()
        if isinstance(place, HerePlace):
            place = share_place(place)
            self._move_to(place)
        if isinstance(place, SharedPlace):
            place.hand_over(worker_joiner(place.store.path, self.settings))
