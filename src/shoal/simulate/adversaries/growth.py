"""Abuse of what the service gives away: bonus space for invitations, free space in many accounts, free mailings.

The accounts are the adversary's own (or, for invitation spam, partly hijacked), so nearly all rows are harmful.
"""

from __future__ import annotations

import numpy as np

from shoal.simulate.adversaries.links import fresh_and_hijacked
from shoal.simulate.adversaries.stage import Stage
from shoal.simulate.catalogue import EXT, MAIL_DOMAINS, MAIL_WEIGHTS
from shoal.simulate.draws import DAY, HOUR, MINUTE, SECOND, Ints, median_counts, micros, pick, ragged, running
from shoal.simulate.honest.actions import file_code
from shoal.simulate.honest.links import plan_visits, visit_rows
from shoal.simulate.render import LIBRARY_BITS, extension_of
from shoal.simulate.rows import Rows, extra, rows, take


def plan_referrals(stage: Stage) -> list[Rows]:
    """Rings: each collector invites addresses of his own making, signs up with them and gets the bonus."""
    spec, rng, truth = stage.adversary, stage.rng, stage.truth()
    size = spec.inviters
    aged = np.arange(size) < round(size * spec.aged)
    people = rng.permutation(stage.victims(int(aged.sum()), password=False))
    begin = stage.moments(size)
    pool = stage.pool(spec.origin, spec.addresses * size)
    ring = pool[(np.arange(size)[:, None] * spec.addresses + np.arange(spec.addresses)) % len(pool)]
    kit = stage.codes(size * spec.devices).reshape(size, spec.devices)
    tools = stage.agents(spec.tool, size * spec.devices).reshape(size, spec.devices)
    fresh = np.flatnonzero(np.arange(size) >= len(people))
    created = np.maximum(
        begin[fresh] - micros(rng.exponential(4 * 3600, len(fresh)) + 300), stage.scenario.start + SECOND
    )
    out, made = stage.joined(created, ring[fresh, 0], kit[fresh, 0], tools[fresh, 0])
    collector = np.concatenate([people, made["actor"]])
    own = stage.own(people, begin[: len(people)])
    who = {name: np.concatenate([column, made[name]]) for name, column in own.items()}
    since = np.concatenate([begin[: len(people)], created])
    for account, moment in zip(collector.tolist(), since.tolist(), strict=True):
        stage.label("account", account, spec.kind, moment, None)
    counts = 1 + rng.poisson(max(spec.invited - 1, 0), size)
    group, _ = ragged(counts)
    span = max(stage.end - stage.start, HOUR)
    step = np.minimum(rng.exponential(25 * MINUTE, len(group)), span / np.maximum(counts[group], 1))
    sent = begin[group] + running(step.astype(np.int64) + 20 * SECOND, counts)
    number = rng.integers(0, 1 << 40, len(group))
    shared = stage.people.domain(f"mail{int(rng.integers(0, 10**6)):06d}.example")
    mail = np.where(rng.random(len(group)) < spec.shared_domain, shared, pick(rng, MAIL_WEIGHTS, len(group)))
    out.append(rows("invite.sent", sent, **take(who, group), invitee=number, domain=mail, external=1, **truth))
    joins = sent + micros(rng.uniform(40, 400, len(group)))
    place = rng.integers(0, spec.devices, len(group))
    address = ring[group, rng.integers(0, spec.addresses, len(group))]
    more, invited = stage.joined(joins, address, kit[group, place], tools[group, place], mail, "invite")
    out += more
    accepted = joins + micros(rng.uniform(2, 20, len(group)))
    bonus = extra("bonus_mb", np.full(len(group), spec.bonus_mb))
    out.append(rows("invite.accepted", accepted, **invited, recipient=collector[group], extra=bonus, **truth))
    for account, moment in zip(invited["actor"].tolist(), joins.tolist(), strict=True):
        stage.label("account", account, spec.kind, moment, None)
    alive = np.flatnonzero(rng.random(len(group)) < spec.alive)
    time = accepted[alive] + micros(rng.exponential(60, len(alive)) + 10)
    owner = invited["actor"][alive]
    file = file_code(owner, np.zeros(len(alive), np.int64))
    out.append(rows("file.uploaded", time, **take(invited, alive), owner=owner, file=file, external=0, **truth))
    return out


