"""Detectors of unusual rows, without labels, in the shape of `shoal.detectors.contract`.

Fitting lives here and not in `learn`, since it is pure array code that needs no label, calibration set or registry:
a detector is made, fitted and asked in one process. `Anomaly` is the default; the others are its parts and baselines.
Knows arrays only: no event, no feature, no journal.
"""

from shoal.detectors.anomaly.covariance import Covariance
from shoal.detectors.anomaly.default import Anomaly, Choice
from shoal.detectors.anomaly.forest import Forest
from shoal.detectors.anomaly.marginals import Histogram, Tails
from shoal.detectors.anomaly.neighbours import NearestNeighbours

__all__ = ["Anomaly", "Choice", "Covariance", "Forest", "Histogram", "NearestNeighbours", "Tails"]
