"""Landscapes: a network is trained, its options are predicted, configurations are measured."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import nn
from tqdm import tqdm

from rlquant import (
    Budget,
    EvaluationSettings,
    FeasibleSet,
    LayerChoice,
    QuantizationProblem,
    SearchSpace,
)
from rlquant.config import GroupSize
from rlquant.documents.tensor_file import read_tensors, require_like
from rlquant.files import make_folder, reading, write_file
from rlquant.layer_names import role
from rlquant.layers import LayerFacts
from rlquant_agents.searchers.knapsack import solve_by_price
from rlquant_experiments.baselines.knapsack_fisher import fisher_effects, fisher_traces
from rlquant_experiments.baselines.knapsack_weight_error import noise_to_signal
from rlquant_experiments.float_layers import float_layers
from rlquant_experiments.landscapes.landscape import Floats, Indices, Landscape
from rlquant_experiments.landscapes.networks import SmallNetwork
from rlquant_experiments.landscapes.training import STEPS, parts_of, train

logger = logging.getLogger(__name__)

BITS = (2, 3, 4, 5, 6, 8)
GROUP_SIZES: tuple[GroupSize, ...] = ("channel", 16)
BUDGETS = (2.5, 3.0, 4.0)
"""Average bits beyond the scales of whole channels, which take more of small layers."""
DRAWS, FISHER_SAMPLES = 64, 64
"""Gradients of expected increases, as a search takes at the most, and of Fisher traces."""
SPREAD = (0.1, 1.2)
"""Standard deviation of the logs of increases of which drawn knapsacks are solved."""
NO_LIMIT = Budget.average_bits(64.0)


def problem_of(kind: SmallNetwork, folder: Path) -> QuantizationProblem:
    """Return the problem of a trained network, without a limit; what it measures is kept.

    Args:
        kind: which network; trained where the folder does not have its weights yet.
        folder: of this network.
    """
    parts = parts_of(kind)
    network = kind.measured(trained(kind, folder / "network.safetensors"))
    return QuantizationProblem(
        network,
        parts.train,
        parts.validation,
        space=SearchSpace(
            bits=BITS,
            rounding=("gptq",),
            group_size=GROUP_SIZES,
            points=("clipped",),
            exclude=float_layers(network),
        ),
        budget=NO_LIMIT,
        objective=kind.objective,
        evaluation=EvaluationSettings(calibration_samples=len(parts.validation[1])),
        store=folder / "evaluations.sqlite",
    )


def trained(kind: SmallNetwork, path: Path, steps: int = STEPS) -> nn.Module:
    """Return a network with the weights of a file, which is written where there is none."""
    network = kind.build()
    if path.exists():
        with reading(path):
            found = read_tensors(path).tensors
            expected = _weights(network)
            require_like(found, expected)
            network.load_state_dict(found, strict=False)
        return network.eval()
    loss = train(network, kind, steps)
    logger.info("%s is trained to loss %.3f", kind.name, loss)
    make_folder(path.parent)
    write_file(path, save(_weights(network)))
    return network


def _weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return weights and buffers, those that are tied once."""
    found: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, value in network.state_dict(keep_vars=True).items():
        if id(value) not in seen:
            seen.add(id(value))
            found[name] = value.detach().contiguous()
    return found


def make_landscape(kind: SmallNetwork, folder: Path, a_budget: int, *, bar: bool) -> Landscape:
    """Return a network's landscape; interrupted, a second call goes on where this one was.

    Args:
        kind: the network.
        folder: of this network.
        a_budget: configurations measured under each budget.
        bar: whether to show progress.
    """
    problem = problem_of(kind, folder)
    increases = problem.feasible.summed(problem.expected_increases(DRAWS))
    traces = fisher_traces(problem, problem.calibration.first(FISHER_SAMPLES), kind.seed)
    fisher = problem.feasible.summed(fisher_effects(problem, traces))
    errors = noise_to_signal(problem.feasible.decisions, problem.feasible.options)
    feasibles = [problem.with_budget(budget).feasible for budget in budgets_of(problem)]
    rows, budgets, losses = list[Indices](), list[int](), list[float]()
    asked = [
        (number, row)
        for number, feasible in enumerate(feasibles)
        for row in configurations((increases, fisher, errors), feasible, a_budget, kind.seed)
    ]
    for number, row in tqdm(asked, desc=kind.name, unit="configuration", disable=not bar):
        losses.append(problem.evaluate(problem.feasible.config(row)).loss)
        rows.append(row)
        budgets.append(number)
    options = problem.feasible.options
    return Landscape(
        name=kind.name,
        family=kind.family,
        names=problem.feasible.names,
        float_loss=problem.float_score.loss,
        limits=tuple(int(feasible.limit) for feasible in feasibles),
        fixed=int(problem.feasible.cost.fixed),
        increases=increases,
        fisher=fisher,
        weight_errors=errors,
        costs=problem.feasible.costs.astype(np.float64),
        own=problem.feasible.own.astype(np.float64),
        layers=np.array([facts_of(facts) for facts in problem.feasible.decisions]),
        options=np.array([[float(o.bits), weights_a_group(o)] for o in options]),
        rows=np.array(rows),
        losses=np.array(losses),
        budgets=np.array(budgets),
    )


def weights_a_group(option: LayerChoice) -> float:
    """Return how many weights share a scale, 0 for a whole channel's."""
    return float(option.group_size) if isinstance(option.group_size, int) else 0.0


def facts_of(facts: LayerFacts) -> list[float]:
    """Return weights, multiply-accumulates, fan-in, groups, spread and errors of a layer."""
    out = facts.shape[facts.channel_axis]
    return [
        float(facts.parameters),
        float(facts.macs),
        float(facts.parameters / out),
        float(facts.kind.startswith("conv")),
        float(facts.normalized),
        facts.std,
        facts.largest,
        facts.kurtosis,
        *facts.relative_error,
    ]


def budgets_of(problem: QuantizationProblem) -> list[Budget]:
    """Return the budgets, each so many bits a weight above the cheapest configuration."""
    feasible = problem.feasible
    cheapest = feasible.cost.value(int(feasible.smallest))
    return [Budget.average_bits(cheapest - min(BITS) + bits) for bits in BUDGETS]


def configurations(
    known: Sequence[Floats], feasible: FeasibleSet, count: int, seed: int
) -> Iterator[Indices]:
    """Yield configurations under a budget: what would be best by each of several predictions.

    First by these as they are, then by the first of them with its logs changed at random: by layer,
    by what layers of a role or options have in common, and by both. More begin with the same.

    Args:
        known: predicted effects, shape `(layers, options)` each.
        feasible: with the budget.
        count: how many; fewer where several are the same.
        seed: of the draws.
    """
    draws = np.random.default_rng((seed, int(feasible.limit)))
    kinds = np.unique([role(name) for name in feasible.names], return_inverse=True)[1]
    shape = known[0].shape
    for number in range(count):
        if number < len(known):
            yield solve_by_price(known[number], feasible)
            continue
        noise = (
            draws.standard_normal((shape[0], 1))
            + draws.standard_normal((kinds.max() + 1, 1))[kinds]
            + draws.standard_normal((1, shape[1]))
            + draws.standard_normal(shape)
        )
        changed = known[0] * np.exp(draws.uniform(*SPREAD) / 2 * noise)
        yield solve_by_price(changed, feasible)
