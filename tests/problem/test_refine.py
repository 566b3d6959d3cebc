"""Refining: never worse, the same costs, the network that was scored, and where it cannot be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from problems import problem
from rlquant import (
    Budget,
    Distillation,
    LayerChoice,
    QuantizationConfig,
    QuantizationProblem,
    SearchSpace,
    refine,
)
from rlquant.errors import SettingsError
from rlquant.evaluation.measure import run_batches
from rlquant.network.modules import quantized_weight
from rlquant.training.network_policy import NetworkPolicySettings
from small_networks import samples_of, trained

SHORT = NetworkPolicySettings(steps=40, samples=1, start=2.0)


def uniform(
    made: QuantizationProblem, bits: int, rounding: Any, points: Any = "clipped", **more: Any
) -> QuantizationConfig:
    return QuantizationConfig(
        tuple(LayerChoice(f.name, bits, rounding, points=points, **more) for f in made.layers)
    )


def conv() -> QuantizationProblem:
    return problem("conv", trained("conv"), space=SearchSpace(bits=(2, 3)))


@pytest.mark.parametrize("rounding", ["gptq", "learned"])
@pytest.mark.parametrize("activation_bits", [None, 8])
def test_the_score_is_that_of_the_network_and_never_worse(
    rounding: Any, activation_bits: Any
) -> None:
    made = conv()
    config = uniform(made, 2, rounding, activation_bits=activation_bits)
    data = samples_of("conv", 400, seed=3)
    before = made.evaluate(config)
    network, score = refine(made, config, data, settings=SHORT)
    evaluator: Any = made.evaluator
    measured = run_batches(network, evaluator.batches, evaluator.objective)
    assert measured.loss == pytest.approx(score.loss, rel=1e-6)
    assert score.loss <= before.loss
    assert (score.size_bytes, score.bops) == (before.size_bytes, before.bops)
    again, second = refine(made, config, data, settings=SHORT)
    assert second == score
    scored = made.build(config)
    for facts in made.layers:
        codes = [quantized_weight(n.get_submodule(facts.name)) for n in (network, again, scored)]
        assert torch.equal(codes[0].tensor.codes, codes[1].tensor.codes)  # type: ignore[union-attr]
        assert codes[0].tensor.size_bits() == codes[2].tensor.size_bits()  # type: ignore[union-attr]


def test_it_is_worth_it() -> None:
    made = conv()
    config = uniform(made, 1, "learned", "clipped")  # more bits leave little to gain here
    data = samples_of("conv", 400, seed=3)
    assert refine(made, config, data, settings=SHORT)[1].loss < made.evaluate(config).loss


def test_other_roundings_and_kept_layers_stay_as_they_were_scored() -> None:
    made = conv()
    first = made.layers[0].name
    for config in (
        uniform(made, 2, "nearest"),
        QuantizationConfig((LayerChoice(first, 32, method="float"),)),
    ):
        network, score = refine(made, config, samples_of("conv", 400, seed=3), settings=SHORT)
        assert score == made.evaluate(config)
        inputs = samples_of("conv", 8, seed=4)[0]
        assert torch.equal(network(inputs), made.build(config)(inputs))


def test_configurations_that_are_trained_are_refused() -> None:
    made = problem("conv", trained("conv"), space=SearchSpace(bits=(2, 3)), fidelity="tuned")
    with pytest.raises(SettingsError, match="at fidelity='tuned' has no weights to assign"):
        refine(made, uniform(made, 2, "learned"), samples_of("conv", 400, seed=3))


def test_later_layers_make_up_for_earlier_ones() -> None:
    """Outputs on fresh data come nearer to the float network's than those of GPTQ alone."""
    torch.manual_seed(0)
    layers = [part for _ in range(5) for part in (nn.Linear(24, 24), nn.ReLU())]
    network = nn.Sequential(*layers, nn.Linear(24, 8)).eval()
    data = torch.randn(900, 24, generator=torch.Generator().manual_seed(1))
    made = QuantizationProblem(
        network,
        {"input": data[:400]},
        {"input": data[400:600]},
        budget=Budget.average_bits(16),
        space=SearchSpace(bits=(3,), rounding=("gptq",)),
        objective=Distillation("mse"),
    )
    config = uniform(made, 3, "gptq")
    refined, score = refine(made, config, {"input": data[:400]})
    assert score.loss < made.evaluate(config).loss
    with torch.no_grad():
        wanted = network(data[600:])
        errors = [(n(data[600:]) - wanted).square().mean() for n in (refined, made.build(config))]
    assert errors[0] < 0.9 * errors[1]
