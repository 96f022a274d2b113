"""Accounts made in bulk from shared infrastructure, which later act together."""

from __future__ import annotations

import numpy as np

from shoal.simulate.adversaries.stage import Stage
from shoal.simulate.catalogue import CODE, MAIL_DOMAINS
from shoal.simulate.draws import DAY, MINUTE, SECOND, Ints, micros, pick, ragged, running
from shoal.simulate.honest.actions import file_code
from shoal.simulate.rows import Rows, rows


def plan_fakes(stage: Stage) -> list[Rows]:
    """Sign-ups, a little life, spam invitations, then joint visits of the same links."""
    spec, rng, size = stage.adversary, stage.rng, stage.adversary.accounts
    created = stage.moments(size, 0.5)
    pool = stage.pool(spec.origin, spec.addresses)
    address = pool[rng.integers(0, len(pool), size)]
    kit = stage.codes(spec.devices)
    tools = stage.agents(spec.tool, spec.devices)
    which = rng.integers(0, spec.devices, size)
    own_domain = stage.people.domain(f"mail{int(rng.integers(0, 10**6)):06d}.example")
    mail = np.where(rng.random(size) < spec.shared_domain, own_domain, stage.common_mail(size))
    account = stage.accounts(created, address, mail)
    who: Rows = {
        "actor": account, "account": account, "session": stage.codes(size), "device": kit[which],
        "address": address, "agent": tools[which],
    }  # fmt: skip
    truth = stage.truth()
    out = [
        rows("account.created", created, **who, method="email", domain=mail, outcome="success", **truth),
        rows("session.started", created + micros(rng.uniform(1, 4, size)), **who, **truth),
    ]
    for code, moment in zip(account.tolist(), created.tolist(), strict=True):
        stage.label("account", code, "fake_accounts", moment, None)
    out.append(_uploads(stage, created, who))
    out.append(_invites(stage, created, who))
    for _ in range(spec.campaigns):
        out += _joint_action(stage, created, who, pool)
    return out


def _some(who: Rows, index: Ints) -> Rows:
    return {name: column[index] for name, column in who.items()}


def _uploads(stage: Stage, created: Ints, who: Rows) -> Rows:
    """A few files each, to look alive; many of them the same."""
    rng = stage.rng
    counts = rng.poisson(2.0, len(created))
    group, place = ragged(counts)
    time = created[group] + 30 * SECOND + running(micros(rng.exponential(40, len(group))), counts)
    stock = (1 << 55) + (stage.index << 20) + rng.integers(0, 40, len(group))
    content = np.where(rng.random(len(group)) < 0.5, stock, -1)
    owner = who["actor"][group]
    return rows(
        "file.uploaded", time, **_some(who, group), owner=owner, file=file_code(owner, place), external=0,
        content=content, **stage.truth(),
    )  # fmt: skip


def _invites(stage: Stage, created: Ints, who: Rows) -> Rows:
    """Spam: invitations to addresses outside."""
    rng, spec = stage.rng, stage.adversary
    counts = rng.poisson(spec.invites, len(created))
    group, _ = ragged(counts)
    wait = (rng.exponential(spec.age_days, len(created)) * DAY * 0.5).astype(np.int64) + 5 * MINUTE
    time = created[group] + wait[group] + running(micros(rng.exponential(20, len(group))), counts)
    return rows(
        "invite.sent", time, **_some(who, group), invitee=rng.integers(0, 1 << 40, len(group)),
        domain=rng.integers(0, len(MAIL_DOMAINS), len(group)), external=1, **stage.truth(),
    )  # fmt: skip


def _joint_action(stage: Stage, created: Ints, who: Rows, pool: Ints) -> list[Rows]:
    """One account makes a link; most of the others visit it within a short while, and many download."""
    rng, spec, truth = stage.rng, stage.adversary, stage.truth()
    moment = int(created.max()) + int((rng.exponential(max(spec.age_days, 0.01)) + 0.02) * DAY)
    maker = rng.integers(0, len(created), 1)
    link, owner = stage.codes(1), who["actor"][maker]
    file = file_code(owner, rng.integers(100, 1000, 1))
    begin = np.array([moment])
    shared = {"owner": owner, "file": file}
    used = rows("session.used", begin - micros(rng.uniform(50, 200, 1)), **_some(who, maker), method="token", **truth)
    out = [
        used,
        rows(
            "file.uploaded", begin - micros(rng.uniform(15, 45, 1)), **_some(who, maker), **shared, external=0, **truth
        ),
    ]
    out.append(rows("link.created", begin, **_some(who, maker), **shared, link=link, permission="public", **truth))
    takers = np.flatnonzero(rng.random(len(created)) < spec.turnout)
    takers = takers[takers != maker[0]]
    size = len(takers)
    time = moment + 2 * MINUTE + (rng.random(size) * spec.spread_min * MINUTE).astype(np.int64)
    again = _some(who, takers)
    again["address"] = np.where(rng.random(size) < 0.5, pool[rng.integers(0, len(pool), size)], again["address"])
    out.append(rows("session.used", time - micros(rng.uniform(1, 9, size)), **again, method="token", **truth))
    referrer = np.where(rng.random(size) < 0.8, -1, pick(rng, np.ones(len(CODE["referrer"])), size))
    seen = {
        "owner": np.full(size, owner[0]), "file": np.full(size, file[0]), "link": np.full(size, link[0]),
        "referrer": referrer, "external": np.ones(size, np.int8),
    }  # fmt: skip
    out.append(rows("link.visited", time, **again, **seen, **truth))
    took = np.flatnonzero(rng.random(size) < 0.7)
    later = time[took] + micros(rng.uniform(2, 30, len(took)))
    out.append(rows("link.downloaded", later, **_some(again, took), **_some(seen, took), **truth))
    stage.label("link", int(link[0]), "fake_accounts", moment, None)
    return out
