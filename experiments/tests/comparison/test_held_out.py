"""Networks on test images: the same means as `measure`, and differences paired by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rlquant import measure
from rlquant_experiments.comparison.held_out import HeldOut, measure_images, paired_differences


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(300, 4, generator=generator)  # two batches, the second one short
    return inputs, torch.randint(3, (300,), generator=generator)


def test_images_have_the_means_that_are_measured() -> None:
    torch.manual_seed(0)
    network = nn.Linear(4, 3)
    measured, images = measure_images(network, data())
    assert measured == measure(network, data())
    assert images.losses.shape == images.correct.shape == (300,)
    assert images.losses.mean() == pytest.approx(measured.loss)
    assert images.correct.mean() == measured.accuracy
    inputs, targets = data()
    expected = nn.functional.cross_entropy(network(inputs), targets, reduction="none")
    assert images.losses == pytest.approx(expected.detach().numpy(), abs=1e-6)


def outcome(losses: list[float], correct: list[float]) -> HeldOut:
    return HeldOut(np.array(losses), np.array(correct))


def test_differences_are_paired_by_seed_and_image() -> None:
    own = [outcome([1.0, 2.0], [1, 0]), outcome([3.0, 4.0], [1, 1])]
    others = [outcome([1.5, 2.5], [1, 0]), outcome([3.5, 4.5], [0, 1])]
    loss, accuracy = paired_differences(own, others)
    assert (loss.value, loss.low, loss.high) == (-0.5, -0.5, -0.5)
    assert accuracy.value == 0.25
    assert 0 <= accuracy.low <= 0.25 <= accuracy.high <= 1


def test_who_ran_once_is_paired_with_every_seed() -> None:
    own = [outcome([1.0, 2.0], [1, 0]), outcome([3.0, 4.0], [1, 1])]
    once = [outcome([2.0, 2.0], [0, 0])]
    assert paired_differences(own, once)[0].value == (-1 + 0 + 1 + 2) / 4
    assert paired_differences(once, own)[0].value == -0.5
