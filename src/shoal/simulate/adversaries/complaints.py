"""Abuse of and around moderation: false reports in numbers, and removed files that come back.

`verdicts` plans what the service's own people do about reports of an attack's links, where the scenario has a
moderation; it draws from a generator of its own.
"""

from __future__ import annotations

import numpy as np

from shoal.simulate.adversaries.stage import Stage
from shoal.simulate.catalogue import CODE, EXT, TYPE
from shoal.simulate.draws import DAY, HOUR, MINUTE, SECOND, Bools, Ints, generator, median_counts, micros, ragged
from shoal.simulate.honest.actions import file_code
from shoal.simulate.honest.links import plan_visits, report_rows, visit_rows
from shoal.simulate.honest.moderation import regular_reporters, resolve, stop_rows, told_of
from shoal.simulate.render import LIBRARY_BITS, extension_of
from shoal.simulate.rows import Rows, concat, length, rows, take

_REASONS = ("phishing", "malware", "spam", "copyright", "other")
_KINDS = ("exe", "zip", "docm", "js", "iso", "zip")


def plan_brigading(stage: Stage) -> list[Rows]:
    """A link of each target is reported by most of the group within a short while; moderation rejects it later."""
    spec, rng = stage.adversary, stage.rng
    targets = rng.permutation(stage.victims(spec.targets, password=False, files=3))
    moments = stage.moments(len(targets))
    fresh = round(spec.reporters * spec.fresh)
    first = int(moments.min()) if len(moments) else stage.start
    age = (rng.exponential(max(spec.age_days, 1e-3), fresh) * DAY).astype(np.int64) + 10 * MINUTE
    created = np.maximum(first - age, stage.scenario.start + SECOND)
    pool = stage.pool(spec.origin, spec.addresses)
    address = pool[rng.integers(0, len(pool), fresh)]
    out, joined = stage.joined(created, address, stage.codes(fresh), stage.agents(spec.tool, fresh))
    others = rng.permutation(stage.victims(spec.reporters - fresh, password=False))
    others = others[~np.isin(others, targets)]
    lent = stage.own(others, np.full(len(others), first))
    group = {name: np.concatenate([joined[name], lent[name]]) for name in joined}
    for account, since in zip(joined["actor"].tolist(), created.tolist(), strict=True):
        stage.label("account", account, spec.kind, since, None)
    size = len(group["actor"])
    for target, moment in zip(targets.tolist(), moments.tolist(), strict=True):
        takes = np.flatnonzero(rng.random(size) < spec.turnout)
        time = moment + 5 * MINUTE + (rng.random(len(takes)) * spec.spread_min * MINUTE).astype(np.int64)
        time = np.maximum(time, moment + 5 * MINUTE)
        out += _reports(stage, target, moment, time, take(group, takes))
        lending = takes >= fresh
        for account, since in zip(group["actor"][takes[lending]].tolist(), time[lending].tolist(), strict=True):
            stage.label("account", account, spec.kind, since, since + DAY)
    return out


def _reports(stage: Stage, target: int, moment: int, time: Ints, who: Rows) -> list[Rows]:
    """The target's own link, made a little before; visits of some; the reports; the verdicts."""
    spec, rng, truth = stage.adversary, stage.rng, stage.truth()
    owner = np.array([target])
    made = np.array([moment])
    file, link = file_code(owner, rng.integers(0, 3, 1)), stage.codes(1)
    his = stage.own(owner, made)
    out = [
        rows("session.used", made - 20 * SECOND, **his, method="token", **stage.truth(False)),
        rows("link.created", made, **his, owner=owner, file=file, link=link, permission="public", **stage.truth(False)),
    ]
    size = len(time)
    about = {"owner": np.full(size, target), "file": np.full(size, file[0]), "link": np.full(size, link[0])}
    looks = np.flatnonzero(rng.random(size) < spec.visits_first)
    before = time[looks] - micros(rng.uniform(8, 120, len(looks)))
    out.append(rows("link.visited", before, **take(who, looks), **take(about, looks), external=1, **truth))
    kept = {name: column for name, column in who.items() if name != "account"}
    reason = CODE["reason"][_REASONS[int(rng.integers(0, 3))]]
    out.append(told_of(rows("abuse.reported", time, **kept, **about, account=about["owner"], reason=reason, **truth)))
    delay = micros(np.exp(rng.normal(np.log(max(stage.scenario.moderation.review_h, 0.5) * 3600), 0.6, size)))
    reports = {**about, "actor": who["actor"], "account": about["owner"], "time": time}
    reports["reason"] = np.full(size, reason)
    out.append(stage.harmless(resolve(reports, time + delay, np.zeros(size, bool))))
    return out


