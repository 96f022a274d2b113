"""Signals and fitted detectors in a pack: reading their YAML, and checking the names and kinds that they refer to."""
