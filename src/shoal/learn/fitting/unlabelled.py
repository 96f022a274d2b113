"""Unreported is not benign: the correction of Elkan and Noto (KDD 2008) for rows without a label.

If each abusive account is reported with the same chance c, whatever it looks like, then P(labelled | x) = c P(abusive
| x). c is estimated as the mean of P(labelled | x) over labelled rows that the trees have not seen. A presumed
negative then counts as positive with weight w = (1 - c)/c × p/(1 - p) and as negative with 1 - w, and the calibrated
probability is divided by c.

The mean (their first estimator) is far too low where abuse cannot be told for sure from its inputs: on made-up data
of known truth it said 0.11 to 0.28 for 0.40. So c is estimated where abuse is as good as sure, as in their third: the
largest share of labelled rows among the highest scores, over prefixes long enough to be no accident. The assumption
stays strong, so the correction is asked for, never the default; a team that has audited a sample gives `label_share`
itself. It corrects probabilities far more than the order of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoal.detectors.models.metadata import Calibration
from shoal.learn.fitting.trees import Sample
from shoal.learn.frame import Bools, Floats

LEAST_SHARE = 0.05
"""An estimate under this says more of the estimate than of the labels."""
LEAST_TOP = 20
"""Labelled rows that a prefix of the list must hold."""
LEAST_ACCOUNTS = 20
"""Labelled accounts held out under which no estimate is made: with 14 one of three was half of the truth, and scores
were worse for it; with 40 none."""


@dataclass(frozen=True)
class LabelShare:
    """The share of abusive rows that are labelled, in (0, 1]; `rows` labelled rows it was estimated from (0: given)."""

    share: float
    rows: int


def estimate_label_share(raw: Floats, labelled: Bools, weight: Floats) -> LabelShare:
    """The share of labelled among the highest of rows [n] that were not learned from (without those that are known to
    be negative): the largest over prefixes with at least `LEAST_TOP` labelled rows, or half of them."""
    count = int(labelled.sum())
    if not count:
        return LabelShare(1.0, 0)
    order = np.argsort(-raw, kind="stable")
    caught, all_ = np.cumsum((weight * labelled)[order]), np.cumsum(weight[order])
    number = np.cumsum(labelled[order])
    ends = np.flatnonzero(np.diff(raw[order], append=-np.inf) < 0)  # tied scores stand or fall together
    ends = ends[number[ends] >= min(LEAST_TOP, max(1, count // 2))]
    best = int(ends[np.argmax(caught[ends] / all_[ends])])
    return LabelShare(float(np.clip(caught[best] / all_[best], LEAST_SHARE, 1.0)), int(number[best]))


def weigh_unlabelled(sample: Sample, presumed: Bools, labelled: Floats, share: float) -> Sample:
    """The rows to learn from with each presumed negative [n] split in a positive and a negative part, by its
    P(labelled | x) [n]."""
    p = np.clip(labelled, 0.0, share)  # above the share abuse is certain already
    abusive = np.where(presumed, (1 - share) / share * p / np.maximum(1 - p, 1e-9), 0.0)
    abusive = np.clip(abusive, 0.0, 1.0)
    also = np.flatnonzero(abusive > 1e-6)
    return Sample(
        np.concatenate([sample.x, sample.x[also]]),
        np.concatenate([sample.y, np.ones(len(also))]),
        np.concatenate([sample.weight * (1 - abusive), sample.weight[also] * abusive[also]]),
    )


def correct(calibration: Calibration, share: float) -> Calibration:
    """A calibration to P(labelled | x) as one to P(abusive | x): divided by the share, and short of 1 by what the
    positive rows that it was made from leave open."""
    most = max([*calibration.y, 1 - 1 / (calibration.positives + 2)])
    y = [min(most, value / share) for value in calibration.y]
    method = f"{calibration.method}, divided by the label share {share:.3g}"
    return Calibration(method, calibration.x, y, calibration.rows, calibration.positives)
