"""OCSF both ways: `read` takes events of the classes that map, `write` writes any event table as OCSF events.

What an event says and OCSF has no place for goes into `unmapped.shoal`, from where the reader takes it back.
"""

from __future__ import annotations

from shoal.events.formats.ocsf.read import MARKS, OcsfDecoder, sniff
from shoal.events.formats.ocsf.write import write_ocsf

__all__ = ["MARKS", "OcsfDecoder", "sniff", "write_ocsf"]
