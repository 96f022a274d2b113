"""What a cluster of sign-ups looks like in numbers: the input of a model that judges whole clusters.

The cluster as the unit follows Xiao, Freeman and Hwa (AISec 2015): its size, speed, and the distributions of what its
members gave, never one member alone. All are finite numbers. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from shoal.coordination.templates.comb import comb
from shoal.coordination.templates.fields import FAMILIES, FIELDS, HARD
from shoal.coordination.templates.signups import HOUR, Ints, SignUps
from shoal.coordination.templates.weights import Floats

_SPREAD = ("ip", "network", "asn", "device", "user_agent", "domain", "email_shape", "name_shape")

FEATURES: tuple[str, ...] = (
    "size",
    "span_h",
    "per_hour",
    "share_of_signups",
    "gain",
    "odds_median",
    "odds_low",
    "families",
    "rare_share",
    "hard_share",
    "comb_density",
    "comb_evenness",
    "comb_teeth",
    "gap_median_s",
    *(f"gain_{family}" for family in FAMILIES),
    *(f"entropy_{name}" for name in _SPREAD),
    *(f"top_{name}" for name in _SPREAD),
)
"""Names of the features. `gain`: summed log odds of the members over ordinary life; `gain_X`: the mean part of a family
in it; `families`: how many speak for it on the average; `rare_share`: share of members that have something in common
with another which nobody outside has; `hard_share`: the same of cards, phones and recovery addresses; `entropy_X`: of
the values in [0, 1] (1: all differ); `top_X`: share of the most frequent value (0: not known of anybody)."""


def features_of(
    signups: SignUps, rows: Ints, odds: Floats, parts: Floats, families: tuple[str, ...]
) -> Mapping[str, float]:
    """The features of one cluster. `rows` int64 [members], ascending; `odds`, `parts` as of the mixture."""
    first, last = int(signups.time[rows[0]]), int(signups.time[rows[-1]])
    hours = max((last - first) / HOUR, 1 / 60)
    inside = max(int(np.searchsorted(signups.time, last, "right") - np.searchsorted(signups.time, first)), 1)
    of = dict(zip(families, parts.mean(axis=0).tolist(), strict=True)) if len(families) else {}
    timing = comb(signups.time[rows], signups.time, _usual(signups, rows))
    rare, hard = _rare(signups, rows)
    out = {
        "size": float(len(rows)),
        "span_h": (last - first) / HOUR,
        "per_hour": len(rows) / hours,
        "share_of_signups": len(rows) / inside,
        "gain": float(odds.sum()),
        "odds_median": float(np.median(odds)),
        "odds_low": float(odds.min()),
        "families": float(sum(value > 0.5 for value in of.values())),
        "rare_share": rare,
        "hard_share": hard,
        "comb_density": timing.density,
        "comb_evenness": timing.evenness,
        "comb_teeth": timing.teeth,
        "gap_median_s": timing.every_s,
    }
    out.update({f"gain_{family}": of.get(family, 0.0) for family in FAMILIES})
    for name in _SPREAD:
        out[f"entropy_{name}"], out[f"top_{name}"] = _spread(signups, rows, name)
    return out


def _usual(signups: SignUps, rows: Ints) -> float:
    """The share of sign-ups outside of the cluster that have its most frequent client and mail form."""
    outside = np.ones(signups.size, bool)
    outside[rows] = False
    like = outside.copy()
    for name in ("user_agent", "email_shape"):
        column = signups.columns.get(name)
        if column is None or not (column.code[rows] >= 0).any():
            continue
        top = int(np.bincount(column.code[rows][column.code[rows] >= 0]).argmax())
        like &= column.code == top
    return float((like.sum() + 1) / (outside.sum() + 2))


def _rare(signups: SignUps, rows: Ints) -> tuple[float, float]:
    """Shares of members that share with another member what nobody outside has: anything, and hard means."""
    rare = np.zeros(len(rows), bool)
    hard = np.zeros(len(rows), bool)
    for field in FIELDS:
        column = signups.columns.get(field.name)
        if column is None or not field.family:
            continue
        code = column.code[rows]
        every = np.bincount(column.code[column.code >= 0], minlength=column.size)
        mine = np.bincount(code[code >= 0], minlength=column.size)
        only = (code >= 0) & (mine[code] >= 2) & (mine[code] == every[code])
        rare |= only
        if field.family in HARD:
            hard |= only
    return float(rare.mean()), float(hard.mean())


def _spread(signups: SignUps, rows: Ints, name: str) -> tuple[float, float]:
    """Entropy of a field's values over that of all different ones, and the share of the most frequent."""
    column = signups.columns.get(name)
    if column is None:
        return 1.0, 0.0
    code = column.code[rows]
    counts = np.bincount(code[code >= 0])
    counts = counts[counts > 0]
    known = counts.sum()
    if known < 2:
        return 1.0, float(known / len(rows))
    share = counts / known
    return float(-(share * np.log(share)).sum() / np.log(known)), float(counts.max() / len(rows))
