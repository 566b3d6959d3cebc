"""Training steps, tuned evaluations and warm starts against what they are measured by."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import fmean, median

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm, trange

from rlquant import (
    Budget,
    LayerChoice,
    QuantizationConfig,
    QuantizationProblem,
    TrainSettings,
    tasks,
)
from rlquant.config import POINTS, widths_of
from rlquant.evaluation.trained import TrainingEvaluator
from rlquant.training.batches import Batch, SampleBatches
from rlquant.training.loop import Progress, take, take_step
from rlquant.training.settings import TUNED
from rlquant_experiments.benchmarks.figure import Figure, seconds

STEP_TARGET, EVALUATION_TARGET, WARM_TARGET = 1.15, 1.3, 3.0
WARM_BUDGETS = (2.2, 2.5, 3.0, 4.0)
COLD_STEPS = 200
NO_LIMIT = Budget.average_bits(64.0)
BITS = 3


def kinds() -> Iterator[tuple[str, dict[str, object]]]:
    """Yield every way in which a layer is trained, and its name."""
    yield "post_training", {}
    yield "ternary", {"method": "ternary"}
    for rounding in ("nearest", "stochastic"):
        for points in (p for p in POINTS if BITS in widths_of(p)):
            name = f"distilled, {points}, {rounding}"
            yield name, {"method": "distilled", "points": points, "rounding": rounding}
        yield f"post_training, learned, {rounding}", {"points": "learned", "rounding": rounding}


def training(task_name: str, steps: int, evaluations: int, warm: int) -> list[Figure]:
    """Return the figures of training, with one thread.

    Args:
        task_name: a task's name.
        steps: paired steps for each way to train.
        evaluations: tuned evaluations to time.
        warm: configurations for each budget on which warm and cold starts are compared; 0 to
            leave that out, which takes longest.
    """
    torch.set_num_threads(1)
    problem = tuned_problem(task_name, NO_LIMIT, TUNED)
    found = [
        _step_figure(problem, name, choice, steps)
        for name, choice in tqdm(list(kinds()), desc="steps", unit="way")
    ]
    found.append(_evaluation_figure(problem, evaluations))
    if warm:
        found.append(_warm_figure(task_name, warm))
    return found


def tuned_problem(
    task_name: str, budget: Budget, settings: TrainSettings, *, warm_start: bool = True
) -> QuantizationProblem:
    """Return the tuned problem of a task."""
    task = tasks.load(task_name)
    return QuantizationProblem(
        task.network,
        task.train,
        task.validation,
        budget=budget,
        fidelity="tuned",
        training=settings,
        warm_start=warm_start,
    )


def trainer_of(problem: QuantizationProblem) -> TrainingEvaluator:
    """Return the evaluator of a problem whose configurations are trained."""
    evaluator = problem.evaluator
    assert isinstance(evaluator, TrainingEvaluator)
    return evaluator


def _step_figure(
    problem: QuantizationProblem, name: str, choice: dict[str, object], steps: int
) -> Figure:
    """Time steps of the float network and of one with all layers quantized, in turn."""
    chosen = [LayerChoice(f.name, BITS, **choice) for f in problem.layers]  # type: ignore[arg-type]
    config = problem.canonical(QuantizationConfig(tuple(chosen)))
    mixed = _stepper(problem, config)
    plain = float_stepper(problem)
    assert problem.plan is not None
    batches = list(take(SampleBatches(problem.plan.samples, problem.plan.settings, 0), steps + 3))
    ratios, times = [], []
    for index, batch in enumerate(batches):
        pair = [mixed, plain] if index % 2 else [plain, mixed]
        taken = {id(step): seconds(lambda step=step, batch=batch: step(batch)) for step in pair}  # type: ignore[misc]
        if index >= 3:
            ratios.append(taken[id(mixed)] / taken[id(plain)])
            times.append(taken[id(mixed)])
    title = f"step, all layers {name}"
    detail = f"{1e3 * median(times):.1f} ms with teacher's answers known"
    return Figure(title, median(ratios), "x float step", STEP_TARGET, detail=detail)


def _stepper(problem: QuantizationProblem, config: QuantizationConfig) -> Callable[[Batch], None]:
    """Return what takes a step of the mixed loop, the teacher's answers known."""
    run = trainer_of(problem).trainer.begin(config)
    progress = Progress(10**6)
    if run.teacher is not None:
        assert problem.plan is not None
        for batch in take(SampleBatches(problem.plan.samples, problem.plan.settings, 0), 50):
            run.teacher(batch)

    def step(batch: Batch) -> None:
        take_step(run, batch, progress)

    return step


