"""Bursts in a stream of edges, counted exactly, a key at a time; and MIDAS-F as published, counted exactly."""

from __future__ import annotations

import math


class PlainBursts:
    """The twin of `EdgeBursts` without sketches: a dictionary for each of pairs, accounts and entities."""

    def __init__(self, tick_us, carry, spread, limit, least, half_life_ticks, warm_up):
        self.tick_us, self.carry, self.spread, self.limit, self.least = tick_us, carry, spread, limit, least
        self.keep = 0.5 ** (1 / half_life_ticks) if half_life_ticks else 1.0
        self.warm_up = warm_up
        self.now, self.sums = ({}, {}, {}), ({}, {}, {})
        self.tick = self.first = None
        self.past = 0.0

    def usual(self, sketch, key):
        return max(self.sums[sketch].get(key, 0.0) / self.past if self.past else 0.0, self.least)

    def end_tick(self, tick):
        steps, ready = tick - self.tick, self.tick - self.first >= self.warm_up
        for sketch in range(3):
            for key in {*self.now[sketch], *self.sums[sketch]}:
                usual, count = self.usual(sketch, key), self.now[sketch].get(key, 0.0)
                learned = (
                    min(count, usual + math.sqrt(self.limit * (usual + self.spread * usual**2))) if ready else count
                )
                left = count * self.carry**steps
                self.now[sketch][key] = left if left >= 2**-10 else 0.0
                self.sums[sketch][key] = (self.sums[sketch].get(key, 0.0) * self.keep + learned) * self.keep ** (
                    steps - 1
                )
        self.past = self.past * self.keep + 1.0
        for _ in range(steps - 1):
            self.past = self.past * self.keep + 1.0
        self.tick = tick

    def step(self, account, entity, time_us, learn=True):
        tick = time_us // self.tick_us
        event = learn and (self.tick is None or tick >= self.tick)
        if event and self.tick is None:
            self.tick = self.first = tick
        elif event and tick > self.tick:
            self.end_tick(tick)
        out = []
        for sketch, key in enumerate(((account, entity), account, entity)):
            count = self.now[sketch].get(key, 0.0) + 1.0
            if event:
                self.now[sketch][key] = count
            usual = self.usual(sketch, key)
            out.append(max(count - usual, 0.0) ** 2 / (usual + self.spread * usual**2))
        if self.tick is None or self.tick - self.first < self.warm_up:
            return [math.nan] * 3
        return out


class PublishedMidasF:
    """MIDAS-F (Bhatia et al., TKDD 2022): two-sided chi-squared of the running tick, conditional merge, decay."""

    def __init__(self, threshold=1000.0, decay=0.5):
        self.threshold, self.decay = threshold, decay
        self.now, self.total, self.tick = ({}, {}, {}), ({}, {}, {}), 1

    def score(self, sketch, key, tick):
        a, s = self.now[sketch].get(key, 0.0), self.total[sketch].get(key, 0.0)
        return 0.0 if s == 0.0 or tick <= 1 else (a + s - a * tick) ** 2 / (s * (tick - 1))

    def step(self, account, entity, tick):
        """`tick` counts from 1."""
        if tick > self.tick:
            for sketch in range(3):
                for key, count in self.now[sketch].items():
                    total = self.total[sketch].get(key, 0.0)
                    if self.score(sketch, key, self.tick) < self.threshold:
                        self.total[sketch][key] = total + count
                    elif self.tick > 1:
                        self.total[sketch][key] = total + total / (self.tick - 1)
                    self.now[sketch][key] = count * self.decay
            self.tick = tick
        scores = []
        for sketch, key in enumerate(((account, entity), account, entity)):
            self.now[sketch][key] = self.now[sketch].get(key, 0.0) + 1.0
            scores.append(self.score(sketch, key, tick))
        return max(scores)
