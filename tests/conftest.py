"""Puts `tests/` on the path, so that `oracles.<name>` can be imported."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
