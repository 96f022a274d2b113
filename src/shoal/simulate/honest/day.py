"""The honest world from day to day: owns the state that people carry from one day into the next.

State: tokens of devices, libraries, journeys, links whose visits are still to come, who has left. One `HonestWorld` is
one run through the world. Each day draws from its own generators, keyed by the seed, the part and the day.
"""

from __future__ import annotations

import numpy as np

from shoal.simulate.addresses import AddressBook
from shoal.simulate.draws import DAY, Ints, generator, lognormal_counts, median_counts
from shoal.simulate.honest.actions import draw_actions, some_file
from shoal.simulate.honest.calendar import Calendar
from shoal.simulate.honest.habits import begin_journeys, bulk_rows, get_devices, label_moves, label_shared
from shoal.simulate.honest.links import Visits, plan_visits, report_rows, visit_rows
from shoal.simulate.honest.means import Means
from shoal.simulate.honest.moderation import Moderators, told_of
from shoal.simulate.honest.presence import Presence
from shoal.simulate.honest.programs import Programs
from shoal.simulate.honest.sessions import Tokens, draw_sessions
from shoal.simulate.honest.together import Together
from shoal.simulate.people import DEVICES, People
from shoal.simulate.rows import Rows, concat, length, take
from shoal.simulate.scenario import Scenario
from shoal.simulate.truth import MARK, LabelBook

OLD_LINKS = 1 << 33
"""Links that exist at the start have codes from here on."""


def draw_old_links(rng: np.random.Generator, scenario: Scenario, people: People) -> Rows:
    """The links that exist at the start (`time`, `link`, `owner`, `file`, `content`), by time; `rng` is the generator
    of the part "old links"."""
    activity = scenario.activity
    weights = activity.uploads + activity.downloads + activity.modifies + activity.renames + activity.deletes
    share = activity.links / (weights + activity.shares + activity.invites + activity.links)
    daily = people.settled * activity.sessions_per_day * activity.actions_per_session * share
    size = int(min(daily * 14, 2_000_000))
    back = np.sort(rng.random(size))[::-1] * 14 * DAY
    owner = rng.integers(0, people.settled, size)
    return {
        "time": np.maximum(scenario.start - back.astype(np.int64), people.created[owner]),
        "link": OLD_LINKS + np.arange(size), "owner": owner,
        "file": some_file(rng, owner, people.library), "content": np.full(size, -1, np.int64),
    }  # fmt: skip


