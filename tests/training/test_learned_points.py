"""Learned points: sorted after every step, each with what the optimizer remembers of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rlquant.training.points import LearnedPoints
from strategies import seeded
from trainable_weights import form_of, made, moved, weight

NAME = "post_training-learned-nearest"
START = torch.tensor([0.0, 0.4, 0.5, 1.0])

Optimizers = Callable[[Tensor], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Optimizers] = {
    "sgd": lambda p: torch.optim.SGD([p], lr=0.1, momentum=0.9, nesterov=True),
    "sgd-without-momentum": lambda p: torch.optim.SGD([p], lr=0.1),
    "adam": lambda p: torch.optim.Adam([p], lr=0.06, betas=(0.9, 0.99)),
    "adamw": lambda p: torch.optim.AdamW([p], lr=0.06, betas=(0.9, 0.99), weight_decay=0.0),
}


def layer() -> LearnedPoints:
    trainable = LearnedPoints(form_of(NAME, bits=2), weight())
    with torch.no_grad():
        trainable.points.copy_(START)
    return trainable


def test_points_start_at_the_quantiles() -> None:
    quantiles = made(NAME, bits=2).numbers()["points"]
    assert quantiles[0] == 0
    assert quantiles[-1] == 1
    assert (quantiles.diff() > 0).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_point_that_overtakes_another_keeps_its_momentum(name: str) -> None:
    """Sorted points move as unsorted ones would: the order alone is another one."""
    trainable = layer()
    optimizer = OPTIMIZERS[name](trainable.points)
    free = torch.nn.Parameter(START.clone())
    unsorted = OPTIMIZERS[name](free)
    swaps = 0
    draw = seeded(3)
    pull = torch.tensor([0.0, -2.0, 2.0, 0.0])  # the inner two towards and past each other
    for step in range(8):
        gradient = 0.5 * torch.randn(4, generator=draw) + (pull if step < 3 else -0.5 * pull)
        order = free.detach().sort(stable=True).indices
        free.grad = gradient
        trainable.points.grad = gradient[order]
        optimizer.step()
        unsorted.step()
        swaps += not torch.equal(trainable.points, trainable.points.sort().values)
        trainable.after_step(optimizer)
        assert (trainable.points.diff() >= 0).all()
        torch.testing.assert_close(trainable.points.detach(), free.detach().sort().values)
    assert swaps  # else nothing was tested


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_what_is_remembered_is_sorted_with_the_points(name: str) -> None:
    trainable = layer()
    optimizer = OPTIMIZERS[name](trainable.points)
    trainable.points.grad = torch.tensor([1.0, -8.0, 4.0, 2.0])
    optimizer.step()
    moving = trainable.points.detach().clone()
    kept = {k: v.clone() for k, v in optimizer.state[trainable.points].items() if v is not None}
    order = moving.argsort()
    assert not torch.equal(order, torch.arange(4))
    trainable.after_step(optimizer)
    assert torch.equal(trainable.points, moving[order])
    for key, value in kept.items():
        wanted = value[order] if value.dim() else value
        assert torch.equal(optimizer.state[trainable.points][key], wanted)


def test_without_any_step_taken_sorting_changes_nothing() -> None:
    trainable = layer()
    trainable.after_step(torch.optim.SGD([trainable.points], lr=0.1))
    assert torch.equal(trainable.points, START)


def test_points_may_leave_their_groups_range_and_merge_and_part_again() -> None:
    trainable = layer()
    with torch.no_grad():
        trainable.points.copy_(torch.tensor([-0.3, 0.5, 0.5, 1.4]))
    latent = moved(weight())
    assert torch.equal(trainable(latent), trainable.project(latent).dequantize())
    trainable(latent).sum().backward()
    gradient = trainable.points.grad
    assert gradient is not None
    assert gradient[1:3].all()  # one takes the weights from below, the other those from above
    assert gradient[1] != gradient[2]


def test_frozen_weights_are_assigned_again_as_the_points_move() -> None:
    trainable = layer()
    before = trainable.project(weight())
    with torch.no_grad():
        trainable.points.copy_(torch.tensor([0.0, 0.1, 0.2, 1.0]))
    after = trainable.project(weight())
    assert not torch.equal(before.codes, after.codes)
    assert before.scale is not None
    assert after.scale is not None
    assert before.offset is not None
    assert after.offset is not None
    assert torch.equal(before.scale, after.scale)
    assert torch.equal(before.offset, after.offset)
