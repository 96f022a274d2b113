"""Ways into an account beside the password: worn-out owners (push fatigue), stolen tokens, a captured mailbox.

What follows inside is that of `intruder`. The owner's part in a stolen session is planned here too, as rows that belong
to the attack and harm nobody: the honest world knows nothing of it and stays as it is.
"""

from __future__ import annotations

import numpy as np

from shoal.simulate.adversaries.intruder import Entries, live_inside, login_rows
from shoal.simulate.adversaries.stage import Stage
from shoal.simulate.catalogue import CODE, MAIL_DOMAINS
from shoal.simulate.draws import DAY, HOUR, MINUTE, SECOND, Ints, median_counts, micros, ragged, running
from shoal.simulate.honest.actions import file_code
from shoal.simulate.rows import Rows, rows, take

_PUSH = CODE["method"]["push"]


def plan_fatigue(stage: Stage) -> list[Rows]:
    """Prompts until the owner accepts one, or the intruder gives up."""
    spec, rng, people, truth = stage.adversary, stage.rng, stage.people, stage.truth()
    stage.victim_kind = spec.kind
    pool = stage.victims(people.settled)
    victims = rng.permutation(pool[people.mfa[pool] == _PUSH])[: spec.victims]
    size = len(victims)
    time = stage.moments(size)
    local = time + stage.presence.offset[people.home[victims]]
    to_night = (rng.random(size) * 5 * HOUR).astype(np.int64) - local % DAY
    time = time + np.where(rng.random(size) < spec.night, to_night, 0)
    time = np.where(time < stage.start, time + DAY, time)
    counts = median_counts(rng, spec.prompts, 0.5, size)
    accepts = rng.random(size) < spec.accepts
    group, place = ragged(counts)
    waits = micros(rng.exponential(spec.prompt_gap_s, len(group)) + 8)
    issued = time[group] + running(waits, counts)
    tries = Entries(
        victims, time, stage.near(spec.origin, spec.near, victims), stage.codes(size),
        stage.agents(spec.tool, size, victims, time), stage.codes(size),
    )  # fmt: skip
    who = tries.who(group)
    asked: Rows = {name: who[name] for name in ("account", "device", "address", "agent")}
    out = [rows("challenge.issued", issued, **asked, method="push", **truth)]
    last = place == counts[group] - 1
    taken = last & accepts[group]
    answer = issued + micros(rng.uniform(4, 30, len(group)))
    denied = ~taken & (rng.random(len(group)) < spec.denies)
    lost = take(asked, denied)
    out.append(
        rows("challenge.failed", answer[denied], **lost, method="push", outcome="failure", reason="denied", **truth)
    )
    failed = ~taken
    reason = np.where(denied, CODE["reason"]["challenge_failed"], CODE["reason"]["challenge_abandoned"])[failed]
    ended = np.where(denied, answer + micros(rng.uniform(0.1, 0.6, len(group))), issued + 60 * SECOND)[failed]
    out.append(
        rows("login.failed", ended, **take(asked, failed), method="password", outcome="failure", reason=reason, **truth)
    )
    at = np.flatnonzero(taken)
    out.append(rows("challenge.passed", answer[at], **take(asked, at), method="push", outcome="success", **truth))
    won = tries.some(group[at])
    won.time = answer[at] + micros(rng.uniform(0.2, 2, len(at)))
    first = issued[place == 0]
    stage.since = dict(zip(victims.tolist(), first.tolist(), strict=True))
    for victim, begun in zip(victims[~accepts].tolist(), first[~accepts].tolist(), strict=True):
        stage.label("account", victim, spec.kind, begun, begun + DAY)  # besieged, not opened
    return out + _enter(stage, won)


def _enter(stage: Stage, won: Entries) -> list[Rows]:
    """The login, the session, and life inside."""
    size, truth = len(won.victim), stage.truth()
    who = won.who()
    begun = won.time + micros(stage.rng.uniform(0.1, 0.9, size))
    return [
        rows("login.succeeded", won.time, **who, method="password", outcome="success", **truth),
        rows("session.started", begun, **who, **truth),
        *live_inside(stage, won),
    ]


