"""A pack to start from: small, commented, sound, and tested as it stands.

`starter_files` gives one of its own, `child_files` one that builds on another pack; `copy_files` copies a pack under a
new name. `write_files` puts them into a new folder or none. Holds no state.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from shoal.errors import InvalidInput, Problem, Where
from shoal.packs.sections import NAME, NAME_FORM

_PACK = """\
# What this pack is. `pack_version` is yours to raise; Shoal knows a pack by the hash of what it decides.
format: shoal.pack
version: 1
name: {name}
pack_version: "0.1"
description: Say in a sentence what this pack looks for, and on which service.
settings:
  lateness: 15m  # how late an event may come and still count in windows
# attributes:    # columns of your own, read from the `attributes` JSON of an event
#   bucket_acl: {{path: requestParameters.acl, type: text}}
"""
_FEATURES = """\
# What is counted. Each feature is a column that rules can read; see docs/features.md for all operations.
format: shoal.features
version: 1
features:
  ip_failed_accounts_1h:
    operation: distinct
    key: ip
    value: account
    window: 1h
    where: type = 'login.failed'
    description: accounts that failed to log in from this address within an hour
"""
_RULES = """\
# When something is suspicious. The id of a rule begins with the name of its file.
format: shoal.rules
version: 1
rules:
  logins.many_accounts:
    title: Many accounts tried from one address
    description: One address fails to log in to many accounts, as somebody does who tries a list of stolen passwords.
    threat: credential_attack
    subject: ip
    severity: high
    confidence: 0.8
    technique: T1110.004
    tactic: credential-access
    condition: type = 'login.failed' AND ip_failed_accounts_1h >= 20 AND ip NOT IN list('offices')
    reason: "{ip_failed_accounts_1h} accounts failed to log in from {ip} within an hour"
    false_positives:
      - a large office behind one address while single sign-on is down
    evasion: Try fewer than 20 accounts an hour from each address; a proxy network of that size is rented by the day.
    # Two tests at least: one in which the rule fires, and a near miss: the honest event most like the attack.
    tests:
      - name: a list of stolen passwords is tried
        each: {type: login.failed, ip: 203.0.113.7}
        events:
          - {repeat: 20, every: 10s, account: "user{i}"}  # {i} counts from 1
        expect: {18: false, 19: restrict}
      - name: one person who forgot the password
        each: {type: login.failed, ip: 203.0.113.7, account: ann}
        events:
          - {repeat: 40, every: 10s}
        expect: never
      - name: our own office
        each: {type: login.failed, ip: 192.0.2.7}
        events:
          - {repeat: 30, every: 10s, account: "user{i}"}
        expect: never
"""
_POLICY = """\
# What is done. A step gives its tier when the strongest rule that matches is at least that severe; see docs/policy.md.
format: shoal.policy
version: 1
evidence: 24h  # how long a match counts when a step asks for several independent rules
threats:
  credential_attack:
    role: perpetrator  # it is contained; a victim would be secured
    description: somebody tries stolen or guessed passwords
    steps:
      - {tier: watch, severity: low}
      - {tier: challenge, severity: medium}
      - {tier: restrict, severity: high}
    actions:
      - {action: watch, from: watch, lease: 1h}
      - {action: rate_limit, from: challenge, lease: 1h}
"""
_LIST = """\
# kind: address
# Networks of our own; one a line. 192.0.2.0/24 is for documentation: put yours in its place.
192.0.2.0/24
"""
_CHILD = """\
# A pack that builds on another: all that {parent} has is inherited, and nothing is shadowed in silence.
format: shoal.pack
version: 1
name: {name}
pack_version: "0.1"
description: What {parent} does, fitted to our service.
extends: [{quoted}]
# Single fields of inherited definitions change here, by id:
# overrides:
#   rules:
#     link.reported: {{severity: high}}
#   lists:
#     trusted_networks: {{add: [198.51.100.0/24]}}
# What is not wanted is left out (a list of rule ids; or rules, features, lists, threats, allow with their ids):
# disable: [link.reported]
# A definition of your own under an inherited id must be named:
# replaces: {{lists: [trusted_networks]}}
"""
_CHILD_RULES = """\
# Rules of our own stand beside the inherited ones and read the same features.
format: shoal.rules
version: 1
rules:
  {name}.example:
    title: A file with the name of a canary was downloaded
    description: Nobody has a reason to open a canary file; whoever does is looking around.
    threat: {threat}
    subject: account
    severity: low
    confidence: 0.5
    condition: type = 'file.downloaded' AND file_name = 'canary - do not open.docx'
    reason: "{{account}} downloaded the canary file"
    false_positives:
      - a curious colleague
    evasion: Know the canary.
    tests:
      - name: the canary is opened
        events:
          - {{type: file.downloaded, account: ann, file_name: canary - do not open.docx}}
        expect: {{0: true}}
      - name: another file
        events:
          - {{type: file.downloaded, account: ann, file_name: report.docx}}
        expect: never
"""


def check_name(name: str) -> None:
    """Refuse what is no name of a pack."""
    if not NAME.match(name) or len(name) > 64:
        suggestion = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
        near = suggestion if NAME.match(suggestion) else ""
        raise InvalidInput(Problem("pack.name", f"{name!r} is no pack name", allowed=NAME_FORM, nearest=near))


def starter_files(name: str) -> dict[str, str]:
    """The files of a pack that stands alone."""
    return {
        "pack.yaml": _PACK.format(name=name),
        "features/logins.yaml": _FEATURES,
        "rules/logins.yaml": _RULES,
        "policy.yaml": _POLICY,
        "lists/offices.txt": _LIST,
    }


def child_files(name: str, reference: str, parent: str, threat: str) -> dict[str, str]:
    """The files of a pack that builds on another; `threat` is one that the other's policy names."""
    return {
        "pack.yaml": _CHILD.format(name=name, parent=parent, quoted=f'"{reference}"'),
        f"rules/{name}.yaml": _CHILD_RULES.format(name=name, threat=threat),
    }


def copy_files(name: str, folder: Path) -> dict[str, str]:
    """The files of another pack under a new name (`name:` in pack.yaml is all that changes)."""
    files = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in (".yaml", ".txt", ".md") and not path.name.startswith(".")
    }
    files["pack.yaml"] = re.sub(r"(?m)^name:.*$", f"name: {name}", files["pack.yaml"], count=1)
    return files


def write_files(target: Path, files: Mapping[str, str]) -> None:
    """Write a pack's files into a new folder, whole or not at all."""
    if os.path.lexists(target) and (not target.is_dir() or any(target.iterdir())):
        raise InvalidInput(
            Problem("pack.exists", "it is there already", Where(str(target)), hint="name another folder")
        )
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        for name, text in files.items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).write_text(text, encoding="utf-8")
        os.replace(aside, target)
    except OSError as error:
        message = f"{target} cannot be written: {error.strerror}"
        raise InvalidInput(Problem("pack.write", message, hint="name another folder")) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
