"""Small networks, data and problems that trials work on: the same in every process."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rlquant import (
    Budget,
    EvaluationSettings,
    LayerChoice,
    QuantizationConfig,
    QuantizationProblem,
    SearchSpace,
    Table,
    TabularProblem,
    quantize,
)
from rlquant.testing import random_table

FEATURES, CLASSES = 6, 3
SPACE = SearchSpace(bits=(2, 4, 8))
BUDGET = Budget.average_bits(16.0)


class Mlp(nn.Module):
    """Three Linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, 8)
        self.second = nn.Linear(8, 8)
        self.last = nn.Linear(8, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits, shape `(batch, CLASSES)`."""
        hidden = torch.relu(self.second(torch.relu(self.first(inputs))))
        output: Tensor = self.last(hidden)
        return output


def network() -> nn.Module:
    """Return the same random network every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Mlp().eval()


def data(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return inputs and labels that the inputs tell."""
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, FEATURES, generator=draw)
    return inputs, inputs[:, :CLASSES].argmax(dim=1)


def problem(**other: Any) -> QuantizationProblem:
    """Return a live problem of milliseconds an evaluation."""
    settings = {
        "budget": BUDGET,
        "space": SPACE,
        "evaluation": EvaluationSettings(calibration_samples=40, batch_size=16),
        **other,
    }
    return QuantizationProblem(network(), data(40, seed=1), data(50, seed=2), **settings)


CONFIG = QuantizationConfig(
    (
        LayerChoice("first", 3, points="quantile", activation_bits=4),
        LayerChoice("second", 2, method="ternary", activation_bits=8),
        LayerChoice("last", 8, points="affine"),
    )
)


@cache
def quantized() -> nn.Module:
    """Return the network quantized in three ways at once."""
    return quantize(network(), CONFIG, data(40, seed=1), calibration_samples=40)


@cache
def table() -> Table:
    """Return a table of 64 configurations."""
    return random_table(groups=3, options=4, seed=0)


def tabular_problem(**other: Any) -> TabularProblem:
    """Return the problem over the table."""
    return TabularProblem(table(), other.get("budget", Budget.average_bits(4.0)))


def files_of(folder: Path) -> list[Path]:
    """Return all files below a folder, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


@cache
def _kept() -> QuantizationProblem:
    return problem()


def evaluate(config: Any) -> Any:
    """Evaluate on the live problem."""
    return _kept().evaluate(config)


def evaluate_many(configs: Any) -> Any:
    """Evaluate several on the live problem."""
    return _kept().evaluate_many(configs)


def build(config: Any) -> Any:
    """Build on the live problem."""
    return _kept().build(config)


def with_budget(budget: Any) -> Any:
    """Return the live problem under another budget."""
    return _kept().with_budget(budget)
