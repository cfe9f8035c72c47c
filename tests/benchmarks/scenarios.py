"""The scenarios. A further one is an entry of :data:`SCENARIOS`, with its own table and targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.benchmarks import tables, targets
from tests.benchmarks.jobs import Pace, Serves
from tests.benchmarks.server import HostSpec

Found = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One contender, and how many parcels it collects at each host."""

    contender: str
    shares: tuple[int, ...]

    @property
    def parcels(self) -> int:
        """How many parcels it collects in all."""
        return sum(self.shares)

    @property
    def label(self) -> str:
        """How the entry is named in a run's files."""
        return f"{self.contender}-{self.parcels}"

    def scaled(self, scale: float) -> Entry:
        """Return the entry with other shares, for a quick look."""
        return Entry(self.contender, tuple(max(20, round(n * scale)) for n in self.shares))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is measured, and how it is shown.

    ``rules`` hold for all contenders. ``may_lose`` says that lost and doubled parcels are shown and no error. ``minutes`` is about
    how long the scenario takes on two cores.
    """

    says: str
    entries: tuple[Entry, ...]
    hosts: tuple[HostSpec, ...] = (HostSpec(),)
    rounds: int = 5
    pace: Pace = "none"
    serves: Serves = "parcels"
    rules: str = tables.PARCEL_RULES
    may_lose: bool = False
    minutes: float
    table: Callable[[Found], list[str]] = tables.throughput_table
    checks: Callable[[Found], list[targets.Check]] = targets.no_checks
    notes: tuple[str, ...] = ()


_FEWER = (
    "Contenders that are asked for fewer parcels are compared by parcels per second; what it costs"
    " to start and to end is in it."
)
_LEFT_AS_THEY_COME = (
    "aiohttp_by_hand asks with 16 workers for each host and waits out each Retry-After: some ten"
    " times too slow, so it collects a tenth. Crawlee and Scrapy (AutoThrottle) are left as they"
    " come, and collect half a minute's worth: they take up to twice as long."
)
_JUDGED_BY_ANSWERED = (
    "A contender that lost parcels gave them up, and ended the sooner: it is judged by the parcels"
    " that it was given."
)
_WAITING = (
    "The time is mostly that of waiting: Crawlee and Scrapy do not wait when Retry-After asks them"
    " to, aiohttp_by_hand pauses one worker, propkit the host."
)
_LIMITED_SECONDS = 60
_LIMITED_HOSTS = tuple(HostSpec(requests_per_second=rate) for rate in (5.0, 10.0, 20.0))
_A_MINUTE = tuple(
    int((host.requests_per_second or 0) * _LIMITED_SECONDS) for host in _LIMITED_HOSTS
)

_LEADS_RULES = (
    "One paid request after the other, since each is paid for. Every contender stored the same rows"
    " about the same leads. propkit does more: it counts before it buys (free), keeps within caps,"
    " writes each page into a journal before it is sent and settles it after,"
    " and stores every answer's body; the others only buy."
)
_LEADS_GAP = (
    "The longest gap is that of the main thread's event loop while a cell awaits the batch: how"
    " late a task that sleeps 5 ms was at worst. All of propkit's seconds are in its speed:"
    " opening the store, the preview, the batch and closing."
)

_GUESTS_RULES = (
    "Owner and guests are processes of their own. Every row that a guest has written is in the"
    " file once when the owner has been killed: checked."
)
_GUESTS_WRITE = (
    "A write is `kit.start(plan)` with 400 items until it returns: the owner has committed the"
    " batch then, and begins to collect at 5 requests/s. One guest cancels each batch before the"
    " next; those of six guests run on together."
)
_GUESTS_READ = (
    "A parcel's delay is the time from its answer in the owner to the guest's first query, of one"
    " every 20 ms, that finds it."
)

_PLAN_RULES = (
    "The store holds each parcel's record, its answers of all three systems, half of them older"
    " than a day, and its items of a batch that has ended. A plan reads the identifiers, looks up"
    " what is fresh, where the deeds are and what other batches have in work, and says what is due."
)
_LISTING_RULES = (
    "Each request is sent at its moment, whether or not earlier ones have been answered, and timed"
    " from that moment. Every page has been asked for once before."
)

_REPARSE_RULES = (
    "The assessor's answer is one JSON object, the treasurer's three pages. One column of every"
    " parcel is read differently than it was stored: told only, and then stored with its history."
    " At the end nothing differs any more: checked."
)

_BROWSER_RULES = (
    "Four pages at once in one browser; images, fonts and media are not loaded. propkit collects"
    " whole parcels (isolated sessions, pace, checks, records in DuckDB), Playwright by hand only"
    " reads the pages, in a browser as Playwright opens it; propkit's opens no process ahead of a"
    " navigation. A new browser for each page opens the first page again and again."
)
_LEAK_NOTE = (
    "The memory is the proportional set size of every process of the browsers (what they share"
    " counts once), measured five times a second beside propkit."
)

_POSTING_RULES = (
    "The same clicks for the same fields, row by row in one window, in turns of a fifth of the rows;"
    " login and the start of the browser are in it. propkit does more: it reads and checks the"
    " sheet, reads every field back, writes intent and proof into the ledger and the status into"
    " the workbook. Each listing is on the site once: checked."
)

_AREA_RULES = (
    "Four pages in flight. Every contender stored the same parcels and the same outlines. propkit"
    " does more: it describes and counts the layer first, checks that each page came whole, keeps"
    " every answer's body, and can go on after a crash."
)

SCENARIOS: dict[str, Scenario] = {
    "unlimited": Scenario(
        says="One host that answers at once and refuses nothing.",
        entries=(
            Entry("propkit", (10_000,)),
            Entry("aiohttp_by_hand", (10_000,)),
            Entry("crawlee", (10_000,)),
            Entry("scrapy", (2500,)),
            Entry("dlt", (2500,)),
            Entry("requests_threads", (2000,)),
            Entry("requests_one_by_one", (2000,)),
            Entry("aiohttp_fetch_only", (10_000,)),
            Entry("server_alone", (2000,)),
        ),
        minutes=3.8,
        checks=targets.check_unlimited,
        notes=(_FEWER,),
    ),
    "latency": Scenario(
        says="One host that answers after 50 ms: 16 in flight make 320 parcels/s at most.",
        hosts=(HostSpec(latency_seconds=0.05),),
        entries=(
            Entry("propkit", (600,)),
            Entry("aiohttp_by_hand", (600,)),
            Entry("crawlee", (600,)),
            Entry("scrapy", (600,)),
            Entry("dlt", (600,)),
            Entry("requests_threads", (600,)),
            Entry("requests_one_by_one", (100,)),
        ),
        minutes=2.7,
    ),
    "known_limits": Scenario(
        says=(
            "Three hosts that refuse more than 5, 10 and 20 requests/s (a burst of 2 is let"
            " through); the client knows these limits and collects a minute's worth at each."
        ),
        hosts=_LIMITED_HOSTS,
        entries=(Entry("propkit", _A_MINUTE), Entry("aiohttp_by_hand", _A_MINUTE)),
        rounds=2,
        pace="known",
        minutes=4.3,
        table=tables.limits_table,
        checks=targets.check_known_limits,
        notes=("aiohttp_by_hand starts requests exactly 1/rate seconds apart.",),
    ),
    "unknown_limits": Scenario(
        says=(
            "Three hosts that refuse more than 5, 10 and 20 requests/s (a burst of 2 is let"
            " through) with 429 and Retry-After: 1; the client does not know these limits."
        ),
        hosts=_LIMITED_HOSTS,
        entries=(
            Entry("propkit", _A_MINUTE),
            Entry("aiohttp_by_hand", tuple(share // 10 for share in _A_MINUTE)),
            Entry("crawlee", tuple(share // 2 for share in _A_MINUTE)),
            Entry("scrapy", tuple(share // 2 for share in _A_MINUTE)),
        ),
        rounds=2,
        pace="learn",
        may_lose=True,
        minutes=5,
        table=tables.limits_table,
        checks=targets.check_unknown_limits,
        notes=(_LEFT_AS_THEY_COME, _JUDGED_BY_ANSWERED),
    ),
    "faults": Scenario(
        says=(
            "One host where 10 % of the requests fail: 500, 503 and 429 (both with Retry-After: 1),"
            " a body cut short, a dropped connection, an HTML page or nothing with status 200. No"
            " parcel fails more than twice."
        ),
        hosts=(HostSpec(faults=0.1),),
        entries=(
            Entry("propkit", (400,)),
            Entry("aiohttp_by_hand", (400,)),
            Entry("crawlee", (400,)),
            Entry("scrapy", (400,)),
            Entry("dlt", (400,)),
            Entry("requests_threads", (400,)),
        ),
        may_lose=True,
        minutes=3.3,
        table=tables.faults_table,
        checks=targets.check_faults,
        notes=(_WAITING,),
    ),
    "growth": Scenario(
        says="One host that answers at once; ten and a hundred times as many parcels.",
        entries=tuple(
            Entry(contender, (parcels,))
            for parcels in (1000, 10_000, 100_000)
            for contender in ("propkit", "aiohttp_by_hand")
        ),
        rounds=1,
        minutes=4.5,
        checks=targets.check_growth,
    ),
    "progress": Scenario(
        says="One host that answers at once, with the notebook's progress bars and without them.",
        entries=(Entry("propkit", (10_000,)), Entry("propkit_with_bars", (10_000,))),
        rounds=2,
        minutes=1.2,
        checks=targets.check_progress,
    ),
    "leads": Scenario(
        says="10,000 leads in 25 pages of 400, from one host that answers at once.",
        entries=tuple(
            Entry(contender, (10_000,))
            for contender in ("propkit_leads", "aiohttp_leads", "dlt_leads")
        ),
        rounds=3,
        serves="leads",
        rules=_LEADS_RULES,
        minutes=1,
        table=tables.leads_table,
        checks=targets.check_leads,
        notes=(_LEADS_GAP,),
    ),
    "arcgis": Scenario(
        says="An area of a map layer in pages of 1000, from one host that answers at once.",
        entries=(
            Entry("propkit_area", (100_000,)),
            Entry("aiohttp_layer", (100_000,)),
            Entry("propkit_area", (10_000,)),
        ),
        rounds=2,
        serves="layer",
        rules=_AREA_RULES,
        minutes=0.9,
        table=tables.throughput_table,
        checks=targets.check_area,
        notes=(_FEWER,),
    ),
    "guests": Scenario(
        says="One process owns the store; one guest and then six write and read through it.",
        entries=(Entry("guests", (2400,)),),
        rounds=2,
        rules=_GUESTS_RULES,
        minutes=1,
        table=tables.guests_table,
        checks=targets.check_guests,
        notes=(_GUESTS_WRITE, _GUESTS_READ),
    ),
    "plan": Scenario(
        says="50,000 identifiers are planned against a store of 1.7 million parcels.",
        # Each stands for 1,700 parcels in the store and 50 identifiers; nothing is asked for.
        entries=(Entry("plans", (1000,)),),
        rounds=1,
        rules=_PLAN_RULES,
        minutes=0.4,
        table=tables.plan_table,
        checks=targets.check_plan,
    ),
    "listing": Scenario(
        says="A Jupyter server over 10,000 jobs is asked for all pages of them, at 100 requests/s.",
        # Each stands for 10 jobs in the store.
        entries=(Entry("listings", (1000,)),),
        rounds=1,
        rules=_LISTING_RULES,
        minutes=0.5,
        table=tables.listing_table,
        checks=targets.check_listing,
    ),
    "reparse": Scenario(
        says="10,000 kept answers of each of two sources, read again without any request.",
        entries=(Entry("reparse", (10_000,)),),
        rounds=1,
        rules=_REPARSE_RULES,
        minutes=2,
        table=tables.reparse_table,
        checks=targets.check_reparse,
    ),
    "browser": Scenario(
        says="The treasurer's form and pages in a browser, from a demo county that answers at once.",
        entries=(Entry("browser_pages", (240,)),),
        rounds=1,
        rules=_BROWSER_RULES,
        minutes=3,
        table=tables.browser_table,
        checks=targets.check_browser,
    ),
    "browser_leak": Scenario(
        says="1,100 of these pages (with --scale 2, 2,200), each of which takes 25 MB and lets nothing go.",
        entries=(Entry("browser_leak", (1100,)),),
        rounds=1,
        rules=_BROWSER_RULES,
        minutes=3.3,
        table=tables.leak_table,
        checks=targets.check_leak,
        notes=(_LEAK_NOTE,),
    ),
    "posting": Scenario(
        says="A listing sheet of 72 rows (with --scale 7, 504) is posted to the demo county's "
        "classifieds site, row by row.",
        entries=(Entry("postings", (72,)),),
        rounds=1,
        rules=_POSTING_RULES,
        minutes=2.7,
        table=tables.posting_table,
        checks=targets.check_posting,
    ),
}
