"""MLflow and Weights & Biases get what TensorBoard gets; their own readers read it back."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from rlquant import QuantizationConfig
from rlquant.errors import SettingsError, UnknownNameError
from rlquant.testing import ToyProblem
from rlquant_agents import SearchResult, search_problem
from rlquant_agents.search.loggers import LOGGERS, make_logger


def searched(name: str) -> SearchResult:
    problem = ToyProblem(3, 4.0)
    return search_problem(problem, searcher="random", evaluations=5, callback=make_logger(name))


def test_mlflow_has_settings_curves_and_the_configuration(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="pip install mlflow-skinny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    result = searched("mlflow")
    assert mlflow.active_run() is None
    (run,) = mlflow.MlflowClient().search_runs(["0"])
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "random, seed 0"
    assert (run.data.params["searcher"], run.data.params["budget"]) == ("random", "4.0")
    assert run.data.metrics["outcome/loss"] == result.score.loss
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "search/loss")
    assert [(m.step, m.value) for m in history] == [
        (e.number, e.score.loss) for e in result.history
    ]
    text = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/config.json")
    assert QuantizationConfig.from_json(text) == result.best


class FakeRun:
    """What is used of a run of wandb."""

    def __init__(self) -> None:
        self.name, self.logged, self.finished = "", list[Any](), False
        self.config, self.summary = dict[str, Any](), dict[str, Any]()

    def log(self, figures: dict[str, float], step: int) -> None:
        self.logged.append((step, figures))

    def finish(self) -> None:
        self.finished = True


def test_wandb_has_settings_curves_and_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    run = FakeRun()
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **settings: run))  # type: ignore[arg-type]
    result = searched("wandb")
    assert run.finished
    assert run.name == "random, seed 0"
    assert run.config["evaluations"] == 5
    assert [(step, figures["search/loss"]) for step, figures in run.logged] == [
        (e.number, e.score.loss) for e in result.history
    ]
    assert run.summary["outcome/loss"] == result.score.loss
    assert QuantizationConfig.from_json(run.summary["config.json"]) == result.best


@pytest.mark.slow
def test_wandb_itself_writes_a_run_offline(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="pip install wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    searched("wandb")
    (written,) = tmp_path.rglob("run-*.wandb")
    assert written.stat().st_size > 1000


@pytest.mark.parametrize("name", LOGGERS)
def test_a_library_that_is_missing_is_named_with_what_installs_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SettingsError, match=rf"needs {name}: run `.*pip install {name}"):
        make_logger(name)


def test_another_tracker_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'wandb'"):
        make_logger("wandbb")
