"""So many alerts a day and no more: the worst events of several views, a day at a time. Deterministic.

A *view* is a population of events that can be compared (hand-overs, entries by new devices), with named directions.
`add` takes the events of the open day in any number of pieces, `close` ranks them and spends the budget. Owns the
events of the trailing window and the alerts of that time; days are counted by the caller's integers. Knows no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from shoal.detectors.anomaly.alerts.dominance import MAX_DIRECTIONS, Floats, Ints, dominated, evidence
from shoal.detectors.contract import check_count, read_rows
from shoal.errors import InvalidInput, Problem, Where, nearest_name

BURST = 2.0
"""A day may spend so many days' alerts, if earlier ones left some."""


@dataclass(frozen=True)
class View:
    """Events that are comparable: `directions` maps a name in words to +1 (high is suspicious) or -1."""

    name: str
    directions: Mapping[str, int]


@dataclass(frozen=True)
class Alert:
    """One alert: the event's `key` and `subject` as they were given, and why.

    `below` of `events`, the others of its view in the trailing window, are at most as suspicious in every direction.
    `further`: other events of the same key and day that came under it.
    """

    day: int
    view: str
    key: str
    subject: str
    below: int
    events: int
    values: Mapping[str, float]
    further: tuple[tuple[str, str], ...] = ()  # (view, subject)

    @property
    def evidence(self) -> str:
        """In words: how it stands among the others, and its values."""
        told = {name: "not known" if np.isnan(value) else f"{value:g}" for name, value in self.values.items()}
        said = ", ".join(f"{name} {value}" for name, value in told.items())
        return f"{evidence(self.below, self.events)}: {said}"


@dataclass
class _Day:
    """The events of one view and day: values turned so that high is suspicious, as given, and their standing."""

    values: Floats
    turned: Floats
    keys: list[str]
    subjects: list[str]
    below: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    standing: Floats = field(default_factory=lambda: np.zeros((2, 0)))  # share below, mean of the directions' shares


@dataclass(frozen=True)
class _Ranked:
    """An event of the day: its rank among those of its view in the window, by the fourth root of their number."""

    rank: float
    view: int
    row: int


