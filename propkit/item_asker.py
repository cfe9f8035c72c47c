"""Asks for one item: at its host's pace, tried again where that helps, read into records.

Nothing here knows a store: so it is in a kernel, in a worker process, and on a cluster's workers.
What goes wrong with a source is a state of the item, with its failure class; never a silent gap.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from propkit.asking import Host
from propkit.browsing import BrowserAsk, BrowserPool
from propkit.ending import check_process
from propkit.errors import (
    BrowserLostError,
    InvalidAnswerError,
    LayoutChangedError,
    RequestError,
    SessionLostError,
    SourceError,
    SourceRejectedError,
    SourceTimeoutError,
)
from propkit.evidence import Sight
from propkit.http_client import HttpAsk, HttpClient
from propkit.items import Item, RetryPolicy, State
from propkit.layers.areas import Area
from propkit.pace import Pace
from propkit.pages import Page
from propkit.sections import CollectSettings
from propkit.sources import FollowUp, Parsed, Source, SourceConfig
from propkit.usage import Usage

if TYPE_CHECKING:
    from propkit.buying import Bought, Order
    from propkit.store.results import Settlement

log = logging.getLogger(__name__)

WAYS = {"validation": "validate", "search": "search", "leads": "buy", "area": "area"}
"""How the items of a kind of batch are asked for; all others are collected."""
COLLECT = "collect"

_MOST_LOSSES = 3
"""So often a browser may die under one item before that counts as attempts."""

Hits = tuple[Mapping[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an item ended, what was read, and the pages that were kept.

    ``parsed`` is None where it failed, or was only validated; ``hits`` are those of a search,
    ``settlement`` what came of a purchase, ``sight`` what was to be seen where it failed.
    """

    item: Item
    parsed: Parsed | None = None
    hits: Hits | None = None
    pages: tuple[Page, ...] = ()
    settlement: Settlement | None = None
    sight: Sight | None = None

    @property
    def follow_ups(self) -> tuple[FollowUp, ...]:
        """What the answer asks for besides."""
        return () if self.parsed is None else tuple(self.parsed.follow_ups)

    @property
    def hits_of(self) -> tuple[str, str] | None:
        """What the hits were searched by, and the query; None where nothing was searched."""
        by, _, query = self.item.key.partition(":")
        return None if self.hits is None else (by, query)


class _Hosts(dict[str, Host]):
    """The hosts by source; that of a layer is there when it is first asked."""

    def __init__(
        self, make: Callable[[SourceConfig], Host], configs: Mapping[str, SourceConfig]
    ) -> None:
        super().__init__({name: make(config) for name, config in configs.items()})
        self._make = make
        self._configs = configs

    def __missing__(self, name: str) -> Host:
        host = self[name] = self._make(self._configs[name])
        return host


class CollectItem(Protocol):
    """What asks for an item of a run: :meth:`ItemAsker.collect_item`, or a cluster in its place."""

    async def __call__(
        self, item: Item, usage: Usage, way: str = COLLECT, order: Order | Area | None = None
    ) -> Outcome:
        """Return how the item ended; one that is ``waiting`` again was not asked for."""
        ...


class MakePace(Protocol):
    """Gives the pace of a host, by its name; the numbers are what is known of its limits."""

    def __call__(
        self, name: str, requests_per_second: float, max_in_flight: int, *, is_learned: bool
    ) -> Pace:
        """Return the pace."""
        ...


