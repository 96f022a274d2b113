"""Recall of takeovers at a budget of challenges: what is known at the login, and five minutes later.

The model is fitted on development seeds of `worlds/takeovers.yaml` and of `worlds/takeovers-varied.yaml` (other
networks, tools and habits). It is judged on worlds of the first with other seeds (other people, addresses, devices) and
on other scenario files with `account_takeover` (`worlds/takeovers-other.yaml`, `--scenario`). A challenge budget is a
share of honest logins of accounts that have logged in before; attacks are the logins that succeed. Baselines: the
published ratio, and a rule that counts what is new.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.takeover_inside import Inside, read_inside
from benchmarks.takeover_models import fit, matrix, raw
from shoal.learn.intervals import Share
from shoal.simulate import Scenario, read_scenario

Floats = npt.NDArray[np.float64]
WORLD = Path(__file__).parent / "worlds" / "takeovers.yaml"
VARIED, OTHER = (WORLD.parent / f"takeovers-{name}.yaml" for name in ("varied", "other"))
DEVELOPMENT, REPORT = (11, 12), (103, 104)
BUDGETS = (0.005, 0.01)
COUNTED = ("address_accounts", "prefix_accounts", "device_accounts")
"""Of the counts of accounts these alone: those of coarse levels tell how old the world is, not what a login is."""


def rules(world: Inside) -> Floats:
    """The simple rule: a new device, network, provider, user agent, country; failures just before."""
    c = {name: np.nan_to_num(column) for name, column in world.at_login.items()}
    new = 1.0 * (c["device_seen"] == 0) + (c["prefix_seen"] == 0) + (c["asn_seen"] == 0) + (c["agent_seen"] == 0)
    new += 2.0 * (c["country_seen"] == 0) + 0.5 * (c["failures"] > 0) + 0.1 * (c["address_seen"] == 0)
    return np.asarray(new, dtype=np.float64)


def small(scenario: Scenario, quick: bool) -> Scenario:
    """A smaller world for a quick run."""
    if not quick:
        return scenario
    attacks = tuple(replace(one, victims=45) for one in scenario.adversaries)
    return replace(scenario, population=replace(scenario.population, accounts=1200), adversaries=attacks)


DEVICE = ("device", "device_seen", "device_accounts")
MODELS = {"score": (), "post": (), "no_device": DEVICE}
"""Ours at the login, five minutes later, and at the login without the device: what it leaves out."""


def inputs(world: Inside, name: str) -> tuple[Floats, list[str]]:
    """A model's columns and their names."""
    columns = world.at_login | (world.after if name == "post" else {})
    kept = [one for one in columns if not one.endswith("_accounts") or one in COUNTED]
    kept = [one for one in kept if one not in MODELS[name]]
    return matrix(columns, kept), kept


def report(world: Inside, scores: dict[str, Floats], attacks: list[str]) -> dict[str, Any]:
    """Recall of each attack at each budget by each detector, printed with intervals."""
    honest = world.attack == ""
    found: dict[str, Any] = {}
    sizes = {attack: int((world.attack == attack).sum()) for attack in attacks}
    print(f"  {honest.sum():,} honest logins; attacks {sizes}")
    for attack in attacks:
        rows = world.attack == attack
        for budget in BUDGETS:
            cells = []
            for name, score in scores.items():
                limit = np.quantile(score[honest], 1 - budget)
                share = Share(int((score[rows] > limit).sum()), int(rows.sum()))
                found[f"{name}/{attack}/{budget}"] = share
                value = "none" if share.value is None else f"{share.value:.3f}"
                cells.append(f"{name} {value} [{share.exact().low:.3f}, {share.exact().high:.3f}]")
            print(f"    {attack:<14} at {budget:.1%} challenged: {'; '.join(cells)}")
    return found


def joined(worlds: list[Inside]) -> Inside:
    """Worlds one behind the other."""

    def both(name: str) -> dict[str, Floats]:
        first = getattr(worlds[0], name)
        return {column: np.concatenate([getattr(one, name)[column] for one in worlds]) for column in first}

    texts = {name: np.concatenate([getattr(one, name) for one in worlds]) for name in ("attack", "account", "event")}
    published = np.concatenate([one.published for one in worlds])
    return Inside(both("at_login"), both("after"), published=published, **texts)


def run(quick: bool, dump: str, scenario_files: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit, judge and print; figures and baselines."""
    begun = time.process_time()
    base = small(read_scenario(WORLD), quick)
    seeds, reports = (DEVELOPMENT[:1], REPORT[:1]) if quick else (DEVELOPMENT, REPORT)
    others = small(read_scenario(VARIED), quick)
    learned = joined([read_inside(base, seed) for seed in seeds] + [read_inside(others, seed) for seed in seeds])
    labels = (learned.attack != "").astype(np.int64)
    rounds = 100 if quick else 200
    models = {name: fit(inputs(learned, name)[0], labels, rounds=rounds, leaves=15) for name in MODELS}
    print(f"\nRecall at a budget of challenges: fitted on {len(labels):,} logins ({labels.sum()} attacks) of two"
          f" scenarios, seeds {seeds}, judged on seeds {reports}")  # fmt: skip
    for name, model in models.items():
        names = inputs(learned, name)[1]
        best = [names[at] for at in np.argsort(-model.feature_importance("gain"))[:10]]
        print(f"  {name}: most used {', '.join(best)}")
    world = joined([read_inside(base, seed) for seed in reports])
    scores = judged(world, models)
    found = report(world, scores, [one.id for one in base.adversaries])
    figures: dict[str, Any] = {}
    baselines: dict[str, Any] = {}
    for key, share in found.items():
        name, attack, budget = key.split("/")
        place = {"score": "", "post": "_post", "no_device": "_no_device"}.get(name)
        ending = "1pct" if budget == "0.01" else "05pct"
        value = None if share.value is None else round(share.value, 4)
        if place is not None:
            figures[f"recall_{attack}{place}_{ending}"] = value
            for side, bound in zip(("low", "high"), share.exact(), strict=True):
                figures[f"recall_{attack}{place}_{ending}_{side}"] = round(bound, 4)
        else:
            baselines[f"{name}_recall_{attack}_{ending}"] = value
    if dump:
        write(Path(dump), world, scores)
    for file in [*([] if quick else [OTHER]), *(Path(name) for name in scenario_files)]:
        asked = read_scenario(file)
        other = read_inside(asked, asked.seed)
        print(f"\n{file.name} (seed {asked.seed}), never fitted on")
        shares = report(other, judged(other, models), sorted({one for one in other.attack.tolist() if one}))
        for key, share in shares.items():
            name, attack, budget = key.split("/")
            if name in ("score", "post") and budget == "0.01" and share.value is not None:
                figures[f"{asked.name}_{name}_{attack}_1pct"] = round(share.value, 4)
    print(f"  {time.process_time() - begun:.0f} CPU-s")
    return figures, baselines


def judged(world: Inside, models: dict[str, Any]) -> dict[str, Floats]:
    """Scores of ours and of the baselines."""
    found = {name: raw(model, inputs(world, name)[0]) for name, model in models.items()}
    return found | {"freeman": world.published, "rules": rules(world)}


def write(folder: Path, world: Inside, scores: dict[str, Floats]) -> None:
    """Predictions, one row a login that succeeded."""
    folder.mkdir(parents=True, exist_ok=True)
    head = {"id": world.event, "split": ["report"] * len(world.event), "label": (world.attack != "").astype(np.int64),
            "attack": world.attack, "account": world.account}  # fmt: skip
    pq.write_table(pa.table(head | scores), folder / "takeover.recall.parquet")
