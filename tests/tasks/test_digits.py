from __future__ import annotations

import torch

from rlquant.samples import fingerprint_tensors
from rlquant.tasks.digits import load_digits


def test_the_parts_have_their_sizes_types_and_ranges() -> None:
    splits = load_digits()
    for (inputs, targets), count in (
        (splits.train, 1000),
        (splits.validation, 397),
        (splits.test, 400),
    ):
        assert inputs.shape == (count, 1, 8, 8)
        assert inputs.dtype == torch.float32
        assert inputs.min() == 0.0
        assert inputs.max() == 1.0
        assert targets.dtype == torch.int64
        assert torch.bincount(targets, minlength=10).min() >= count // 12


def test_the_parts_are_disjoint_and_together_all_images() -> None:
    # No two of the 1,797 images are equal, so images tell whether samples are.
    splits = load_digits()
    inputs = torch.cat([splits.train[0], splits.validation[0], splits.test[0]])
    assert len(inputs.flatten(1).unique(dim=0)) == 1797


def test_the_split_is_the_same_every_time() -> None:
    first, again = load_digits(), load_digits()
    assert fingerprint_tensors(first.train) == fingerprint_tensors(again.train)
    assert fingerprint_tensors(first.train) == "03b9c6a17060e7d73ee0010241c7eeea"
    assert fingerprint_tensors(first.test) != fingerprint_tensors(first.validation)
