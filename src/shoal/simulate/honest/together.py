"""What honest people open together: class material, a team's files in the morning, what a channel publishes.

These are co-actions of people who do not act as one: the same objects, by the same people, within minutes, again and
again. Off unless the scenario's `structure` turns them on; each day draws from generators of its own.
"""

from __future__ import annotations

import numpy as np

from shoal.simulate.communities import OWN_FILES, class_minutes, morning_leads
from shoal.simulate.draws import DAY, HOUR, MINUTE, Ints, generator, micros, mix, ragged
from shoal.simulate.honest.actions import file_code
from shoal.simulate.honest.presence import Presence
from shoal.simulate.honest.sessions import Tokens, own_device
from shoal.simulate.rows import Rows, rows, take
from shoal.simulate.truth import MARK, LabelBook

_MATERIAL = 1 << 52
"""Links of class material have codes from here on."""
_WEEK = 7 * DAY
_MONDAY = 4 * DAY
"""The first Monday of the epoch."""


class Together:
    """What is opened together on which day of one run through the world."""

    def __init__(self, seed: int, presence: Presence, labels: LabelBook) -> None:
        self.seed, self.presence, self.labels = seed, presence, labels
        people = presence.people
        self.one = people.communities
        self.leads = morning_leads(people, self.one.mornings)
        scenario = presence.scenario
        end = scenario.start + scenario.days * DAY
        for account in np.unique(self.leads).tolist():
            labels.add("account", account, "benign_team", scenario.start, end, scenario.start, None)

    def day(self, day: int, tokens: Tokens, gone: Ints) -> list[Rows]:
        """The day's rows. `gone` [honest]: when each account leaves."""
        out: list[Rows] = []
        if len(self.one.teacher):
            out += self._classes(generator(self.seed, "classes", day), day, tokens, gone)
        if len(self.one.mornings):
            out += self._mornings(generator(self.seed, "mornings", day), day, tokens, gone)
        if len(self.one.posts["time"]):
            out += self._posts(generator(self.seed, "following", day), day, tokens, gone)
        return out

    def _start(self, day: int) -> int:
        return self.presence.scenario.start + day * DAY

    def _there(self, account: Ints, time: Ints, gone: Ints, day: int) -> Ints:
        """Places of those who have an account and have not left, at a time of this day or the night after."""
        created = self.presence.people.created[account]
        found: Ints = np.flatnonzero(
            (created + 600_000_000 < time) & (time < gone[account]) & (time >= self._start(day))
        )
        return found

    def _classes(self, rng: np.random.Generator, day: int, tokens: Tokens, gone: Ints) -> list[Rows]:
        """Meetings of the day: the teacher links to new material a little before, students open it in the minutes
        after."""
        one, presence, said = self.one, self.presence, self.one.wish.campuses
        starts = class_minutes(said.meetings, len(one.teacher), self.seed)
        offset = presence.offset[one.campus_city[one.class_campus]][:, None]
        into = (starts * MINUTE - offset - (self._start(day) - _MONDAY)) % _WEEK
        which, slot = np.nonzero(into < DAY)
        begin = self._start(day) + into[which, slot]
        made = np.maximum(begin - micros(rng.uniform(120, 2400, len(which))), self._start(day) + MINUTE)
        teacher = one.teacher[which]
        kept = self._there(teacher, made, gone, day)
        which, begin, made, teacher = which[kept], begin[kept], made[kept], teacher[kept]
        file = file_code(teacher, OWN_FILES + (1 << 16) + day * 512 + which % 512)
        link = _MATERIAL + (day << 24) + which
        out = self._published(rng, tokens, {"time": made, "link": link, "owner": teacher, "file": file}, "benign_class")
        counts = one.class_start[which + 1] - one.class_start[which]
        at, place = ragged(counts)
        student = one.students[one.class_start[which][at] + place]
        time = begin[at] + micros(rng.exponential(said.spread_min * 60, len(at)) + rng.uniform(0, 60, len(at)))
        comes = np.flatnonzero(rng.random(len(at)) < said.turnout)
        comes = comes[np.isin(comes, self._there(student, time, gone, day))]
        at, student, time = at[comes], student[comes], time[comes]
        acts = own_device(rng, presence, tokens, student, time)
        inside = rng.random(len(student)) < 0.7
        acts["address"] = np.where(inside, presence.campus_address(student, time), acts["address"])
        about = {"owner": teacher[at], "file": file[at], "link": link[at]}
        return out + _opened(rng, time, acts, about, 0.75, "benign_class")

    def _published(self, rng: np.random.Generator, tokens: Tokens, made: Rows, kind: str) -> list[Rows]:
        """Files uploaded and linked to by their owners, and the labels of these links."""
        time, owner = made["time"], made["owner"]
        acts = own_device(rng, self.presence, tokens, owner, time)
        about = {"owner": owner, "file": made["file"]}
        for code, moment in zip(made["link"].tolist(), time.tolist(), strict=True):
            self.labels.add("link", code, kind, moment, moment + DAY, moment, None)
        before = micros(rng.uniform(20, 100, len(time)))
        mark = MARK[kind]
        return [
            rows("session.used", time - before - micros(rng.uniform(5, 30, len(time))), **acts, method="token"),
            rows("file.uploaded", time - before, **acts, **about, external=0, mark=mark),
            rows("link.created", time, **acts, **about, link=made["link"], permission="public", mark=mark),
        ]

    def _mornings(self, rng: np.random.Generator, day: int, tokens: Tokens, gone: Ints) -> list[Rows]:
        """Teams open their lead's files about a quarter to nine; one of these is the same every day."""
        one, presence, said, people = self.one, self.presence, self.one.wish.teams, self.presence.people
        local = self._start(day) + presence.offset[people.home[self.leads]]
        weekday = ((local + 12 * HOUR) // DAY + 3) % 7 < 5
        begin = self._start(day) + (8 * HOUR + 45 * MINUTE - presence.offset[people.home[self.leads]]) % DAY
        team = np.flatnonzero(weekday & (people.created[self.leads] < begin))
        group = one.mornings[team]
        counts = people.group_start[group + 1] - people.group_start[group]
        at, place = ragged(counts * said.files)
        size = counts[at]
        member = people.member_order[people.group_start[group][at] + place % size]
        number = place // size
        lead = self.leads[team[at]]
        fresh = (mix(lead * 4096 + day * 64 + number, self.seed * 8 + 214) % np.uint64(4096)).astype(np.int64)
        file = file_code(lead, OWN_FILES + np.where(number == 0, 0, 1 + fresh))
        time = begin[team[at]] + micros(rng.exponential(said.spread_min * 60, len(at)) + number * 40)
        comes = np.flatnonzero((rng.random(len(at)) < said.turnout) & (member != lead))
        comes = comes[np.isin(comes, self._there(member, time, gone, day))]
        time, member = time[comes], member[comes]
        acts, mark = own_device(rng, presence, tokens, member, time), MARK["benign_team"]
        first = np.flatnonzero(number[comes] == 0)
        came = time[first] - micros(rng.uniform(4, 30, len(first)))
        about = {"owner": lead[comes], "file": file[comes], "external": np.zeros(len(comes), np.int8)}
        return [
            rows("session.used", came, **take(acts, first), method="token"),
            rows("file.downloaded", time, **acts, **about, mark=mark),
        ]

    def _posts(self, rng: np.random.Generator, day: int, tokens: Tokens, gone: Ints) -> list[Rows]:
        """Links of the channels, and those who follow them: most within an hour or two, hardly anybody at night."""
        one, presence, said, people = self.one, self.presence, self.one.wish.following, self.presence.people
        first, last = np.searchsorted(one.posts["time"], [self._start(day), self._start(day + 1)])
        today = take(one.posts, slice(int(first), int(last)))
        kept = self._there(today["owner"], today["time"], gone, day)
        today = take(today, kept)
        out = self._published(rng, tokens, today, "benign_following")
        channel = today["channel"]
        at, place = ragged(one.fan_start[channel + 1] - one.fan_start[channel])
        fan = one.fans[one.fan_start[channel][at] + place]
        time = today["time"][at] + micros(rng.exponential(said.spread_min * 60, len(at)) + 30)
        hour = (time + presence.offset[people.home[fan]]) % DAY // HOUR
        awake = np.where((hour >= 1) & (hour < 6), 0.05, 1.0)
        comes = np.flatnonzero(rng.random(len(at)) < said.turnout * awake)
        comes = comes[np.isin(comes, self._there(fan, time, gone, day))]
        at, fan, time = at[comes], fan[comes], time[comes]
        acts = own_device(rng, presence, tokens, fan, time)
        about = {name: today[name][at] for name in ("owner", "file", "link")}
        return out + _opened(rng, time, acts, about, 0.4, "benign_following")


def _opened(
    rng: np.random.Generator, time: Ints, acts: Rows, about: Rows, downloads: float, kind: str
) -> list[Rows]:  # fmt: skip
    """Visits of links in sessions that are taken up for them; a share downloads."""
    size, mark = len(time), MARK[kind]
    seen = {**about, "external": np.ones(size, np.int8), "mark": np.full(size, mark, np.int8)}
    took = np.flatnonzero(rng.random(size) < downloads)
    later = time[took] + micros(np.exp(rng.normal(np.log(12), 0.8, len(took))))
    return [
        rows("session.used", time - micros(rng.uniform(2, 40, size)), **acts, method="token"),
        rows("link.visited", time, **acts, **seen),
        rows("link.downloaded", later, **take(acts, took), **take(seen, took)),
    ]
