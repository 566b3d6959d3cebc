"""Batches have as many samples as the tensors outside and inside of a network leave room for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rlquant import batch_size
from rlquant.batch_size import batch_size_within
from rlquant.samples import Samples

WIDE, NARROW = 64, 4
"""Numbers of a sample inside of the network and of its outputs; 4 bytes each."""


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, WIDE), nn.ReLU(), nn.Linear(WIDE, NARROW))


def samples(count: int = 8) -> Samples:
    return Samples((torch.zeros(count, 3),), torch.zeros(count))


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(batch_size, "ACTIVATION_BYTES", 2**40)
    monkeypatch.setattr(batch_size, "BATCH_BYTES", 2**40)
    return monkeypatch


def test_small_tensors_leave_room_for_the_most() -> None:
    assert batch_size_within(network(), samples()) == 250
    assert batch_size_within(network(), samples(), most=64) == 64


@pytest.mark.parametrize("count", [1, 2, 8])
def test_the_largest_tensor_inside_fits(limits: pytest.MonkeyPatch, count: int) -> None:
    limits.setattr(batch_size, "ACTIVATION_BYTES", 5 * WIDE * 4 + 1)
    assert batch_size_within(network(), samples(count)) == 5


def test_outputs_are_none_of_the_tensors_inside(limits: pytest.MonkeyPatch) -> None:
    limits.setattr(batch_size, "ACTIVATION_BYTES", 5 * WIDE * 4)
    assert batch_size_within(nn.Linear(3, 10 * WIDE), samples()) == 250
    limits.setattr(batch_size, "BATCH_BYTES", 7 * NARROW * 4)
    assert batch_size_within(nn.Linear(3, NARROW), samples()) == 7


def test_large_tensors_inside_leave_two_samples_and_large_outputs_one(
    limits: pytest.MonkeyPatch,
) -> None:
    limits.setattr(batch_size, "ACTIVATION_BYTES", 1)
    assert batch_size_within(network(), samples()) == 2
    limits.setattr(batch_size, "BATCH_BYTES", 1)
    assert batch_size_within(network(), samples()) == 1


def test_outputs_that_are_no_tensors_are_passed_over(limits: pytest.MonkeyPatch) -> None:
    class WithNone(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = network()

        def forward(self, inputs: Tensor) -> tuple[Tensor, None]:
            return self.layers(inputs), None

    limits.setattr(batch_size, "ACTIVATION_BYTES", 5 * WIDE * 4)
    assert batch_size_within(WithNone(), samples()) == 5


def test_what_is_asked_for_is_taken() -> None:
    assert batch_size_within(network(), samples(), 1000) == 1000
