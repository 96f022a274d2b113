"""Data that leaves by a door that is open: a malicious application with its users' consent, and insiders.

No password is stolen. The application reads by the API from its own servers; the insider uses his own account, device
and network, and gives the data to an outsider account made for it.
"""

from __future__ import annotations

import numpy as np

from shoal.simulate.adversaries.stage import Stage
from shoal.simulate.catalogue import CODE
from shoal.simulate.draws import DAY, HOUR, MINUTE, SECOND, Bools, Ints, median_counts, micros, ragged, running
from shoal.simulate.honest.actions import file_code
from shoal.simulate.honest.programs import split_apps
from shoal.simulate.rows import Rows, rows, take


def plan_consent(stage: Stage) -> list[Rows]:
    """Grants after a lure, reading by the API, revocation."""
    spec, rng, people, truth = stage.adversary, stage.rng, stage.people, stage.truth()
    victims = rng.permutation(stage.victims(spec.victims, password=False, files=5))
    size = len(victims)
    which = np.arange(size) * spec.apps // max(size, 1)  # one application after the other
    names = rng.permutation(split_apps(stage.seed)[1])[: spec.apps]
    app = names[which]
    first = stage.start + (np.arange(spec.apps) * (stage.end - stage.start) // spec.apps)
    lag = np.minimum(rng.exponential(spec.lure_h * 0.5, size), spec.lure_h * 4) * HOUR
    granted = first[which] + lag.astype(np.int64)
    who = stage.own(victims, granted)
    out = [
        rows("session.used", granted - micros(rng.uniform(10, 60, size)), **who, method="token", **stage.truth(False))
    ]
    scopes = np.array([CODE["permission"][word] for word in ("files.read", "files.write", "offline")])
    scope = scopes[np.minimum(rng.geometric(0.6, size) - 1, 2)]
    out.append(rows("app.authorized", granted, **who, app=app, permission=scope, **truth))
    until = granted + (rng.exponential(spec.revoked_h, size) * HOUR).astype(np.int64) + HOUR
    counts = np.minimum(median_counts(rng, spec.files, 0.7, size), np.maximum(people.library[victims], 1))
    group, place = ragged(counts)
    begin = granted + (rng.exponential(max(spec.read_after_h, 1e-4), size) * HOUR).astype(np.int64) + 20 * SECOND
    time = begin[group] + running(micros(rng.exponential(spec.pause_s, len(group))), counts)
    kept = time < until[group]
    group, place, time = group[kept], place[kept], time[kept]
    pool = stage.pool(spec.origin, spec.servers)
    tools = stage.agents(spec.tool, spec.apps)
    session = stage.codes(size)
    reads: Rows = {
        "actor": victims[group], "account": victims[group], "session": session[group], "app": app[group],
        "address": pool[rng.integers(0, len(pool), len(group))], "agent": tools[which[group]],
    }  # fmt: skip
    owner = victims[group]
    out.append(rows("file.downloaded", time, **reads, owner=owner, file=file_code(owner, place), external=0, **truth))
    back = stage.own(victims, until)
    recovery = {"mark": stage.recovery, "harmful": False}
    out.append(rows("app.revoked", until, **back, app=app, **recovery))
    for victim, start, end in zip(victims.tolist(), granted.tolist(), until.tolist(), strict=True):
        stage.label("account", victim, spec.kind, start, end)
    for code in np.unique(app).tolist():
        stage.label("app", code, spec.kind, int(granted[app == code].min()), None)
    return out


def plan_insiders(stage: Stage) -> list[Rows]:
    """Members who take their own and their colleagues' files, and hand folders to an outsider."""
    spec, rng, people, truth = stage.adversary, stage.rng, stage.people, stage.truth()
    pool = stage.victims(people.settled, password=False, files=20)
    members = rng.permutation(pool[people.org[pool] >= 0])[: spec.insiders]
    size = len(members)
    group, _ = ragged(np.full(size, spec.sessions, np.int64))
    begin = stage.start + (rng.random(len(group)) * (stage.end - stage.start)).astype(np.int64)
    begin = _hours(stage, members[group], begin, rng.random(len(group)) < spec.away)
    who = stage.own(members[group], begin)
    out = [rows("session.used", begin, **who, method="token", **truth)]
    total = median_counts(rng, spec.files, 0.5, size)
    counts = np.maximum(total[group] // spec.sessions, 1)
    part, place = ragged(counts)
    time = begin[part] + 20 * SECOND + running(micros(rng.exponential(spec.pause_s, len(part))), counts)
    taker = members[group][part]
    owner = np.where(rng.random(len(part)) < spec.others, people.mates(rng, taker), taker)
    file = file_code(owner, (place * 7 + 3) % np.maximum(people.library[owner], 1))
    out.append(rows("file.downloaded", time, **take(who, part), owner=owner, file=file, external=0, **truth))
    ends = np.full(size, 0, np.int64)
    np.maximum.at(ends, group[part], time)
    out += _hand_over(stage, members, ends)
    first = np.full(size, stage.world_end, np.int64)
    np.minimum.at(first, group, begin)
    for member, start in zip(members.tolist(), first.tolist(), strict=True):
        stage.label("account", member, spec.kind, start, None)
    return out


def _hours(stage: Stage, account: Ints, time: Ints, away: Bools) -> Ints:
    """The same day, moved into working hours or, `away`, into the evening and night."""
    offset = stage.presence.offset[stage.people.home[account]]
    local = time + offset
    hour = np.where(away, 19 + stage.rng.random(len(time)) * 4.5, 9 + stage.rng.random(len(time)) * 8)
    moved = local // DAY * DAY + (hour * HOUR).astype(np.int64) - offset
    out: Ints = np.maximum(moved, stage.start)
    return out


def _hand_over(stage: Stage, members: Ints, ends: Ints) -> list[Rows]:
    """An outsider account for each insider; folders shared with it, which it then downloads."""
    spec, rng, truth, size = stage.adversary, stage.rng, stage.truth(), len(members)
    counts = rng.poisson(spec.folders, size)
    some = np.flatnonzero(counts > 0)
    if not len(some):
        return []
    insider, begin, counts = members[some], ends[some] + 2 * MINUTE, counts[some]
    age = (rng.exponential(spec.outsider_age_h, len(some)) * HOUR).astype(np.int64) + 3 * MINUTE
    created = np.maximum(begin - age, stage.scenario.start + SECOND)
    address = stage.presence.home_address(insider, created)  # made at home, by the same person
    device, agent = stage.codes(len(some)), stage.agents("common", len(some))
    out, outsider = stage.joined(created, address, device, agent)
    for account, since in zip(outsider["actor"].tolist(), created.tolist(), strict=True):
        stage.label("account", account, spec.kind, since, None)
    group, place = ragged(counts)
    time = begin[group] + running(micros(rng.exponential(45, len(group)) + 4), counts)
    who = stage.own(insider, begin)
    owner = insider[group]
    folder = owner * 64 + (place * 5 + rng.integers(0, 5, len(group))) % 64
    out.append(
        rows(
            "folder.shared", time, **take(who, group), owner=owner, recipient=outsider["actor"][group], resource=folder,
            permission="edit", external=1, **truth,
        )
    )  # fmt: skip
    reads = median_counts(rng, max(spec.files * spec.collects, 1), 0.4, len(some))
    reads = np.where(rng.random(len(some)) < max(spec.collects, 0) * 1.2, reads, 0)
    part, place = ragged(reads)
    later = begin + (rng.exponential(3, len(some)) * HOUR).astype(np.int64) + 10 * MINUTE
    used = {**outsider, "address": stage.presence.home_address(insider, later)}
    out.append(rows("session.used", later, **used, method="token", **truth))
    time = later[part] + 5 * SECOND + running(micros(rng.exponential(2, len(part))), reads)
    owner = insider[part]
    file = file_code(owner, place % np.maximum(stage.people.library[owner], 1))
    out.append(rows("file.downloaded", time, **take(used, part), owner=owner, file=file, external=1, **truth))
    return out
