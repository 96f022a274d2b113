"""Features: definitions, the exact window kernel and its state."""
