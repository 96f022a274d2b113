"""Cards, telephones and recovery addresses that honest people give, each once, in one of their sessions.

Off unless the scenario's `structure.means` or `structure.resellers` turns it on. `Means` holds who has given what; it
is owned by `HonestWorld` and made anew for every run. What is shared with whom stands in `communities`.
"""

from __future__ import annotations

import numpy as np

from shoal.simulate.communities import Communities
from shoal.simulate.draws import DAY, SECOND, Ints, generator, micros, unit
from shoal.simulate.honest.presence import Presence
from shoal.simulate.honest.sessions import Sessions
from shoal.simulate.people import agent_code, device_code
from shoal.simulate.rows import Rows, rows, take
from shoal.simulate.truth import MARK, LabelBook

_SESSIONS = 5 << 57
"""Sessions in which a reseller works for a customer have codes from here on."""
KINDS = ("payment.added", "phone.verified", "recovery.changed")


class Means:
    """What is given on which day of one run through the world."""

    def __init__(self, seed: int, presence: Presence, labels: LabelBook) -> None:
        self.seed, self.presence = seed, presence
        people, scenario = presence.people, presence.scenario
        one = self.communities = presence.people.communities
        self.codes = np.stack([one.card, one.phone, one.recovery])
        self.waits = self.codes >= 0
        new = np.arange(people.honest) >= people.settled
        joined = np.maximum(people.created[: people.honest] - scenario.start, 0) // DAY
        planned = [(unit(np.arange(people.honest), 220 + k) * scenario.days).astype(np.int64) for k in range(3)]
        self.day_of = np.where(new, joined, np.stack(planned))
        label_shared_means(presence, one, labels)

    def day(self, day: int, table: Sessions) -> list[Rows]:
        """What is given today: in the first session of each person whose day it is, or was."""
        if not self.waits.any():
            return []
        out: list[Rows] = []
        rng = generator(self.seed, "means", day)
        people, one = self.presence.people, self.communities
        order = np.lexsort((table.start, table.account))
        first = order[np.unique(table.account[order], return_index=True)[1]]
        who = table.account[first]
        for kind, name in enumerate(KINDS):
            due = self.waits[kind, who] & (self.day_of[kind, who] <= day)
            at, account = first[due], who[due]
            self.waits[kind, account] = False
            time = table.start[at] + micros(rng.uniform(40, 600, len(at)))
            said = {"content": self.codes[kind, account] + (kind << 56), "outcome": np.zeros(len(at), np.int64)}
            sold = (one.reseller[account] >= 0) & (kind != 1)
            helped = sold & (unit(account, 223) < one.wish.resellers.sets_up)
            mark = np.where(sold, MARK["benign_reseller"], -1)
            own = ~helped
            out.append(rows(name, time[own], **table.who(at[own]), **take(said, own), mark=mark[own]))
            if helped.any():
                out += self._helped(name, account[helped], time[helped], take(said, helped))
        assert people.honest >= len(who)
        return out

    def _helped(self, name: str, account: Ints, time: Ints, said: Rows) -> list[Rows]:
        """A reseller logs in to a customer's account, at home, and enters the own card."""
        people, one, mark = self.presence.people, self.communities, MARK["benign_reseller"]
        by = one.resellers[one.reseller[account]]
        none = np.zeros(len(by), np.int64)
        device = device_code(by, none, none)
        who: Rows = {
            "actor": account, "account": account, "session": _SESSIONS + account * 4 + KINDS.index(name),
            "device": device, "address": self.presence.home_address(by, time),
            "agent": agent_code(people.family[by, 0], device, self.presence.scenario.start, time),
        }  # fmt: skip
        begun = time - 40 * SECOND
        return [
            rows("login.succeeded", begun, **who, method="password", outcome="success", mark=mark),
            rows("session.started", begun + SECOND // 2, **who, mark=mark),
            rows(name, time, **who, **said, mark=mark),
        ]


def label_shared_means(presence: Presence, one: Communities, labels: LabelBook) -> None:
    """Labels of who shares means with others, for as long as the world lasts."""
    scenario, people = presence.scenario, presence.people
    end = scenario.start + scenario.days * DAY
    house = people.household
    several = np.bincount(house, minlength=int(house.max()) + 1)[house] > 1
    for kind, code in (("benign_family", one.card), ("benign_couple", one.phone)):
        for account in np.flatnonzero(several & (code >= 1 << 40) & (code < 1 << 41)).tolist():
            labels.add("account", account, kind, scenario.start, end, scenario.start, None)
    for kind, chosen in (
        ("benign_company_card", one.card >= 1 << 42), ("benign_reseller", one.reseller >= 0),
        ("benign_campus", one.campus >= 0), ("benign_onboarding", people.batch >= 0),
    ):  # fmt: skip
        for account in np.flatnonzero(chosen).tolist():
            labels.add("account", account, kind, scenario.start, end, scenario.start, None)


__all__ = ["KINDS", "Means"]
