"""The formats that Shoal reads, by name: `FORMATS`, and a guess from the first bytes of a file.

A `Format` says how its records are framed and makes decoders; each format is one small module beside this one. To add a
format: a module with its mapping table and decoder, a line in `FORMATS`, a table of malformed inputs in the tests, a
section in docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from shoal.events.decode import Decoder
from shoal.events.formats import cloudtrail, m365, native, ocsf

LINES, JSON, CSV_OR_JSON = "lines", "json", "csv"


@dataclass(frozen=True)
class Format:
    """One input format.

    `framing`: "lines" (one JSON object a line), "json" (lines, one array, or an object with a `Records` array, told
    apart by the first bytes) or "csv" (CSV with a header row, else as "json"). `suffixes`: usual file name endings
    before .gz or .zst. `decoder(source, partition)` makes a decoder; `sniff(head)` says in [0, 1] how much the first
    bytes look like it.
    """

    name: str
    title: str
    framing: str
    suffixes: tuple[str, ...]
    decoder: Callable[[str, str], Decoder]
    sniff: Callable[[bytes], float]


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Format("native", "Shoal events, NDJSON", LINES, (".ndjson", ".jsonl"), native.NativeDecoder, native.sniff),
            Format("ocsf", "OCSF events, JSON", JSON, (".ndjson", ".json"), ocsf.OcsfDecoder, ocsf.sniff),
            Format("cloudtrail", "AWS CloudTrail", JSON, (".json", ".ndjson"),
                   cloudtrail.CloudTrailDecoder, cloudtrail.sniff),
            Format("m365", "Microsoft 365 unified audit log", CSV_OR_JSON, (".csv", ".json", ".ndjson"),
                   m365.M365Decoder, m365.sniff),
        )
    }
)  # fmt: skip


def guess_format(head: bytes) -> str | None:
    """The name of the format that the first bytes (decompressed, some KiB) look like most; None where none does."""
    best = max(FORMATS.values(), key=lambda entry: entry.sniff(head))
    return best.name if best.sniff(head) >= 0.5 else None