class HonestWorld:
    """Makes the honest rows of day 0, 1, 2 … in turn."""

    def __init__(self, scenario: Scenario, seed: int, people: People, book: AddressBook) -> None:
        self.scenario, self.seed, self.people = scenario, seed, people
        self.presence = Presence(scenario, people, book)
        self.labels = LabelBook()
        self.library = people.library.copy()
        self.gone = np.full(people.honest, np.iinfo(np.int64).max)
        self.visits = Visits()
        slots = np.arange(DEVICES)[None, :] < people.devices[:, None]
        slots[people.settled :] = False
        first = (1 << 57) + np.arange(people.honest * DEVICES).reshape(-1, DEVICES)
        none = np.zeros((people.honest, DEVICES), np.int64)
        self.tokens = Tokens(np.where(slots, first, 0), none, none.astype(bool))
        label_moves(scenario, self.presence, self.labels)
        self.calendar = Calendar(seed, self.presence, self.labels)
        self.programs = Programs(seed, self.presence, self.labels)
        self.moderators = Moderators(seed, self.presence, self.labels)
        label_shared(self.presence, self.labels)
        self.means = Means(seed, self.presence, self.labels)
        self.together = Together(seed, self.presence, self.labels)
        self.old_links = self._old_links()

    def day(self, day: int) -> Rows:
        """The honest rows that begin on this day; some end on the next. Call it for each day once, in order."""
        scenario, presence, seed = self.scenario, self.presence, self.seed
        day_start = scenario.start + day * DAY
        begin_journeys(generator(seed, "journeys", day), scenario, presence, day_start, self.labels)
        get_devices(generator(seed, "devices", day), scenario, presence, self.tokens, day_start, self.labels)
        rng = generator(seed, "sessions", day)
        table, parts = draw_sessions(rng, scenario, presence, self.tokens, day, self.gone)
        rng = generator(seed, "actions", day)
        acts, links = draw_actions(rng, scenario, presence, table, self.library, day)
        parts += acts
        rng = generator(seed, "bulk", day)
        parts += bulk_rows(rng, scenario, table, self.library, self.gone, self.labels)
        parts += self._visit_day(day, links)
        parts += self.programs.day(day, self.tokens, self.library)
        parts += self.means.day(day, table)
        parts += self.together.day(day, self.tokens, self.gone)
        whole = concat(parts)
        more = self.calendar.day(day, self.tokens, self.library, whole)
        if more:
            whole = concat([whole, *more])
        whole["number"] = ((day + 1) << 36) + np.arange(length(whole))
        return whole

    def _old_links(self) -> Rows:
        """Links made in the fortnight before the start; most have had their visits."""
        links = self.scenario.links
        rng = generator(self.seed, "old links")
        made = draw_old_links(rng, self.scenario, self.people)
        counts = lognormal_counts(rng, links.visits_mean, links.visits_sigma, length(made))
        plan = self._plan(rng, made, counts)
        self._keep(take(plan, plan["time"] >= self.scenario.start + 60_000_000))
        return made

    def _plan(self, rng: np.random.Generator, made: Rows, counts: Ints) -> Rows:
        links = self.scenario.links
        return plan_visits(
            rng, self.presence, made, counts, half_life_h=links.half_life_h, member_share=links.member_share,
            download_share=links.download_share, mates=0.7, no_referrer=0.5,
        )  # fmt: skip

    def _keep(self, plan: Rows) -> None:
        self.visits.put(plan, self.scenario.start, self.scenario.days)

    def _visit_day(self, day: int, made: Rows) -> list[Rows]:
        """Plans the visits of today's links, then makes the rows of today's visits and of false reports."""
        links, scenario = self.scenario.links, self.scenario
        rng = generator(self.seed, "visits", day)
        made = dict(made, content=np.full(length(made), -1, np.int64))
        self._keep(self._plan(rng, made, lognormal_counts(rng, links.visits_mean, links.visits_sigma, length(made))))
        self._viral(day, made)
        for plan in self.calendar.photo(day, made):
            self._keep(plan)
        rng = generator(self.seed, "visitors", day)
        due = self.visits.pop(day)
        if not due:
            none = concat([])
            return self.moderators.day(day, self.tokens, none, none)
        plan = {name: np.concatenate([part[name] for part in due]) for name in due[0]}
        rows_today = self.moderators.open(visit_rows(rng, self.presence, self.tokens, plan))
        size = min(int(rng.poisson(links.false_reports_per_week / 7)), length(rows_today), len(plan["time"]))
        chosen = rng.choice(length(rows_today), size, replace=False)
        reasons = {"spam": 4.0, "copyright": 2.0, "other": 3.0, "phishing": 1.5, "malware": 1.0}
        reports = report_rows(rng, take(rows_today, chosen), reasons)
        if scenario.moderation.review_share > 0:
            reports = told_of(reports)
        reports["mark"] = np.full(length(reports), MARK["benign_false_report"], np.int8)
        known = scenario.start + (day + 3) * DAY
        for link, time in zip(reports["link"].tolist(), reports["time"].tolist(), strict=True):
            self.labels.add("link", link, "benign_false_report", time, None, known, None)
        more = self.moderators.day(day, self.tokens, rows_today, reports)
        return [self.moderators.open(rows_today), reports, *more]  # less those of links that today's verdicts stop

    def _viral(self, day: int, made: Rows) -> None:
        """Some links of today are carried through the world by people who like them."""
        links, scenario = self.scenario.links, self.scenario
        rng = generator(self.seed, "viral", day)
        size = int(rng.poisson(links.viral_per_week / 7))
        counts = median_counts(rng, links.viral_visits, 0.8, size)
        planned = [h.visits for h in scenario.calendar if h.kind == "viral_link" and int(h.day) == day]
        counts = np.concatenate([counts, np.array(planned, dtype=np.int64)])
        if not length(made) or not len(counts):
            return
        chosen = take(made, rng.choice(length(made), len(counts)))
        self._keep(
            plan_visits(
                rng, self.presence, chosen, counts, half_life_h=9.0, member_share=0.25,
                download_share=links.download_share, mates=0.02, no_referrer=0.3,
            )
        )  # fmt: skip
        for link, owner, time in zip(*(chosen[n].tolist() for n in ("link", "owner", "time")), strict=True):
            self.labels.add("link", link, "benign_viral_link", time, time + 5 * DAY, time, None)
            self.labels.add("account", owner, "benign_viral_link", time, time + 5 * DAY, time, None)
