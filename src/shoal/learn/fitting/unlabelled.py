"""Unreported is not benign: the correction of Elkan and Noto (KDD 2008) for rows without a label.

If each abusive account is reported with the same chance c, whatever it looks like, then P(labelled | x) = c P(abusive
| x). c is estimated as the mean of P(labelled | x) over labelled rows that the trees have not seen. A presumed
negative then counts as positive with weight w = (1 - c)/c × p/(1 - p) and as negative with 1 - w, and the calibrated
probability is divided by c.

The assumption is strong, and the mean underestimates c where abuse cannot be told for sure even from its inputs: the
correction then goes too far. So it is asked for, never the default; a team that has audited a sample (or reads the
share of labels that never come off its delays) gives `label_share` itself. It corrects probabilities far more than it
corrects the order of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoal.detectors.models.metadata import Calibration
from shoal.learn.fitting.trees import Sample
from shoal.learn.frame import Bools, Floats

LEAST_SHARE = 0.05
"""An estimate under this says more of the estimate than of the labels."""


@dataclass(frozen=True)
class LabelShare:
    """The share of abusive rows that are labelled, in (0, 1]; `rows` labelled rows it was estimated from (0: given)."""

    share: float
    rows: int


def estimate_label_share(labelled: Floats, weight: Floats) -> LabelShare:
    """Elkan and Noto's first estimator from P(labelled | x) of labelled rows [n] that were not learned from."""
    if not len(labelled):
        return LabelShare(1.0, 0)
    return LabelShare(float(np.clip(np.average(labelled, weights=weight), LEAST_SHARE, 1.0)), len(labelled))


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
    """A calibration to P(labelled | x) as one to P(abusive | x): divided by the share, at most 1."""
    y = [min(1.0, value / share) for value in calibration.y]
    method = f"{calibration.method}, divided by the label share {share:.3g}"
    return Calibration(method, calibration.x, y, calibration.rows, calibration.positives)
