"""Everything about one parcel: what is known, from which answer, what is missing, what failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from propkit.kinds import DATASETS, HOME_COUNTY
from propkit.runtime.batch import Batch
from propkit.sources import Shown, SourceConfig
from propkit.store.parcel_facts import read_history
from propkit.widgets.faces import (
    Block,
    Face,
    box,
    button,
    details,
    facts,
    link,
    make_view,
    row,
    table,
    text,
)
from propkit.widgets.panel_kit import PanelKit
from propkit.widgets.spelling import show, show_apn, spell

_PROVENANCE: Final = ("source", "collected_at")
_MOST_ROWS: Final = 25
_NOTHING: Final = "—"
_GONE: Final = "not listed any more"
_AREA: Final = "_sqft"


class ParcelCard:
    """A card that a table opens; ``face`` is what is shown, nothing as long as it is shut."""

    def __init__(self, kit: PanelKit) -> None:
        self._kit = kit
        self.apn: str | None = None
        self._said = ""
        self._batch: Batch | None = None
        self._pressed = ""
        self.face = Face(self._act, "card")
        self.shut()

    def open(self, apn: str) -> None:
        """Show a parcel."""
        self.apn, self._said, self._batch = apn, "", None
        self.refresh()

    def shut(self) -> None:
        """Show nothing."""
        self.apn = self._batch = None
        self.face.show(make_view([], label="No parcel", is_over=True))

    def refresh(self) -> None:
        """Show the parcel as it is now."""
        if self.apn is None:
            return
        kept = read_history(self._kit.store, self.apn)
        card = card_block(self.apn, kept, self._kit.sources, self._said)
        self.face.show(make_view([card], label=f"Parcel {show_apn(self.apn)}"))
        self.face.beat()

    def follow(self) -> None:
        """Look whether what was asked for here has come, and show it."""
        batch = self._batch
        if batch is None or batch.is_running or (state := batch.state) == "pending":
            return
        self._batch = None
        self._said = f"Batch {batch.id}: {state}"
        self.refresh()

    def _act(self, action: str, _: Mapping[str, Any], __: Mapping[str, Any]) -> None:
        if action == "close" or self.apn is None:
            self.shut()
            return
        if self._batch is not None and action == self._pressed:
            return  # a double click, or an impatient one
        self._pressed = action
        try:
            # What a person waits for overtakes; the other takes its turn behind what runs.
            priority = "critical" if action == "collect_now" else "normal"
            batch = self._kit.start([self.apn], priority=priority, max_age=0)
            how = "now, before everything else" if priority == "critical" else "when it is its turn"
            self._said = f"Collecting {how}: batch {batch.id}"
            self._batch = batch
        except Exception as error:  # noqa: BLE001 -- shown in the card
            self._said = f"{type(error).__name__}: {error}"
        self.refresh()


def card_block(
    apn: str,
    kept: Mapping[str, list[dict[str, Any]]],
    sources: Mapping[str, SourceConfig],
    said: str,
) -> Block:
    """Return the card of a parcel.

    Parameters
    ----------
    kept
        What :func:`propkit.store.parcel_facts.read_history` returns.
    sources
        By name: a link leads to a source's own address, and nowhere else.
    said
        What the last button came to.
    """
    blocks = []
    parcel = (kept["parcels"] or [{}])[0]
    owner = parcel.get("owner_name") or "Not collected yet"
    blocks.append(text(str(owner), look="strong"))
    blocks.append(
        row(
            button(
                "Collect now",
                "collect_now",
                look="primary",
                title="Asks the county at once, before everything else",
            ),
            button("Add to the queue", "collect_later"),
            button("Close", "close"),
            text(said, look="faint", is_live=True),
        )
    )
    if pages := county_pages(sources, apn, parcel):
        links = [link(spell(name), url) for name, url in pages.items()]
        blocks.append(row(text("At the county:", look="faint"), *links))
    blocks.append(_completeness(kept))
    for name in DATASETS:
        if kept[name]:
            label = f"{spell(name)} ({len(kept[name])})"
            blocks.append(details(label, _rows(name, kept[name]), key=name))
    if kept["changes"]:
        blocks.append(
            details(f"History ({len(kept['changes'])})", _changes(kept["changes"]), key="changes")
        )
    if kept["fetches"]:
        blocks.append(
            details(
                f"Answers ({len(kept['fetches'])})",
                _answers(kept["fetches"], sources),
                key="fetches",
            )
        )
    if kept["items"]:
        blocks.append(
            details(f"Batches ({len(kept['items'])})", _items(kept["items"]), key="items")
        )
    return box(f"Parcel {show_apn(apn)}", *blocks, tone="blue", escape="close", css="propkit-card")


def county_pages(
    sources: Mapping[str, SourceConfig], apn: str, parcel: Mapping[str, Any]
) -> dict[str, str]:
    """Return where the offices themselves show a parcel: one address for each, by source.

    ``parcel`` is what is stored of it: an office that does not go by APNs is asked for what
    stands there.
    """
    pages: dict[str, str] = {}
    for name, config in sources.items():
        source = config.source
        key = apn if source.needs is None else parcel.get(source.needs)
        is_here = source.county == (parcel.get("county") or HOME_COUNTY)
        if not (is_here and key and isinstance(source, Shown)):
            continue
        path = source.page_path.format(key=quote(str(key), safe=""))
        url = f"{config.base_url.rstrip('/')}{path}"
        if url.startswith(("http://", "https://")) and url not in pages.values():
            pages[name] = url
    return pages


def _completeness(kept: Mapping[str, list[dict[str, Any]]]) -> Block:
    missing = {name for item in kept["items"][:1] for name in item["missing"] or ()}
    rows = []
    for name in DATASETS:
        found = kept[name]
        newest = max((one["collected_at"] for one in found), default=None)
        sources = ", ".join(sorted({one["source"] for one in found}))
        word = f"✓ {len(found)}" if found else ("✗ missing" if name in missing else "○ none")
        rows.append([spell(name), word, sources, show(newest)])
    return table("Tables of this parcel", ["Table", "Rows", "Source", "Collected"], rows)


def _rows(name: str, rows: list[dict[str, Any]]) -> Block:
    if name in ("parcels", "residences"):
        pairs = rows[0].items()
        return facts((spell(key), _show(key, one)) for key, one in pairs if one is not None)
    columns = [key for key in rows[0] if any(one[key] is not None for one in rows)]
    columns = [key for key in columns if key not in ("apn", *_PROVENANCE)]
    shown = [[_show(key, one[key]) for key in columns] for one in rows[:_MOST_ROWS]]
    numbers = [
        place
        for place, key in enumerate(columns)
        if any(isinstance(one[key], Decimal) for one in rows) or key.endswith(_AREA)
    ]
    return table(name, [spell(key) for key in columns], shown, numbers=numbers)


def _show(column: str, value: object) -> str:
    if column == "apn":
        return show_apn(str(value))
    return f"{value:,}" if column.endswith(_AREA) and isinstance(value, int) else show(value)


def _changes(changes: Iterable[Mapping[str, Any]]) -> Block:
    rows = [
        [
            show(one["changed_at"]),
            spell(one["table"]),
            one["row"],
            spell(one["column"]),
            show(one["old"]) or _NOTHING,
            show(one["new"]) or (_GONE if one["kind"] == "removed" else _NOTHING),
            one["source"],
        ]
        for one in changes
    ]
    heads = ["Changed", "Table", "Row", "Value", "Before", "After", "Source"]
    return table("History", heads, rows)


def _answers(fetches: Iterable[Mapping[str, Any]], sources: Mapping[str, SourceConfig]) -> Block:
    rows = []
    for one in fetches:
        url = str(one["url"] or "")
        config = sources.get(one["source"])
        is_own = config is not None and url.startswith(f"{config.base_url.rstrip('/')}/")
        where: Any = link(url, url) if is_own and url.startswith(("http://", "https://")) else url
        rows.append(
            [
                show(one["fetched_at"]),
                one["source"],
                one["page"],
                f"{one['status']}",
                where,
                (one["sha256"] or "")[:12],
                f"{one['parser_version']}",
            ]
        )
    heads = ["Fetched", "Source", "Page", "HTTP", "Address", "sha256", "Parser"]
    return table("Answers", heads, rows)


def _items(items: Iterable[Mapping[str, Any]]) -> Block:
    rows = [
        [
            one["batch_id"],
            one["source"],
            f"replaced by {one['replaced_by']}" if one["replaced_by"] else one["state"],
            ", ".join(one["missing"] or ()),
            one["failure_class"] or "",
            one["error"] or "",
            show(one["ended_at"]),
        ]
        for one in items
    ]
    heads = ["Batch", "Source", "State", "Missing", "Failure", "What happened", "Ended"]
    return table("Batches", heads, rows)
