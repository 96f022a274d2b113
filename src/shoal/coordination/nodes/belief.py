"""Linearised belief propagation for two classes.

What neighbours say of a node, without its own say: Gatterbauer, Günnemann, Koutra, Faloutsos, "Linearized and
single-pass belief propagation" (PVLDB 2015): b = e + h A b - h² D b for explicit beliefs e (the label's distance from
the base rate) and a coupling h, the last term cancelling the echo of a node's own word (LinBP; without it LinBP*).
A is the ties divided by the roots of both ends' weights, so its spectral radius is at most 1 and one h fits all graphs;
D is the sum of squares of its rows. LinBP* converges for h < 1, LinBP for h + h² < 1. The series is cut after `STEPS`.
What a labelled node hears from others (b - e) still has later echoes of its own label: whoever wants columns to learn
from must leave the label out, as `columns` does. Knows links only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shoal.coordination.nodes.links import Link, balanced
from shoal.errors import InvalidInput, Problem, Where

Floats = npt.NDArray[np.float64]

STEPS = 20


def propagate(link: Link, explicit: Floats, coupling: float, *, echo: bool = False, steps: int = STEPS) -> Floats:
    """Beliefs after `steps` rounds, [n, k] of `explicit` [n, k], one's own part left out (b - e), over undirected ties.

    `echo`: cancel it (LinBP) where the ties can tell it; ties through entities cannot, and are run as LinBP*.
    Raises `InvalidInput` (`nodes.coupling`) where the series does not converge."""
    cancel = link.echo if echo else None
    most = 0.618 if cancel is not None else 1.0
    if not 0 < coupling < most:
        allowed = f"over 0 and under {most:g}"
        raise InvalidInput(
            Problem("nodes.coupling", f"a coupling of {coupling}", Where(path="coupling"), allowed=allowed)
        )
    belief = explicit
    for _ in range(steps):
        step = explicit + coupling * balanced(link, belief)
        if cancel is not None:
            step -= coupling**2 * cancel[:, None] * belief
        belief = step
    return belief - explicit
