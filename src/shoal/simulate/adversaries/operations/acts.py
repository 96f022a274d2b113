"""What the accounts of an operation do: the same links within a short while, other links for cover, and a little life.

The operator works at hours of his own: joint actions begin about one hour of the day. Cover is drawn from what is
public: the channels' posts and the links that exist at the start.
"""

from __future__ import annotations

import numpy as np

from shoal.simulate.adversaries.intruder import Entries, recover
from shoal.simulate.adversaries.operations.members import HIJACKED, Crew
from shoal.simulate.adversaries.stage import Stage
from shoal.simulate.catalogue import CODE, TYPE
from shoal.simulate.draws import DAY, HOUR, MINUTE, Ints, generator, micros, mix, pick, ragged
from shoal.simulate.honest import draw_old_links
from shoal.simulate.honest.actions import file_code
from shoal.simulate.honest.moderation import resolve, told_of
from shoal.simulate.rows import Rows, concat, extra, length, rows, take

_ACTS = ("visit", "download", "report")
_REASONS = ("phishing", "spam", "copyright")
_OLD_POPULAR = 30
"""Links of the start that count as popular where the world has no channels."""


def joint_actions(stage: Stage, crew: Crew) -> list[Rows]:
    """All joint actions: each on another link, at the operator's hours, cell after cell."""
    spec, rng, out = stage.adversary, stage.rng, []
    last = stage.world_end - int(spec.spread_min * MINUTE) - int(spec.stagger_h * HOUR) - HOUR
    first = stage.start + int(min(spec.sleep_days, stage.scenario.days) * DAY) // 2 + HOUR
    last = max(min(last, first + int(spec.act_days * DAY)), first + HOUR)
    if spec.actions == 0 or not len(crew):
        return []
    moments = np.sort(first + (rng.random(spec.actions) * (last - first)).astype(np.int64))
    hour = float(rng.uniform(7, 19))
    at_hour = moments // DAY * DAY + ((hour + rng.normal(0, 1.2, spec.actions)) * HOUR).astype(np.int64)
    moments = np.clip(at_hour, first, max(last, first))
    targets = rng.permutation(stage.victims(spec.actions, password=False, files=3))
    words = [spec.act if spec.act != "mixed" else _ACTS[int(k)] for k in pick(rng, [4, 3, 2], spec.actions)]
    for number, (moment, act) in enumerate(zip(moments.tolist(), words, strict=True)):
        honest = rng.random() < spec.honest_targets or act == "report"
        target = int(targets[number % len(targets)]) if honest and len(targets) else -1
        out += _joint_action(stage, crew, moment, act, target)
    return out


def _joint_action(stage: Stage, crew: Crew, moment: int, act: str, target: int) -> list[Rows]:
    """One link, made by its owner (an honest one, or a member), and those who take part."""
    spec, rng, truth = stage.adversary, stage.rng, stage.truth()
    cells = int(crew.cell.max(initial=0)) + 1
    begin = moment + 5 * MINUTE + (rng.random(cells) * spec.stagger_h * HOUR).astype(np.int64)
    time = begin[crew.cell] + (rng.random(len(crew)) * spec.spread_min * MINUTE).astype(np.int64)
    there = (crew.ready <= moment) & (crew.until > time) & (time < stage.world_end)
    able = np.flatnonzero(there)
    if not len(able):
        return []
    out, about, maker = _target(stage, crew, moment, target, able)
    takes = able[rng.random(len(able)) < spec.turnout]
    takes = takes[takes != maker]
    time, size = time[takes], len(takes)
    who = crew.who(rng, takes, spec.rotation)
    seen = {name: np.full(size, value) for name, value in about.items()}
    used = time - micros(rng.uniform(2, 40, size))
    out.append(rows("session.used", used, **who, method="token", **truth))
    if act == "report":
        return out + _reports(stage, time, who, seen)
    referrer = np.where(rng.random(size) < 0.75, -1, pick(rng, np.ones(len(CODE["referrer"])), size))
    common = {**seen, "referrer": referrer, "external": np.ones(size, np.int8)}
    out.append(rows("link.visited", time, **who, **common, **truth))
    took = np.flatnonzero(rng.random(size) < (0.95 if act == "download" else 0.15))
    later = time[took] + micros(rng.uniform(2, 30, len(took)))
    out.append(rows("link.downloaded", later, **take(who, took), **take(common, took), **truth))
    return out


