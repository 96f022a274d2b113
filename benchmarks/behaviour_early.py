"""Early prediction: after how many events since its sign-up is a bulk account told from an honest one?

Accounts that sign up in the worlds of `behaviour-early.yaml`; positive are those that a farm, a referral ring or a
spammer made. Models are fitted on development seeds and judged on held-out ones. `signup`: what the sign-up itself
shows, and how many new accounts its address, device and mail domain have seen; `rules`: how many new accounts its
address or its device has seen, the larger (what sign-up rules ask); `early`: the same as `signup` with the first m
events: types, gaps, sharing of addresses, devices and links, the `sequence_surprise` signal and the n-gram embedding.
An account with fewer events is judged by those it has. "A farm that no model saw": the models are fitted without the
most careful of the farms and judged on it and the honest accounts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.metrics import roc_auc_score

from benchmarks.behaviour_play import DAY, IDENTITY, bootstrap, frames_of, make, run, world_of
from shoal.detectors.behaviour import NgramEmbedding, SequenceSurprise

Floats = npt.NDArray[np.float64]
EVENTS = (1, 2, 3, 5, 10, 20)
BULK = ("fake_accounts", "referral_abuse", "invite_spam")
TYPES = ("session.started", "session.used", "file.uploaded", "file.downloaded", "file.modified", "file.deleted",
         "link.created", "link.visited", "link.downloaded", "invite.sent", "invite.accepted", "folder.shared",
         "app.authorized", "login.succeeded")  # fmt: skip
SHARED = ("ip", "device", "domain", "link")
WORDS = {"network_kind": ("home", "mobile", "office", "vpn", "hosting"), "client": ("web", "desktop", "mobile", "api"),
         "method": ("email", "google", "sso", "invite")}  # fmt: skip
UNSEEN = "farm-careful"
PARAMETERS = {"objective": "binary", "learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 20, "verbosity": -1,
              "deterministic": True, "force_row_wise": True, "num_threads": 1, "seed": 1, "lambda_l2": 1.0}  # fmt: skip


def events_of(seed: int) -> pl.DataFrame:
    """The first events of accounts that sign up in a world, numbered, with the signal and the counts of sharing."""
    world = world_of("early", seed)
    table, frames = frames_of(world)
    scores, _ = run(make(SequenceSurprise), frames)
    rows = pl.concat([table, scores.select("bits", "ratio", "p")], how="horizontal")
    labels = pl.from_arrow(world.labels())
    assert isinstance(labels, pl.DataFrame)
    bulk = labels.filter((pl.col("subject_type") == "account") & pl.col("kind").is_in(BULK)).group_by("subject").agg(
        pl.col("attack").first()
    )  # fmt: skip
    rows = rows.filter(pl.col("actor") == pl.col("account")).sort("row")
    made = rows.filter(pl.col("type") == "account.created").group_by("account").agg(pl.col("as_of").min().alias("born"))
    rows = rows.join(made, on="account", maintain_order="left").filter(pl.col("as_of") >= pl.col("born"))
    rows = rows.join(bulk, left_on="account", right_on="subject", how="left", maintain_order="left")
    for name in SHARED:  # distinct new accounts seen on it so far, this one included
        first = pl.struct(name, "account").is_first_distinct() & pl.col(name).is_not_null()
        rows = rows.with_columns(first.cast(pl.Int64).cum_sum().over(name).fill_null(0).alias(f"on_{name}"))
        rows = rows.with_columns(
            pl.when(pl.col(name).is_null()).then(0).otherwise(pl.col(f"on_{name}")).alias(f"on_{name}")
        )
    rows = rows.with_columns((pl.col("row").cum_count().over("account")).alias("k"), pl.lit(seed).alias("seed"),
                             (pl.lit(f"{seed}/") + pl.col("account")).alias("who"))  # fmt: skip
    return rows.filter(pl.col("k") <= max(EVENTS))


def inputs(rows: pl.DataFrame, most: int, embedding: NgramEmbedding) -> tuple[list[str], Floats, Floats]:
    """Accounts in order, what the sign-up shows [n, a], and what the first `most` events add [n, b]."""
    first = rows.filter(pl.col("k") <= most)
    at_signup = [
        *(
            pl.col(name).first().replace_strict(list(words), list(range(len(words))), default=-1).alias(name)
            for name, words in WORDS.items()
        ),
        ((pl.col("born").first() // (DAY // 24)) % 24).alias("hour"),
        *(pl.col(f"on_{name}").first().alias(f"signup_on_{name}") for name in SHARED),
    ]  # fmt: skip
    gap = (pl.col("as_of") - pl.col("born")).max() / 1e6
    later = [
        pl.len().alias("events"), gap.log1p().alias("age"), (gap / pl.len()).log1p().alias("pace"),
        *(pl.col(f"on_{name}").max().alias(f"most_on_{name}") for name in SHARED),
        *(pl.col(name).n_unique().alias(f"many_{name}") for name in ("ip", "device", "country", "client")),
        *((pl.col("type") == kind).sum().alias(kind) for kind in TYPES),
        *(pl.col(name).mean().alias(f"mean_{name}") for name in ("bits", "ratio")),
        *(pl.col(name).max().alias(f"max_{name}") for name in ("bits", "ratio")), pl.col("p").min(),
    ]  # fmt: skip
    table = first.group_by("who", maintain_order=True).agg(*at_signup, *later)
    who = table["who"].to_list()
    _, vectors = embedding.transform(*ids_of(first, who))
    whole = table.drop("who").cast(pl.Float64).fill_null(np.nan).to_numpy()
    return who, whole[:, : len(at_signup)], np.hstack([whole[:, len(at_signup) :], vectors])


def ids_of(rows: pl.DataFrame, who: list[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Accounts as their places in `who`, tokens as ids of type and client."""
    places = {name: i for i, name in enumerate(who)}
    accounts = np.array([places[name] for name in rows["who"].to_list()], np.int64)
    words = (rows["type"] + "/" + rows["client"].fill_null("")).to_list()
    known = {word: IDENTITY.id_of(word) for word in sorted(set(words))}
    return accounts, np.array([known[word] for word in words], np.int64)


