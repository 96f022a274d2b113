"""One call from a frame and labels to a model: targets, split, trees, calibration, levels, judgement, card.

What cannot be done is refused before anything is fitted, with all problems together; what can be done another way is,
and said in `Fitted.notes`, on the card and in the model's protocol. `made_at` is given, since nothing here reads a
clock; the same frame, labels, settings and `made_at` give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.detectors.models.metadata import MODEL_FORMAT, MODEL_VERSION, Metadata
from shoal.detectors.models.model import Model, write_model
from shoal.detectors.models.trees import Trees
from shoal.errors import InvalidInput, Problem, Where
from shoal.learn.evaluation.baselines import Baselines
from shoal.learn.evaluation.card import CARD_FORMAT, CARD_VERSION, Card, limits_of
from shoal.learn.evaluation.evaluate import judge_rows
from shoal.learn.evaluation.figures import Evaluation
from shoal.learn.evaluation.rates import cells_of
from shoal.learn.fitting.calibrate import Choice, apply, fit_calibration, points_of
from shoal.learn.fitting.levels import fit_levels
from shoal.learn.fitting.record import importance_of, origin_of, part_figures, protocol_of, with_figures
from shoal.learn.fitting.reference import describe_inputs, edges_of, shares_of
from shoal.learn.fitting.sample import class_weight_of, sample_honest, weighed
from shoal.learn.fitting.settings import (
    MIN_HONEST_SUBJECTS,
    MIN_POSITIVE_ROWS,
    MIN_POSITIVE_SUBJECTS,
    MIN_ROWS,
    MIN_TO_FIT,
    MIN_TO_STOP,
    FitSettings,
)
from shoal.learn.fitting.split import ROLES, Part, Split, abusive_rows, split_frame
from shoal.learn.fitting.trees import Grown, Sample, grow
from shoal.learn.fitting.unlabelled import LEAST_ACCOUNTS, LabelShare, correct, estimate_label_share, weigh_unlabelled
from shoal.learn.frame import Bools, Floats, TrainingFrame
from shoal.learn.targets import Targets, read_targets


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a fit gives. `files`: name → bytes, as `Model.read` takes them; `evaluation` is of the test part (of the
    part that calibrated where the test part has one class only, which `notes` then say)."""

    files: Mapping[str, bytes]
    model: Model
    evaluation: Evaluation
    card: Card
    notes: tuple[str, ...]
    targets: Targets
    split: Split

    @property
    def metadata(self) -> Metadata:
        """What the model file says of itself."""
        return self.model.metadata


def fit(
    frame: TrainingFrame,
    labels: pa.Table | Iterable[Mapping[str, Any]],
    *,
    until_us: int,
    made_at: str,
    settings: FitSettings | None = None,
) -> Fitted:
    """Fit the detector of `frame.definition` to labels known by `until_us` (µs UTC). `made_at`: ISO 8601 with a zone.

    Raises `InvalidInput` with all problems: `fit.too_few_rows`, `fit.one_class`, `fit.too_few_positives`,
    `fit.too_few_honest`, `fit.constant`, `fit.made_at`, `fit.positives_in_time`, and as `read_targets`, `split_frame`,
    `fit_levels`. Seconds for 10,000 rows, a minute for a million.
    """
    settings = settings or FitSettings()
    targets = read_targets(frame, labels, until_us, maturity_us=settings.maturity_us, lead_us=settings.lead_us)
    _refuse(frame, targets, made_at)
    notes = [] if not frame.infinite else [f"infinite values read as unknown: {dict(frame.infinite)}"]
    split, judged_by = _split(frame, targets, settings, notes)
    part, rates = sample_honest(frame, targets, split["fit"], settings)
    constant = _constant(frame, part, notes)
    grown, share = _grow(frame, targets, part, split, constant, settings, notes, judged_by)
    trees = _trees(frame, grown)

    def raw_of(one: Part) -> Floats:
        return trees.raw(np.ascontiguousarray(frame.x[one.rows]))

    held = split["calibrate"]
    raw = raw_of(held)
    calibration, choice = fit_calibration(
        raw, targets.positive[held.rows], held.weight, frame.groups[held.rows], method=settings.method
    )
    if share is not None:
        calibration = correct(calibration, share.share)
    honest = split.honest.rows
    cells = cells_of(
        raw_of(split.honest), split.honest.weight, frame.subjects[honest], frame.time[honest], ~targets.positive[honest]
    )
    levels, said = fit_levels(cells, frame.definition.budgets, raw, assured=settings.assured)
    notes += said
    baselines = Baselines.fit(
        frame.x[part.rows], targets.positive[part.rows], part.weight, frame.definition.inputs, settings.seed
    )
    edges = edges_of(raw, held.weight)
    metadata = Metadata(
        MODEL_FORMAT,
        MODEL_VERSION,
        frame.definition.id,
        frame.definition.threat,
        made_at,
        frame.definition.hash,
        frame.definition.on,
        frame.definition.subject,
        list(frame.definition.labels),
        describe_inputs(frame.inputs, *_reference_rows(frame, targets)),
        calibration,
        levels,
        origin_of(frame, targets),
        protocol_of(targets, split, settings, grown, choice, rates, share),
        {},
        edges.tolist(),
        shares_of(raw, held.weight, edges).tolist(),
        {},
    )
    return _finish(frame, targets, split, grown, metadata, choice, baselines, constant, notes, settings)