def _target(stage: Stage, crew: Crew, moment: int, target: int, able: Ints) -> tuple[list[Rows], dict[str, int], int]:
    """The link of a joint action: its rows, what is known of it, and which member made it (-1: an honest person)."""
    rng, made = stage.rng, np.array([moment])
    link = stage.codes(1)
    honest = target >= 0
    maker = -1 if honest else int(able[rng.integers(0, len(able))])
    owner = np.array([target if honest else int(crew.account[maker])])
    file = file_code(owner, rng.integers(0, 3 if honest else 2000, 1))
    who = stage.own(owner, made) if honest else crew.who(rng, np.array([maker]), 0.0)
    truth, held = stage.truth(not honest), {"owner": owner, "file": file}
    came = made - micros(rng.uniform(60, 200, 1))
    out = [rows("session.used", came, **who, method="token", **truth)]
    if not honest:
        loaded = made - micros(rng.uniform(15, 45, 1))
        out.append(rows("file.uploaded", loaded, **who, **held, external=0, **truth))
        stage.label("link", int(link[0]), "operation", moment, None)
    out.append(rows("link.created", made, **who, **held, link=link, permission="public", **truth))
    return out, {"owner": int(owner[0]), "file": int(file[0]), "link": int(link[0])}, maker


def _reports(stage: Stage, time: Ints, who: Rows, about: Rows) -> list[Rows]:
    """Reports of an honest person's link, which moderation, where there is one, rejects."""
    rng, size, moderation = stage.rng, len(time), stage.scenario.moderation
    reason = np.full(size, CODE["reason"][_REASONS[int(rng.integers(0, len(_REASONS)))]])
    kept = {name: column for name, column in who.items() if name != "account"}
    told = rows("abuse.reported", time, **kept, **about, account=about["owner"], reason=reason, **stage.truth())
    if moderation.review_share <= 0:
        return [told]
    told = told_of(told)
    reports = take({**about, "actor": who["actor"], "account": about["owner"], "reason": reason}, slice(None))
    delay = micros(np.exp(rng.normal(np.log(moderation.review_h * 3600), 0.6, size)))
    return [told, stage.harmless(resolve(reports, time + delay, np.zeros(size, bool)))]


def camouflage(stage: Stage, crew: Crew, acts: list[Rows]) -> list[Rows]:
    """Visits of what many or few others open, so that the given share of all visits of links is cover."""
    spec, rng = stage.adversary, stage.rng
    if spec.camouflage <= 0 or not acts or not len(crew):
        return []
    whole = concat(acts)
    kinds = [TYPE[name] for name in ("link.visited", "abuse.reported")]
    real = np.isin(whole["type"], kinds) & (whole["harmful"] > 0)
    order = np.argsort(crew.account)
    member = order[np.searchsorted(crew.account[order], whole["actor"][real])]
    counts = np.bincount(member, minlength=len(crew))
    at, _ = ragged(rng.poisson(counts * spec.camouflage / max(1 - spec.camouflage, 0.01)).astype(np.int64))
    popular, rare = _public_links(stage)
    from_many = (rng.random(len(at)) < spec.popular) & (length(popular) > 0)
    if not length(rare):
        from_many[:] = length(popular) > 0
    if not (length(popular) or length(rare)):
        return []
    start = np.maximum(crew.created, stage.start)[at]
    end = np.maximum(np.minimum(crew.until[at], stage.world_end), start + HOUR)
    any_time = start + (rng.random(len(at)) * (end - start)).astype(np.int64)
    chosen, time = _chosen(rng, popular, rare, from_many, start, end, any_time)
    fit = (time > start + 5 * MINUTE) & (time < end)
    at, time, chosen = at[fit], time[fit], take(chosen, fit)
    who, size, truth = crew.who(rng, at, spec.rotation), len(at), stage.truth()
    seen = {**{name: chosen[name] for name in ("link", "owner", "file")}, "external": np.ones(size, np.int8)}
    took = np.flatnonzero(rng.random(size) < 0.4)
    later = time[took] + micros(np.exp(rng.normal(np.log(12), 0.8, len(took))))
    return [
        rows("session.used", time - micros(rng.uniform(2, 40, size)), **who, method="token", **truth),
        rows("link.visited", time, **who, **seen, **truth),
        rows("link.downloaded", later, **take(who, took), **take(seen, took), **truth),
    ]


