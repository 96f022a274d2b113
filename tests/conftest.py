"""Puts `tests/` on the path, so that the slow twins are importable as `oracles.<name>`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
