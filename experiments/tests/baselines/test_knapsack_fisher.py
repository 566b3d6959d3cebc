"""Gradients of the float network as sensitivities."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from problems import problem
from rlquant import Budget, Distillation, NextToken, QuantizationProblem, SearchSpace
from rlquant.errors import SettingsError
from rlquant.testing import ToyProblem
from rlquant_agents import search_problem
from rlquant_experiments.baselines.knapsack_fisher import (
    KnapsackFisher,
    fisher_effects,
    fisher_traces,
)
from small_networks import Mlp, fresh, trained

SPACE = SearchSpace(bits=(2, 4, 8), activation_bits=(None, 3))


def small(**other: object) -> QuantizationProblem:
    return problem("mlp", trained("mlp"), space=SPACE, budget=Budget.average_bits(6), **other)


def squared(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """An objective of no classes: the gradient of the last bias-free layer is known by hand."""
    return outputs[:, 0].square().sum() / 2, (outputs[:, 0] > 0).sum()


def test_traces_are_mean_squares_of_the_gradients_of_each_sample_alone() -> None:
    live = small(objective=squared)
    samples = live.calibration.first(5)
    found = fisher_traces(live, samples, 0)
    network = live.network
    with torch.no_grad():
        inside = torch.relu(network.second(torch.relu(network.first(samples.inputs[0]))))
        outputs = network.last(inside)[:, 0]
    squares = (outputs[:, None] * inside).square()  # of the first class; the others have none
    assert found["last"] == pytest.approx(float(squares.sum()) / 5 / network.last.weight.numel())


def test_labels_are_drawn_from_the_answers_and_not_taken_from_the_data() -> None:
    live = small()
    samples = live.calibration.first(30)
    wrong = type(samples)(samples.inputs, torch.zeros_like(samples.targets))
    runs = [
        fisher_traces(live, data, seed)["last"]
        for data, seed in ((samples, 1), (wrong, 1), (samples, 2))
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_an_effect_is_half_the_trace_times_the_squared_error() -> None:
    live = small()
    effects = fisher_effects(live, {"first": 2.0, "second": 4.0, "last": 0.0})
    options = live.feasible.options
    widths = [(option.bits, option.activation_bits) for option in options]
    two, four, both = (widths.index(w) for w in ((2, None), (4, None), (2, 3)))
    assert not effects[2].any()
    assert (effects[:2, two] > 4 * effects[:2, four]).all()
    assert (effects[:2, both] > effects[:2, two]).all()
    doubled = fisher_effects(live, {"first": 4.0, "second": 4.0, "last": 0.0})
    assert doubled[0] == pytest.approx(2 * effects[0])
    # the clipped grid of 2 bits has about the relative error that the layer's facts say, which
    # knows nothing of the inputs
    facts = live.layers[0]
    signal = float(live.network.first.weight.square().sum())
    assert effects[0, two] == pytest.approx(facts.relative_error[0] * signal, rel=0.05)


def test_it_asks_once_within_the_budget_and_leaves_the_network_alone() -> None:
    live = small()
    before = {name: value.clone() for name, value in live.network.state_dict().items()}
    result = KnapsackFisher(samples=8).search(live, 20, seed=0)
    assert (len(result.history), result.stopped) == (1, "finished")
    assert result.history[0].feasible
    after = live.network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not any(weight.requires_grad for weight in live.network.parameters())
    again = KnapsackFisher(samples=8).search(small(), 20, seed=0)
    assert again.best == result.best


def test_a_problem_without_a_network_is_refused() -> None:
    with pytest.raises(SettingsError, match="'knapsack-fisher' needs the gradients of a network"):
        KnapsackFisher().search(ToyProblem(2), 5, seed=0)


def test_samples_out_of_range_are_refused() -> None:
    with pytest.raises(SettingsError, match="samples=0"):
        KnapsackFisher(samples=0)


def test_a_network_that_loses_a_batch_of_one_is_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    class Squeezing(Mlp):
        def forward(self, inputs: Tensor) -> Tensor:
            return super().forward(inputs).squeeze()

    squeezing = problem(network=fresh(Squeezing))
    words = r"takes the gradients of one sample at a time, .* got \(3,\) and \(1,\)"
    with pytest.raises(SettingsError, match=words):
        search_problem(squeezing, searcher="knapsack-fisher", evaluations=2, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Words(nn.Module):
    """Logits for every position, from tokens given by name."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.last = nn.Embedding(11, 6), nn.Linear(6, 11)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        return {"logits": self.last(self.words(input_ids))}


def test_classes_are_drawn_at_every_position_that_counts() -> None:
    draw = torch.Generator().manual_seed(0)
    train, validation = (
        {
            "input_ids": torch.randint(0, 11, (8, 5), generator=draw),
            "attention_mask": (torch.arange(5) < 3).expand(8, 5).long(),
        }
        for _ in range(2)
    )
    budget = Budget.average_bits(14.0)
    for objective in (NextToken(), Distillation("kl"), Distillation("cosine")):
        live = QuantizationProblem(Words(), train, validation, budget=budget, objective=objective)
        assert KnapsackFisher(samples=4).search(live, 5, seed=0).history[0].feasible
