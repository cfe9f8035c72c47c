"""The collector of a store: asks for items, searches, looks up and buys, for whoever uses it."""

from __future__ import annotations

from collections.abc import Mapping
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

    def is_left_alone(self, source: str) -> bool:
        """Whether the source's host asks for a pause that is longer than a batch waits."""
        return self.hosts[source].pace.pause_seconds > self._retry.retry_after_max

    async def search(self, source: str, query: str, by: str, limit: int) -> Any:
        """Ask a source that can search, now; return its hits."""
        async with self._item_ask(source, Usage()) as ask:
            return await self._searching(source)(query, by, ask, limit)

    async def look_up(self, what: str, given: Mapping[str, str], limit: int) -> SearchHits:
        """Look something up at the source that has it, now.

        Raises
        ------
        RequestError
            No source has it.
        """
        for name, config in self.configs.items():
            source: Any = config.source
            if what in getattr(source, "lookups", ()):
                async with self._client.ask(self.hosts[name], Usage()) as ask:
                    found: SearchHits = await source.look_up(what, given, ask, limit)
                    return found
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

    async def _buy(
        self, item: Item, ask: HttpAsk | BrowserAsk, order: Order | Area | None
    ) -> Bought:
        if not isinstance(order, Order) or not isinstance(ask, HttpAsk):
            raise RequestError(f"{item.source} {item.key}: there is no order to buy it by")
        return await self.buyer(item.source).buy_page(item, ask, order)
