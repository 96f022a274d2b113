"""A campaign's page: why these accounts are said to be one, for a person who has to check it.

`CampaignPage` is all that the page shows, as plain values with names in place of ids; `write_campaign` draws and writes
it. The picture puts members in rows and what they share in columns, and beside each row when it signed up and acted, so
that both can be read off: who holds what, and that they came and acted together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from shoal.reports.page import write_page
from shoal.reports.plots import (
    CYCLE,
    GRID,
    INK,
    MARKERS,
    QUIET,
    cut,
    dates,
    days,
    drawing,
    finish,
    name_rows,
    new_figure,
    over_time,
)

MEMBERS_DRAWN, THINGS_DRAWN = 40, 16
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Thing:
    """Something that members share: how many of them, how many others have it, and in words what sharing it means."""

    relation: str
    name: str
    hard: bool
    members: int
    outside: int
    words: str


@dataclass(frozen=True)
class Row:
    """One member. `created_us` None: not known. `things`: places in the page's things. `moments`: when it did something
    with one of them, µs. `tier`: the highest that was ever decided about it, empty for none."""

    name: str
    belief: float
    hard: bool
    created_us: int | None
    things: Sequence[int]
    moments: Sequence[int]
    tier: str = ""


@dataclass(frozen=True)
class Doubt:
    """A member who may be innocent, and what speaks for it in words."""

    name: str
    belief: float
    why: str


@dataclass(frozen=True)
class CampaignPage:
    """All that the page shows; times µs UTC. `sources`: share of the evidence by where it comes from."""

    id: str
    score: float
    low: float
    high: float
    members: Sequence[Row]
    things: Sequence[Thing]
    evidence: Sequence[str]
    templates: Sequence[str]
    sources: Sequence[tuple[str, float]]
    first_us: int
    last_us: int
    growth: Sequence[tuple[int, int]]
    expected_innocents: float
    doubts: Sequence[Doubt]
    separates: Sequence[str]
    merged_from: Sequence[str]
    read: int


def write_campaign(path: Path, page: CampaignPage) -> Path:
    """Draw the page into `path`; returns it."""
    return write_page(path, "campaign", {"page": page, "plots": draw(page)})


def draw(page: CampaignPage) -> Mapping[str, Markup]:
    """The page's pictures by name."""
    starts = [day for day, _ in page.growth]
    growth = over_time(
        starts,
        {"members": [count for _, count in page.growth]},
        width_us=DAY_US,
        title="New members by day",
        ylabel="accounts",
        says="When each member's first tie with another was seen.",
        colours={"members": CYCLE[0]},
    )
    return {"ties": ties(page), "growth": growth}


def ties(page: CampaignPage) -> Markup:
    """Members in rows, what they share in columns, and the time of their acts beside."""
    members, things = list(page.members[:MEMBERS_DRAWN]), list(page.things[:THINGS_DRAWN])
    relations = list(dict.fromkeys(thing.relation for thing in things))
    left = len(members) < len(page.members) or len(things) < len(page.things)
    says = (
        "Each row is a member, each column something that members share: squares are hard links, dots soft ones. To "
        "the right, when it signed up (triangle) and when it used what is shared (ticks)."
    )
    if left:
        says += f" Drawn are {len(members)} of {len(page.members)} members, {len(things)} of {len(page.things)} things."
    with drawing():
        figure, axes = new_figure(9.4, 2.3 + 0.235 * max(len(members), 1))
        figure.delaxes(axes)
        width = max(len(things), 3)
        axes, comb = figure.subplots(1, 2, gridspec_kw={"width_ratios": [width * 0.34, 5.2]}, sharey=True)
        for column, thing in enumerate(things):
            number = relations.index(thing.relation)
            rows = [row for row, member in enumerate(members) if column in member.things]
            axes.plot([column, column], [-0.5, len(members) - 0.5], color=GRID, linewidth=0.7, zorder=0)
            marker = "s" if thing.hard else "o"
            axes.plot([column] * len(rows), rows, marker, color=CYCLE[number % len(CYCLE)], markersize=6.5,
                      markeredgecolor=INK if thing.hard else "none", linestyle="none")  # fmt: skip
        names = [f"{cut(thing.relation, 12)} {cut(thing.name, 16)}" for thing in things]
        axes.xaxis.tick_top()
        axes.set_xticks(range(len(things)), names, rotation=60, ha="left", fontsize=8)
        axes.set_xlim(-0.6, width - 0.4)
        axes.spines["bottom"].set_visible(False)
        for row, member in enumerate(members):
            comb.plot([days(t) for t in member.moments], [row] * len(member.moments), "|", color=INK, markersize=6)
            if member.created_us is not None:
                comb.plot([days(member.created_us)], [row], MARKERS[3], color=CYCLE[1], markersize=6)
            comb.axhline(row, color=GRID, linewidth=0.5, zorder=0)
        dates(comb)
        comb.tick_params(axis="y", length=0)
        comb.spines["left"].set_color(QUIET)
        name_rows(axes, [member.name for member in members])
        return finish(figure, axes, "Who shares what, and when", "", "", says)
