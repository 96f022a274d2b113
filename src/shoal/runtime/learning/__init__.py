"""Learning from a deployment: training frames by a replay of its journal, and models published into it."""
