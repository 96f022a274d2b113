"""Phishing and malware: owners, fresh or hijacked, spread links; honest people visit them, and some report them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from shoal.simulate.adversaries.intruder import Entries, login_rows, recover
from shoal.simulate.adversaries.stage import Stage
from shoal.simulate.catalogue import EXT
from shoal.simulate.draws import DAY, HOUR, MINUTE, Ints, median_counts, micros, ragged
from shoal.simulate.honest.actions import file_code
from shoal.simulate.honest.links import plan_visits, report_rows, visit_rows
from shoal.simulate.render import LIBRARY_BITS, extension_of
from shoal.simulate.rows import Rows, length, rows, take

_PHISHING_NAMES = ("pdf", "html", "docx", "pdf")
_MALWARE_NAMES = ("exe", "zip", "docm", "js", "iso", "zip")


def plan_phishing(stage: Stage) -> list[Rows]:
    """Documents that ask for a password: all contents differ."""
    reasons = {"phishing": 7.0, "spam": 2.0, "other": 1.0}
    return _plan(stage, _PHISHING_NAMES, lambda size: np.full(size, -1, np.int64), reasons)


def plan_malware(stage: Stage) -> list[Rows]:
    """Few contents under many names."""
    spec, rng = stage.adversary, stage.rng

    def contents(size: int) -> Ints:
        stock = (1 << 55) + (stage.index << 20) + rng.integers(0, spec.contents, size)
        return np.where(rng.random(size) < spec.recompiled, rng.integers(1 << 56, 1 << 57, size), stock)

    return _plan(stage, _MALWARE_NAMES, contents, {"malware": 7.0, "spam": 1.0, "other": 2.0})


def _plan(
    stage: Stage, endings: tuple[str, ...], contents: Callable[[int], Ints], reasons: dict[str, float]
) -> list[Rows]:
    spec, rng, truth = stage.adversary, stage.rng, stage.truth()
    fresh = round(spec.owners * spec.fresh)
    out, owners = _fresh_owners(stage, fresh)
    more, hijacked = _hijacked_owners(stage, spec.owners - fresh)
    out += more
    since, who = _both(owners, hijacked)
    counts = np.maximum(rng.poisson(spec.links, len(since)), 1)
    group, place = ragged(counts)
    wait = (rng.exponential(max(spec.age_days, 1e-4), len(group)) * DAY).astype(np.int64)
    made = np.maximum(since[group] + wait, since[group] + (place + 1) * 3 * MINUTE)
    size, owner = len(group), who["actor"][group]
    file = _files(stage, owner, endings)
    content = contents(size)
    shared = {"owner": owner, "file": file, "content": content}
    acts = take(who, group)
    link = stage.codes(size)
    out.append(
        rows("file.uploaded", made - micros(np.exp(rng.normal(3.5, 0.6, size))), **acts, **shared, external=0, **truth)
    )
    out.append(rows("link.created", made, **acts, **shared, link=link, permission="public", **truth))
    plan = plan_visits(
        rng, stage.presence, {"time": made, "link": link, "owner": owner, "file": file, "content": content},
        median_counts(rng, spec.visits, 0.7, size), half_life_h=spec.half_life_h, member_share=0.3,
        download_share=spec.download_share, mates=0.03, no_referrer=spec.no_referrer,
    )  # fmt: skip
    visits = visit_rows(rng, stage.presence, None, plan)
    reports = report_rows(rng, take(visits, rng.random(length(visits)) < spec.report_rate), reasons)
    for part in (visits, reports):  # honest people did this: it belongs to the attack, but harms nobody else
        part["mark"] = np.full(length(part), stage.mark, np.int8)
        part["harmful"] = np.zeros(length(part), np.int8)
    _label(stage, link, made, content, owners)
    return [*out, visits, reports]


def _both(owners: Entries, hijacked: Entries) -> tuple[Ints, Rows]:
    """Since when, and who: one after the other."""
    since = np.concatenate([owners.time, hijacked.time])
    return since, {name: np.concatenate([column, hijacked.who()[name]]) for name, column in owners.who().items()}


def fresh_and_hijacked(stage: Stage, size: int) -> tuple[list[Rows], Ints, Rows]:
    """Accounts to act with: `fresh` of them sign up for it (and are labelled), the others are hijacked. Rows, since
    when, and the columns that tell who acts."""
    fresh = round(size * stage.adversary.fresh)
    out, owners = _fresh_owners(stage, fresh)
    for account, moment in zip(owners.victim.tolist(), owners.time.tolist(), strict=True):
        stage.label("account", account, stage.adversary.kind, moment, None)
    more, hijacked = _hijacked_owners(stage, size - fresh)
    return out + more, *_both(owners, hijacked)


def _files(stage: Stage, owner: Ints, endings: tuple[str, ...]) -> Ints:
    """A file of each owner whose kind is one of `endings`: name and size are then like those of honest files."""
    out = []
    for account in owner.tolist():
        ending = EXT[endings[int(stage.rng.integers(0, len(endings)))]]
        tried = file_code(np.full(8192, account), stage.rng.integers(5000, 1 << LIBRARY_BITS, 8192))
        fit = np.flatnonzero(extension_of(tried, stage.seed) == ending)
        out.append(int(tried[fit[0]] if len(fit) else tried[0]))
    return np.array(out, dtype=np.int64)


def _label(stage: Stage, link: Ints, made: Ints, content: Ints, owners: Entries) -> None:
    kind = stage.adversary.kind
    for code, moment in zip(link.tolist(), made.tolist(), strict=True):
        stage.label("link", code, kind, moment, None)
    for account, moment in zip(owners.victim.tolist(), owners.time.tolist(), strict=True):
        stage.label("account", account, kind, moment, None)
    for code in np.unique(content[content >= 0]).tolist():
        stage.label("file_sha256", code, kind, int(made[content == code].min()), None)


def _fresh_owners(stage: Stage, size: int) -> tuple[list[Rows], Entries]:
    """Accounts that sign up for it."""
    spec, truth = stage.adversary, stage.truth()
    created = stage.moments(size)
    pool = stage.pool(spec.origin, max(size, 1))
    address = pool[stage.rng.integers(0, len(pool), size)]
    account = stage.accounts(created, address)
    owners = Entries(account, created, address, stage.codes(size), stage.agents(spec.tool, size), stage.codes(size))
    who, mail = owners.who(), stage.people.mail[account]
    out = [rows("account.created", created, **who, method="email", domain=mail, outcome="success", **truth)]
    out.append(rows("session.started", created + micros(stage.rng.uniform(1, 4, size)), **who, **truth))
    return out, owners


def _hijacked_owners(stage: Stage, size: int) -> tuple[list[Rows], Entries]:
    """Honest accounts whose password the adversary has; from the login on they are his, until the owner comes back."""
    spec = stage.adversary
    victims = stage.victims(size)
    size = len(victims)
    tries = Entries(
        victims, stage.moments(size), stage.near(spec.origin, "country", victims), stage.codes(size),
        stage.agents(spec.tool, size, victims), stage.codes(size),
    )  # fmt: skip
    out, inside = login_rows(stage, tries, passes=0.8)
    taken = tries.some(inside)
    until = taken.time + int(2 * DAY + spec.age_days * 2 * DAY) + HOUR
    return out + recover(stage, taken, until), taken
