"""Refining: never worse, the same costs, the network that was scored, and where it cannot be."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from problems import problem
from rlquant import LayerChoice, QuantizationConfig, QuantizationProblem, SearchSpace, refine
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
