"""The kinds of signals by name: what a pack may write as `kind:`. A new kind is one line here."""

from __future__ import annotations

from collections.abc import Mapping

from shoal.detectors.signals import Signal
from shoal.detectors.takeover.segments import LoginSegments

KINDS: Mapping[str, type[Signal]] = {
    LoginSegments.kind: LoginSegments,
}
