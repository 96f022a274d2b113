"""The column `attributes`: what has no column of its own, as JSON texts. Hot path.

The entropy and the folder of an upload where the client states them, the bonus of an invitation, who invited a new
account and the shapes of its name, the hash of a card, telephone or recovery address, and whether a device attests
itself. Rows of the same text share one. `Attributes` holds the pools of one world.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from shoal.simulate.catalogue import CLIENTS, TYPE, VERSIONS
from shoal.simulate.draws import Bools, Ints, mix, unit
from shoal.simulate.people import People
from shoal.simulate.rows import EXTRAS, Rows, length
from shoal.simulate.scenario.structure import Means

_SIGNED_UP, _BEGUN, _UPLOADED = TYPE["account.created"], TYPE["session.started"], TYPE["file.uploaded"]
MEANS = {
    TYPE["payment.added"]: "payment_hash", TYPE["phone.verified"]: "phone_hash",
    TYPE["recovery.changed"]: "recovery_hash",
}  # fmt: skip
_FOLDER, _INVITED = EXTRAS.index("folder"), EXTRAS.index("invited_by")
_TOP = ("Documents", "Photos", "Projects", "School", "Work", "Family", "Music", "Backup", "Shared", "Archive", "Scans",
        "Clients")  # fmt: skip
_MIDDLE = ("", "2023", "2024", "2025", "Invoices", "Contracts", "Summer", "Drafts", "Old", "Reports", "Design", "Notes",
           "Travel", "Letters", "Recipes", "Slides")  # fmt: skip
_LAST = ("", "final", "to sort", "copies", "spring", "autumn", "A", "B", "new", "export", "raw", "signed")
FOLDERS = tuple("/" + "/".join(word for word in (a, b, c) if word) for c in _LAST for b in _MIDDLE for a in _TOP)
"""Paths of folders, the commonest first."""
_OWN = 6
"""Folders that an account keeps most of its files in."""


def folder_of(file: Ints, seed: int) -> Ints:
    """The folder of an upload: one of some that its owner uses, the common ones more often than the others."""
    place = mix(file, seed * 8 + 231) % np.uint64(_OWN)
    drawn = unit((file >> 24) * _OWN + place.astype(np.int64), seed * 8 + 232)
    return (len(FOLDERS) * drawn**3).astype(np.int64)


def attests(device: Ints, agent: Ints, share: float) -> Bools:
    """Which devices attest themselves: a share of those with an application of the service."""
    app = np.array([c.client in ("desktop", "mobile") for c in CLIENTS for _ in range(VERSIONS)])
    found: Bools = app[agent] & (device >= 0) & (unit(device, 233) < share)
    return found


class Attributes:
    """Makes the column for blocks of rows."""

    def __init__(self, people: People, accounts: pa.Array, means: Means) -> None:
        self.people, self.accounts, self.means, self.seed = people, accounts, means, people.seed

    def column(self, part: Rows, code: Ints) -> pa.Array:
        """`attributes` of complete rows. `code`: what `extra` says in each row, the entropy of contents included; it is
        overwritten."""
        size, kind = length(part), part["type"]
        folder, attested, given = self._folders(part), self._attested(part), np.isin(kind, list(MEANS))
        inviter = np.where((code >= 0) & (code % len(EXTRAS) == _INVITED), code // len(EXTRAS), -1)
        code[(code >= 0) & (code % len(EXTRAS) >= _FOLDER)] = -1
        made = np.flatnonzero((kind == _SIGNED_UP) & (part["account"] >= 0))
        given &= part["content"] >= 0
        known = (code >= 0) | (folder >= 0) | attested
        if not (known.any() or given.any() or len(made)):
            return pa.nulls(size, pa.string())
        key = (code + 1) * (len(FOLDERS) + 1) + folder + 1
        values, place = np.unique(key * 2 + attested, return_inverse=True)
        texts = [self._plain(value) for value in values.tolist()]
        place, missing = place.ravel(), ~known
        for at, more in ((made, self._signed_up(part, made, inviter, attested)), self._given(part, given)):
            place[at], missing[at] = len(texts) + np.arange(len(at)), False
            texts += more
        return pa.array(texts, pa.string()).take(pa.array(place, mask=missing))

    @staticmethod
    def _plain(value: int) -> str:
        """What a combination of `extra`, folder and attestation says."""
        key, attested = value // 2, value % 2
        code, folder = key // (len(FOLDERS) + 1) - 1, key % (len(FOLDERS) + 1) - 1
        said = []
        if code >= 0:
            name, number = EXTRAS[code % len(EXTRAS)], code // len(EXTRAS)
            said.append(f'"{name}":{number / 100:g}' if name == "entropy" else f'"{name}":{number}')
        if folder >= 0:
            said.append(f'"folder":"{FOLDERS[folder]}"')
        if attested:
            said.append('"device_attested":true')
        return "{" + ",".join(said) + "}"

    def _folders(self, part: Rows) -> Ints:
        """The folder of each upload: what `extra` says, or that of the file; -1 where it is not stated."""
        share = self.means.folder_share
        out = np.full(length(part), -1, dtype=np.int64)
        if share <= 0:
            return out
        at = np.flatnonzero((part["type"] == _UPLOADED) & (part["file"] >= 0))
        at = at[unit(part["device"][at], 234) < share]
        said = part["extra"][at].astype(np.int64)
        own = folder_of(part["file"][at], self.seed)
        given = (said >= 0) & (said % len(EXTRAS) == _FOLDER)
        out[at] = np.where(given, said // len(EXTRAS) % len(FOLDERS), own)
        return out

    def _attested(self, part: Rows) -> Bools:
        if self.means.attested_share <= 0:
            return np.zeros(length(part), dtype=bool)
        begins = (part["type"] == _SIGNED_UP) | (part["type"] == _BEGUN)
        found: Bools = begins & attests(part["device"], part["agent"], self.means.attested_share)
        return found

    def _signed_up(self, part: Rows, made: Ints, inviter: Ints, attested: Bools) -> list[str]:
        texts = []
        for row, account in zip(made.tolist(), part["account"][made].tolist(), strict=True):
            email, name = self.people.shapes(account)
            said = f'{{"email_shape":"{email}","name_shape":"{name}"'
            if inviter[row] >= 0:
                said += f',"invited_by":"{self.accounts[int(inviter[row])].as_py()}"'
            texts.append(said + (',"device_attested":true}' if attested[row] else "}"))
        return texts

    def _given(self, part: Rows, given: Bools) -> tuple[Ints, list[str]]:
        at = np.flatnonzero(given)
        words = mix(part["content"][at], self.seed * 8 + 235).tolist()
        names = [MEANS[kind] for kind in part["type"][at].tolist()]
        return at, [f'{{"{name}":"{word:016x}"}}' for name, word in zip(names, words, strict=True)]
