"""Writers (being written)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa


def write_native(table: pa.Table) -> bytes:
    """The events as native NDJSON; columns whose value is null are left out of a row's line."""
    raise NotImplementedError


def ocsf_detection_finding(finding: Mapping[str, Any]) -> dict[str, Any]:
    """An OCSF Detection Finding (class 2004) of a finding."""
    raise NotImplementedError
