"""Beta wavelets: a feature split into bands of frequency over the graph.

With the normalised Laplacian L (spectrum in [0, 2]), band p of order C is the Bernstein polynomial
(L/2)^p (I - L/2)^(C-p) / (2 B(p+1, C+1-p)) (Tang, Li, Gao, Li, "Rethinking graph neural networks for anomaly
detection", ICML 2022: BWGNN's kernels, here as fixed features). Anomalies move energy to the high bands: a node that
differs from its neighbourhood has little in band 0 and much in band C. Knows links only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import beta

from shoal.coordination.nodes.links import Link, balanced

Floats = npt.NDArray[np.float64]


def wavelets(link: Link, x: Floats, order: int) -> list[Floats]:
    """The order + 1 bands of finite `x` [n, k] over undirected ties, each [n, k]. A node without ties is all low
    frequency: L is 0 there. Cost: order × (order + 3) / 2 products with the ties."""
    alone = (link.weight == 0)[:, None]
    bands, smooth = [], [x]
    for _ in range(order):
        smooth.append(_low(link, smooth[-1], alone))
    for p in range(order + 1):
        band = smooth[order - p]
        for _ in range(p):
            band = band - _low(link, band, alone)
        bands.append(band / (2.0 * float(beta(p + 1, order + 1 - p))))
    return bands


def _low(link: Link, x: Floats, alone: npt.NDArray[np.bool_]) -> Floats:
    """(I - L/2) x = (x + D^-1/2 A D^-1/2 x) / 2."""
    return np.where(alone, x, (x + balanced(link, x)) / 2.0)
