"""The environment over a table: the layerwise one, with every score known before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rlquant import Budget, Reward, Table, TabularProblem, load_table
from rlquant.arguments import explained
from rlquant.paths import PathLike
from rlquant_envs.layerwise import DEFAULT_BUDGET, LayerwiseQuantization, budgets_of

DEFAULT_TABLE = "fashion-mnist-resnet8"


class TabularQuantization(LayerwiseQuantization):
    """`LayerwiseQuantization` on a `Table`: the same rules, and a step takes microseconds.

    One group of layers is decided a step; see `docs/reference/environment.md`.

    Args:
        table: name of a table that comes with rlquant ("fashion-mnist-resnet8" by default), path of
            an `.rlt` file, or a `Table`.
        budget: the limit; a sequence of budgets is drawn from at each reset. By default 3 bits a
            weight.
        reward: name of a reward in `rlquant.REWARDS`, or `reward(score, float_score) -> float`.
        render_mode: as of `LayerwiseQuantization`.

    Raises:
        UnknownNameError, FileFormatError, StorageError: a table that is not there or damaged.
        BudgetError: a budget that no configuration keeps, or one of latency.
        SettingsError: no budget in the sequence, or something else than a budget or a reward.
    """

    @explained
    def __init__(
        self,
        table: Table | PathLike = DEFAULT_TABLE,
        *,
        budget: Budget | Sequence[Budget] | None = None,
        reward: str | Reward = "log_loss",
        render_mode: str | None = None,
    ) -> None:
        problem = tabular_problem(table, budget)
        super().__init__(problem, budget=budget, reward=reward, render_mode=render_mode)


def tabular_problem(table: Table | PathLike, budget: Any) -> TabularProblem:
    """Return the problem over a table under the first of the budgets given."""
    budgets = budgets_of(budget)
    known = table if isinstance(table, Table) else load_table(table)
    return TabularProblem(known, budgets[0] if budgets else DEFAULT_BUDGET)
