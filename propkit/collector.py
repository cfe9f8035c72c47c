"""The collector of a store: asks for items, searches, looks up and buys, for whoever uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Mapping
from functools import partial
from typing import Any

from propkit.browsing import BrowserAsk, BrowserPool
from propkit.buying import Bought, Buyer, Order
from propkit.errors import RequestError
from propkit.http_client import HttpAsk
from propkit.item_asker import ItemAsker
from propkit.items import Item
from propkit.layers.areas import Area
from propkit.sections import CollectSettings
from propkit.sources import SearchHits, SourceConfig
from propkit.sources.propertyradar import PropertyRadar
from propkit.store import Store
from propkit.traffic import Traffic
from propkit.usage import Usage


class Collector(ItemAsker):
    """Everything that asks counties for one kit: its sources, their hosts and the HTTP client.

    Lives in one event loop; create it there. Paces, breakers and what is in work are shared with
    everybody who uses the same store, by ``traffic``.
    """

    def __init__(
        self,
        store: Store,
        traffic: Traffic,
        configs: Mapping[str, SourceConfig],
        settings: CollectSettings,
        browsers: BrowserPool,
    ) -> None:
        self.store = store
        self.traffic = traffic
        super().__init__(configs, settings, browsers, partial(traffic.pace, settings=settings))
        self._under_way: dict[Hashable, asyncio.Task[SearchHits]] = {}

    def is_left_alone(self, source: str) -> bool:
        """Whether the source's host asks for a pause that is longer than a batch waits."""
        return self.hosts[source].pace.pause_seconds > self._retry.retry_after_max

    async def search(self, source: str, query: str, by: str, limit: int) -> SearchHits:
        """Ask a source that can search, now; return its hits.

        Who searches for the same at the same time gets the same answer.
        """
        wanted = (source, query, by, limit)
        return await self._ask_once(wanted, partial(self._search, source, query, by, limit))

    async def look_up(self, what: str, given: Mapping[str, str], limit: int) -> SearchHits:
        """Look something up at the source that has it, now; who asks the same shares the answer.

        Raises
        ------
        RequestError
            No source has it.
        """
        for name, config in self.configs.items():
            source: Any = config.source
            if what in getattr(source, "lookups", ()):
                wanted = (what, *sorted(given.items()), limit)
                return await self._ask_once(
                    wanted, partial(self._look_up, name, what, given, limit)
                )
        raise RequestError(f"no source has {what}")

    def buyer(self, source: str) -> Buyer:
        """Return what buys at a source.

        Raises
        ------
        RequestError
            The source sells nothing.
        """
        seller = self.configs[source].source
        if not isinstance(seller, PropertyRadar):
            raise RequestError(f"{source} sells no leads")
        return Buyer(self.store, self.traffic, seller)

    def asking(self, source: str, usage: Usage) -> HttpAsk:
        """Return what asks a source for a person who waits; a context manager."""
        return self._client.ask(self.hosts[source], usage)

    async def _search(self, source: str, query: str, by: str, limit: int) -> SearchHits:
        async with self._item_ask(source, Usage()) as ask:
            hits: SearchHits = await self._searching(source)(query, by, ask, limit)
            return hits

    async def _look_up(
        self, name: str, what: str, given: Mapping[str, str], limit: int
    ) -> SearchHits:
        source: Any = self.configs[name].source
        async with self._client.ask(self.hosts[name], Usage()) as ask:
            found: SearchHits = await source.look_up(what, given, ask, limit)
            return found

    async def _ask_once(
        self, wanted: Hashable, ask: Callable[[], Coroutine[Any, Any, SearchHits]]
    ) -> SearchHits:
        """Ask, unless somebody has the same asked just now: then share the answer, or the error."""
        under_way = self._under_way.get(wanted)
        if under_way is None:
            under_way = self._under_way[wanted] = asyncio.create_task(ask())
            under_way.add_done_callback(lambda _: self._under_way.pop(wanted))
        return await asyncio.shield(under_way)  # who asked first may not wait to the end

    async def _buy(
        self, item: Item, ask: HttpAsk | BrowserAsk, order: Order | Area | None
    ) -> Bought:
        if not isinstance(order, Order) or not isinstance(ask, HttpAsk):
            raise RequestError(f"{item.source} {item.key}: there is no order to buy it by")
        return await self.buyer(item.source).buy_page(item, ask, order)
