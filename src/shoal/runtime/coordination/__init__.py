"""Coordination on a deployment: from its journal to campaigns, published into it, shown and explained."""
