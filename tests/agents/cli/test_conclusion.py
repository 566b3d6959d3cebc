"""What a search says at its end: each note once, and which searchers agree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rlquant.testing import ToyProblem
from rlquant_agents import search_problem
from rlquant_agents.cli.conclusion import conclusion, notes


def test_notes_of_all_are_said_once_and_others_with_their_searchers() -> None:
    found = search_problem(ToyProblem(2, 4.0), searcher="random", evaluations=2)
    first = replace(found, notes=("of all", "of two"), searcher="auto")
    second = replace(found, notes=("of all", "of two"), searcher="tpe")
    third = replace(found, notes=("of all", "knapsack adds effects"), searcher="knapsack")
    assert notes([first, second, third]) == ["of all", "auto, tpe: of two", "knapsack adds effects"]


def test_equal_configurations_are_said(tmp_path: Path) -> None:
    found = search_problem(ToyProblem(2, 4.0), searcher="local-swap", evaluations=9)
    other = search_problem(ToyProblem(2, 2.5), searcher="random", evaluations=1)
    text = conclusion([found, replace(found, searcher="tpe"), other], tmp_path)
    assert text.splitlines()[0] == "the same configuration: local-swap, tpe"
    assert "model.rlq" not in text  # what was not written is not named
    assert text.endswith(f" --logdir {tmp_path}")
