"""A small network of 34 layers whose gradients tell what options cost in loss."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from rlquant import Budget, Distillation, EvaluationSettings, QuantizationProblem, SearchSpace

BLOCKS = 17
SPACE = SearchSpace(bits=(2, 3, 4, 8))


class Residual(nn.Module):
    """Two linear layers beside what passes by; every third block counts much more."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)
        self.factor = 1.0 if number % 3 == 0 else 0.1

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.factor * self.down(torch.relu(self.up(inputs)))


def problem(space: SearchSpace = SPACE) -> QuantizationProblem:
    torch.manual_seed(0)
    network = nn.Sequential(*(Residual(number) for number in range(BLOCKS)))
    inputs = torch.randn(96, 8)
    data = [(inputs[:64], torch.zeros(64)), (inputs[64:], torch.zeros(32))]
    return QuantizationProblem(
        network,
        [data[0]],
        [data[1]],
        budget=Budget.average_bits(4.2),
        space=space,
        objective=Distillation("mse"),
        evaluation=EvaluationSettings(batch_size=32),
    )


@cache
def shared() -> QuantizationProblem:
    """Return one problem for the tests that change nothing of it; it remembers what it measured."""
    return problem()
