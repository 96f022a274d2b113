"""Pictures for pages: one function a kind of plot, numbers in, inline SVG out.

Matplotlib draws them, one at a time, since its settings are global. Colours are Okabe and Ito's, told apart by
colour-blind readers and always doubled by a label, a marker or a line style. Texts stay texts in the SVG (searchable,
and read aloud), and are never parsed as markup or mathematics, since they may come from a log. The same numbers give
the same bytes.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from shoal.learn.intervals import Share

INK, QUIET, GRID = "#1f2933", "#6b7785", "#d9dee4"
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, YELLOW = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442",
)  # fmt: skip
"""Okabe and Ito, 'Color Universal Design', 2008."""
CYCLE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, YELLOW)
TIER_COLOURS: Mapping[str, str] = {
    "allow": GRID, "watch": SKY, "challenge": ORANGE, "restrict": VERMILION, "block": "#7a1f00",
}  # fmt: skip
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
STYLES = ("-", "--", "-.", ":")
_LOCK = threading.Lock()
_RC: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "shoal",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}
_SPANS = (
    (1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3600, "1 h"), (21_600, "6 h"), (86_400, "1 d"),
    (604_800, "1 week"), (2_592_000, "30 d"),
)  # fmt: skip
_NAME = 44


@dataclass(frozen=True)
class Bar:
    """One row of `bars`: a name, a share, and what stands beside it."""

    name: str
    share: Share
    note: str = ""


@dataclass(frozen=True)
class Stretch:
    """One row of `timeline`: what lasted from `start_us` to `end_us`, and the moments marked on it by series name."""

    name: str
    start_us: int
    end_us: int
    marks: Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Line:
    """One line of `lines`, with an optional band."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


@dataclass(frozen=True)
class Point:
    """One point of `reliability`: shares expected and observed, with the interval of the latter."""

    expected: float
    observed: float
    low: float
    high: float


def bars(rows: Sequence[Bar], *, title: str, xlabel: str, says: str) -> Markup:
    """Horizontal bars of shares with their 95 % Wilson intervals, in the order given."""
    with drawing():
        figure, axes = new_figure(8.2, 0.9 + 0.27 * max(len(rows), 1))
        for at, row in enumerate(rows):
            value = row.share.value or 0.0
            low, high = row.share.wilson()
            axes.barh(at, value, height=0.62, color=SKY)
            axes.plot([low, high], [at, at], color=INK, linewidth=1.3, solid_capstyle="butt")
            axes.plot([low, high], [at, at], "|", color=INK, markersize=7)
            note = cut(row.note, 26) or f"{row.share.successes:,} of {row.share.total:,}"
            axes.text(1.02, at, note, va="center", fontsize=8.5, color=QUIET, transform=axes.get_yaxis_transform())
        name_rows(axes, [row.name for row in rows])
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
        axes.grid(axis="x")
        return finish(figure, axes, title, xlabel, "", says)


def moves(
    rows: Sequence[tuple[str, Mapping[str, int], Mapping[str, int]]],
    series: Mapping[str, str],
    *,
    title: str,
    xlabel: str,
    says: str,
) -> Markup:
    """What came (to the right) and what went (to the left), a row a name, stacked by `series` (name to colour)."""
    with drawing():
        figure, axes = new_figure(8.2, 1.1 + 0.29 * max(len(rows), 1))
        most = 1
        for at, (_, came, went) in enumerate(rows):
            for sign, counts in ((1, came), (-1, went)):
                edge = 0
                for name, colour in series.items():
                    width = counts.get(name, 0)
                    label = cut(name) if at == 0 and sign == 1 else None
                    axes.barh(at, sign * width, left=sign * edge, height=0.62, color=colour, label=label)
                    edge += width
                most = max(most, edge)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_xlim(-1.08 * most if any(sum(went.values()) for _, _, went in rows) else 0, 1.08 * most)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):,.0f}"))
        name_rows(axes, [name for name, _, _ in rows])
        axes.grid(axis="x")
        if rows:
            legend(axes, len(series))
        return finish(figure, axes, title, xlabel, "", says)


def timeline(rows: Sequence[Stretch], series: Sequence[str], *, title: str, says: str) -> Markup:
    """Stretches of time, one below the other, with marked moments (one marker and colour a series)."""
    with drawing():
        figure, axes = new_figure(8.2, 1.1 + 0.29 * max(len(rows), 1))
        for at, row in enumerate(rows):
            start, end = days(row.start_us), days(row.end_us)
            axes.barh(at, max(end - start, 0.004), left=start, height=0.5, color=GRID, edgecolor=QUIET, linewidth=0.6)
        for number, name in enumerate(series):
            points = [(days(time), at) for at, row in enumerate(rows) for time in row.marks.get(name, ())]
            axes.plot(
                [x for x, _ in points],
                [y for _, y in points],
                MARKERS[number % len(MARKERS)],
                color=CYCLE[number % len(CYCLE)],
                markersize=5.5,
                markeredgecolor="white",
                markeredgewidth=0.6,
                label=cut(name),
                linestyle="none",
            )
        name_rows(axes, [row.name for row in rows])
        dates(axes)
        legend(axes, len(series))
        return finish(figure, axes, title, "", "", says)


