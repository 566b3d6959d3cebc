"""Episodes over many tables at once: what is known of a network changes from rollout to rollout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from rlquant import Budget, Table, TabularProblem
from rlquant.cost.feasible import Indices
from rlquant.pareto import pareto_front
from rlquant.score import log_loss
from rlquant_agents.searchers.dyna_ppo.option_features import Features, Mask, OptionFeatures
from rlquant_agents.searchers.dyna_ppo.rollouts import BatchedEnv, SimulatedEpisodes
from rlquant_agents.searchers.sensitivity import reference_option

Floats = npt.NDArray[np.float64]

WORST = 1.0
"""Rewards are at most so large, either way."""
TIGHTEST, WIDEST = 0.05, 0.7
"""Between which shares of the room above the cheapest configuration budgets are drawn."""
TIGHTNESS = 1.5
"""Power of the share: above 1, tight budgets are drawn more often."""
KNOWING = {"nothing": 0.3, "sensitivities": 0.4, "neighbours": 0.3}
"""How often the agent knows what: nothing measured, each option at each layer alone with the others
at their widest, or the same around a configuration that is the best within some budget."""
MEASURED_WEIGHT = 3.0
"""How much more counts what is won or lost where effects were measured: it is that much less."""
NO_LIMIT = Budget.average_bits(64.0)


class TrainingTable:
    """A table to train on, under budgets that are drawn.

    Args:
        table: every configuration's scores.
        count: episodes at once.
        padded: options that observations have room for.
        seed: decides budgets and what is known, until `draw_from` is called.

    Attributes:
        known: what the agent knows, a key of `KNOWING`; nothing in the beginning.
        known_effects: that, shape `(layers, options)`: weight errors where nothing is measured.
    """

    def __init__(self, table: Table, count: int, padded: int, seed: int | Sequence[int]) -> None:
        self.problem = TabularProblem(table, NO_LIMIT)
        self.features = OptionFeatures(self.problem, padded)
        self.increases = np.array([log_loss(loss) for loss in table.measured.losses.tolist()])
        self._generator = np.random.default_rng(seed)
        self._units = self.problem.units()
        self._strides = np.array(table.strides)
        self._front = pareto_front(self._units, self.increases)
        self.episodes = SimulatedEpisodes(self.features, count, self.limits, self.pay)
        self.know("nothing")

    def draw_from(self, generator: np.random.Generator) -> None:
        """Draw budgets and what is known from another generator."""
        self._generator = generator

    def limits(self, count: int) -> Floats:
        """Draw so many limits, in units."""
        drawn = self._generator.uniform(TIGHTEST, WIDEST, size=count)
        return self.limits_at(drawn**TIGHTNESS)

    def limits_at(self, shares: Floats) -> Floats:
        """Return limits at shares of the room above the cheapest configuration, in units."""
        feasible = self.problem.feasible
        room = feasible.largest - feasible.smallest
        found: Floats = feasible.smallest + np.floor(shares * room)
        return found

    def increases_of(self, rows: Indices) -> Floats:
        """Return the log losses of rows of option indices, shape `(n,)`."""
        found: Floats = self.increases[rows @ self._strides]
        return found

    def reward(self, rows: Indices, limits: Floats) -> Floats:
        """Return by how much the log of the loss is below that of the knapsack's answer.

        A paired baseline: same table, same limit, same knowledge (self-critical training, Rennie et
        al. 2017), so that what is left to learn is what the knapsack gets wrong.
        """
        plain = self.increases_of(self.features.knapsack_answers(limits))
        return np.clip(plain - self.increases_of(rows), -WORST, WORST)

    @property
    def weight(self) -> float:
        """How much counts what is won or lost, by what is known."""
        return 1.0 if self.known == "nothing" else MEASURED_WEIGHT

    def pay(self, rows: Indices, limits: Floats) -> Floats:
        """Return rewards, weighted."""
        return self.weight * self.reward(rows, limits)

    def knapsack_increases(self, limits: Floats) -> Floats:
        """Return the log losses of the exact knapsack's answers to what is known, shape `(n,)`.

        Of configurations with equal sums of effects the first.
        """
        sums = np.zeros(1)
        for row in self.known_effects:
            sums = np.add.outer(sums, row).reshape(-1)
        within = self._units <= limits[:, None]
        numbers = np.where(within, sums, np.inf).argmin(axis=1)
        found: Floats = self.increases[numbers]
        return found

    def losses_ahead(self, limits: Floats) -> list[Floats]:
        """Return the least increase that every beginning of a configuration can still come to.

        Args:
            limits: that are kept, in units, shape `(n,)`.

        Returns:
            One array for each number of layers decided, `i` from 0 to all of them, of shape
            `(n, options**i)`: beginnings are numbered like configurations. Infinite where nothing
            keeps the limit.
        """
        within = self._units <= limits[:, None]
        found = [np.where(within, self.increases, np.inf)]
        for _ in range(self.features.layers):
            found.append(found[-1].reshape(len(limits), -1, self.features.options).min(axis=2))
        return found[::-1]

    def know(self, known: str) -> None:
        """Let the agent know what a key of `KNOWING` says."""
        effects: Floats | None = None
        if known == "sensitivities":
            effects = self.sensitivities()
        elif known == "neighbours":
            effects = self._effects_around(int(self._generator.choice(self._front)))
        self.known = known
        self.known_effects = self.features.errors if effects is None else effects
        self.features.set_effects(effects)

    def learn_anew(self) -> None:
        """Draw what is known in the episodes to come."""
        self.know(str(self._generator.choice(list(KNOWING), p=list(KNOWING.values()))))

    def sensitivities(self) -> Floats:
        """Return the effects of single options with the others at their widest."""
        options = self.problem.feasible.options
        widest = reference_option(options, self.problem.space)
        return self._effects_around(int(widest * self._strides.sum()))

    def _effects_around(self, base: int) -> Floats:
        """Return what each option at each layer alone changes in a configuration's increase."""
        layers, options = self.features.layers, self.features.options
        row = np.array(self.problem.table.indices_of(base))
        moves = (np.arange(options) - row[:, None]) * self._strides[:, None]
        found: Floats = self.increases[base + moves] - self.increases[base]
        return found.reshape(layers, options)


class SideBySide(BatchedEnv):
    """Episodes over several problems as one vector of environments.

    Args:
        parts: the problems' own episodes, with room for equally many options.
    """

    def __init__(self, parts: Sequence[SimulatedEpisodes]) -> None:
        self._parts = parts
        count = sum(part.num_envs for part in parts)
        super().__init__(count, parts[0].observation_space, parts[0].action_space)
        self._ends = np.cumsum([part.num_envs for part in parts])[:-1]

    def reset(self) -> Features:
        """Begin new episodes everywhere."""
        return np.concatenate([part.reset() for part in self._parts])

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Hand each part its actions."""
        for part, own in zip(self._parts, np.split(actions, self._ends), strict=True):
            part.step_async(own)

    def step_wait(self) -> VecEnvStepReturn:
        """Return what the parts return, one after the other."""
        seen, rewards, ended, infos = zip(*(part.step_wait() for part in self._parts), strict=True)
        told = [info for own in infos for info in own]
        return np.concatenate(seen), np.concatenate(rewards), np.concatenate(ended), told

    def action_masks(self) -> Mask:
        """Return which options fit in each, shape `(count, padded)`."""
        return np.concatenate([part.action_masks() for part in self._parts])
