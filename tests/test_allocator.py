"""Freed memory is kept inside of public calls, where the C library is glibc, and given back."""

from __future__ import annotations

import platform
import resource

import pytest
import torch

from rlquant.allocator import Allocator, trim
from rlquant.ambient import isolated

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

TENSOR = 2**24
"""Numbers of a tensor that glibc asks the system for: 64 MiB."""
PAGES = TENSOR * 4 // resource.getpagesize()


def new_pages() -> int:
    """How many pages the system hands over for a tensor, one like it gone before."""
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(TENSOR)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@glibc
def test_inside_of_public_calls_memory_is_kept() -> None:
    with isolated():
        assert new_pages() < PAGES / 10
    assert new_pages() > PAGES / 2


@glibc
def test_what_is_free_can_be_given_back() -> None:
    assert trim()


def test_it_is_known_what_was_told_last() -> None:
    allocator = Allocator()
    assert not allocator.keeps
    allocator.keeps = True
    assert allocator.keeps
    allocator.keeps = False
    assert not allocator.keeps