class AlertBudget:
    """Spends `per_day` alerts a day, counted over a trailing window of `window_days`.

    At the close of a day each event gets its directed score against all events of its view in the window, the day
    included; ties are ordered by the mean of its shares in the single directions, then by key. The day's events are
    taken by their rank among all events of their view in the window, divided by the fourth root of how many those are:
    between equal parts for all views and one merged list, so that no view drowns another. They are taken until the
    budget is spent: what earlier days of the window left may
    be spent as well, up to `BURST` times a day's. Events of one key and day are one alert; a subject that an alert of
    the last `quiet_days` named gets none: somebody is already at it. Nothing alerts in the first `learn_days`.
    """

    def __init__(
        self, views: Sequence[View], *, per_day: float = 5, window_days: int = 14, learn_days: int = 5,
        quiet_days: int = 7,
    ) -> None:  # fmt: skip
        check_count("per_day", per_day, 0.01, 1e6)
        check_count("window_days", window_days, 1, 366)
        check_count("learn_days", learn_days, 0, 366)
        check_count("quiet_days", quiet_days, 1, 366)
        check_count("views", len({view.name for view in views}), max(len(views), 1), 64)
        for view in views:
            check_count(f"views.{view.name}", len(view.directions), 1, MAX_DIRECTIONS)
            for name, sign in view.directions.items():
                check_count(f"views.{view.name}.{name}", abs(sign), 1, 1)
        self.views, self.per_day, self.window_days = tuple(views), per_day, window_days
        self.learn_days, self.quiet_days = learn_days, quiet_days
        self._places = {view.name: place for place, view in enumerate(views)}
        self._open: list[list[_Day]] = [[] for _ in views]
        self._days: list[dict[int, _Day]] = [{} for _ in views]
        self._first: int | None = None
        self._last: int | None = None
        self._alerts: list[int] = []  # the days of the window's alerts
        self._told: dict[str, int] = {}  # subject → day of the last alert that named it

    def add(self, view: str, keys: Sequence[str], values: npt.ArrayLike, subjects: Sequence[str] | None = None) -> None:
        """Events of the open day: a key each (what one analyst looks into in a day), `values` [n, directions], and whom
        an event is about (the key, where nothing is said). NaN is unknown and not suspicious. Raises `InvalidInput`
        (`alerts.view`, `detector.not_numbers`, `detector.shape`)."""
        if view not in self._places:
            near = nearest_name(view, self._places)
            raise InvalidInput(Problem("alerts.view", f"unknown view {view!r}", Where(), ", ".join(self._places), near))
        place = self._places[view]
        signs = np.array(list(self.views[place].directions.values()), np.float64)
        rows = read_rows(values)
        named = list(keys) if subjects is None else list(subjects)
        if rows.shape != (len(keys), len(signs)) or len(named) != len(keys):
            message = f"{len(keys)} keys, {len(named)} subjects, {rows.shape[0]} x {rows.shape[1]} values"
            allowed = f"as many of each, {len(signs)} columns"
            raise InvalidInput(Problem("detector.shape", message, Where(path="values"), allowed))
        turned = np.where(np.isnan(rows), -np.inf, rows * signs)
        self._open[place].append(_Day(rows, turned, list(keys), named))

    def close(self, day: int) -> list[Alert]:
        """Close the open day under its number (later than the last one); its alerts, worst first."""
        if self._last is not None and day <= self._last:
            message = f"day {day} is not after day {self._last}"
            raise InvalidInput(Problem("alerts.day", message, Where(path="day"), allowed=f"{self._last + 1} or more"))
        self._first = day if self._first is None else self._first
        self._last = day
        self._alerts = [when for when in self._alerts if when > day - self.window_days]
        self._told = {subject: when for subject, when in self._told.items() if when > day - self.quiet_days}
        ranked: list[_Ranked] = []
        for place in range(len(self.views)):
            ranked += self._rank(place, day)
        if day < self._first + self.learn_days:
            return []
        return self._spend(sorted(ranked, key=lambda one: (one.rank, one.view)), day)

    def _rank(self, place: int, day: int) -> list[_Ranked]:
        """Score the open day of a view and rank it within its window."""
        kept = {number: one for number, one in self._days[place].items() if number > day - self.window_days}
        pieces, self._open[place] = self._open[place], []
        self._days[place] = kept
        if not pieces:
            return []
        today = _joined(pieces)
        kept[day] = today
        reference = np.concatenate([one.turned for one in kept.values()])
        today.below = dominated(today.turned, reference) - 1
        single = [
            np.searchsorted(np.sort(column), mine, "right")
            for column, mine in zip(reference.T, today.turned.T, strict=True)
        ]
        mean = np.sum(single, axis=0) / (len(single) * len(reference))
        today.standing = np.stack([today.below / max(len(reference) - 1, 1), mean])
        every = np.concatenate([one.standing for one in kept.values()], axis=1)
        order = np.lexsort((-every[1], -every[0]))
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(1, len(order) + 1)
        return [
            _Ranked(int(one) / len(order) ** 0.25, place, i)
            for i, one in enumerate(rank[len(order) - len(today.keys) :])
        ]

    def _spend(self, candidates: list[_Ranked], day: int) -> list[Alert]:
        assert self._first is not None
        active = min(day - self._first - self.learn_days + 1, self.window_days)
        left = min(int(self.per_day * active + 1e-9) - len(self._alerts), max(int(BURST * self.per_day + 1e-9), 1))
        made: dict[str, Alert] = {}
        more: dict[str, list[tuple[str, str]]] = {}
        for one in candidates:
            today = self._days[one.view][day]
            key, subject, view = today.keys[one.row], today.subjects[one.row], self.views[one.view]
            if key in made:
                more[key].append((view.name, subject))
            elif subject not in self._told and len(made) < left:
                events = sum(len(part.keys) for part in self._days[one.view].values())
                values = dict(zip(view.directions, today.values[one.row].tolist(), strict=True))
                made[key] = Alert(day, view.name, key, subject, int(today.below[one.row]), events - 1, values)
                more[key] = []
        self._alerts += [day] * len(made)
        self._told |= {subject: day for key, alert in made.items() for _, subject in [("", alert.subject), *more[key]]}
        return [
            Alert(**{**vars(alert), "further": tuple(sorted(set(more[key]) - {(alert.view, alert.subject)}))})
            for key, alert in made.items()
        ]


def _joined(pieces: list[_Day]) -> _Day:
    """The pieces of a day as one, in an order that does not hang on how they came."""
    keys, subjects = [k for one in pieces for k in one.keys], [s for one in pieces for s in one.subjects]
    values = np.concatenate([one.values for one in pieces])
    turned = np.concatenate([one.turned for one in pieces])
    order = sorted(range(len(keys)), key=lambda i: (keys[i], subjects[i], turned[i].tolist()))
    return _Day(values[order], turned[order], [keys[i] for i in order], [subjects[i] for i in order])
