"""m365 reader (being written)."""

from __future__ import annotations

from shoal.events.decode import Decoded


class M365Decoder:
    """One partition's decoder."""

    def __init__(self, source: str, partition: str) -> None:
        self._source, self._partition = source, partition

    def decode(self, block: bytes, offset: int) -> Decoded:
        """Decode a block of whole records whose first has the number `offset`."""
        raise NotImplementedError


def sniff(head: bytes) -> float:
    """How much the first bytes look like it, in [0, 1]."""
    raise NotImplementedError
