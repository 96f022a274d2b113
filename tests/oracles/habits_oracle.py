"""The slow twin of `login_likelihood`'s hour of the week and round-trip time: all past logins summed anew."""

import math
from collections.abc import Mapping
from typing import Any

from scipy.stats import t as student

DAY, HOUR = 86_400_000_000, 3_600_000_000


def trust(row: Mapping[str, Any]) -> float:
    if row.get("lat") is None or row.get("lon") is None:
        return 0.0
    kind = row.get("network_kind")
    return 0.5 if kind in (None, "unknown") else 1.0 if kind in ("home", "office") else 0.0


class Habits:
    """Keeps all logins that were learned, with their hour of the week."""

    def __init__(self, half_life_us: float) -> None:
        self.half_life = half_life_us
        self.learned: list[tuple[Mapping[str, Any], int]] = []
        self.places: dict[str, float] = {}

    def weight(self, then: int, now: int) -> float:
        return 1.0 if not self.half_life else 2.0 ** ((then - now) / self.half_life)

    def hour(self, row: Mapping[str, Any]) -> int:
        place = row["lon"] if trust(row) else self.places.get(row["account"])
        moved = row["time"] + (0 if place is None else round(place / 15) * HOUR)
        return (moved // DAY + 3) % 7 * 24 + moved // HOUR % 24

    @staticmethod
    def share(hour: int, other: int) -> float:
        """How much of a login at the hour `other` counts for `hour`."""
        apart = min((hour - other) % 168, (other - hour) % 168)
        near = {0: 0.34, 1: 0.17, 2: 0.08}.get(apart, 0.0)
        like = hour != other and hour % 24 == other % 24 and (hour >= 120) == (other >= 120)
        return near + (0.16 / (1 if hour >= 120 else 4) if like else 0.0)

    def score(self, row: Mapping[str, Any]) -> dict[str, Any]:
        now, account, hour = row["time"], row["account"], self.hour(row)
        every = [(old, at, self.weight(old["time"], now)) for old, at in self.learned]
        mine = [one for one in every if one[0]["account"] == account]
        common = (sum(w * self.share(hour, at) for _, at, w in every) + 1) / (sum(w for *_, w in every) + 168)
        usual = sum(w * self.share(hour, at) for _, at, w in mine) + 4 * common
        out: dict[str, Any] = {"hour_of_week": math.log(common / (usual / (sum(w for *_, w in mine) + 4)))}
        if not (row.get("rtt_ms") is not None and 0 < row["rtt_ms"] <= 600_000):
            return out | {"rtt": None, "rtt_self": None, "rtt_network": None}
        y = math.log(max(row["rtt_ms"], 0.1))
        known = [(old, w) for old, _, w in every if old.get("rtt_ms") is not None and 0 < old["rtt_ms"] <= 600_000]
        there = [(old, w) for old, w in known if self.network(old) == self.network(row)]
        own = [(old, w) for old, w in there if old["account"] == account]
        mean, square, _ = self.posterior(math.log(100), 1.0, known)
        mean, square, others = self.posterior(mean, square, there)
        *_, self_ = self.posterior(mean, square, own)
        found = [(student(df=n, loc=m, scale=s).pdf(y), (y - m) / s) for m, s, n in (others, self_)]
        many, mine_ = sum(w for _, w in there), sum(w for _, w in own)
        anybody = (many * found[0][0] + 1 / math.log(600_000 / 0.1)) / (many + 1)
        usual_ = (mine_ * found[1][0] + anybody) / (mine_ + 1)
        return out | {"rtt": math.log(anybody / usual_), "rtt_self": found[1][1], "rtt_network": found[0][1]}

    @staticmethod
    def network(row: Mapping[str, Any]) -> Any:
        return ("asn", row["asn"]) if row.get("asn") is not None else ("country", row.get("country"))

    @staticmethod
    def posterior(mean: float, square: float, rows: list[Any]) -> tuple[float, float, tuple[float, float, float]]:
        """Normal-inverse-gamma with the prior worth 2 logins for the mean and 4 for the spread."""
        ys, ws = [math.log(max(row["rtt_ms"], 0.1)) for row, _ in rows], [w for _, w in rows]
        n = sum(ws)
        own = sum(w * y for w, y in zip(ws, ys, strict=True)) / n if n else mean
        within = sum(w * (y - own) ** 2 for w, y in zip(ws, ys, strict=True))
        middle = (2 * mean + n * own) / (2 + n)
        spread = (4 * square + within + 2 * n / (2 + n) * (own - mean) ** 2) / (4 + n)
        return middle, spread, (middle, math.sqrt(spread * (3 + n) / (2 + n)), 4 + n)

    def learn(self, row: Mapping[str, Any]) -> None:
        self.learned.append((row, self.hour(row)))
        if trust(row):
            self.places[row["account"]] = row["lon"]