def float_stepper(problem: QuantizationProblem) -> Callable[[Batch], None]:
    """Return what takes a step of the float network with the same kind of optimizer."""
    network = copy.deepcopy(problem.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train().requires_grad_()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5, weight_decay=0.0, fused=True)

    def step(batch: Batch) -> None:
        loss = cross_entropy(network(*batch.inputs), batch.targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _evaluation_figure(problem: QuantizationProblem, count: int) -> Figure:
    """Time tuned evaluations against their float steps and one calibrated evaluation."""
    generator = np.random.default_rng(0)
    drawn = [problem.feasible.config(problem.feasible.sample(generator)) for _ in range(count)]
    calibrated = problem.at_fidelity("calibrated")
    assert problem.plan is not None
    settings = problem.plan.settings
    ratios, times, first = [], [], []
    for config in tqdm(drawn, desc="tuned evaluations", unit="configuration"):
        canonical, lower = problem.canonical(config), calibrated.canonical(config)
        first.append(seconds(lambda c=canonical: trainer_of(problem).measure(c)))  # type: ignore[misc]
        again = seconds(lambda c=canonical: trainer_of(problem).measure(c))  # type: ignore[misc]
        calibrated.evaluator.measure(lower)
        least = seconds(lambda c=lower: calibrated.evaluator.measure(c))  # type: ignore[misc]
        step = float_stepper(problem)
        samples = SampleBatches(problem.plan.samples, settings, 0)

        def steps(step: Callable[[Batch], None] = step, samples: SampleBatches = samples) -> None:
            for batch in take(samples, settings.steps or 0):
                step(batch)

        ratios.append(again / (least + seconds(steps)))
        times.append(again)
    return Figure(
        f"tuned evaluation of {len(problem.layers)} layers, {settings.steps} steps",
        median(ratios),
        "x (float steps + calibrated evaluation)",
        EVALUATION_TARGET,
        detail=f"{median(times):.2f} s; {median(first):.2f} s where layers are adapted first",
    )


def _warm_figure(task_name: str, count: int) -> Figure:
    """Compare the losses of warm short runs and cold long ones, budget by budget."""
    words, wins = [], 0
    for limit in WARM_BUDGETS:
        budget = Budget.average_bits(limit)
        warm = tuned_problem(task_name, budget, TUNED)
        longer = replace(TUNED, steps=COLD_STEPS)
        cold = tuned_problem(task_name, budget, longer, warm_start=False)
        generator = np.random.default_rng(0)
        losses: tuple[list[float], list[float]] = ([], [])
        for _ in trange(count, desc=f"warm and cold at {limit:g} bits", unit="configuration"):
            config = warm.feasible.config(warm.feasible.sample(generator))
            for problem, found in zip((warm, cold), losses, strict=True):
                found.append(trainer_of(problem).measure(problem.canonical(config)).loss)
        means = [fmean(np.log(found)) for found in losses]
        wins += means[0] <= means[1]
        words.append(f"{limit:g}: {np.exp(means[0]):.4f} / {np.exp(means[1]):.4f}")
    return Figure(
        f"budgets where {TUNED.steps} warm steps reach {COLD_STEPS} cold ones",
        float(wins),
        f"of {len(WARM_BUDGETS)}",
        WARM_TARGET,
        at_least=True,
        detail=f"geometric mean loss of {count} random configurations, {', '.join(words)}",
    )
