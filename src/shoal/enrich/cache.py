"""A small least-recently-used cache for answers that are pure functions of their key. Hot path.

Owned by whoever makes it, for the life of that object; bounded, so that hostile variety costs time but never memory.
Not shared between threads.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Lru(Generic[K, V]):
    """At most `limit` answers; the one asked for longest ago goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._answers: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: K) -> V | None:
        """The answer, or None; asking keeps it."""
        found = self._answers.get(key)
        if found is not None:
            self._answers.move_to_end(key)
        return found

    def put(self, key: K, answer: V) -> None:
        """Remember an answer (which must not be None)."""
        self._answers[key] = answer
        if len(self._answers) > self._limit:
            self._answers.popitem(last=False)
