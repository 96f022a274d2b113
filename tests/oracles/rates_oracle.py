"""Expected rates, one segment and one bucket at a time, in plain Python numbers."""

from __future__ import annotations

SPANS, CUT, LEAST, PRIOR = (1, 3, 12), 3.0, 0.0009, 20.0


class PlainRates:
    """A row of `Expected`; the first one made is that of all events, the others lean on it."""

    def __init__(self, learn_h=336.0, half_life_h=48.0, accept_h=60.0, whole=None):
        self.learn_h, self.decay, self.accept, self.whole = learn_h, 0.5 ** (1 / half_life_h), accept_h, whole
        self.cells, self.days = [[0.0, 0.0] for _ in range(168)], [[0.0, 0.0] for _ in range(24)]
        self.counted = self.season_sum = self.apart = 0.0
        self.spread, self.past, self.seen = [0.05] * 3, [], 0

    def level(self):
        return (self.counted + 0.02) / (self.season_sum + 1.0)

    def season(self, cell):
        if self.whole is None:
            by_hour = (self.days[cell % 24][0] + 1) / (self.days[cell % 24][1] + 1)
            return max((self.cells[cell][0] + by_hour) / (self.cells[cell][1] + 1), 1e-4)
        prior = 1 + PRIOR / (self.level() + 0.05)
        return max((self.cells[cell][0] + prior * self.whole.before) / (self.cells[cell][1] + prior), 1e-4)

    def update(self, cell, count):
        season = self.season(cell)
        if self.whole is None:
            by_hour = (self.days[cell % 24][0] + 1) / (self.days[cell % 24][1] + 1)
            self.before = (self.cells[cell][0] + by_hour) / (self.cells[cell][1] + 1)
        mean = self.level() * season
        self.past = [*self.past, (count, mean)][-SPANS[-1] :]
        sums = [tuple(sum(one[i] for one in self.past[-span:]) for i in (0, 1)) for span in SPANS]
        spread = [max(one, LEAST) for one in self.spread]
        told = [(total, max(expected, 1e-9), one) for (total, expected), one in zip(sums, spread, strict=True)]
        self.learn(cell, count, mean, season, sums, spread)
        self.seen += 1
        return told

    def learn(self, cell, count, mean, season, sums, spread):
        deviation = (mean + spread[0] * mean**2) ** 0.5
        side = (count > mean) - (count < mean) if abs(count - mean) > CUT * deviation + 1 else 0
        if side == 0:
            self.apart *= 0.5
        else:
            self.apart = side + (self.apart if self.apart * side > 0 else 0)
        used = count
        if abs(self.apart) <= self.accept and self.seen >= self.learn_h / 2:
            used = min(max(count, mean - CUT * deviation), mean + CUT * deviation)
        used = max(used, 0.0)
        self.counted = self.counted * self.decay + used
        self.season_sum = self.season_sum * self.decay + season
        ratio = used / max(self.level(), 0.02)
        self.cells[cell] = [self.cells[cell][0] * 0.9 + ratio, self.cells[cell][1] * 0.9 + 1]
        day = self.days[cell % 24]
        self.days[cell % 24] = [day[0] * 0.9 ** (1 / 7) + ratio, day[1] * 0.9 ** (1 / 7) + 1]
        for i, (total, expected) in enumerate(sums):
            expected = max(expected, 0.05)
            square = min((total - expected) ** 2, CUT**2 * (expected + spread[i] * expected**2))
            excess = (square - expected) / expected**2
            self.spread[i] = max(self.spread[i] + (excess - self.spread[i]) / min(self.seen + 1, 200), 0.0)
