"""The synthetic pack of the speed benchmarks: 45 features and 40 rules as a team would write them.

`FEATURES_45` are keyword arguments of `FeatureDefinition`, `RULES_40` pairs of a rule's id and its condition. The
benchmarks of expressions and of the whole pipeline use them; nothing that ships does.
"""

from __future__ import annotations

from shoal.events.schema import Kind

MINUTE, HOUR, DAY = 60, 3600, 86400
_FAILED = "type = 'login.failed'"
_LOGIN = "type = 'login.succeeded'"
_MOVED = "type IN ('file.downloaded', 'link.downloaded')"
_SHARED = "type IN ('link.created', 'folder.shared', 'invite.sent')"
_LOST = "type IN ('file.deleted', 'file.modified', 'file.renamed')"


def _feature(name: str, operation: str, key: str = "", **more: object) -> dict[str, object]:
    keys = tuple(key.split()) if key else ()
    return {"id": name, "operation": operation, "key": keys, **more}


FEATURES_45: list[dict[str, object]] = [
    _feature("account.fails_10m", "count", "account", window_s=10 * MINUTE, where=_FAILED),
    _feature("account.fails_24h", "count", "account", window_s=DAY, where=_FAILED),
    _feature("account.logins_1h", "count", "account", window_s=HOUR, where=_LOGIN),
    _feature("account.ips_1h", "distinct", "account", window_s=HOUR, value="ip"),
    _feature("account.ips_24h", "distinct", "account", window_s=DAY, value="ip"),
    _feature("account.countries_24h", "distinct", "account", window_s=DAY, value="country"),
    _feature("account.devices_24h", "distinct", "account", window_s=DAY, value="device"),
    _feature("account.agents_24h", "distinct", "account", window_s=DAY, value="user_agent"),
    _feature("account.downloads_10m", "count", "account", window_s=10 * MINUTE, where=_MOVED),
    _feature("account.downloads_24h", "count", "account", window_s=DAY, where=_MOVED),
    _feature("account.bytes_1h", "sum", "account", window_s=HOUR, value="size_bytes", where=_MOVED),
    _feature("account.bytes_24h", "sum", "account", window_s=DAY, value="size_bytes", where=_MOVED),
    _feature("account.largest_24h", "max", "account", window_s=DAY, value="size_bytes", where=_MOVED),
    _feature("account.mean_bytes_24h", "mean", "account", window_s=DAY, value="size_bytes", where=_MOVED),
    _feature("account.shares_1h", "count", "account", window_s=HOUR, where=_SHARED),
    _feature("account.recipients_24h", "distinct", "account", window_s=DAY, value="recipient", where=_SHARED),
    _feature("account.outside_1h", "count", "account", window_s=HOUR, where=f"external AND {_SHARED}"),
    _feature("account.losses_10m", "count", "account", window_s=10 * MINUTE, where=_LOST),
    _feature("account.losses_1h", "count", "account", window_s=HOUR, where=_LOST),
    _feature("account.gap", "gap", "account"),
    _feature("account.age", "age", "account"),
    _feature("account.speed_kmh", "speed", "account", where=_LOGIN),
    _feature("account.last_country", "last", "account", value="country", where=_LOGIN),
    _feature("account.knows_device", "seen", "account", value="device"),
    _feature("account.knows_network", "seen", "account", value="network"),
    _feature("account.network_share", "share", "account", value="network"),
    _feature("account.activity", "decayed", "account", half_life_s=6.0 * HOUR),
    _feature("account.week", "count", "account", window_s=7 * DAY, bucket_s=HOUR),
    _feature("ip.fails_10m", "count", "ip", window_s=10 * MINUTE, where=_FAILED),
    _feature("ip.fails_1h", "count", "ip", window_s=HOUR, where=_FAILED),
    _feature("ip.accounts_10m", "distinct", "ip", window_s=10 * MINUTE, value="account"),
    _feature("ip.accounts_24h", "distinct", "ip", window_s=DAY, value="account"),
    _feature("ip.signups_1h", "count", "ip", window_s=HOUR, where="type = 'account.created'"),
    _feature("ip.events_1m", "count", "ip", window_s=MINUTE),
    _feature("ip.age", "age", "ip"),
    _feature("network.fails_1h", "count", "network", window_s=HOUR, where=_FAILED),
    _feature("network.signups_24h", "count", "network", window_s=DAY, where="type = 'account.created'"),
    _feature("device.accounts_24h", "distinct", "device", window_s=DAY, value="account"),
    _feature("device.signups_24h", "count", "device", window_s=DAY, where="type = 'account.created'"),
    _feature("session.events_1h", "count", "session", window_s=HOUR),
    _feature("link.visitors_1h", "distinct", "link", window_s=HOUR, value="ip", where="type = 'link.visited'"),
    _feature("link.reports_24h", "count", "link", window_s=DAY, where="type = 'abuse.reported'"),
    _feature("domain.links_24h", "distinct", "domain", window_s=DAY, value="link"),
    _feature(
        "account.fail_ratio",
        "derived",
        expression='"account.fails_24h" / ("account.fails_24h" + "account.logins_1h" + 1)',
    ),
    _feature("account.bytes_per_file", "derived", expression="account.bytes_24h / nullif(account.downloads_24h, 0)"),
]

