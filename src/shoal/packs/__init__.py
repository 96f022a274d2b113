"""Packs: what a team edits (features, rules, policy, lists), read, validated and compiled."""
