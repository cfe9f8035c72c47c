"""What propkit is to reach. A target that is missed is shown, and is no error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """A measured value beside its target: at least so much, or at most."""

    what: str
    value: float
    target: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the target is reached."""
        return self.value >= self.target if self.at_least else self.value <= self.target


def no_checks(found: Found) -> list[Check]:
    """Return no targets: the scenario only shows."""
    return []


def check_unlimited(found: Found) -> list[Check]:
    """Compare parcels per second, and CPU seconds per parcel."""
    own = _find(found, "propkit")
    checks = []
    for name, target in {
        "aiohttp_by_hand": 0.8,
        "crawlee": 2.0,
        "scrapy": 5.0,
        "requests_threads": 4.0,
        "dlt": 8.0,
    }.items():
        if own and (other := _find(found, name)):
            ratio = per_second(own) / per_second(other)
            checks.append(Check(f"parcels/s, propkit to {name}", ratio, target, at_least=True))
    for name, target in {"crawlee": 1 / 2, "scrapy": 1 / 4, "dlt": 1 / 8}.items():
        if own and (other := _find(found, name)):
            ratio = cpu_ms(own) / cpu_ms(other)
            checks.append(Check(f"CPU per parcel, propkit to {name}", ratio, target))
    return checks


def check_known_limits(found: Found) -> list[Check]:
    """Judge each host alone: the time against the ideal, and no refusal."""
    return _check_limits(found, slowest=1.02, refused_share=0.0)


def check_unknown_limits(found: Found) -> list[Check]:
    """Judge each host alone: the time against the ideal, and few refusals."""
    return _check_limits(found, slowest=1.10, refused_share=0.05)


def check_faults(found: Found) -> list[Check]:
    """Nothing may be lost, or stored twice."""
    own = _find(found, "propkit")
    if not own:
        return []
    return [
        Check("lost parcels", own["worst"]["lost"], 0),
        Check("doubled rows", own["worst"]["doubled"], 0),
    ]


def check_growth(found: Found) -> list[Check]:
    """Compare the largest job with the one of a tenth."""
    entries = [entry for entry in found["entries"] if entry["contender"] == "propkit"]
    if len(entries) < 2:
        return []
    less, more = sorted(entries, key=lambda entry: entry["parcels"])[-2:]
    sizes = f"{more['parcels']:,} to {less['parcels']:,} parcels"
    return [
        Check(f"peak memory, {sizes}", more["median"]["peak_mb"] / less["median"]["peak_mb"], 1.3),
        Check(f"seconds per parcel, {sizes}", per_second(less) / per_second(more), 1.1),
    ]


def check_progress(found: Found) -> list[Check]:
    """Judge what the bars take of the thread that cells run on."""
    shown = _find(found, "propkit_with_bars")
    if not shown:
        return []
    return [Check("CPU of the thread that shows progress", shown["median"]["ui_share"], 0.01)]


def check_leads(found: Found) -> list[Check]:
    """Compare leads per second and peak memory; the notebook's loop must not hang."""
    own = _find(found, "propkit_leads")
    checks = []
    for name, target in {"aiohttp_leads": 0.8, "dlt_leads": 5.0}.items():
        if own and (other := _find(found, name)):
            ratio = per_second(own) / per_second(other)
            checks.append(Check(f"leads/s, propkit to {name}", ratio, target, at_least=True))
    if own and (other := _find(found, "aiohttp_leads")):
        ratio = own["median"]["peak_mb"] / other["median"]["peak_mb"]
        checks.append(Check("peak memory, propkit to aiohttp_leads", ratio, 1.2))
    if own:
        longest = own["median"]["gap_ms"]
        checks.append(Check("longest gap of the main thread's loop, ms", longest, 100))
    return checks


