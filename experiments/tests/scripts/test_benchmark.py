"""scripts/benchmark.py, the real one, tiny: its figures have the right shape, not a size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from rlquant_experiments.benchmarks.figure import Figure
from rlquant_experiments.commands import benchmark


def test_it_measures_shows_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out" / "speed.json"
    arguments = ["--task", "digits/mlp", "--configs", "4", "--threads", "1", "--swaps", "3"]
    arguments += ["--shared-tasks", "digits/mlp", "digits/mlp", "digits/mlp"]
    arguments += ["--steps", "2", "--tuned", "1", "--warm", "1"]
    arguments += ["--codes", "4096", "--width", "8", "--export-task", "digits/mlp"]
    arguments += ["--environment-task", "digits/mlp", "--episodes", "3", "--json", str(target)]
    arguments += ["--search-arguments=--task digits/mlp --evaluations 2 --searcher random"]
    assert benchmark.main(arguments) == 0
    assert "environment steps" in capsys.readouterr().out
    document = json.loads(target.read_text())
    assert document["machine"]["torch"] == torch.__version__
    names = [figure["name"] for figure in document["figures"]]
    assert names[0] == "evaluation of digits/mlp, 1 thread"
    assert names[1:5] == [
        "enumerating digits/mlp, 6 choices a layer",
        "enumerating digits/mlp",
        "sensitivity pass, digits/mlp",
        "3 evaluations of local swap, digits/mlp",
    ]
    assert names[5:7] == [
        "3 evaluations of masked PPO, digits/mlp, exactly",
        "3 evaluations of masked PPO, digits/mlp, with racing",
    ]
    assert names[7] == "memory beyond plain evaluations, digits/mlp, limit 0 MB"
    assert names[11:15] == [
        "environment steps, digits/mlp, known scores",
        "tabular environment steps",
        "steps of 1,024 tabular environments at once",
        "step, all layers post_training",
    ]
    assert names[-26].startswith("tuned evaluation of 3 layers")
    assert names[-25].startswith("budgets where 50 warm steps reach 200 cold ones")
    ways = ("policy", "rounding learned", "relaxation")
    assert names[-24:-21] == [f"one layer assigned, {way}" for way in ways]
    assert names[-21] == "packing 4,096 codes of 2 bits"
    assert names[-6] == "unpacking 4,096 ternary codes"
    assert names[-5].startswith("loading 256 weights, over floats into a copy")
    assert names[-3:-1] == [f"8-bit export of digits/mlp, batch {batch}" for batch in (1, 64)]
    assert names[-1].startswith("rlquant search --task digits/mlp")
    assert all(figure["value"] >= 0 for figure in document["figures"])


def test_a_target_is_met_from_the_right_side() -> None:
    assert Figure("ratio", 1.05, "x", 1.1).met
    assert not Figure("ratio", 1.15, "x", 1.1).met
    assert Figure("steps", 5000, "1/s", 4000, at_least=True).met
    assert not Figure("steps", 3000, "1/s", 4000, at_least=True).met


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluations"], "known benchmarks are evaluation, environment, training, assign"),
        (["--configs", "0"], "at least 1"),
        (["--threads"], "at least 1"),
        (["evaluation", "--task", "digits/mpl"], "did you mean 'digits/mlp'"),
        (["search", "--search-arguments=--task digits/mpl"], "ended with 1"),
    ],
)
def test_wrong_input_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert benchmark.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert words in error