def plan_reupload(stage: Stage) -> list[Rows]:
    """First uploads, their removal, and later uploads of the same contents by others."""
    spec, rng, truth, firsts = stage.adversary, stage.rng, stage.truth(), stage.adversary.contents
    begin = stage.moments(firsts)
    removed = begin + (rng.exponential(spec.removed_after_h, firsts) * HOUR).astype(np.int64) + 40 * MINUTE
    counts = 1 + rng.poisson(max(spec.again - 1, 0), firsts)
    of, _ = ragged(counts)
    later = removed[of] + (rng.exponential(max(spec.wait_h, 1e-3), len(of)) * HOUR).astype(np.int64) + 10 * MINUTE
    which, time = np.concatenate([np.arange(firsts), of]), np.concatenate([begin, later])
    size = len(which)
    stock = (1 << 55) + (stage.index << 20) + np.arange(firsts)
    altered = (np.arange(size) >= firsts) & (rng.random(size) < spec.altered)
    content = np.where(altered, rng.integers(1 << 56, 1 << 57, size), stock[which])
    created = np.maximum(time - micros(rng.exponential(2 * 3600, size) + 240), stage.scenario.start + SECOND)
    pool = stage.pool(spec.origin, size)
    address = pool[rng.integers(0, len(pool), size)]
    out, who = stage.joined(created, address, stage.codes(size), stage.agents(spec.tool, size))
    owner, link = who["actor"], stage.codes(size)
    file = _files(stage, owner)
    held = {"owner": owner, "file": file, "content": content}
    out.append(rows("file.uploaded", time, **who, **held, external=0, **truth))
    made = time + micros(rng.uniform(15, 200, size))
    out.append(rows("link.created", made, **who, **held, link=link, permission="public", **truth))
    plan = plan_visits(
        rng, stage.presence, {"time": made, "link": link, **held}, median_counts(rng, spec.visits, 0.6, size),
        half_life_h=4.0, member_share=0.3, download_share=spec.download_share, mates=0.0, no_referrer=0.8,
    )  # fmt: skip
    until = np.where(np.arange(size) < firsts, removed[which], np.iinfo(np.int64).max)
    stop = dict(zip(link.tolist(), until.tolist(), strict=True))
    visits = visit_rows(rng, stage.presence, None, plan)
    visits = take(visits, visits["time"] < np.array([stop[code] for code in visits["link"].tolist()], dtype=np.int64))
    reports = report_rows(
        rng, take(visits, rng.random(length(visits)) < spec.report_rate), {"malware": 6.0, "spam": 1.0, "other": 2.0}
    )
    out += [stage.harmless(visits), stage.harmless(reports)]
    gone = take({"owner": owner, "file": file, "link": link, "content": content}, np.arange(firsts))
    out.append(stage.harmless(stop_rows("link.stopped", removed, gone, "malware")))
    out.append(stage.harmless(stop_rows("file.removed", removed + 2 * SECOND, gone, "malware")))
    _label(stage, who["actor"], created, link, made, content, time)
    return out


def _files(stage: Stage, owner: Ints) -> Ints:
    """A file of each owner of a kind that carries programs."""
    fit = np.array([EXT[word] for word in _KINDS])
    file = file_code(owner, stage.rng.integers(5000, (1 << LIBRARY_BITS) - 5000, len(owner)))
    for _ in range(400):
        wrong = ~np.isin(extension_of(file, stage.seed), fit)
        file = file + wrong
    return file


