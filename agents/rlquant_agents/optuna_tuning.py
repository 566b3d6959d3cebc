"""Optuna's search for settings: trials in an SQLite file, one process at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from rlquant.errors import StorageError
from rlquant_agents.interrupts import interrupts_held
from rlquant_agents.tuning_ranges import OneOf, Ranges, Real, Whole
from rlquant_agents.tuning_trial import Outcome, Tried, excess

STUDY = "tuning"
RANDOM_TRIALS = 10
"""Trials before the model of the landscape is used."""
WHOLE_TRIALS = 5
"""Trials that see all tables before any may be given up."""
LEAST_TABLES = 2
"""Tables that a trial sees before it may be given up: luck on one says little."""
NUMBER, OUTCOMES = "number", "outcomes"

MeasureSettings = Callable[[int, Mapping[str, Any]], Iterator[Outcome]]
"""Given the trial's number and its settings, yields what came of each table."""


class TuningStudy:
    """The trials of a tuning.

    The first trial is of the shipped settings, the others are drawn by TPE. After each table but
    the first, a trial is compared with the others by how far it is from the shipped settings on
    the same runs, and given up if it never was as good as their median there.

    Args:
        study: Optuna's.
        ranges: what is tuned.
        shipped: the values that the settings have by default.
    """

    def __init__(self, study: optuna.Study, ranges: Ranges, shipped: Mapping[str, Any]) -> None:
        self._study, self._ranges, self._shipped = study, ranges, shipped

    def tried(self) -> tuple[Tried, ...]:
        """Return the trials that have ended, in the order of their numbers."""
        ended = self._of(TrialState.COMPLETE, TrialState.PRUNED)
        found = [
            Tried(
                trial.user_attrs[NUMBER],
                trial.params,
                tuple(Outcome(tuple(a), tuple(s)) for a, s in trial.user_attrs[OUTCOMES]),
                trial.state == TrialState.COMPLETE,
            )
            for trial in ended
        ]
        return tuple(sorted(found, key=lambda trial: trial.number))

    def run(self, trials: int, measure: MeasureSettings) -> None:
        """Try settings until so many trials have ended, those of earlier calls included.

        A trial that was interrupted, or whose process was killed, is taken up again first.
        """
        with interrupts_held():
            self._take_up()
        while len(ended := self.tried()) < trials:
            with interrupts_held():
                trial = self._study.ask()
                settings = {name: self._suggest(trial, name) for name in self._ranges}
                number = trial.user_attrs.get(NUMBER, trial.number)
                trial.set_user_attr(NUMBER, number)
            shipped = ended[0].outcomes if ended else None
            outcomes, finished = self._try(trial, measure(number, settings), shipped)
            with interrupts_held():
                trial.set_user_attr(OUTCOMES, [[o.areas, o.seconds] for o in outcomes])
                value = Tried(number, settings, outcomes, finished).value
                if finished:
                    self._study.tell(trial, value)
                else:
                    self._study.tell(trial, state=TrialState.PRUNED)

    def _try(
        self,
        trial: optuna.Trial,
        measured: Iterator[Outcome],
        shipped: Sequence[Outcome] | None,
    ) -> tuple[tuple[Outcome, ...], bool]:
        """Return what came of the tables, and whether it saw all of them."""
        outcomes: list[Outcome] = []
        with closing(cast("Generator[Outcome]", measured)):
            for outcome in measured:
                outcomes.append(outcome)
                # the pruner takes a trial's best step, so steps must not differ by their tables
                trial.report(excess(outcomes, shipped or outcomes), len(outcomes))
                left = shipped is not None and len(outcomes) < len(shipped)
                if left and trial.should_prune():
                    return tuple(outcomes), False
        return tuple(outcomes), True

    def _take_up(self) -> None:
        """Put what was begun before back into the queue, under the numbers that it had."""
        if not self._study.get_trials(deepcopy=False):
            self._study.enqueue_trial(dict(self._shipped))
        for trial in self._of(TrialState.RUNNING):
            number = trial.user_attrs.get(NUMBER, trial.number)
            params = trial.params or (dict(self._shipped) if number == 0 else {})
            self._study.enqueue_trial(params, {NUMBER: number})
            self._study.tell(trial.number, state=TrialState.FAIL)

    def _suggest(self, trial: optuna.Trial, name: str) -> Any:
        match self._ranges[name]:
            case Whole(low, high):
                return trial.suggest_int(name, low, high)
            case Real(low, high, log):
                return trial.suggest_float(name, low, high, log=log)
            case OneOf(options):
                return trial.suggest_categorical(name, options)

    def _of(self, *states: TrialState) -> list[optuna.trial.FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states)


@contextmanager
def open_study(
    file: Path, ranges: Ranges, shipped: Mapping[str, Any], seed: int
) -> Iterator[TuningStudy]:
    """Open the study in a file, or a new one.

    Args:
        file: an SQLite file.
        ranges: what is tuned.
        shipped: the values that the settings have by default.
        seed: of the draws; a study that goes on draws anew instead of repeating its beginning.

    Raises:
        StorageError: the file cannot be read or written, or something else is in it.
    """
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # no line for each trial
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
        try:
            study = optuna.create_study(
                study_name=STUDY,
                storage=storage,
                load_if_exists=True,
                direction="minimize",
                pruner=optuna.pruners.MedianPruner(WHOLE_TRIALS, n_warmup_steps=LEAST_TABLES),
            )
            study.sampler = optuna.samplers.TPESampler(
                n_startup_trials=RANDOM_TRIALS,
                multivariate=True,
                constant_liar=False,
                seed=seed + len(study.get_trials(deepcopy=False)),
            )
            yield TuningStudy(study, ranges, shipped)
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise StorageError(
            f"{file}: cannot be used as the study of a tuning ({error}); is the disk full, or is "
            f"it another file? move it away, or give another --out"
        ) from error
    finally:
        optuna.logging.set_verbosity(verbosity)
