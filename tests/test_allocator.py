"""Freed memory is kept inside of public calls, where the C library is glibc, and given back."""

from __future__ import annotations

import platform
import resource

import pytest
import torch

from rlquant.allocator import Allocator, trim
from rlquant.ambient import isolated

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

LARGE = 2**24
"""Numbers of a tensor of 64 MiB, which glibc asks the system for by default."""


def new_pages(numbers: int) -> int:
    """Return the page faults of a tensor that is freed at once."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(numbers)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@glibc
def test_inside_of_public_calls_memory_is_kept_for_the_next_tensor() -> None:
    smaller = 3 * LARGE // 4
    with isolated():
        new_pages(LARGE)
        found = [new_pages(smaller) for _ in range(5)]
    assert min(found) < smaller * 4 / resource.getpagesize() / 10


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