def over_time(
    starts_us: Sequence[int],
    stacks: Mapping[str, Sequence[float]],
    *,
    width_us: int,
    title: str,
    ylabel: str,
    says: str,
    colours: Mapping[str, str] = TIER_COLOURS,
) -> Markup:
    """Stacked bars of counts per interval; `stacks` from the bottom up, each as long as `starts_us`."""
    with drawing():
        figure, axes = new_figure(8.2, 2.6)
        x = [days(start) for start in starts_us]
        floor = [0.0] * len(x)
        for number, (name, heights) in enumerate(stacks.items()):
            colour = colours.get(name, CYCLE[number % len(CYCLE)])
            axes.bar(x, heights, bottom=floor, width=width_us / 86_400e6, align="edge", color=colour, label=cut(name))
            floor = [low + height for low, height in zip(floor, heights, strict=True)]
        dates(axes)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.grid(axis="y")
        legend(axes, len(stacks))
        return finish(figure, axes, title, "", ylabel, says)


def lines(
    rows: Sequence[Line],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    says: str,
    spans: bool = False,
    shares: bool = False,
    mark: float | None = None,
) -> Markup:
    """Lines with their bands, each with its own style and colour; `spans`: x is seconds on a logarithmic axis; `shares`
    puts percent on the y axis, 0 to 1; `mark` draws an upright line."""
    with drawing():
        figure, axes = new_figure(8.2, 3.1)
        for number, row in enumerate(rows):
            colour = CYCLE[number % len(CYCLE)]
            style = STYLES[number % len(STYLES)]
            axes.plot(row.x, row.y, style, color=colour, linewidth=1.8, label=cut(row.name))
            if row.low is not None and row.high is not None:
                axes.fill_between(row.x, row.low, row.high, color=colour, alpha=0.15, linewidth=0)
        if mark is not None:
            axes.axvline(mark, color=QUIET, linewidth=1.0, linestyle=":")
        if spans:
            axes.set_xscale("log")
            axes.set_xticks([at for at, _ in _SPANS], [name for _, name in _SPANS])
            axes.minorticks_off()
            seen = [value for row in rows for value in row.x if value > 0]
            axes.set_xlim(min([*seen, 1.0]) * 0.8, max([*seen, 60.0]) * 1.25)
        if shares:
            axes.set_ylim(0, 1.02)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.grid(visible=True)
        legend(axes, len(rows))
        return finish(figure, axes, title, xlabel, ylabel, says)


def amounts(rows: Sequence[tuple[str, float]], *, title: str, xlabel: str, says: str, form: str = "{:,.3g}") -> Markup:
    """Horizontal bars of plain numbers with the number written at the end."""
    with drawing():
        figure, axes = new_figure(8.2, 0.9 + 0.27 * max(len(rows), 1))
        for at, (_, value) in enumerate(rows):
            axes.barh(at, value, height=0.62, color=SKY)
            axes.text(value, at, " " + form.format(value), va="center", fontsize=8.5)
        name_rows(axes, [name for name, _ in rows])
        axes.set_xlim(0, max([value for _, value in rows] + [1e-12]) * 1.14)
        axes.grid(axis="x")
        return finish(figure, axes, title, xlabel, "", says)


def reliability(rows: Sequence[Point], *, title: str, says: str) -> Markup:
    """Expected against observed shares with their intervals, both on logarithmic axes, since abuse is rare; a share of
    0 stands at the lower edge."""
    with drawing():
        figure, axes = new_figure(5.4, 4.4)
        seen = [value for row in rows for value in (row.expected, row.observed) if value > 0]
        least = min([*seen, 0.1]) / 3
        axes.plot([least, 1], [least, 1], ":", color=QUIET, linewidth=1.0)
        for row in rows:
            low, at = max(row.low, least), max(row.observed, least)
            axes.plot([row.expected, row.expected], [low, max(row.high, least)], color=INK, linewidth=1.1)
            axes.plot([row.expected], [at], "o" if row.observed > 0 else "v", color=BLUE, markersize=6)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(least, 1.3)
        axes.set_ylim(least, 1.3)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
        axes.minorticks_off()
        axes.grid(visible=True)
        return finish(figure, axes, title, "score: abusive, as expected", "observed", says)


