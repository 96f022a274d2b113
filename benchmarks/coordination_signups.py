"""Benchmark `coordination_signups`: sign-up clusters without labels, and the speed of MinHash.

Quality: for each scenario of operations (development and report families; `--family dev` for one), the accounts told
in clusters of `shoal.coordination.templates` against the truth: an account is right when its sign-up is an operation's.
Recall is over all sign-ups of operations in the scenario's time, those that share nothing (own address, own device,
varied names) included. Baselines on the same sign-ups: connected components on a shared address or device of four
accounts and more; and components of pairs whose summed rarity, with no fixed point and no template, is beyond the
prior. Intervals are Wilson's at 95 %. Development files were there to be tuned on, the report family was run with what
came of it. Speed: signatures of 128 places of 20,000 sets of 50 items, against the plain way with one NumPy pass an
item (as datasketch does it). `python -m benchmarks.coordination_signups [--quick] [--data DIR] [--dump DIR]`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from shoal.coordination.content import make_sets, minhash
from shoal.coordination.templates import Settings, SignUps, find, signups_of
from shoal.coordination.templates.blocking import candidates
from shoal.coordination.templates.weights import weigh
from shoal.events.identity import Identity
from shoal.simulate import read_scenario, simulate

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
NAME = "coordination_signups"
SCENARIOS = Path(__file__).parent / "scenarios"
IDENTITY = Identity(bytes(range(16)))
WANTED = ("account.created", "payment.added", "phone.verified", "recovery.changed")
QUICK = ("operations-report-cells-10", "operations-report-ordinary")
GOALS = {"signup_precision": "≥ .97", "signup_recall": "≥ .85"}
WAYS = ("templates", "rarity", "components")


def load(path: Path) -> tuple[SignUps, Bools]:
    """The sign-ups of a scenario, and which of them are of an operation or another attack."""
    world = simulate(read_scenario(path))
    kept = pa.array(WANTED)
    table = pa.concat_tables([block.filter(pc.is_in(block["type"], kept)) for block in world.blocks()])
    labels = pl.DataFrame(world.labels()).filter(
        (pl.col("subject_type") == "account") & ~pl.col("kind").str.starts_with("benign")
    )
    bad = IDENTITY.ids_of(pa.array(labels["subject"].unique(maintain_order=True).to_list(), pa.string()))
    signups = signups_of(table, IDENTITY)
    return signups, np.isin(signups.account, bad)


def _tied(size: int, left: Ints, right: Ints, least: int) -> Bools:
    matrix = coo_matrix((np.ones(len(left), np.int8), (left, right)), shape=(size, size))
    _, label = connected_components(matrix, directed=False)
    return np.asarray(np.bincount(label)[label] >= least)


def components(signups: SignUps, least: int = 4) -> Bools:
    """Baseline: accounts tied by one address or one device, in groups of at least four."""
    left, right = [], []
    for name in ("ip", "device"):
        code = signups.columns[name].code
        order = np.argsort(code, kind="stable")
        same = (code[order][1:] == code[order][:-1]) & (code[order][1:] >= 0)
        left.append(order[:-1][same])
        right.append(order[1:][same])
    return _tied(signups.size, np.concatenate(left), np.concatenate(right), least)


def rarity(signups: SignUps, least: int = 4) -> Bools:
    """Baseline: rare shared values added up as they are, without the fixed point and without templates."""
    settings = Settings()
    left, right, by = candidates(signups, settings.neighbours)
    pairs = weigh(signups, left, right, by, Settings(rounds=1, strength=1e4))
    strong = pairs.belief > settings.belief
    return _tied(signups.size, left[strong], right[strong], least)


def templates(signups: SignUps) -> tuple[Bools, npt.NDArray[np.float64]]:
    told = np.zeros(signups.size, bool)
    score = np.zeros(signups.size)
    for cluster in find(signups).clusters:
        told[cluster.rows] = True
        score[cluster.rows] = cluster.score * cluster.belief
    return told, score


def wilson(right: int, of: int) -> tuple[float, float]:
    """Wilson's interval of a share at 95 %."""
    if not of:
        return 0.0, 1.0
    z, share = 1.96, right / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    wide = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(middle - wide, 0.0), min(middle + wide, 1.0)


