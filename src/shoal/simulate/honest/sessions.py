"""Sessions of one day: who comes when, with what, from where, and how the login went.

A `Sessions` is a table of columns, one row a session that came about; logins, failures, challenges and sign-ups are
emitted here as rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoal.simulate.catalogue import CODE
from shoal.simulate.draws import DAY, HOUR, SECOND, Bools, Floats, Ints, micros, pick, ragged, running
from shoal.simulate.honest.presence import Presence, is_weekday, program_family
from shoal.simulate.people import DEVICES, agent_code, device_code
from shoal.simulate.rows import Rows, extra, rows, take
from shoal.simulate.scenario import Failures, Scenario
from shoal.simulate.truth import MARK

LABS = 3 << 58
"""Device codes from here on, and below `THROWAWAY`: computers in the rooms of a campus."""
THROWAWAY = 1 << 60
"""Device codes from here on: private browsing, one session each."""


@dataclass
class Tokens:
    """What devices keep between days: the session whose token each slot holds (0 none), and its generation."""

    session: Ints  # [honest, DEVICES]
    generation: Ints  # [honest, DEVICES]
    expired: Bools  # [honest, DEVICES]: the service dropped the token; the device is still known


@dataclass
class Sessions:
    """Sessions of a day, by start."""

    account: Ints
    start: Ints
    slot: Ints
    device: Ints
    address: Ints
    agent: Ints
    session: Ints
    login: Bools
    fresh: Bools  # a device that the account has not used before
    signup: Bools

    def __len__(self) -> int:
        return len(self.account)

    def who(self, index: Ints | slice = slice(None)) -> Rows:
        """The columns that tell who acts, for rows of events of these sessions."""
        return {
            "actor": self.account[index],
            "account": self.account[index],
            "session": self.session[index],
            "device": self.device[index],
            "address": self.address[index],
            "agent": self.agent[index],
        }


def _work_factor(scenario: Scenario, presence: Presence, account: Ints, time: Ints) -> Floats:
    """How active an account is at a time, against a working day: weekends and holidays."""
    people, activity = presence.people, scenario.activity
    works = people.works[account]
    weekday = is_weekday(time + presence.offset[people.home[account]])
    factor = np.where(weekday, 1.0, np.where(works, activity.weekend_work, activity.weekend_private))
    for happening in scenario.calendar:
        if happening.kind == "holiday":
            start = scenario.start + int(happening.day * DAY)
            inside = (time >= start) & (time < start + int(happening.days * DAY)) & works
            if happening.country:
                code = presence.book.countries.index(happening.country)
                cities = np.array([h.country == presence.book.countries[code] for h in scenario.homes])
                inside &= cities[people.home[account]]
            factor = np.where(inside, factor * happening.factor, factor)
        if happening.kind == "product_launch":
            start = scenario.start + int(happening.day * DAY)
            inside = (time >= start) & (time < start + int(happening.days * DAY))
            factor = np.where(inside, factor * max(happening.factor, 1) ** _USE, factor)
    return factor


_USE = 0.5
"""How much more old customers come at a launch, as a power of how many more sign up."""


def draw_starts(
    rng: np.random.Generator, scenario: Scenario, presence: Presence, day: int, gone: Ints
) -> tuple[Ints, Ints]:
    """Accounts and starts of the day's sessions, sign-ups left out; by time."""
    people, activity = presence.people, scenario.activity
    day_start = scenario.start + day * DAY
    peak = max(1.0, activity.weekend_private, activity.weekend_work)
    for happening in scenario.calendar:
        if happening.kind == "product_launch" and happening.day < day + 1 and happening.day + happening.days > day:
            peak *= max(happening.factor, 1) ** _USE
    account = np.repeat(np.arange(people.honest), rng.poisson(people.rate * peak))
    works = people.works[account]
    hour = np.where(
        works, pick(rng, activity.rhythm_work, len(account)), pick(rng, activity.rhythm_private, len(account))
    )
    local = hour * HOUR + (rng.random(len(account)) * HOUR).astype(np.int64)
    start = day_start + (local - presence.offset[people.home[account]]) % DAY
    start = np.maximum(start, day_start + 180 * SECOND)
    kept = rng.random(len(account)) * peak < _work_factor(scenario, presence, account, start)
    kept &= (start > people.created[account] + 120 * SECOND) & (start < gone[account])
    account, start = account[kept], start[kept]
    for begin, end in outages(scenario):  # who could not log in comes again when it is over
        if day_start <= end < day_start + DAY:
            some = np.flatnonzero((start >= begin) & (start < end))
            again = end + 10 * SECOND + micros(rng.exponential(900, len(some)))
            account, start = np.concatenate([account, account[some]]), np.concatenate([start, again])
    order = np.argsort(start, kind="stable")
    return account[order], start[order]


