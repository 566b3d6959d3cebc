"""The project's own problems, live or enumerated, keep the guarantees of problems."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from problems import problem
from rlquant import Budget, GroupedProblem, Problem, SearchSpace, TabularProblem
from rlquant.testing import ToyProblem, random_table
from rlquant.testing.conformance import ProblemConformance
from small_networks import trained
from tables import GROUPS, live_table

LOOSE = Budget.average_bits(40.0)

TOYS: dict[str, Callable[[], Problem]] = {
    "toy": lambda: ToyProblem(3, 40.0),
    "grouped toy": lambda: GroupedProblem(ToyProblem(4, 40.0), ("layer[01]", "layer2", "layer3")),
}


def live() -> Problem:
    space = SearchSpace(bits=(2, 3, 8), points=("clipped", "affine"))
    return problem("mlp", trained("mlp"), space=space)


def table() -> Problem:
    return TabularProblem(random_table(3, 4), LOOSE)


MAKERS: dict[str, Callable[[], Problem]] = {
    "live": live,
    "on few tokens": lambda: live().at_tokens(9),
    "grouped": lambda: GroupedProblem(live(), GROUPS),
    "table": table,
    "table of a live one": lambda: TabularProblem(live_table(), LOOSE),
    "grouped table": lambda: GroupedProblem(table(), ("group[02]", "group1")),
}


class TestProblems(ProblemConformance):
    @pytest.fixture(params=MAKERS)
    def problem(self, request: pytest.FixtureRequest) -> Problem:
        return MAKERS[request.param]()


class TestToyProblems(ProblemConformance):
    quantities = ("average_bits",)

    @pytest.fixture(params=TOYS)
    def problem(self, request: pytest.FixtureRequest) -> Problem:
        return TOYS[request.param]()
