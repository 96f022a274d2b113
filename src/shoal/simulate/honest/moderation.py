"""Reports and the people who look at them: regular reporters with a record, verdicts, stopped links.

`Moderators` holds what is yet to come (verdicts by day) and which links are stopped; `HonestWorld` owns it. Off unless
the scenario's `moderation` says otherwise. The rows of verdicts (`resolve`, `stop_rows`) serve adversaries' links too:
they are the service's own acts, without an address or a client.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shoal.simulate.catalogue import CODE, TYPE
from shoal.simulate.draws import DAY, SECOND, Bools, Ints, generator, micros, pick, unit
from shoal.simulate.honest.links import Visits
from shoal.simulate.honest.presence import Presence
from shoal.simulate.honest.sessions import Tokens, own_device
from shoal.simulate.people import People
from shoal.simulate.rows import Rows, concat, length, rows, take
from shoal.simulate.scenario.schema import Moderation
from shoal.simulate.truth import MARK, LabelBook

_VIOLATING = 0.08
"""Share of honest people's links that break the terms after all (a copied film, a flyer sent to everybody)."""


def told_of(reports: Rows) -> Rows:
    """Reports to a service that answers them: `recipient` is the reporter, who will be told the verdict."""
    return {**reports, "recipient": reports["actor"]}


def regular_reporters(seed: int, people: People, wish: Moderation) -> tuple[Ints, Bools]:
    """Those who report regularly, and which of them are careful."""
    pool = np.flatnonzero(people.rate[: people.settled] > 0.2)
    chosen = generator(seed, "regular reporters").permutation(pool)[: wish.reporters]
    return chosen, np.arange(len(chosen)) < round(len(chosen) * wish.careful)


def resolve(reports: Rows, time: Ints, upheld: Bools) -> Rows:
    """`abuse.resolved` for rows of `abuse.reported`; `recipient` is the reporter, whom the verdict is told."""
    outcome = np.where(upheld, CODE["outcome"]["upheld"], CODE["outcome"]["rejected"])
    about = {name: reports[name] for name in ("account", "owner", "link", "file", "reason") if name in reports}
    return rows("abuse.resolved", time, **about, recipient=reports["actor"], outcome=outcome)


def stop_rows(kind: str, time: Ints, about: Rows, reason: str | npt.NDArray[np.int64]) -> Rows:
    """`link.stopped` or `file.removed` by the service, of these links or files and their owners."""
    held = {name: about[name] for name in ("owner", "file", "link", "content") if name in about}
    if kind == "file.removed":
        held.pop("link", None)
    return rows(kind, time, **held, account=about["owner"], reason=reason)


