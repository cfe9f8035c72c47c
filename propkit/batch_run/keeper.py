"""What becomes of items: handed to the writer and counted, with everything that follows from them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from propkit.batch_run.queues import Queues, first_parcels
from propkit.batch_run.run import Run
from propkit.batch_run.tally import Tally
from propkit.breaker import TROUBLE
from propkit.collector import Collector
from propkit.errors import CollectionCancelledError, LayoutChangedError, SourceBlockedError
from propkit.evidence import RENDERED, Sight, last_sight, without_picture
from propkit.item_asker import Outcome
from propkit.items import Item, State
from propkit.sources import FollowUp
from propkit.store import Result
from propkit.store.batches import note_asked
from propkit.traffic import Landing

_CANCELLED = CollectionCancelledError.failure_class
_DOWN = {*TROUBLE, SourceBlockedError.failure_class}
"""Failures that leave an older record as good as it was."""
_REPLACED = {*_DOWN, LayoutChangedError.failure_class}
"""Failures after which another way in is tried."""
_MOST_PICTURES = 20
"""Screenshots kept in a run of each source and failure class: those of one kind are alike."""


class Keeper:
    """Takes items in and out of a run. ``on_end`` is called when one needs no more work."""

    def __init__(
        self,
        collector: Collector,
        run: Run,
        tally: Tally,
        queues: Queues,
        on_end: Callable[[], None],
    ) -> None:
        self.unfinished = 0
        self._collector = collector
        self._writer = collector.store.writer
        self._run = run
        self._tally = tally
        self._queues = queues
        self._on_end = on_end
        self._left: list[Item] = []
        self._pictures: Counter[tuple[str, str | None]] = Counter()
        self._instead_of: dict[tuple[str, str], Item] = {}  # what failed, by the next way's item

    def take_in(self, items: Iterable[Item], batch_size: int | None) -> None:
        """Take in the items of the batch; those beyond the batch size wait for the next run."""
        items = list(items)
        chosen = first_parcels(items, batch_size)
        for item in items:
            is_held_back = chosen is not None and (item.apn or item.key) not in chosen
            if not self._queues.take_note(item):
                continue
            self._tally.add(item)
            if item.replaced_by is not None:
                self._instead_of[item.replaced_by, item.key] = item
            if is_held_back:
                self._queues.hold_back(item)
            elif item.state is State.WAITING:
                self._push(item)
            self._run.fresh[item.source] += item.is_fresh

    def store(self, outcome: Outcome) -> None:
        """Hand an item that ended to the writer, with everything that follows from it."""
        ended, follow_ups = self._follow(self._keep_older(outcome.item), outcome.follow_ups)
        parsed = outcome.parsed
        sight = self._sight(outcome)
        is_shown = sight is not None and sight.page is not None
        pages = [page for page in outcome.pages if is_shown or page.name != RENDERED]
        self._hand_over(
            Result(
                batch_id=self._run.batch_id,
                item=ended,
                parser_version=self._collector.configs[ended.source].source.parser_version,
                pages=pages,
                records=parsed.records if parsed else (),
                follow_ups=follow_ups,
                checked_at=max((p.fetched_at for p in outcome.pages), default=ended.ended_at)
                if parsed or outcome.hits is not None
                else None,
                unsaid=parsed.unsaid if parsed else {},
                emptied=parsed.emptied if parsed else (),
                hits=outcome.hits or (),
                hits_of=outcome.hits_of,
                settlement=outcome.settlement,
                answered=parsed.answered if parsed else {},
                made_at=self._run.made_at,
                sight=sight,
            )
        )
        if outcome.settlement is not None:
            bought = outcome.settlement
            self._tally.buy(bought.records or 0, bought.cost or Decimal(0))
        self._tally.move(State.RUNNING, ended)
        self._end()

    def join(self, item: Item, landed: Landing) -> None:
        """Take another batch's answer to the same item: one request serves both.

        What the answer asks for besides may be nothing that the other batch wants.
        """
        other = landed.item
        ended = item.move(State.RUNNING, started_at=other.started_at).move(
            other.state,
            failure_class=other.failure_class,
            error=other.error,
            missing=other.missing,
            ended_at=other.ended_at,
        )
        ended, follow_ups = self._follow(self._keep_older(ended), landed.follow_ups)
        self._run.joined[item.source] += 1
        self._put(item.state, ended, follow_ups)
        self._end()

    def cancel(self, running: Item) -> None:
        """End an item that a cancel caught under way; where the run was left it waits again."""
        if self._run.is_left:
            self.put_back(running)
            return
        ended = running.move(State.CANCELLED, failure_class=_CANCELLED, ended_at=datetime.now(UTC))
        self._put(State.RUNNING, ended)
        self._end()

    def put_back(self, running: Item) -> None:
        """Let an item that came to nothing wait for the next run."""
        self._tally.move(State.RUNNING, running.move(State.WAITING, started_at=None))
        self._end()

    def give_back(self, item: Item) -> None:
        """Queue an item again that was handed out and not asked for, before all others."""
        self._tally.move(State.RUNNING, item)
        self._queues.push(item, is_first=True)

    def pass_by(self, item: Item) -> None:
        """Leave an item of a stopped source waiting, or to the next way in."""
        failure_class = self._run.stopped_by[item.source]
        if failure_class not in _REPLACED or not self._next_ways(item, failure_class):
            self._left.append(item)
            self._end()
            return
        running = item.move(State.RUNNING)
        self._tally.move(item.state, running)
        failed = running.move(
            State.FAILED,
            failure_class=failure_class,
            error=f"not asked: {self._run.stopped[item.source]}",
            ended_at=datetime.now(UTC),
        )
        self.store(Outcome(item=failed))

    def keep_stale(self) -> None:
        """Let older records stand for what waits at stopped sources, where that is allowed."""
        for item in self._left:
            since = self._stale_since(item)
            if since is not None and self._run.stopped_by[item.source] in _DOWN:
                text = _stale(since, self._run.stopped[item.source])
                kept = item.move(State.SKIPPED, error=text, ended_at=datetime.now(UTC))
                self._put(State.WAITING, kept)

    def _put(self, before: State, item: Item, follow_ups: Sequence[Item] = ()) -> None:
        batch_id = self._run.batch_id
        self._hand_over(
            Result(batch_id=batch_id, item=item, parser_version=0, follow_ups=follow_ups)
        )
        self._tally.move(before, item)

    def _hand_over(self, result: Result) -> None:
        # Of a run that was given up only what was paid for counts: another run has gone on.
        if result.settlement is not None or not self._run.is_forgotten:
            self._writer.put(result)

    def _push(self, item: Item) -> None:
        self.unfinished += 1
        self._queues.push(item)

    def _end(self) -> None:
        self.unfinished -= 1
        self._on_end()

    def _follow(self, ended: Item, found: Iterable[FollowUp]) -> tuple[Item, list[Item]]:
        """Make items of what an item leads to: what its answer asks for, or the next way.

        The item that has ended names the next way, which counts in its place; one of a second
        way tells of what only the first could give.
        """
        made = self._follow_ups(ended, found)
        lost = self._run.not_given.get(ended.source, ())
        if lost and ended.state is State.DONE:
            said = f"{', '.join(lost)}: not given by this way"
            missing = tuple(dict.fromkeys([*ended.missing, *lost]))
            error = "; ".join(filter(None, [ended.error, said]))
            ended = replace(ended, missing=missing, error=error)
        if ended.failure_class in _REPLACED:
            for way in self._next_ways(ended, ended.failure_class)[:1]:
                made += self._ask_instead(ended, way)
                ended = replace(ended, replaced_by=way)
        return ended, made

    def _follow_ups(self, parent: Item, found: Iterable[FollowUp]) -> list[Item]:
        """Make items of what an answer asks for, save what is fresh or not wanted."""
        made = []
        for follow_up in found:
            if follow_up.source not in self._run.sources:
                continue
            is_fresh = (follow_up.source, follow_up.key) in self._run.fresh_keys
            item = Item(
                source=follow_up.source,
                key=follow_up.key,
                apn=follow_up.apn,
                priority=parent.priority,
                sequence=self._queues.next_sequence,
                state=State.SKIPPED if is_fresh else State.WAITING,
                error="fresh: collected for this deed before" if is_fresh else None,
            )
            made += self._add_new(item)
        return made

    async def charge(self, item: Item) -> Item:
        """Have it written that an item is asked for, where a budget pays for it.

        What is under way when the process is killed, or the batch cancelled, may have cost
        something: who goes on with it counts that as spent.
        """
        if self._run.credits_left is None or not self._run.credits_of.get(item.source):
            return item
        store = self._collector.store
        await asyncio.wrap_future(note_asked(store, self._run.batch_id, item.identity))
        return replace(item, attempts=max(1, item.attempts))

    def _sight(self, outcome: Outcome) -> Sight | None:
        """Return what is kept of a failure; pictures only of the first ones of each kind."""
        item = outcome.item
        if item.state is not State.FAILED:
            return None
        sight = outcome.sight or last_sight(outcome.pages)
        if sight is None or sight.screenshot is None:
            return sight
        kind = (item.source, item.failure_class)
        self._pictures[kind] += 1
        return sight if self._pictures[kind] <= _MOST_PICTURES else without_picture(sight)

    def _ask_instead(self, failed: Item, way: str) -> list[Item]:
        """Ask another way in for what a source could not give, in its place in the batch."""
        item = Item(
            source=way,
            key=failed.key,
            apn=failed.apn,
            priority=failed.priority,
            sequence=failed.sequence,
        )
        self._instead_of.setdefault(item.identity, failed)
        return self._add_new(item)

    def _next_ways(self, item: Item, failure_class: str | None) -> tuple[str, ...]:
        """Return the ways in that are left to be tried in turn in place of an item.

        A host that shows a wall is asked in no other way: that would be to get past it.
        """
        failed = self._instead_of.get(item.identity)
        if failed is None:
            ways = self._run.fallbacks.get(item.source, ())
        else:
            ways = self._next_ways(failed, failed.failure_class)
            ways = ways[ways.index(item.source) + 1 :] if item.source in ways else ()
        if failure_class != SourceBlockedError.failure_class:
            return ways
        configs = self._collector.configs
        return tuple(way for way in ways if configs[way].host != configs[item.source].host)

    def _add_new(self, item: Item) -> list[Item]:
        if not self._queues.take_note(item):
            return []
        self._tally.add(item)
        self._tally.change(item)
        if item.state is State.WAITING:
            self._push(item)
        self._run.fresh[item.source] += item.is_fresh
        return [item]

    def _keep_older(self, item: Item) -> Item:
        """Let an older record stand where the source is down in every way, and say so."""
        since = self._stale_since(item)
        failure_class = item.failure_class
        if since is None or failure_class not in _DOWN or self._next_ways(item, failure_class):
            return item
        return replace(
            item, state=State.SKIPPED, failure_class=None, error=_stale(since, item.error)
        )

    def _stale_since(self, item: Item) -> datetime | None:
        """Return when the newest record was collected by this way, or one that it stands for."""
        failed = self._instead_of.get(item.identity)
        before = None if failed is None else self._stale_since(failed)
        known = [self._run.stale.get(item.identity), before]
        return max([since for since in known if since is not None], default=None)


def _stale(since: datetime, why: str | None) -> str:
    return f"stale: kept as collected {since:%Y-%m-%d %H:%M} UTC; {why}"
