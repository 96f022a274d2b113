"""The demo's page: what a simulated world's attacks looked like, what was decided, what it was worth and what it cost.

`DemoPage` is all that the page shows, as plain values; `write_demo` draws and writes it. Nothing is computed here but
the layout of plots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from shoal.learn.evaluation.figures import Evaluation
from shoal.learn.intervals import Share
from shoal.reports import plots
from shoal.reports.page import write_page
from shoal.reports.plots import Bar, Line, Point, Stretch

HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Kind:
    """One kind of attack. `delays_s`: from the beginning of the harm to the decision, of the subjects caught."""

    name: str
    attacks: int
    caught: int
    watched: int
    subjects: Share
    events: Share
    delays_s: Sequence[float]


@dataclass(frozen=True)
class Attack:
    """One attack and the moments (µs) when it was first decided on, by tier name."""

    name: str
    kind: str
    start_us: int
    end_us: int
    first: Mapping[str, int]


@dataclass(frozen=True)
class RuleWorth:
    """One rule: its title, and the abusive among the subjects that it matched."""

    rule: str
    title: str
    share: Share


@dataclass(frozen=True)
class Told:
    """One rule's part of a story: when it first matched (µs), its title and its reason in words."""

    at_us: int
    title: str
    reason: str
    times: int


@dataclass(frozen=True)
class Story:
    """One of the worst subjects; `truth`: the kind of abuse it was, empty for an honest one."""

    subject_type: str
    subject: str
    tier: str
    truth: str
    first_us: int
    last_us: int
    told: Sequence[Told]
    actions: Sequence[str]


@dataclass(frozen=True)
class Added:
    """One kind of abuse in the judged days: how many of its subjects the rules of the threat caught, the detector
    alone where it touches as many honest subjects as they do, and both together as it was decided."""

    detector: str
    kind: str
    rules: Share
    detector_alone: Share
    both: Share
    honest: int
    honest_both: int


@dataclass(frozen=True)
class Learning:
    """What learning added from `from_us` on: rows, the evaluation on each model's card, and the honest accounts touched
    per 10,000 and week by rules alone and with models."""

    from_us: int
    rows: Sequence[Added]
    evaluations: Mapping[str, Evaluation]
    touched_alone: float
    touched: float


@dataclass(frozen=True)
class Group:
    """A campaign that was found, and the truth: `share` of its members that an attack made, hijacked or used; `attack`
    and how many of its accounts are in it (`of_attack`). `page`: where its own page lies, empty for none."""

    id: str
    score: float
    share: Share
    attack: str
    of_attack: Share
    innocents: float
    why: str
    page: str


@dataclass(frozen=True)
class DemoPage:
    """All that the page shows. Times are µs UTC, `stages` CPU seconds by stage, `tiers` events by tier name,
    `decisions` the moments of decisions by tier name, `honest_by_day` accounts by day from the start."""

    title: str
    accounts: int
    events: int
    records: int
    seconds: float
    start_us: int
    end_us: int
    tiers: Mapping[str, int]
    kinds: Sequence[Kind]
    attacks: Sequence[Attack]
    decisions: Mapping[str, Sequence[int]]
    rules: Sequence[RuleWorth]
    silent: Sequence[str]
    honest: Share
    honest_rate: float
    honest_rules: Sequence[tuple[str, int]]
    honest_by_day: Mapping[int, int]
    warm_up_days: int
    stories: Sequence[Story]
    stages: Mapping[str, float]
    dead: Mapping[str, int]
    learning: Learning | None = None
    groups: Sequence[Group] = ()


def write_demo(path: Path, page: DemoPage) -> Path:
    """Draw the page into `path`; returns it."""
    return write_page(path, "demo", {"page": page, "plots": draw(page)})


def draw(page: DemoPage) -> dict[str, Markup]:
    """The page's pictures by name."""
    return {
        "timeline": _timeline(page),
        "decisions": _decisions(page),
        "caught": _caught(page),
        "delays": _delays(page),
        "rules": _rules(page),
        "honest": _honest(page),
        "stages": _stages(page),
        **_learning(page),
    }


def _timeline(page: DemoPage) -> Markup:
    rows = [
        Stretch(
            f"{attack.name} ({attack.kind.replace('_', ' ')})",
            attack.start_us,
            attack.end_us,
            {tier: [time] for tier, time in attack.first.items()},
        )
        for attack in page.attacks
    ]
    unseen = sum(not attack.first for attack in page.attacks)
    return plots.timeline(
        rows,
        ("watch", "challenge", "restrict", "block"),
        title="Attacks, and when each was first decided on",
        says=f"{len(rows)} attacks as bars from first to last harmful event; a mark is the first decision of that "
        f"tier or above. Without a mark: {unseen}.",
    )


