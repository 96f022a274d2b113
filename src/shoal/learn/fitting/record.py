"""What a fit leaves in writing: where it comes from, how it was made, what it achieved, which inputs mattered.

Flat figures go into the model file, for whoever lists models; the rest onto the card.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from shoal.detectors.models.metadata import Metadata, Origin
from shoal.detectors.models.model import Model
from shoal.learn.evaluation.card import Importance, PartFigures
from shoal.learn.evaluation.figures import Estimate, Evaluation
from shoal.learn.fitting.calibrate import Choice
from shoal.learn.fitting.settings import FitSettings
from shoal.learn.fitting.split import Part, Split
from shoal.learn.fitting.trees import Grown
from shoal.learn.fitting.unlabelled import LabelShare
from shoal.learn.frame import TrainingFrame
from shoal.learn.targets import Targets

SHAP_ROWS = 1000


def with_figures(metadata: Metadata, evaluation: Evaluation) -> Metadata:
    """Metadata with the figures and slices of an evaluation, flat, for whoever lists models."""
    ranked = evaluation.model_ranked
    metrics: dict[str, float | None] = {}
    for name, one in (
        ("row_auroc", ranked.row_auroc),
        ("row_average_precision", ranked.row_average_precision),
        ("subject_auroc", ranked.subject_auroc),
        ("subject_average_precision", ranked.subject_average_precision),
        *((f"recall_at_{budget:g}", one) for budget, one in zip(ranked.budgets, ranked.recalls, strict=True)),
    ):
        metrics |= _flat(name, one)
    calibration = evaluation.calibration
    metrics |= {"calibration_error": calibration.error, "brier": calibration.brier, "log_loss": calibration.log_loss}
    for level in evaluation.levels:
        metrics |= {f"{level.name}_recall": level.recall.value, f"{level.name}_honest": level.honest.value}
    slices: list[dict[str, str | float | int | None]] = [
        {
            "name": one.name,
            "rows": one.rows,
            "subjects": one.subjects,
            "positive_subjects": one.positive_subjects,
            "recall": one.recall.value,
            "honest": one.honest.value,
        }
        for one in evaluation.slices
    ]
    return msgspec.structs.replace(metadata, metrics=metrics, slices=slices)


def _flat(name: str, one: Estimate) -> dict[str, float | None]:
    return {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}


def origin_of(frame: TrainingFrame, targets: Targets) -> Origin:
    """Pack, journal range and counts of the usable rows."""
    rows = targets.usable
    provenance = frame.provenance
    return Origin(
        provenance.pack,
        provenance.pack_version,
        provenance.pack_hash,
        int(provenance.first_seq),
        int(max(provenance.last_seq, provenance.first_seq)),
        targets.until_us,
        int(rows.sum()),
        int(targets.positive.sum()),
        len(np.unique(frame.subjects[rows])),
        len(np.unique(frame.subjects[targets.positive])),
    )


def protocol_of(
    targets: Targets,
    split: Split,
    settings: FitSettings,
    grown: Grown,
    choice: Choice,
    rates: Mapping[str, float],
    share: LabelShare | None,
) -> dict[str, str | float | int | bool]:
    """How it was made, flat."""
    found: dict[str, str | float | int | bool] = {
        "seed": settings.seed,
        "maturity_us": targets.maturity_us,
        "maturity_why": targets.why_maturity,
        "first_cut_us": split.cuts_us[0],
        "second_cut_us": split.cuts_us[1],
        "abusive_accounts": split.way,
        "trials": len(grown.losses) or 1,
        "trees": grown.count,
        "early_stopping": grown.stopped,
        "calibration_why": choice.why,
        "unlabelled": settings.unlabelled,
    }
    found |= {f"trees_{name}": value for name, value in grown.params.items()}
    found |= {f"sampled_{name.replace(' ', '_')}": value for name, value in rates.items()}
    found |= {f"calibration_log_loss_{name}": value for name, value in choice.log_loss.items()}
    if share is not None:
        found["label_share"] = share.share
    return found


def importance_of(frame: TrainingFrame, part: Part, model: Model, grown: Grown) -> list[Importance]:
    """Gain and mean |SHAP| by input, the latter over rows of the part spread by rank of their score."""
    raw = model.raw(np.ascontiguousarray(frame.x[part.rows]))
    order = np.argsort(raw, kind="stable")
    chosen = np.unique(np.linspace(0, len(order) - 1, min(SHAP_ROWS, len(order))).round().astype(np.int64))
    values = np.abs(model.contributions(frame.x[part.rows[np.sort(order[chosen])]])).mean(axis=0)
    gain = grown.gain / max(float(grown.gain.sum()), 1e-300)
    found = [
        Importance(one.name, one.description, float(gain[at]), float(values[at])) for at, one in enumerate(frame.inputs)
    ]
    return sorted(found, key=lambda one: (-one.shap, one.name))


def part_figures(role: str, frame: TrainingFrame, targets: Targets, part: Part) -> PartFigures:
    """The counts of one part."""
    rows, positive = part.rows, targets.positive[part.rows]
    times, subject = frame.time[rows], frame.subjects[rows]
    return PartFigures(
        role,
        int(times.min()),
        int(times.max()),
        len(rows),
        int(positive.sum()),
        len(np.unique(subject)),
        len(np.unique(subject[positive])),
    )
