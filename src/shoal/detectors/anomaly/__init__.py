"""Detectors of unusual rows, without labels, in the shape of `shoal.detectors.contract`.

Fitting lives here and not in `learn`, since it is pure array code that needs no label, calibration set or registry:
a detector is made, fitted and asked in one process. `Anomaly` is the default; the others are its parts and baselines.
Beside them: `streaming` (rows of a stream), `rates` (counts of a service), `alerts` (the worst few a day).
Knows arrays only: no event, no feature, no journal. The classes are imported when they are first asked for: SciPy and
scikit-learn take a second, and an engine that only reads a stream does without them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.detectors.anomaly.covariance import Covariance
    from shoal.detectors.anomaly.default import Anomaly, Choice
    from shoal.detectors.anomaly.forest import Forest
    from shoal.detectors.anomaly.marginals import Histogram, Tails
    from shoal.detectors.anomaly.neighbours import NearestNeighbours

__all__ = ["Anomaly", "Choice", "Covariance", "Forest", "Histogram", "NearestNeighbours", "Tails"]

_HOMES = {
    "Anomaly": "default", "Choice": "default", "Covariance": "covariance", "Forest": "forest",
    "Histogram": "marginals", "NearestNeighbours": "neighbours", "Tails": "marginals",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
