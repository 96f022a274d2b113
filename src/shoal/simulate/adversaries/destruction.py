"""Ransomware-like destruction: the victim's own client, on his own network, overwrites, renames and deletes."""

from __future__ import annotations

import numpy as np

from shoal.simulate.adversaries.stage import Stage
from shoal.simulate.catalogue import CLIENTS
from shoal.simulate.draws import SECOND, Ints, median_counts, micros, pick, ragged, running, unit
from shoal.simulate.honest.actions import file_code
from shoal.simulate.people import DEVICES, agent_code, device_code
from shoal.simulate.rows import Rows, extra, rows, take

_DESKTOP = np.array([c.weight if c.client == "desktop" else 0.0 for c in CLIENTS])
_NOTE = "=README_RESTORE_FILES.txt"


def plan_destruction(stage: Stage) -> list[Rows]:
    """One run through each victim's library."""
    spec, rng, people, truth = stage.adversary, stage.rng, stage.people, stage.truth()
    victims = rng.permutation(stage.victims(spec.victims, password=False, files=30))
    size = len(victims)
    begin = stage.moments(size)
    family = np.where(rng.random(size) < 0.7, pick(rng, _DESKTOP, size), people.family[victims, 0])
    device = device_code(victims, np.zeros(size, np.int64), np.zeros(size, np.int64))
    who: Rows = {
        "actor": victims, "account": victims, "session": (1 << 57) + victims * DEVICES, "device": device,
        "address": stage.presence.address(rng, victims, begin, family),
        "agent": agent_code(family, device, stage.scenario.start, begin),
    }  # fmt: skip
    owned = people.library[victims]
    counts = np.minimum(median_counts(rng, spec.files, 0.7, size, least=5), owned)
    group, place = ragged(counts)
    gaps = micros(rng.exponential(60.0 / spec.per_minute, len(group)))
    time = begin[group] + 10 * SECOND + running(gaps, counts)
    owner = victims[group]
    shared = {"owner": owner, "file": file_code(owner, place), "external": np.zeros(len(group), np.int8)}
    delete = rng.random(len(group)) < spec.delete
    over = np.flatnonzero(~delete)
    acts = take(who, group)
    content = rng.integers(1 << 40, 1 << 61, len(over))
    out = [rows("session.used", begin, **who, method="token", **truth)]
    shown = {"content": content, "extra": _entropy(stage, content)}
    out.append(rows("file.modified", time[over], **take(acts, over), **take(shared, over), **shown, **truth))
    named = np.flatnonzero(~delete & (rng.random(len(group)) < spec.rename))
    suffix = _suffixes(stage, size)[group[named]]
    some = {**take(acts, named), **take(shared, named)}
    out.append(
        rows("file.renamed", time[named] + micros(rng.uniform(0.05, 0.4, len(named))), **some, suffix=suffix, **truth)
    )
    gone = np.flatnonzero(delete)
    out.append(rows("file.deleted", time[gone], **take(acts, gone), **take(shared, gone), **truth))
    ends = begin + 12 * SECOND + np.bincount(group, gaps, size).astype(np.int64)
    if spec.note:
        note = {"owner": victims, "file": file_code(victims, owned + 4_000_000), "external": 0}
        out.append(rows("file.uploaded", ends, **who, **note, suffix=stage.suffix(_NOTE), **truth))
    for victim, start, end in zip(victims.tolist(), begin.tolist(), ends.tolist(), strict=True):
        stage.label("account", victim, "destruction", start, end + SECOND)
    return out


def _entropy(stage: Stage, content: Ints) -> Ints:
    """What a client that states it would say of the new contents: near 8 bits a byte where all is encrypted. Some
    encrypt only parts of each file, to be quick and to hide."""
    plain = 4.0 + 3.9 * unit(content, 25)  # of the file before: any kind
    bits = plain + (7.99 - plain) * stage.adversary.encrypted
    return extra("entropy", np.round(bits * 100).astype(np.int64))


def _suffixes(stage: Stage, size: int) -> Ints:
    """The extension appended for each victim, as codes; -1 none."""
    wish = stage.adversary.extension
    if wish == "none":
        return np.full(size, -1, dtype=np.int64)
    if wish != "random":
        return np.full(size, stage.suffix(wish), dtype=np.int64)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz0123456789"))
    drawn = letters[stage.rng.integers(0, len(letters), (size, 6))]
    return np.array([stage.suffix("".join(row)) for row in drawn.tolist()], dtype=np.int64)
