"""A trained network's answers, exact and in NumPy: layer by layer over the whole graph, no draws, no PyTorch.

The twin of `networks`, which trains the same formulas: a network is the dictionary of its arrays. Knows inputs only.
GraphSAGE (Hamilton et al. 2017), a layer: h' = relu(norm(h W_self + sum over views of mean(h) W_view + b)), plus h from
the second on (ego and neighbours apart, residual: Zhu et al., NeurIPS 2020, for ties between unlike nodes). BWGNN
(Tang et al., ICML 2022): h = mlp(x); bands of the beta wavelets of h over each relation; a layer over all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import comb

import numpy as np
import numpy.typing as npt

from shoal.coordination.gnn.inputs import Inputs, around

Floats = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Network = Mapping[str, Float32s]

EPSILON = 1e-5
"""Of the layer norm, as PyTorch's default."""


def filters(order: int) -> Floats:
    """Coefficients [order + 1 bands, order + 1 powers of the Laplacian L]: the Bernstein polynomials
    (L/2)^p (1 - L/2)^(order-p) × comb(order, p) × (order + 1) / 2, BWGNN's kernels."""
    found = np.zeros((order + 1, order + 1))
    for p in range(order + 1):
        for k in range(order - p + 1):
            found[p, p + k] = comb(order - p, k) * (-1.0) ** k / 2.0 ** (p + k)
        found[p] *= comb(order, p) * (order + 1) / 2.0
    return found


def hidden(network: Network, inputs: Inputs, kind: str) -> Floats:
    """What the last layer reads, [n, k] for all nodes."""
    return _bwgnn(network, inputs) if kind == "bwgnn" else _sage(network, inputs)


def score(network: Network, inputs: Inputs, kind: str) -> Floats:
    """Log odds [n], not calibrated."""
    return hidden(network, inputs, kind) @ network["head.weight"].astype(np.float64) + float(network["head.bias"][0])


def _sage(network: Network, inputs: Inputs) -> Floats:
    h = inputs.x.astype(np.float64)
    for layer in range(depth_of(network)):
        near = (
            [one.astype(np.float64) for one in inputs.near]
            if layer == 0
            else [around(link, h) for link in inputs.links]
        )
        z = h @ network[f"{layer}.self"] + network[f"{layer}.bias"]
        for at, one in enumerate(near):
            z += one @ network[f"{layer}.view{at}"]
        z -= z.mean(axis=1, keepdims=True)
        z /= np.sqrt((z**2).mean(axis=1, keepdims=True) + EPSILON)
        z = np.maximum(z * network[f"{layer}.gain"] + network[f"{layer}.shift"], 0.0)
        h = z + h if layer else z
    return h


def _bwgnn(network: Network, inputs: Inputs) -> Floats:
    h = inputs.x.astype(np.float64)
    for layer in range(2):
        h = np.maximum(h @ network[f"mlp{layer}.weight"] + network[f"mlp{layer}.bias"], 0.0)
    order = len(network["filters"]) - 1
    parts = [h]
    for link, roots in zip(inputs.links, inputs.roots, strict=True):
        root = roots.astype(np.float64)[:, None]
        back = np.divide(1.0, root, out=np.zeros_like(root), where=root > 0)
        powers = [h]
        for _ in range(order):
            powers.append(np.where(root > 0, powers[-1] - root * around(link, back * powers[-1]), 0.0))
        parts += list(np.tensordot(network["filters"].astype(np.float64), np.stack(powers), axes=1))
    return np.maximum(np.hstack(parts) @ network["mix.weight"] + network["mix.bias"], 0.0)


def depth_of(network: Network) -> int:
    """Layers of a GraphSAGE."""
    return sum(name.endswith(".self") for name in network)


def shapes(kind: str, width: int, views: int, size: int, depth: int) -> dict[str, tuple[int, ...]]:
    """Shape of each array of a network: `width` inputs, `views` of the ties, hidden `size`, `depth` layers or order."""
    found: dict[str, tuple[int, ...]] = {}
    if kind == "bwgnn":
        found |= {"mlp0.weight": (width, size), "mlp0.bias": (size,), "mlp1.weight": (size, size), "mlp1.bias": (size,)}
        found |= {"filters": (depth + 1, depth + 1)}
        found |= {"mix.weight": (size * (1 + views * (depth + 1)), size), "mix.bias": (size,)}
    else:
        for layer in range(depth):
            before = size if layer else width
            found |= {f"{layer}.self": (before, size)} | {f"{layer}.view{at}": (before, size) for at in range(views)}
            found |= {f"{layer}.{one}": (size,) for one in ("bias", "gain", "shift")}
    return found | {"head.weight": (size,), "head.bias": (1,)}
