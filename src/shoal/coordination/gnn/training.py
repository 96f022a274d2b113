"""Training of one network: Adam, weights of the classes, early stopping on the average precision of labels set aside.

Sees the graph and the labels that it is given and nothing else. A graph of few ties is trained on whole, any other in
batches with drawn neighbourhoods. All randomness comes from the seed; PyTorch's global generator is not touched. On a
CPU the same input and seed give the same network; on a GPU, sums may differ in their last bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score

from shoal.coordination.gnn.draws import Drawer, blocks, whole
from shoal.coordination.gnn.inputs import Inputs
from shoal.coordination.gnn.networks import Plan, arrays, begin, forward
from shoal.coordination.gnn.scoring import Network
from shoal.extras import require

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

WIDER = 2
"""Fan-out of what is set aside, as a multiple of that of training."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; see `GnnClassifier` for each."""

    kind: str
    hidden: int
    depth: int
    dropout: float
    epochs: int
    patience: int
    rate: float
    decay: float
    balanced: bool
    fan_out: int
    batch: int
    full_batch: int
    threads: int
    device: str


@dataclass(frozen=True, eq=False)
class Labels:
    """Codes of nodes, and 0 or 1 of each."""

    codes: Ints
    y: Ints


@dataclass(frozen=True, eq=False)
class Trained:
    """A network as it was at its best epoch, and average precision and loss there on the labels set aside."""

    network: Network
    epoch: int
    precision: float
    loss: float


def device_of(wanted: str) -> str:
    """`auto` is cuda where there is one. Raises `MissingExtra` without PyTorch."""
    torch = require("torch", "gnn")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


class Trainer:
    """Trains networks on one graph; what they share is prepared once."""

    def __init__(self, inputs: Inputs, recipe: Recipe) -> None:
        self.torch: ModuleType = require("torch", "gnn")
        self.inputs, self.recipe = inputs, recipe
        self.drawers = [Drawer(link) for link in inputs.links]
        self.depth = recipe.depth - (recipe.kind == "sage")  # the first layer of a GraphSAGE reads exact means
        self._whole: Plan | None = None
        if sum(one.ties for one in self.drawers) <= recipe.full_batch:
            self._whole = self._plan(whole(self.drawers, len(inputs.x), self.depth))

    @property
    def full(self) -> bool:
        """Whether the graph is trained on whole."""
        return self._whole is not None

    def train(self, learned: Labels, aside: Labels, seed: int) -> Trained:
        """A network from the labels `learned`, stopped by those set aside."""
        torch, recipe = self.torch, self.recipe
        with _threads(torch, recipe.threads):
            start = torch.Generator().manual_seed(seed)
            noise = torch.Generator(device=recipe.device).manual_seed(seed + 1)
            network = begin(torch, recipe.kind, self.inputs, recipe.hidden, recipe.depth, start, recipe.device)
            free = [one for one in network.values() if one.requires_grad]
            step = torch.optim.Adam(free, lr=recipe.rate, weight_decay=recipe.decay)
            abusive = max(int(learned.y.sum()), 1)
            weight = torch.tensor(
                (len(learned.y) - abusive) / abusive if recipe.balanced else 1.0,
                dtype=torch.float32, device=recipe.device,
            )  # fmt: skip
            judged = self._batch(aside.codes, recipe.fan_out * WIDER, seed)
            best = Trained(arrays(network), 0, -1.0, np.inf)
            for epoch in range(1, recipe.epochs + 1):
                for plan, rows, y in self._batches(learned, seed, epoch):
                    step.zero_grad()
                    z = forward(torch, network, plan, recipe.kind, recipe.dropout, noise)[rows]
                    loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y, pos_weight=weight)
                    loss.backward()
                    step.step()
                with torch.no_grad():
                    z = [forward(torch, network, plan, recipe.kind, 0.0, noise)[rows] for plan, rows in judged]
                answer = torch.cat(z).cpu().numpy().astype(np.float64)
                reached = float(average_precision_score(aside.y, answer))
                loss_aside = _loss(answer, aside.y, float(weight))
                if (round(reached, 9), -loss_aside) > (round(best.precision, 9), -best.loss):
                    best = Trained(arrays(network), epoch, reached, loss_aside)
                elif epoch - best.epoch >= recipe.patience:
                    break
        return best

    def _batch(self, codes: Ints, fan_out: int, seed: int) -> list[tuple[Plan, Any]]:
        """Plans for nodes in their order, and where the nodes stand in each."""
        if self._whole is not None:
            return [(self._whole, self._tensor(codes))]
        found: list[tuple[Plan, Any]] = []
        for low in range(0, len(codes), self.recipe.batch):
            part = codes[low : low + self.recipe.batch]
            plan = self._plan(blocks(self.drawers, part, self.depth, fan_out, seed))
            found.append((plan, slice(0, len(part))))
        return found

    def _batches(self, learned: Labels, seed: int, epoch: int) -> Iterator[tuple[Plan, Any, Any]]:
        """One epoch: all labels at once, or shuffled parts of them, with new draws each time."""
        if self._whole is not None:
            yield self._whole, self._tensor(learned.codes), self._tensor(learned.y.astype(np.float32))
            return
        dealt = np.random.default_rng((seed, epoch)).permutation(len(learned.codes))
        for low in range(0, len(dealt), self.recipe.batch):
            part = dealt[low : low + self.recipe.batch]
            plan, rows = self._batch(learned.codes[part], self.recipe.fan_out, seed + 15_485_863 * epoch + low)[0]
            yield plan, rows, self._tensor(learned.y[part].astype(np.float32))

    def _plan(self, found: Sequence[Any]) -> Plan:
        return Plan(self.torch, found, self.inputs, self.recipe.kind, self.recipe.device)

    def _tensor(self, array: npt.NDArray[Any]) -> Any:
        return self.torch.from_numpy(array).to(self.recipe.device)


def _loss(z: Floats, y: Ints, weight: float) -> float:
    """Weighted mean log loss: which epoch is the better of two that rank alike."""
    share = np.where(y == 1, weight, 1.0)
    return float(np.average(np.logaddexp(0.0, z) - y * z, weights=share))


@contextmanager
def _threads(torch: ModuleType, count: int) -> Iterator[None]:
    """PyTorch's threads while this lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
