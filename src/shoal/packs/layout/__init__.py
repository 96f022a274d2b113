"""The canonical layout of a pack's files: what `shoal pack fmt` writes."""
