"""Judging a policy: on scenarios with expectations, in the closed loop of a world that reacts, and on history."""
