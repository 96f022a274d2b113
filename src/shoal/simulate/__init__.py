"""Simulate: a service, its users and its adversaries, as events with ground truth."""
