"""`behaviour_embedding` as plain Python: dictionaries, lists and float64. Slow on purpose."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shoal.events.identity import Identity
from shoal.features.kernel.access_kernel import mix

NULLS = float("nan")


class PlainProfile:
    """One token column, `type`; one key column, `account`. `half_life` in µs."""

    def __init__(
        self, identity: Identity, *, longest: int, cells: int, bag: int, recent: float, half_life: int, keys: int
    ) -> None:
        self.identity, self.longest, self.cells, self.bag = identity, longest, cells, bag
        self.recent, self.half_life, self.keys = recent, half_life, keys
        self.accounts: dict[str, dict[str, Any]] = {}
        self.weights: Any = None
        self.centres: Any = None

    def step(self, row: dict[str, Any], dimensions: int) -> list[float]:
        """The columns of one row."""
        nothing = [NULLS] * (3 + dimensions)
        name = row["account"]
        if name is None or row["type"] is None:
            return nothing
        if not (row["late"] or row["shoal"]):
            if name not in self.accounts:
                assert len(self.accounts) < self.keys, "the twin drives nobody out"
                self.accounts[name] = {"last": None, "tokens": [], "places": [None] * self.bag}
            self._learn(self.accounts[name], row["type"], row["as_of"])
        if name not in self.accounts or self.weights is None:
            return nothing
        return self._tell(self.accounts[name], nothing)

    def _grams(self, tokens: list[str]) -> list[int]:
        """Cells of the n-grams that end with the last token; one that repeats the n-gram before it says nothing."""
        found = []
        for n in range(min(self.longest, len(tokens))):
            if len(tokens) > n + 1 and len(set(tokens[-n - 2 :])) == 1:
                continue
            ids = [self._token(token) for token in reversed(tokens[-n - 1 :])]
            address = mix(ids[0], 0x6E6772616D)
            for k in range(1, n + 1):
                address = mix(address ^ ids[k], k)
            found.append(int((mix(address, n) >> 20) & (self.cells - 1)))
        return found

    def _token(self, text: str) -> int:
        return int(mix(np.int64(0) ^ np.int64(self.identity.id_of(text)), 1))

    def _learn(self, account: dict[str, Any], token: str, now: int) -> None:
        places = account["places"]
        if account["last"] is not None:
            slow = 2.0 ** (-(now - account["last"]) / self.half_life)
            for k, one in enumerate(places):
                if one is not None:
                    one[1] *= 2.0 ** (-1 / self.recent)
                    one[2] *= slow
                    if one[1] < 2.0**-20 and one[2] < 2.0**-20:
                        places[k] = None
        account["last"] = now
        account["tokens"].append(token)
        for gram in self._grams(account["tokens"]):
            held = next((one for one in places if one is not None and one[0] == gram), None)
            if held is not None:
                held[1] += 1
                held[2] += 1
                continue
            free = [k for k, one in enumerate(places) if one is None]
            least = min(range(self.bag), key=lambda k: (np.float32(places[k][2]) if places[k] else 0.0, k))
            places[free[0] if free else least] = [gram, 1.0, 1.0]

    def _tell(self, account: dict[str, Any], nothing: list[float]) -> list[float]:
        held = [one for one in account["places"] if one is not None]
        habit, lately = (self._unit(sum((one[at] * self.weights[one[0]] for one in held), 0 * self.weights[0]))
                         for at in (2, 1))  # fmt: skip
        if habit is None or lately is None:
            return nothing
        far = [math.dist(habit, centre) for centre in self.centres]
        group = far.index(min(far))
        return [group, math.dist(lately, self.centres[group]), math.dist(lately, habit), *habit]

    @staticmethod
    def _unit(vector: Any) -> Any:
        length = float(np.sqrt((vector**2).sum()))
        return vector / length if length > 1e-12 else None
