"""Objectives with no code to look at: refused where a store would mix them up."""

from __future__ import annotations

import ctypes
import functools
import operator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from problems import problem
from rlquant.errors import SettingsError
from rlquant.objective import Classification, as_objective
from rlquant.problem.fingerprint import require_told_apart
from rlquant_agents import search_problem


@pytest.mark.parametrize(
    "judge",
    [
        torch.relu,
        len,
        np.exp,
        functools.partial(torch.add, alpha=2),
        operator.itemgetter(1),
        ctypes.CFUNCTYPE(None)(),
    ],
    ids=["builtin", "len", "ufunc", "partial", "itemgetter", "ctypes"],
)
def test_what_has_no_code_is_refused_with_a_store(judge: Any) -> None:
    with pytest.raises(SettingsError, match="has no Python code that could be compared") as caught:
        require_told_apart(as_objective(judge))
    assert "an attribute `version`" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_what_is_built_into_a_library_may_be_used() -> None:
    def judge(outputs: Any, targets: Any) -> Any:
        return torch.relu(outputs).sum() + np.exp(1.0) + torch.ops.aten.add(1, 2), sum(targets)

    for other in (judge, functools.partial(judge), nn.MSELoss(), Classification()):
        require_told_apart(as_objective(other))


get_first = operator.itemgetter(0)


def takes_first(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    return get_first([outputs.sum()]), targets.sum()


def test_where_a_store_comes_in_the_objective_is_looked_at(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    made = problem(objective=takes_first)  # which is fine without one
    words = "objective 'takes_first': operator.itemgetter has no Python code"
    with pytest.raises(SettingsError, match=words):
        problem(objective=takes_first, store=store)
    with pytest.raises(SettingsError, match=words):
        made.with_store(store)
    with pytest.raises(SettingsError, match=words):
        search_problem(made, searcher="random", evaluations=2, out=tmp_path / "out")
    stated: Any = functools.partial(takes_first)
    stated.version = 1
    assert problem(objective=stated, store=store).store is not None


def zero(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    return 0 * outputs.sum(), targets.sum()


def test_two_functions_of_one_name_do_not_share_scores(tmp_path: Path) -> None:
    def other(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return outputs.sum() - outputs.sum(), targets.sum()

    other.__qualname__, other.__module__ = zero.__qualname__, zero.__module__
    one, two = (problem(objective=judge) for judge in (zero, other))
    assert one.float_score.loss == two.float_score.loss == 0
    assert one.fingerprint != two.fingerprint
