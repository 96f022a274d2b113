"""Which rows the trees learn from, and how much each weighs.

Honest accounts are many: some are sampled out whole, by stratum (accounts that Shoal knows to be benign are all kept;
the others are taken evenly from new ones, older ones and those of unknown age, since the new are few and hardest), and
what is kept weighs 1 / the rate. A subject's rows together weigh as the square root of their number, so that one noisy
account does not teach alone; the classes are brought nearer to each other by the square root of their ratio. None of
this touches probabilities: these are calibrated on rows weighed as the service is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from shoal.learn.fitting.settings import FitSettings
from shoal.learn.fitting.split import Part
from shoal.learn.fitting.trees import Sample
from shoal.learn.frame import Floats, Int64s, TrainingFrame
from shoal.learn.targets import Standing, Targets

NEW_ACCOUNT_S = 7 * 86_400.0
"""Accounts younger than this are new, here and in slices."""
MOST_CLASS_WEIGHT = 100.0


def sample_honest(
    frame: TrainingFrame, targets: Targets, part: Part, settings: FitSettings
) -> tuple[Part, dict[str, float]]:
    """The part with presumed honest accounts sampled by stratum, and the rate of each stratum that was cut."""
    rows = part.rows
    positives = int(targets.positive[rows].sum())
    most = max(float(settings.honest_rows), settings.honest_per_positive * positives)
    presumed = targets.standing[rows] == Standing.PRESUMED
    group = frame.groups[rows]
    kept_whole = np.zeros(int(frame.groups.max()) + 1, np.bool_)
    kept_whole[group[~presumed]] = True
    loose = ~kept_whole[group]
    room = most - float((~loose & ~targets.positive[rows]).sum())
    if not loose.any() or loose.sum() <= room:
        return part, {}
    stratum = _strata(frame, rows)
    chance = np.random.default_rng(settings.seed)
    draw = chance.random(len(kept_whole))[group]  # one draw an account, the same for all of its rows
    rates = _rates({name: int((loose & (stratum == name)).sum()) for name in np.unique(stratum[loose]).tolist()}, room)
    rate = np.ones(len(rows))
    for name, value in rates.items():
        rate[loose & (stratum == name)] = value
    kept = draw < rate
    return Part(rows[kept], part.weight[kept] / rate[kept]), {
        f"{_NAMES[name]} accounts": value for name, value in rates.items()
    }


def weighed(frame: TrainingFrame, targets: Targets, part: Part, class_weight: float) -> Sample:
    """The sample of a part, its weights as the module says, their mean 1."""
    rows, positive = part.rows, targets.positive[part.rows]
    key = frame.subjects[rows] * 2 + positive
    _, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
    weight = part.weight / np.sqrt(counts[inverse]) * np.where(positive, class_weight, 1.0)
    sure = targets.confidence[rows]
    weight = weight * np.where(np.isfinite(sure), np.maximum(sure, 0.05), 1.0)
    return Sample(frame.x[rows], positive.astype(np.float64), weight / weight.mean())


def class_weight_of(frame: TrainingFrame, targets: Targets, part: Part) -> float:
    """The square root of honest over abusive weight of a part, at least 1."""
    plain = weighed(frame, targets, part, 1.0)
    abusive, honest = float(plain.weight[plain.y > 0].sum()), float(plain.weight[plain.y <= 0].sum())
    return float(np.clip(np.sqrt(honest / max(abusive, 1e-12)), 1.0, MOST_CLASS_WEIGHT))


_NAMES = {0: "older", 1: "new", 2: "unaged"}


def _strata(frame: TrainingFrame, rows: Int64s) -> Int64s:
    """The stratum of each row's account: by its age at its first row of the part, so that an account is in one."""
    age = frame.slices.get("account_age_s")
    if not isinstance(age, np.ndarray):
        return np.full(len(rows), 2, np.int64)
    group = frame.groups[rows]
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    of_group: Floats = age[rows[first]]
    stratum: Int64s = np.where(np.isnan(of_group), 2, of_group < NEW_ACCOUNT_S).astype(np.int64)[inverse]
    return stratum


def _rates(sizes: Mapping[int, int], room: float) -> dict[int, float]:
    """Rates that give each stratum an equal part of the room; what a small one leaves goes to the others."""
    rates: dict[int, float] = {}
    left, open_ = max(room, 1.0), dict(sizes)
    for name in sorted(sizes, key=lambda name: sizes[name]):
        taken = min(float(sizes[name]), left / len(open_))
        rates[name] = max(taken / sizes[name], 1e-4)
        left -= taken
        del open_[name]
    return rates
