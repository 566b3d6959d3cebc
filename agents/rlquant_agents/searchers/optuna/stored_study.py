"""A study in a storage of Optuna's that gets the trials of a search, for dashboards and analyses.

The search itself runs on a study in memory, so that what it finds depends on its seed alone and not
on what a storage holds. A search that goes on repeats its trials; those that are there stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import optuna
from optuna.trial import FrozenTrial

from rlquant.errors import SettingsError, StorageError


class StoredStudy:
    """One study of a storage.

    Args:
        storage: a URL such as sqlite:///study.db, or a storage.
        name: of the study; made where it is not there.
        directions: of its values.

    Raises:
        StorageError: the storage cannot be opened, read or written.
        SettingsError: the study holds trials of another search.
    """

    def __init__(
        self,
        storage: str | optuna.storages.BaseStorage,
        name: str,
        directions: Sequence[Literal["minimize", "maximize"]],
    ) -> None:
        self._name = name
        try:
            self._study = optuna.create_study(
                storage=storage, study_name=name, directions=list(directions), load_if_exists=True
            )
            self._there = self._study.get_trials(deepcopy=False)
        except Exception as error:  # of a database: drivers raise errors of many kinds
            raise self._failed(error) from error
        if self._study.directions != _directions(directions):
            raise self._of_another_search()

    def add(self, trial: FrozenTrial) -> None:
        """Write the next trial of the search, where it is not there."""
        if trial.number < len(self._there):
            if not _same(trial, self._there[trial.number]):
                raise self._of_another_search()
            return
        try:
            self._study.add_trial(trial)
        except Exception as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> StorageError:
        reason = str(error).splitlines()[0] if str(error) else ""
        return StorageError(
            f"storage of study {self._name!r}: {type(error).__name__}: {reason}; give a URL that "
            f"Optuna can open, such as sqlite:///study.db"
        )

    def _of_another_search(self) -> SettingsError:
        return SettingsError(
            f"the storage's study {self._name!r} holds trials of another search; give study=... "
            f"another name, or another storage"
        )


def _directions(names: Sequence[str]) -> list[optuna.study.StudyDirection]:
    return [optuna.study.StudyDirection[name.upper()] for name in names]


def _same(one: FrozenTrial, other: FrozenTrial) -> bool:
    """Return whether two trials asked for the same and were told the same."""
    return (one.params, one.state, one.values) == (other.params, other.state, other.values)
