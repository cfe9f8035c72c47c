"""Asks for one item: at its host's pace, tried again where that helps, read into records.

What goes wrong with a source is a state of the item, with its failure class; never a silent gap.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from propkit.errors import (
    InvalidAnswerError,
    LayoutChangedError,
    RequestError,
    SessionLostError,
    SourceError,
    SourceRejectedError,
    SourceTimeoutError,
)
from propkit.http_client import Host, HttpAsk, HttpClient
from propkit.items import Item, RetryPolicy, State
from propkit.pace import Pace
from propkit.settings import CollectSettings
from propkit.sources import Parsed, Payload, Source, SourceConfig
from propkit.store import Store

log = logging.getLogger(__name__)


class Collector:
    """Everything that asks counties for one store: its sources, hosts, paces and HTTP client.

    Lives in one event loop; create it there.
    """

    def __init__(
        self,
        store: Store,
        configs: Mapping[str, SourceConfig],
        settings: CollectSettings,
    ) -> None:
        self.store = store
        self.configs = configs
        self._settings = settings
        self._retry = RetryPolicy(
            attempts=settings.retry_attempts,
            backoff_initial=settings.backoff_initial,
            backoff_max=settings.backoff_max,
            retry_after_max=settings.retry_after_max,
        )
        self._client = HttpClient(retry=self._retry, request_timeout=settings.request_timeout)
        paces: dict[str, Pace] = {}
        self.hosts: dict[str, Host] = {}
        for name, config in configs.items():
            if config.host not in paces:
                # Sources that share a host share its slowest pace.
                sharing = [one for one in configs.values() if one.host == config.host]
                paces[config.host] = Pace(
                    min(one.requests_per_second for one in sharing),
                    min(one.max_in_flight for one in sharing),
                    is_learned=all(one.is_pace_learned for one in sharing),
                )
            pace = paces[config.host]
            self.hosts[name] = Host(
                base_url=config.base_url,
                pace=pace,
                headers=config.headers,
                is_session_bound=config.source.is_session_bound,
                obey_robots=config.obey_robots,
                item_pace=Pace(1 / config.seconds_per_item, len(configs) * 100)
                if config.seconds_per_item
                else None,
            )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.__aexit__()

    def is_left_alone(self, source: str) -> bool:
        """Whether the source's host asks for a pause that is longer than a batch waits."""
        return self.hosts[source].pace.pause_seconds > self._retry.retry_after_max

    async def search(self, source: str, query: str, by: str, limit: int) -> Any:
        """Ask a source that can search; return its hits."""
        config = self.configs[source]
        search = getattr(config.source, "search", None)
        if search is None:
            raise RequestError(f"{source} cannot be searched")
        async with self._client.ask(self.hosts[source]) as ask:
            return await search(query, by, ask, limit)

    async def collect_item(
        self, item: Item, should_stop: Callable[[], bool]
    ) -> tuple[Item, Parsed | None, HttpAsk]:
        """Ask and read one item; what goes wrong with the source is a state, not an error."""
        config, host = self.configs[item.source], self.hosts[item.source]
        limit = self._settings.item_timeout
        for attempt in range(1, self._retry.attempts + 1):
            async with self._client.ask(host, should_stop) as ask:
                try:
                    async with asyncio.timeout(limit) as ask.timeout:
                        payload, parsed = await _fetch_and_parse(config.source, item, ask)
                except SessionLostError as error:
                    if attempt < self._retry.attempts:
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
                    notes = "; ".join(f"{name}: {why}" for name, why in payload.missing.items())
                    ended = item.move(
                        State.DONE if parsed.is_found else State.NOT_FOUND,
                        attempts=max(ask.attempts, attempt),
                        missing=parsed.missing,
                        error=notes or None,
                        ended_at=datetime.now(UTC),
                    )
                    return ended, parsed, ask
                return _failed(item, failure, ask, attempt), None, ask
        raise AssertionError("unreachable")  # pragma: no cover


async def _fetch_and_parse(source: Source, item: Item, ask: HttpAsk) -> tuple[Payload, Parsed]:
    """Ask and read; a source that stumbles over an answer has failed on it, no more."""
    try:
        payload = await source.fetch(item.key, item.apn, ask)
    except (SourceError, TimeoutError):
        raise
    except Exception as error:
        log.exception("%s failed on the answer about %s", source.name, item.key)
        raise InvalidAnswerError(f"the source failed on the answer: {error!r}") from error
    try:
        return payload, source.parse(payload)
    except SourceError:
        raise
    except Exception as error:
        log.exception("the parser of %s failed on %s", source.name, item.key)
        raise LayoutChangedError(f"the parser failed: {error!r}") from error


def _failed(item: Item, error: SourceError, ask: HttpAsk, attempt: int) -> Item:
    return item.move(
        State.FAILED,
        attempts=max(ask.attempts, attempt),
        failure_class=error.failure_class,
        error=str(error),
        ended_at=datetime.now(UTC),
    )