def recall_at(labels: npt.NDArray[Any], scores: Floats, cost: float = 0.01) -> float:
    """Share of positives above the threshold that touches `cost` of the honest; ties count against us."""
    honest = scores[labels == 0]
    return float((scores[labels == 1] > np.quantile(honest, 1 - cost, method="higher")).mean()) if len(honest) else 0.0


def fitted(x: Floats, labels: npt.NDArray[Any]) -> lgb.Booster:
    """200 trees; nothing was searched."""
    return lgb.train(PARAMETERS, lgb.Dataset(x, label=labels), num_boost_round=200)


def early(developed: list[int], held: list[int], rounds: int, dump: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The curve over held-out seeds."""
    learned = pl.concat([events_of(seed) for seed in developed])
    judged = pl.concat([events_of(seed) for seed in held])
    every = learned["who"].unique(maintain_order=True).to_list()
    embedding = NgramEmbedding.fit(*ids_of(learned, every), dimensions=8)
    attacks = {name: kind for part in (learned, judged) for name, kind in
               part.group_by("who").agg(pl.col("attack").first()).iter_rows()}  # fmt: skip
    ours: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    dumped = []
    for most in EVENTS:
        who, signup, later = inputs(learned, most, embedding)
        labels = np.array([attacks[name] is not None for name in who]).astype(int)
        known = np.array([attacks[name] != UNSEEN for name in who])
        tested, signup_there, later_there = inputs(judged, most, embedding)
        truth = np.array([attacks[name] is not None for name in tested]).astype(int)
        there = np.hstack([signup_there, later_there])
        scores = {"early": np.asarray(fitted(np.hstack([signup, later]), labels).predict(there))}
        if most == 1:
            print(f"Early prediction: {truth.sum()} bulk accounts and {(truth == 0).sum()} honest ones of seeds {held}")
            scores["signup"] = np.asarray(fitted(signup, labels).predict(signup_there))
            scores["rules"] = signup_there[:, -len(SHARED) :][:, :2].max(axis=1)
        unseen = np.asarray(fitted(np.hstack([signup, later])[known], labels[known]).predict(there))
        new = np.array([attacks[name] in (None, UNSEEN) for name in tested])
        part = report(most, truth, scores, rounds)
        part[f"early_unseen_recall_1pct_{most}"] = round(recall_at(truth[new], unseen[new]), 4)
        print(f"      a farm that no model saw: {part[f'early_unseen_recall_1pct_{most}']:.3f}")
        theirs |= {key: value for key, value in part.items() if key.startswith(("signup", "rules"))}
        ours |= {key: value for key, value in part.items() if key.startswith("early")}
        columns: dict[str, Any] = {"id": tested, "split": ["held"] * len(tested), "events": [most] * len(tested)}
        dumped.append(pl.DataFrame(columns | {"label": truth, "score": scores["early"], "unseen": unseen}))
    if dump:
        pl.concat(dumped).write_parquet(Path(dump) / "behaviour.early.parquet")
    return ours, theirs


def report(most: int, truth: npt.NDArray[Any], scores: dict[str, Floats], rounds: int) -> dict[str, Any]:
    """AUC and recall at 1 % of honest accounts, with accounts resampled."""
    out: dict[str, Any] = {}
    for name, score in scores.items():
        rows = {"t": truth, "s": score}
        auc, recall = float(roc_auc_score(truth, score)), recall_at(truth, score)
        around = bootstrap(rows, lambda t, s: roc_auc_score(t, s), rounds)
        between = bootstrap(rows, recall_at_of, rounds)
        key = name if name != "early" else f"early_{most}"
        suffix = f"_{most}" if name == "early" else ""
        out[f"{name}_auc{suffix}"], out[f"{name}_recall_1pct{suffix}"] = round(auc, 4), round(recall, 4)
        print(f"  {key:<9} AUC {auc:.4f} ({around[0]:.3f} to {around[1]:.3f})  recall at 1 % {recall:.3f}"
              f" ({between[0]:.2f} to {between[1]:.2f})")  # fmt: skip
    return out


def recall_at_of(t: npt.NDArray[Any], s: Floats) -> float:
    """`recall_at` by the names of `report`."""
    return recall_at(t, s)
