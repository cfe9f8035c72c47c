"""Pictures of what is collected: charts that JupyterLab draws without a network.

Each is a Vega-Lite specification with its data inside, so that a saved notebook keeps it. The data
are counted by the store first: a chart of 100,000 parcels is as small as one of 100.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from propkit.errors import RequestError
from propkit.store import Reading
from propkit.store.batches import read_head
from propkit.store.statistics import host_paces

if TYPE_CHECKING:
    import altair as alt

# JupyterLab draws version 5 by itself; altair writes 6, which has the same words for all of this.
MIME: Final = "application/vnd.vegalite.v5+json"
_SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v5.json"
# Each stands out from white and from a dark theme's ground, by 3 to 1 at least.
BLUE: Final = "#3987e5"
_RED: Final = "#e5484d"
_WIDTH: Final = 640
_BINS: Final = 30


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart or a map; ``spec`` is its Vega-Lite specification, with the data."""

    title: str
    spec: Mapping[str, Any]

    def __repr__(self) -> str:
        """Return what is drawn."""
        return f"<Picture: {self.title}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {MIME: self.spec, "text/plain": repr(self)}


def draw_chart(store: Reading, kind: str, batch: str | int | None = None) -> Picture:
    """Draw a chart of one of :data:`CHARTS`; ``batch`` is for the paces only.

    Raises
    ------
    RequestError
        There is no such chart or batch, or nothing to draw is collected.
    """
    if kind not in CHARTS:
        raise RequestError(f"no chart {kind!r}; expected one of {', '.join(CHARTS)}")
    if batch is not None and kind not in ("pace", "pace_by_host"):
        raise RequestError(f"the chart {kind!r} is of the whole store; leave batch out")
    title, sql, draw = CHARTS[kind]
    params = []
    if kind == "pace" or batch is not None:
        head = read_head(store, "last" if batch is None else batch)
        params, title = [head.batch_id], f"{title}, batch {head.number}"
    if kind == "pace_by_host":
        rows = plain_rows([asdict(one) for one in host_paces(store, *params)])
    else:
        rows = plain_rows(store.rows(sql, params))
    if not rows:
        raise RequestError(f"nothing to draw: no {title.lower()} is collected yet")
    return finish_picture(draw(rows), title)


def make_chart(values: Sequence[Mapping[str, Any]]) -> alt.Chart:
    """Return a chart of rows, still without marks."""
    import altair as alt

    return alt.Chart(alt.Data(values=values))  # type: ignore[no-untyped-call]