def plan_quota(stage: Stage) -> list[Rows]:
    """One free account after the other, filled with large files by a program; links to some of them."""
    spec, rng, truth, size = stage.adversary, stage.rng, stage.truth(), stage.adversary.accounts
    created = stage.start + np.cumsum((rng.exponential(spec.gap_h, size) * HOUR).astype(np.int64) + SECOND)
    created = stage.start + (created - stage.start) % max(stage.end - stage.start, HOUR)
    pool = stage.pool(spec.origin, spec.addresses)
    address = pool[rng.integers(0, len(pool), size)]
    out, who = stage.joined(created, address, stage.codes(size), stage.agents(spec.tool, size))
    for account, moment in zip(who["actor"].tolist(), created.tolist(), strict=True):
        stage.label("account", account, spec.kind, moment, None)
    counts = median_counts(rng, spec.files, 0.5, size, least=3)
    group, place = ragged(counts)
    time = created[group] + 2 * MINUTE + running(micros(rng.exponential(spec.pause_s, len(group))), counts)
    owner = who["actor"][group]
    file = _large(stage, owner, place)
    stock = (1 << 55) + (stage.index << 20) + rng.integers(0, max(int(spec.files), 1), len(group))
    content = np.where(rng.random(len(group)) < spec.copies, stock, -1)
    held = {"owner": owner, "file": file, "content": content}
    out.append(rows("file.uploaded", time, **take(who, group), **held, external=0, **truth))
    chosen = np.flatnonzero(rng.random(len(group)) < spec.links / np.maximum(counts[group], 1))
    made, some = time[chosen] + micros(rng.exponential(600, len(chosen)) + 30), take(held, chosen)
    link = stage.codes(len(chosen))
    by = take(who, group[chosen])
    out.append(rows("link.created", made, **by, **some, link=link, permission="public", **truth))
    for code, moment in zip(link.tolist(), made.tolist(), strict=True):
        stage.label("link", code, spec.kind, moment, None)
    plan = plan_visits(
        rng, stage.presence, {"time": made, "link": link, **some}, median_counts(rng, spec.visits, 0.6, len(chosen)),
        half_life_h=12.0, member_share=0.1, download_share=0.9, mates=0.0, no_referrer=0.3,
    )  # fmt: skip
    out.append(stage.harmless(visit_rows(rng, stage.presence, None, plan)))
    return out


def _large(stage: Stage, owner: Ints, place: Ints) -> Ints:
    """Files of each owner, numbered from `place` on, of the kinds that are large."""
    large = np.array([EXT[word] for word in ("mp4", "mov", "zip", "iso")])
    file = file_code(owner, place * 64 % (1 << LIBRARY_BITS))
    for _ in range(63):  # the next number until its kind fits
        wrong = ~np.isin(extension_of(file, stage.seed), large)
        if not wrong.any():
            break
        file = file + wrong
    return file


def plan_spam(stage: Stage) -> list[Rows]:
    """Invitations one after the other; a few of those who get them report the sender."""
    spec, rng, truth = stage.adversary, stage.rng, stage.truth()
    out, since, who = fresh_and_hijacked(stage, spec.senders)
    size = len(since)
    begin = since + (rng.exponential(max(spec.age_days, 1e-4), size) * DAY).astype(np.int64) + MINUTE
    counts = median_counts(rng, spec.invites, 0.6, size)
    group, _ = ragged(counts)
    time = begin[group] + running(micros(rng.exponential(spec.pause_s, len(group)) + 0.2), counts)
    domains = rng.permutation(len(MAIL_DOMAINS))[: spec.domains]
    acts = take(who, group)
    out.append(
        rows(
            "invite.sent", time, **acts, invitee=rng.integers(0, 1 << 40, len(group)),
            domain=domains[rng.integers(0, len(domains), len(group))], external=1, **truth,
        )
    )  # fmt: skip
    told = np.flatnonzero(rng.random(len(group)) < spec.report_rate)
    moment = time[told] + micros(np.exp(rng.normal(np.log(3600), 1.3, len(told))))
    passer = stage.presence.book.residential
    reports = rows(
        "abuse.reported", moment, account=acts["account"][told], owner=acts["account"][told], reason="spam",
        address=passer[rng.integers(0, len(passer), len(told))], agent=stage.agents("common", len(told)),
    )  # fmt: skip
    out.append(stage.harmless(reports))
    return out
