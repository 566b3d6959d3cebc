"""A run's settings as JSON: all that decides the search, the same in every process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from rlquant import Budget, LatencyTable, Score
from rlquant.errors import SettingsError
from rlquant.testing import ToyProblem
from rlquant_agents import Searcher, Session, make_searcher
from rlquant_agents.search.run_settings import DECISIVE, describe_run, require_same


def my_reward(score: Score, reference: Score) -> float:
    return -score.loss


@dataclass(frozen=True, kw_only=True)
class Odd(Searcher):
    name: ClassVar[str] = "odd"

    folder: Path = Path("agents/one")
    rule: Callable[[Score, Score], float] = my_reward
    thing: object = field(default_factory=object)

    def explore(self, session: Session, seed: int) -> None:
        session.ask_cheapest()


def test_a_description_is_plain_json() -> None:
    document = describe_run(ToyProblem(2), make_searcher("tpe", startup=5), 10, 0)
    assert json.loads(json.dumps(document)) == document
    assert document["searcher_settings"]["startup"] == 5
    assert document["searcher"] == "tpe"


def test_what_json_does_not_know_has_a_name_that_no_process_changes() -> None:
    document = describe_run(ToyProblem(2), Odd(reward=my_reward), 10, 0)
    assert document["reward"] == "my_reward"
    assert document["searcher_settings"] == {
        "batch": None,
        "folder": "agents/one",
        "rule": "my_reward",
        "thing": "object",
    }


def test_a_reward_without_a_name_is_refused() -> None:
    with pytest.raises(SettingsError, match="define it with def at the top of a module"):
        describe_run(ToyProblem(2), Odd(reward=lambda score, reference: 0.0), 10, 0)


def test_rewards_of_one_name_are_told_apart_by_their_code(tmp_path: Path) -> None:
    def other(score: Score, reference: Score) -> float:
        return -2 * score.loss

    other.__qualname__ = "my_reward"
    one, two, again = (
        describe_run(ToyProblem(2), Odd(reward=reward), 10, 0)
        for reward in (my_reward, other, my_reward)
    )
    require_same(one, again, tmp_path)
    with pytest.raises(SettingsError, match="reward_code was"):
        require_same(one, two, tmp_path)


def test_numbers_of_numpy_are_numbers() -> None:
    document = describe_run(ToyProblem(2), Odd(thing=np.float32(0.5)), 10, 0)
    assert document["searcher_settings"]["thing"] == 0.5


def test_latency_tables_differ_by_their_rows() -> None:
    def digest(seconds: float) -> str:
        problem = ToyProblem(1)
        rows = {("linear", "10x4", None, 2, None): seconds}
        problem.budget = Budget.latency(1.0, LatencyTable(rows, source=str(seconds)))
        found: str = describe_run(problem, Odd(), 10, 0)["budget"]["latency_table"]
        return found

    assert digest(0.1) == digest(0.1) != digest(0.2)


def test_every_difference_is_named() -> None:
    here = describe_run(ToyProblem(2), make_searcher("tpe"), 10, 0)
    there = describe_run(ToyProblem(2), make_searcher("tpe", startup=5), 10, 7)
    with pytest.raises(SettingsError) as error:
        require_same(here, there, Path("runs/a"))
    assert "runs/a holds another run" in str(error.value)
    assert "searcher_settings.startup was 5 and is 10 now" in str(error.value)
    assert "seed was 7 and is 0 now" in str(error.value)


def test_evaluations_versions_and_the_command_may_differ() -> None:
    here = describe_run(ToyProblem(2), make_searcher("tpe"), 10, 0)
    there = describe_run(ToyProblem(2), make_searcher("tpe"), 20, 0, {"command": ["x"]})
    require_same(here, {**there, "versions": {}}, Path("runs/a"))
    assert set(DECISIVE) <= set(here)
