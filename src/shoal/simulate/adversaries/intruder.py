"""Inside a hijacked account: entering it, staying in it, taking files out; and the owner's recovery.

Shared by stuffing, spraying, targeted takeover and hijacked owners of links. All columns have one entry a victim.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoal.simulate.adversaries.stage import Stage
from shoal.simulate.catalogue import CODE, MAIL_DOMAINS, TYPE
from shoal.simulate.draws import DAY, HOUR, SECOND, Bools, Ints, median_counts, micros, ragged, running
from shoal.simulate.honest.actions import app_rows, file_code
from shoal.simulate.people import device_code
from shoal.simulate.rows import Rows, rows, take
from shoal.simulate.truth import MARK


@dataclass
class Entries:
    """Opened accounts: who, when (µs, of the login that succeeded), with what."""

    victim: Ints
    time: Ints
    address: Ints
    device: Ints
    agent: Ints
    session: Ints

    def who(self, index: Ints | slice = slice(None)) -> Rows:
        """The columns that tell who acts."""
        return {
            "actor": self.victim[index], "account": self.victim[index], "session": self.session[index],
            "device": self.device[index], "address": self.address[index], "agent": self.agent[index],
        }  # fmt: skip

    def some(self, index: Ints | Bools) -> Entries:
        """Only these."""
        return Entries(*(getattr(self, n)[index] for n in ("victim", "time", "address", "device", "agent", "session")))


def login_rows(stage: Stage, tries: Entries, passes: float) -> tuple[list[Rows], Bools]:
    """Logins with the right password: challenged where the owner has a second factor, or as a new device is. Returns
    the rows and who got in."""
    people, rng, truth = stage.people, stage.rng, stage.truth()
    own = people.mfa[tries.victim]
    asked = (own > 0) | (rng.random(len(own)) < stage.scenario.failures.challenge_new_device)
    passed = rng.random(len(own)) < passes
    inside = ~asked | passed
    method = np.where(own > 0, own, CODE["method"]["email_code"])
    who = tries.who()
    seen = {name: who[name] for name in ("account", "device", "address", "agent")}
    before = {**seen, "method": method}
    issued = tries.time - micros(rng.uniform(14, 19, len(own)))
    out = [rows("challenge.issued", issued[asked], **take(before, asked), **truth)]
    good = asked & passed
    passed_at = tries.time - micros(rng.uniform(0.2, 3, len(own)))
    out.append(rows("challenge.passed", passed_at[good], **take(before, good), outcome="success", **truth))
    bad = asked & ~passed
    wrong = bad & (rng.random(len(own)) < 0.4)
    failed_at = issued + micros(rng.uniform(3, 9, len(own)))
    out.append(rows("challenge.failed", failed_at[wrong], **take(before, wrong), outcome="failure", **truth))
    reason = np.where(wrong, CODE["reason"]["challenge_failed"], CODE["reason"]["challenge_abandoned"])
    lost = {**take(seen, bad), "method": "password", "outcome": "failure", "reason": reason[bad]}
    out.append(rows("login.failed", tries.time[bad] + micros(rng.uniform(0, 240, int(bad.sum()))), **lost, **truth))
    entered = take(who, inside)
    out.append(rows("login.succeeded", tries.time[inside], **entered, method="password", outcome="success", **truth))
    begun = tries.time[inside] + micros(rng.uniform(0.1, 0.9, int(inside.sum())))
    out.append(rows("session.started", begun, **entered, **truth))
    return out, inside


def live_inside(stage: Stage, entries: Entries) -> list[Rows]:
    """Persistence, exfiltration, sharing out, coming back; then the owner's recovery, and the labels."""
    spec, rng, size = stage.adversary, stage.rng, len(entries.victim)
    if not size:
        return []
    truth, out = stage.truth(), []
    dwell = np.maximum(rng.exponential(spec.dwell_h, size) * HOUR, 5 * 60 * SECOND).astype(np.int64)
    last = entries.time + 60 * SECOND
    for name, odds in (("app", spec.app), ("mfa", spec.mfa), ("email", spec.email), ("password", spec.password)):
        at = np.flatnonzero(rng.random(size) < odds)
        time = entries.time[at] + micros(rng.exponential(spec.pause_s * 8, len(at)) + 5)
        np.maximum.at(last, at, time)
        out.append({**_change(stage, name, entries, at, time), **_spread(truth, len(at))})
    at = np.flatnonzero(rng.random(size) < spec.exfiltrate)
    owned = stage.people.library[entries.victim[at]]
    counts = np.minimum(median_counts(rng, spec.files, 0.8, len(at)), np.maximum(owned, 1))
    group, place = ragged(counts)
    begin = entries.time[at] + (rng.random(len(at)) * dwell[at] * 0.5).astype(np.int64)
    time = begin[group] + running(micros(rng.exponential(spec.pause_s, len(group))), counts)
    np.maximum.at(last, at[group], time)
    offset = (rng.random(len(at)) * np.maximum(owned - counts + 1, 1)).astype(np.int64)
    owner = entries.victim[at][group]
    file = file_code(owner, offset[group] + place)
    out.append(rows("file.downloaded", time, **entries.who(at[group]), owner=owner, file=file, external=0, **truth))
    out += _share_out(stage, entries, np.flatnonzero(rng.random(size) < spec.share_out), dwell, last)
    at = np.flatnonzero(rng.random(size) < 0.6)
    time = entries.time[at] + (rng.uniform(0.3, 1, len(at)) * dwell[at]).astype(np.int64)
    np.maximum.at(last, at, time)
    out.append(rows("session.used", time, **entries.who(at), method="token", **truth))
    return out + recover(stage, entries, last)


