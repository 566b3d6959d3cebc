"""Refinement: the weights of the best configuration, reassigned by the network's loss.

In a search a layer's assignment depends on the layer and its choice alone, so that it can be kept.
Of the one network that is delivered more can be asked: inputs as they are in the network quantized
so far, and the loss of the whole network.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from rlquant.ambient import isolated
from rlquant.arguments import explained
from rlquant.config import HESSIAN_BASED, QuantizationConfig
from rlquant.data import Data, take_samples
from rlquant.errors import SettingsError
from rlquant.evaluation.evaluator import Evaluator
from rlquant.evaluation.measure import run_batches
from rlquant.evaluation.repeated import RepeatedEvaluator
from rlquant.export.quantized_layers import dequantize
from rlquant.network.calibrate import calibrate
from rlquant.network.gradients import require_gradients
from rlquant.network.paired_inputs import PairedInputs
from rlquant.network.quantize import build_quantized, quantizes_activations
from rlquant.network.weights import quantize_weight
from rlquant.objective import Classification
from rlquant.problem.protocol import Refines
from rlquant.quantizers import QuantizedTensor
from rlquant.quantizers.rounding import layer_generator
from rlquant.rounding.layer_hessians import LayerHessians
from rlquant.rounding.triangles import Triangles
from rlquant.samples import Samples
from rlquant.score import Score
from rlquant.training.batches import SampleBatches, Teacher
from rlquant.training.losses import TrainingLoss
from rlquant.training.network_policy import NetworkPolicySettings, learn_across_layers
from rlquant.training.settings import TrainSettings
from rlquant.training.watching import Watcher
from rlquant.weight_sites import site_of

logger = logging.getLogger(__name__)

SAMPLES = 10_000
"""The most training samples that the loss is taken on."""
REFINING = NetworkPolicySettings(steps=600, samples=1, rate=0.1, start=8.0, prior=4.0)
BATCH = 128

Weights = dict[str, QuantizedTensor]


@explained
@isolated(seed=0)
def refine(
    problem: Refines,
    config: QuantizationConfig,
    train_data: Data,
    *,
    settings: NetworkPolicySettings = REFINING,
    watch: Watcher | None = None,
) -> tuple[nn.Module, Score]:
    """Assign the weights of layers with rounding "gptq" or "learned" again.

    First in execution order, each layer by its inputs in the network quantized so far; then, for
    "learned", across layers by a policy on the network's loss. All costs stay. Each step is kept
    where it makes the loss on the validation data smaller.

    Args:
        problem: at fidelity "calibrated".
        config: of its layers.
        train_data: what the loss is taken on; at most `SAMPLES` of them, in order.
        settings: of the policy.
        watch: told how the policy's training goes; may end it.

    Returns:
        The network, and its score, never worse than the configuration's own.

    Raises:
        SettingsError: a problem whose configurations are trained: their weights are not frozen.
        NetworkError: learned rounding of a network whose outputs have no gradients.
        DataError: see `take_samples`.
    """
    evaluator = require_refinable(problem)
    canonical = problem.canonical(config)
    hessian_based = [c for c in canonical if c.rounding in HESSIAN_BASED]
    learned = [c.layer for c in hessian_based if c.rounding == "learned"]
    if learned:
        _require_gradients(problem, learned)
    score = problem.evaluate(canonical)
    weights = {c.layer: evaluator.bank.tensor(c) for c in canonical if c.method != "float"}
    best = _Refined(weights, network_with(evaluator, canonical, weights), score)
    if hessian_based:
        weights = in_execution_order(problem, evaluator, canonical, best.weights)
        best = best.or_better(evaluator, canonical, weights, "in execution order")
    if learned:
        place = problem.validation.device
        samples = take_samples(train_data, SAMPLES, name="train_data", device=place)
        weights = across_layers(
            problem, evaluator, canonical, best.weights, learned, samples, settings, watch
        )
        best = best.or_better(evaluator, canonical, weights, "across layers")
    return best.network, best.score


def require_refinable(problem: Any) -> Evaluator:
    """Return the evaluator of a problem whose weights can be assigned again.

    Raises:
        SettingsError: no live network, its weights are trained before they are measured, or its
            scores are means over passes.
        NetworkError: learned rounding is offered, and the network's outputs have no gradients.
    """
    evaluator = problem.evaluator if isinstance(problem, Refines) else None
    if not isinstance(evaluator, Evaluator):
        raise SettingsError(
            f"refine: a {type(problem).__name__} at fidelity={problem.fidelity!r} has no weights "
            f"to assign again; use a QuantizationProblem at fidelity='calibrated'"
        )
    if isinstance(evaluator, RepeatedEvaluator):
        raise SettingsError(
            "refine compares losses of one network that must not differ by chance: it cannot be "
            "combined with stochastic=True"
        )
    if "learned" in problem.space.whole.rounding:
        _require_gradients(problem, [facts.name for facts in problem.layers])
    return evaluator


def _require_gradients(problem: Refines, learned: list[str]) -> None:
    few = problem.calibration.first(2)
    wanted_by = "refine: rounding='learned'"
    require_gradients(problem.network, learned, few, problem.objective, wanted_by)


def in_execution_order(
    problem: Refines,
    evaluator: Evaluator,
    config: QuantizationConfig,
    weights: Weights,
) -> Weights:
    """Return the weights assigned by what layers read behind the quantized ones before them.

    What a layer misses of the inputs that it has in the float network, it makes up for as well as
    it can: the weight that is quantized is the one of least squared error of the layer's outputs
    (asymmetric calibration, Li et al. 2025, "GPTAQ").

    Args:
        problem: gives the float network and the calibration samples.
        evaluator: of the problem.
        config: canonical.
        weights: to begin with, by layer.
    """
    found = dict(weights)
    facts = {each.name: each for each in problem.layers}
    floats = {name: site_of(problem.network, name).weight_in(problem.network) for name in facts}
    corrected = evaluator.shift_corrected

    def assign(names: Sequence[str], given: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        module, mask = problem.network.get_submodule(names[0]), problem.calibration.mask
        for centred in {name in corrected: None for name in names}:
            alike = [name for name in names if (name in corrected) == centred]
            inputs = PairedInputs.of(module, given, wanted, mask, centred=centred)
            matrix = Triangles.of(inputs.whole.second)  # one, so that its factor is shared
            matrices: dict[str, Triangles] = dict.fromkeys(alike, matrix)
            hessians = LayerHessians(matrices.copy)
            for name in alike:
                found[name] = quantize_weight(
                    inputs.target(floats[name].detach()),
                    config[name],
                    channel_axis=facts[name].channel_axis,
                    seed=problem.seed,
                    moments=partial(_itself, hessians),
                )
        return {name: found[name].dequantize() for name in names}

    again = [c.layer for c in config if c.rounding in HESSIAN_BASED and facts[c.layer].calls == 1]
    values = {name: weight.detach() for name, weight in floats.items()}
    values |= {name: tensor.dequantize() for name, tensor in found.items()}
    evaluator.assign_in_order(again, values, assign)
    return found


def _itself(hessians: LayerHessians) -> LayerHessians:
    return hessians


def across_layers(
    problem: Refines,
    evaluator: Evaluator,
    config: QuantizationConfig,
    weights: Weights,
    learned: list[str],
    samples: Samples,
    settings: NetworkPolicySettings,
    watch: Watcher | None = None,
) -> Weights:
    """Return the weights with those of the learned layers assigned by the network's loss."""
    follows = isinstance(problem.objective, Classification)  # else there are no logits to follow
    loss = TrainingLoss(problem.objective, distillation_weight=1.0)
    batches = SampleBatches(samples, TrainSettings(batch_size=BATCH), problem.seed)
    found = learn_across_layers(
        dequantize(network_with(evaluator, config, weights)),
        {name: weights[name] for name in learned},
        evaluator.moments,
        batches,
        loss,
        float_network=problem.network,
        generator=layer_generator(problem.seed, "across layers"),
        teacher=Teacher(problem.network, len(samples)) if follows else None,
        settings=settings,
        watch=watch,
    )
    return {**weights, **found}


@dataclass(frozen=True, slots=True, eq=False)
class _Refined:
    """Quantized weights, the network that has them, and its score."""

    weights: Weights
    network: nn.Module
    score: Score

    def or_better(
        self, evaluator: Evaluator, config: QuantizationConfig, weights: Weights, how: str
    ) -> _Refined:
        """Return the same of other weights where their validation loss is smaller."""
        network = network_with(evaluator, config, weights)
        measured = run_batches(network, evaluator.batches, evaluator.objective)
        logger.info("assigned %s: loss %.4f, before %.4f", how, measured.loss, self.score.loss)
        if not measured.loss < self.score.loss:
            return self
        score = replace(self.score, loss=measured.loss, accuracy=measured.accuracy)
        return _Refined(weights, network, score)


def network_with(evaluator: Evaluator, config: QuantizationConfig, weights: Weights) -> nn.Module:
    """Return the calibrated network of a canonical configuration with these quantized weights."""
    ranges = evaluator.input_ranges if quantizes_activations(config) else {}
    network = build_quantized(evaluator.network, config, lambda c: weights[c.layer], ranges)
    calibrate(network, evaluator.reference, evaluator.calibration)
    return network
