"""Time as an injected part: `SystemClock` for programs, `FakeClock` (in `shoal.testing`) for tests.

Only `runtime`, `adapters` and `cli` may hold a clock; the centre takes times as data.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the rim reads the time."""

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start, never going back."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start, never going back."""
        return time.monotonic()
