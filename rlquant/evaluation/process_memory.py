"""Memory of the machine and of this process, and release of what the allocator holds in gaps.

States that are kept for long lie between temporary tensors; when they go they leave gaps that the
next tensors may not fit in. With glibc on Linux the gaps are seen and given back; elsewhere
nothing is done.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

from rlquant.allocator import trim

ALLOWED = 32 * 2**20
"""Bytes beyond the limit that are left alone."""
LARGE = 2**30
"""Bytes of a process below which gaps are left alone outside of evaluations."""
_STATM = Path("/proc/self/statm")
_MEMINFO = Path("/proc/meminfo")


def resident_bytes() -> int:
    """Return what the process holds of the machine's memory; 0 where that is not known."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def available_bytes() -> int | None:
    """Return the memory that the machine has free, or can free; None where that is not known."""
    try:
        lines = _MEMINFO.read_text().splitlines()
        (line,) = (line for line in lines if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None


def close_gaps() -> None:
    """Give back what copies of a network left, where they were large.

    A copy may hold itself, by a hook or a bound function, and goes when the collector runs.
    """
    if resident_bytes() > LARGE:
        gc.collect()
        trim()


class Gaps:
    """Watches what the process holds beyond its first look, and closes gaps where it is too much.

    Closing them is slow: the next tensors find no memory ready. So it is done late.

    Args:
        limit: bytes for what is kept for long, gaps included.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._usual: int | None = None

    def close(self, held: int) -> None:
        """Give gaps back where they go beyond the limit.

        Args:
            held: bytes that are kept for long.
        """
        resident = resident_bytes()
        if self._usual is None:
            self._usual = resident - held
        elif resident > self._usual + self._limit + ALLOWED and trim():
            self._usual = max(self._usual, resident_bytes() - self._limit - ALLOWED)
