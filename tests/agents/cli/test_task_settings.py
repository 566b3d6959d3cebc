"""Settings as a person types them become a problem, or one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rlquant import Budget, SearchSpace
from rlquant.errors import BudgetError, ChoiceError, SettingsError, UnknownNameError
from rlquant_agents.cli.task_settings import TaskSettings


def test_settings_make_the_problem_they_name() -> None:
    settings = TaskSettings(
        task="digits/mlp",
        bits=(2, 4),
        points=("affine", "kmeans"),
        calibration_samples=64,
        calibrate="biases",
        precision="bfloat16",
    )
    problem = settings.problem(settings.load(), settings.budget_of(4.0))
    assert problem.space == SearchSpace(bits=(2, 4), points=("affine", "kmeans"))
    assert problem.budget == Budget.average_bits(4.0)
    assert len(problem.calibration) == 64
    assert (problem.evaluation.calibrate, problem.evaluation.precision) == ("biases", "bfloat16")


def test_threads_are_torchs() -> None:
    try:
        TaskSettings(task="digits/mlp", threads=2).load()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_budgets_are_of_the_quantity(tmp_path: Path) -> None:
    assert TaskSettings(quantity="size_bytes").budget_of(9000) == Budget.size_bytes(9000)
    table = tmp_path / "table.csv"
    table.write_text("kind,shape,bits,seconds\nlinear,4x4,2,0.5\n")
    budget = TaskSettings(quantity="latency", latency_table=table).budget_of(1.0)
    assert budget.table is not None


@pytest.mark.parametrize("table", [None, Path("missing.csv")])
def test_a_latency_budget_needs_its_table(table: Path | None) -> None:
    with pytest.raises(BudgetError, match="--latency-table"):
        TaskSettings(quantity="latency", latency_table=table).budget_of(1.0)


def test_names_of_files_tell_budgets_apart() -> None:
    assert TaskSettings().budget_name(3.0) == "3.0"
    assert TaskSettings(quantity="size_bytes").budget_name(9000.0) == "size_bytes-9000"
    assert TaskSettings().file_name == "digits-resnet8"


def test_wrong_settings_are_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'digits/mlp'"):
        TaskSettings(task="digits/mpl").load()
    with pytest.raises(SettingsError, match="--threads 0"):
        TaskSettings(threads=0).load()
    with pytest.raises(SettingsError, match="--device nowhere"):
        TaskSettings(device="nowhere").load()
    with pytest.raises(ChoiceError, match="bits"):
        TaskSettings(bits=()).space()
