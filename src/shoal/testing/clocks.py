"""`FakeClock`: time that a test moves by hand."""

from __future__ import annotations


class FakeClock:
    """A clock that a test moves by hand."""

    def __init__(self, now_us: int = 1_700_000_000_000_000) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        """The time it was set to."""
        return self._now_us

    def monotonic_s(self) -> float:
        """The same in seconds."""
        return self._now_us / 1e6

    def advance(self, seconds: float) -> None:
        """Move forward."""
        self._now_us += round(seconds * 1e6)
