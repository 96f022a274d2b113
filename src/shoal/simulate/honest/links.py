"""Visits of shared links: mates and strangers come, most soon after the link was made; a few links go viral.

`Visits` holds what is yet to come, by day; visitors get their address and device on the day of the visit. The plan of
visits (`plan_visits`) and their rows (`visit_rows`) serve adversaries' links as well: who falls for a link is an honest
person.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from shoal.simulate.catalogue import CLIENTS, CODE, TYPE
from shoal.simulate.draws import DAY, HOUR, Ints, micros, pick
from shoal.simulate.honest.presence import Presence
from shoal.simulate.honest.sessions import Tokens
from shoal.simulate.people import agent_code, device_code
from shoal.simulate.rows import Rows, rows, take

_AGENTS = np.array([c.weight if c.client == "web" else 0.0 for c in CLIENTS])


@dataclass
class Visits:
    """Visits to come: day → parts of columns time, link, owner, file, content, visitor, download, referrer."""

    days: dict[int, list[Rows]] = field(default_factory=dict)

    def put(self, plan: Rows, start: int, days: int) -> None:
        """Keep a plan; what lies after the end is dropped."""
        day = (plan["time"] - start) // DAY
        for value in np.unique(day).tolist():
            if value < days:
                self.days.setdefault(value, []).append(take(plan, day == value))

    def pop(self, day: int) -> list[Rows]:
        """The visits of one day."""
        return self.days.pop(day, [])


def plan_visits(
    rng: np.random.Generator, presence: Presence, links: Rows, counts: Ints, *,
    half_life_h: float, member_share: float, download_share: float, mates: float, no_referrer: float,
) -> Rows:  # fmt: skip
    """`counts` visits of each link in `links` (columns time, link, owner, file, content)."""
    people = presence.people
    index = np.repeat(np.arange(len(counts)), counts)
    size = len(index)
    # half of the visits within the half-life; lognormal, so that some come days later
    delay = np.exp(rng.normal(np.log(half_life_h * HOUR), 1.1, size))
    time = links["time"][index] + np.minimum(delay, 4000.0 * HOUR).astype(np.int64) + 20_000_000
    owner = links["owner"][index].astype(np.int64)
    signed = rng.random(size) < member_share
    near = rng.random(size) < mates
    at = np.flatnonzero(signed & near & (owner < people.honest))
    visitor = np.where(signed, rng.integers(0, people.settled, size), -1)
    visitor[at] = people.mates(rng, owner[at])
    visitor = np.where(visitor == owner, -1, visitor)
    referrer = np.where(rng.random(size) < no_referrer, -1, pick(rng, [5, 4, 1, 0.4, 0.6, 0.1, 0.2], size))
    return {
        "time": time, "link": links["link"][index], "owner": owner, "file": links["file"][index],
        "content": links["content"][index], "visitor": visitor,
        "download": rng.random(size) < download_share, "referrer": referrer,
    }  # fmt: skip


def visit_rows(rng: np.random.Generator, presence: Presence, tokens: Tokens | None, plan: Rows) -> Rows:
    """The rows of planned visits: `link.visited`, and `link.downloaded` where the visitor takes the file. Without
    `tokens` (adversaries' links) the session of a signed-in visitor is one of his own making."""
    people, book, start = presence.people, presence.book, presence.scenario.start
    time, visitor, size = plan["time"], plan["visitor"], len(plan["time"])
    there = np.maximum(visitor, 0)
    signed = (visitor >= 0) & (people.created[there] < time)
    if tokens is not None:
        signed &= (tokens.session[there, 0] > 0) & ~tokens.expired[there, 0]
        session, generation = tokens.session[there, 0], tokens.generation[there, 0]
    else:
        session, generation = (1 << 59) + there, np.zeros(size, np.int64)
    family = people.family[there, 0]
    device = device_code(there, np.zeros(size, np.int64), generation)
    passer = np.minimum(pick(rng, _AGENTS, size), len(CLIENTS) - 1)
    nobody = (1 << 58) + rng.integers(0, 1 << 50, size)
    agent = np.where(signed, agent_code(family, device, start, time), agent_code(passer, nobody, start, time))
    # passers-by live where the owner's visitors live, mostly; else anywhere
    owner_city = people.home[plan["owner"]]
    spot = book.residential[rng.integers(0, len(book.residential), size)]
    around = presence.city_address(rng, owner_city)
    mobile = book.carriers.ravel()[rng.integers(0, book.carriers.size, size)]
    mobile = mobile + rng.integers(0, book.carrier_size, size)
    passing = np.where(rng.random(size) < 0.55, around, np.where(rng.random(size) < 0.3, mobile, spot))
    address = np.where(signed, presence.address(rng, there, time, family), passing)
    actor = np.where(signed, visitor, -1)
    same_org = signed & (people.org[there] == people.org[plan["owner"]]) & (people.org[there] >= 0)
    same = same_org | (signed & (people.group[there] == people.group[plan["owner"]]))
    shared = {
        "actor": actor, "account": actor, "session": np.where(signed, session, -1),
        "device": np.where(signed, device, -1), "address": address, "agent": agent,
        "owner": plan["owner"], "link": plan["link"], "file": plan["file"], "content": plan["content"],
        "referrer": plan["referrer"], "external": (~same).astype(np.int8),
    }  # fmt: skip
    took = np.flatnonzero(plan["download"])
    later = time[took] + micros(np.exp(rng.normal(np.log(12), 0.8, len(took))))
    both = {name: np.concatenate([column, column[took]]) for name, column in shared.items()}
    kind = np.concatenate([np.full(size, TYPE["link.visited"]), np.full(len(took), TYPE["link.downloaded"])])
    return rows(kind, np.concatenate([time, later]), **both)


def report_rows(rng: np.random.Generator, visits: Rows, reasons: dict[str, float]) -> Rows:
    """Reports by visitors (rows of `visit_rows`), some minutes or hours later; a third of them without signing in."""
    size = len(visits["time"])
    time = visits["time"] + micros(np.exp(rng.normal(np.log(900), 1.5, size)))
    anonymous = rng.random(size) < 0.33
    words = np.array([CODE["reason"][word] for word in reasons])
    kept = {name: visits[name] for name in ("address", "agent", "owner", "link", "file")}
    for name in ("actor", "session", "device"):
        kept[name] = np.where(anonymous, -1, visits[name])
    reason = words[pick(rng, list(reasons.values()), size)]
    return rows("abuse.reported", time, **kept, account=visits["owner"], reason=reason)
