"""The C library's allocator: whether it keeps freed memory for the next tensor.

By default glibc maps memory for each tensor above 32 MiB and unmaps it when the tensor is freed.
The page faults of new memory take longer than most operations on the tensor. Elsewhere than
with glibc nothing is done.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

KEPT_BYTES = 2**30
"""Freed memory that is kept at most at the end of the heap."""

# glibc's mallopt.h: parameters, the default number of tensors that come from the system, and the
# thresholds that glibc's own rule ends at in a process with large tensors
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_DEFAULT_MMAP_MAX, _LARGEST_MMAP_THRESHOLD = 65536, 2**25


class Allocator:
    """The process's allocator, which can be told what to do and not asked what it does."""

    def __init__(self) -> None:
        self._keeps = False

    @property
    def keeps(self) -> bool:
        """Whether freed memory is kept; given back, by default."""
        return self._keeps

    @keeps.setter
    def keeps(self, keeps: bool) -> None:
        self._keeps = keeps
        set_parameter = _glibc("mallopt")
        if set_parameter is None:
            return
        if keeps:
            set_parameter(_MMAP_MAX, 0)
            set_parameter(_TRIM_THRESHOLD, KEPT_BYTES)
        else:
            set_parameter(_MMAP_MAX, _DEFAULT_MMAP_MAX)
            set_parameter(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
            set_parameter(_TRIM_THRESHOLD, 2 * _LARGEST_MMAP_THRESHOLD)


def trim() -> bool:
    """Give the system back what is free, gaps included; return whether that can be done here."""
    function = _glibc("malloc_trim")
    if function is None:
        return False
    function(ctypes.c_size_t(0))
    return True


@cache
def _glibc(name: str) -> Any:
    """Return a function of glibc's allocator, or None where the C library is another one."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - an AttributeError elsewhere
        return getattr(library, name)
    except (OSError, AttributeError, TypeError):
        return None