class Moderators:
    """The honest world's moderation from day to day."""

    def __init__(self, seed: int, presence: Presence, labels: LabelBook) -> None:
        self.seed, self.presence, self.labels = seed, presence, labels
        self.wish = presence.scenario.moderation
        self.coming = Visits()
        self.stopped: dict[int, int] = {}
        self.reporters, self.careful = regular_reporters(seed, presence.people, self.wish)

    def open(self, visits: Rows) -> Rows:
        """Visits, less those of links that are stopped by then."""
        if not self.stopped:
            return visits
        links, ends = np.array(sorted(self.stopped)), np.array([self.stopped[k] for k in sorted(self.stopped)])
        place = np.minimum(np.searchsorted(links, visits["link"]), len(links) - 1)
        closed = (links[place] == visits["link"]) & (visits["time"] >= ends[place])
        return take(visits, ~closed)

    def day(self, day: int, tokens: Tokens, visits: Rows, reports: Rows) -> list[Rows]:
        """The regular reporters' day, and the verdicts that fall on it; `reports`: what others reported today."""
        if self.wish.review_share <= 0 and not len(self.reporters):
            return []
        rng = generator(self.seed, "moderation", day)
        out = self._regular(rng, day, tokens, visits)
        told = concat([reports, *(part for part in out if part["type"][:1].tolist() == [TYPE["abuse.reported"]])])
        self._judge(rng, told, told["mark"] == MARK["benign_right_report"])
        return [self.open(part) if code == 0 else part for code, part in enumerate(out)] + self.coming.pop(day)

    def _regular(self, rng: np.random.Generator, day: int, tokens: Tokens, visits: Rows) -> list[Rows]:
        """A visit and a report each."""
        size = int(rng.poisson(len(self.reporters) * self.wish.reports_per_week / 7))
        seen = np.flatnonzero((visits["type"] == TYPE["link.visited"]) & (visits["owner"] >= 0))
        if not size or not len(seen):
            return []
        which = rng.integers(0, len(self.reporters), size)
        right = rng.random(size) < np.where(self.careful[which], 0.92, 0.1)
        bad = unit(visits["link"][seen], 81) < _VIOLATING
        pools = (seen[~bad], seen[bad])
        target = np.array(
            [int(rng.choice(pools[int(r)])) if len(pools[int(r)]) else -1 for r in right.tolist()], dtype=np.int64
        )
        who = self.reporters[which]
        kept = target >= 0
        kept[kept] = visits["owner"][target[kept]] != who[kept]
        who, right, target = who[kept], right[kept], target[kept]
        day_end = self.presence.scenario.start + (day + 1) * DAY
        time = np.minimum(visits["time"][target] + micros(rng.exponential(1800, len(who)) + 30), day_end - SECOND)
        acts = own_device(rng, self.presence, tokens, who, time)
        about = {name: visits[name][target] for name in ("owner", "link", "file")}
        looked = time - micros(rng.uniform(10, 25, len(who)))
        words = np.array([CODE["reason"][word] for word in ("copyright", "spam", "phishing", "malware", "other")])
        reason = np.where(right, words[pick(rng, [3, 1], len(who))], words[pick(rng, [1, 3, 3, 1, 3], len(who))])
        mark = np.where(right, MARK["benign_right_report"], MARK["benign_false_report"])
        told = {name: column for name, column in acts.items() if name != "account"}
        known = day_end + 2 * DAY
        for link, moment, good in zip(about["link"].tolist(), time.tolist(), right.tolist(), strict=True):
            kind = "benign_right_report" if good else "benign_false_report"
            self.labels.add("link", link, kind, moment, None, known, None)
        reports = rows("abuse.reported", time, **told, **about, account=about["owner"], reason=reason, mark=mark)
        if self.wish.review_share > 0:
            reports = told_of(reports)
        return [rows("link.visited", looked, **acts, **about, external=1), reports]

    def _judge(self, rng: np.random.Generator, told: Rows, right: Bools) -> None:
        """Plans the verdicts of today's reports, and the stops."""
        scenario = self.presence.scenario
        kept = rng.random(length(told)) < self.wish.review_share
        told, right = take(told, kept), right[kept]
        wait = micros(np.exp(rng.normal(np.log(self.wish.review_h * 3600), 0.7, length(told))))
        decided = told["time"] + np.maximum(wait, 60 * SECOND)
        upheld = right ^ (rng.random(length(told)) < self.wish.wrong)
        verdicts = resolve(told, decided, upheld)
        verdicts["mark"] = told["mark"]
        self.coming.put(verdicts, scenario.start, scenario.days)
        if not self.wish.stops:
            return
        good = np.flatnonzero(upheld)
        good = good[~np.isin(told["link"][good], np.array(list(self.stopped), dtype=np.int64))]
        order = good[np.argsort(decided[good], kind="stable")]
        first = order[np.unique(told["link"][order], return_index=True)[1]]
        ends = decided[first] + SECOND
        stops = stop_rows("link.stopped", ends, take(told, first), told["reason"][first].astype(np.int64))
        stops["mark"] = told["mark"][first]
        self.coming.put(stops, scenario.start, scenario.days)
        self.stopped.update(zip(told["link"][first].tolist(), ends.tolist(), strict=True))
