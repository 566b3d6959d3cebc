"""The environment: one layer a step, the measured score of the finished network as reward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, MultiDiscrete

from rlquant import (
    Budget,
    EvaluationStore,
    LayerChoice,
    Problem,
    QuantizationProblem,
    Reward,
    RlquantError,
    SearchSpace,
    tasks,
)
from rlquant.choices import Fidelity
from rlquant.errors import SettingsError
from rlquant.score import bind_reward
from rlquant.space import for_layer
from rlquant_envs.observation import FEATURES, Observation, Observer

Action = npt.NDArray[np.int64]
DEFAULT_TASK = "digits/mlp"
DEFAULT_BUDGET = Budget.average_bits(3.0)


@dataclass(frozen=True)
class ActionTable:
    """What every action of a layer means, worked out once.

    Attributes:
        weights: shape `(heads,)`: an action's number is their dot product.
        options: by action number, the canonical option; for illegal combinations the nearest.
        legal: by action number, whether the combination exists.
        contains: shape `(flat mask, options)`: whether some legal action with that head's option
            is that canonical option.
        action_of: by canonical option, the first action that stands for it, shape
            `(options, heads)`.
    """

    weights: npt.NDArray[np.int64]
    options: npt.NDArray[np.int64]
    legal: npt.NDArray[np.bool_]
    contains: npt.NDArray[np.bool_]
    action_of: npt.NDArray[np.int64]

    @classmethod
    def of(cls, space: SearchSpace, fidelity: Fidelity) -> ActionTable:
        """Work out the table of a space."""
        sizes = [len(head.options) for head in space.heads]
        weights = np.array([int(np.prod(sizes[i + 1 :])) for i in range(len(sizes))])
        option = space.option_of_action(fidelity)
        legal = option >= 0
        first = [int(np.flatnonzero(option == o)[0]) for o in range(option.max() + 1)]
        widths = np.array([o.arithmetic_bits for o in space.options(fidelity)])[option]
        for number in np.flatnonzero(~legal):
            option[number] = option[_nearest_legal(space, widths, legal, int(number))]
        starts = np.cumsum([0, *sizes])
        contains = np.zeros((starts[-1], option.max() + 1), dtype=np.bool_)
        for number in np.flatnonzero(legal):
            contains[starts[:-1] + space.actions[number], option[number]] = True
        return cls(weights, option, legal, contains, space.actions[first])

    def mask(self, allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return the flat mask, head after head, for what options are allowed."""
        mask: npt.NDArray[np.bool_] = np.any(self.contains & allowed, axis=1)
        return mask


def _nearest_legal(
    space: SearchSpace, widths: npt.NDArray[np.int64], legal: npt.NDArray[np.bool_], number: int
) -> int:
    """Return the legal action nearest in executed bits, then in most other decisions."""
    wanted = space.actions[number]
    fields = {"bits": space.bits[0], "method": space.method[0]}
    for head, index in zip(space.heads, wanted, strict=True):
        if head.name in fields:
            fields[head.name] = head.options[index]
    width = LayerChoice("", **fields).arithmetic_bits  # type: ignore[arg-type]
    differs = (space.actions != wanted).sum(axis=1)
    return int(np.lexsort((differs, np.abs(widths - width), ~legal))[0])


