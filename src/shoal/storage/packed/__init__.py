"""Packed event frames: columns that say little are stored as little."""
