"""Benchmarks: `python -m benchmarks.NAME [--quick]`; keys and goals are in the project's benchmark page."""
