"""What features cost: grows with what it must grow with, and the log is counted once."""

from dataclasses import replace

from shoal.packs.cost import Load, costs, feature_cost
from shoal.packs.load import load_pack

PACK = load_pack("file_sharing")
BY_ID = {feature.id: feature for feature in PACK.features}


def test_the_log_is_shared_and_follows_the_longest_exact_window():
    listed, total = costs(PACK, Load(events_per_s=1_000, keys=10))
    assert max(cost.log_bytes for cost in listed) == 40 * 1_000 * 86_400
    assert "3.5 GB (1 day at 1,000 events a second" in total
    assert total.startswith(f"{len(PACK.features)} features")


def test_pairs_and_buckets_cost_and_derived_features_do_not():
    load = Load(keys=1_000)
    count, distinct = BY_ID["ip_failed_1h"], BY_ID["ip_failed_accounts_1h"]
    assert feature_cost(distinct, load).pair_bytes > 0 == feature_cost(count, load).pair_bytes
    assert feature_cost(BY_ID["downloads_14d"], load).key_bytes > feature_cost(count, load).key_bytes
    assert feature_cost(BY_ID["downloads_14d"], load).log_bytes == 0
    assert feature_cost(BY_ID["ip_failed_share_1h"], load).note == "0 B for keys"
    longer = replace(count, window_s=7_200)
    assert feature_cost(longer, load).log_bytes == 2 * feature_cost(count, load).log_bytes
    assert "of the shared log" in feature_cost(count, load).note
