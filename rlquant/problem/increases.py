"""Expected loss increases of a problem's options: what is quantized, and on which samples."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt
from torch import Tensor

from rlquant.evaluation.default_limits import within_free
from rlquant.evaluation.evaluator import Evaluator
from rlquant.network.gradients import require_gradients
from rlquant.network.hessians import measure_hessians, shift_corrected
from rlquant.network.input_sums import squares
from rlquant.objective import Curved, MakesTargets, units_of
from rlquant.problem.protocol import Refines
from rlquant.sensitivity.expected_increases import expected_increases
from rlquant.sensitivity.plan import IncreasePlan
from rlquant.sensitivity.progress import Progress, unheard
from rlquant.sensitivity.sampled_gradients import GradientSampler
from rlquant.sensitivity.smoothing import smoothed
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


def plan_of(problem: Refines) -> IncreasePlan:
    """Return what is quantized for the expected increases of a problem."""
    return IncreasePlan.of(_weights_of(problem), problem.feasible)


def _weights_of(problem: Refines) -> dict[str, Tensor]:
    network, names = problem.network, [facts.name for facts in problem.layers]
    return {n: site_of(network, n).weight_in(network).detach() for n in names}


def label_variance(problem: Refines) -> float:
    """Return `Predicts.label_variance`: 2 over the units that losses are means of.

    The first-order change of a unit's loss has the Fisher information as its second moment, the
    expected increase is half of it: exact for likelihoods of labels that follow the network.
    """
    if isinstance(problem.objective, MakesTargets):
        return 0.0
    batches = problem.evaluator.batches
    return 2.0 / sum(units_of(problem.objective, batch, batch.targets) for batch in batches)


def increases_of(
    problem: Refines, plan: IncreasePlan, draws: int, progress: Progress = unheard
) -> Floats:
    """Return the expected increases, shape `(layers, options)`.

    See `sensitivity.expected_increases` and `smoothed`.

    They are measured on `problem.unfitted`: on samples that the quantizers were fitted to, errors
    are smaller.

    Args:
        problem: a predictable one.
        plan: of the problem.
        draws: gradients.
        progress: told how far it is.

    Raises:
        NetworkError, DataError, SettingsError: no gradients, or none for a single sample.
    """
    evaluator = problem.evaluator
    assert isinstance(evaluator, Evaluator)
    one = problem.unfitted.first(1)
    weights = _weights_of(problem)
    require_gradients(problem.network, list(weights), one, problem.objective, "expected_increases")
    logger.info("quantizing %d pairs of layer and option, then %d gradients", plan.pairs, draws)
    corrected = shift_corrected(problem.layers, problem.evaluation.calibrate)
    moments = measure_hessians(
        problem.network,
        [f for f in problem.layers if f.name in corrected],
        problem.calibration,
        squares,
    )
    sampler = GradientSampler(
        problem.network,
        problem.unfitted,
        problem.objective,
        {name: found.mean for name, found in moments.items()},
        draws,
        problem.seed,
    )
    quantized, most = evaluator.bank.packed, within_free(plan.limit)
    halves = expected_increases(plan, weights, quantized, sampler, most, progress)
    return smoothed(halves, list(weights))


def cost_in_evaluations(plan: IncreasePlan, draws: int, samples: int, of_evaluation: int) -> float:
    """Return what so many gradients cost in evaluations, by passes; a backward one counts as two.

    It follows from the plan alone, not from the memory that is free.

    Args:
        plan: of the problem.
        draws: gradients.
        samples: that they are taken on.
        of_evaluation: samples of an evaluation.
    """
    return plan.parts * (min(draws, samples) + 2 * draws) / of_evaluation
