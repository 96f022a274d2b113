"""Slow twins of the scorer and of the reasons: LightGBM's own words for a decision, and Shapley values by subsets.

Trees come from `Booster.dump_model()` (nested dicts), so nothing of our reader is used.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

Tree = dict[str, Any]
ZERO = 1.0000000180025095e-35


def goes_left(node: Tree, value: float) -> bool:
    missing = node["missing_type"]
    if abs(value) <= ZERO or (math.isnan(value) and missing != "NaN"):
        value = 0.0
    if (missing == "Zero" and value == 0.0) or (missing == "NaN" and math.isnan(value)):
        return bool(node["default_left"])
    return bool(value <= node["threshold"] or node["threshold"] >= 1e300)  # how an infinite one is dumped


def leaf(tree: Tree, row: list[float]) -> float:
    node = tree["tree_structure"]
    while "split_feature" in node:
        node = node["left_child" if goes_left(node, row[node["split_feature"]]) else "right_child"]
    return float(node["leaf_value"])


def raw(trees: list[Tree], row: list[float]) -> float:
    total = 0.0
    for tree in trees:
        total += leaf(tree, row)
    return total


def known(node: Tree, row: list[float], inputs: frozenset[int]) -> float:
    """The tree's mean over training rows where only `inputs` of the row are known (path-dependent)."""
    if "split_feature" not in node:
        return float(node["leaf_value"])
    left, right = node["left_child"], node["right_child"]
    column = node["split_feature"]
    if column in inputs:
        return known(left if goes_left(node, row[column]) else right, row, inputs)
    counts = [child.get("internal_count", child.get("leaf_count")) for child in (left, right)]
    shares = [count / sum(counts) for count in counts]
    return shares[0] * known(left, row, inputs) + shares[1] * known(right, row, inputs)


def shapley(trees: list[Tree], row: list[float]) -> list[float]:
    """Shapley's formula itself: over all subsets of the other inputs."""
    width = len(row)
    out = []
    for i in range(width):
        others = [j for j in range(width) if j != i]
        total = 0.0
        for size in range(width):
            weight = math.factorial(size) * math.factorial(width - size - 1) / math.factorial(width)
            for chosen in itertools.combinations(others, size):
                before = frozenset(chosen)
                for tree in trees:
                    structure = tree["tree_structure"]
                    total += weight * (known(structure, row, before | {i}) - known(structure, row, before))
        out.append(total)
    return out


def exact(trees: list[Tree], row: list[float]) -> list[Fraction]:
    """Shapley values in rational numbers, leaf by leaf: each leaf is a product game over the inputs of its path, whose
    integral is a polynomial's. For trees too deep for subsets."""
    out = [Fraction(0)] * len(row)
    for tree in trees:
        waiting: list[tuple[Tree, dict[int, tuple[int, Fraction]]]] = [(tree["tree_structure"], {})]
        while waiting:
            node, path = waiting.pop()
            if "split_feature" not in node:
                value = Fraction(node["leaf_value"])
                for i, (one, share) in path.items():
                    rest = [factor for j, factor in path.items() if j != i]
                    out[i] += value * (one - share) * _integral(rest)
                continue
            column, left = node["split_feature"], goes_left(node, row[node["split_feature"]])
            children = (node["left_child"], node["right_child"])
            counts = [child.get("internal_count", child.get("leaf_count")) for child in children]
            for child, count, here in zip(children, counts, (left, not left), strict=True):
                one, share = path.get(column, (1, Fraction(1)))
                waiting.append((child, path | {column: (one * here, share * Fraction(count, sum(counts)))}))
    return out


def _integral(factors: list[tuple[int, Fraction]]) -> Fraction:
    """∫₀¹ Π (one t + share (1 - t)) dt."""
    polynomial = [Fraction(1)]
    for one, share in factors:
        grown = [share * c for c in polynomial] + [Fraction(0)]
        for power, c in enumerate(polynomial):
            grown[power + 1] += (one - share) * c
        polynomial = grown
    return sum((c / (power + 1) for power, c in enumerate(polynomial)), Fraction(0))