def _public_links(stage: Stage) -> tuple[Rows, Rows]:
    """Links that many open and links that few do (`time`, `link`, `owner`, `file`): the channels' posts, else some of
    those that exist at the start; and the others of these."""
    names = ("time", "link", "owner", "file")
    rng = generator(stage.seed, "old links")
    old = draw_old_links(rng, stage.scenario, stage.people)
    posts = stage.people.communities.posts
    if length(posts):
        return {name: posts[name] for name in names}, {name: old[name] for name in names}
    order = np.argsort(mix(old["link"], stage.seed * 8 + 215), kind="stable")
    return tuple({n: old[n][some] for n in names} for some in (order[:_OLD_POPULAR], order[_OLD_POPULAR:]))  # type: ignore[return-value]


def _chosen(
    rng: np.random.Generator, popular: Rows, rare: Rows, from_many: Ints, start: Ints, end: Ints, any_time: Ints
) -> tuple[Rows, Ints]:
    """The link of each visit, and when: soon after a post that falls into the member's time, else at any time."""
    size = len(start)
    first = np.searchsorted(popular["time"], start) if length(popular) else np.zeros(size, np.int64)
    last = np.searchsorted(popular["time"], end) if length(popular) else first
    place = np.minimum(first + (rng.random(size) * (last - first)).astype(np.int64), max(length(popular) - 1, 0))
    post = from_many & (last > first)
    soon = micros(rng.exponential(90 * 60, size) + 60)
    pick_old = rng.integers(0, max(length(rare), 1), size)
    out: Rows = {}
    for name in popular:
        many = popular[name][place] if length(popular) else np.full(size, -1)
        few = rare[name][pick_old] if length(rare) else many
        out[name] = np.where(from_many, many, few)
    return out, np.where(post, out["time"] + soon, np.maximum(any_time, out["time"] + MINUTE))


def lives(stage: Stage, crew: Crew) -> list[Rows]:
    """Sessions with uploads and downloads of own files; a share of the uploads is what the operator hands out."""
    spec, rng, truth = stage.adversary, stage.rng, stage.truth()
    start = np.maximum(crew.created, stage.start) + 2 * MINUTE
    end = np.maximum(np.minimum(crew.until, stage.world_end), start + HOUR)
    at, _ = ragged(rng.poisson((end - start) / DAY * spec.life).astype(np.int64))
    time = start[at] + (rng.random(len(at)) * (end - start)[at]).astype(np.int64)
    who = crew.who(rng, at, spec.rotation)
    reads = np.flatnonzero(rng.random(len(at)) < 0.8)
    own = crew.account[at[reads]]
    out = [
        rows("session.used", time, **who, method="token", **truth),
        rows(
            "file.downloaded", time[reads] + micros(rng.exponential(60, len(reads)) + 3), **take(who, reads),
            owner=own, file=file_code(own, rng.integers(0, 4, len(reads))), external=0, **truth,
        ),
    ]  # fmt: skip
    fresh = np.flatnonzero(crew.role != HIJACKED)
    group, place = ragged(rng.poisson(spec.uploads, len(fresh)).astype(np.int64))
    at = fresh[group]
    time = start[at] + (rng.random(len(at)) ** 2 * np.minimum(end - start, 5 * DAY)[at]).astype(np.int64) + MINUTE
    stock = rng.integers(0, spec.contents, len(at))
    handed = rng.random(len(at)) < spec.content_share
    content = np.where(handed, (1 << 55) + (stage.index << 20) + stock, -1)
    folder = rng.integers(0, 512, spec.contents)[stock]
    owner, used = crew.account[at], time - micros(rng.uniform(5, 60, len(at)))
    who = crew.who(rng, at, spec.rotation)
    out.append(rows("session.used", used, **who, method="token", **truth))
    out.append(
        rows(
            "file.uploaded", time, **who, owner=owner, file=file_code(owner, place), external=0, content=content,
            extra=np.where(handed, extra("folder", folder), -1), **truth,
        )
    )  # fmt: skip
    for code in np.unique(content[handed]).tolist():
        stage.label("file_sha256", code, "operation", int(time[content == code].min()), None)
    return out


def recoveries(stage: Stage, crew: Crew, done: list[Rows]) -> list[Rows]:
    """Owners take hijacked accounts back after the last thing that was done with them."""
    at = np.flatnonzero(crew.role == HIJACKED)
    if not len(at):
        return []
    whole = concat(done)
    last = np.array([int(whole["time"][whole["actor"] == account].max()) for account in crew.account[at].tolist()])
    first = crew.addresses[at, 0]
    entries = Entries(crew.account[at], crew.created[at], first, crew.device[at], crew.agent[at], crew.session[at])
    return recover(stage, entries, last)
