"""Unusual rows of a stream: each row is scored by what came before it, and then learned.

`RandomCutForest` is the plain class; the signal kind `stream_anomaly` (`signal.py`) is the same over event columns of
a pack. State is arrays of a fixed size, whatever the length of the stream. Knows no journal, pack or clock.
"""

from shoal.detectors.anomaly.streaming.forest import RandomCutForest

__all__ = ["RandomCutForest"]
