"""Lateral movement: from one account of an organisation to others of it, by what the first one gives away.

`credentials`: passwords found in the files, each used by an ordinary login. `apps`: colleagues authorize an
application that the hijacked account recommends, and it reads by the API. `sharing`: a shared folder is the lure that
captures the colleague's password; back flow folders of theirs, read from the first account. The first account's
password is in the intruder's hands from the start; every account is labelled until its owner has it back.
"""

from __future__ import annotations

import numpy as np

from shoal.simulate.adversaries.intruder import Entries, login_rows, recover
from shoal.simulate.adversaries.stage import Stage
from shoal.simulate.catalogue import CODE
from shoal.simulate.draws import HOUR, MINUTE, SECOND, Bools, Ints, median_counts, micros, ragged, running
from shoal.simulate.honest.actions import file_code
from shoal.simulate.honest.programs import split_apps
from shoal.simulate.rows import Rows, rows


def plan_lateral(stage: Stage) -> list[Rows]:
    """One chain of accounts after another, each in an organisation of its own."""
    stage.victim_kind = stage.adversary.kind
    out: list[Rows] = []
    for begin, chain in zip(stage.moments(stage.adversary.footholds), _chains(stage), strict=False):
        out += _chain(stage, chain, int(begin))
    return out


def _chains(stage: Stage) -> list[Ints]:
    """Accounts of each chain, the first one first; no account and no organisation is in two."""
    spec, rng, people = stage.adversary, stage.rng, stage.people
    pool = rng.permutation(stage.victims(people.settled, password=spec.way != "apps", files=10))
    pool = pool[people.org[pool] >= 0]
    fit = np.bincount(people.org[pool], minlength=int(people.org.max()) + 1)
    lengths = 2 + rng.poisson(max(spec.hops - 1, 0), spec.footholds)
    chains, used = [], set[int]()
    for length in lengths.tolist():
        firsts = [int(a) for a in pool if fit[people.org[a]] >= length and int(people.org[a]) not in used][:1]
        if firsts and not (people.sso | people.passkey)[firsts[0]]:
            org = int(people.org[firsts[0]])
            used.add(org)
            mates = pool[(people.org[pool] == org) & (pool != firsts[0])]
            chains.append(np.array([firsts[0], *mates[: length - 1].tolist()], dtype=np.int64))
    return chains


def _chain(stage: Stage, chain: Ints, begin: int) -> list[Rows]:
    spec, rng, size = stage.adversary, stage.rng, len(chain)
    gaps = (rng.exponential(spec.hop_h, size) * HOUR).astype(np.int64) + 4 * MINUTE
    gaps[0] = 0
    time = begin + np.cumsum(gaps)
    first = np.zeros(size, np.int64)
    same = np.where(rng.random(size) < spec.reuse, first, np.arange(size))
    agent = stage.agents(spec.tool, size, chain, time)[same]
    tries = Entries(
        chain, time, stage.near(spec.origin, spec.near, chain)[same], stage.codes(size)[same], agent, stage.codes(size)
    )
    out, inside = _enter(stage, tries.some(np.arange(1)))
    if not inside.all():
        return out  # the first door stayed shut: there is no way on
    by_app = (np.arange(size) > 0) & (spec.way == "apps")
    by_login = np.flatnonzero(~by_app & (np.arange(size) > 0))
    more, opened = _enter(stage, tries.some(by_login))
    entered = tries.some(np.append(0, by_login[opened]))
    last = entered.time + MINUTE
    out += more + _read(stage, entered, last)
    if spec.way == "sharing":
        out += _lures(stage, tries, entered, last)
    if by_app.any():
        out += _consented(stage, chain[by_app], time[by_app], tries)
    return out + recover(stage, entered, last)


def _enter(stage: Stage, tries: Entries) -> tuple[list[Rows], Bools]:
    """Failed and right passwords, challenges; who got in. Accounts that stayed shut are labelled for a day."""
    out = _failures(stage, tries)
    more, inside = login_rows(stage, tries, passes=stage.adversary.passes_challenge)
    for victim, moment in zip(tries.victim[~inside].tolist(), tries.time[~inside].tolist(), strict=True):
        stage.label("account", victim, stage.adversary.kind, moment - HOUR, moment + 24 * HOUR)
    return out + more, inside


def _failures(stage: Stage, tries: Entries) -> list[Rows]:
    counts = stage.rng.poisson(stage.adversary.failures, len(tries.victim))
    group, _ = ragged(counts)
    time = tries.time[group] - 30 * SECOND - running(micros(stage.rng.uniform(5, 40, len(group))), counts)
    seen = {k: v for k, v in tries.who(group).items() if k not in ("actor", "session")}
    said = {"method": "password", "reason": "bad_password", "outcome": "failure"}
    return [rows("login.failed", time, **seen, **said, **stage.truth())]


