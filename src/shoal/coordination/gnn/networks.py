"""The networks in PyTorch, over blocks: the same formulas as `scoring`, with dropout and gradients.

PyTorch comes in as an argument, never by import: without the extra `gnn` this module loads and is not used. A network
is a dictionary of tensors, so its file is one of plain arrays. Products with the ties are sparse, and their gradients
the products with the transpose.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from shoal.coordination.gnn.draws import Block
from shoal.coordination.gnn.inputs import Inputs
from shoal.coordination.gnn.scoring import EPSILON, Network, filters, shapes

Tensor = Any
Tensors = dict[str, Tensor]


class Plan:
    """Blocks and what stands at their widest end, as tensors on a device."""

    def __init__(self, torch: ModuleType, found: Sequence[Block], inputs: Inputs, kind: str, device: str) -> None:
        rows = found[0].sources

        def on(array: npt.NDArray[np.float32]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        held: dict[int, tuple[Any, ...]] = {}  # a full batch gives one block many times
        for one in found:
            if id(one) not in held:
                held[id(one)] = tuple((_csr(torch, m, device), _csr(torch, m.T, device)) for m in one.means)
        self.means = [held[id(one)] for one in found]
        self.targets = [one.targets for one in found]
        self.x = on(inputs.x[rows])
        self.near = tuple(on(one[rows]) for one in inputs.near) if kind == "sage" else ()
        self.roots = tuple(on(one[rows][:, None]) for one in inputs.roots) if kind == "bwgnn" else ()


def begin(torch: ModuleType, kind: str, inputs: Inputs, size: int, depth: int, make: Any, device: str) -> Tensors:
    """A network to train: Glorot and Bengio's uniform weights from the generator `make`, norms at 1 and 0."""
    found: Tensors = {}
    for name, shape in shapes(kind, inputs.x.shape[1], len(inputs.links), size, depth).items():
        if name == "filters":
            found[name] = torch.tensor(filters(depth), dtype=torch.float32, device=device)
            continue
        if name.endswith(".gain"):
            value = torch.ones(shape)
        elif name.endswith((".bias", ".shift")):
            value = torch.zeros(shape)
        else:
            edge = (6.0 / sum(shape if len(shape) > 1 else (shape[0], 1))) ** 0.5
            value = (torch.rand(shape, generator=make) * 2.0 - 1.0) * edge
        found[name] = value.to(device).requires_grad_()
    return found


def arrays(network: Tensors) -> Network:
    """The network as float32 arrays."""
    return {name: one.detach().cpu().numpy().astype(np.float32).copy() for name, one in network.items()}


def forward(torch: ModuleType, network: Tensors, plan: Plan, kind: str, dropout: float, make: Any) -> Tensor:
    """Log odds of the targets of the last block; `dropout` 0 where none is wanted."""
    h = (_bwgnn if kind == "bwgnn" else _sage)(torch, network, plan, dropout, make)
    return h @ network["head.weight"] + network["head.bias"]


def _sage(torch: ModuleType, network: Tensors, plan: Plan, dropout: float, make: Any) -> Tensor:
    h = plan.x
    product = _product(torch)
    for layer in range(len(plan.means) + 1):
        if layer == 0:
            near = plan.near
        else:
            near = tuple(product.apply(h, *pair) for pair in plan.means[layer - 1])
            h = h[: plan.targets[layer - 1]]
        z = _dropped(torch, h, dropout if layer else 0.0, make) @ network[f"{layer}.self"] + network[f"{layer}.bias"]
        for at, one in enumerate(near):
            z = z + _dropped(torch, one, dropout if layer else 0.0, make) @ network[f"{layer}.view{at}"]
        norm = torch.nn.functional.layer_norm
        z = torch.relu(norm(z, z.shape[1:], network[f"{layer}.gain"], network[f"{layer}.shift"], EPSILON))
        h = z + h if layer else z
    return _dropped(torch, h, dropout, make)


def _bwgnn(torch: ModuleType, network: Tensors, plan: Plan, dropout: float, make: Any) -> Tensor:
    h = plan.x
    product = _product(torch)
    for layer in range(2):
        h = torch.relu(h @ network[f"mlp{layer}.weight"] + network[f"mlp{layer}.bias"])
        h = _dropped(torch, h, dropout, make)
    last = plan.targets[-1]
    parts = [h[:last]]
    for at, root in enumerate(plan.roots):
        back = torch.where(root > 0, 1.0 / root.clamp(min=1e-30), 0.0)
        powers = [h]
        for step, targets in enumerate(plan.targets):
            now = root[:targets]
            near = now * product.apply(back[: len(powers[-1])] * powers[-1], *plan.means[step][at])
            powers.append(torch.where(now > 0, powers[-1][:targets] - near, 0.0))
        for row in network["filters"]:
            parts.append(sum(c * one[:last] for c, one in zip(row, powers, strict=True)))
    h = torch.relu(torch.cat(parts, dim=1) @ network["mix.weight"] + network["mix.bias"])
    return _dropped(torch, h, dropout, make)


def _dropped(torch: ModuleType, h: Tensor, share: float, make: Any) -> Tensor:
    """Dropout from the generator `make` (PyTorch's own reads a global one)."""
    if not share:
        return h
    return h * (torch.rand(h.shape, generator=make, device=h.device) >= share) / (1.0 - share)


def _csr(torch: ModuleType, matrix: sparse.spmatrix, device: str) -> Tensor:
    held = sparse.csr_matrix(matrix, dtype=np.float32)
    held.sort_indices()
    parts = (torch.from_numpy(np.asarray(one, dtype=np.int64)) for one in (held.indptr, held.indices))
    values = torch.from_numpy(held.data)
    with warnings.catch_warnings():  # PyTorch calls its CSR a beta, and says once that it does not look into it
        warnings.filterwarnings("ignore", message="Sparse (CSR tensor support|invariant checks)")
        return torch.sparse_csr_tensor(*parts, values, held.shape, device=device, check_invariants=False)


@cache
def _product(torch: ModuleType) -> Any:
    """The class of products with a constant sparse matrix, made once PyTorch is there."""

    def forward_(context: Any, x: Tensor, ties: Tensor, back: Tensor) -> Tensor:
        context.back = back
        return ties @ x

    def backward_(context: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        return context.back @ slope.contiguous(), None, None

    held = {"forward": staticmethod(forward_), "backward": staticmethod(backward_)}
    return type("Product", (torch.autograd.Function,), held)
