from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rlquant.rotation.orthogonal import random_hadamard, random_orthogonal

Make = Callable[[int, int], Tensor]


@pytest.mark.parametrize("make", [random_orthogonal, random_hadamard])
@pytest.mark.parametrize("width", [1, 2, 8, 12, 15])
def test_rows_are_orthonormal_and_decided_by_the_seed(make: Make, width: int) -> None:
    matrix = make(width, 3)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(width, dtype=torch.float64))
    assert torch.equal(matrix, make(width, 3))
    assert width == 1 or not torch.equal(matrix, make(width, 4))


def test_hadamard_matrices_have_entries_of_one_size() -> None:
    expected = torch.full((16, 16), 1 / math.sqrt(16), dtype=torch.float64)
    torch.testing.assert_close(random_hadamard(16, 0).abs(), expected)


def test_hadamard_matrices_of_other_widths_mix_all_channels() -> None:
    assert float(random_hadamard(24, 0).abs().min()) > 0
