"""Decoding a block of lines of which each may hold several records: what the suites' decoders share.

A reader gives two functions: `take` adds the records of one line to the intake and returns the next free place,
`finish` turns the intake into columns. Holds no state.
"""

from __future__ import annotations

from collections.abc import Callable

from shoal.events.decode import Decoded
from shoal.events.formats.records import Intake, split_lines


def decode_lines(
    intake: Intake,
    block: bytes,
    offset: int,
    take: Callable[[Intake, bytes, int], int],
    finish: Callable[[Intake, int], Decoded],
) -> Decoded:
    """Decode a block of whole lines whose first record has the place `offset`."""
    place = offset
    for line in split_lines(block):
        place = take(intake, line, place)
    return finish(intake, place - offset)