def outages(scenario: Scenario) -> list[tuple[int, int]]:
    """When nobody could log in: begin and end, µs."""
    found = []
    for happening in scenario.calendar:
        if happening.kind == "login_outage":
            begin = scenario.start + int(happening.day * DAY)
            found.append((begin, begin + int(happening.days * DAY)))
    return found


def draw_sessions(
    rng: np.random.Generator, scenario: Scenario, presence: Presence, tokens: Tokens, day: int, gone: Ints
) -> tuple[Sessions, list[Rows]]:
    """The day's sessions, and the rows of their beginnings (sign-ups, logins with failures and challenges)."""
    people = presence.people
    day_start = scenario.start + day * DAY
    account, start = draw_starts(rng, scenario, presence, day, gone)
    first, last = np.searchsorted(people.created[people.settled : people.honest], [day_start, day_start + DAY])
    new = np.arange(people.settled + first, people.settled + last)
    signup = np.concatenate([np.zeros(len(account), bool), np.ones(len(new), bool)])
    account = np.concatenate([account, new])
    start = np.concatenate([start, people.created[new]])
    size = len(account)
    slots = people.devices[account]
    slot = np.where(rng.random(size) < 0.6, 0, (rng.random(size) * slots).astype(np.int64))
    slot = np.where(signup, 0, slot)
    program = people.api[account] & (rng.random(size) < 0.4) & ~signup
    slot = np.where(program, DEVICES - 1, slot)
    family = np.where(program, program_family(account), people.family[account, slot])
    throwaway = (rng.random(size) < 0.02) & ~program
    lab = _labs(rng, presence, account, start, program | signup)
    throwaway |= lab >= 0
    holder = np.where((slot == 0) & ~program, presence.computer_of[account], account)
    family = np.where(holder != account, people.family[holder, 0], family)
    device = device_code(holder, slot, tokens.generation[holder, slot])
    device = np.where(throwaway, THROWAWAY + (day << 34) + np.arange(size), device)
    device, family = np.where(lab >= 0, lab, device), np.where(lab >= 0, 0, family)
    login = (rng.random(size) < scenario.activity.login_share) | throwaway
    must = _expire(scenario, tokens, account, slot, start, ~throwaway, day_start)
    login |= must
    gives_up = login & ~must & ~signup & ~program & (rng.random(size) < scenario.failures.gives_up)
    gives_up &= ~(people.sso[account] | people.passkey[account])
    address = presence.address(rng, account, start, family)
    if (lab >= 0).any():
        address = np.where(lab >= 0, presence.campus_address(account, start), address)
    agent = agent_code(family, device, scenario.start, start)
    emitted = [_given_up(rng, account, start, device, address, agent, gives_up)]
    stay = ~gives_up
    for begin, end in outages(scenario):
        inside = (start >= begin) & (start < end)
        if inside.any():  # also those whose device holds no token
            shut = inside & (login | (tokens.session[account, slot] == 0)) & ~signup & stay
            tokens.expired[account[shut & must], slot[shut & must]] = True
            emitted.append(_shut_out(rng, (account, start, device, address, agent), people.sso, shut, end))
            stay &= ~shut
    table = Sessions(
        account[stay], start[stay], slot[stay], device[stay], address[stay], agent[stay],
        np.zeros(int(stay.sum()), np.int64), login[stay], np.zeros(int(stay.sum()), bool), signup[stay],
    )  # fmt: skip
    _hand_out_tokens(table, tokens, day, throwaway[stay])
    emitted += _beginnings(rng, scenario, presence, table)
    return table, emitted


