"""Which bytes stay float whatever is chosen: said first, with the reasons."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import rlquant
from rlquant import (
    Budget,
    EvaluationSettings,
    LayerChoice,
    QuantizationConfig,
    QuantizationProblem,
    SearchSpace,
)
from rlquant.cost.float_share import FloatShare
from small_networks import samples


class Conv1D(nn.Module):
    """A linear layer as some language models have it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class Mixed(nn.Module):
    """Of 800 bytes 96 can be searched: a Linear layer between much that cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = Conv1D(6, 8)  # 192 bytes
        self.norm = nn.BatchNorm1d(8)  # 4 * 32 = 128 bytes and a counter that is not stored
        self.unused = nn.Linear(8, 8, bias=False)  # 256 bytes
        self.head = nn.Linear(8, 3)  # 96 and 12 bytes
        self.gates = nn.Parameter(torch.ones(29))  # 116 bytes

    def forward(self, x: Tensor) -> Any:
        hidden = self.norm(self.conv(x)) @ self.unused.weight.T
        return self.head(hidden * self.gates[:8])


EXPECTED = (
    ("Linear whose module is never called (its weight is used by another one)", 256),
    ("Conv1D, which is no kind of layer that is quantized", 192),
    ("normalisations", 128),
    ("Mixed, which is no kind of layer that is quantized", 116),
    ("biases", 12),
)


def problem(network: nn.Module, *exclude: str) -> QuantizationProblem:
    return QuantizationProblem(
        network,
        samples(30),
        samples(20, seed=1),
        budget=Budget.size_ratio(1.5),
        evaluation=EvaluationSettings(calibration_samples=30),
        space=SearchSpace(exclude=exclude),
    )


def test_every_byte_that_stays_float_has_a_reason() -> None:
    share = FloatShare.of(Mixed(), ["head"], [], "named in exclude")
    assert (share.total, share.float_bytes, share.chosen) == (800, 704, 0)
    assert share.reasons == EXPECTED
    assert str(share).startswith("704 of 800 bytes (88%) stay float whatever is chosen: 256 of Li")
    assert str(share).endswith(
        "116 of Mixed, which is no kind of layer that is quantized; 12 of other modules"
    )
    kept = FloatShare.of(Mixed(), ["head"], ["unused"], "named in exclude")
    assert kept.chosen == 256
    assert kept.reasons[0] == ("layers named in exclude", 256)


def test_a_network_of_which_all_is_searched_says_so() -> None:
    share = FloatShare.of(nn.Linear(2, 2, bias=False), [""], [], "")
    assert str(share) == "0 of 16 bytes (0%) stay float whatever is chosen: none"


def test_a_problem_warns_where_most_bytes_stay_float(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="rlquant"):
        made = problem(Mixed())
    said = [r for r in caplog.records if "stay float" in r.message and "bytes" in r.message]
    assert [r.levelname for r in said] == ["WARNING"]
    assert made.notes == (said[0].message,)
    assert "704 of 800 bytes (88%)" in made.notes[0]


def test_a_problem_says_it_where_few_bytes_stay_float(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="rlquant"):
        made = problem(nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3)), "1")
    (said,) = [r for r in caplog.records if "stay float" in r.message]
    assert said.levelname == "INFO"
    assert "96 of layers named in exclude or tied; 44 of biases" in made.notes[0]


@pytest.mark.parametrize(("layer", "level"), [("head", "WARNING"), ("unused", "INFO")])
def test_quantize_says_it_too(caplog: pytest.LogCaptureFixture, layer: str, level: str) -> None:
    network = Mixed()
    if level == "INFO":
        network.conv, network.gates = nn.Identity(), nn.Parameter(torch.ones(1))  # type: ignore[assignment]
    with caplog.at_level(logging.INFO, logger="rlquant"):
        rlquant.quantize(network, QuantizationConfig((LayerChoice(layer, 4),)))
    assert [r.levelname for r in caplog.records if "stay float" in r.message] == [level]
