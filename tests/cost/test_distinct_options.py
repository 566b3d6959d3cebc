"""Groups that reach over whole rows are one option."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rlquant import Budget, EvaluationSettings, LayerChoice, QuantizationProblem, SearchSpace
from rlquant.config import QuantizationConfig
from rlquant.cost.distinct_options import row_length, standing_options
from rlquant.errors import ChoiceError
from rlquant.layers import LayerFacts
from strategies import seeded

OPTIONS = tuple(LayerChoice("", 4, group_size=size) for size in (8, "channel", 16, 32, "tensor"))


def layer(name: str, rows: int, length: int) -> LayerFacts:
    return LayerFacts(name, "linear", (rows, length), rows * length, rows * length)


def standing(
    *layers: LayerFacts, ties: dict[str, tuple[str, ...]] | None = None
) -> list[list[int]]:
    own = np.ones((len(layers), len(OPTIONS)), dtype=np.bool_)
    alone = {facts.name: (facts.name,) for facts in layers}
    return standing_options(layers, ties or alone, OPTIONS, own).tolist()


def test_a_group_as_long_as_a_row_is_the_channel() -> None:
    assert standing(layer("a", 4, 16)) == [[0, 1, 1, 1, 4]]
    assert standing(layer("a", 4, 17)) == [[0, 1, 2, 1, 4]]
    assert standing(layer("a", 4, 8)) == [[1, 1, 1, 1, 4]]


def test_tied_layers_have_to_agree() -> None:
    both = (layer("short", 4, 8), layer("long", 4, 20))
    tied = {"short": ("short", "long")}
    assert standing(*both, ties=tied) == [[0, 1, 2, 1, 4]] * 2


def test_without_the_channel_the_first_stands_for_the_others() -> None:
    own = np.array([[False, False, True, True, False]])
    found = standing_options((layer("a", 2, 10),), {"a": ("a",)}, OPTIONS, own)
    assert found[0, 2:4].tolist() == [2, 2]


def test_rows_of_transposed_convolutions_are_those_of_their_outputs() -> None:
    assert row_length(LayerFacts("up", "conv", (8, 4, 3, 3), 288, 288, channel_axis=1)) == 72


@pytest.fixture
def problem() -> QuantizationProblem:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Flatten(), nn.Linear(36, 3)).eval()
    images = torch.randn(40, 4, 5, 5, generator=seeded(0))
    labels = torch.arange(40) % 3
    return QuantizationProblem(
        network,
        (images[:20], labels[:20]),
        (images[20:], labels[20:]),
        budget=Budget.average_bits(8.0),
        space=SearchSpace(bits=(2, 4), group_size=("channel", 32, 64)),
        evaluation=EvaluationSettings(calibration_samples=20),
    )


def test_a_search_has_every_network_once(problem: QuantizationProblem) -> None:
    feasible = problem.feasible
    assert feasible.own.sum(axis=1).tolist() == [2, 4]  # 64 is more than the 36 of a row
    assert feasible.count() == 8
    losses = [problem.evaluate(feasible.config(row)).loss for row in feasible.all_indices()]
    assert len(set(losses)) == 8


def test_who_names_another_one_means_the_one_that_stands(problem: QuantizationProblem) -> None:
    names = [facts.name for facts in problem.layers]
    named, stands = (
        QuantizationConfig(
            tuple(LayerChoice(name, 4, points="clipped", group_size=size) for name in names)
        )
        for size in (64, "channel")
    )
    assert problem.feasible.indices(named).tolist() == problem.feasible.indices(stands).tolist()
    assert problem.evaluate(named).loss == problem.evaluate(stands).loss


def test_a_space_is_still_checked(problem: QuantizationProblem) -> None:
    with pytest.raises(ChoiceError, match="is not among the options"):
        problem.feasible.indices(
            QuantizationConfig(tuple(LayerChoice(f.name, 3) for f in problem.layers))
        )
