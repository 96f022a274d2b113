"""Coordination: which accounts act as one.

From events to an entity graph (`graph`), from the graph to evidence that two accounts have one hand behind them
(`coaction`, `templates`, `content`), from pairs to campaigns (`campaigns`, on the algorithms of `structure`), and from
campaigns and graphs to scores that are learned (`nodes`). Pure: takes tables and arrays, returns arrays and
dataclasses; knows no journal, clock, pack or disk. `runtime` reads journals for it and publishes what it finds.
"""

from typing import Any

_LAZY = ("NodeClassifier", "NodeGraph")


def __getattr__(name: str) -> Any:
    """`NodeClassifier` and `NodeGraph`, on first use: they bring LightGBM, which the other rooms do without."""
    if name in _LAZY:
        from shoal.coordination import nodes

        return getattr(nodes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