def _spread(values: dict[str, object], size: int) -> Rows:
    return {"mark": np.full(size, values["mark"], "i1"), "harmful": np.full(size, values["harmful"], "i1")}


def _change(stage: Stage, name: str, entries: Entries, at: Ints, time: Ints) -> Rows:
    who, rng, people = entries.who(at), stage.rng, stage.people
    if name == "app":
        return app_rows(rng, time, who)
    if name == "mfa":
        has = people.mfa[entries.victim[at]] > 0
        kind = np.where(has, TYPE["mfa.removed"], TYPE["mfa.enrolled"])
        return rows(kind, time, **who, method=np.where(has, people.mfa[entries.victim[at]], CODE["method"]["totp"]))
    if name == "email":
        return rows("email.changed", time, **who, domain=rng.integers(0, len(MAIL_DOMAINS), len(at)))
    return rows("password.changed", time, **who, outcome="success")


def _share_out(stage: Stage, entries: Entries, at: Ints, dwell: Ints, last: Ints) -> list[Rows]:
    """Folders shared with an account that was made for it, hours or days before; one account serves a few victims."""
    rng, truth = stage.rng, stage.truth()
    if not len(at):
        return []
    drops = max(1, (len(at) + 2) // 3)
    first = int(entries.time[at].min())
    created = first - micros(rng.exponential(20 * 3600, drops) + 600)
    created = np.maximum(created, stage.scenario.start + SECOND)
    exits = stage.pool("vpn", drops)  # perhaps fewer than that
    address = exits[rng.integers(0, len(exits), drops)]
    drop = stage.accounts(created, address)
    device, agent = stage.codes(drops), stage.agents("common", drops)
    who = {
        "actor": drop,
        "account": drop,
        "session": stage.codes(drops),
        "device": device,
        "address": address,
        "agent": agent,
    }
    out = [
        rows(
            "account.created",
            created,
            **who,
            method="email",
            domain=stage.people.mail[drop],
            outcome="success",
            **truth,
        )
    ]
    out.append(rows("session.started", created + micros(rng.uniform(1, 4, drops)), **who, **truth))
    for account, since in zip(drop.tolist(), created.tolist(), strict=True):
        stage.label("account", account, "fake_accounts", since, None)
    counts = 1 + rng.poisson(2.0, len(at))
    group, _ = ragged(counts)
    begin = entries.time[at] + (rng.random(len(at)) * dwell[at] * 0.7).astype(np.int64) + 30 * SECOND
    time = begin[group] + running(micros(rng.exponential(stage.adversary.pause_s * 2, len(group))), counts)
    np.maximum.at(last, at[group], time)
    owner = entries.victim[at][group]
    folder = owner * 64 + rng.integers(0, 24, len(group))
    permission = np.array([CODE["permission"]["view"], CODE["permission"]["edit"]])[rng.integers(0, 2, len(group))]
    out.append(
        rows(
            "folder.shared", time, **entries.who(at[group]), owner=owner, recipient=drop[at[group] % drops],
            resource=folder, permission=permission, external=1, **truth,
        )
    )  # fmt: skip
    return out


def recover(stage: Stage, entries: Entries, last: Ints) -> list[Rows]:
    """The owner takes the account back some time after the last action; until then it is hijacked."""
    rng, size = stage.rng, len(entries.victim)
    back = np.maximum(
        entries.time + (rng.exponential(stage.adversary.recovers_h, size) * HOUR).astype(np.int64), last + HOUR
    )
    wait = back % DAY // HOUR
    back = back + np.where((wait >= 1) & (wait < 6), 6 * HOUR, 0)
    for victim, start, end in zip(entries.victim.tolist(), entries.time.tolist(), back.tolist(), strict=True):
        stage.label("account", victim, stage.victim_kind, stage.since.get(victim, start), end)
    address = stage.presence.home_address(entries.victim, back)
    device = device_code(entries.victim, np.zeros(size, np.int64), np.zeros(size, np.int64))
    agent = stage.agents("victim", size, entries.victim, back)
    truth = {"mark": MARK["recovery"], "harmful": False}
    seen = {"account": entries.victim, "device": device, "address": address, "agent": agent}
    session = stage.codes(size)
    out = [rows("password.reset", back, **seen, method="email_code", outcome="success", **truth)]
    who = {**seen, "actor": entries.victim, "session": session}
    again = back + micros(rng.uniform(8, 40, size))
    out.append(rows("login.succeeded", again, **who, method="password", outcome="success", **truth))
    out.append(rows("session.started", again + micros(rng.uniform(0.1, 0.9, size)), **who, **truth))
    return out