def _read(stage: Stage, entered: Entries, last: Ints) -> list[Rows]:
    """Files of the account and of its colleagues."""
    spec, rng, people, size = stage.adversary, stage.rng, stage.people, len(entered.victim)
    counts = median_counts(rng, spec.files, 0.6, size)
    group, place = ragged(counts)
    time = entered.time[group] + 40 * SECOND + running(micros(rng.exponential(spec.pause_s, len(group))), counts)
    np.maximum.at(last, group, time)
    taker = entered.victim[group]
    owner = np.where(rng.random(len(group)) < spec.others, people.mates(rng, taker), taker)
    file = file_code(owner, (place * 5 + 1) % np.maximum(people.library[owner], 1))
    return [rows("file.downloaded", time, **entered.who(group), owner=owner, file=file, external=0, **stage.truth())]


def _lures(stage: Stage, tries: Entries, entered: Entries, last: Ints) -> list[Rows]:
    """Before each entry a folder shared from the first account; after it, folders shared back and read there."""
    spec, rng, truth, chain = stage.adversary, stage.rng, stage.truth(), tries.victim
    size = len(chain) - 1
    at = np.zeros(size, np.int64)
    view, edit = CODE["permission"]["view"], CODE["permission"]["edit"]
    sent = np.maximum(tries.time[1:] - micros(rng.exponential(1500, size) + 90), entered.time[0] + 20 * SECOND)
    folder = chain[0] * 64 + rng.integers(0, 24, size)
    sharing = {"recipient": chain[1:], "owner": chain[:1].repeat(size), "resource": folder, "permission": view}
    out = [rows("folder.shared", sent, **entered.who(at), **sharing, external=0, **truth)]
    np.maximum.at(last, at, sent)
    back = np.flatnonzero(np.arange(len(entered.victim)) > 0)
    shared = entered.time[back] + micros(rng.exponential(240, len(back)) + 30)
    np.maximum.at(last, back, shared)
    owner = entered.victim[back]
    folder = owner * 64 + rng.integers(0, 24, len(back))
    sharing = {"recipient": chain[:1].repeat(len(back)), "owner": owner, "resource": folder, "permission": edit}
    out.append(rows("folder.shared", shared, **entered.who(back), **sharing, external=0, **truth))
    counts = median_counts(rng, spec.files, 0.5, len(back))
    group, place = ragged(counts)
    time = shared[group] + 2 * MINUTE + running(micros(rng.exponential(spec.pause_s, len(group))), counts)
    at = np.zeros(len(group), np.int64)
    np.maximum.at(last, at, time)
    file = file_code(owner[group], place % np.maximum(stage.people.library[owner[group]], 1))
    out.append(rows("file.downloaded", time, **entered.who(at), owner=owner[group], file=file, external=0, **truth))
    return out


def _consented(stage: Stage, victims: Ints, time: Ints, tries: Entries) -> list[Rows]:
    """Colleagues let the application in, from their own devices; it reads from its server until they revoke it."""
    spec, rng, truth, size = stage.adversary, stage.rng, stage.truth(), len(victims)
    app = np.full(size, rng.permutation(split_apps(stage.seed)[1])[0])
    who = stage.own(victims, time)
    begun = time - micros(rng.uniform(10, 60, size))
    out = [rows("session.used", begun, **who, method="token", **stage.truth(False))]
    share = {"recipient": victims, "owner": tries.victim[:1].repeat(size), "permission": "view", "external": 0}
    folder = tries.victim[:1].repeat(size) * 64 + rng.integers(0, 24, size)
    sent = np.maximum(begun - micros(rng.exponential(1500, size) + 60), tries.time[0] + 20 * SECOND)
    first = tries.who(np.zeros(size, np.int64))
    out.append(rows("folder.shared", sent, **first, **share, resource=folder, **truth))
    out.append(rows("app.authorized", time, **who, app=app, permission=CODE["permission"]["files.read"], **truth))
    until = time + (rng.exponential(spec.recovers_h, size) * HOUR).astype(np.int64) + HOUR
    counts = np.minimum(median_counts(rng, spec.files, 0.6, size), np.maximum(stage.people.library[victims], 1))
    group, place = ragged(counts)
    moment = time[group] + 5 * MINUTE + running(micros(rng.exponential(spec.pause_s, len(group))), counts)
    kept: Bools = moment < until[group]
    group, place, moment = group[kept], place[kept], moment[kept]
    pool, session, tool = stage.pool("hosting", 2), stage.codes(size), stage.agents("common", 1)
    reads: Rows = {
        "actor": victims[group], "account": victims[group], "session": session[group], "app": app[group],
        "address": pool[rng.integers(0, len(pool), len(group))], "agent": tool.repeat(len(group)),
    }  # fmt: skip
    owner = victims[group]
    out.append(rows("file.downloaded", moment, **reads, owner=owner, file=file_code(owner, place), external=0, **truth))
    recovery = {"mark": stage.recovery, "harmful": False}
    out.append(rows("app.revoked", until, **stage.own(victims, until), app=app, **recovery))
    for victim, start, end in zip(victims.tolist(), time.tolist(), until.tolist(), strict=True):
        stage.label("account", victim, spec.kind, start, end)
    stage.label("app", int(app[0]), spec.kind, int(time.min()), None)
    return out