class ItemAsker:
    """Asks for items of some sources, by one HTTP client and one pool of browsers.

    Lives in one event loop; create it there.
    """

    def __init__(
        self,
        configs: Mapping[str, SourceConfig],
        settings: CollectSettings,
        browsers: BrowserPool,
        make_pace: MakePace,
    ) -> None:
        self.configs = configs
        self.settings = settings
        self._make_pace = make_pace
        self._retry = RetryPolicy(
            attempts=settings.retry_attempts,
            backoff_initial=settings.backoff_initial,
            backoff_max=settings.backoff_max,
            retry_after_max=settings.retry_after_max,
        )
        self.browsers = browsers
        self._client = HttpClient(retry=self._retry, request_timeout=settings.request_timeout)
        self.hosts = _Hosts(self._host, configs)

    async def close(self) -> None:
        """Close every connection and every browser."""
        await self.browsers.close()
        await self._client.__aexit__()

    async def collect_item(
        self, item: Item, usage: Usage, way: str = COLLECT, order: Order | Area | None = None
    ) -> Outcome:
        """Ask and read one item; what goes wrong with the source is a state, not an error.

        With an ``order`` it is bought; with an area it is a part of it.

        Raises
        ------
        ProcessEndsError
            It went wrong because the process ends; the item is as it was.
        """
        config, limit = self.configs[item.source], self.settings.item_timeout
        attempt, losses = 0, 0
        while True:
            attempt += 1
            async with self._item_ask(item.source, usage, rank=item.priority) as ask:
                try:
                    with self._client.limits.limit(limit) as ask.time_limit:
                        outcome = await self._ask(item, ask, way, order)
                except SessionLostError as error:
                    is_again = attempt < self._retry.attempts
                    if isinstance(error, BrowserLostError) and losses < _MOST_LOSSES:
                        # That a browser died is no fault of the item, and no attempt at it.
                        losses, attempt, is_again = losses + 1, attempt - 1, True
                    if is_again:
                        log.info("%s %s: %s; starting again", item.source, item.key, error)
                        continue
                    failure: SourceError = error
                except TimeoutError:
                    failure = SourceTimeoutError(f"not done within {limit:.0f} s")
                except SourceRejectedError as error:
                    failure = SourceRejectedError(f"{error}: {config.token_hint}")
                except SourceError as error:
                    failure = error
                else:
                    if outcome.item.missing:
                        check_process(None)
                    return outcome
                check_process(failure)
                failed = item.move(
                    State.FAILED,
                    attempts=max(ask.attempts, attempt),
                    failure_class=failure.failure_class,
                    error=str(failure),
                    ended_at=datetime.now(UTC),
                )
                sight = await ask.look(failure)
                return Outcome(item=failed, pages=tuple(ask.pages), sight=sight)

    def _item_ask(self, source: str, usage: Usage, *, rank: int = 0) -> HttpAsk | BrowserAsk:
        """Return what one item of a source asks with; a context manager."""
        host = self.hosts[source]
        if self.configs[source].source.transport != "browser":
            return self._client.ask(host, usage, rank=rank)
        return BrowserAsk(
            self.browsers,
            self._client,
            host,
            usage,
            rank=rank,
            retry=self._retry,
            request_timeout=self.settings.request_timeout,
        )

    def _host(self, config: SourceConfig) -> Host:
        # Sources that share a host share its slowest pace.
        sharing = [one for one in self.configs.values() if one.host == config.host]
        pace = self._make_pace(
            config.host,
            min(one.requests_per_second for one in sharing),
            min(one.max_in_flight for one in sharing),
            is_learned=all(one.is_pace_learned for one in sharing),
        )
        item_pace = None
        if config.seconds_per_item:
            item_pace = self._make_pace(
                f"{config.host} items",
                1 / config.seconds_per_item,
                len(self.configs) * 100,
                is_learned=False,
            )
        return Host(
            base_url=config.base_url,
            pace=pace,
            headers=config.headers,
            is_session_bound=config.source.is_session_bound,
            obey_robots=config.obey_robots,
            may_lead_away=getattr(config.source, "offers_files", False),
            item_pace=item_pace,
        )

    def _searching(self, source: str) -> Any:
        search = getattr(self.configs[source].source, "search", None)
        if search is None:
            raise RequestError(f"{source} cannot be searched")
        return search

    async def _buy(
        self,
        item: Item,
        ask: HttpAsk | BrowserAsk,  # noqa: ARG002 -- what the store's own collector needs
        order: Order | Area | None,  # noqa: ARG002 -- as ask
    ) -> Bought:
        """Buy what an item names: only where the store is, which keeps the journal of purchases."""
        raise RequestError(f"{item.source} {item.key} is bought by the owner of the store only")

    async def _ask(
        self, item: Item, ask: HttpAsk | BrowserAsk, way: str, order: Order | Area | None
    ) -> Outcome:
        """Ask and read; a source that stumbles over an answer has failed on it, no more."""
        source: Any = self.configs[item.source].source
        parsed: Parsed | None = None
        hits: Hits | None = None
        settlement: Settlement | None = None
        notes, is_found = "", True
        try:
            if way == "buy":
                bought = await self._buy(item, ask, order)
                parsed, settlement, notes = bought.parsed, bought.settlement, bought.notes
                is_found = parsed.is_found
            elif way == "search":
                by, _, query = item.key.partition(":")
                hits = tuple((await self._searching(item.source)(query, by, ask)).rows)
                is_found = bool(hits)
            elif way == "validate":
                payload = await source.validate(item.key, item.apn, ask)
                is_found = source.parse_validation(payload)
            else:
                if isinstance(order, Area):
                    payload = await source.fetch_part(order, item.key, ask)
                else:
                    payload = await source.fetch(item.key, item.apn, ask)
                parsed = _parse(source, payload, item)
                missing = [f"{name}: {why}" for name, why in payload.missing.items()]
                notes = "; ".join([*missing, *parsed.notes])
                is_found = parsed.is_found
        except (SourceError, TimeoutError):
            raise
        except Exception as error:
            check_process(error)
            log.exception("%s failed on the answer about %s", source.name, item.key)
            raise InvalidAnswerError(f"the source failed on the answer: {error!r}") from error
        ended = item.move(
            State.DONE if is_found else State.NOT_FOUND,
            attempts=ask.attempts,
            missing=parsed.missing if parsed else (),
            error=notes or None,
            ended_at=datetime.now(UTC),
        )
        for page in ask.pages:
            page.forget()  # it may wait for the writer, with hundreds of others
        return Outcome(
            item=ended, parsed=parsed, hits=hits, pages=tuple(ask.pages), settlement=settlement
        )


def _parse(source: Source, payload: Any, item: Item) -> Parsed:
    try:
        return source.parse(payload)
    except SourceError:
        raise
    except Exception as error:
        log.exception("the parser of %s failed on %s", source.name, item.key)
        raise LayoutChangedError(f"the parser failed: {error!r}") from error