def _labs(rng: np.random.Generator, presence: Presence, account: Ints, start: Ints, other: Bools) -> Ints:
    """The computer of a campus that each session takes place on, -1 none: private browsing on a machine of many."""
    none: Ints = np.full(len(account), -1, dtype=np.int64)
    said = presence.scenario.structure.campuses
    if not presence.studies or not said.lab_computers:
        return none
    there = presence.on_campus(account, start) & ~other & (rng.random(len(account)) < said.lab_share)
    place = rng.integers(0, said.lab_computers, len(account))
    return np.where(there, LABS + np.maximum(presence.communities.campus[account], 0) * 100_000 + place, none)


def _expire(
    scenario: Scenario, tokens: Tokens, account: Ints, slot: Ints, start: Ints, lasting: Bools, day_start: int
) -> Bools:
    """Which of today's sessions must begin with a login since the service has dropped all tokens. Sessions that are not
    `lasting` (private browsing) renew nothing."""
    must = np.zeros(len(account), bool)
    moments = [scenario.start + int(h.day * DAY) for h in scenario.calendar if h.kind == "session_expiry"]
    if not moments:
        return must
    at = np.flatnonzero(lasting)
    account, slot, start = account[at], slot[at], start[at]
    key = account * DEVICES + slot
    must[at] = _first_of(key, start, np.ones(len(at), bool)) & tokens.expired[account, slot]
    tokens.expired[account, slot] = False
    for moment in moments:
        if day_start <= moment < day_start + DAY:
            late = start >= moment
            tokens.expired[:] = True
            tokens.expired[account[late], slot[late]] = False
            must[at] |= _first_of(key, start, late)
    return must


def _first_of(key: Ints, start: Ints, among: Bools) -> Bools:
    """The earliest of each key among some rows."""
    index = np.flatnonzero(among)
    order = index[np.lexsort((start[index], key[index]))]
    out = np.zeros(len(key), bool)
    out[order[np.unique(key[order], return_index=True)[1]]] = True
    return out


def _shut_out(
    rng: np.random.Generator, table: tuple[Ints, Ints, Ints, Ints, Ints], sso: Bools, who: Bools, end: int
) -> Rows:
    """Tries during an outage of the login: each person a few; the service says that it is unavailable or, since its
    password store does not answer, that the password is wrong."""
    index = np.flatnonzero(who)
    account = table[0][index]
    group, _ = ragged(1 + rng.poisson(2.5, len(index)))
    at = index[group]
    gaps = micros(rng.exponential(70, len(at)) + 4)
    time = np.minimum(table[1][at] + running(gaps, np.bincount(group, minlength=len(index))), end - SECOND)
    time = np.maximum(time, table[1][at])
    words = np.array([CODE["reason"]["unavailable"], CODE["reason"]["bad_password"]])
    reason = words[(rng.random(len(at)) < 0.4).astype(np.int64)]
    method = np.where(sso[account[group]], CODE["method"]["sso"], CODE["method"]["password"])
    seen = {"account": table[0][at], "device": table[2][at], "address": table[3][at], "agent": table[4][at]}
    return rows(
        "login.failed", time, **seen, method=method, reason=reason, outcome="failure", mark=MARK["benign_incident"]
    )


def own_device(rng: np.random.Generator, presence: Presence, tokens: Tokens, account: Ints, time: Ints) -> Rows:
    """Who acts, where each person acts with the first device, in the session that its token stands for."""
    people = presence.people
    none = np.zeros(len(account), np.int64)
    holder = presence.computer_of[account]
    family, session = people.family[holder, 0], tokens.session[account, 0]
    device = device_code(holder, none, tokens.generation[holder, 0])
    return {
        "actor": account, "account": account,
        "session": np.where(session > 0, session, (1 << 57) + account * DEVICES), "device": device,
        "address": presence.address(rng, account, time, family),
        "agent": agent_code(family, device, presence.scenario.start, time),
    }  # fmt: skip


