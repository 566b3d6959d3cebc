"""Searchers and environments know problems by their protocols alone, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("rlquant", "envs", "agents", "experiments/rlquant_experiments", "scripts")
CONTRACT = ROOT / "rlquant" / "problem" / "protocol.py"
CLASSES = {"QuantizationProblem", "TabularProblem", "GroupedProblem"}


def breaches(source: str) -> Iterator[str]:
    """Yield each call that asks for a problem's class, or whether it happens to have a name."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or len(node.args) < 2:
            continue
        function, subject = ast.unparse(node.func), ast.unparse(node.args[0])
        of_class = any(
            getattr(part, "id", getattr(part, "attr", "")) in CLASSES
            for part in ast.walk(node.args[1])
        )
        by_name = function in ("getattr", "hasattr") and subject.endswith("problem")
        if (function == "isinstance" and of_class) or by_name:
            yield f"{node.lineno}: {ast.unparse(node)}"


def test_problems_are_asked_for_abilities_alone() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{breach}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != CONTRACT
        for breach in breaches(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "isinstance(session.problem, QuantizationProblem)",
        "isinstance(x, (Session, rlquant.TabularProblem))",
        "getattr(self._problem, 'racing', None)",
        "if not hasattr(problem, 'expect'): pass",
    ],
)
def test_a_planted_breach_is_found(source: str) -> None:
    assert len(list(breaches(source))) == 1


def test_abilities_may_be_asked_for() -> None:
    assert (
        list(breaches("isinstance(problem, Races)\ngetattr(score, problem.budget.quantity)")) == []
    )
