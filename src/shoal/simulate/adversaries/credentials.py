"""Credential stuffing and password spraying: many tries on many accounts, few of which open."""

from __future__ import annotations

import numpy as np

from shoal.simulate.adversaries.intruder import Entries, live_inside, login_rows, recover
from shoal.simulate.adversaries.stage import Stage
from shoal.simulate.catalogue import CODE
from shoal.simulate.draws import HOUR, MINUTE, Bools, Ints
from shoal.simulate.rows import Rows, rows

_AGENTS_PER_ADDRESS = 3


def plan_stuffing(stage: Stage) -> list[Rows]:
    """Leaked pairs, each tried once."""
    spec, rng = stage.adversary, stage.rng
    time = stage.moments(spec.attempts, spec.steady)
    target = rng.integers(0, stage.people.settled, len(time))
    return _attempts(stage, time, target)


def plan_spraying(stage: Stage) -> list[Rows]:
    """In each round one password is tried on every member of the chosen organisations."""
    spec, rng, people = stage.adversary, stage.rng, stage.people
    members = np.flatnonzero((people.org[: people.settled] >= 0) & (people.org[: people.settled] < spec.organisations))
    members = members[~people.sso[members]]
    if not len(members):
        members = stage.victims(50)
    span = (stage.end - stage.start) // spec.rounds
    times, targets = [], []
    for number in range(spec.rounds):
        width = max(int(span * spec.steady), min(span, 20 * MINUTE))
        times.append(stage.start + number * span + (rng.random(len(members)) * width).astype(np.int64))
        targets.append(rng.permutation(members))
    time, target = np.concatenate(times), np.concatenate(targets)
    order = np.argsort(time, kind="stable")[: spec.attempts]
    return _attempts(stage, time[order], target[order])


def _attempts(stage: Stage, time: Ints, target: Ints) -> list[Rows]:
    """Failures for most, logins for those whose password was right; then what follows inside."""
    spec, rng, people, size = stage.adversary, stage.rng, stage.people, len(time)
    pool = stage.pool(spec.origin, spec.addresses, spec.systems)
    which = rng.integers(0, len(pool), size)
    address = pool[which]
    kit = stage.agents(spec.tool, len(pool) * _AGENTS_PER_ADDRESS)
    agent = kit[which * _AGENTS_PER_ADDRESS + rng.integers(0, _AGENTS_PER_ADDRESS, size)]
    if spec.tool == "victim":
        agent = stage.agents("victim", size, target, time)
    unknown = rng.random(size) < spec.unknown_rate
    hit = ~unknown & (rng.random(size) < spec.hit_rate / max(1 - spec.unknown_rate, 1e-9))
    hit &= ~(people.sso | people.passkey)[target]
    names = people.add(np.zeros(int(unknown.sum()), np.int64), people.home[target[unknown]], 0, exists=False)
    account = target.copy()
    account[unknown] = names
    device = stage.codes(size)
    miss = ~hit
    reason = np.where(unknown, CODE["reason"]["unknown_account"], CODE["reason"]["bad_password"])[miss]
    out = [
        rows(
            "login.failed", time[miss], account=account[miss], device=device[miss], address=address[miss],
            agent=agent[miss], method="password", reason=reason, outcome="failure", **stage.truth(),
        )
    ]  # fmt: skip
    first = np.zeros(size, bool)
    found = np.flatnonzero(hit)
    first[found[np.unique(target[found], return_index=True)[1]]] = True
    tries = Entries(
        target[first], time[first], address[first], device[first], agent[first], stage.codes(int(first.sum()))
    )
    more, inside = login_rows(stage, tries, passes=0.03)
    out += more
    out += _afterwards(stage, tries.some(inside))
    used = np.unique(which)
    begins, ends = np.full(len(pool), stage.world_end), np.zeros(len(pool), np.int64)
    np.minimum.at(begins, which, time)
    np.maximum.at(ends, which, time)
    for place in used.tolist():
        stage.label("ip", int(pool[place]), spec.kind, int(begins[place]), int(ends[place]) + 1)
    return out


def _afterwards(stage: Stage, opened: Entries) -> list[Rows]:
    """Some opened accounts are used, by somebody who comes later from elsewhere; the others are found out in time."""
    rng, spec = stage.rng, stage.adversary
    use: Bools = rng.random(len(opened.victim)) < spec.use_rate
    later = opened.some(use)
    later.time = later.time + (rng.exponential(6, len(later.time)) * HOUR).astype(np.int64) + MINUTE
    size = len(later.time)
    later.address = stage.near("vpn", "anywhere", later.victim) if size else later.address
    later.device, later.session = stage.codes(size), stage.codes(size)
    later.agent = stage.agents("common" if spec.tool == "none" else spec.tool, size, later.victim, later.time)
    out, inside = login_rows(stage, later, passes=0.5)
    came = later.some(inside)
    out += live_inside(stage, came)
    rest = opened.some(~np.isin(opened.victim, came.victim))
    return out + recover(stage, rest, rest.time)
