"""Packs as one file: written the same on every machine, read with suspicion, installed by name and version."""
