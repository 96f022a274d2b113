"""A model of campaigns as wholes, learned from a deployment's own labels, and kept beside its graph.

Candidates are all groups that evidence forms, told or not. One counts as abusive where at least a quarter of its
members are labelled abusive, and as benign where none is and it is old enough that somebody would have said so; what
lies between teaches nothing. The model is JSON in `campaigns/unit.json`; the next runs judge by it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shoal.coordination.campaigns.find import Candidates, candidates
from shoal.coordination.campaigns.fuse import fuse
from shoal.coordination.campaigns.unit import Fitted, UnitModel, fit, from_text
from shoal.packs.pack import Pack
from shoal.runtime.coordination.gather import Gathered
from shoal.runtime.coordination.job import JobSettings, Run, look
from shoal.runtime.home import Home
from shoal.storage.journal import Journal

ABUSIVE_SHARE = 0.25
FILE = "unit.json"


def model_path(home: Home) -> Path:
    """Where the model of a deployment lies."""
    return home.folder / "campaigns" / FILE


def read_model(home: Home) -> UnitModel | None:
    """The deployment's model; None where none was fitted. Raises `Corrupt` or `Unsupported`."""
    path = model_path(home)
    return from_text(path.read_text(encoding="utf-8")) if path.exists() else None


def fit_model(home: Home, journal: Journal, pack: Pack, settings: JobSettings, maturity_us: int) -> Fitted:
    """Fit on the campaigns of a journal and keep the model; raises `InvalidInput` where there are too few of a class.

    `maturity_us`: how long before the journal's end a group without a label must have begun to count as benign.
    """
    found, gathered = look(home, journal, pack, replace(settings, anew=True))
    made = _candidates(found, settings)
    labels, chosen = _labels(made, gathered, (journal.last_as_of or 0) - maturity_us)
    fitted = fit(made.features.matrix[chosen], labels[chosen])
    path = model_path(home)
    path.parent.mkdir(exist_ok=True)
    path.write_text(fitted.model.to_text() + "\n", encoding="utf-8")
    return fitted


def _candidates(found: Run, settings: JobSettings) -> Candidates:
    chosen = settings.campaigns
    return candidates(found.graph, fuse(found.pairs, chosen, found.graph.accounts), chosen)


def _labels(
    made: Candidates, gathered: Gathered, before_us: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Labels of the candidates, and the places of those that teach something."""
    labels, chosen = np.zeros(made.count, np.int64), []
    for at in range(made.count):
        codes = made.members(at)
        told = [gathered.known.get(account) for account in made.graph.account_ids[codes].tolist()]
        bad = sum(one is True for one in told)
        if bad >= ABUSIVE_SHARE * len(codes):
            labels[at] = 1
            chosen.append(at)
        elif not bad and int(made.shared.first[made.groups.group == at].min()) < before_us:
            chosen.append(at)
    return labels, np.array(chosen, np.int64)
