"""Fresh deployments with a fixed key, so that runs can be compared."""

from collections.abc import Callable
from pathlib import Path

import pytest

KEY = "000102030405060708090a0b0c0d0e0f"


@pytest.fixture
def home_folder(tmp_path: Path) -> Callable[..., Path]:
    """Makes a deployment folder with the fixed key and the given settings."""

    def make(name: str, **settings: object) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "identity.key").write_text(KEY + "\n")
        (folder / "shoal.toml").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        return folder

    return make
