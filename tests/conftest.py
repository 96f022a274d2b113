"""What all tests share: the oracles on the path, and where the real data lies."""

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import servers

_numbers = itertools.count()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real data; the test is skipped, loudly, where it is absent."""
    folder = Path(os.environ.get("SHOAL_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set SHOAL_DATA to the folder that holds it")
    return folder


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL server, started for this session; for tests marked `extras`."""
    with servers.postgres() as url:
        yield url


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of this test's own."""
    with servers.postgres_database(postgres_url, f"shoal_test_{os.getpid()}_{next(_numbers)}") as url:
        yield url
