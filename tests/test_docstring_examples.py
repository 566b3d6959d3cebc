"""The functions and classes that users call most have examples in their docstrings, which run."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pytest

import rlquant
import rlquant_agents
from rlquant import Budget, quantizers, testing
from rlquant_agents.search import searcher

EXPLAINED = {
    "Budget.average_bits": Budget.average_bits,
    "Budget.bops": Budget.bops,
    "Budget.size_bytes": Budget.size_bytes,
    "Budget.size_ratio": Budget.size_ratio,
    **{
        name: getattr(rlquant, name)
        for name in (
            *("EvaluationSettings", "LayerChoice", "QuantizationConfig", "QuantizationProblem"),
            *("Score", "SearchSpace"),
            *("export_onnx", "find_layers", "load", "load_table", "optuna_objective", "pack"),
            *("probe", "quantize"),
            *("save", "train", "unpack"),
        )
    },
    "tasks.load": rlquant.tasks.load,
    **{
        name: getattr(quantizers, name)
        for name in ("quantize_affine", "quantize_integer", "quantize_to_points")
    },
    **{
        name: getattr(rlquant_agents, name)
        for name in ("make_searcher", "register_searcher", "search", "search_problem", "searchers")
    },
    "toy_network": testing.toy_network,
}
FLAGS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


@pytest.mark.parametrize("name", EXPLAINED)
def test_it_has_an_example_that_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "export_onnx":
        pytest.importorskip("onnxscript")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RLQUANT_CACHE", str(tmp_path))
    monkeypatch.setattr(searcher, "_REGISTRY", dict(searcher._REGISTRY))
    examples = doctest.DocTestParser().get_doctest(EXPLAINED[name].__doc__, {}, name, None, 0)
    assert examples.examples
    said: list[Any] = []
    outcome = doctest.DocTestRunner(optionflags=FLAGS).run(examples, out=said.append)
    assert outcome.failed == 0, "".join(said)
