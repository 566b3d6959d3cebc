"""Networks that are not the same function every time: refused, or scored by means of passes."""

from __future__ import annotations

import logging
import random
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

import rlquant
from evaluation_values import in_values
from rlquant import (
    Budget,
    EvaluationSettings,
    LayerChoice,
    QuantizationConfig,
    QuantizationProblem,
    Racing,
)
from rlquant.errors import NetworkError, SettingsError
from rlquant.evaluation.repeated import PASSES
from rlquant_agents import search

TWO, FOUR = (
    QuantizationConfig((LayerChoice("body", bits), LayerChoice("head", bits))) for bits in (2, 4)
)
GLOBAL: list[Tensor] = []


def data(samples: int, seed: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (samples,), generator=draw)
    return torch.eye(3, 6)[labels] + torch.randn(samples, 6, generator=draw), labels


class Steady(nn.Module):
    """Two layers; what is done between them is up to subclasses."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(6, 16), nn.Linear(16, 3)
        self.seen: list[Tensor] = []
        self.calls = 0
        self.register_buffer("mean", torch.zeros(16))

    def forward(self, x: Tensor) -> Any:
        return self.head(self.between(torch.relu(self.body(x))))

    def between(self, hidden: Tensor) -> Tensor:
        return hidden


class Dropping(Steady):
    def between(self, hidden: Tensor) -> Tensor:
        return dropout(hidden, 0.5)


class SeldomDropping(Steady):
    """Leaves the hidden units out in one pass of four."""

    def between(self, hidden: Tensor) -> Tensor:
        return hidden * (torch.rand(()) > 0.25)


class DroppingFew(Steady):
    def between(self, hidden: Tensor) -> Tensor:
        return dropout(hidden, 0.0002)


class DroppingByNumPy(Steady):
    def between(self, hidden: Tensor) -> Tensor:
        return hidden * float(np.random.random())


class DroppingByRandom(Steady):
    def between(self, hidden: Tensor) -> Tensor:
        return hidden * random.random()


class Caching(Steady):
    def between(self, hidden: Tensor) -> Tensor:
        self.seen.append(hidden.mean(0))
        return hidden - torch.stack(self.seen[-3:]).mean(0)


class CachingLater(Steady):
    """The same, but not before its third pass."""

    def between(self, hidden: Tensor) -> Tensor:
        self.seen.append(hidden.mean(0))
        return hidden - self.seen[0] if len(self.seen) > 2 else hidden


class CachingWeights(Steady):
    """Computes with the weights of its first pass."""

    def between(self, hidden: Tensor) -> Tensor:
        if not self.seen:
            self.seen.append(self.head.weight.detach().sum(0))
        return hidden * self.seen[0]


class Memorising(Steady):
    """Gives the outputs that it gave for such inputs before."""

    def forward(self, x: Tensor) -> Any:
        found = [outputs for inputs, outputs in self.known if torch.equal(inputs, x)]
        if not found:
            found = [super().forward(x)]
            self.known.append((x, found[0]))
        return found[0]

    def __init__(self) -> None:
        super().__init__()
        self.known: list[tuple[Tensor, Tensor]] = []


class SharingWeights(Steady):
    """Computes with the weights of the first instance that was run."""

    kept: ClassVar[list[Tensor]] = []

    def forward(self, x: Tensor) -> Any:
        if not self.kept:
            self.kept.append(self.head.weight.detach().clone())
        return super().forward(x) * 0 + x[:, :3] @ self.kept[0][:, :3]


class Averaging(Steady):
    def between(self, hidden: Tensor) -> Tensor:
        self.mean.mul_(0.9).add_(hidden.mean(0), alpha=0.1)
        return hidden - self.mean


class Counting(Steady):
    """Writes to a buffer that no output depends on."""

    def between(self, hidden: Tensor) -> Tensor:
        self.mean += 1
        return hidden


class Growing(Steady):
    """Registers a buffer in every pass."""

    def between(self, hidden: Tensor) -> Tensor:
        self.calls += 1
        self.register_buffer(f"call{self.calls}", torch.zeros(1))
        return hidden


class Remembering(Steady):
    """Keeps features, counts its passes, draws what it does not use, fills a cache once."""

    def between(self, hidden: Tensor) -> Tensor:
        self.seen.append(hidden)
        self.calls += 1
        torch.rand(())
        random.random()
        if not hasattr(self, "table"):
            self.register_buffer("table", torch.arange(16.0), persistent=False)
        return hidden * self.table  # type: ignore[operator]


class Global(Steady):
    """Remembers outside of itself."""

    def between(self, hidden: Tensor) -> Tensor:
        GLOBAL.append(hidden.mean())
        return hidden * len(GLOBAL)


def problem(network: nn.Module, **other: Any) -> QuantizationProblem:
    return QuantizationProblem(
        network,
        data(60, 1),
        data(40, 2),
        budget=Budget.average_bits(40),
        **in_values({"calibration_samples": 60, "batch_size": 20, **other}),
    )


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (Dropping, "it draws random numbers"),
        (SeldomDropping, "it draws random numbers"),
        (DroppingFew, "it draws random numbers"),
        (DroppingByNumPy, "it draws random numbers"),
        (DroppingByRandom, "it draws random numbers"),
        (Caching, "its outputs depend on what it was run on before"),
        (CachingLater, "its outputs depend on what it was run on before"),
        (CachingWeights, "its outputs depend on what it was run on before"),
        (Memorising, "its outputs depend on what it was run on before"),
        (SharingWeights, "its outputs stay the same whatever the weights"),
        (Averaging, "its outputs depend on what it was run on before"),
        (Counting, "every pass changes its buffer 'mean'"),
        (Growing, "every pass changes its buffer 'call"),
        (Global, "its outputs depend on what it was run on before"),
    ],
)
def test_what_is_not_the_same_function_twice_is_refused(cls: type[nn.Module], words: str) -> None:
    with pytest.raises(NetworkError, match=words) as caught:
        problem(cls())
    assert "stochastic=True" in str(caught.value)
    assert len(str(caught.value)) <= 500


def test_what_is_remembered_without_effect_is_accepted() -> None:
    assert problem(Remembering()).evaluate(FOUR) == problem(Remembering()).evaluate(FOUR)


class Silent(Steady):
    """Gives zeros for most inputs."""

    def forward(self, x: Tensor) -> Any:
        return torch.relu(super().forward(x) - 3)


def test_outputs_that_are_all_zero_are_no_sign_of_a_cache() -> None:
    assert problem(Silent()).float_score.loss > 0


STOCHASTIC = [Dropping, DroppingByNumPy, DroppingByRandom, Caching, Averaging, CachingWeights]


@pytest.mark.parametrize("cls", STOCHASTIC)
def test_accepted_a_score_depends_on_the_configuration_alone(cls: type[nn.Module]) -> None:
    alone = problem(cls(), stochastic=True)
    after = problem(cls(), stochastic=True)
    torch.rand(3)
    assert alone.float_score == after.float_score
    after.evaluate(TWO)
    score = after.evaluate(FOUR)
    assert score == alone.evaluate(FOUR)
    assert score.loss != alone.evaluate(TWO).loss
    assert alone.fingerprint == after.fingerprint


def test_accepted_a_score_is_the_mean_over_passes() -> None:
    made = problem(Dropping(), stochastic=True)
    inputs, labels = data(40, 2)
    network = made.build(FOUR)
    losses = []
    for seed in range(PASSES):
        torch.manual_seed(seed)
        outputs = torch.cat([network(part) for part in inputs.split(20)])
        losses.append(float(nn.functional.cross_entropy(outputs, labels)))
    assert made.evaluate(FOUR).loss == pytest.approx(sum(losses) / PASSES, abs=1e-6)


def test_accepted_after_training_too() -> None:
    scores = []
    for before in ([], [TWO]):
        made = problem(Dropping(), stochastic=True, fidelity="tuned")
        for config in before:
            made.evaluate(config)
        scores.append(made.evaluate(FOUR))
    assert scores[0] == scores[1]


def test_accepted_a_steady_network_scores_as_it_does_anyway() -> None:
    made = problem(Steady(), stochastic=True)
    plain = problem(Steady())
    assert made.evaluate(FOUR).loss == pytest.approx(plain.evaluate(FOUR).loss, abs=1e-6)
    assert made.fingerprint != plain.fingerprint


def test_a_memory_outside_of_the_network_cannot_be_accepted() -> None:
    with pytest.raises(NetworkError, match="gives other outputs from the same seeds"):
        problem(Global(), stochastic=True)


def test_accepted_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="rlquant"):
        made = problem(Dropping(), stochastic=True)
    note = f"scores are means over {PASSES} passes with fixed seeds (stochastic=True)"
    assert note in made.notes
    assert note in caplog.text


def test_what_cannot_be_combined_with_it_is_refused() -> None:
    with pytest.raises(SettingsError, match="racing cannot be combined with stochastic=True"):
        problem(Dropping(), stochastic=True, racing=Racing())
    with pytest.raises(SettingsError, match="stochastic='yes', give True or False"):
        problem(Dropping(), stochastic="yes")
    with pytest.raises(SettingsError, match=r"refine .* cannot be combined with stochastic=True"):
        rlquant.refine(problem(Dropping(), stochastic=True), FOUR, data(60, 1))


def test_a_search_accepts_it_as_well() -> None:
    result = search(
        Dropping(),
        data(60, 1),
        data(40, 2),
        budget=Budget.average_bits(5),
        searcher="random",
        evaluations=3,
        evaluation=EvaluationSettings(calibration_samples=60, stochastic=True),
    )
    assert len(result.history) == 3
    assert [note[:9] for note in result.notes] == ["140 of 71", "scores ar"]
