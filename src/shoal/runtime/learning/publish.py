"""Publishing a fitted detector: its files become a record of the journal and are in force from there on.

Before it is written the model is verified against the pack in force, so that a record that is refused later can only
come of a change of the pack. No files withdraw a model. `published` reads back what was in force and when.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shoal.detectors.models.model import Model
from shoal.errors import InvalidInput, Problem, nearest_name
from shoal.runtime.deployment import Deployment
from shoal.runtime.engine import MODELS
from shoal.storage.frames import ControlFrame
from shoal.storage.journal import Journal


@dataclass(frozen=True)
class PublishedModel:
    """One record: `files` is empty where it withdraws the model."""

    seq: int
    as_of: int
    name: str
    identity: str
    files: Mapping[str, bytes]


def publish_model(deployment: Deployment, name: str, files: Mapping[str, bytes]) -> tuple[Model, int]:
    """Put a model in force; returns it and its record. One that is in force already writes nothing.

    Raises `InvalidInput`, `Corrupt` or `Unsupported` where it does not verify against the pack in force.
    """
    serving = deployment.running.models
    model = serving.verify(name, files)
    now = serving.in_force.get(name)
    if now is not None and now.model.identity == model.identity:
        return model, now.seq
    body = {"name": name, "identity": model.identity, "files": dict(files)}
    group = deployment.writer.control(MODELS, body)
    deployment.process(group)
    return model, group.last_seq


def withdraw_model(deployment: Deployment, name: str) -> int:
    """Take the model of this name out of force; returns its record. Raises `InvalidInput` where none is."""
    known = deployment.running.models.in_force
    if name not in known:
        message = f"no model {name!r} is in force"
        raise InvalidInput(Problem("model.none", message, allowed=", ".join(known), nearest=nearest_name(name, known)))
    group = deployment.writer.control(MODELS, {"name": name, "identity": "", "files": {}})
    deployment.process(group)
    return group.last_seq


def published(journal: Journal) -> list[PublishedModel]:
    """All records of models that the journal still holds, oldest first."""
    found = []
    for frame in journal.read():
        if isinstance(frame, ControlFrame) and frame.kind == MODELS:
            body = frame.body
            found.append(PublishedModel(frame.seq, frame.as_of, body["name"], body["identity"], body["files"]))
    return found
