"""Shoal detects and stops account abuse on services where people keep and share files.

One journal of events, one engine over it; see docs/architecture.md for the journey of one login through the house.
"""

__version__ = "0.1.0"
