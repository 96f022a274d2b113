"""What all tests share: the oracles on the path, and where the real data lies."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, os.path.dirname(__file__))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data; the test is skipped, loudly, where it is absent."""
    folder = Path(os.environ.get("SHOAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set SHOAL_DATA to the folder that holds it")
    return folder
