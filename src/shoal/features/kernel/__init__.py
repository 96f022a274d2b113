"""The one generic kernel: memory, tables, queues, sketches, pairs, the log, reads, and the loop over events.

Numba's cache of compiled code looks at the source of a function, not at the sources of what it calls or at the
constants it reads. These modules call each other, so `forget_stale_code` empties the cache of this folder whenever any
of their sources has changed: an old caller must never run with a new callee.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

_STAMP = "shoal-features-sources"


def forget_stale_code(cache_path: str | None) -> None:
    """Remove compiled code that was made from other sources than today's from Numba's cache folder `cache_path`."""
    if not cache_path:
        return
    here, cache = Path(__file__).parent, Path(cache_path)
    names = sorted([*here.glob("*.py"), here.parent / "descriptor.py"])
    sources = hashlib.sha256(b"".join(path.read_bytes() for path in names)).hexdigest()
    stamp = cache / _STAMP
    with contextlib.suppress(OSError):
        if stamp.read_text() == sources:
            return
    with contextlib.suppress(OSError):  # a folder that cannot be written holds no code of ours
        for path in [*cache.glob("*_kernel.*.nbi"), *cache.glob("*_kernel.*.nbc")]:
            path.unlink(missing_ok=True)
        cache.mkdir(parents=True, exist_ok=True)
        stamp.write_text(sources)