_FLOATS = {
    "account.mean_bytes_24h", "account.gap", "account.age", "account.speed_kmh", "account.network_share",
    "account.activity", "ip.age", "account.fail_ratio", "account.bytes_per_file",
}  # fmt: skip
_OTHERS = {"account.last_country": Kind.TEXT, "account.knows_device": Kind.BOOL, "account.knows_network": Kind.BOOL}
FEATURE_KINDS: dict[str, Kind] = {
    str(feature["id"]): _OTHERS.get(str(feature["id"]), Kind.FLOAT if feature["id"] in _FLOATS else Kind.INT)
    for feature in FEATURES_45
}

RULES_40: list[tuple[str, str]] = [
    ("stuffing.one_address", "type = 'login.failed' AND ip.fails_10m >= 30 AND ip.accounts_10m >= 15"),
    ("stuffing.slow", "type = 'login.failed' AND ip.fails_1h >= 60 AND ip.accounts_24h >= 40 AND ip.age < 7 * 86400"),
    ("stuffing.network", "network.fails_1h > 200 AND network_kind IN ('hosting', 'vpn') AND type LIKE 'login.%'"),
    ("stuffing.hit", "type = 'login.succeeded' AND ip.fails_10m >= 10 AND ip.accounts_10m >= 8"),
    ("guessing.one_account", "type = 'login.failed' AND account.fails_10m >= 12 AND account.ips_1h <= 2"),
    ("guessing.spread", "account.fails_24h >= 20 AND account.ips_24h >= 10"),
    ("guessing.hit", "type = 'login.succeeded' AND account.fails_10m >= 6 AND NOT account.knows_device"),
    (
        "takeover.impossible_travel",
        "type = 'login.succeeded' AND account.speed_kmh > 1200 AND account.countries_24h > 1",
    ),
    ("takeover.new_everything", "type = 'login.succeeded' AND NOT account.knows_device AND NOT account.knows_network"),
    ("takeover.country", "type = 'login.succeeded' AND country <> account.last_country AND account.age > 30 * 86400"),
    ("takeover.rare_network", "account.network_share < 0.02 AND NOT account.knows_device AND type = 'session.started'"),
    ("takeover.dormant", "type = 'login.succeeded' AND account.gap > 90 * 86400 AND NOT account.knows_network"),
    ("takeover.script", "type = 'login.succeeded' AND user_agent ILIKE '%python%' AND NOT account.knows_device"),
    ("takeover.agents", "account.agents_24h >= 6 AND account.devices_24h >= 4"),
    ("takeover.night", "hour(time) BETWEEN 1 AND 5 AND account.speed_kmh > 900 AND outcome = 'success'"),
    ("persistence.mfa", "type IN ('mfa.removed', 'mfa.enrolled') AND account.gap < 600 AND NOT account.knows_device"),
    ("persistence.email", "type = 'email.changed' AND (NOT account.knows_device OR account.network_share < 0.05)"),
    ("persistence.app", "type = 'app.authorized' AND NOT account.knows_network AND coalesce(permission, '') <> 'read'"),
    ("exfiltration.mass", "account.downloads_10m > 200 OR account.bytes_1h > 20000000000"),
    ("exfiltration.burst", "account.bytes_1h > 0.8 * account.bytes_24h AND account.bytes_24h > 5000000000"),
    ("exfiltration.new_device", "account.downloads_10m >= 40 AND NOT account.knows_device AND account.week > 20"),
    ("exfiltration.large", "account.largest_24h >= 8 * account.mean_bytes_24h AND account.largest_24h > 1000000000"),
    ("exfiltration.archive", "type = 'file.downloaded' AND file_extension(file_name) IN ('zip', 'pst', '7z', 'kdbx')"),
    ("sharing.outsiders", "account.outside_1h >= 15 AND account.recipients_24h >= 15"),
    ("sharing.fresh_account", "account.shares_1h >= 10 AND time - account_created < INTERVAL '2' DAY"),
    ("sharing.fan_out", "link.visitors_1h >= 300 AND time - link_created < INTERVAL '6' HOUR"),
    ("sharing.reported", "link.reports_24h >= 3 OR (link.reports_24h >= 1 AND link.visitors_1h >= 100)"),
    ("sharing.domain", "domain.links_24h >= 20 AND url_scheme(url) = 'http'"),
    ("sharing.lure", "type = 'link.created' AND file_name ILIKE '%invoice%' AND account.age < 86400"),
    ("destruction.mass", "account.losses_10m > 150 AND NOT (account.week > 5000)"),
    ("destruction.steady", "account.losses_1h >= 600 AND account.losses_1h > 10 * account.downloads_24h"),
    ("destruction.extension", "type = 'file.renamed' AND (ends_with(file_name, '.locked') OR file_name LIKE '%.enc')"),
    ("signup.address", "type = 'account.created' AND ip.signups_1h >= 5 AND network_kind <> 'mobile'"),
    ("signup.network", "type = 'account.created' AND network.signups_24h >= 40 AND network_kind = 'hosting'"),
    ("signup.device", "device.signups_24h >= 3 OR device.accounts_24h >= 6"),
    ("automation.rate", "ip.events_1m >= 120 AND session.events_1h >= 600"),
    ("automation.ratio", "account.fail_ratio > 0.8 AND account.fails_24h >= 5"),
    ("automation.size", "abs(account.bytes_per_file - account.mean_bytes_24h) < 1 AND account.downloads_24h > 50"),
    ("anomaly.activity", "account.activity > greatest(50.0, account.week / 7.0 * 4)"),
    ("office.exempt", "ip IN list('office') AND type = 'login.failed' AND account.fails_10m >= 3"),
]
RULE_LISTS: dict[str, list[str]] = {"office": ["203.0.113.7", "203.0.113.8", "198.51.100.20"]}
"""The lists that the rules name, as texts."""
