"""Packs that build on packs: references, where they lead, and definitions laid over inherited ones."""
