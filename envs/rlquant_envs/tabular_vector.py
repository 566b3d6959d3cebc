"""Many episodes over one table at once, in NumPy: millions of steps a second."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rlquant import Budget, Reward, RlquantError, Table, TabularProblem
from rlquant.arguments import explained
from rlquant.cost.feasible import Indices
from rlquant.errors import SettingsError, whole_number
from rlquant.paths import PathLike
from rlquant.problem.checks import require_budget
from rlquant_envs.action_table import Action, ActionTable, whole_numbers
from rlquant_envs.batch_rewards import BatchReward
from rlquant_envs.batch_rules import BatchRules, Mask
from rlquant_envs.layerwise import budgets_of
from rlquant_envs.observation import FEATURES, Observation
from rlquant_envs.rendering import require_no_rendering
from rlquant_envs.tabular import DEFAULT_TABLE, tabular_problem

Step = tuple[Observation, npt.NDArray[np.float64], Mask, Mask, dict[str, Any]]


class TabularVectorQuantization(VectorEnv[Observation, Action, npt.NDArray[Any]]):
    """`TabularQuantization`, `num_envs` times: the same observations, masks, rewards and repairs.

    All episodes are equally long, so all end together; the step after the last begins new ones and
    ignores its actions (Gymnasium's autoreset mode NEXT_STEP). `info` holds arrays, and at the end
    of episodes `indices`, `loss` and `accuracy` in place of configurations and scores.

    Args:
        table: name of a table that comes with rlquant, path of an `.rlt` file, or a `Table`.
        num_envs: how many episodes are played at once.
        budget: the limit, one for all; 3 bits a weight by default.
        reward: name of a reward in `rlquant.REWARDS`, or `reward(score, float_score) -> float`,
            which is then asked for one configuration after the other.

    Raises:
        UnknownNameError, FileFormatError, StorageError: a table that is not there or damaged.
        BudgetError: a budget that no configuration keeps, or one of latency.
        SettingsError: several budgets, or something else than a number, a budget or a reward.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium's own interface
        "render_modes": [],
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    @explained
    def __init__(
        self,
        table: Table | PathLike = DEFAULT_TABLE,
        num_envs: int = 1,
        *,
        budget: Budget | None = None,
        reward: str | Reward = "log_loss",
        render_mode: str | None = None,
    ) -> None:
        self.num_envs = whole_number("num_envs", num_envs, 1)
        require_no_rendering(render_mode)
        if len(budgets_of(budget)) > 1:
            raise SettingsError(
                "TabularVectorQuantization: give one budget for all; several need one vector each"
            )
        problem = tabular_problem(table, budget)
        self._table = ActionTable.of(problem.space, problem.fidelity)
        self._usual = self._rules = BatchRules(problem, self._table)
        self._problem, self._reward = problem, BatchReward(reward, problem)
        self._layers = len(problem.feasible)
        sizes = [len(head.options) for head in problem.space.heads]
        self._sizes = np.array(sizes, dtype=np.uint64)
        self.single_action_space = MultiDiscrete(sizes)
        self.single_observation_space = Box(0.0, 1.0, shape=(len(FEATURES),), dtype=np.float32)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._everywhere = np.ones(self.num_envs, dtype=np.bool_)
        self._everywhere.flags.writeable = False
        self._layer: int | None = None
        self._start()

    @property
    def problem(self) -> TabularProblem:
        """The problem of these episodes, under their budget."""
        return self._rules.problem

    def _start(self) -> None:
        self._spent = np.full(self.num_envs, self._rules.fixed)
        self._options = np.zeros((self._layers, self.num_envs), dtype=np.int64)
        self._affordable: Indices | None = None

    @explained
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin new episodes; nothing is drawn, `options={"budget": b}` sets their budget."""
        super().reset(seed=seed)
        given = (options or {}).get("budget")
        self._rules = self._usual
        if given is not None:
            problem = self._problem.with_budget(require_budget(given))
            self._rules = BatchRules(problem, self._table)
        self._layer = 0
        self._start()
        return self._observe(0), self._info({})

    def step(self, actions: Action) -> Step:
        """Decide the next layer in every episode; after the last one, begin new episodes.

        Args:
            actions: one option index a head, shape `(num_envs, heads)`.
        """
        if self._layer is None:
            raise RlquantError("no episode has begun: call reset() first")
        rewards = np.zeros(self.num_envs)
        ended, truncated = np.zeros((2, self.num_envs), dtype=np.bool_)
        if self._layer == self._layers:
            observations, info = self.reset()
            return observations, rewards, ended, truncated, info
        layer, numbers = self._layer, self._numbers(actions)
        wanted = self._table.options.take(numbers)
        affordable = self._count()
        repairs = self._rules.repairs(layer)
        executed = repairs.take(affordable * repairs.shape[1] + wanted)
        self._options[layer] = executed
        self._spent += self._rules.costs[layer].take(executed)
        info = {
            "option": executed.copy(),
            "repaired": (executed != wanted) | ~self._table.legal.take(numbers),
        }
        self._layer, self._affordable = layer + 1, None
        if self._layer == self._layers:
            ended[:] = True
            rewards = self._finish(info)
        return self._observe(self._layer, executed), rewards, ended, truncated, self._info(info)

    def action_masks(self) -> Mask:
        """Return which options are allowed, shape `(num_envs, flat mask)`, always a new array."""
        layer = self._layer or 0
        if layer == self._layers:
            everything = np.ones(len(self._table.action_of), dtype=np.bool_)
            return np.tile(self._table.mask(everything), (self.num_envs, 1))
        return self._rules.masks(layer).take(self._count(), axis=0)

    def _count(self) -> Indices:
        """Return how many options fit at the layer to decide; asked for twice, worked out once."""
        if self._affordable is None:
            self._affordable = self._rules.affordable(self._layer or 0, self._spent)
        return self._affordable

    def _observe(self, layer: int, last: Indices | None = None) -> Observation:
        executed = self._options[0] if last is None else last
        return self._rules.observe(layer, self._spent, executed)

    def _numbers(self, actions: Action) -> Indices:
        """Return the number of each action; `SettingsError` outside the action space."""
        given = whole_numbers(actions, self.action_space)
        shape = (self.num_envs, len(self._sizes))
        # as unsigned numbers those below 0 are too large as well
        if given.shape != shape or (given.view(np.uint64) >= self._sizes).any():
            raise SettingsError(
                f"actions of shape {given.shape} are outside {self.action_space}: one option "
                f"index a head, shape {shape}"
            )
        return given[:, 0] if shape[1] == 1 else given @ self._table.weights

    def _finish(self, info: dict[str, Any]) -> npt.NDArray[np.float64]:
        """Look the configurations up, tell of them in `info`, and return the rewards."""
        problem = self._problem
        measured, options = problem.table.measured, len(problem.table.options)
        number = self._options[0]
        for executed in self._options[1:]:
            number = number * options + executed
        info["indices"] = self._options.T.copy()
        info["loss"] = measured.losses.take(number).astype(np.float64)
        info["accuracy"] = measured.correct.take(number) / measured.samples
        return self._reward(info["loss"], info["accuracy"], info["indices"])

    def _info(self, entries: dict[str, Any]) -> dict[str, Any]:
        """Return `info` as Gymnasium has it: beside each array which environments it is of."""
        entries["limit"] = np.full(self.num_envs, float(self.problem.budget.limit))
        return entries | {f"_{name}": self._everywhere for name in entries}
