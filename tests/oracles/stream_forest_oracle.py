"""A random cut forest over a stream, written plainly: lists, nested trees, Python numbers.

The same random numbers in the same order as the fast one, so that scores agree bit for bit.
"""

from __future__ import annotations

import math

import numpy as np

MASK = (1 << 64) - 1
SAMPLE, BINS = 256, 1024


class Chance:
    """SplitMix64."""

    def __init__(self, seed):
        self.state = seed

    def draw(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return ((z ^ (z >> 31)) >> 11) / 2**53


def further(count):
    if count <= 1:
        return 0.0
    if count == 2:
        return 1.0
    return 2.0 * (math.log(count - 1.0) + 0.5772156649015329) - 2.0 * (count - 1.0) / count


class PlainForest:
    """Rows in, scores and tails out, one row at a time."""

    def __init__(self, columns, trees, depth, window, warm_up, seed):
        self.columns, self.depth, self.window, self.warm_up = columns, depth, window, warm_up
        self.chance, self.early, self.ring = Chance(seed), [], []
        self.trees, self.count, self.turn = [None] * trees, 0, 0
        self.scores, self.reference = [], None

    def update(self, row, learn=True):
        if not all(math.isfinite(value) for value in row):
            return math.nan, math.nan
        if len(self.early) < self.warm_up:
            if learn:
                self.early.append(row)
                if len(self.early) == self.warm_up:
                    self.begin()
            return math.nan, math.nan
        scaled = self.scale(row)
        score = math.exp(-0.6931471805599453 * self.mean(scaled))
        tail = math.nan
        if self.reference is not None:
            above = sum(min(int(s * BINS), BINS - 1) >= min(int(score * BINS), BINS - 1) for s in self.reference)
            tail = (1 + above) / (len(self.reference) + 1)
        if learn:
            self.learn(scaled, score)
        return score, tail

    def begin(self):
        early = np.array(self.early)
        low, self.centre, high = np.quantile(early, [0.25, 0.5, 0.75], axis=0)
        largest = np.maximum(np.abs(early).max(axis=0), 1e-300)
        self.unit = []
        for j in range(self.columns):
            unit = high[j] - low[j] or (early / largest).std(axis=0)[j] * largest[j]
            self.unit.append(1.0 if len(set(early[:, j])) == 1 or unit == 0 else unit)
        self.ring = [self.scale(row) for row in self.early][-self.window :]
        self.count = len(self.early)
        self.trees = [self.new_tree() for _ in self.trees]

    def scale(self, row):
        out = []
        for value, centre, unit in zip(row, self.centre, self.unit, strict=True):
            z = min(max((value - centre) / unit, -1e9), 1e9)
            out.append(z / (1.0 + abs(z)))
        return out

    def learn(self, scaled, score):
        self.scores.append(score)
        if len(self.scores) == self.window:
            self.reference, self.scores = self.scores, []
        if len(self.ring) < self.window:
            self.ring.append(scaled)
        else:
            self.ring[self.count % self.window] = scaled
        self.count += 1
        if self.count <= self.window and self.count.bit_count() == 1:
            self.trees = [self.new_tree() for _ in self.trees]
        elif self.count % (self.window // len(self.trees)) == 0:
            self.trees[self.turn] = self.new_tree()
            self.turn = (self.turn + 1) % len(self.trees)

    def new_tree(self):
        places = list(range(len(self.ring)))
        size = min(SAMPLE, len(places))
        for i in range(size):
            j = i + int(self.chance.draw() * (len(places) - i))
            places[i], places[j] = places[j], places[i]
        rows = [self.ring[i] for i in places[:size]]
        box = [(min(column), max(column)) for column in zip(*rows, strict=True)]
        return box, self.grow(rows, 0, further(size))

    def grow(self, rows, level, usual):
        spans = [(min(column), max(column)) for column in zip(*rows, strict=True)]
        total = sum(high - low for low, high in spans)
        if len(rows) == 1 or level == self.depth or total <= 0:
            return (level + further(len(rows))) / usual
        mark = self.chance.draw() * total
        for j, (low, high) in enumerate(spans):
            if high > low:
                chosen = j
                if mark < high - low:
                    break
                mark -= high - low
        low, high = spans[chosen]
        cut = low + (high - low) * self.chance.draw()
        cut = high if cut <= low else cut
        right = self.grow([row for row in rows if row[chosen] >= cut], level + 1, usual)
        left = self.grow([row for row in rows if row[chosen] < cut], level + 1, usual)
        return chosen, cut, low, high, level / usual, left, right

    def mean(self, row):
        total = 0.0
        for box, tree in self.trees:
            away = sum(max(low - value, value - high, 0.0) for value, (low, high) in zip(row, box, strict=True))
            reach = 1.0 - (away / (away + sum(high - low for low, high in box)) if away else 0.0)
            node = tree
            while isinstance(node, tuple):
                chosen, cut, low, high, depth, left, right = node
                away = max(low - row[chosen], row[chosen] - high)
                if away > 0:
                    odds = away / (away + high - low)
                    total += reach * odds * depth
                    reach *= 1.0 - odds
                node = right if row[chosen] >= cut else left
            total += reach * node
        return total / len(self.trees)
