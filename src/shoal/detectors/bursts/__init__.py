"""Bursts in streams of edges (account, entity): sudden company, as a plain class and as a signal."""

from shoal.detectors.bursts.stream import EdgeBursts as EdgeBursts
