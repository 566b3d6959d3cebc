"""A table of what was measured of every configuration of a problem."""

from __future__ import annotations

import numpy.typing as npt

from rlquant.problem.protocol import Groups, Problem
from rlquant.tabular.measured import Measured
from rlquant.tabular.table import Table
from rlquant.tabular.table_costs import TableCosts


def make_table(
    problem: Problem,
    losses: npt.ArrayLike,
    correct: npt.ArrayLike,
    *,
    name: str,
    task: str,
    command: str,
) -> Table:
    """Return the table of a problem; costs and facts are read off it, its budget plays no part.

    Args:
        problem: a live problem, or a `GroupedProblem` of one.
        losses: mean validation loss of every configuration, in C order over option indices (the
            last layer's fastest).
        correct: correct answers of every configuration, `round(accuracy * samples)`.
        name: what the table is called.
        task: what was quantized.
        command: how the table was made.

    Raises:
        SettingsError: a number of values that is not that of the configurations, or values that
            cannot be; see `Measured` and `Table`.
    """
    samples = problem.float_score.samples
    single = {facts.name: (facts.name,) for facts in problem.layers}
    return Table(
        name=name,
        task=task,
        command=command,
        fingerprint=problem.fingerprint,
        groups=problem.groups if isinstance(problem, Groups) else single,
        facts=problem.layers,
        space=problem.space,
        fidelity=problem.fidelity,
        seed=problem.seed,
        float_score=problem.float_score,
        costs=TableCosts.of(problem),
        samples=samples,
        source=Measured(losses, correct, samples),  # type: ignore[arg-type]  # checked there
    )
