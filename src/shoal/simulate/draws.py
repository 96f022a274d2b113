"""Randomness that depends on nothing but the seed and a name: generators by (seed, part, day), and hashed numbers.

What is drawn for one part of the world never shifts what is drawn for another, so that adding an adversary leaves the
honest world as it was. The mixing function is splitmix64 (Steele, Lea and Flood, OOPSLA 2014), a bijection on 64 bits.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def generator(seed: int, *parts: int | str) -> np.random.Generator:
    """The generator of a named part of the world."""
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in parts]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *words])))


def mix(codes: npt.ArrayLike, salt: int = 0) -> Words:
    """splitmix64 of each code plus a salt: unique for unique codes under one salt."""
    x = np.asarray(codes).astype(np.int64).view(np.uint64)
    with np.errstate(over="ignore"):
        z = x + np.uint64((salt * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def unit(codes: npt.ArrayLike, salt: int = 0) -> Floats:
    """A number in [0, 1) that belongs to each code."""
    return (mix(codes, salt) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def pick(rng: np.random.Generator, weights: npt.ArrayLike, size: int) -> Ints:
    """`size` indices drawn by weight."""
    cumulated = np.cumsum(np.asarray(weights, dtype=np.float64))
    found: Ints = np.searchsorted(cumulated, rng.random(size) * cumulated[-1], side="right").astype(np.int64)
    return found


def ragged(counts: Ints) -> tuple[Ints, Ints]:
    """For groups of these sizes: the group of each member, and its place in the group."""
    counts = np.asarray(counts, dtype=np.int64)
    group = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    first = np.cumsum(counts) - counts
    return group, np.arange(len(group), dtype=np.int64) - first[group]


def running(values: Ints, counts: Ints) -> Ints:
    """Running sums of `values` inside consecutive groups of these sizes."""
    total = np.cumsum(values)
    counts = np.asarray(counts, dtype=np.int64)
    first = np.cumsum(counts) - counts
    before = np.where(first > 0, total[np.maximum(first, 1) - 1], 0) if len(total) else first
    out: Ints = total - np.repeat(before, counts)
    return out


def rank_within(keys: Ints) -> Ints:
    """How many earlier rows have the same key."""
    order = np.argsort(keys, kind="stable")
    arranged = keys[order]
    new = np.empty(len(keys), dtype=bool)
    new[:1] = True
    new[1:] = arranged[1:] != arranged[:-1]
    positions = np.arange(len(keys), dtype=np.int64)
    first = np.maximum.accumulate(np.where(new, positions, 0))
    out = np.empty(len(keys), dtype=np.int64)
    out[order] = positions - first
    return out


def lognormal_counts(rng: np.random.Generator, mean: float, sigma: float, size: int) -> Ints:
    """Counts with this mean whose rate is lognormal between members: a heavy tail."""
    if mean <= 0:
        return np.zeros(size, dtype=np.int64)
    rate = np.exp(rng.normal(np.log(mean) - sigma * sigma / 2, sigma, size))
    return rng.poisson(np.minimum(rate, 1e7)).astype(np.int64)


def median_counts(rng: np.random.Generator, median: float, sigma: float, size: int, least: int = 1) -> Ints:
    """Lognormal counts with this median."""
    return np.maximum(np.exp(rng.normal(np.log(max(median, 1e-9)), sigma, size)), least).astype(np.int64)


def micros(seconds: npt.ArrayLike) -> Ints:
    """Seconds as whole µs."""
    return (np.asarray(seconds, dtype=np.float64) * 1e6).astype(np.int64)