def _share(right: int, of: int) -> float | None:
    return right / of if of else None


def minhash_speed(sets: int = 20_000, items: int = 50) -> tuple[float, float]:
    """Items a CPU-second: ours, and one NumPy pass an item (measured on a part)."""
    rng = np.random.default_rng(7)
    made = make_sets(np.repeat(np.arange(sets), items), rng.integers(0, 1 << 62, sets * items))
    minhash(made, 128)
    begin = time.process_time()
    minhash(made, 128)
    ours = len(made.item) / max(time.process_time() - begin, 1e-9)
    multiply = rng.integers(1, 1 << 61, 128, np.uint64)
    add = rng.integers(1, 1 << 61, 128, np.uint64)
    part = made.item[:20_000].astype(np.uint64)
    row = np.full(128, np.iinfo(np.uint64).max, np.uint64)
    begin = time.process_time()
    for item in part:
        row = np.minimum(row, (multiply * item + add) % np.uint64((1 << 61) - 1))
    return ours, len(part) / max(time.process_time() - begin, 1e-9)


def measure(
    quick: bool, dump: Path | None = None, family: str = ""
) -> tuple[dict[str, Any], dict[str, Any], list[list[str]]]:
    """Figures, baselines and the rows of the table. Quick: two scenarios of the report family."""
    names = [path.stem for path in sorted(SCENARIOS.glob(f"operations-{family or '*'}-*.yaml"))]
    names = [name for name in names if not quick or name in QUICK]
    rows, count = [], {way: np.zeros((2, 3), np.int64) for way in WAYS}  # by family: right, told, of operations
    figures: dict[str, Any] = {}
    cpu = signups_seen = 0.0
    for name in names:
        signups, bad = load(SCENARIOS / f"{name}.yaml")
        begin = time.process_time()
        told, score = templates(signups)
        cpu += time.process_time() - begin
        signups_seen += signups.size
        report = int("-report-" in name)
        for way, found in (("templates", told), ("rarity", rarity(signups)), ("components", components(signups))):
            right, of, every = int((found & bad).sum()), int(found.sum()), int(bad.sum())
            count[way][report] += (right, of, every)
            rows.append([name, way, _told(right, of), _told(right, every)])
        if dump is not None:
            dump.mkdir(parents=True, exist_ok=True)
            pl.DataFrame(
                {"id": signups.account, "split": [name] * signups.size, "label": bad, "score": score, "told": told}
            ).write_parquet(dump / f"{NAME}.{name}.parquet")
    for report, suffix in ((1, ""), (0, "_dev")):
        right, of, every = count["templates"][report].tolist()
        if not suffix or not quick:
            figures[f"signup_precision{suffix}"] = _share(right, of)
            figures[f"signup_recall{suffix}"] = _share(right, every)
        rows.append(["all of report" if report else "all of dev", "templates", _told(right, of), _told(right, every)])
    ours, plain = minhash_speed()
    figures["signups_per_cpu_s"] = signups_seen / max(cpu, 1e-9)
    figures["minhash_items_per_cpu_s"] = ours
    baselines: dict[str, Any] = {"minhash_numpy_items_per_cpu_s": plain}
    for way in WAYS[1:]:
        right, of, every = count[way][1].tolist()
        baselines |= {f"{way}_precision": _share(right, of), f"{way}_recall": _share(right, every)}
    return figures, baselines, rows


def _told(right: int, of: int) -> str:
    if not of:
        return "none"
    low, high = wilson(right, of)
    return f"{right / of:.3f}  {right}/{of}  ({low:.3f} to {high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--family", default="", choices=["", "dev", "report"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))  # no file of it is read
    parser.add_argument("--dump", type=Path)
    given = parser.parse_args()
    figures, baselines, rows = measure(given.quick, given.dump, given.family)
    print(f"{'scenario':<30}{'way':<12}{'precision of accounts':<38}recall")
    for name, way, precision, recall in rows:
        print(f"{name:<30}{way:<12}{precision:<38}{recall}")
    for key, value in figures.items():
        print(f"{key:<28}{value if value is None else round(value, 4)!s:<14}{GOALS.get(key, '')}")
    print(json.dumps({"benchmark": NAME, "quick": given.quick, "figures": figures, "baselines": baselines}))


if __name__ == "__main__":
    main()