def _histogram(rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    return (
        make_chart(rows)
        .mark_bar(color=BLUE)
        .encode(
            x=alt.X(
                "least:Q",
                title="US dollars",
                bin="binned",
                axis=alt.Axis(format="$,.0f", labelOverlap=True, labelSeparation=12),
            ),
            x2="most:Q",
            y=alt.Y("parcels:Q", title="parcels", axis=_whole_numbers(rows, "parcels")),
            tooltip=[
                alt.Tooltip("least:Q", title="from", format="$,.0f"),
                alt.Tooltip("most:Q", title="to", format="$,.0f"),
                alt.Tooltip("parcels:Q"),
            ],
        )
    )


def _whole_numbers(rows: list[dict[str, Any]], name: str) -> alt.Axis:
    """Return an axis that counts: JupyterLab's Vega would mark halves where the counts are small."""
    import altair as alt

    return alt.Axis(tickCount=min(5, max(row[name] for row in rows)))


def _by_year(rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    base = make_chart(rows).encode(x=alt.X("tax_year:O", title="tax year"))
    money = alt.Axis(format="$,.0f")
    band = base.mark_area(opacity=0.25, color=BLUE).encode(
        y=alt.Y("low:Q", title="full cash value", axis=money), y2="high:Q"
    )
    line = base.mark_line(color=BLUE, point=True).encode(
        y="middle:Q",
        tooltip=[
            alt.Tooltip("tax_year:O", title="tax year"),
            alt.Tooltip("middle:Q", title="median", format="$,.0f"),
            alt.Tooltip("low:Q", title="a quarter below", format="$,.0f"),
            alt.Tooltip("high:Q", title="a quarter above", format="$,.0f"),
            alt.Tooltip("parcels:Q"),
        ],
    )
    return band + line


def _by_month(rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    return (
        make_chart(rows)
        .mark_bar(color=BLUE)
        .encode(
            x=alt.X("month:T", title="month of the sale"),
            y=alt.Y("sales:Q", axis=_whole_numbers(rows, "sales")),
            tooltip=[
                alt.Tooltip("month:T", format="%B %Y"),
                alt.Tooltip("sales:Q"),
                alt.Tooltip("median_price:Q", title="median price", format="$,.0f"),
            ],
        )
    )


def _delinquency(rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    return (
        make_chart(rows)
        .mark_bar()
        .encode(
            x=alt.X("tax_year:O", title="tax year"),
            y=alt.Y("amount_due:Q", title="amount due", axis=alt.Axis(format="$,.0f")),
            color=alt.Color(
                "lien:N", title="tax lien",
                scale=alt.Scale(domain=["no", "yes"], range=[BLUE, _RED]),
            ),
            tooltip=["tax_year:O", "lien:N", alt.Tooltip("amount_due:Q", format="$,.2f"),
                     "parcels:Q"],
        )
    )  # fmt: skip


def _pace(rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    return (
        make_chart(rows)
        .mark_line(point=True, interpolate="monotone")
        .encode(
            x=alt.X("second:Q", title="seconds since the batch began"),
            y=alt.Y("per_second:Q", title="items a second"),
            color=alt.Color("source:N", scale=alt.Scale(scheme="tableau10")),
            tooltip=["source:N", "second:Q", alt.Tooltip("per_second:Q", format=".1f")],
        )
    )


def _host_pace(rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    return (
        make_chart(rows)
        .mark_line(point=True, interpolate="monotone", strokeWidth=1)
        .encode(
            x=alt.X("at:T", title="time"),
            y=alt.Y("per_second:Q", title="requests a second"),
            color=alt.Color("host:N", scale=alt.Scale(scheme="tableau10")),
            tooltip=[
                "host:N",
                alt.Tooltip("at:T", format="%Y-%m-%d %H:%M:%S"),
                alt.Tooltip("per_second:Q", format=".2f"),
                "refused:Q",
            ],
        )
    )


def finish_picture(chart: alt.TopLevelMixin, title: str) -> Picture:
    """Return a chart as JupyterLab draws it."""
    given = chart.properties(title=title, width=_WIDTH).to_dict()
    # Without ground and words of its own: JupyterLab draws both as its theme, light or dark, has them.
    return Picture(title, {**given, "$schema": _SCHEMA})


def plain_rows(rows: Sequence[Mapping[Any, Any]]) -> list[dict[str, Any]]:
    """Return rows as JSON holds them."""
    return [{str(name): _value(value) for name, value in row.items()} for row in rows]


def _value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, str | bool | int | dict) or value is None:
        return value
    return float(value) if isinstance(value, float) and value == value else None  # noqa: PLR0124


def _bins(source: str) -> str:
    """Return the query of a distribution; the highest hundredth is left to the last bar."""
    return f"""
        WITH given AS ({source}),
        ends AS (
            SELECT min(value) AS low, quantile_cont(value, 0.99) AS high FROM given),
        steps AS (SELECT low, greatest((high - low) / {_BINS}, 1) AS step FROM ends)
        SELECT low + step * bin AS least, low + step * (bin + 1) AS most, count(*) AS parcels
        FROM (SELECT low, step, least({_BINS} - 1, floor((value - low) / step)) AS bin
            FROM given, steps)
        GROUP BY low, step, bin ORDER BY least
    """  # noqa: S608 -- nothing of it is given by a person


_VALUES = """
    SELECT max_by(full_cash_value, tax_year)::DOUBLE AS value FROM valuations
    WHERE full_cash_value IS NOT NULL GROUP BY apn"""
_PRICES = "SELECT sale_price::DOUBLE AS value FROM sales WHERE sale_price > 0"

CHARTS: Final[Mapping[str, tuple[str, str, Callable[[list[dict[str, Any]]], Any]]]] = {
    "values": ("Full cash values", _bins(_VALUES), _histogram),
    "sale_prices": ("Sale prices", _bins(_PRICES), _histogram),
    "values_by_year": (
        "Full cash values by year: the median, and half of the parcels around it",
        """
        SELECT tax_year, median(full_cash_value)::DOUBLE AS middle, count(*) AS parcels,
            quantile_cont(full_cash_value::DOUBLE, 0.25) AS low,
            quantile_cont(full_cash_value::DOUBLE, 0.75) AS high
        FROM valuations WHERE full_cash_value IS NOT NULL GROUP BY tax_year ORDER BY tax_year
        """,
        _by_year,
    ),
    "sales_by_month": (
        "Sales by month",
        """
        SELECT date_trunc('month', sold_on)::DATE AS month, count(*) AS sales,
            median(sale_price)::DOUBLE AS median_price
        FROM sales WHERE sold_on IS NOT NULL GROUP BY month ORDER BY month
        """,
        _by_month,
    ),
    "delinquency": (
        "Tax that is due",
        """
        SELECT tax_year, CASE WHEN has_tax_lien THEN 'yes' ELSE 'no' END AS lien,
            sum(amount_due)::DOUBLE AS amount_due, count(*) AS parcels
        FROM tax_bills WHERE amount_due > 0 GROUP BY ALL ORDER BY tax_year, lien
        """,
        _delinquency,
    ),
    "pace": (
        "Pace",
        """
        WITH ended AS (
            SELECT source, epoch(ended_at) - min(epoch(started_at)) OVER () AS second
            FROM items
            WHERE batch_id = $1 AND started_at IS NOT NULL AND ended_at IS NOT NULL),
        width AS (SELECT greatest(1.0, ceil(max(second) / 60)) AS size FROM ended)
        SELECT source, floor(second / size) * size AS second, count(*) / size AS per_second
        FROM ended, width GROUP BY source, floor(second / size), size ORDER BY source, second
        """,
        _pace,
    ),
    "pace_by_host": ("Pace of each host", "", _host_pace),
}
"""By name: what is drawn, the query that counts it, and how it is drawn."""
