"""A problem as an objective of Optuna, for samplers, storages and dashboards of one's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from rlquant.arguments import explained
from rlquant.config import LayerChoice
from rlquant.errors import SettingsError
from rlquant.problem.protocol import Problem, require_problem
from rlquant.score import Score

VALUES = ("loss", "accuracy", "average_bits", "size_bytes", "size_ratio", "bops", "latency")
"""What of a score may be optimized."""


class Trial(Protocol):
    """What of `optuna.Trial` is used."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of the choices."""

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep a value beside the trial."""


@explained
def optuna_objective(
    problem: Problem, values: str | Sequence[str] = "loss"
) -> Callable[[Trial], Any]:
    """Return a function of a trial that asks for every layer's option and evaluates them.

    A parameter is called like its layer (or group of tied layers) and has an option in words as
    its value. What does not fit the budget is projected to what does, as environments do; the
    configuration that was evaluated is in `trial.user_attrs["config"]` as JSON, its score beside
    it. The objective counts nothing: `study.optimize(objective, n_trials=200)` does.

    Args:
        problem: what is evaluated.
        values: what is returned, a field of `Score` or several for a study of several directions:
            losses and sizes are minimized, accuracies maximized.

    Raises:
        SettingsError: no such field.

    Examples:
        >>> import optuna, rlquant
        >>> from rlquant.testing import ToyProblem
        >>> optuna.logging.set_verbosity(optuna.logging.ERROR)
        >>> study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
        >>> study.optimize(rlquant.optuna_objective(ToyProblem(3, 4.0)), n_trials=20)
        >>> study.best_trial.user_attrs["average_bits"] <= 4.0
        True
    """
    require_problem(problem)
    names = (values,) if isinstance(values, str) else tuple(values)
    if not names or not set(names) <= set(VALUES):
        raise SettingsError(f"values={values!r}: use one or several of {', '.join(VALUES)}")
    feasible = problem.feasible
    layers = [_options(feasible.options, own) for own in feasible.own]

    def objective(trial: Trial) -> Any:
        wanted = [
            options[trial.suggest_categorical(layer, tuple(options))]
            for layer, options in zip(feasible.names, layers, strict=True)
        ]
        config = feasible.config(feasible.repair(wanted))
        score = problem.evaluate(config)
        trial.set_user_attr("config", config.to_json())
        for name, value in _shown(score).items():
            trial.set_user_attr(name, value)
        found = tuple(getattr(score, name) for name in names)
        return found[0] if isinstance(values, str) else found

    return objective


def _options(options: Sequence[LayerChoice], own: Sequence[bool]) -> dict[str, int]:
    """Return a layer's options by their words, which hold what differs among all options."""
    decided = [
        name
        for name in ("bits", "method", "points", "rounding", "group_size", "activation_bits")
        if len({getattr(option, name) for option in options}) > 1 or name == "bits"
    ]
    found: dict[str, int] = {}
    for number in np.flatnonzero(own).tolist():
        option = options[number]
        words = [f"{option.bits} bits", *(str(getattr(option, name)) for name in decided[1:])]
        found["float" if option.method == "float" else " ".join(words)] = number
    return found


def _shown(score: Score) -> dict[str, float | int]:
    shown = {name: getattr(score, name) for name in VALUES}
    return {name: value for name, value in shown.items() if value is not None}