def check_area(found: Found) -> list[Check]:
    """Compare parcels per second with the client by hand, and memory with a tenth of them."""
    own = [entry for entry in found["entries"] if entry["contender"] == "propkit_area"]
    other = _find(found, "aiohttp_layer")
    checks = []
    if own and other:
        most = max(own, key=lambda entry: int(entry["parcels"]))
        ratio = per_second(most) / per_second(other)
        checks.append(Check("parcels/s, propkit to aiohttp_layer", ratio, 0.8, at_least=True))
    if len(own) > 1:
        less, more = sorted(own, key=lambda entry: int(entry["parcels"]))[-2:]
        ratio = more["median"]["peak_mb"] / less["median"]["peak_mb"]
        sizes = f"{more['parcels']:,} to {less['parcels']:,} parcels"
        checks.append(Check(f"peak memory, {sizes}", ratio, 1.3))
    return checks


def check_guests(found: Found) -> list[Check]:
    """Judge what guests wait for; that nothing is lost is checked where it is measured."""
    own = _find(found, "guests")
    if not own:
        return []
    median = own["median"]
    return [
        Check(
            f"one guest's write of {median['write_rows']:.0f} rows, median ms",
            median["write_ms"],
            25,
        ),
        Check("frame, guest to owner", median["frame_ratio"], 2),
        Check("six guests' writes at once, p95 ms", median["six_p95_ms"], 250),
        Check("reader behind the writer, most s", median["delay_most_ms"] / 1000, 2),
        Check("owner killed, another has taken over, s", median["takeover_ms"] / 1000, 5),
    ]


def check_plan(found: Found) -> list[Check]:
    """Judge every plan, the first one too."""
    own = _find(found, "plans")
    return [Check("slowest plan, s", own["median"]["most_ms"] / 1000, 1)] if own else []


def check_listing(found: Found) -> list[Check]:
    """Judge a page of jobs, wherever the store is."""
    own = _find(found, "listings")
    ways = {"owner": "the owner", "guest": "a guest"} if own else {}
    return [
        Check(f"page of jobs from {name}, p95 ms", own["median"][f"{way}_p95_ms"], 100)
        for way, name in ways.items()
    ]


def check_reparse(found: Found) -> list[Check]:
    """Judge the seconds for all kept answers of a source, told and stored."""
    own = _find(found, "reparse")
    if not own:
        return []
    return [
        Check(f"{name.replace('_', ' ')}, seconds", value, 60)
        for name, value in own["median"].items()
        if name.endswith(("_told", "_stored"))
    ]


def check_browser(found: Found) -> list[Check]:
    """Compare pages per second with Playwright by hand; that nothing is lost is checked there."""
    own = _find(found, "browser_pages")
    if not own:
        return []
    median = own["median"]
    return [
        Check("pages/s, propkit to reused pages", median["to_reused"], 0.85, at_least=True),
        Check("pages/s, propkit to a new browser each", median["to_new"], 5, at_least=True),
    ]


def check_leak(found: Found) -> list[Check]:
    """Judge the browsers' memory, and that no page is lost."""
    own = _find(found, "browser_leak")
    if not own:
        return []
    median = own["median"]
    return [
        Check("memory of the browsers, MiB", median["most_mb"], median["ceiling_mb"]),
        Check("lost parcels", median["lost_parcels"], 0),
    ]


def check_posting(found: Found) -> list[Check]:
    """Compare a row's time with that of the same clicks by hand."""
    own = _find(found, "postings")
    if not own:
        return []
    return [Check("time per row, propkit to the same clicks", own["median"]["to_hand"], 1.1)]


def per_second(entry: Found) -> float:
    """Return the median parcels per second of a contender."""
    return float(entry["parcels"] / entry["median"]["seconds"])


def cpu_ms(entry: Found) -> float:
    """Return the median CPU milliseconds per parcel of a contender."""
    return float(1000 * entry["median"]["cpu_seconds"] / entry["parcels"])


def _check_limits(found: Found, *, slowest: float, refused_share: float) -> list[Check]:
    own = _find(found, "propkit")
    checks = []
    for host in own["hosts"] if own else []:
        at = f"at {host['requests_per_second']:g} requests/s"
        checks.append(Check(f"time to ideal {at}", host["to_ideal"], slowest))
        checks.append(
            Check(f"share of refused requests {at}", host["refused_share"], refused_share)
        )
    if own:
        checks.append(Check("lost parcels", own["worst"]["lost"], 0))
    return checks


def _find(found: Found, contender: str) -> Found:
    return next((entry for entry in found["entries"] if entry["contender"] == contender), {})
