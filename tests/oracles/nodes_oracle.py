"""Slow twins of `coordination.nodes`: dense matrices and loops, as plain as they come."""

from itertools import combinations
from math import comb, factorial

import numpy as np


def pairs_through(members, weights):
    """The ties that `Shared` never writes down."""
    held = (np.asarray(members) > 0).astype(float)
    crowd = held.sum(axis=0)
    ties = held @ np.diag(np.where(crowd > 1, weights, 0.0)) @ held.T
    np.fill_diagonal(ties, 0.0)
    return ties


def triangles(ties):
    n = len(ties)
    found = np.zeros(n)
    for i, j, k in combinations(range(n), 3):
        if ties[i, j] and ties[j, k] and ties[i, k]:
            found[[i, j, k]] += 1
    return found


def cores(ties):
    """Peel: a node's core number is the largest k at which it survives the removal of all with fewer than k."""
    n = len(ties)
    core = np.zeros(n)
    for k in range(1, n):
        alive = np.ones(n, bool)
        while True:
            weak = alive & ((ties[:, alive] > 0).sum(axis=1) < k)
            if not weak.any():
                break
            alive &= ~weak
        core[alive] = k
    return core


def neighbour_mean(ties, x):
    out = np.full(x.shape, np.nan)
    for i in range(len(ties)):
        for c in range(x.shape[1]):
            known = [(ties[i, j], x[j, c]) for j in range(len(ties)) if ties[i, j] > 0 and not np.isnan(x[j, c])]
            if known:
                out[i, c] = sum(w * v for w, v in known) / sum(w for w, _ in known)
    return out


def neighbour_extremes(ties, x):
    low, high = np.full(x.shape, np.nan), np.full(x.shape, np.nan)
    for i in range(len(ties)):
        for c in range(x.shape[1]):
            known = [x[j, c] for j in range(len(ties)) if ties[i, j] > 0 and not np.isnan(x[j, c])]
            if known:
                low[i, c], high[i, c] = min(known), max(known)
    return low, high


def normalised(ties):
    weight = ties.sum(axis=1)
    out = np.zeros(ties.shape)
    for i in range(len(ties)):
        for j in range(len(ties)):
            if ties[i, j] > 0:
                out[i, j] = ties[i, j] / np.sqrt(weight[i] * weight[j])
    return out


def wavelet(ties, x, order, band):
    """The Bernstein polynomial of the Laplacian by its eigenvectors."""
    n = len(ties)
    laplacian = np.eye(n) - normalised(ties)
    for i in np.flatnonzero(ties.sum(axis=1) == 0):
        laplacian[i] = 0.0
    values, axes = np.linalg.eigh(laplacian)
    beta = factorial(band) * factorial(order - band) / factorial(order + 1)
    kernel = (values / 2) ** band * (1 - values / 2) ** (order - band) / (2 * beta)
    assert beta == 1 / ((order + 1) * comb(order, band))
    return axes @ np.diag(kernel) @ axes.T @ x


def beliefs(ties, explicit, coupling, echo):
    """LinBP in closed form: (I - hA + h²D) b = e, less e."""
    step = normalised(ties)
    system = np.eye(len(ties)) - coupling * step
    if echo:
        system += coupling**2 * np.diag((step**2).sum(axis=1))
    return np.linalg.solve(system, explicit) - explicit


def page_rank(ties, damping):
    """The stationary vector of the surfer, by solving for it; sums to n."""
    n = len(ties)
    weight = ties.sum(axis=1)
    chance = np.array([ties[i] / weight[i] if weight[i] else np.full(n, 1 / n) for i in range(n)])
    return np.linalg.solve(np.eye(n) - damping * chance.T, np.full(n, 1 - damping))
