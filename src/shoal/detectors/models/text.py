"""LightGBM's text format (version v4), read with suspicion: lines to verified trees.

Only the keys that scoring and reasons need are parsed; the keys of a tree are a closed set, what follows `end of trees`
is not read. Limits stand here, and each problem carries the line. Trees come out checked: every index in range, every
node and leaf reached exactly once from the root, all numbers finite (but a threshold, which may be inf: all known
values go left). Knows no metadata and owns nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from shoal.detectors.models.definition import MAX_INPUTS
from shoal.errors import InvalidInput, Problem, Unsupported, Where, nearest_name

MAX_BYTES, MAX_TREES, MAX_LEAVES, MAX_DEPTH, MAX_TOTAL = 64 << 20, 5_000, 4_096, 128, 500_000
"""Of the file, of trees, of leaves in a tree, of steps from root to leaf, of leaves in all trees."""
MAX_CUTS, MAX_LEAF = 60_000, 1e100
"""Distinct thresholds of one input; the largest leaf value (no sum can leave the range of float64)."""
MAX_PROBLEMS = 20
_TREE_KEYS = frozenset(
    (
        "num_leaves", "num_cat", "split_feature", "split_gain", "threshold", "decision_type", "left_child",
        "right_child", "leaf_value", "leaf_weight", "leaf_count", "internal_value", "internal_weight",
        "internal_count", "is_linear", "shrinkage",
    )
)  # fmt: skip
_NUMBERS = re.compile(r"[0-9eE+.\- ]*")
_CUTS = re.compile(r"(?:[0-9eE+.\- ]|\binf\b)*")
_WHOLE = re.compile(r"[0-9\- ]*")
Lines = dict[str, tuple[int, str]]


class _Stop(Exception):  # noqa: N818 - not an error's name
    """So many problems that further ones help nobody."""


@dataclass(eq=False)
class Block:
    """One tree. Internal nodes are 0 … leaves - 2, a leaf i is written `~i`; arrays are by node or by leaf.

    `rule` is `missing << 1 | default_left` (missing 0 none, 1 zero, 2 NaN), 0 where nothing is missing."""

    leaves: int
    feature: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float64]
    rule: npt.NDArray[np.int64]
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    rows: npt.NDArray[np.float64]
    passed: list[float] = field(default_factory=list)
    depth: int = 0

    def cover(self, node: int) -> float:
        """Training rows that came through an internal node or (negative) into a leaf."""
        return self.passed[node] if node >= 0 else float(self.rows[~node])


def read_blocks(data: bytes, where: Where) -> tuple[tuple[str, ...], list[Block]]:
    """Names of the inputs and the trees. Raises `InvalidInput` (all problems) or `Unsupported`."""
    reader = _Reader(where)
    try:
        found = reader.read(data)
    except _Stop:
        found = None
    if reader.problems or found is None:
        kinds = [problem for problem in reader.problems if problem.slug.startswith("model.trees_unsupported")]
        if kinds:
            raise Unsupported("\n".join(map(str, kinds)))
        raise InvalidInput(reader.problems)
    return found


class _Reader:
    """One reading: collects problems, stops at `MAX_PROBLEMS`."""

    def __init__(self, where: Where) -> None:
        self.where = where
        self.problems: list[Problem] = []
        self.width = 0

    def problem(self, slug: str, line: int, message: str, **more: str) -> None:
        """Note one; too many end the reading."""
        self.problems.append(Problem(slug, message, Where(self.where.file, line, self.where.path), **more))
        if len(self.problems) >= MAX_PROBLEMS:
            raise _Stop

    def read(self, data: bytes) -> tuple[tuple[str, ...], list[Block]] | None:
        if len(data) > MAX_BYTES:
            self.problem("model.trees_size", 0, f"{len(data):,} bytes", allowed=f"at most {MAX_BYTES:,}")
            return None
        try:
            lines = data.decode("utf-8").split("\n")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            self.problem("model.trees_text", line, "the file is not UTF-8 text", hint="is it the right file?")
            return None
        if lines[0].strip() != "tree":
            hint = "write it with Booster.save_model or model_to_string"
            self.problem("model.trees_format", 1, "not a LightGBM text model", allowed="first line 'tree'", hint=hint)
            return None
        end = next((i for i, line in enumerate(lines) if line.strip() == "end of trees"), -1)
        if end < 0:
            self.problem("model.trees_cut", len(lines), "there is no line 'end of trees'", hint="the file is cut off")
            return None
        heads = [i for i in range(end) if lines[i].startswith("Tree=")]
        names = self._header(lines, heads[0] if heads else end)
        if not 1 <= len(heads) <= MAX_TREES:
            self.problem("model.trees_count", 0, f"{len(heads):,} trees", allowed=f"1 to {MAX_TREES:,}")
            return None
        blocks = []
        for number, (first, last) in enumerate(zip(heads, [*heads[1:], end], strict=True)):
            if lines[first].strip() != f"Tree={number}":
                self.problem(
                    "model.trees_order", first + 1, f"{lines[first].strip()[:40]!r} where tree {number} stands"
                )
            block = self._tree(self._keys(lines, first + 1, last, _TREE_KEYS), first + 1)
            if block is not None:
                blocks.append(block)
        self._totals(blocks)
        return (names, blocks) if names is not None else None

    def _keys(self, lines: list[str], first: int, last: int, known: frozenset[str] | None) -> Lines:
        found: Lines = {}
        for i in range(first, last):
            text = lines[i].strip()
            if not text:
                continue
            key, equals, value = text.partition("=")
            if key in found:
                self.problem("model.trees_key", i + 1, f"{key!r} is given twice")
            elif known is not None and key not in known:
                if key.startswith(("cat_", "leaf_features", "leaf_coeff", "leaf_const", "num_features")):
                    self._unsupported(i + 1, "a tree with categorical splits or linear leaves")
                else:
                    nearest = nearest_name(key[:40], known)
                    self.problem("model.trees_key", i + 1, f"unknown line {text[:40]!r} in a tree", nearest=nearest)
            found[key] = (i + 1, value if equals else "")
        return found

    def _unsupported(self, line: int, what: str) -> None:
        hint = "fit one class of numeric inputs with boosting 'gbdt', 'goss' or 'dart', and save it with LightGBM 4"
        self.problem("model.trees_unsupported", line, f"{what} is not scored", hint=hint)

    def _header(self, lines: list[str], last: int) -> tuple[str, ...] | None:
        found = self._keys(lines, 1, last, None)
        fixed = {"version": "v4", "num_class": "1", "num_tree_per_iteration": "1"}
        for key, wanted in fixed.items():
            line, value = found.get(key, (0, None))
            if value is None:
                self.problem("model.trees_key", 1, f"the header has no {key!r}")
            elif value != wanted:
                self._unsupported(line, f"{key}={value[:20]}")
        for key in ("average_output", "linear_tree"):
            if key in found and found[key][1] != "0":
                self._unsupported(found[key][0], f"a model with {key}")
        line, text = found.get("max_feature_idx", (0, ""))
        highest = self._whole(text, line, "max_feature_idx", 1)
        if highest is None:
            return None
        self.width = int(highest[0]) + 1
        if not 1 <= self.width <= MAX_INPUTS:
            message = f"{self.width:,} inputs"
            self.problem("model.trees_inputs", line, message, allowed=f"1 to {MAX_INPUTS}")
            self.width = 0
            return None
        line, text = found.get("feature_names", (0, ""))
        names = tuple(text.split())
        if len(names) != self.width or len(set(names)) != len(names):
            message = f"{len(set(names))} different feature_names for {self.width} inputs"
            self.problem("model.trees_inputs", line, message)
        return names

    def _whole(self, text: str, line: int, key: str, count: int) -> npt.NDArray[np.int64] | None:
        parts = text.split()
        try:
            if not _WHOLE.fullmatch(text):
                raise ValueError
            found = np.array([int(part) for part in parts], np.int64)
        except (ValueError, OverflowError):
            self.problem("model.trees_number", line, f"{key} is not a list of whole numbers")
            return None
        return found if self._length(parts, line, key, count) else None

    def _floats(self, text: str, line: int, key: str, count: int) -> npt.NDArray[np.float64] | None:
        parts = text.split()
        try:
            if not (_CUTS if key == "threshold" else _NUMBERS).fullmatch(text):
                raise ValueError
            found = np.array([float(part) for part in parts], np.float64)
        except ValueError:
            self.problem("model.trees_number", line, f"{key} is not a list of finite numbers")
            return None
        if np.isinf(found).sum() != text.count("inf"):
            self.problem("model.trees_number", line, f"{key} has a number beyond the range of float64")
            return None
        return found if self._length(parts, line, key, count) else None

    def _length(self, parts: list[str], line: int, key: str, count: int) -> bool:
        if len(parts) == count:
            return True
        self.problem("model.trees_number", line, f"{key} has {len(parts):,} numbers", allowed=f"{count:,}")
        return False

    def _tree(self, found: Lines, line: int) -> Block | None:
        needed = ["num_leaves", "leaf_value"]
        leaves = self._whole(*_turn(found, "num_leaves", line), "num_leaves", 1)
        if leaves is None:
            return None
        n = int(leaves[0])
        if not 1 <= n <= MAX_LEAVES:
            self.problem("model.trees_leaves", line, f"{n:,} leaves", allowed=f"1 to {MAX_LEAVES:,}")
            return None
        for key, what in (("num_cat", "a tree with categorical splits"), ("is_linear", "a tree with linear leaves")):
            if found.get(key, (0, "0"))[1].strip() != "0":
                self._unsupported(found[key][0], what)
        if n > 1:
            needed += ["split_feature", "threshold", "decision_type", "left_child", "right_child", "leaf_count"]
        missing = [key for key in needed if key not in found]
        if missing:
            self.problem("model.trees_key", line, f"the tree has no {', '.join(map(repr, missing))}")
            return None
        ints = {key: n - 1 for key in ("split_feature", "decision_type", "left_child", "right_child") if n > 1}
        whole = {key: self._whole(*_turn(found, key, line), key, count) for key, count in ints.items()}
        value = self._floats(*_turn(found, "leaf_value", line), "leaf_value", n)
        if value is not None and np.abs(value).max() > MAX_LEAF:
            message = "a leaf value is too large"
            self.problem("model.trees_range", found["leaf_value"][0], message, allowed=f"-{MAX_LEAF:g} to {MAX_LEAF:g}")
        if n == 1:
            none, nothing = np.zeros(0, np.int64), np.zeros(0)
            return value if value is None else Block(1, none, nothing, none, none, none, value, np.ones(1))
        threshold = self._floats(*_turn(found, "threshold", line), "threshold", n - 1)
        rows = self._whole(*_turn(found, "leaf_count", line), "leaf_count", n)
        feature, kind, left, right = whole.values()
        if value is None or threshold is None or rows is None:
            return None
        if feature is None or kind is None or left is None or right is None:
            return None
        rule = self._rules(kind, found["decision_type"][0])
        good = self._range(feature, 0, self.width, found["split_feature"][0], "split_feature")
        good &= self._range(rows, 1, 1 << 53, found["leaf_count"][0], "leaf_count")
        for key, child in (("left_child", left), ("right_child", right)):
            good &= self._range(child, -n, n - 1, found[key][0], key)
        if not good:
            return None
        block = Block(n, feature, threshold, rule, left, right, value, rows.astype(np.float64))
        return block if self._walk(block, line) else None

    def _range(self, numbers: npt.NDArray[np.int64], low: int, stop: int, line: int, key: str) -> bool:
        bad = numbers[(numbers < low) | (numbers >= stop)]
        if len(bad):
            self.problem("model.trees_range", line, f"{key} {bad[0]} is out of range", allowed=f"{low} to {stop - 1}")
        return not len(bad)

    def _rules(self, kind: npt.NDArray[np.int64], line: int) -> npt.NDArray[np.int64]:
        """`decision_type`: bit 0 categorical, bit 1 default left, bits 2 and 3 what is missing."""
        if (kind & 1).any():
            self._unsupported(line, "a categorical split")
        missing = (kind >> 2) & 3
        bad = kind[(kind < 0) | (kind > 15) | (missing == 3)]
        if len(bad):
            self.problem("model.trees_range", line, f"decision_type {bad[0]} is none", allowed="0, 2, 4, 6, 8, 10")
        return np.where(missing > 0, missing << 1 | ((kind >> 1) & 1), 0)

    def _walk(self, block: Block, line: int) -> bool:
        """Each node and leaf once from the root; depth and covers on the way."""
        left, right, n = block.left.tolist(), block.right.tolist(), block.leaves
        order, depth, seen = [0], {0: 0}, {0}
        for node in order:
            for child in (left[node], right[node]):
                if child in seen:
                    kind = f"node {child}" if child >= 0 else f"leaf {~child}"
                    self.problem("model.trees_shape", line, f"{kind} is reached twice", hint="it must be a tree")
                    return False
                seen.add(child)
                depth[child] = depth[node] + 1
                if child >= 0:
                    order.append(child)
        if len(seen) != 2 * n - 1:
            count = 2 * n - 1 - len(seen)
            self.problem("model.trees_shape", line, f"{count} nodes and leaves are not reached from the root")
            return False
        block.depth = max(depth.values())
        if block.depth > MAX_DEPTH:
            message, hint = f"the tree is {block.depth} steps deep", "fit with a max_depth"
            self.problem("model.trees_depth", line, message, allowed=f"at most {MAX_DEPTH}", hint=hint)
            return False
        block.passed = [0.0] * (n - 1)
        for node in reversed(order):
            block.passed[node] = block.cover(left[node]) + block.cover(right[node])
        return True

    def _totals(self, blocks: list[Block]) -> None:
        total = sum(block.leaves for block in blocks)
        if total > MAX_TOTAL:
            self.problem("model.trees_leaves", 0, f"{total:,} leaves in all", allowed=f"at most {MAX_TOTAL:,}")
        features = np.concatenate([np.zeros(0, np.int64), *(block.feature for block in blocks)])
        thresholds = np.concatenate([np.zeros(0), *(block.threshold for block in blocks)])
        for column in range(self.width):
            count = len(np.unique(thresholds[features == column]))
            if count > MAX_CUTS:
                message = f"{count:,} different thresholds of input {column}"
                self.problem("model.trees_cuts", 0, message, allowed=f"at most {MAX_CUTS:,}")


def _turn(found: Lines, key: str, line: int) -> tuple[str, int]:
    """Text and line of a key; of the tree where it is absent."""
    at, text = found.get(key, (line, ""))
    return text, at
