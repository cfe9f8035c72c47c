"""The tables, in Markdown: contenders, targets, and what a reader must know of the run."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.contenders import FETCH_ONLY
from tests.benchmarks.targets import Check, cpu_ms, per_second

Found = dict[str, Any]

PARCEL_RULES = (
    "{in_flight} requests in flight for each host (requests: 5 threads, or one by one). Every"
    " contender stored the same rows{rows}. propkit stores more besides: every answer's body, when"
    " it was asked and how, the freshness ledger and the items of the batch."
)

_QUIET = 0.1
"""What other programs may use of a core before times are doubted."""


def throughput_table(found: Found) -> list[str]:
    """Return a line for each contender: parcels per second, CPU and memory."""
    of_propkit = [entry for entry in found["entries"] if entry["contender"] == "propkit"]
    # Beside the job of the same size, where there are several.
    same_size = {entry["parcels"]: entry for entry in of_propkit}
    first = of_propkit[0] if of_propkit else None
    lines = []
    for entry in found["entries"]:
        median, own = entry["median"], same_size.get(entry["parcels"], first)
        cells = [
            entry["contender"],
            f"{entry['parcels']:,}",
            f"{per_second(entry):,.0f}",
            _range(entry),
            f"{per_second(own) / per_second(entry):.2f} ×" if own else "",
            f"{cpu_ms(entry):.2f}",
            f"{cpu_ms(own) / cpu_ms(entry):.2f} ×" if own else "",
            f"{median['peak_mb']:,.0f}",
            f"{median['server_busy']:.0%}",
        ]
        if entry["contender"] in FETCH_ONLY:
            cells[0], cells[4], cells[6] = f"({cells[0]})", "", ""
        lines.append(cells)
    return _table(
        [
            "contender", ":parcels", ":parcels/s", ":slowest to fastest round", ":propkit is as fast", ":CPU ms/parcel",
            ":propkit needs", ":peak MB", ":server busy",
        ],
        lines,
    )  # fmt: skip


def leads_table(found: Found) -> list[str]:
    """Return a line for each contender: leads per second, CPU, memory, the loop's longest gap."""
    own = next((e for e in found["entries"] if e["contender"] == "propkit_leads"), None)
    return _table(
        [
            "contender", ":leads", ":leads/s", ":slowest to fastest round", ":propkit is as fast", ":CPU ms/lead",
            ":peak MB", ":longest gap, ms", ":requests", ":server busy",
        ],
        [
            [
                entry["contender"],
                f"{entry['parcels']:,}",
                f"{per_second(entry):,.0f}",
                _range(entry),
                f"{per_second(own) / per_second(entry):.2f} ×" if own else "",
                f"{cpu_ms(entry):.3f}",
                f"{entry['median']['peak_mb']:,.0f}",
                f"{entry['median']['gap_ms']:.0f}" if "gap_ms" in entry["median"] else "",
                f"{entry['median']['requests']:,.0f}",
                f"{entry['median']['server_busy']:.0%}",
            ]
            for entry in found["entries"]
        ],
    )  # fmt: skip


def guests_table(found: Found) -> list[str]:
    """Return a line for each thing that guests do: how often, and how long it took."""
    lines = []
    for entry in found["entries"]:
        median = entry["median"]
        written = f"write of {median['write_rows']:.0f} rows"
        frame = f"frame of 50,000 × {median['columns']:.0f}"
        lines += [
            [f"{written}, one guest", *_times(median, "writes", "write_ms", "write_p95_ms")],
            [f"{written}, six at once", *_times(median, "six_writes", "six_ms", "six_p95_ms")],
            [f"{frame}, in the owner", *_times(median, "frames", "owner_frame_ms")],
            [f"{frame}, in a guest", *_times(median, "frames", "guest_frame_ms")],
            [
                "parcel collected by the owner, seen by a guest",
                *_times(median, "delays", "delay_ms", "delay_p95_ms"),
            ],
            [
                "owner killed, until all six guests are answered again",
                *_times(median, "takeovers", "takeover_ms"),
            ],
        ]
    return _table(["what", ":times a round", ":median ms", ":p95 ms"], lines)


def plan_table(found: Found) -> list[str]:
    """Return a line for each thing that planning takes."""
    lines = []
    for entry in found["entries"]:
        median = entry["median"]
        what = f"{median['identifiers']:,.0f} identifiers, {median['stored']:,.0f} parcels"
        lines += [
            ["opening the store", f"{median['open_ms']:.0f}", "", ""],
            [f"first plan: {what}", f"{median['first_ms']:.0f}", "", ""],
            [
                f"all plans: {what}",
                *(f"{median[name]:.0f}" for name in ("plan_ms", "most_ms", "plan_cpu_ms")),
            ],
        ]
    return _table(["what", ":median ms", ":most ms", ":CPU ms each"], lines)


def listing_table(found: Found) -> list[str]:
    """Return a line for each place of the store: how long a page of jobs took."""
    return _table(
        ["the server is", ":jobs", ":requests", ":median ms", ":p95 ms", ":most ms"],
        [
            [
                f"the {way}" if way == "owner" else f"a {way}",
                f"{entry['median']['jobs']:,.0f}",
                f"{entry['median']['asked']:,.0f}",
                *(f"{entry['median'][f'{way}_{of}ms']:.1f}" for of in ("", "p95_", "most_")),
            ]
            for entry in found["entries"]
            for way in ("owner", "guest")
        ],
    )