def plan_theft(stage: Stage) -> list[Rows]:
    """The owner logs in and works; from some minute on, somebody else works in the same session."""
    spec, rng, people, truth = stage.adversary, stage.rng, stage.people, stage.truth()
    stage.victim_kind = spec.kind
    victims = rng.permutation(stage.victims(spec.victims))
    size = len(victims)
    begun = stage.moments(size)
    owner = stage.own(victims, begun)
    owner["session"] = stage.codes(size)
    method = np.where(people.mfa[victims] > 0, people.mfa[victims], -1)
    asked = np.flatnonzero(method >= 0)
    harmless = stage.truth(False)
    seen = take({name: owner[name] for name in ("account", "device", "address", "agent")}, asked)
    out = [
        rows("challenge.issued", begun[asked] - 15 * SECOND, **seen, method=method[asked], **harmless),
        rows(
            "challenge.passed", begun[asked] - micros(rng.uniform(0.2, 3, len(asked))), **seen, method=method[asked],
            outcome="success", **harmless,
        ),
        rows("login.succeeded", begun, **owner, method="password", outcome="success", **harmless),
        rows("session.started", begun + micros(rng.uniform(0.1, 0.9, size)), **owner, **harmless),
    ]  # fmt: skip
    after = np.exp(rng.normal(np.log(spec.after_min), 0.8, size)) * MINUTE
    time = begun + np.maximum(after, 20 * SECOND).astype(np.int64)
    out.append(_owner_works(stage, victims, begun, time, owner))
    # a stolen token tells the device of its owner, or none that is known
    known = rng.random(size) < 0.5
    device = np.where(known, owner["device"], stage.codes(size))
    thief = Entries(
        victims, time, stage.near(spec.origin, spec.near, victims), device,
        stage.agents(spec.tool, size, victims, time), owner["session"],
    )  # fmt: skip
    out.append(rows("session.used", time, **thief.who(), method="token", **truth))
    return out + live_inside(stage, thief)


def _owner_works(stage: Stage, victims: Ints, begun: Ints, stolen: Ints, owner: Rows) -> Rows:
    """Ordinary downloads of the owner, from the login until as long after the theft."""
    rng = stage.rng
    counts = rng.poisson(stage.adversary.owner_actions, len(victims))
    group, _ = ragged(counts)
    span = 2 * (stolen - begun)[group] + MINUTE
    time = begun[group] + 5 * SECOND + (rng.random(len(group)) * span).astype(np.int64)
    owned = np.maximum(stage.people.library[victims[group]], 1)
    file = file_code(victims[group], (rng.random(len(group)) * owned).astype(np.int64))
    acts = take(owner, group)
    return rows("file.downloaded", time, **acts, owner=victims[group], file=file, external=0, **stage.truth(False))


def plan_recovery(stage: Stage) -> list[Rows]:
    """Reset by the captured mailbox, login, another address; then life inside."""
    spec, rng, people, truth = stage.adversary, stage.rng, stage.people, stage.truth()
    stage.victim_kind = spec.kind
    victims = rng.permutation(stage.victims(spec.victims))
    size = len(victims)
    reset = stage.moments(size)
    agent = stage.agents(spec.tool, size, victims, reset)
    wait = np.exp(rng.normal(np.log(spec.login_after_min), 0.6, size)) * MINUTE
    time = reset + np.maximum(wait, 20 * SECOND).astype(np.int64)
    tries = Entries(
        victims, time, stage.near(spec.origin, spec.near, victims), stage.codes(size), agent, stage.codes(size)
    )
    who = tries.who()
    seen = {name: who[name] for name in ("account", "device", "address", "agent")}
    out = [rows("password.reset", reset, **seen, method="email_code", outcome="success", **truth)]
    more, inside = login_rows(stage, tries, passes=spec.passes_challenge)
    stage.since = dict(zip(victims.tolist(), reset.tolist(), strict=True))
    entered = tries.some(inside)
    out += more
    count = len(entered.victim)
    wait = np.exp(rng.normal(np.log(spec.email_after_min), 0.6, count)) * MINUTE
    changed = entered.time + np.maximum(wait, 5 * SECOND).astype(np.int64)
    domain = rng.integers(0, len(MAIL_DOMAINS), count)
    out.append(rows("email.changed", changed, **entered.who(), domain=domain, **truth))
    second = np.flatnonzero(people.mfa[entered.victim] > 0)
    method = people.mfa[entered.victim[second]]
    removed = changed[second] + micros(rng.exponential(120, len(second)) + 5)
    out.append(rows("mfa.removed", removed, **entered.who(second), method=method, **truth))
    for victim, moment in zip(victims[~inside].tolist(), reset[~inside].tolist(), strict=True):
        stage.label("account", victim, spec.kind, moment, moment + DAY)
    return out + live_inside(stage, entered)