def _label(stage: Stage, owner: Ints, created: Ints, link: Ints, made: Ints, content: Ints, time: Ints) -> None:
    kind = stage.adversary.kind
    for account, since in zip(owner.tolist(), created.tolist(), strict=True):
        stage.label("account", account, kind, since, None)
    for code, since in zip(link.tolist(), made.tolist(), strict=True):
        stage.label("link", code, kind, since, None)
    for code in np.unique(content).tolist():
        stage.label("file_sha256", code, kind, int(time[content == code].min()), None)


def verdicts(stage: Stage, planned: list[Rows]) -> list[Rows]:
    """What moderation does about the reports among `planned` (rows of an attack with links): verdicts, and the stop of
    each link at its first upheld report, after which nobody comes any more."""
    moderation = stage.scenario.moderation
    if moderation.review_share <= 0 or stage.adversary.kind in ("report_brigading", "operation"):  # plan their own
        return planned
    rng = generator(stage.seed, "verdicts", stage.adversary.id)
    whole = concat([*planned, *_finds(stage, planned)])
    reported = whole["type"] == TYPE["abuse.reported"]
    whole["recipient"] = np.where(reported, whole["actor"], whole["recipient"])
    told = take(whole, whole["type"] == TYPE["abuse.reported"])
    told = take(told, rng.random(length(told)) < moderation.review_share)
    if not length(told):
        return [whole]
    decided = told["time"] + micros(np.exp(rng.normal(np.log(moderation.review_h * 3600), 0.7, length(told))))
    upheld = rng.random(length(told)) >= moderation.wrong
    if not moderation.stops:
        return [whole, stage.harmless(resolve(told, decided, upheld))]
    good = np.flatnonzero(upheld & (told["link"] >= 0))
    order = good[np.argsort(decided[good], kind="stable")]
    first = order[np.unique(told["link"][order], return_index=True)[1]]
    reason = "phishing" if stage.adversary.kind == "phishing" else "malware"
    stopped = decided[first] + SECOND
    stops = stop_rows("link.stopped", stopped, take(told, first), reason)
    ends = dict(zip(told["link"][first].tolist(), stopped.tolist(), strict=True))
    made = take(whole, _before(whole, ends))  # nobody comes to a stopped link, nor reports it
    kept = _before(told, ends)
    verdict = resolve(take(told, kept), decided[kept], upheld[kept])
    return [made, stage.harmless(verdict), stage.harmless(stops)]


def _finds(stage: Stage, planned: list[Rows]) -> list[Rows]:
    """Regular reporters come across some of the links, some hours after they were made, look and report them: the
    careful nearly always, the others, who report whatever they dislike, hardly ever."""
    moderation, whole = stage.scenario.moderation, concat(planned)
    reporters, careful = regular_reporters(stage.seed, stage.people, moderation)
    made = take(whole, (whole["type"] == TYPE["link.created"]) & (whole["harmful"] > 0))
    if moderation.finds <= 0 or not length(made) or not len(reporters):
        return []
    rng = generator(stage.seed, "finds", stage.adversary.id)
    which = rng.integers(0, len(reporters), length(made))
    odds = moderation.finds * np.where(careful[which], 0.92, 0.1)
    seen = np.flatnonzero((rng.random(length(made)) < odds) & (reporters[which] != made["owner"]))
    time = made["time"][seen] + micros(np.exp(rng.normal(np.log(3 * 3600), 0.8, len(seen))) + 60)
    acts = stage.own(reporters[which[seen]], time)
    about = {name: made[name][seen] for name in ("owner", "link", "file")}
    told = {name: column for name, column in acts.items() if name != "account"}
    reason = "phishing" if stage.adversary.kind == "phishing" else "malware"
    looked = time - micros(rng.uniform(10, 25, len(seen)))
    reports = rows("abuse.reported", time, **told, **about, account=about["owner"], reason=reason)
    return [stage.harmless(rows("link.visited", looked, **acts, **about, external=1)), stage.harmless(reports)]


def _before(part: Rows, ends: dict[int, int]) -> Bools:
    """Rows before the end of their link; a link that has none does not end."""
    last = np.iinfo(np.int64).max
    limit = np.array([ends.get(code, last) for code in part["link"].tolist()], dtype=np.int64)
    found: Bools = part["time"] < limit
    return found