def reparse_table(found: Found) -> list[str]:
    """Return a line for each source: the seconds to tell its differences, and to store them."""
    lines = []
    for entry in found["entries"]:
        for name in ("maricopa_assessor", "maricopa_treasurer"):
            told, stored = (entry["median"][f"{name}_{what}"] for what in ("told", "stored"))
            lines.append([name, f"{entry['parcels']:,}", f"{told:.1f}", f"{stored:.1f}"])
    return _table(["source", ":answers", ":told s", ":stored s"], lines)


def browser_table(found: Found) -> list[str]:
    """Return a line for each way of opening pages."""
    lines = []
    for entry in found["entries"]:
        median = entry["median"]
        lines += [
            ["propkit", f"{median['own_per_second']:.1f}", ""],
            [
                "Playwright, reused pages",
                f"{median['reused_per_second']:.1f}",
                f"{median['to_reused']:.2f} ×",
            ],
            [
                "Playwright, a new browser each",
                f"{median['new_per_second']:.1f}",
                f"{median['to_new']:.1f} ×",
            ],
        ]
    return _table(["way", ":pages/s", ":propkit to it"], lines)


def posting_table(found: Found) -> list[str]:
    """Return a line for each way of posting."""
    lines = []
    for entry in found["entries"]:
        median = entry["median"]
        lines += [
            ["propkit", f"{median['own_ms']:.0f}", ""],
            ["Playwright by hand", f"{median['hand_ms']:.0f}", f"{median['to_hand']:.2f} ×"],
        ]
    return _table(["way", ":ms a row", ":propkit to it"], lines)


def leak_table(found: Found) -> list[str]:
    """Return a line about pages that leak."""
    lines = []
    for entry in found["entries"]:
        median = entry["median"]
        lines.append(
            [
                f"{median['pages']:,.0f}",
                f"{median['lost_parcels']:.0f}",
                f"{median['own_per_second']:.1f}",
                f"{median['most_mb']:.0f}",
                f"{median['ceiling_mb']:.0f}",
            ]
        )
    heads = [":pages", ":lost parcels", ":pages/s", ":most memory, MiB", ":ceiling, MiB"]
    return _table(heads, lines)


def limits_table(found: Found) -> list[str]:
    """Return a line for each contender and host: the time against the ideal, and refusals."""
    return _table(
        [
            "contender", ":limit/s", ":parcels", ":seconds", ":to ideal", ":refused",
            ":share refused", ":lost", ":doubled",
        ],
        [
            [
                entry["contender"],
                f"{host['requests_per_second']:g}",
                f"{host['parcels']:,}",
                f"{host['seconds']:.1f}",
                f"{host['to_ideal']:.3f} ×",
                f"{host['refused']:,.0f}",
                f"{host['refused_share']:.1%}",
                f"{host['lost']:,}",
                f"{entry['worst']['doubled']:,}",
            ]
            for entry in found["entries"]
            for host in entry["hosts"]
        ],
    )  # fmt: skip


def faults_table(found: Found) -> list[str]:
    """Return a line for each contender: what was lost or doubled, and the time."""
    return _table(
        ["contender", ":parcels", ":lost", ":doubled", ":requests", ":seconds", ":CPU ms/parcel"],
        [
            [
                entry["contender"],
                f"{entry['parcels']:,}",
                f"{entry['worst']['lost']:,}",
                f"{entry['worst']['doubled']:,}",
                f"{entry['median']['requests']:,.0f}",
                f"{entry['median']['seconds']:.1f}",
                f"{cpu_ms(entry):.2f}",
            ]
            for entry in found["entries"]
        ],
    )


def as_markdown(found: Found, table: list[str], checks: list[Check]) -> str:
    """Return a scenario's part of the report."""
    versions = ", ".join(f"{name} {text}" for name, text in found["versions"].items())
    rows = ", but for what is shown as lost" if found["may_lose"] else ""
    said = (
        f"{found['says']} Medians of {found['rounds']} alternating rounds. "
        f"{found['rules'].format(in_flight=found['in_flight'], rows=rows)}"
    )
    ran_on = (
        f"Python {found['python']}, {found['cores']} cores; {versions}. While it ran, programs"
        f" outside the benchmark used {found['others_busy']:.0%} of one core (median), at most"
        f" {found['others_most']:.0%}."
    )
    if found["others_busy"] > _QUIET:
        ran_on += (
            " **That is too much: times and ratios of times are distorted, CPU and counts are"
            " less so.**"
        )
    lines = [
        *(f"## {found['scenario']}", "", said, "", ran_on, ""),
        *table,
        "",
        *(line for note in found["notes"] for line in (note, "")),
    ]
    if checks:
        lines += [
            *_table(
                ["target", ":measured", ":wanted", "met"],
                [
                    [
                        check.what,
                        f"{check.value:.3f}",
                        f"{'≥' if check.at_least else '≤'} {check.target:g}",
                        "yes" if check.is_met else "**no**",
                    ]
                    for check in checks
                ],
            ),
            "",
        ]
    return "\n".join(lines)


def _times(median: Found, count: str, middle: str, p95: str | None = None) -> list[str]:
    high = f"{median[p95]:.1f}" if p95 else ""
    return [f"{median[count]:.0f}", f"{median[middle]:.1f}", high]


def _range(entry: Found) -> str:
    speeds = [entry["parcels"] / run["seconds"] for run in entry["runs"]]
    return f"{min(speeds):,.0f} to {max(speeds):,.0f}"


def _table(titles: list[str], rows: list[list[str]]) -> list[str]:
    """Return a Markdown table; a title that begins with a colon stands over numbers."""
    return [
        f"| {' | '.join(title.removeprefix(':') for title in titles)} |",
        f"|{'|'.join('---:' if title.startswith(':') else '---' for title in titles)}|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
