"""What every poster is: it logs in, looks for a listing, publishes one and takes one down.

A poster knows one site and nothing of sheets, ledgers, progress or retries: :mod:`propkit.posting`
does those. In one run the engine calls, always from one event loop:

1. ``async with poster:`` once; it opens what it needs (a browser) and closes it in the end.
2. ``await poster.login()`` once, before anything else is asked. It is not called where no row is to
   be posted or looked for.
3. For each row, in this order:

   - ``await poster.find(listing, known)`` first, and only, where an earlier attempt at this row may
     have been published: after a crash, a time-out, an answer that says nothing.
   - ``await poster.post(listing, sending)``, unless the listing was found. Up to ``limits.workers``
     of them run at once, each then needs a page of its own. The engine keeps ``pace`` before each.

4. ``await poster.delete(posted)`` is never called by a run, only by a person.

**The last click.** ``post`` does everything up to it, and verifies that it took effect: fields hold
their values, images are uploaded, the price of the package is zero. Then it awaits ``sending()``,
and the very next thing is the last click. ``sending()`` returns when the ledger has on disk that
the listing may be published from now on. It must be awaited exactly once for each call of ``post``,
in the same task. What ``post`` raises then means:

==========================  ======================================  ===============================
raised                      before ``sending()`` returned           after
==========================  ======================================  ===============================
``PostingError``            not published; tried again by and by    the site said no: not published
``PostingRefusedError``     not published; not tried again          the site said no: not published
``PostingUnknownError``     as ``PostingError``                     may be published: ``find``
``PersonNeededError``       the run stops; not published            the run stops; may be published
``LayoutChangedError``      tried again; then the run stops         the run stops; may be published
anything else               as ``PostingError``                     may be published: ``find``
==========================  ======================================  ===============================

So after the last click a time-out, a lost page and a page that nobody knows are let through as they
are, or raised as ``PostingUnknownError``; only a page that certainly says "not published" becomes a
``PostingError`` or ``PostingRefusedError``.

**Dry run.** ``sending()`` raises :class:`propkit.errors.DryRunEndedError`. ``post`` lets it through
(it is no ``PostingError``; closing the page in a ``finally`` is right), so that the last click is
never made.

**Settings.** A module of this package makes its poster with ``make_poster(settings) -> Poster``,
``settings`` being :class:`propkit.settings.Settings`; then ``poster="kijiji"`` names the module.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

Sending = Callable[[], Awaitable[None]]
"""What a poster awaits right before the last click; see the module's text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One row of the listing sheet, read and checked.

    ``price`` is in the site's currency. ``images`` are absolute paths of files that exist, have an
    allowed type and size, in the sheet's order. ``extra`` has the row's other columns by the
    sheet's own header, as text without surrounding blanks; empty cells are left out.
    """

    row_key: str
    title: str = ""
    description: str = ""
    price: Decimal | None = None
    tags: tuple[str, ...] = ()
    images: tuple[Path, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """The proof that a listing is published: its own address, or the site's id of it.

    ``posted_at`` is aware UTC; None where the site does not say (the engine then takes its own).
    """

    url: str | None = None
    posted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PosterLimits:
    """What a site takes; checked for every row before anything is opened.

    ``required`` names the fields of :class:`Listing` that must not be empty. None means no limit.
    ``image_types`` are of ``"jpeg"``, ``"png"``, ``"gif"``, ``"webp"``, told by a file's content;
    ``image_bytes_max`` holds for each. ``workers`` is how many listings may be posted at once.
    ``settle_seconds``: so long after the last click a listing may still appear on the account's own
    page; ``find`` giving None is taken for "not published" only after that.
    """

    required: tuple[str, ...] = ("title", "description", "price")
    title_length_max: int | None = None
    description_length_min: int | None = None
    description_length_max: int | None = None
    tags_max: int | None = None
    images_min: int = 0
    images_max: int | None = None
    image_types: tuple[str, ...] = ("jpeg", "png")
    image_bytes_max: int | None = None
    workers: int = 1
    settle_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PosterPace:
    """How often a site may be posted to: ``seconds`` from one start to the next at least.

    ``jitter_seconds``: a pause drawn from zero to this comes on top of each.
    """

    seconds: float = 0.0
    jitter_seconds: float = 0.0


@runtime_checkable
class Poster(Protocol):
    """The code that posts to one site; see the module's text for who calls what, and when."""

    @property
    def name(self) -> str:
        """The poster's name, as in the ledger: ``kijiji``."""
        ...

    @property
    def site(self) -> str:
        """The site's address, as a person opens it."""
        ...

    @property
    def limits(self) -> PosterLimits:
        """What the site takes."""
        ...

    @property
    def pace(self) -> PosterPace:
        """How often it may be posted to."""
        ...

    async def __aenter__(self) -> Self:
        """Open what posting needs."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it, also after Interrupt and however the run ended."""
        ...

    async def login(self) -> None:
        """Log in, or see that the account is logged in.

        Raises
        ------
        PersonNeededError
            Captcha, second factor, wrong password: nothing is posted in this run.
        PostingError
            The site does not answer; tried again with growing pauses.
        """
        ...

    async def find(self, listing: Listing, known: Collection[str]) -> Posted | None:
        """Look for a listing on the account's own listings page, all pages of it.

        Parameters
        ----------
        listing
            What may have been published: its title is the one of then, its price None where the
            row has changed since.
        known
            Addresses of listings that are known to be other postings: not this one.

        Returns
        -------
        Posted | None
            None means that the whole list was read and the listing is certainly not there.

        Raises
        ------
        PostingUnknownError
            It cannot be told: several fit, or the page cannot be read.
        """
        ...

    async def post(self, listing: Listing, sending: Sending) -> Posted:
        """Publish a listing and return the proof; see the module's text."""
        ...

    async def delete(self, posted: Posted) -> None:
        """Take a listing down.

        Raises
        ------
        PostingError
            It is not there, or cannot be taken down.
        """
        ...


PosterMaker = Callable[[Any], Poster]
"""``make_poster`` of a poster's module; it is given the :class:`propkit.settings.Settings`."""
