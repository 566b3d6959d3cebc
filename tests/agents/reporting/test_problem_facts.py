"""What only the problem knows, kept in a file: the same after reading, refused where damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reported_runs import live_problem, run_of, searched
from rlquant import Budget, Problem, QuantizationConfig
from rlquant.errors import FileFormatError
from rlquant.testing import ToyProblem
from rlquant_agents import make_searcher
from rlquant_agents.reporting.problem_facts import FACTS_VERSION, Costs, ProblemFacts
from rlquant_agents.search.result import SearchResult
from rlquant_agents.search.uniform import best_uniform

pytestmark = pytest.mark.usefixtures("blank_figures")


def facts_of(problem: Problem, result: SearchResult, model_bytes: int | None) -> ProblemFacts:
    return ProblemFacts.of(problem, result, best_uniform(problem, 1), model_bytes)


@pytest.mark.parametrize("quantity", ["average_bits", "size_bytes", "size_ratio", "bops"])
def test_facts_are_read_back_and_count_as_the_problem_does(tmp_path: Path, quantity: str) -> None:
    loose = live_problem()
    limit = loose.with_budget(Budget(quantity, 1e9)).feasible  # type: ignore[arg-type]
    middle = limit.cost.value((limit.smallest + limit.largest) // 2)
    problem = loose.with_budget(Budget(quantity, middle))  # type: ignore[arg-type]
    result = searched(tmp_path, problem, searcher="random", evaluations=4)
    facts = facts_of(problem, result, result.score.size_bytes)
    again = ProblemFacts.from_document(json.loads(facts.to_json()))
    assert again == facts
    chosen = facts.chosen(result.best)
    assert list(chosen) == problem.feasible.indices(result.best).tolist()
    assert facts.cost.total(chosen) == problem.feasible.spent(chosen) <= facts.limit
    assert facts.size is not None
    assert facts.size.total(chosen) == result.score.size_bytes
    assert facts.parts is not None
    assert facts.parts.total == result.score.size_bytes
    assert facts.network == "small_networks.ConvNet"
    shown = getattr(result.score, quantity)
    assert facts.cost.total(chosen) * facts.unit == pytest.approx(shown, rel=1e-12)


def test_bytes_that_do_not_add_up_are_not_told(tmp_path: Path) -> None:
    # the toy rounds the bits of all layers together up to bytes, and has no file
    facts = run_of(tmp_path).facts
    assert facts.size is None
    assert facts.parts is None
    assert facts.network is None


def test_parts_that_are_not_the_file_are_not_told(tmp_path: Path) -> None:
    problem = live_problem()
    result = searched(tmp_path, problem, evaluations=3)
    assert facts_of(problem, result, result.score.size_bytes + 1).parts is None


def valid() -> dict[str, Any]:
    problem = ToyProblem(2)
    result = make_searcher("random").search(problem, 3, 0)
    document: dict[str, Any] = json.loads(facts_of(problem, result, None).to_json())
    return document


def test_another_version_is_refused() -> None:
    document = valid() | {"version": FACTS_VERSION + 1}
    with pytest.raises(FileFormatError, match=f"version {FACTS_VERSION + 1}, not {FACTS_VERSION}"):
        ProblemFacts.from_document(document)


@pytest.mark.parametrize("units", [[[1, 2, 3, 4]], [[1, 2, 3, 4], [1, 2]], []])
def test_costs_of_another_shape_are_refused(units: list[list[int]]) -> None:
    document = valid()
    document["cost"]["units"] = units
    with pytest.raises(FileFormatError, match="not of 2 layers and 4 options"):
        ProblemFacts.from_document(document)


def test_a_configuration_of_other_layers_or_options_is_refused() -> None:
    facts = ProblemFacts.from_document(valid())
    other = ToyProblem(3).feasible.config([0, 0, 0])
    with pytest.raises(FileFormatError, match="its layers are not those"):
        facts.chosen(other)
    strange = '{"version": 2, "layers": [{"layer": "layer0", "bits": 7}, {"layer": "layer1", '
    with pytest.raises(FileFormatError, match=r"bits=7.*is no option"):
        facts.chosen(QuantizationConfig.from_json(strange + '"bits": 2}]}'))


def test_costs_add_up() -> None:
    assert Costs(5, ((1, 2), (10, 20))).total([1, 0]) == 17
