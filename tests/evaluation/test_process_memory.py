"""Gaps of the allocator are given back once they go beyond the limit, and only then."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from rlquant.evaluation import process_memory
from rlquant.evaluation.process_memory import ALLOWED, Gaps, resident_bytes

LIMIT = 1000


def trims(*looks: tuple[int, int]) -> int:
    """How often memory is given back over looks of (resident, held) bytes."""
    trim = mock.Mock()
    gaps = Gaps(LIMIT)
    with mock.patch.object(process_memory, "trim", trim):
        for resident, held in looks:
            with mock.patch.object(process_memory, "resident_bytes", lambda r=resident: r):
                gaps.close(held)
    return trim.call_count


def test_what_is_held_and_gaps_within_the_limit_are_left_alone() -> None:
    assert trims((500, 0), (500 + LIMIT + ALLOWED, 300)) == 0


def test_what_was_held_at_the_first_look_is_not_usual() -> None:
    assert trims((500, 400), (100 + LIMIT + ALLOWED, 0)) == 0
    assert trims((500, 400), (101 + LIMIT + ALLOWED, 0)) == 1


def test_gaps_beyond_the_limit_are_given_back() -> None:
    assert trims((500, 0), (501 + LIMIT + ALLOWED, 900)) == 1


def test_what_cannot_be_given_back_is_not_tried_again() -> None:
    much = (501 + LIMIT + ALLOWED, 900)
    assert trims((500, 0), much, much) == 1
    assert trims((500, 0), much, much, (much[0] + 1, 900)) == 2


def test_the_resident_bytes_are_those_of_this_process() -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("the system does not say")
    assert 10**7 < resident_bytes() < 10**11


def test_where_the_system_does_not_say_nothing_is_done(tmp_path: Path) -> None:
    with mock.patch.object(process_memory, "_STATM", tmp_path / "none"):
        assert resident_bytes() == 0
