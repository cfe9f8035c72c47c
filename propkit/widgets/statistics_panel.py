"""How the sources and the store do, as bars and tables that are looked up again now and then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from propkit.errors import RequestError
from propkit.records import RECORD_TYPES
from propkit.runtime.statistics import Statistics
from propkit.store.statistics import HostPace, SourceStatistics, StoreStatistics
from propkit.widgets.faces import Block, bar, box, facts, row, select, table
from propkit.widgets.panel import Panel
from propkit.widgets.panel_kit import PanelKit
from propkit.widgets.spelling import counted, show, spell

_LOOK_SECONDS = 2.0
_COLUMNS = "▁▂▃▄▅▆▇█"
_MOST_COLUMNS = 40


class StatisticsPanel(Panel):
    """The figures of :meth:`propkit.Kit.statistics`, of all batches or of the last one."""

    def __init__(self, kit: PanelKit) -> None:
        self.batch: str | None = None
        super().__init__(
            "statistics",
            "propkit: statistics",
            kit=kit,
            seconds=_LOOK_SECONDS,
        )
        self.begin()

    def act(self, action: str, _: Mapping[str, Any], form: Mapping[str, Any]) -> None:
        """Choose the batch.

        Raises
        ------
        RequestError
            There is no such action.
        """
        if action != "choose":
            raise RequestError(f"no action {action!r}")
        self.batch = "last" if form.get("batch") == "last" else None

    def follow(self) -> None:
        """Look up nothing besides what :meth:`blocks` reads."""

    def blocks(self) -> list[Block]:
        """Return what is to be seen now."""
        which = select(
            "batch", "Of", self.batch or "", [("", "all batches"), ("last", "the last batch")],
            action="choose",
        )  # fmt: skip
        return [row(which), *statistics_blocks(self.kit.statistics(self.batch))]


def statistics_blocks(found: Statistics) -> list[Block]:
    """Return figures as blocks."""
    busy = [one for one in found.sources if one.success_rate is not None]
    blocks = []
    if busy:
        blocks.append(box("Success rate", *map(_success, busy), tone="green"))
        blocks.append(box("Seconds an item", *_times(busy), tone="blue"))
        blocks.append(box("Items without a request", *map(_saved, found.sources), tone="blue"))
    if found.rates:
        most = max(found.rates.values())
        paces = [
            bar(host, word=f"{rate:.1f}/s", tone="blue", value=round(100 * rate),
                most=round(100 * most), numbers="requests a second, kept now")
            for host, rate in sorted(found.rates.items())
        ]  # fmt: skip
        blocks.append(box("Pace of each host", *paces, tone="blue"))
    if found.paces:
        blocks.append(box("Pace of each host over time", *_paces(found.paces), tone="blue"))
    blocks.append(box("Store", facts(_store(found.store)), tone="grey"))
    if found.slow:
        rows = [[show(s.logged_at), f"{s.seconds:.1f} s", s.source or "", s.message]
                for s in found.slow]  # fmt: skip
        blocks.append(table("Slowest", ["At", "Took", "Source", "What"], rows, key="slow"))
    return blocks


def _paces(paces: Sequence[HostPace]) -> list[Block]:
    """Return the last paces of each host as a line of small columns."""
    by_host: dict[str, list[HostPace]] = {}
    for one in paces:
        by_host.setdefault(one.host, []).append(one)
    pairs = []
    for host, some in sorted(by_host.items()):
        last = some[-_MOST_COLUMNS:]
        most = max(one.per_second for one in last)
        line = "".join(_COLUMNS[round(7 * one.per_second / most)] for one in last)
        span = " to ".join(dict.fromkeys((show(last[0].at), show(last[-1].at))))
        pairs.append((host, f"{line}  up to {most:.1f} requests/s, {span}"))
    return [facts(pairs)]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _success(one: SourceStatistics) -> Block:
    rate = one.success_rate or 0.0
    tone = "green" if rate >= 0.99 else "yellow" if rate >= 0.9 else "red"
    failed = ", ".join(f"{count:,} {_words(name)}" for name, count in one.failed.items())
    # What a person cancelled is no failure of the source.
    ended = sum(one.items.get(state, 0) for state in ("done", "not_found", "failed", "replaced"))
    replaced = one.items.get("replaced", 0)
    said = f"{counted(ended, 'item')}{f', {failed}' if failed else ''}"
    said += f", {replaced:,} of them to a second way" if replaced else ""
    return bar(
        spell(one.source), word=f"{rate:.1%}", tone=tone, value=round(1000 * rate), most=1000,
        numbers=said,
    )  # fmt: skip


def _times(sources: Sequence[SourceStatistics]) -> list[Block]:
    most = max([one.seconds_p95 or 0.0 for one in sources] + [0.001])
    return [
        bar(
            spell(one.source),
            word=f"{one.seconds_p50:.2f} s",
            tone="blue",
            value=round(1000 * one.seconds_p50),
            most=round(1000 * most),
            numbers=f"95 of 100 within {one.seconds_p95 or 0:.2f} s, "
            f"{one.items_per_second or 0:.1f} items/s, {counted(one.requests, 'request')}"
            f"{f', {one.refused:,} refused' if one.refused else ''}",
        )
        for one in sources
        if one.seconds_p50 is not None
    ]


def _saved(one: SourceStatistics) -> Block:
    total = sum(one.items.values())
    saved = one.fresh + one.joined
    return bar(
        spell(one.source), word=f"{saved:,}", tone="blue", value=saved, most=max(1, total),
        numbers=f"{one.fresh:,} fresh, {one.joined:,} answered for another batch, of {total:,}",
    )  # fmt: skip


def _rows(store: StoreStatistics, *, of_records: bool) -> str:
    """Return the rows of the tables of records, or of all others."""
    return ", ".join(
        f"{rows:,} {_words(name)}"
        for name, rows in store.rows.items()
        if rows and (name in RECORD_TYPES) is of_records
    )


def _store(store: StoreStatistics) -> list[tuple[str, str]]:
    pairs = [
        ("File", f"{store.path.name}, {store.file_bytes / 1e6:.1f} MB"),
        ("Answers kept", f"{store.payload_bytes / 1e6:.1f} MB before compression"),
        ("Collected rows", _rows(store, of_records=True) or "none"),
        ("Other rows", _rows(store, of_records=False) or "none"),
        ("Commits", f"{store.commits:,}"),
    ]
    if store.commit_seconds_p50 is not None:
        middle, most = store.commit_seconds_p50, store.commit_seconds_max or 0.0
        said = f"{1000 * middle:.0f} ms in the middle, {1000 * most:.0f} ms at most"
        pairs.append(("Time of a commit", said))
    return pairs