def _finish(
    frame: TrainingFrame,
    targets: Targets,
    split: Split,
    grown: Grown,
    metadata: Metadata,
    choice: Choice,
    baselines: Baselines,
    constant: Bools,
    notes: list[str],
    settings: FitSettings,
) -> Fitted:
    """Judge a first writing of the model, then write it again with its figures in it."""
    draft = Model.read(write_model(grown.text, metadata), metadata.name)
    test = split["test"]
    if len(np.unique(targets.positive[test.rows])) < 2:
        test = split["calibrate"]
        notes.append("the test part has one class only: figures are of the part that calibrated, and flattered")
    evaluation = judge_rows(
        draft, frame, targets, test.rows, test.weight, baselines=baselines, notes=notes, seed=settings.seed
    )
    whole = with_figures(metadata, evaluation)
    files = write_model(grown.text, whole)
    model = Model.read(files, metadata.name)
    evaluation = replace(evaluation, model=model.identity)
    importance = importance_of(frame, split["calibrate"], model, grown)
    negative = targets.usable & ~targets.positive
    presumed = float(targets.presumed.sum() / max(1, negative.sum()))
    names = [one.name for one, flat in zip(frame.inputs, constant, strict=True) if flat]
    card = Card(
        CARD_FORMAT,
        CARD_VERSION,
        model.identity,
        whole,
        frame.definition.description,
        evaluation,
        [part_figures(role, frame, targets, split[role]) for role in ROLES if len(split[role].rows)],
        importance,
        names,
        list(notes),
        limits_of(whole, evaluation, importance, presumed),
        choice.log_loss,
    )
    return Fitted(files, model, evaluation, card, tuple(notes), targets, split)


def _refuse(frame: TrainingFrame, targets: Targets, made_at: str) -> None:
    rows = targets.usable
    positive = targets.positive & rows
    subjects = len(np.unique(frame.subjects[rows]))
    abusive = len(np.unique(frame.subjects[positive]))
    hint = "; ".join(targets.words())
    counts = (
        ("fit.too_few_rows", int(rows.sum()), MIN_ROWS, "usable rows"),
        ("fit.too_few_positives", int(positive.sum()), MIN_POSITIVE_ROWS, "positive rows"),
        ("fit.too_few_positives", abusive, MIN_POSITIVE_SUBJECTS, "subjects with a positive row"),
        ("fit.too_few_honest", subjects - abusive, MIN_HONEST_SUBJECTS, "subjects without one"),
    )
    problems = [
        Problem(slug, f"{frame.definition.id!r}: {count:,} {what}", allowed=f"{least:,} or more", hint=hint)
        for slug, count, least, what in counts
        if count < least
    ]
    if rows.any() and (not positive.any() or positive[rows].all()):
        which = "no row is positive" if not positive.any() else "every row is positive"
        problems.insert(0, Problem("fit.one_class", f"{frame.definition.id!r}: {which}", hint=hint))
    try:
        zoned = datetime.fromisoformat(made_at).tzinfo is not None
    except ValueError:
        zoned = False
    if not zoned:
        problems.append(Problem("fit.made_at", f"{made_at!r} is no time", allowed="ISO 8601 with a time zone"))
    x = frame.x[rows]
    if len(x) and not any(_varies(column) for column in x.T):
        problems.append(Problem("fit.constant", f"{frame.definition.id!r}: no input ever changes"))
    if problems:
        raise InvalidInput(problems)


def _split(frame: TrainingFrame, targets: Targets, settings: FitSettings, notes: list[str]) -> tuple[Split, bool]:
    """The split, and whether a part can judge trees."""
    split = split_frame(frame, targets, settings.seed)

    def abusive(role: str) -> int:
        rows = split[role].rows
        return len(np.unique(frame.subjects[rows][targets.positive[rows]]))

    judged_by = abusive("stop") >= MIN_TO_STOP and (~targets.positive[split["stop"].rows]).any()
    if not judged_by:
        notes.append(
            f"{abusive('stop')} abusive subjects to stop by are too few: the trees have default settings and a fixed "
            "number, and those subjects calibrate"
        )
        split = split.without_stop(abusive_rows(frame, targets))
    counts = {role: abusive(role) for role in ROLES}
    if counts["fit"] < MIN_TO_FIT or not counts["calibrate"] or targets.positive[split["calibrate"].rows].all():
        said = ", ".join(f"{role} {count}" for role, count in counts.items())
        raise InvalidInput(
            Problem(
                "fit.positives_in_time",
                f"{frame.definition.id!r}: abusive subjects cannot be divided by time and account: {said}",
                allowed=f"{MIN_TO_FIT} or more to fit, one or more to calibrate, honest ones in both",
                hint="a longer history, more labels, or a shorter maturity window",
            )
        )
    return split, bool(judged_by)