def _hand_out_tokens(table: Sessions, tokens: Tokens, day: int, throwaway: Bools) -> None:
    """A login makes a session; later visits of the device use it. Fills `session`, `login` and `fresh`."""
    size = len(table)
    key = table.account * DEVICES + table.slot
    key = np.where(throwaway, (1 << 50) + np.arange(size), key)
    order = np.lexsort((table.start, key))
    arranged = key[order]
    new_key = np.ones(size, bool)
    new_key[1:] = arranged[1:] != arranged[:-1]
    kept = np.where(throwaway, 0, tokens.session[table.account, table.slot])[order]
    begins = (table.login | table.signup)[order]
    forced = new_key & (kept == 0) & ~begins
    made = begins | forced
    code = np.where(made, ((day + 1) << 34) + order, np.where(new_key, kept, 0))
    holder = np.maximum.accumulate(np.where(made | new_key, np.arange(size), 0))
    session = code[holder]
    table.session[order] = session
    table.login[order] = made & ~table.signup[order]
    table.fresh[order] = new_key & (kept == 0)
    lasting = ~throwaway[order]
    tokens.session[table.account[order][lasting], table.slot[order][lasting]] = session[lasting]


def _given_up(
    rng: np.random.Generator, account: Ints, start: Ints, device: Ints, address: Ints, agent: Ints, who: Bools
) -> Rows:
    """People who fail and go away."""
    index = np.flatnonzero(who)
    group, place = ragged(1 + rng.poisson(1.2, len(index)))
    at = index[group]
    return rows(
        "login.failed",
        start[at] + place * 11 * SECOND + (rng.random(len(at)) * 8e6).astype(np.int64),
        account=account[at], device=device[at], address=address[at], agent=agent[at],
        method="password", reason="bad_password", outcome="failure",
    )  # fmt: skip


def _beginnings(rng: np.random.Generator, scenario: Scenario, presence: Presence, table: Sessions) -> list[Rows]:
    """Sign-ups, logins and returns with a token."""
    people, failures = presence.people, scenario.failures
    out: list[Rows] = []
    new = np.flatnonzero(table.signup)
    account = table.account[new]
    kinds = np.array([CODE["method"][w] for w in ("email", "google", "invite")])
    method = kinds[pick(rng, [6, 3, 1], len(new))]
    method = np.where(people.sso[account], CODE["method"]["sso"], method)
    said = {"method": method, "domain": people.mail[account], "outcome": "success"}
    if people.communities.invites:
        inviter = people.communities.inviter[account]
        said["method"] = np.where((inviter >= 0) & ~people.sso[account], CODE["method"]["invite"], method)
        said["extra"] = np.where(inviter >= 0, extra("invited_by", inviter), -1)
    out.append(rows("account.created", table.start[new], **table.who(new), **said))
    out.append(rows("session.started", table.start[new] + micros(rng.uniform(1, 4, len(new))), **table.who(new)))
    index = np.flatnonzero(table.login)
    account, start = table.account[index], table.start[index]
    sso = people.sso[account]
    passkey = people.passkey[account] & ~sso
    method = np.where(
        sso, CODE["method"]["sso"], np.where(passkey, CODE["method"]["passkey"], CODE["method"]["password"])
    )
    out += _failures(rng, failures, presence, table, index[~sso & ~passkey])
    out += _challenges(rng, failures, presence, table, index[~sso & ~passkey])
    wave = np.full(len(index), -1)
    for happening in scenario.calendar:
        if happening.kind in ("session_expiry", "login_outage"):
            over = scenario.start + int(
                (happening.day + (happening.days if happening.kind == "login_outage" else 0)) * DAY
            )
            wave[(start >= over) & (start < over + HOUR)] = MARK["benign_incident"]
    said = {"method": method, "outcome": np.zeros(len(index), np.int64), "mark": wave}
    out.append(rows("login.succeeded", start, **table.who(index), **said))
    out.append(rows("session.started", start + micros(rng.uniform(0.1, 0.9, len(index))), **table.who(index)))
    back = np.flatnonzero(~table.login & ~table.signup)
    out.append(rows("session.used", table.start[back], **table.who(back), method="token"))
    return out


