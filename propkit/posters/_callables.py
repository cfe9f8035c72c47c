"""A plain function as a poster: "do this for each row of the sheet", with the same guarantees."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from propkit.errors import PostingError, PostingUnknownError, RequestError
from propkit.posters._base import Listing, Posted, PosterLimits, PosterPace, Sending

_LIMITS: Final = PosterLimits(required=(), image_types=("jpeg", "png", "gif", "webp"))


class FunctionPoster:
    """A function that is called with each row, as a dict by the sheet's own headers.

    A function of one parameter may publish from its first line on, so that is when the ledger
    notes ``sent``. One with a second parameter, ``sending``, calls (or awaits) it right before it
    publishes: what it raises until then is tried again.

    What it returns: an address or a :class:`Posted` as the proof; None or True for "done"; False
    for "certainly not done". What it raises means, after ``sending``, that nobody knows (the row
    then needs a person), unless it is a :class:`propkit.errors.PostingError`: certainly not done.

    A function cannot look for what it published. Set ``workers`` above 1 only for one that may
    run several times at once.
    """

    pace = PosterPace()

    def __init__(self, function: Callable[..., Any], *, workers: int = 1) -> None:
        self.rows: Mapping[str, Mapping[str, Any]] = {}
        self._function = function
        module = getattr(function, "__module__", "") or ""
        name = getattr(function, "__qualname__", None) or type(function).__qualname__
        self.name = name if module in ("", "__main__") else f"{module}.{name}"
        self.site = self.name
        self.limits = _LIMITS
        if workers > 1:
            self.limits = PosterLimits(
                required=(), image_types=_LIMITS.image_types, workers=workers
            )
        self._takes_sending = _count_parameters(function) > 1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    async def login(self) -> None:
        """Do nothing."""

    async def find(self, listing: Listing, known: Collection[str]) -> Posted | None:  # noqa: ARG002
        """Refuse: a function cannot look."""
        raise PostingUnknownError(f"{self.name} cannot look for {listing.row_key}")

    async def post(self, listing: Listing, sending: Sending) -> Posted:
        """Call the function."""
        row = dict(self.rows[listing.row_key])
        if not self._takes_sending:
            await sending()
            said = await self._call(row)
        elif inspect.iscoroutinefunction(self._function):
            said = await self._call(row, sending)
        else:
            loop = asyncio.get_running_loop()

            def send() -> None:
                work = _await(sending)
                try:
                    sent = asyncio.run_coroutine_threadsafe(work, loop)
                except RuntimeError:  # its loop is closed
                    work.close()
                    raise PostingError("the run ended before the last click") from None
                sent.result()

            said = await self._call(row, send)
        return _read(said)

    async def delete(self, posted: Posted) -> None:
        """Refuse: a function cannot take anything down."""
        raise PostingError(f"{self.name} cannot take {posted.url} down")

    async def _call(self, *arguments: Any) -> Any:
        if inspect.iscoroutinefunction(self._function):
            return await self._function(*arguments)
        said = await _call_apart(self._function, *arguments)
        return await said if inspect.isawaitable(said) else said


async def _call_apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a thread of its own: one of a pool that hangs would keep the process."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Any] = loop.create_future()

    def end(said: Any, error: BaseException | None) -> None:
        if ended.done():  # nobody waits any more
            return
        if error is None:
            ended.set_result(said)
        else:
            ended.set_exception(error)

    def work() -> None:
        said: Any = None
        error: BaseException | None = None
        try:
            said = function(*arguments)
        except StopIteration as raised:  # no coroutine can raise it
            error = RuntimeError(repr(raised))
        except BaseException as raised:  # noqa: BLE001 -- it is raised where it is waited for
            error = raised
        with suppress(RuntimeError):  # the run has ended meanwhile, and with it the loop
            loop.call_soon_threadsafe(end, said, error)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name="propkit-row", daemon=True).start()
    return await ended


async def _await(sending: Sending) -> None:
    await sending()


def _read(said: object) -> Posted:
    if isinstance(said, Posted):
        return said
    if said is False:
        raise PostingError("the function returned False")
    return Posted(url=said) if isinstance(said, str) and said else Posted()


def _count_parameters(function: Callable[..., Any]) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    needed = [
        one
        for one in parameters
        if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) and one.default is one.empty
    ]
    if len(needed) > 2:
        raise RequestError(
            f"{function!r} takes {len(needed)} values; expected (row) or (row, sending)"
        )
    return len(needed)
