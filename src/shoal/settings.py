"""Settings: the documented knobs of one deployment, validated at the border.

Read once, when a deployment is opened, from `shoal.toml` in its folder (unknown keys are refused); everything has a
default that is right on a laptop. The identity key has a file of its own. `store_url` may hold a password: it is never
shown, and `SHOAL_STORE_URL` in the environment takes its place, so that it need not stand in a file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from shoal.errors import InvalidInput, Problem, Where, nearest_name


class Settings(BaseModel):
    """The knobs of one deployment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_rows: int = Field(32_768, ge=1, le=1_048_576, description="rows decided and committed together")
    skew_s: float = Field(300.0, ge=0, description="how far a live event's time may lie ahead of its receipt")
    dedupe_horizon_s: float = Field(72 * 3600.0, ge=0, description="how long an event id is remembered (journal time)")
    segment_bytes: int = Field(256 << 20, ge=64 << 10, description="size at which a journal segment is sealed")
    snapshot_rows: int = Field(
        250_000, ge=1, description="events between two snapshots of the engine's state (more where the state is large)"
    )
    warm_up_rows: int = Field(
        20_000_000, ge=0, description="a new pack replays at most so many records; with more, new features are partial"
    )
    retention_s: float = Field(0, ge=0, description="how long the journal is kept, applied when a run ends; 0: always")
    sample_one_in: int = Field(256, ge=1, description="share of `allow` decisions whose features are stored")
    sort_memory_bytes: int = Field(2 << 30, ge=16 << 20, description="memory for sorting a finite file by time")
    merge_wait_s: float = Field(2.0, ge=0, le=3600, description="how long a stream's record waits for earlier ones")
    merge_rows: int = Field(200_000, ge=1, description="records held while they wait; more are released early")
    tick_s: float = Field(60.0, ge=0, description="an idle stream moves the journal's time so often; 0: never")
    revise_horizon_s: float = Field(
        24 * 3600.0, ge=0, description="how long a provisional decision may be revised (journal time)"
    )
    revise_open: int = Field(50_000, ge=1, description="provisional decisions that are kept open; the oldest go")
    part_check_s: float = Field(30.0, gt=0, description="how often a followed stream tries tables that are missing")
    store_url: SecretStr = Field(
        SecretStr(""), description="database of the store: a path, sqlite:///… or postgresql://…; empty: store.sqlite"
    )
    enrichment: tuple[str, ...] = Field((), description="MMDB files and CSVs of ranges used by the writer")

    @model_validator(mode="after")
    def _retention_covers_duplicates(self) -> Settings:
        if 0 < self.retention_s < self.dedupe_horizon_s:
            raise ValueError(
                f"retention_s is {self.retention_s:.0f}, shorter than the {self.dedupe_horizon_s:.0f} s "
                "(dedupe_horizon_s) for which duplicates are known by the journal"
            )
        return self


FROM_ENVIRONMENT = {"SHOAL_STORE_URL": "store_url"}
"""Variable → the setting that it overrides."""


def read_settings(path: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read `path` (TOML) if it exists, else the defaults; then what the environment overrides.

    Raises `InvalidInput` with every problem of the file.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        given |= {name: environment[variable] for variable, name in FROM_ENVIRONMENT.items() if variable in environment}
        return Settings.model_validate(given)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(Problem("settings.syntax", str(error), Where(str(path)))) from error
    except ValidationError as error:
        raise InvalidInput([_problem(path, detail) for detail in error.errors()]) from error


def _problem(path: Path, detail: object) -> Problem:
    assert isinstance(detail, dict)
    name = ".".join(str(part) for part in detail["loc"])
    near = nearest_name(name, Settings.model_fields) if detail["type"] == "extra_forbidden" else ""
    return Problem("settings.value", str(detail["msg"]), Where(str(path), path=name), nearest=near)
