"""Session detectors: does this session look like the account's owner, by what was done and by how?

`SequenceModel` reads any sequence of event tokens, `PointerModel` the pointer's movements. Scores are higher when
worse, `None` or NaN when unknown; the score of a session never depends on other sessions of the batch, and scoring
never learns.
"""

from shoal.detectors.takeover.sessions.levels import SequenceOptions
from shoal.detectors.takeover.sessions.pointer import PointerModel, PointerOptions
from shoal.detectors.takeover.sessions.result import SessionReason, SessionScore
from shoal.detectors.takeover.sessions.sequence import SequenceModel, SessionStream
from shoal.detectors.takeover.sessions.strokes import PointerEvents, stroke_statistics

__all__ = [
    "PointerEvents",
    "PointerModel",
    "PointerOptions",
    "SequenceModel",
    "SequenceOptions",
    "SessionReason",
    "SessionScore",
    "SessionStream",
    "stroke_statistics",
]
