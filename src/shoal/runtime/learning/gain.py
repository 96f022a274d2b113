"""What learning adds to rules: the same stretch decided without models, and both compared at equal cost to the honest.

The journal from a position on is decided again by the engine of the snapshot there, with the records of models left
out; what the rules alone would have decided stands beside what was decided. A detector on its own is then cut where it
touches as many honest subjects as the rules of its threat do. Knows no simulator: labels are given. Writes nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.detectors.models.model import Model
from shoal.errors import Permanent
from shoal.learn.frame import TrainingFrame
from shoal.policy.definitions import Tier
from shoal.runtime.commit import rows_of
from shoal.runtime.engine import MODELS
from shoal.runtime.home import Home
from shoal.runtime.keep.history import History
from shoal.runtime.learning.frames import Gathering, chosen_models
from shoal.runtime.review.scoring import Touch
from shoal.storage.journal import Journal


@dataclass(frozen=True)
class Alone:
    """The stretch as the rules alone decide it, the rows of each detector in it, and the seqs of events of attacks."""

    touches: list[Touch]
    frames: Mapping[str, TrainingFrame]
    attack_seqs: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Gain:
    """One detector and one kind of abuse over the judged stretch: labelled subjects, and how many of them were caught
    by the rules of its threat, by the detector where it touches as many honest subjects (`honest`) as they do, and by
    both together, as it was decided (which touched `honest_both`)."""

    detector: str
    kind: str
    subjects: int
    rules: int
    detector_alone: int
    both: int
    honest: int
    honest_both: int


def rules_alone(
    home: Home,
    position: int,
    attacks: Collection[str],
    moved: Callable[[int, int], None] = lambda _done, _total: None,
) -> Alone:
    """Decide the records from `position` on without models. `attacks`: ids of the events that belong to attacks.

    Raises `Permanent` where no snapshot stands at `position`."""
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    try:
        with tempfile.TemporaryDirectory(prefix="shoal-alone-") as place:
            history = History(home, journal, Path(place))
            start, engine = history.at_or_before(position)
            if engine is None or start != position:
                raise Permanent(f"no snapshot stands at record {position}")
            wanted = chosen_models(engine.pack, ())
            gathering = Gathering(engine, wanted, (-(2**62), 2**62), 1.0, ())
            touches: list[Touch] = []
            ids, seqs_of_attacks = pa.array(sorted(attacks), pa.string()), []
            for group in journal.read_groups(position):
                moved(group.last_seq + 1 - position, journal.next_seq - position)
                if any(frame.kind == MODELS for frame in group.controls):
                    continue  # it stands in a group of its own
                outcome = gathering.take(group)
                if outcome is None:
                    continue
                harmful = np.asarray(pc.is_in(outcome.table.column("event_id"), value_set=ids))
                seqs_of_attacks.append(outcome.seq[harmful])
                if not (outcome.decisions.hits.tier > 0).any():
                    continue
                rows, _ = rows_of(outcome.table, outcome.decisions, engine)
                seqs = outcome.seq
                places = np.searchsorted(seqs, [row.seq for row in rows])
                names = [name for name in ("account", "actor", "owner") if name in outcome.table.column_names]
                people = outcome.table.select(names)
                named = people.take(places).to_pylist()
                touches += [Touch(row, **who) for row, who in zip(rows, named, strict=True)]
            frames = gathering.frames()
            engine.features.close()
    finally:
        journal.close()
    return Alone(touches, frames, np.concatenate([np.zeros(0, np.int64), *seqs_of_attacks]))


def gains(
    alone: Alone,
    models: Mapping[str, Model],
    labels: Iterable[Mapping[str, Any]],
    decided: Iterable[Touch],
    *,
    from_us: int,
    also: Mapping[str, Iterable[str]] | None = None,
) -> list[Gain]:
    """Compare by detector and kind. `labels`: the truth, as rows of the label schema; `decided`: what was decided with
    models; `also`: further threats whose rules count as those of a detector's. Decisions before `from_us` do not
    count, and subjects are those whose abuse began after it. Nobody is touched by what an attack did in his name."""
    also = also or {}
    known = list(labels)
    bad = [row for row in known if not row["kind"].startswith("benign")]
    abusive = {(kind, row["subject"]) for row in bad for kind in (row["subject_type"], "account")}
    after = [touch for touch in decided if touch.row.as_of >= from_us]
    attacks = set(alone.attack_seqs.tolist())
    found: list[Gain] = []
    for name, model in models.items():
        frame = alone.frames[name]
        definition = frame.definition
        kinds: dict[str, set[str]] = {}
        for row in known:
            if row["start"] is None or row["start"] < from_us:
                continue
            if row["subject_type"] == definition.subject and row["kind"] in definition.labels:
                kinds.setdefault(row["kind"], set()).add(row["subject"])
        threats = {definition.threat, *also.get(definition.threat, ())}
        ruled, honest = _reached(alone.touches, threats, definition.subject, abusive, attacks)
        both, honest_both = _reached(after, threats, definition.subject, abusive, attacks)
        caught = _caught(model, frame, abusive, attacks, len(honest))
        found += [
            Gain(name, kind, len(names), len(names & ruled), len(names & caught), len(names & both), len(honest),
                 len(honest_both))
            for kind, names in sorted(kinds.items())
        ]  # fmt: skip
    return found


def _reached(
    touches: Iterable[Touch], threats: set[str], subject: str, abusive: set[tuple[str, str]], attacks: set[int]
) -> tuple[set[str], set[str]]:
    """Subjects that reached `challenge` for these threats, and the honest ones among them."""
    reached, felt = set(), set()
    for touch in touches:
        if touch.row.tier >= Tier.CHALLENGE and touch.row.threat in threats:
            name = touch.row.subject if touch.row.subject_type == subject else touch.person
            if name and (touch.row.subject_type == subject or subject == "account"):
                reached.add(name)
                if touch.row.seq not in attacks:
                    felt.add(name)
    return reached, {name for name in felt if (subject, name) not in abusive}


def _caught(
    model: Model, frame: TrainingFrame, abusive: set[tuple[str, str]], attacks: set[int], honest: int
) -> set[str]:
    """The subjects whose highest score lies above that of all but `honest` honest subjects."""
    raw = model.raw(np.ascontiguousarray(frame.x))
    subject = frame.definition.subject
    worst: dict[str, float] = {}
    felt: dict[str, float] = {}
    for name, value, seq in zip(frame.subject.to_pylist(), raw.tolist(), frame.seq.tolist(), strict=True):
        if name is not None and value > worst.get(name, -np.inf):
            worst[name] = value
        if name is not None and seq not in attacks and value > felt.get(name, -np.inf):
            felt[name] = value
    good = sorted((value for name, value in felt.items() if (subject, name) not in abusive), reverse=True)
    cut = good[honest] if honest < len(good) else -np.inf
    return {name for name, value in worst.items() if value > cut}
