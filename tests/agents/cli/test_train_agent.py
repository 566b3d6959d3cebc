"""`rlquant train-agent`, tiny: train, go on, and search with the agent."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from rlquant.testing import ToyProblem
from rlquant_agents.cli import train_agent
from rlquant_agents.policies.agent_training import Answer, TrainedAgent


def _run(tmp_path: Path, *more: str) -> int:
    arguments = ["--tasks", "digits/mlp", "--budgets", "2.6", "4.0", "--episodes", "32"]
    arguments += ["--out", str(tmp_path / "agent"), "--store", str(tmp_path / "store.sqlite")]
    return train_agent.main([*arguments, *more])


def test_it_trains_answers_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(tmp_path) == 0
    answers = json.loads((tmp_path / "agent" / "answers.json").read_text())
    assert [a["budget"] for a in answers] == ["average bits 2.6", "average bits 4"]
    assert answers[0]["score"]["average_bits"] <= 2.6
    episodes = json.loads((tmp_path / "agent" / "agent.json").read_text())["episodes"]
    assert episodes >= 32
    assert _run(tmp_path) == 0
    assert json.loads((tmp_path / "agent" / "agent.json").read_text())["episodes"] == episodes
    assert "Greedy answers" in capsys.readouterr().out


def test_a_loss_that_is_not_finite_is_null_in_the_answers(tmp_path: Path) -> None:
    problem = ToyProblem(1, loss_of=lambda config: math.inf)
    config = problem.feasible.config([0])
    answer = Answer("toy", problem.budget, config, problem.evaluate(config))
    agent = TrainedAgent(tmp_path, 3, False, (answer,))
    train_agent.report(agent)
    assert "Infinity" not in (tmp_path / "answers.json").read_text()
    (written,) = json.loads((tmp_path / "answers.json").read_text())
    assert written["score"]["loss"] is None


def test_a_wrong_task_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_agent.main(["--tasks", "digits/mpl", "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "digits/mlp" in error
