"""Getting to an element of a site: past a login, and past what only a person can solve."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

from pydantic import SecretStr

from propkit.browsing.window import Selectors, Window
from propkit.errors import LayoutChangedError, PersonNeededError, SourceTimeoutError
from propkit.sections import PosterSettings

T = TypeVar("T")

BARRIERS: Final = ("captcha", "second factor", "login form")
"""What may show instead of the page that is wanted."""

_ASKED: Final = {
    "captcha": "a captcha",
    "second factor": "the code of a second factor",
    "login form": "a login",
}
_PERSON_SECONDS = 600.0
_LATE_SECONDS = 2.0
_QUICK_SECONDS = 0.5
"""What bars the way is looked for only after this: looking costs the page time."""


class Entry:
    """How one account gets where it wants to.

    ``elements`` is the poster's table, with those of :data:`BARRIERS` and ``password``, ``sign in``
    and ``login error``; the box for the account's name is the ``login form``. Nothing here gets past a captcha or a second factor: where a
    person can see the window it is left as it is until she has solved it (``on_person`` is told),
    where nobody can the run stops.
    """

    def __init__(
        self,
        site: str,
        elements: Mapping[str, Selectors],
        settings: PosterSettings,
        password: SecretStr | None,
        *,
        is_headed: bool,
    ) -> None:
        self.on_person: Callable[[str], None] | None = None
        self.person_seconds = _PERSON_SECONDS if is_headed else 0.0
        if settings.person_seconds is not None:
            self.person_seconds = settings.person_seconds
        self._site = site
        self._elements = elements
        self._account = settings.account or ""
        self._password = password

    async def reach(self, window: Window, *wanted: str, or_else: tuple[str, ...] = ()) -> str:
        """Wait until one of some elements shows and return its name.

        What shows besides it is the login form, filled in once where the password is known, or
        something for a person. ``or_else`` has what shows that the right page is there although
        it has none of the wanted elements.

        Raises
        ------
        PersonNeededError
            A captcha, a second factor or a login that nobody solved in time, or a wrong password.
        LayoutChangedError
            None of these comes: the site is not as it was.
        """
        is_sent = False
        passed: set[str] = set()
        while True:
            rest = [name for name in BARRIERS if name not in passed]
            errors = ("login error",) if is_sent else ()
            names = (*wanted, *errors, *rest, *or_else)
            is_waiting = bool(passed - {"login form"})
            try:
                seen = await window.first_of(
                    {name: self._elements[name] for name in names},
                    seconds=self.person_seconds if is_waiting else None,
                )
            except LayoutChangedError as error:
                if is_waiting:
                    raise self.unsolved(*sorted(passed)) from error
                raise
            if seen in wanted:
                return seen
            if seen in or_else:
                # A page that scripts make may show its end before its beginning.
                late = {name: self._elements[name] for name in wanted}
                return await window.first_of(late, seconds=_LATE_SECONDS)
            if seen == "login error":
                said = await window.text(self._elements["login error"])
                raise PersonNeededError(f"{self._site} refuses the login: {said}")
            if seen == "login form" and self._password is not None and not is_sent:
                await self._sign_in(window, self._password)
                is_sent, passed = True, {"login form"}
                continue
            self.ask_person(seen)
            passed = {seen}
            for name in BARRIERS:
                if await window.is_visible(self._elements[name]):
                    passed.add(name)

    async def press(self, window: Window, name: str) -> None:
        """Click an element as soon as it is there; otherwise as :meth:`reach`."""
        await self.through(window, name, lambda: window.press(name, self._elements[name]))

    async def through(
        self,
        window: Window,
        name: str,
        work: Callable[[], Coroutine[Any, Any, T]],
        *,
        or_else: tuple[str, ...] = (),
    ) -> T:
        """Do something with an element, which ``work`` waits for; otherwise as :meth:`reach`.

        Mostly the element is there, and asking for it first would cost a message to the browser.
        """
        doing = asyncio.create_task(work())
        tasks: list[asyncio.Task[Any]] = [doing]
        try:
            await asyncio.wait(tasks, timeout=_QUICK_SECONDS)
            if not doing.done() or _is_late(doing):
                there = asyncio.create_task(self.reach(window, name, or_else=or_else))
                tasks.append(there)
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if not doing.done() or _is_late(doing):
                    await there  # raises what bars the way
                    if _is_late(doing):  # a person was at it meanwhile
                        return await work()
            return await doing
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def ask_person(self, what: str) -> None:
        """Tell the person what is to be done; raise where nobody can see the window."""
        if not self.person_seconds:
            raise self.unsolved(what)
        if self.on_person is not None:
            self.on_person(
                f"{self._site} asks for {_ASKED[what]}: do it in the browser's window within "
                f"{self.person_seconds / 60:.0f} min, then it goes on by itself"
            )

    def unsolved(self, *what: str) -> PersonNeededError:
        """Return the error that says what a person has to do, and how."""
        asked = " and ".join(_ASKED.get(one, one) for one in what)
        return PersonNeededError(
            f"{self._site} asks for {asked}, which only a person can give: "
            "set posters.<name>.headed = true, run again and do it in the window that opens"
        )

    async def _sign_in(self, window: Window, password: SecretStr) -> None:
        await window.write("account", self._elements["login form"], self._account)
        secret = password.get_secret_value()
        await window.write("password", self._elements["password"], secret, is_secret=True)
        await window.press("sign in", self._elements["sign in"])


def _is_late(ended: asyncio.Task[Any]) -> bool:
    return ended.done() and isinstance(ended.exception(), SourceTimeoutError)
