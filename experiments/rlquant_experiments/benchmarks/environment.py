"""Steps a second of the environments where every score is known."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import numpy as np
import torch

from rlquant import Budget, QuantizationProblem, tasks
from rlquant.testing import random_table
from rlquant_envs import LayerwiseQuantization, TabularQuantization, TabularVectorQuantization
from rlquant_experiments.benchmarks.figure import Figure, seconds

TARGET, TABULAR_TARGET, VECTOR_TARGET = 4000.0, 80_000.0, 5_000_000.0
ROUNDS = 9
GROUPS = 8
AT_ONCE = 1024
VECTOR_EPISODES = 30


def environment(task_name: str, count: int) -> list[Figure]:
    """Count the steps a second of episodes whose configurations are all known.

    Args:
        task_name: a task's name.
        count: episodes that are played through in each of nine rounds.
    """
    torch.set_num_threads(1)
    task = tasks.load(task_name)
    budget = Budget.average_bits(3.0)
    problem = QuantizationProblem(task.network, task.train, task.validation, budget=budget)
    live, tabular = LayerwiseQuantization(problem), TabularQuantization(random_table(GROUPS))
    return [
        _figure(f"environment steps, {task_name}, known scores", live, count, TARGET),
        _figure("tabular environment steps", tabular, count, TABULAR_TARGET),
        _vector_figure(),
    ]


def _figure(name: str, env: LayerwiseQuantization, count: int, target: float) -> Figure:
    """Count the steps of one environment."""
    generator = np.random.default_rng(0)
    drawn = [env.problem.feasible.sample(generator) for _ in range(count)]
    episodes = [[env.action_table.action_of[option] for option in options] for options in drawn]

    def play() -> None:
        for actions in episodes:
            env.reset()
            for action in actions:
                env.action_masks()
                env.step(action)

    rate = _rate(play, sum(len(actions) for actions in episodes))
    detail = f"{1e6 / rate:.1f} us a step, masks and resets included"
    return Figure(name, rate, "steps/s", target, True, detail)


def _vector_figure() -> Figure:
    """Count the steps of many episodes at once, with masks and without."""
    envs = TabularVectorQuantization(random_table(GROUPS), AT_ONCE)
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(GROUPS)]

    def play(masks: bool) -> None:
        for _ in range(VECTOR_EPISODES):
            envs.reset()
            for action in actions:
                if masks:
                    envs.action_masks()
                envs.step(action)

    steps = VECTOR_EPISODES * GROUPS * AT_ONCE
    rate, without = _rate(lambda: play(True), steps), _rate(lambda: play(False), steps)
    detail = f"masks and resets included; {without:,.0f} without masks"
    name = f"steps of {AT_ONCE:,} tabular environments at once"
    return Figure(name, rate, "steps/s", VECTOR_TARGET, True, detail)


def _rate(play: Callable[[], None], steps: int) -> float:
    """Return the median steps a second over the rounds, after one that is not counted."""
    play()  # measures every configuration once
    return median(steps / seconds(play) for _ in range(ROUNDS))