class LayerwiseQuantization(gymnasium.Env[Observation, Action]):
    """Decide one layer's quantization a step; no action can break the budget, and none raises.

    An action that does not fit, or combines what is not legal, is repaired to the nearest feasible
    choice, with the same bits where there is one. See `docs/environment.md`.

    Args:
        problem: what to decide on; or give `task`.
        task: name of a registered task, e.g. "digits/mlp".
        budget: the limit; a sequence of budgets is drawn from at each reset.
        reward: name of a reward in `rlquant.REWARDS`, or `reward(score, float_score) -> float`.
        fidelity, seed, space, store: of the problem made from `task`; see `QuantizationProblem`.

    Raises:
        SettingsError: both `problem` and what only `task` uses, no budget in the sequence, or
            something else than a problem, a budget or a reward that fits the problem.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - Gymnasium's own interface

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
        store: str | Path | EvaluationStore | None = None,
        render_mode: str | None = None,
    ) -> None:
        budgets = _budgets(budget)
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
        if render_mode is not None:
            raise SettingsError(
                f"render_mode={render_mode!r}: there is nothing to render, use None"
            )
        _require_problem(problem)
        self._problems = [problem.with_budget(b) for b in budgets or [problem.budget]]
        self._observers = [Observer(p) for p in self._problems]
        self._table = ActionTable.of(problem.space, problem.fidelity)
        self._reward = bind_reward(reward, problem.float_score)
        self.render_mode = None
        self.observation_space = Box(0.0, 1.0, shape=(len(FEATURES),), dtype=np.float32)
        sizes = [len(head.options) for head in problem.space.heads]
        self.action_space = MultiDiscrete(sizes)
        self._sizes = np.array(sizes)
        self._select(0)
        self._chosen: list[int] | None = None
        self._spent = self._problem.feasible.cost.fixed

    @property
    def problem(self) -> Problem:
        """The problem of this episode, under the budget that was drawn."""
        return self._problem

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode; `seed` decides the budget drawn, `options={"budget": b}` sets it."""
        super().reset(seed=seed)
        given = (options or {}).get("budget")
        if given is not None:
            self._problem = self._problems[0].with_budget(_require_budget(given))
            self._observer = Observer(self._problem)
        elif len(self._problems) > 1:
            self._select(int(self.np_random.integers(len(self._problems))))
        else:
            self._select(0)
        self._chosen = []
        self._spent = self._problem.feasible.cost.fixed
        return self._observer.observe(0, self._spent, None), {"budget": self._problem.budget}

    def step(self, action: Action) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Decide the next layer; the last decision has the network measured."""
        chosen, feasible = self.require_running(), self._problem.feasible
        layer = len(chosen)
        number = self._number(action)
        wanted = int(self._table.options[number])
        option = feasible.nearest(layer, wanted, self._spent)
        chosen.append(option)
        self._spent += int(feasible.costs[layer, option])
        info: dict[str, Any] = {
            "choice": for_layer(feasible.options[option], feasible.names[layer]),
            "repaired": option != wanted or not self._table.legal[number],
        }
        reward, done = 0.0, len(chosen) == len(feasible)
        if done:
            info["config"] = feasible.config(chosen)
            info["score"] = self._problem.evaluate(info["config"])
            reward = self._reward(info["score"])
        observation = self._observer.observe(layer + 1, self._spent, self._table.action_of[option])
        return observation, reward, done, False, info

    def action_masks(self) -> npt.NDArray[np.bool_]:
        """Return which options are allowed, flat, head after head, as sb3-contrib wants it.

        An option is allowed if some legal choice that contains it fits the budget together with
        the cheapest choices for all layers that follow.
        """
        return self._table.mask(self.allowed_options())

    def allowed_options(self) -> npt.NDArray[np.bool_]:
        """Return which canonical options of the space fit at the layer to decide."""
        layer = len(self._chosen or [])
        if layer == len(self._problem.layers):
            return np.ones(len(self._problem.feasible.options), dtype=np.bool_)
        return self._problem.feasible.allowed(layer, self._spent)

    @property
    def action_table(self) -> ActionTable:
        """What the actions mean; wrappers ask one decision at a time with it."""
        return self._table

    def require_running(self) -> list[int]:
        """Return the options executed so far; `RlquantError` outside an episode."""
        if self._chosen is None or len(self._chosen) == len(self._problem.layers):
            raise RlquantError("the episode is over or has not begun: call reset() first")
        return self._chosen

    def _select(self, index: int) -> None:
        self._problem, self._observer = self._problems[index], self._observers[index]

    def _number(self, action: Action) -> int:
        given = np.asarray(action, dtype=np.int64).reshape(-1)
        if given.shape != self._sizes.shape or (given < 0).any() or (given >= self._sizes).any():
            raise SettingsError(
                f"action {given.tolist()} is outside {self.action_space}: one option index a head"
            )
        return int(given @ self._table.weights)


def _budgets(budget: Any) -> list[Budget]:
    """Return the budgets that were given as one, several or None."""
    if budget is None or isinstance(budget, Budget):
        return [] if budget is None else [budget]
    if not isinstance(budget, Sequence) or isinstance(budget, str):
        return [_require_budget(budget)]
    if not budget:
        raise SettingsError("LayerwiseQuantization: budget is empty, give at least one Budget")
    return [_require_budget(each) for each in budget]


def _require_budget(budget: Any) -> Budget:
    if not isinstance(budget, Budget):
        raise SettingsError(
            f"LayerwiseQuantization: budget={budget!r} is no Budget; use e.g. "
            f"Budget.average_bits(3.0)"
        )
    return budget


def _require_problem(problem: Any) -> None:
    missing = [name for name in ("space", "feasible", "evaluate") if not hasattr(problem, name)]
    if missing:
        raise SettingsError(
            f"LayerwiseQuantization: problem is {type(problem).__name__} without "
            f"{', '.join(missing)}; give a QuantizationProblem, or task=name"
        )
