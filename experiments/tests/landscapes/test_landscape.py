"""Landscapes: files give back what was written, configurations keep their budget."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from made_landscapes import made_landscape
from safetensors.numpy import save_file

from rlquant.errors import FileFormatError
from rlquant.testing import ToyProblem
from rlquant_experiments.landscapes.landscape import read_landscape
from rlquant_experiments.landscapes.measuring import configurations


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    landscape, path = made_landscape(), tmp_path / "landscape.safetensors"
    landscape.write(path)
    found = read_landscape(path)
    for field in fields(landscape):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(landscape, field.name))


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "landscape.safetensors"
    save_file({"rows": np.zeros(3)}, path)
    with pytest.raises(FileFormatError):
        read_landscape(path)


def test_configurations_keep_the_budget_and_more_begin_with_the_same() -> None:
    feasible = ToyProblem(6, average_bits=3.5).feasible
    effects = np.exp(np.random.default_rng(0).standard_normal(feasible.costs.shape))
    few, more = (list(configurations((effects, 1 / effects), feasible, n, 5)) for n in (4, 9))
    assert all(feasible.fits(row) for row in more)
    assert all((a == b).all() for a, b in zip(few, more, strict=False))
    assert len({tuple(row) for row in more}) > 3