def gains(rows: Sequence[Line], *, title: str, xlabel: str, ylabel: str, says: str) -> Markup:
    """Cumulative gain: lines of shares over a share on a logarithmic axis, worst first."""
    with drawing():
        figure, axes = new_figure(8.2, 3.1)
        for number, row in enumerate(rows):
            colour, style = CYCLE[number % len(CYCLE)], STYLES[number % len(STYLES)]
            axes.plot(row.x, row.y, style, color=colour, linewidth=1.8, label=cut(row.name))
        axes.set_xscale("log")
        begun = [x for row in rows for x, y in zip(row.x, row.y, strict=True) if x > 0 and y >= 0.005]
        axes.set_xlim(min([*begun, 0.01]), 1)
        axes.set_ylim(0, 1.02)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.minorticks_off()
        axes.grid(visible=True)
        legend(axes, len(rows))
        return finish(figure, axes, title, xlabel, ylabel, says)


def histograms(
    edges: Sequence[float],
    stacks: Mapping[str, Sequence[float]],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    says: str,
    marks: Mapping[str, float] | None = None,
) -> Markup:
    """Shares by cell, one outline a name, each with its own colour and line style; `marks` are upright lines."""
    with drawing():
        figure, axes = new_figure(8.2, 2.8)
        for number, (name, shares) in enumerate(stacks.items()):
            colour, style = CYCLE[number % len(CYCLE)], STYLES[number % len(STYLES)]
            axes.stairs(shares, edges, color=colour, linestyle=style, linewidth=1.6, label=cut(name))
            axes.stairs(shares, edges, color=colour, alpha=0.12, fill=True)
        for number, (name, at) in enumerate((marks or {}).items()):  # at their own heights: levels may stand close
            axes.axvline(at, color=QUIET, linewidth=1.0, linestyle=":")
            height, text = 0.96 - 0.09 * number, f" {cut(name, 12)}"
            axes.text(at, height, text, fontsize=8.5, color=QUIET, transform=axes.get_xaxis_transform())
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.grid(axis="y")
        legend(axes, len(stacks))
        return finish(figure, axes, title, xlabel, ylabel, says)


@contextmanager
def drawing() -> Iterator[None]:
    """The settings of all pictures, for one picture at a time."""
    with _LOCK, matplotlib.rc_context(_RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # measured as a box here; the reader's font has it
        yield


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of so many inches with one pair of axes."""
    figure = Figure(figsize=(width, min(height, 60.0)), layout="constrained")
    return figure, figure.add_subplot()


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Rows from the top down, each with its name."""
    axes.set_yticks(range(len(names)), [cut(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def cut(name: str, most: int = _NAME) -> str:
    """A name that fits, without characters that do not print."""
    clean = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def dates(axes: Axes) -> None:
    """Days along x."""
    locator = AutoDateLocator(tz=UTC, minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))  # type: ignore[no-untyped-call]
    axes.xaxis_date(UTC)


def days(time_us: int) -> float:
    """A time as Matplotlib counts: days from 1970."""
    return time_us / 86_400e6


def legend(axes: Axes, entries: int) -> None:
    """A legend above the axes, where there is more than one thing to tell apart."""
    if entries > 1:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=min(entries, 5), frameon=False, fontsize=8.5)


def finish(figure: Figure, axes: Axes, title: str, xlabel: str, ylabel: str, says: str) -> Markup:
    """The picture as inline SVG with its caption; `says` tells what is to be seen."""
    axes.set_xlabel(cut(xlabel, 110))
    axes.set_ylabel(cut(ylabel, 26))
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    text = out.getvalue()
    picture = text[text.index("<svg") :]
    return Markup(  # noqa: S704 - Matplotlib escapes the texts in its SVG; what is ours is escaped here
        f'<figure><figcaption>{escape(title)}</figcaption><div role="img" aria-label="{escape(says)}">{picture}</div>'
        f"<p>{escape(says)}</p></figure>"
    )


def hours(times_us: Iterable[int], start_us: int, end_us: int, width_us: int) -> tuple[list[int], list[int]]:
    """Counts of moments per interval of `width_us` from `start_us`: the starts, and the counts."""
    size = max(1, -(-(end_us - start_us) // width_us))
    counts = [0] * size
    for time in times_us:
        at = (time - start_us) // width_us
        if 0 <= at < size:
            counts[at] += 1
    return [start_us + at * width_us for at in range(size)], counts


def day_of(time_us: int) -> str:
    """The day of a time, for a caption."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%-d %B %Y")
