"""Session detectors: does this session look like the account's owner, by what was done and by how?

`SequenceModel` reads any sequence of event tokens. Scores are higher when worse, `None` or NaN
when unknown; the score of a session never depends on other sessions of the batch, and scoring never learns.
"""

from shoal.detectors.takeover.sessions.levels import SequenceOptions
from shoal.detectors.takeover.sessions.result import SessionReason, SessionScore
from shoal.detectors.takeover.sessions.sequence import SequenceModel, SessionStream

__all__ = ["SequenceModel", "SequenceOptions", "SessionReason", "SessionScore", "SessionStream"]