def _constant(frame: TrainingFrame, part: Part, notes: list[str]) -> Bools:
    x = frame.x[part.rows]
    constant = np.array([not _varies(column) for column in x.T])
    names = [one.name for one, flat in zip(frame.inputs, constant, strict=True) if flat]
    if constant.all():
        raise InvalidInput(Problem("fit.constant", f"{frame.definition.id!r}: no input changes among the rows to fit"))
    if names:
        notes.append(f"constant among the rows to fit, so in no tree: {', '.join(names)}")
    return constant


def _varies(column: Floats) -> bool:
    missing = np.isnan(column)
    known = column[~missing]
    return bool(len(known) and (missing.any() or (known != known[0]).any()))


def _grow(
    frame: TrainingFrame,
    targets: Targets,
    part: Part,
    split: Split,
    constant: Bools,
    settings: FitSettings,
    notes: list[str],
    judged_by: bool,
) -> tuple[Grown, LabelShare | None]:
    factor = class_weight_of(frame, targets, part)
    sample = weighed(frame, targets, part, factor)
    stop = weighed(frame, targets, split["stop"], factor) if judged_by else None
    monotone = [frame.definition.monotone.get(one.name, 0) for one in frame.inputs]
    grown = grow(sample, stop, monotone, constant, settings)
    if settings.unlabelled == "negative":
        return grown, None
    share = _label_share(frame, targets, split, grown, settings, notes)
    if share is None:
        return grown, None
    labelled = _labelled_chance(frame, targets, split["calibrate"], grown)

    def split_weights(one: Sample, rows: Any) -> Sample:
        return weigh_unlabelled(one, targets.presumed[rows], labelled(one.x), share.share)

    sample = split_weights(sample, part.rows)
    if stop is not None:
        stop = split_weights(stop, split["stop"].rows)
    return grow(sample, stop, monotone, constant, settings), share


def _label_share(
    frame: TrainingFrame, targets: Targets, split: Split, grown: Grown, settings: FitSettings, notes: list[str]
) -> LabelShare | None:
    """The share of abusive rows that are labelled, as given or estimated; None where neither can be."""
    if settings.label_share is not None:
        notes.append(f"corrected for abuse without a label: {settings.label_share:.1%} is labelled, as given")
        return LabelShare(settings.label_share, 0)
    rows = np.concatenate([split["stop"].rows, split["calibrate"].rows])
    weight = np.concatenate([split["stop"].weight, split["calibrate"].weight])
    known = len(np.unique(frame.groups[rows[targets.positive[rows]]]))
    if known < LEAST_ACCOUNTS:
        notes.append(
            f"not corrected for abuse without a label: {known} labelled accounts held out are too few to estimate its "
            f"share ({LEAST_ACCOUNTS} are needed); give label_share"
        )
        return None
    maybe = targets.positive[rows] | targets.presumed[rows]
    raw = _trees(frame, grown).raw(np.ascontiguousarray(frame.x[rows[maybe]]))
    share = estimate_label_share(raw, targets.positive[rows[maybe]], weight[maybe])
    notes.append(
        f"corrected for abuse without a label: {share.share:.1%} is taken to be labelled, estimated from "
        f"{share.rows:,} labelled rows at the top of the list"
    )
    return share


def _trees(frame: TrainingFrame, grown: Grown) -> Trees:
    """The trees as they will be served: the one scorer adds them up, here too."""
    return Trees.read(grown.text.encode(), Where(frame.definition.id))


def _labelled_chance(frame: TrainingFrame, targets: Targets, held: Part, grown: Grown) -> Any:
    """P(labelled | x) of rows, from the first trees calibrated on rows that they have not seen."""
    trees = _trees(frame, grown)
    raw = trees.raw(np.ascontiguousarray(frame.x[held.rows]))
    points = points_of(
        "sigmoid", raw, targets.positive[held.rows], held.weight / held.weight.mean(), frame.groups[held.rows]
    )
    return lambda x: apply(points, trees.raw(np.ascontiguousarray(x)))


def _reference_rows(frame: TrainingFrame, targets: Targets) -> tuple[Floats, Floats, Bools]:
    """Rows that monitoring compares with: all up to `until`, as the service weighs them; honest ones among them."""
    rows = np.flatnonzero(frame.time <= targets.until_us)
    return frame.x[rows], frame.weight[rows], targets.usable[rows] & ~targets.positive[rows]
