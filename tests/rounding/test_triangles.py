"""Lower triangles: what they give back, and the memory that they take."""

from __future__ import annotations

import pytest
import torch

from rlquant.rounding.triangles import ROWS, Triangles
from strategies import seeded


@pytest.mark.parametrize("size", [1, 5, ROWS, ROWS + 1, 3 * ROWS - 7])
def test_they_give_back_symmetric_and_triangular_matrices(size: int) -> None:
    plain = torch.randn(2, size, size, generator=seeded(size))
    kept = Triangles.of(plain)
    assert torch.equal(kept.triangular(), plain.tril())
    assert torch.equal(kept.symmetric(), plain.tril() + plain.tril(-1).mT)


def test_they_are_copies_of_little_more_than_half() -> None:
    plain = torch.ones(1, 8 * ROWS, 8 * ROWS)
    kept = Triangles.of(plain)
    assert kept.nbytes == plain.nbytes * 9 // 16
    plain.zero_()
    assert kept.symmetric().all()
    small = torch.ones(1, 3, 3)
    Triangles.of(small).symmetric().zero_()
    assert small.all()
    assert Triangles.of(small).blocks[0].data_ptr() != small.data_ptr()
