"""Benchmarks: `python -m benchmarks.NAME`; names, keys and goals are in BENCHMARKS.md."""
