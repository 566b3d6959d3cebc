"""Expected loss increases of a problem's options: what is quantized, and on which samples."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from rlquant.config import LayerChoice
from rlquant.evaluation.evaluator import Evaluator
from rlquant.network.gradients import require_gradients
from rlquant.network.hessians import measure_hessians, shift_corrected
from rlquant.network.input_sums import squares
from rlquant.objective import Curved
from rlquant.problem.protocol import Refines
from rlquant.sensitivity.anchors import anchor_options, filled, profiled_layers
from rlquant.sensitivity.expected_increases import BYTES, ERROR_BYTES, expected_increases
from rlquant.sensitivity.sampled_gradients import GradientSampler, chunks_within
from rlquant.space import for_layer
from rlquant.weight_sites import site_of

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]


def is_predictable(problem: Refines) -> bool:
    """Return whether options are errors of weights alone, and their loss has a curvature."""
    options = problem.feasible.options
    return (
        problem.fidelity == "calibrated"
        and isinstance(problem.objective, Curved)
        and not problem.evaluation.stochastic
        and all(option.activation_bits is None for option in options)
        and any(option.method != "float" for option in options)
    )


def increases_of(problem: Refines, draws: int) -> Floats:
    """Return the expected increases, shape `(layers, options)`; see `expected_increases`.

    They are measured on validation samples: on those that the quantizers were fitted to, errors are
    smaller. With many weights some options are quantized at every layer and the rest at a few.

    Args:
        problem: a predictable one.
        draws: gradients.

    Raises:
        NetworkError, DataError, SettingsError: no gradients, or none for a single sample.
    """
    evaluator = problem.evaluator
    assert isinstance(evaluator, Evaluator)
    network, layers, options = problem.network, problem.layers, problem.feasible.options
    names = [facts.name for facts in layers]
    one = problem.validation.first(1)
    require_gradients(network, names, one, problem.objective, "expected_increases")
    weights = {n: site_of(network, n).weight_in(network).detach() for n in names}
    wanted, profiles = _wanted(problem), profiled_layers(names)
    logger.info(
        "quantizing %d pairs of layer and option, then taking %d gradients",
        sum(map(len, wanted.values())),
        draws,
    )
    corrected = shift_corrected(layers, problem.evaluation.calibrate)
    moments = measure_hessians(
        network, [f for f in layers if f.name in corrected], problem.calibration, squares
    )
    sampler = GradientSampler(
        network,
        problem.validation,
        problem.objective,
        {name: found.mean for name, found in moments.items()},
        draws,
        problem.seed,
    )
    found = expected_increases(weights, wanted, evaluator.bank.values, sampler, len(options))
    return filled(found, [names.index(profiles[name]) for name in names])


def parts_of(problem: Refines) -> int:
    """Return in how many parts the errors of the weights are held, one after the other."""
    numbers = {facts.name: facts.parameters for facts in problem.layers}
    sizes = {name: numbers[name] * len(found) * BYTES for name, found in _wanted(problem).items()}
    return sum(1 for _ in chunks_within(sizes, ERROR_BYTES))


def _wanted(problem: Refines) -> dict[str, dict[int, LayerChoice]]:
    """Return by layer the options that are quantized there."""
    options, names = problem.feasible.options, [facts.name for facts in problem.layers]
    weights = sum(facts.parameters for facts in problem.layers)
    anchors = set(anchor_options(options, _prices(problem), weights))
    profiles = profiled_layers(names)
    return {
        name: {
            number: for_layer(option, name)
            for number, option in enumerate(options)
            if problem.feasible.layer_own[row, number]
            and (number in anchors or profiles[name] == name)
        }
        for row, name in enumerate(names)
    }


def _prices(problem: Refines) -> Floats:
    """Return what each option costs where layers have it, by their part of the budget."""
    feasible, own = problem.feasible, problem.feasible.layer_own
    weights = np.array([float(facts.parameters) for facts in problem.layers])
    room = max(feasible.limit - feasible.cost.fixed, 1)
    costs = np.where(own, feasible.layer_costs, 0).sum(axis=0)
    share = (own * weights[:, None]).sum(axis=0) / weights.sum()
    found: Floats = np.maximum(costs, 1) / np.maximum(share * room, 1e-12)
    return found
