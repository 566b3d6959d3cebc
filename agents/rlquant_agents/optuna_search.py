"""Optuna's samplers on the same evaluator; every trial is decoded into the feasible set."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import optuna

from rlquant.errors import SettingsError
from rlquant.feasible import Indices
from rlquant_agents.searcher import Searcher
from rlquant_agents.session import Session


@dataclass(frozen=True, kw_only=True)
class OptunaSearch(Searcher):
    """Ask Optuna for every decision of every layer, repair what breaks the budget, tell the score.

    Bits are suggested as ordered numbers, other decisions as categories; parameters are named
    `<layer>.<decision>`. A trial that decodes to a known configuration costs no evaluation.

    Attributes:
        patience: after so many known configurations in a row, a random feasible one is tried.
        pruner: "none", or "median" to end the training of configurations whose loss on the
            training labels is above the median of earlier ones at the same step; only where
            configurations are trained, and with one objective.
    """

    directions: ClassVar[tuple[Literal["minimize", "maximize"], ...]] = ("maximize",)

    patience: int = 5
    pruner: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_whole(1, "patience")
        self.require_one_of("pruner", tuple(PRUNERS))
        if self.pruner != "none" and len(self.directions) > 1:
            raise SettingsError(
                f"searcher {self.name!r}: pruner={self.pruner!r} needs one objective, this one has "
                f"{len(self.directions)}; use pruner='none'"
            )

    @abstractmethod
    def sampler(self, session: Session, seed: int) -> optuna.samplers.BaseSampler:
        """Return Optuna's sampler."""

    def explore(self, session: Session, seed: int) -> None:
        """Ask and tell until the evaluations are spent."""
        pruner = PRUNERS[self.pruner]()
        study = quiet_study(self.directions, self.sampler(session, seed), pruner)
        decoder = Decoder(session)
        generator = np.random.default_rng(seed)
        repeats = 0
        while True:
            if repeats >= self.patience:  # a model that only repeats itself gets something new
                study.enqueue_trial(decoder.parameters(session.feasible.sample(generator)))
            trial = study.ask()
            known = len(session.history)
            watch = None if self.pruner == "none" else Reporter(trial)
            asked = session.ask_indices(decoder.suggest(trial).tolist(), watch)
            repeats = repeats + 1 if len(session.history) == known else 0
            trial.set_user_attr("average_bits", asked.score.average_bits)
            if not asked.final:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            elif len(self.directions) == 1:
                study.tell(trial, asked.value)
            else:
                share = session.feasible.spent(session.feasible.indices(asked.config))
                study.tell(trial, [session.damage(asked), share / session.feasible.limit])


def quiet_study(
    directions: Sequence[Literal["minimize", "maximize"]],
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner,
) -> optuna.Study:
    """Return a study in memory, without the line that Optuna writes on making one."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(directions=list(directions), sampler=sampler, pruner=pruner)
    finally:
        optuna.logging.set_verbosity(verbosity)


PRUNERS: Mapping[str, Callable[[], optuna.pruners.BasePruner]] = {
    "none": optuna.pruners.NopPruner,
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=10, n_warmup_steps=20),
}
"""What may end a trial's training early, by name."""


@dataclass(frozen=True, eq=False)
class Reporter:
    """Tells Optuna how a trial's training goes, and asks whether it should go on.

    Every training sees the same batches in the same order, so that the loss on their labels
    compares configurations at equal steps, whatever else they are trained on.
    """

    trial: optuna.Trial

    def __call__(self, step: int, figures: Mapping[str, float]) -> bool:
        """Report a step; return whether the pruner gives the trial up."""
        self.trial.report(-figures["cross_entropy"], step)
        return figures["steps_left"] > 0 and self.trial.should_prune()


class Decoder:
    """Turns a trial's suggestions into option indices within the budget."""

    def __init__(self, session: Session) -> None:
        self._feasible = session.feasible
        self._space = session.space
        self._option = session.space.option_of_action(session.fidelity)
        self._sizes = [len(head.options) for head in session.space.heads]

    def suggest(self, trial: optuna.Trial) -> Indices:
        """Ask the trial for every decision and return the feasible configuration it stands for."""
        wanted = [self._one_layer(trial, name) for name in self._feasible.names]
        return self._feasible.repair(wanted)

    def parameters(self, indices: Indices) -> dict[str, int | str]:
        """Return the suggestions that decode to `indices`."""
        found: dict[str, int | str] = {}
        for layer, option in zip(self._feasible.names, indices, strict=True):
            number = int(np.flatnonzero(self._option == option)[0])
            for head, choice in zip(self._space.heads, self._space.actions[number], strict=True):
                is_bits = head.name == "bits"
                value = int(choice) if is_bits else str(head.options[choice])
                found[f"{layer}.{head.name}"] = value
        return found

    def _one_layer(self, trial: optuna.Trial, layer: str) -> int:
        action = []
        for head in self._space.heads:
            name = f"{layer}.{head.name}"
            if head.name == "bits":
                action.append(trial.suggest_int(name, 0, len(head.options) - 1))
            else:
                labels = [str(option) for option in head.options]
                action.append(labels.index(trial.suggest_categorical(name, labels)))
        number = int(np.ravel_multi_index(action, self._sizes))
        if self._option[number] >= 0:
            return int(self._option[number])
        legal = np.flatnonzero(self._option >= 0)
        differs = (self._space.actions[legal] != action).sum(axis=1)
        return int(self._option[legal[differs.argmin()]])


@dataclass(frozen=True, kw_only=True)
class TPE(OptunaSearch):
    """Tree-structured Parzen estimator (Bergstra et al. 2011), multivariate.

    Attributes:
        startup: random trials before the model is used.
    """

    name: ClassVar[str] = "tpe"

    startup: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_whole(1, "startup")

    def sampler(self, session: Session, seed: int) -> optuna.samplers.BaseSampler:
        """Return the sampler, every default that changed between versions stated."""
        return optuna.samplers.TPESampler(
            n_startup_trials=self.startup, multivariate=True, constant_liar=False, seed=seed
        )


@dataclass(frozen=True, kw_only=True)
class NSGA2(OptunaSearch):
    """NSGA-II (Deb et al. 2002) on what is rewarded and cost together.

    Attributes:
        population: configurations in a generation.
    """

    name: ClassVar[str] = "nsga2"
    directions: ClassVar[tuple[Literal["minimize", "maximize"], ...]] = ("minimize", "minimize")

    population: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_whole(2, "population")

    def sampler(self, session: Session, seed: int) -> optuna.samplers.BaseSampler:
        """Return the sampler."""
        return optuna.samplers.NSGAIISampler(population_size=self.population, seed=seed)
