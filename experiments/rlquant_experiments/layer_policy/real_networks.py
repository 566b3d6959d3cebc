"""Landscapes of pretrained networks, of what searches of them have measured and kept."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from rlquant import Problem, QuantizationConfig
from rlquant.errors import SettingsError
from rlquant.files import make_folder
from rlquant_experiments.baselines.knapsack_weight_error import noise_to_signal
from rlquant_experiments.landscapes.landscape import Floats, Indices, Landscape
from rlquant_experiments.landscapes.measuring import facts_of, weights_a_group
from rlquant_experiments.real_networks.measuring import Lab
from rlquant_experiments.real_networks.settings import RealNetworkSettings

BUDGETS = (2.5, 3.0, 4.0)
"""Of the searches, average bits; what else was measured, such as uniform ones, counts apart."""
BELOW = 0.06
"""Bits that a search's configuration may stay below its budget."""


def stored_landscape(task: str, kept: Path, scratch: Path) -> Landscape:
    """Return what is known of a pretrained task; nothing is evaluated but the float network once.

    Args:
        task: name.
        kept: folder of `scripts/real_networks.py` with the measurements; it is only read.
        scratch: folder for what the problem keeps of its own.

    Raises:
        SettingsError: the folder has no expected increases of such a problem.
    """
    make_folder(scratch)
    few = RealNetworkSettings(tasks=(task,), out=scratch, calibration=1, validation=1, test=1)
    problem = Lab(task, few).problem
    feasible, cost = problem.feasible, problem.feasible.cost
    with closing(sqlite3.connect(f"file:{kept / 'evaluations.sqlite'}?mode=ro", uri=True)) as file:
        key, increases = _increases(file, (len(problem.layers), len(feasible.options)))
        measured = list(_measured(file, key, problem))
    rows = np.array([row for row, _ in measured])
    bits = [cost.value(feasible.spent(row)) for row in rows]
    return Landscape(
        name=task,
        family=task,
        names=feasible.names,
        float_loss=_float_loss(kept, task),
        limits=tuple(int(cost.units(b)) for b in (*BUDGETS, max(bits))),
        fixed=int(cost.fixed),
        increases=feasible.summed(increases),
        fisher=np.zeros_like(increases),
        weight_errors=noise_to_signal(feasible.decisions, feasible.options),
        costs=feasible.costs.astype(np.float64),
        own=feasible.own.astype(np.float64),
        layers=np.array([facts_of(facts) for facts in feasible.decisions]),
        options=np.array([[float(o.bits), weights_a_group(o)] for o in feasible.options]),
        rows=rows,
        losses=np.array([loss for _, loss in measured]),
        budgets=np.array([_budget(b) for b in bits]),
    )


def _increases(file: sqlite3.Connection, shape: tuple[int, int]) -> tuple[str, Floats]:
    """Return the latest increases of the problem that was evaluated most often."""
    (key,) = file.execute(
        "select problem from evaluations group by problem order by count(*) desc"
    ).fetchone()
    found = file.execute(
        "select numbers from increases where problem = ? order by rowid desc", (key,)
    ).fetchone()
    if found is None or len(found[0]) != 8 * shape[0] * shape[1]:
        raise SettingsError(f"no expected increases of {shape[0]} layers and {shape[1]} options")
    return key, np.frombuffer(found[0], "<f8").reshape(shape).astype(np.float64)


def _measured(
    file: sqlite3.Connection, key: str, problem: Problem
) -> Iterator[tuple[Indices, float]]:
    """Yield option indices and loss of each evaluation that has only options of the space."""
    asked = file.execute(
        "select config, loss from evaluations where problem = ? order by config_key", (key,)
    )
    for text, loss in asked:
        config = QuantizationConfig.from_json(text)
        vector = problem.feasible.vector(config)
        if vector is not None and loss is not None:
            yield np.array(vector), loss


def _float_loss(kept: Path, task: str) -> float:
    row = json.loads((kept / f"{task}-float-32-gchannel.json").read_text(encoding="utf-8"))
    return float(row["figures"]["validation_loss"])


def _budget(bits: float) -> int:
    """Return the number of the budget that a configuration was made for, or the one behind."""
    gaps = [budget - bits for budget in BUDGETS]
    return next((i for i, gap in enumerate(gaps) if 0 <= gap < BELOW), len(BUDGETS))
