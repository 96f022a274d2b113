"""The card of a model: what a reader needs to trust it or not, as plain data with a format and a version.

Data, protocol, figures with intervals, slices, calibration, importance, and limits in words. The limits are made from
the facts, not written by hand, so that a weak model cannot have a strong card. `reports.card` draws it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from shoal.detectors.models.metadata import Level, Metadata
from shoal.errors import InvalidInput, Problem, Unsupported
from shoal.learn.cohorts import DAY_US
from shoal.learn.evaluation.figures import AtThreshold, Evaluation, SliceFigures

CARD_FORMAT, CARD_VERSION = "shoal.card", 1
CARD_FILE = "card.json"
DOMINANT = 0.5
"""An input with more of the gain than this carries the model alone."""


@dataclass(frozen=True)
class Importance:
    """One input: its share of the trees' gain, and the mean of |SHAP| over rows (in raw sums)."""

    name: str
    description: str
    gain: float
    shap: float


@dataclass(frozen=True)
class PartFigures:
    """One part of the protocol: what it was for, when its rows are from, how many."""

    role: str
    first_us: int
    last_us: int
    rows: int
    positive_rows: int
    subjects: int
    positive_subjects: int


@dataclass(frozen=True)
class Card:
    """All that the card shows; `metadata` are those of the model file, `model` its identity. `shadowed`: whether the
    figures are of rows that also calibrated the model, for want of later ones."""

    format: str
    version: int
    model: str
    metadata: Metadata
    description: str
    evaluation: Evaluation
    parts: list[PartFigures]
    importance: list[Importance]
    constant: list[str]
    notes: list[str]
    limits: list[str]
    calibration_choice: dict[str, float] = field(default_factory=dict)


def encode(card: Card) -> bytes:
    """The card as JSON."""
    return msgspec.json.format(msgspec.json.encode(card), indent=1)


def decode(data: bytes) -> Card:
    """The card in JSON bytes. Raises `InvalidInput` (`card.format`), `Unsupported` for another version."""

    class Head(msgspec.Struct):
        format: str
        version: int

    try:
        head = msgspec.json.decode(data, type=Head)
        if head.format != CARD_FORMAT:
            raise InvalidInput(Problem("card.format", f"this is a {head.format!r}", allowed=CARD_FORMAT))
        if head.version != CARD_VERSION:
            raise Unsupported(f"{CARD_FORMAT} version {head.version}; this release reads {CARD_VERSION}")
        return msgspec.json.decode(data, type=Card)
    except msgspec.DecodeError as error:
        raise InvalidInput(Problem("card.format", f"the card cannot be read: {error}")) from error


def limits_of(
    metadata: Metadata, evaluation: Evaluation, importance: Iterable[Importance], presumed_share: float
) -> list[str]:
    """What the model's user must know, from the facts."""
    found = [_labels_limit(presumed_share), *_few(evaluation), *_promises(metadata.levels, evaluation.levels)]
    found += _calibration_limit(evaluation)
    found += _slices(evaluation.slices, evaluation)
    found += _baselines(evaluation)
    top = max(importance, key=lambda one: one.gain, default=None)
    if top is not None and top.gain > DOMINANT:
        found.append(
            f"{top.gain:.0%} of the trees' gain comes from {top.name}: whoever can fake or avoid it avoids the model."
        )
    span = (evaluation.last_us - evaluation.first_us) / DAY_US
    if span < 7:
        found.append(f"The rows judged span {span:.1f} days: no week, month or season was seen to its end.")
    found.append("Abuse of a kind that nobody has labelled is not what the model looks for; other detectors are.")
    return found


def _labels_limit(presumed: float) -> str:
    return (
        f"{presumed:.1%} of the negative rows are presumed: nobody reported them in time. Recall is of reported abuse; "
        "abuse among the presumed makes precision and honest rates look worse than they are."
    )


def _few(evaluation: Evaluation) -> list[str]:
    if evaluation.positive_subjects >= 100:
        return []
    return [f"It was judged on {evaluation.positive_subjects} abusive subjects: intervals are wide, read them first."]


def _promises(levels: Iterable[Level], judged: Iterable[AtThreshold]) -> list[str]:
    found, by_name = [], {one.name: one for one in judged}
    for level in levels:
        if level.high > level.budget:
            found.append(
                f"Level {level.name}: its budget of {level.budget:g} honest subjects per 10,000 and week is not "
                f"proven; up to {level.high:.3g} are possible."
            )
        one = by_name.get(level.name)
        if one is not None and one.honest.low > level.budget:
            found.append(
                f"Level {level.name} broke its budget of {level.budget:g} on the rows judged: "
                f"{one.honest.value or 0:.3g} ({one.honest.low:.3g} to {one.honest.high:.3g}) honest subjects per "
                "10,000 and week."
            )
    return found


def _calibration_limit(evaluation: Evaluation) -> list[str]:
    figures = evaluation.calibration
    if figures.observed.low <= figures.expected <= figures.observed.high:
        return []
    word = "more" if figures.expected < figures.observed.low else "less"
    return [
        f"Scores are off on the rows judged: {figures.observed.value or 0:.3%} of rows were abusive "
        f"({figures.observed.low:.3%} to {figures.observed.high:.3%}), {word} than the {figures.expected:.3%} expected."
    ]


def _slices(slices: Iterable[SliceFigures], evaluation: Evaluation) -> list[str]:
    found, level = [], next((one for one in evaluation.levels if one.name == evaluation.slice_level), None)
    empty = [one.name for one in slices if one.positive_subjects == 0]
    if empty:
        found.append(f"Without an abusive subject, so that recall is unknown there: {', '.join(empty)}.")
    for one in slices:
        if level is None:
            break
        if one.honest.low > max(level.honest.high, level.budget or 0.0):
            found.append(
                f"{one.name.capitalize()}: honest subjects reach {level.name} more often than others "
                f"({one.honest.value or 0:.3g} per 10,000 and week, against {level.honest.value or 0:.3g})."
            )
        if one.positive_subjects >= 10 and one.recall.high < level.recall.low:
            found.append(
                f"{one.name.capitalize()}: fewer abusive subjects are caught ({one.recall.value or 0:.0%}, "
                f"against {level.recall.value or 0:.0%})."
            )
    return found


def _baselines(evaluation: Evaluation) -> list[str]:
    found, ours = [], evaluation.model_ranked.subject_average_precision
    for one in evaluation.ranked[1:]:
        theirs = one.subject_average_precision
        if ours.value is not None and theirs.value is not None and (ours.low or 0.0) < theirs.value:
            found.append(
                f"It does not clearly beat the {one.name}: average precision by subject {ours.value:.2f} "
                f"({ours.low or 0:.2f} to {ours.high or 0:.2f}) against {theirs.value:.2f}."
            )
    return found
