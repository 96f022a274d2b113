"""A small sound pack as files, and a way to write it changed."""

PACK = """\
format: shoal.pack
version: 1
name: small
pack_version: "1"
description: a small pack
attributes:
  bucket_name: {path: requestParameters.bucketName, type: text}
settings: {lateness: 5m}
"""
FEATURES = """\
format: shoal.features
version: 1
features:
  failures_10m:
    operation: count
    key: ip
    window: 10m
    where: type = 'login.failed'
    description: failed logins
  failures_per_account:
    operation: derived
    expression: failures_10m / 2
"""
RULES = """\
format: shoal.rules
version: 1
rules:
  login.many_failures:
    title: Many failures
    description: many failures from one address
    threat: credential_attack
    subject: ip
    severity: high
    technique: T1110
    tactic: credential-access
    condition: failures_10m >= 3 AND ip NOT IN list('offices')
    reason: "{failures_10m} failed logins from {ip}"
    false_positives: [an office]
    evasion: slowly
    tests:
      - name: three
        each: {type: login.failed, ip: 203.0.113.7}
        events:
          - {repeat: 3, every: 1m, account: "u{i}"}
        expect: {first: false, last: restrict}
      - name: an office
        each: {type: login.failed, ip: 192.0.2.7}
        events:
          - {repeat: 3, every: 1m, account: "u{i}"}
        expect: never
"""
POLICY = """\
format: shoal.policy
version: 1
evidence: 12h
threats:
  credential_attack:
    role: perpetrator
    steps:
      - {tier: restrict, severity: high}
    actions:
      - {action: rate_limit, from: challenge, lease: 10m}
allow:
  - {id: a, column: ip, list: offices, owner: me, expires: 2027-01-01, reason: ours}
"""
OFFICES = "# kind: address\n192.0.2.0/24  # documentation\n"
FILES = {
    "pack.yaml": PACK,
    "features/f.yaml": FEATURES,
    "rules/login.yaml": RULES,
    "policy.yaml": POLICY,
    "lists/offices.txt": OFFICES,
}


def write(folder, files=None, **changed):
    for name, text in {**FILES, **(files or {})}.items():
        if text is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def swap(name, old, new, count=1):
    assert old in FILES[name]
    return {name: FILES[name].replace(old, new, count)}
