"""Public fakes and checks for tests of Shoal and of what is built on it."""

from shoal.testing.clocks import FakeClock
from shoal.testing.sources import IDLE, MemorySource

__all__ = ["IDLE", "FakeClock", "MemorySource"]
