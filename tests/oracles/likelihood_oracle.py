"""The slow twin of `login_likelihood`: every weight summed anew from the list of past logins, by the definition."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

NESTED = {  # level: (columns that make its value, the coarser level, group)
    "country": (("country",), "", "network"),
    "asn": (("country", "asn"), "country", "network"),
    "prefix": (("network",), "asn", "network"),
    "address": (("ip",), "prefix", "network"),
    "device_class": (("ua_device",), "", "user_agent"),
    "os": (("ua_device", "ua_os"), "device_class", "user_agent"),
    "family": (("ua_device", "ua_os", "ua_family"), "os", "user_agent"),
    "version": (("ua_device", "ua_os", "ua_family", "ua_version"), "family", "user_agent"),
    "agent": (("user_agent",), "version", "user_agent"),
    "daypart": (("daypart",), "", ""),
    "hour": (("hour",), "daypart", ""),
    "device": (("device",), "", ""),
    "method": (("method",), "", ""),
}
SIZES = dict(zip(NESTED, (8, 14, 16, 16, 3, 6, 8, 10, 16, 4, 2, 40, 4), strict=True))
PUBLISHED = {
    "country": (("country",), 0.1, 8, "network"),
    "asn": (("asn",), 0.3, 20, "network"),
    "address": (("ip",), 0.6, 32, "network"),
    "device_class": (("ua_device",), 0.01, 3, "user_agent"),
    "os": (("ua_os",), 0.19, 6, "user_agent"),
    "version": (("ua_family", "ua_version"), 0.27, 16, "user_agent"),
    "agent": (("user_agent",), 0.53, 24, "user_agent"),
}


def clock(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with its hour and part of the day, from the time in µs."""
    hours, days = row["time"] // 3_600_000_000, row["time"] // 86_400_000_000
    weekend = "weekend" if (days + 3) % 7 >= 5 else "week"
    return {**row, "daypart": (weekend, hours % 24 // 4), "hour": (weekend, hours % 24)}


class Twin:
    """Keeps all rows that were learned."""

    def __init__(self, half_life_us: float, young: float, adapt: float, pair: float) -> None:
        self.half_life, self.young, self.adapt, self.pair = half_life_us, young, adapt, pair
        self.learned: list[tuple[Mapping[str, Any], dict[str, tuple[float, float]]]] = []

    def value(self, row: Mapping[str, Any], columns: Sequence[str]) -> Any:
        """The value of a level: its last column, which must be known, and those before it down from the last that is
        not."""
        if row.get(columns[-1]) is None:
            return None
        missing = [place for place, column in enumerate(columns) if row.get(column) is None]
        return tuple(row[column] for column in columns[(missing or [-1])[-1] + 1 :])

    def weight(self, then: int, now: int) -> float:
        return 1.0 if not self.half_life else 2.0 ** ((then - now) / self.half_life)

    def sums(self, now: int, account: str | None, columns: Sequence[str], value: Any) -> float:
        """The weight of logins (of an account, or of all) with a value."""
        rows = [row for row, _ in self.learned if account in (None, row["account"])]
        return sum(self.weight(row["time"], now) for row in rows if not columns or self.value(row, columns) == value)

    def concentration(self, now: int, account: str, level: str) -> float:
        def taught(one: str | None, at: int) -> float:
            return sum(self.weight(row["time"], now) * told.get(level, (0.0, 0.0))[at] for row, told in self.learned
                       if one in (None, row["account"]))  # fmt: skip

        strength = max(self.adapt, 8.0)
        base = (taught(None, 0) + strength) / (taught(None, 1) + strength / 0.5)
        if not self.adapt or not any(row["account"] == account for row, _ in self.learned):
            return base
        return (taught(account, 0) + self.adapt) / (taught(account, 1) + self.adapt / base)

    def above(self, row: Mapping[str, Any], level: str) -> str:
        parent = NESTED[level][1]
        while parent and self.value(row, NESTED[parent][0]) is None:
            parent = NESTED[parent][1]
        return parent

    def score(self, given: Mapping[str, Any]) -> dict[str, float]:
        """Ratios of the levels that are known, and the sums."""
        row = clock(given)
        now, account = row["time"], row["account"]
        out: dict[str, float] = {"network": 0.0, "user_agent": 0.0, "pair": 0.0}
        chance = 1.0
        for level, (columns, _, group) in NESTED.items():
            value = self.value(row, columns)
            if value is None:
                continue
            parent = self.above(row, level)
            columns_up = NESTED[parent][0] if parent else ()
            up = self.value(row, columns_up) if parent else None
            child, all_child = self.sums(now, account, columns, value), self.sums(now, None, columns, value)
            n, all_n = self.sums(now, account, columns_up, up), self.sums(now, None, columns_up, up)
            n, all_n = max(n, child), max(all_n, all_child)
            a = self.concentration(now, account, level)
            common = (all_child + 2.0 ** -SIZES[level]) / (all_n + 1)
            usual = (child + a * common) / (n + a)
            out[level] = math.log(common / usual)
            if group:
                out[group] += out[level]
            if level in ("device_class", "os", "family"):
                chance *= usual
        asn, family = (self.value(row, NESTED[name][0]) for name in ("asn", "family"))
        if self.pair and asn is not None and family is not None:
            here = [(self.weight(old["time"], now), self.value(old, NESTED["family"][0]) == family)
                    for old, _ in self.learned
                    if old["account"] == account and self.value(old, NESTED["asn"][0]) == asn]  # fmt: skip
            both, all_here = sum(w for w, same in here if same), sum(w for w, _ in here)
            out["pair"] = math.log(chance / ((both + self.pair * chance) / (all_here + self.pair)))
        return out | {"prior": self.prior(now, account)}

    def prior(self, now: int, account: str) -> float:
        people = max(len({row["account"] for row, _ in self.learned}), 1)
        total, mine = self.sums(now, None, (), None), self.sums(now, account, (), None)
        return math.log((total + self.young * people) / people) - math.log(mine + self.young)

    def score_published(self, row: Mapping[str, Any]) -> dict[str, float]:
        now, account = row["time"], row["account"]
        total, mine = self.sums(now, None, (), None), self.sums(now, account, (), None)
        both = {"network": [0.0, 0.0], "user_agent": [0.0, 0.0]}
        for columns, weight, bits, group in PUBLISHED.values():
            value = self.value(row, columns)
            if value is not None:
                common = (self.sums(now, None, columns, value) + 2.0**-bits) / (total + 1)
                both[group][0] += weight * common
                both[group][1] += weight * (self.sums(now, account, columns, value) + common) / (mine + 1)
        sums = {name: math.log(a / b) if b else 0.0 for name, (a, b) in both.items()}
        return sums | {"prior": self.prior(now, account)}

    def learn(self, given: Mapping[str, Any]) -> None:
        """A login, with what it teaches about how readily new values come."""
        row = clock(given)
        now, account = row["time"], row["account"]
        told = {}
        for level, (columns, _, _) in NESTED.items():
            value = self.value(row, columns)
            if value is None:
                continue
            parent = self.above(row, level)
            columns_up = NESTED[parent][0] if parent else ()
            n = self.sums(now, account, columns_up, self.value(row, columns_up) if parent else None)
            if n > 0:
                novel = 1.0 if self.sums(now, account, columns, value) == 0 else 0.0
                told[level] = (novel, 1.0 / (self.concentration(now, account, level) + n))
        self.learned.append((row, told))
