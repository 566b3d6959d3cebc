"""Searches in the experiment trackers that people have: MLflow and Weights & Biases.

Where figures go is told to those libraries in their own way, such as MLFLOW_TRACKING_URI or
WANDB_MODE=offline. A search that goes on in its folder asks its questions again, so that it is a
run of its own there, whole from the first evaluation on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from rlquant.errors import SettingsError, unknown_name
from rlquant.pasting import install
from rlquant_agents.search.event_texts import outcome_of, settings_of
from rlquant_agents.search.result import Evaluation, SearchResult
from rlquant_agents.search.scalars import scalars_of
from rlquant_agents.search.session import Callback, Session

CONFIG = "config.json"
"""What the best configuration is called among a run's files."""


PACKAGES: Mapping[str, str] = {"mlflow": "mlflow-skinny", "wandb": "wandb"}
"""What installs the libraries; no extras of rlquant, as MLflow does not go with tested versions."""


class MlflowLog(Callback):
    """A search as a run of MLflow: settings, a metric a figure and evaluation, the configuration.

    It is nested in the run that is active, if there is one.

    Raises:
        SettingsError: MLflow is not installed.
    """

    def __init__(self) -> None:
        self._mlflow = _imported("mlflow")
        self._run: Any = None

    def on_start(self, session: Session) -> None:
        """Begin a run."""
        self._run = self._mlflow.start_run(nested=True)

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Write the evaluation and the best so far."""
        self._mlflow.log_metrics(scalars_of(session, evaluation), step=evaluation.number)

    def on_end(self, session: Session, result: SearchResult) -> None:
        """Write what was asked and what was found."""
        self._mlflow.set_tag("mlflow.runName", run_name(result))
        self._mlflow.log_params(settings_of(session, result))
        self._mlflow.log_metrics(outcome_of(result), step=len(result.history))
        self._mlflow.log_text(result.best.to_json(), CONFIG)
        self._mlflow.set_tag("stopped", result.stopped)

    def close(self) -> None:
        """End the run."""
        if self._run is not None:
            self._mlflow.end_run()
            self._run = None


class WandbLog(Callback):
    """A search as a run of Weights & Biases: settings, figures, outcome and configuration.

    Raises:
        SettingsError: wandb is not installed.
    """

    def __init__(self) -> None:
        self._wandb = _imported("wandb")
        self._run: Any = None

    def on_start(self, session: Session) -> None:
        """Begin a run beside those that are open."""
        self._run = self._wandb.init(reinit="create_new")

    def on_evaluation(self, session: Session, evaluation: Evaluation) -> None:
        """Write the evaluation and the best so far."""
        self._run.log(scalars_of(session, evaluation), step=evaluation.number)

    def on_end(self, session: Session, result: SearchResult) -> None:
        """Write what was asked and what was found."""
        self._run.name = run_name(result)
        self._run.config.update(settings_of(session, result))
        found = {**outcome_of(result), "stopped": result.stopped, CONFIG: result.best.to_json()}
        self._run.summary.update(found)

    def close(self) -> None:
        """End the run."""
        if self._run is not None:
            self._run.finish()
            self._run = None


LOGGERS: Mapping[str, Callable[[], Callback]] = {"mlflow": MlflowLog, "wandb": WandbLog}
"""Experiment trackers by the names of their libraries."""


def make_logger(name: str) -> Callback:
    """Return a callback that tells an experiment tracker of a search.

    Args:
        name: mlflow or wandb.

    Raises:
        UnknownNameError: no tracker has that name.
        SettingsError: its library is not installed.
    """
    if name not in LOGGERS:
        raise unknown_name("logger", name, LOGGERS)
    return LOGGERS[name]()


def run_name(result: SearchResult) -> str:
    """Return what trackers list a search by."""
    return f"{result.searcher}, seed {result.seed}"


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        command = install(PACKAGES[name])
        raise SettingsError(f"logger {name!r} needs {name}: run `{command}`") from error
