"""What a source asks with that opens its pages in a browser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from propkit.errors import RequestError
from propkit.pages import Page
from propkit.sources._base import Ask


@runtime_checkable
class BrowsingAsk(Ask, Protocol):
    """As :class:`Ask`, and all pages of one item in one session of a browser."""

    async def submit(
        self,
        path: str,
        *,
        name: str,
        fields: Mapping[str, str],
        button: str,
        accept: Callable[[Page], bool] | None = None,
    ) -> Page:
        """Fill the form of a page in, press its button and return the page behind it.

        ``fields`` are texts by the box's CSS selector. A box or button that is not there is a
        ``LayoutChangedError``.
        """
        ...

    async def render(
        self, path: str, *, name: str, ready: str, params: Mapping[str, str] | None = None
    ) -> Page:
        """Open a page that scripts fill; the body is its HTML once ``ready`` (CSS) is there.

        Where nothing moves any more and ``ready`` is not there, it is the HTML as it stands.
        """
        ...


def as_browsing(ask: Ask) -> BrowsingAsk:
    """Return what a source asks with, which has to be a browser."""
    if not isinstance(ask, BrowsingAsk):
        raise RequestError("this source is asked through a browser")
    return ask
