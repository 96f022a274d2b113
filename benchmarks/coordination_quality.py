"""Campaigns on simulated operations: who is found, who is left alone, and what small cells, cover and patience cost.

Scenarios come in two families (`benchmarks/scenarios/operations-*.yaml`), each with all honest structures (households,
offices, campuses, carriers, resellers). Settings were chosen on the development family; the **report family** (other
seeds, parameters and mixes, five months later) gives every figure here. Nothing is labelled for the search itself.

- *Campaigns*: accounts of all campaigns told, over all scenarios. Baseline: components of the pairs that share three
  objects within a day.
- *Co-action*: accounts of the told campaigns that co-action speaks for, against those of operations that co-action can
  know of (members who meet another one on three objects).
- *Cluster as unit*: a model of whole campaigns, in period (folds within the report family that keep an operation
  together) and out of time (fitted on the development family). Baseline: the mean over members of the score of a model
  of single accounts, fitted on the development family.
- *Curves*: share of an operation's accounts found, by size of cells, share of cover actions, and spread in time.

`python -m benchmarks.coordination_quality [--quick] [--dump DIR]`; `--quick` lives through fewer scenarios.
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks.coordination_world import ADDRESS_GROUPS, KINDS, Seen, path_of, see
from shoal.coordination.campaigns.find import candidates
from shoal.coordination.campaigns.fuse import CampaignSettings, fuse
from shoal.coordination.campaigns.score import FEATURES
from shoal.coordination.campaigns.unit import fit
from shoal.coordination.structure import components
from shoal.learn.intervals import Share
from shoal.simulate import read_scenario

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Table = dict[str, "float | None"]

GOALS = {
    "coaction_precision": "≥ 0.995", "coaction_recall": "≥ 0.90", "unit_auc_in_period": "≥ 0.99",
    "unit_auc_out_of_time": "≥ 0.97", "benign_groups_touched": "≤ 0.0005", "carrier_nat_touched": "≤ 0.0001",
    "cells3_precision_kept": "≥ 0.75", "cells20_precision_kept": "≥ 0.90",
}  # fmt: skip
QUICK = {"report": ("ordinary", "whole", "cells-3", "cells-20"), "dev": ("cells-5", "aged")}
SETTINGS = CampaignSettings(min_score=0.0)
TOLD = CampaignSettings().min_score
SPEAKS = 0.02
"""Share of a campaign's evidence from which co-action is said to speak for it."""
_TREES = {
    "objective": "binary", "num_leaves": 15, "min_data_in_leaf": 20, "learning_rate": 0.05, "seed": 1,
    "deterministic": True, "force_row_wise": True, "num_threads": 1, "verbosity": -1,
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What is kept of one scenario. By account: `operation`, `group` (place of its candidate, -1), `meets` (co-action
    pairs it with one of its own operation), `plain` (the baseline groups it), `own` float64 [accounts, columns]: what a
    model of single accounts reads. By candidate: `matrix`, `score`, `timing`. `honest`: by kind, codes of each group.
    """

    family: str
    kind: str
    operation: npt.NDArray[np.str_]
    hijacked: Bools
    group: Ints
    meets: Bools
    plain: Bools
    own: Floats
    matrix: Floats
    score: Floats
    timing: Floats
    honest: dict[str, tuple[Ints, ...]]
    events: int

    @property
    def abusive(self) -> Bools:
        return np.asarray(self.operation != "", np.bool_)

    @property
    def told(self) -> Bools:
        """Accounts of campaigns that are told."""
        reached = np.append(self.score >= TOLD, False)
        return np.asarray(reached[self.group], np.bool_)

    def labels(self) -> tuple[Ints, list[str]]:
        """Of each candidate: whether most members are of operations, and the operation (or itself) that it is of."""
        label, name = np.zeros(len(self.score), np.int64), []
        for at in range(len(self.score)):
            members = np.flatnonzero(self.group == at)
            label[at] = self.abusive[members].mean() > 0.5
            names, count = np.unique(self.operation[members], return_counts=True)
            own = str(names[np.argmax(count)]) if label[at] else f"honest {at}"
            name.append(f"{self.family} {self.kind} {own}")
        return label, name


def observe(asked: tuple[str, str]) -> Found:
    """Live through a scenario and search it."""
    seen = see(*asked)
    made = candidates(seen.graph, fuse(seen.pairs, SETTINGS, seen.graph.accounts), SETTINGS)
    group = np.full(seen.graph.accounts, -1, np.int64)
    group[made.groups.account] = made.groups.group
    together = seen.together
    significant = together.significant
    one, other = together.left[significant], together.right[significant]
    same = (seen.operation[one] == seen.operation[other]) & seen.abusive[one]
    meets = np.zeros(seen.graph.accounts, bool)
    meets[one[same]] = meets[other[same]] = True
    plain = components(seen.graph.accounts, together.left, together.right)
    grouped = np.bincount(plain, minlength=seen.graph.accounts)[plain] >= SETTINGS.min_size
    timing = made.features.matrix[:, FEATURES.index("timing_evidence")]
    return Found(
        *asked, seen.operation, seen.hijacked, group, meets, grouped, _own(seen), made.features.matrix, made.score,
        timing, dict(seen.honest), seen.events,
    )  # fmt: skip


def _own(seen: Seen) -> Floats:
    """What is known of an account by itself: how many things it has and acts upon, how often, its age and span."""
    graph = seen.graph
    columns: list[Floats] = []
    first, last = np.full(graph.accounts, np.iinfo(np.int64).max), np.full(graph.accounts, -1, np.int64)
    for edges in graph.relations.values():
        columns.append(np.log1p(np.diff(edges.account_start)).astype(np.float64))
        columns.append(np.log1p(np.bincount(edges.account, edges.count, graph.accounts)))
        np.minimum.at(first, edges.account, edges.first)
        np.maximum.at(last, edges.account, edges.last)
    known = graph.created >= 0
    columns.append(np.where(known, (graph.now - graph.created) / 86_400e6, -1.0))
    columns.append(np.where(last >= 0, (last - np.minimum(first, last)) / 86_400e6, -1.0))
    columns.append(np.where(known & (last >= 0), (np.minimum(first, last) - graph.created) / 86_400e6, -1.0))
    return np.column_stack(columns)


def observe_all(asked: list[tuple[str, str]]) -> list[Found]:
    """All scenarios, two at a time."""
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
        return list(pool.map(observe, asked))


def precision_of(found: list[Found]) -> tuple[int, int]:
    """Accounts of operations among those told."""
    told = np.concatenate([one.told for one in found])
    return int((np.concatenate([one.abusive for one in found]) & told).sum()), int(told.sum())


def shares(found: list[Found], figures: Table, baselines: Table, rows: list[str]) -> None:
    """Precision and recall by account, of campaigns and of those that co-action speaks for."""
    right, told = precision_of(found)
    abusive = np.concatenate([one.abusive for one in found])
    figures["campaign_precision"] = _put(rows, "campaigns: accounts told that are of operations", right, told)
    figures["campaign_recall"] = _put(
        rows, "campaigns: accounts of operations that are told", right, int(abusive.sum())
    )
    plain = np.concatenate([one.plain for one in found])
    hit = int((plain & abusive).sum())
    baselines["components_precision"] = _put(rows, "baseline (components): precision", hit, int(plain.sum()))
    baselines["components_recall"] = _put(rows, "baseline (components): recall", hit, int(abusive.sum()))
    speaks = [one.told & np.append(one.timing >= SPEAKS, False)[one.group] for one in found]
    by_action = np.concatenate(speaks)
    figures["coaction_precision"] = _put(
        rows, "co-action: accounts told that are of operations", int((by_action & abusive).sum()), int(by_action.sum())
    )
    meets = np.concatenate([one.meets for one in found])
    figures["coaction_recall"] = _put(
        rows, "co-action: accounts that meet their own and are told", int((by_action & meets).sum()), int(meets.sum())
    )
    rows.append(f"{'accounts of operations that co-action can know of':56} {meets.sum() / max(abusive.sum(), 1):8.4f}")


def _put(rows: list[str], words: str, hits: int, count: int) -> float | None:
    """A share, with its Wilson interval in the table."""
    if not count:
        rows.append(f"{words:56} none")
        return None
    around = Share(hits, count).wilson()
    rows.append(f"{words:56} {hits / count:8.4f}  [{around.low:.4f}, {around.high:.4f}]  {hits:,} of {count:,}")
    return hits / count


def untouched(found: list[Found], figures: Table, rows: list[str]) -> None:
    """Honest groups that share an address, and accounts behind carriers, that a told campaign takes in."""
    touched = groups = carried = behind = 0
    for one in found:
        wrong = one.told & ~one.abusive
        for kind in ADDRESS_GROUPS:
            for members in one.honest.get(kind, ()):
                groups += 1
                touched += bool(wrong[members].any())
                if kind == "benign_carrier":
                    honest = members[~one.abusive[members]]
                    behind += len(honest)
                    carried += int(wrong[honest].sum())
    figures["benign_groups_touched"] = _put(rows, "honest groups at one address that are touched", touched, groups)
    figures["carrier_nat_touched"] = _put(rows, "honest accounts behind carriers that are touched", carried, behind)


def kept(found: list[Found], figures: Table, rows: list[str]) -> None:
    """Precision of operations in cells against that of operations that are not cut."""
    by_kind = {one.kind: one for one in found}
    if "whole" not in by_kind:
        return
    right, told = precision_of([by_kind["whole"]])
    whole = right / max(told, 1)
    for size in (3, 5, 10, 20):
        one = by_kind.get(f"cells-{size}")
        if one is None:
            continue
        right, told = precision_of([one])
        figures[f"cells{size}_precision_kept"] = right / max(told, 1) / whole if whole else None
        figures[f"cells{size}_recall"] = right / max(int(one.abusive.sum()), 1)
    rows.append(f"{'precision of operations that are not cut':56} {whole:8.4f}")


def curves(found: list[Found], rows: list[str]) -> list[dict[str, Any]]:
    """Share of each operation's accounts that is told, with what the scenario says of it."""
    out: list[dict[str, Any]] = []
    for one in found:
        for adversary in read_scenario(path_of(one.family, one.kind)).adversaries:
            mine = one.operation == adversary.id
            if mine.any():
                asked = {name: getattr(adversary, name, None) for name in ("cell_size", "camouflage", "spread_min")}
                out.append({"scenario": one.kind, "operation": adversary.id, **asked, "accounts": int(mine.sum()),
                            "found": float(one.told[mine].mean())})  # fmt: skip
    rows.append(
        f"\n{'scenario':12} {'operation':16} {'cell':>5} {'cover':>6} {'spread, min':>12} {'accounts':>9} {'found':>6}"
    )
    for row in out:
        rows.append(
            f"{row['scenario']:12} {row['operation']:16} {row['cell_size'] or 'all':>5} {row['camouflage']:>6} "
            f"{row['spread_min']:>12} {row['accounts']:>9} {row['found']:>6.2f}"
        )
    return out


def unit(
    report: list[Found], develop: list[Found], figures: Table, baselines: Table, rows: list[str]
) -> pa.Table | None:
    """The model of whole campaigns against the mean score of members."""
    x = np.concatenate([one.matrix for one in report])
    labelled = [one.labels() for one in report]
    y, names = np.concatenate([label for label, _ in labelled]), [name for _, some in labelled for name in some]
    own = np.concatenate([one.own for one in develop])
    account = lightgbm.train(_TREES, lightgbm.Dataset(own, np.concatenate([one.abusive for one in develop])), 150)
    mean = np.concatenate([_mean(one, np.asarray(account.predict(one.own, num_threads=1))) for one in report])
    rows.append(f"\ncampaigns: {len(y)} candidates, {int(y.sum())} of operations")
    for name in ("unit_auc_in_period", "unit_auc_out_of_time", "unsupervised_auc"):
        figures[name] = None
    baselines["mean_member_auc"] = None
    if len(set(names)) < 20 or min(y.sum(), (1 - y).sum()) < 10:
        rows.append("too few campaigns of one class: no model")
        return None
    within = np.zeros(len(y))
    for train, test in StratifiedGroupKFold(5, shuffle=True, random_state=1).split(x, y, names):
        within[test] = fit(x[train], y[train], groups=[names[i] for i in train]).model.predict(x[test])[0]
    figures["unit_auc_in_period"] = float(roc_auc_score(y, within))
    past = [one.labels() for one in develop]
    fitted = fit(
        np.concatenate([one.matrix for one in develop]), np.concatenate([label for label, _ in past]),
        groups=[name for _, some in past for name in some],
    )  # fmt: skip
    later, low, high = fitted.model.predict(x)
    figures["unit_auc_out_of_time"] = float(roc_auc_score(y, later))
    figures["unit_brier_out_of_time"] = float(np.mean((later - y) ** 2))
    plain = np.concatenate([one.score for one in report])
    figures["unsupervised_auc"] = float(roc_auc_score(y, plain))
    baselines["mean_member_auc"] = float(roc_auc_score(y, mean))
    baselines["account_auc"] = float(np.mean([
        roc_auc_score(one.abusive, account.predict(one.own, num_threads=1)) for one in report if one.abusive.any()
    ]))  # fmt: skip
    inside = np.mean((low <= y) & (y <= high)) if len(y) else 0.0
    rows.append(f"model out of time: {fitted.card.kind}, mean width of the interval {np.mean(high - low):.3f}, "
                f"labels within it {inside:.3f}")  # fmt: skip
    return pa.table(
        {"id": names, "split": ["report"] * len(y), "label": y, "score": later, "score_in_period": within,
         "score_unsupervised": plain, "score_mean_member": mean}
    )  # fmt: skip


def _mean(one: Found, scores: Floats) -> Floats:
    inside = one.group >= 0
    total = np.bincount(one.group[inside], scores[inside], len(one.score))
    return np.asarray(total / np.maximum(np.bincount(one.group[inside], minlength=len(one.score)), 1), np.float64)


def measure(quick: bool, dump: str = "") -> tuple[Table, Table]:
    """All figures and baselines; prints the tables that they come from."""
    kinds = QUICK if quick else {"report": KINDS, "dev": KINDS}
    found = observe_all([(family, kind) for family in ("report", "dev") for kind in kinds[family]])
    report, develop = [one for one in found if one.family == "report"], [one for one in found if one.family == "dev"]
    figures: Table = {}
    baselines: Table = {}
    rows: list[str] = []
    shares(report, figures, baselines, rows)
    untouched(report, figures, rows)
    kept(report, figures, rows)
    drawn = curves(report, rows)
    predictions = unit(report, develop, figures, baselines, rows)
    if quick:
        rows.append("quick: some scenarios only, so cells of 5 and 10 and the other curves are not run")
    print("\n".join(rows))
    if dump:
        folder = Path(dump)
        folder.mkdir(parents=True, exist_ok=True)
        if predictions is not None:
            pq.write_table(predictions, folder / "coordination_quality.campaigns.parquet")
        accounts = [
            pa.table({"id": [f"{one.kind} {i}" for i in range(len(one.group))], "split": [one.kind] * len(one.group),
                      "label": one.operation, "score": np.append(one.score, 0.0)[one.group], "baseline": one.plain})
            for one in report
        ]  # fmt: skip
        pq.write_table(pa.concat_tables(accounts), folder / "coordination_quality.accounts.parquet")
        (folder / "coordination_quality.curves.json").write_text(json.dumps(drawn, indent=1))
    return figures, baselines


def main() -> None:
    """Print the tables and the line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--dump", default="")
    asked = parser.parse_args()
    figures, baselines = measure(asked.quick, asked.dump)
    print()
    for name, value in (figures | baselines).items():
        print(f"{name:32} {'-' if value is None else f'{value:.4f}':>10}  {GOALS.get(name, '')}")
    line = {"benchmark": "coordination_quality", "quick": asked.quick, "figures": figures, "baselines": baselines}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
