"""Fit a detector: targets, split, trees, calibration, levels.

`fit.fit` does all of it in one call; the parts are for notebooks. Nothing here reads a clock or draws an unseeded
number: the same frame, labels and settings give the same bytes.
"""