def _decisions(page: DemoPage) -> Markup:
    width = 6 * HOUR_US
    stacks: dict[str, list[int]] = {}
    starts: list[int] = []
    for tier, times in page.decisions.items():
        starts, stacks[tier] = plots.hours(times, page.start_us, page.end_us, width)
    total = sum(len(times) for times in page.decisions.values())
    return plots.over_time(
        starts,
        stacks,
        width_us=width,
        title="Decisions above allow, by tier, per six hours",
        ylabel="decisions",
        says=f"{total:,} decisions above allow over the whole time.",
    )


def _caught(page: DemoPage) -> Markup:
    rows = [Bar(kind.name.replace("_", " "), kind.subjects) for kind in page.kinds if kind.subjects.total]
    return plots.bars(
        rows,
        title="Subjects caught, by kind of attack",
        xlabel="labelled accounts, addresses, links and files caught at challenge or above",
        says="Whiskers are 95 % Wilson intervals; subjects of one attack hang together, so the truth is wider.",
    )


def _delays(page: DemoPage) -> Markup:
    rows = []
    for kind in page.kinds:
        delays = sorted(max(delay, 0.5) for delay in kind.delays_s)
        if delays and kind.subjects.total:
            shares = [(at + 1) / kind.subjects.total for at in range(len(delays))]
            rows.append(Line(kind.name.replace("_", " "), [delays[0], *delays], [0.0, *shares]))
    return plots.lines(
        rows,
        title="Time to detection",
        xlabel="time since the harm to the subject began (logarithmic)",
        ylabel="share caught by then",
        spans=True,
        shares=True,
        says="Each line ends at the share of its subjects that were caught at all.",
    )


def _rules(page: DemoPage) -> Markup:
    return plots.bars(
        [Bar(worth.rule, worth.share) for worth in page.rules],
        title="Precision of each rule that matched",
        xlabel="abusive among the subjects that the rule matched (at watch or above)",
        says="Whiskers are 95 % Wilson intervals. A weak rule may earn its place: at watch it only adds evidence.",
    )


def _honest(page: DemoPage) -> Markup:
    days = range(max(page.honest_by_day, default=0) + 1)
    return plots.over_time(
        [page.start_us + day * 24 * HOUR_US for day in days],
        {"challenge": [page.honest_by_day.get(day, 0) for day in days]},
        width_us=22 * HOUR_US,
        title="Honest accounts first touched at challenge or above, by day",
        ylabel="accounts",
        says=f"The first {page.warm_up_days} days warm the windows up and are left out of the rate.",
    )


def _stages(page: DemoPage) -> Markup:
    rows = [(name, seconds / max(page.records, 1) * 1e6) for name, seconds in page.stages.items()]
    return plots.amounts(
        rows,
        title="CPU by stage",
        xlabel="CPU microseconds per record, of this run",
        says="Stages run in threads of their own and overlap; on a laptop the wall time is about half of their sum.",
        form="{:.1f} µs",
    )


def _learning(page: DemoPage) -> dict[str, Markup]:
    """Of each fitted detector its reliability and cumulative gain; of all together what they caught beside rules."""
    if page.learning is None:
        return {}
    rows = []
    for one in page.learning.rows:
        name = f"{one.kind.replace('_', ' ')} ({one.detector.replace('_', ' ')})"
        shares = (("rules", one.rules), ("detector", one.detector_alone), ("both", one.both))
        rows += [Bar(f"{name}: {how}", share) for how, share in shares]
    pictures = {
        "added": plots.bars(
            rows,
            title="Subjects caught in the judged days: rules, detector, both",
            xlabel="labelled subjects caught at challenge or above",
            says="The detector alone is cut where it touches as many honest subjects as the rules of its threat do.",
        )
    }
    for name, found in page.learning.evaluations.items():
        points = [
            Point(one.expected, one.observed.value or 0.0, one.observed.low, one.observed.high)
            for one in found.calibration.bins
        ]
        words = name.replace("_", " ")
        pictures[f"reliability_{name}"] = plots.reliability(
            points,
            title=f"Reliability of {words}",
            says="Rows with like scores: the share that was abusive, with its 95 % interval, on rows it never saw.",
        )
        pictures[f"gain_{name}"] = plots.gains(
            [Line(score, list(x), list(y)) for score, (x, y) in found.gain.items()],
            title=f"Cumulative gain of {words}",
            xlabel="share of subjects looked at, worst first (logarithmic)",
            ylabel="abusive subjects found",
            says="How many abusive subjects are found among the worst; beside it the best single input and a "
            "logistic regression.",
        )
    return pictures
