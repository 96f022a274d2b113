"""Fitted combinations of the signal's columns: with Freeman's inputs alone, and with all that is known.

LightGBM on development worlds; what is reported comes from worlds of other seeds, so accounts are others as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
FREEMAN = (
    "total", "network", "user_agent", "pair", "prior", "country", "asn", "prefix", "address", "device_class", "os",
    "family", "version", "agent", "country_seen", "asn_seen", "prefix_seen", "address_seen", "os_seen", "family_seen",
    "version_seen", "agent_seen", "logins", "address_churn", "version_churn", "address_accounts", "prefix_accounts",
)  # fmt: skip
"""Columns made of the network, the user agent and the count of logins alone."""


def matrix(columns: dict[str, Floats], names: Sequence[str]) -> Floats:
    """The named columns side by side [n, columns]."""
    return np.column_stack([columns[name] for name in names])


def fit(x: Floats, y: npt.NDArray[np.int64], *, rounds: int, leaves: int = 31) -> lgb.Booster:
    """Trees for the odds of an attack; attacks weigh as much as honest logins together."""
    weight = np.where(y == 1, (y == 0).sum() / max((y == 1).sum(), 1), 1.0)
    options: dict[str, Any] = {
        "objective": "binary", "num_leaves": leaves, "learning_rate": 0.05, "min_data_in_leaf": 50, "verbosity": -1,
        "lambda_l2": 5.0, "feature_fraction": 0.8, "num_threads": 1, "deterministic": True, "force_row_wise": True,
        "seed": 1,
    }  # fmt: skip
    return lgb.train(options, lgb.Dataset(x, y, weight=weight), num_boost_round=rounds)


def raw(model: lgb.Booster, x: Floats) -> Floats:
    """Sums of the trees."""
    return np.asarray(model.predict(x, raw_score=True, num_threads=1), dtype=np.float64)
