"""Which abilities the library's own problems have, and who is no problem at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from problems import problem
from rlquant import Budget, GroupedProblem, TabularProblem
from rlquant.errors import SettingsError
from rlquant.evaluation.racing import Racing
from rlquant.problem import protocol
from rlquant.problem.protocol import racing_of, require_problem
from rlquant.testing import ToyProblem
from rlquant.testing.random_table import random_table
from rlquant_agents import Session

ABILITIES = (
    *("Indexed", "Orders", "Races", "Trains", "Tokenized", "Stores", "Distributes"),
    *("Live", "Refines", "Enumerates", "Complete", "Groups"),
)


def table() -> TabularProblem:
    return TabularProblem(random_table(2, 3), Budget.average_bits(40.0))


@pytest.mark.parametrize(
    ("make", "abilities"),
    [
        (problem, {*ABILITIES} - {"Indexed", "Complete", "Groups"}),
        (table, {"Indexed", "Complete"}),
        (
            lambda: GroupedProblem(problem(), ("*",)),
            {"Orders", "Enumerates", "Groups", "Distributes"},
        ),
        (lambda: Session(table(), 3), {"Indexed"}),
        (lambda: ToyProblem(2), set()),
    ],
    ids=["live", "table", "grouped", "session", "toy"],
)
def test_problems_have_the_abilities_that_they_offer(
    make: Callable[[], Any], abilities: set[str]
) -> None:
    made = make()
    found = {name for name in ABILITIES if isinstance(made, getattr(protocol, name))}
    assert found == abilities
    assert require_problem(made) is made


def test_only_a_problem_that_races_has_a_racing() -> None:
    racing = Racing()
    assert racing_of(problem(racing=racing)) is racing
    assert racing_of(problem()) is racing_of(table()) is None


def test_what_is_no_problem_is_told_what_it_lacks() -> None:
    with pytest.raises(SettingsError, match="here: problem is int without layers, space, budget"):
        require_problem(3, "here: ")
