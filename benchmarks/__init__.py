"""Benchmarks: `python -m benchmarks.NAME [--quick] [--data DIR] [--dump DIR]`; each ends with one line of JSON."""
