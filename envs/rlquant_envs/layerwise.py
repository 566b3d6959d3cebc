"""The environment: one layer a step, the measured score of the finished network as reward."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, cast

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, MultiDiscrete

from rlquant import (
    Budget,
    EvaluationStore,
    LayerChoice,
    Problem,
    QuantizationConfig,
    QuantizationProblem,
    Reward,
    RlquantError,
    Score,
    SearchSpace,
    tasks,
)
from rlquant.arguments import explained
from rlquant.config import Fidelity
from rlquant.errors import SettingsError
from rlquant.paths import PathLike
from rlquant.problem.checks import require_budget
from rlquant.problem.protocol import Indexed, require_problem
from rlquant.score import bind_reward
from rlquant_envs.action_table import Action, ActionTable, whole_numbers
from rlquant_envs.fitting import Fitting
from rlquant_envs.observation import FEATURES, Observation, Observer
from rlquant_envs.rendering import (
    RENDER_MODES,
    Picture,
    as_picture,
    as_text,
    require_render_mode,
)

DEFAULT_TASK = "digits/resnet8"
DEFAULT_BUDGET = Budget.average_bits(3.0)


class LayerwiseQuantization(gymnasium.Env[Observation, Action]):
    """Decide one layer's quantization a step; no action can break the budget, and none raises.

    An action that does not fit, or combines what is not legal, is repaired to the nearest feasible
    choice, with the same bits where there is one. See `docs/reference/environment.md`.

    Args:
        problem: what to decide on; or give `task`.
        task: name of a registered task; "digits/resnet8" by default.
        budget: the limit; a sequence of budgets is drawn from at each reset.
        reward: name of a reward in `rlquant.REWARDS`, or `reward(score, float_score) -> float`.
        fidelity, seed, space, store: of the problem made from `task`; see `QuantizationProblem`.
        render_mode: "ansi" for the decisions so far as text, "rgb_array" for a picture of them,
            "human" to have the text written at every step; None for nothing.

    Raises:
        SettingsError: both `problem` and what only `task` uses, no budget in the sequence, or
            something else than a problem, a budget or a reward that fits the problem.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 4}  # noqa: RUF012 - Gymnasium's own interface

    @explained
    def __init__(
        self,
        problem: Problem | None = None,
        *,
        task: str | None = None,
        budget: Budget | Sequence[Budget] | None = None,
        reward: str | Reward = "log_loss",
        fidelity: Fidelity | None = None,
        seed: int | None = None,
        space: SearchSpace | None = None,
        store: PathLike | EvaluationStore | None = None,
        render_mode: str | None = None,
    ) -> None:
        budgets = budgets_of(budget)
        if problem is None:
            chosen = tasks.load(task or DEFAULT_TASK)
            problem = QuantizationProblem(
                chosen.network,
                chosen.train,
                chosen.validation,
                space=space,
                budget=budgets[0] if budgets else DEFAULT_BUDGET,
                fidelity=fidelity or "calibrated",
                seed=seed or 0,
                store=store,
            )
        elif any(value is not None for value in (task, fidelity, seed, space, store)):
            raise SettingsError(
                "LayerwiseQuantization: task, fidelity, seed, space and store make a problem; "
                "leave them out where problem is given"
            )
        self.render_mode = require_render_mode(render_mode)
        require_problem(problem, "LayerwiseQuantization: ")
        self._indexed = isinstance(problem, Indexed)
        self._table = ActionTable.of(problem.space, problem.fidelity)
        self._options: list[int] = self._table.options.tolist()
        self._legal: list[bool] = self._table.legal.tolist()
        self._actions = [tuple(action) for action in self._table.action_of.tolist()]
        under = [problem.with_budget(b) for b in budgets or [problem.budget]]
        self._parts = [self._parts_of(p) for p in under]
        self._reward = bind_reward(reward, problem.float_score)
        self.observation_space = Box(0.0, 1.0, shape=(len(FEATURES),), dtype=np.float32)
        sizes = [len(head.options) for head in problem.space.heads]
        self.action_space = MultiDiscrete(sizes)
        self._select(0)
        self._chosen: list[int] | None = None
        self._spent = self._problem.feasible.cost.fixed

    @property
    def problem(self) -> Problem:
        """The problem of this episode, under the budget that was drawn."""
        return self._problem

    @explained
    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode; `seed` decides the budget drawn, `options={"budget": b}` sets it."""
        super().reset(seed=seed)
        given = (options or {}).get("budget")
        if given is not None:
            problem = self._parts[0][0].with_budget(require_budget(given))
            self._problem, self._observer, self._fitting = self._parts_of(problem)
        elif len(self._parts) > 1:
            self._select(int(self.np_random.integers(len(self._parts))))
        else:
            self._select(0)
        self._chosen = []
        self._spent = self._problem.feasible.cost.fixed
        self._show()
        return self._observer.observe(0, self._spent, None), self._told()

    def completed_by(self, action: Action) -> list[int] | None:
        """Return the option indices of the configuration that an action would complete.

        None where it is not the last decision. Nothing is decided: who steps several environments
        hands over together what all of them are about to measure.
        """
        chosen = self.require_running()
        if len(chosen) + 1 < len(self._problem.feasible):
            return None
        wanted = self._options[self._number(action)]
        return [*chosen, self._fitting.nearest(len(chosen), wanted, self._spent)]

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Decide the next layer; the last decision has the network measured."""
        chosen = self.require_running()
        layer, number = len(chosen), self._number(action)
        wanted = self._options[number]
        option = self._fitting.nearest(layer, wanted, self._spent)
        chosen.append(option)
        self._spent += self._fitting.costs[layer][option]
        info: dict[str, Any] = {
            "option": option,
            "repaired": option != wanted or not self._legal[number],
        }
        reward, done = 0.0, len(chosen) == len(self._problem.feasible)
        if done:
            info["config"] = self._problem.feasible.config(chosen)
            info["score"] = self._evaluate(info["config"], chosen)
            reward = self._reward(info["score"])
        info |= self._told()
        self._show()
        observation = self._observer.observe(layer + 1, self._spent, self._actions[option])
        return observation, reward, done, False, info

    @property
    def decided(self) -> tuple[LayerChoice, ...]:
        """What was executed so far in this episode, a canonical choice for each decision."""
        choices = self._problem.feasible.choices
        return tuple(choices[at][option] for at, option in enumerate(self._chosen or ()))

    def render(self) -> str | Picture | None:
        """Return what `render_mode` says of the episode so far; "human" shows it at every step."""
        shown = self._problem.feasible, self._chosen or (), self._spent
        if self.render_mode == "rgb_array":
            return as_picture(*shown)
        if self.render_mode == "ansi":
            return as_text(*shown)
        if self.render_mode == "human":
            sys.stdout.write(as_text(*shown))
        return None

    def _told(self) -> dict[str, Any]:
        """Return what `info` has after reset and step alike: numbers, which libraries stack."""
        return {"limit": float(self._problem.budget.limit), "action_mask": self.action_masks()}

    def _show(self) -> None:
        if self.render_mode == "human":
            self.render()

    def sample_mask(self) -> tuple[npt.NDArray[np.int8], ...]:
        """Return the mask as `action_space.sample(mask=...)` takes it: an array for each head."""
        sizes = [len(head.options) for head in self._problem.space.heads]
        flat = self.action_masks().astype(np.int8)
        return tuple(np.split(flat, np.cumsum(sizes)[:-1]))

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Return which options are allowed, flat, head after head, as sb3-contrib wants it.

        An option is allowed if some legal choice that contains it fits the budget together with
        the cheapest choices for all layers that follow.
        """
        layer = len(self._chosen or ())
        if layer == len(self._problem.feasible):
            return self._table.mask(self.allowed_options())
        return self._fitting.mask(layer, self._spent)

    def allowed_options(self) -> npt.NDArray[np.bool_]:
        """Return which canonical options of the space fit at the layer to decide."""
        layer = len(self._chosen or [])
        if layer == len(self._problem.feasible):
            return np.ones(len(self._problem.feasible.options), dtype=np.bool_)
        return self._problem.feasible.allowed(layer, self._spent)

    @property
    def action_table(self) -> ActionTable:
        """What the actions mean; wrappers ask one decision at a time with it."""
        return self._table

    def require_running(self) -> list[int]:
        """Return the options executed so far; `RlquantError` outside an episode."""
        if self._chosen is None or len(self._chosen) == len(self._problem.feasible):
            raise RlquantError("the episode is over or has not begun: call reset() first")
        return self._chosen

    def _parts_of(self, problem: Problem) -> tuple[Problem, Observer, Fitting]:
        return problem, Observer(problem), Fitting(problem.feasible, self._table)

    def _select(self, index: int) -> None:
        self._problem, self._observer, self._fitting = self._parts[index]

    def _number(self, action: Action) -> int:
        try:
            return self._table.number_of[tuple(action.tolist())]
        except (AttributeError, TypeError, KeyError):
            given = whole_numbers(action, self.action_space).reshape(-1)
        found = self._table.number_of.get(tuple(given.tolist()))
        if found is None:
            raise SettingsError(
                f"action {given.tolist()} is outside {self.action_space}: one option index a head"
            )
        return found

    def _evaluate(self, config: QuantizationConfig, chosen: Sequence[int]) -> Score:
        """Score the decided configuration, by its option indices where that is quicker."""
        if self._indexed:
            return cast(Indexed, self._problem).evaluate_indices(chosen)
        return self._problem.evaluate(config)


def budgets_of(budget: Any) -> list[Budget]:
    """Return the budgets that were given as one, several or None."""
    if budget is None or isinstance(budget, Budget):
        return [] if budget is None else [budget]
    if not isinstance(budget, Sequence) or isinstance(budget, str):
        return [require_budget(budget)]
    if not budget:
        raise SettingsError("LayerwiseQuantization: budget is empty, give at least one Budget")
    return [require_budget(each) for each in budget]
