"""What published campaigns cost the stream: the signal `campaign`, one event at a time and in batches.

Tables of a service with many campaigns are published to a signal; events touch a member, a campaign's entity, or
neither. The baseline looks the same rows up in Python dictionaries. One event goes through `Signal.update` as the
engine calls it for a single decision.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from shoal.detectors.membership.signal import CampaignMembership
from shoal.detectors.signals import SignalDefinition
from shoal.events.identity import Identity
from shoal.events.schema import BY_NAME
from shoal.expressions.frame import Frame, Layout
from shoal.features.engine import Stamps

COLUMNS = ("actor", "device", "ip", "file_sha256", "link")
GOALS = {"campaign_single_p99_us": "≤ 50"}


def tables(members: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Campaigns of 40 members and 8 things each, two of every column."""
    campaigns = max(members // 40, 1)
    accounts = np.unique(rng.integers(-(2**63), 2**63 - 1, members))
    column = np.repeat(np.arange(4), 2 * campaigns)
    entities = np.concatenate([np.sort(rng.integers(-(2**63), 2**63 - 1, 2 * campaigns)) for _ in range(4)])
    return {
        "accounts": accounts,
        "account_campaign": rng.integers(0, campaigns, len(accounts)),
        "account_belief": rng.random(len(accounts)),
        "account_hub_share": rng.random(len(accounts)),
        "entity_column": column,
        "entities": entities,
        "entity_campaign": rng.integers(0, campaigns, len(column)),
        "entity_weight": rng.random(len(column)),
        "number": np.arange(campaigns),
        "score": rng.random(campaigns),
        "size": np.full(campaigns, 40),
    }


def events(told: dict[str, np.ndarray], layout: Layout, rows: int, rng: np.random.Generator) -> Frame:
    """Rows of which one in ten is a member's, and one in ten touches something of a campaign."""
    frame = Frame.empty(layout, rows)
    frame.values[:, :rows] = rng.integers(-(2**63), 2**63 - 1, (len(COLUMNS), rows))
    frame.valid[:, :rows] = 1
    frame.size = rows
    some = np.flatnonzero(rng.random(rows) < 0.1)
    frame.values[0, some] = rng.choice(told["accounts"], len(some))
    some = np.flatnonzero(rng.random(rows) < 0.1)
    frame.values[1, some] = rng.choice(told["entities"][told["entity_column"] == 0], len(some))
    return frame


def measure(quick: bool) -> tuple[dict[str, float], dict[str, float]]:
    """Figures and baselines."""
    rng = np.random.default_rng(1)
    told = tables(100_000 if quick else 1_000_000, rng)
    layout = Layout.of({name: BY_NAME[name].kind for name in COLUMNS})
    settings = {"account": COLUMNS[:1], "entities": COLUMNS[1:]}
    signal = CampaignMembership(SignalDefinition("campaign", "campaign", settings), layout, Identity(bytes(16)), {})
    problem = signal.take_up(told, 1)
    assert not problem, problem
    rows = 100_000
    frame = events(told, layout, rows, rng)
    none = np.zeros(rows, np.int64)
    stamps = Stamps(none, none, none, none.astype(np.uint8), none.astype(np.uint8))
    values, valid = np.zeros((7, rows), np.int64), np.zeros((7, rows), np.uint8)
    signal.warm()
    signal.update(frame, stamps, values, valid)
    start = time.process_time()
    signal.update(frame, stamps, values, valid)
    batch = rows / (time.process_time() - start)
    single = Frame.empty(layout, 1)
    single.size, one = 1, Stamps(none[:1], none[:1], none[:1], stamps.flags[:1], stamps.shoal[:1])
    taken = np.empty(20_000)
    for at in range(len(taken)):
        single.values[:, 0], single.valid[:, 0] = frame.values[:, at], 1
        begin = time.perf_counter()
        signal.update(single, one, values[:, :1], valid[:, :1])
        taken[at] = time.perf_counter() - begin
    figures = {
        "campaign_single_p50_us": float(np.quantile(taken, 0.5) * 1e6),
        "campaign_single_p99_us": float(np.quantile(taken, 0.99) * 1e6),
        "campaign_rows_per_cpu_s": batch,
        "campaign_members": float(len(told["accounts"])),
    }
    return figures, {"dictionary_rows_per_cpu_s": _plain(told, frame, rows)}


def _plain(told: dict[str, np.ndarray], frame: Frame, rows: int) -> float:
    """The same look-ups in dictionaries, rows per CPU-second."""
    member = dict(zip(told["accounts"].tolist(), told["account_campaign"].tolist(), strict=True))
    touch = {
        (int(column), int(entity)): (int(campaign), float(weight))
        for column, entity, campaign, weight in zip(
            told["entity_column"], told["entities"], told["entity_campaign"], told["entity_weight"], strict=True
        )
    }
    columns = [frame.values[at, :rows].tolist() for at in range(len(COLUMNS))]
    start = time.process_time()
    for actor, *things in zip(*columns, strict=True):
        own = member.get(actor, -1)
        best = 0.0
        for at, thing in enumerate(things):
            found = touch.get((at, thing))
            if found is not None and found[0] != own:
                best = max(best, found[1])
    return rows / (time.process_time() - start)


def main() -> None:
    """Print the table and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", default="../shared/data", help="not used")
    parser.add_argument("--dump", default="", help="not used")
    quick = parser.parse_args().quick
    figures, baselines = measure(quick)
    for name, value in (figures | baselines).items():
        print(f"{name:32} {value:>14,.1f}  {GOALS.get(name, '')}")
    print(json.dumps({"benchmark": "coordination_stream", "quick": quick, "figures": figures, "baselines": baselines}))


if __name__ == "__main__":
    main()
