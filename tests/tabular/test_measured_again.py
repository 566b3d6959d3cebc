"""Shipped tables hold what a live network measures: some of their configurations, once more."""

from __future__ import annotations

import shlex

import numpy as np
import pytest

from rlquant import Budget, GroupedProblem, QuantizationProblem, load_table, table_names, tasks

CONFIGURATIONS = 3
DIGITS = [name for name in table_names() if load_table(name).task.startswith("digits/")]


def test_commands_of_shipped_tables_give_no_option_that_is_not_set_here() -> None:
    known = {"--task", "--choices", "--layers", "--name", "--out", "--fidelity"}
    for name in DIGITS:
        given = {word for word in shlex.split(load_table(name).command) if word.startswith("--")}
        assert given <= known


@pytest.mark.slow
@pytest.mark.parametrize("name", DIGITS)
def test_a_table_holds_what_is_measured(name: str) -> None:
    table = load_table(name)
    task = tasks.load(table.task)
    problem = QuantizationProblem(
        task.network,
        task.train,
        task.validation,
        budget=Budget.average_bits(64.0),
        space=table.space,
        fidelity=table.fidelity,
        seed=table.seed,
    )
    live = GroupedProblem(problem, table.groups)
    if live.fingerprint != table.fingerprint:
        pytest.skip(
            "the network of this machine is another one than that of the table: fingerprints "
            f"{live.fingerprint[:8]} and {table.fingerprint[:8]}"
        )
    numbers = np.random.default_rng(0).integers(table.count, size=CONFIGURATIONS).tolist()
    for number in numbers:
        score = live.evaluate(live.feasible.config(table.indices_of(number)))
        held = table.measured.losses.item(number)
        assert score.loss == pytest.approx(held, rel=1e-6)  # float32, and other processors
        assert round(score.accuracy * score.samples) == table.measured.correct[number]
        assert score.samples == table.samples
