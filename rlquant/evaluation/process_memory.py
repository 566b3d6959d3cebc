"""Memory that the allocator keeps in gaps between blocks, given back to the system in time.

States that are kept for long lie between temporary tensors; when they go they leave gaps that the
next tensors may not fit in. With glibc on Linux the gaps are seen and given back; elsewhere
nothing is done.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

ALLOWED = 32 * 2**20
"""Bytes of gaps that are left alone."""
_STATM = Path("/proc/self/statm")


def resident_bytes() -> int:
    """Return what the process holds of the machine's memory; 0 where that is not known."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


@cache
def _trim() -> Any:
    """Return glibc's `malloc_trim`, or None."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None


class Gaps:
    """Watches the gaps that come beyond those of the first look."""

    def __init__(self) -> None:
        self._usual: int | None = None

    def close(self, held: int) -> None:
        """Give gaps back where they have grown.

        Args:
            held: bytes that are kept for long.
        """
        free = resident_bytes() - held
        if self._usual is None:
            self._usual = free
        elif free > self._usual + ALLOWED and _trim() is not None:
            _trim()(ctypes.c_size_t(0))
            self._usual = max(self._usual, resident_bytes() - held)
