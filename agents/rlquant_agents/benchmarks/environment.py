"""Steps a second of the environment where every score is known."""

from __future__ import annotations

from statistics import median

import numpy as np
import torch

from rlquant import Budget, QuantizationProblem, tasks
from rlquant_agents.benchmarks.figure import Figure, seconds
from rlquant_envs import LayerwiseQuantization

TARGET = 4000.0
ROUNDS = 9


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
    env = LayerwiseQuantization(problem).unwrapped
    assert isinstance(env, LayerwiseQuantization)
    generator = np.random.default_rng(0)
    drawn = [problem.feasible.sample(generator) for _ in range(count)]
    episodes = [[env.action_table.action_of[option] for option in options] for options in drawn]

    def play() -> None:
        for actions in episodes:
            env.reset()
            for action in actions:
                env.action_masks()
                env.step(action)

    play()  # measures every configuration once
    steps = sum(len(actions) for actions in episodes)
    rates = [steps / seconds(play) for _ in range(ROUNDS)]
    name = f"environment steps, {task_name}, known scores"
    detail = f"{1e6 / median(rates):.0f} us a step, masks and resets included"
    return [Figure(name, median(rates), "steps/s", TARGET, True, detail)]