def _failures(rng: np.random.Generator, odds: Failures, presence: Presence, table: Sessions, index: Ints) -> list[Rows]:
    """Mistyped and forgotten passwords, and mistyped names, before the login that succeeds."""
    people, failures = presence.people, odds
    drawn = rng.random(len(index))
    typo = drawn < failures.typo
    forgot = ~typo & (drawn < failures.typo + failures.forgotten)
    counts = np.where(typo, rng.geometric(0.72, len(index)), np.where(forgot, 2 + rng.poisson(1.0, len(index)), 0))
    counts = np.minimum(counts, 9)
    group, _ = ragged(counts)
    at = index[group]
    gap = micros(rng.uniform(4, 14, len(at)))
    before = np.where(forgot[group], 60 * SECOND, 20 * SECOND)
    time = table.start[at] - before - running(gap, counts)
    shared = {"device": table.device[at], "address": table.address[at], "agent": table.agent[at]}
    bad = {"method": "password", "reason": "bad_password", "outcome": "failure"}
    out = [rows("login.failed", time, account=table.account[at], **shared, **bad)]
    at = index[forgot]
    shared = {"device": table.device[at], "address": table.address[at], "agent": table.agent[at]}
    time = table.start[at] - micros(rng.uniform(8, 40, len(at)))
    out.append(
        rows("password.reset", time, account=table.account[at], **shared, method="email_code", outcome="success")
    )
    at = index[rng.random(len(index)) < failures.wrong_name]
    shared = {"device": table.device[at], "address": table.address[at], "agent": table.agent[at]}
    names = rng.integers(people.mistyped[0], people.mistyped[1], len(at))
    bad["reason"] = "unknown_account"
    time = table.start[at] - micros(rng.uniform(9, 30, len(at)))
    out.append(rows("login.failed", time, account=names, **shared, **bad))
    return out


def _challenges(
    rng: np.random.Generator, odds: Failures, presence: Presence, table: Sessions, index: Ints
) -> list[Rows]:
    """Second factors, and codes by e-mail on new devices; some fail once."""
    people, account = presence.people, table.account[index]
    own = people.mfa[account]
    fresh = table.fresh[index]
    odds_now = np.where(
        own > 0,
        np.where(fresh, 1.0, odds.challenge_share),
        np.where(fresh, odds.challenge_new_device, 0.0),
    )
    asked = rng.random(len(index)) < odds_now
    at, own = index[asked], own[asked]
    method = np.where(own > 0, own, CODE["method"]["email_code"])
    shared = {"account": table.account[at], "device": table.device[at], "address": table.address[at]}
    shared |= {"agent": table.agent[at], "method": method}
    begun = table.start[at] - micros(rng.uniform(14, 19, len(at)))
    out = [rows("challenge.issued", begun, **shared)]
    out.append(
        rows("challenge.passed", table.start[at] - micros(rng.uniform(0.2, 3, len(at))), **shared, outcome="success")
    )
    failed = rng.random(len(at)) < odds.challenge_failed
    some = take(shared, failed)
    wrong = begun[failed] + micros(rng.uniform(3, 9, int(failed.sum())))
    out.append(rows("challenge.failed", wrong, **some, outcome="failure"))
    return out + _abandoned(rng, shared, table.start[at], odds.challenge_abandoned)


def _abandoned(rng: np.random.Generator, shared: Rows, start: Ints, odds: float) -> list[Rows]:
    """Challenges given up (the telephone is in the other room), some minutes before the try that succeeds."""
    left = rng.random(len(start)) < odds
    some = take(shared, left)
    issued = start[left] - micros(rng.uniform(120, 900, int(left.sum())))
    wrong = rng.random(len(issued)) < 0.4
    end = issued + micros(rng.uniform(15, 100, len(issued)))
    reason = np.where(wrong, CODE["reason"]["challenge_failed"], CODE["reason"]["challenge_abandoned"])
    seen = {name: some[name] for name in ("account", "device", "address", "agent")}
    return [
        rows("challenge.issued", issued, **some),
        rows("challenge.failed", end[wrong], **take(some, wrong), outcome="failure"),
        rows("login.failed", end, **seen, method="password", outcome="failure", reason=reason),
    ]
