"""Slow twin of `shoal.enrich.facts`: dictionaries, one event at a time."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]
NAMES = {"account": ("created", "tier", "org", "verified"), "link": ("owner", "created"), "file": ("owner", "sha256")}
HEX = set("0123456789abcdefABCDEF")


class SlowFacts:
    def __init__(self) -> None:
        self.known: dict[tuple[str, str], dict[str, Any]] = {}

    def get(self, kind: str, subject: str | None) -> dict[str, Any]:
        return {} if subject is None else self.known.get((kind, subject), {})

    def put(self, kind: str, subject: str, name: str, value: Any) -> None:
        record = self.known.setdefault((kind, subject), {})
        if value is None:
            record.pop(name, None)
        else:
            record[name] = value

    def take(self, fact: Row) -> bool:
        """Apply a fact record; False where it is malformed."""
        kind, name, value = fact["subject_type"], fact["name"], fact["value"]
        if kind not in NAMES or name not in NAMES[kind] or not fact["subject"]:
            return False
        if value is not None:
            if name == "created":
                if str(value) != "-0" and not _is_integer(value):
                    return False
                value = int(value)
            elif name == "verified":
                if value not in ("true", "false"):
                    return False
                value = value == "true"
            elif name == "sha256":
                if len(value) != 64 or not set(value) <= HEX:
                    return False
                value = value.lower()
            elif value == "":
                return False
        self.put(kind, fact["subject"], name, value)
        return True

    def tell(self, event: Row) -> None:
        """What an event tells of itself."""
        kind = event.get("type")
        doer = event.get("actor") if event.get("actor") is not None else event.get("account")
        if kind == "account.created":
            subject = event.get("account") if event.get("account") is not None else event.get("actor")
            if subject is not None:
                for name, column in (("created", "time"), ("org", "org"), ("tier", "account_tier")):
                    if event.get(column) is not None:
                        self.put("account", subject, name, event[column])
        elif kind == "link.created" and event.get("link") is not None:
            if event.get("time") is not None:
                self.put("link", event["link"], "created", event["time"])
            self._own("link", event["link"], event.get("owner"), doer)
        elif kind == "file.uploaded" and event.get("file") is not None:
            self._own("file", event["file"], event.get("owner"), doer)
            if event.get("file_sha256") is not None:
                self.put("file", event["file"], "sha256", event["file_sha256"])
        elif kind == "file.modified" and event.get("file") is not None:
            self.put("file", event["file"], "sha256", event.get("file_sha256"))

    def _own(self, kind: str, subject: str, owner: str | None, doer: str | None) -> None:
        if owner is not None or "owner" not in self.get(kind, subject):
            self.put(kind, subject, "owner", owner if owner is not None else doer)

    def join(self, events: list[Row], facts: list[Row]) -> tuple[list[Row], list[int]]:
        rejected = []
        answers = []
        for i in range(len(events) + 1):
            for index, fact in enumerate(facts):
                if fact["row"] == i and not self.take(fact):
                    rejected.append(index)
            if i == len(events):
                break
            event = dict(events[i])
            self.tell(event)
            link, file = self.get("link", event.get("link")), self.get("file", event.get("file"))
            account, recipient = self.get("account", event.get("account")), self.get("account", event.get("recipient"))
            fill(event, "owner", link.get("owner", file.get("owner")))
            owner = self.get("account", event["owner"])
            fill(event, "account_created", account.get("created"))
            fill(event, "account_tier", account.get("tier"))
            fill(event, "account_verified", account.get("verified"))
            fill(event, "org", account.get("org"))
            fill(event, "owner_created", owner.get("created"))
            fill(event, "owner_tier", owner.get("tier"))
            fill(event, "recipient_created", recipient.get("created"))
            fill(event, "recipient_org", recipient.get("org"))
            fill(event, "link_created", link.get("created"))
            fill(event, "file_sha256", file.get("sha256"))
            answers.append(event)
        return answers, sorted(rejected)


def fill(event: Row, name: str, value: Any) -> None:
    if event.get(name) is None:
        event[name] = value


def _is_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= 18 and (digits == "0" or digits[0] != "0")
