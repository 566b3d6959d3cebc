"""The network that a search saved, with the task that it was made for and its stored scores."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import nn

import rlquant
from rlquant import Score
from rlquant.documents import read_as, read_fields, read_json
from rlquant.errors import SettingsError, StorageError
from rlquant.files import reading
from rlquant.paths import path_of
from rlquant.tasks import Task
from rlquant_agents.cli.search_settings import ASKED
from rlquant_agents.cli.task_source import TaskSource
from rlquant_agents.reporting.run_files import MODEL, RESULT, SETTINGS

CPU = torch.device("cpu")
"""Where saved networks are run."""


class StoredScores(TypedDict):
    """What is read of a result.json, which holds more.

    Attributes:
        score: of the saved network, on the validation samples of the search.
        float_score: of the float network.
    """

    score: Score
    float_score: Score


@dataclass(frozen=True)
class SavedResult:
    """A packed file and its task.

    Attributes:
        file: the packed file.
        source: of the task whose network it holds.
        stored: what the search measured, None where the file is not the result of one.
        base: the float network as the command named it, for what is published: `source` has paths
            of this machine.
    """

    file: Path
    source: TaskSource
    stored: StoredScores | None
    base: str

    @classmethod
    def of(cls, place: Path, task: str | None) -> SavedResult:
        """Find a saved network.

        Args:
            place: folder of a search, or a packed file.
            task: its name, None for the one in settings.json beside the file.

        Raises:
            StorageError: nothing is there.
            SettingsError: no task is named.
            FileFormatError: settings.json or result.json are damaged.
        """
        path = path_of("result", place)
        file = path / MODEL if path.is_dir() else path
        if not file.is_file():
            raise StorageError(
                f"{file}: there is no such file; give the folder of a finished search, or a .rlq"
            )
        stored = None
        if file.name == MODEL and (file.parent / RESULT).is_file():
            with reading(file.parent / RESULT):
                stored = read_as(StoredScores, read_json(file.parent / RESULT))
        if task:
            return cls(file, TaskSource(task), stored, task)
        document = _settings_beside(file)
        source = _source_of(document, file.parent / SETTINGS)
        return cls(file, source, stored, _asked_of(document) or source.task)

    @cached_property
    def task(self) -> Task:
        """The task, loaded; see `TaskSource.load` for errors."""
        return self.source.load()

    def network(self) -> nn.Module:
        """Return the quantized network; see `rlquant.load` for errors."""
        return rlquant.load(self.file, self.task.network)


def _settings_beside(file: Path) -> Any:
    """Return what settings.json beside a file holds; `SettingsError` where there is none."""
    path = file.parent / SETTINGS
    if not path.is_file():
        raise SettingsError(
            f"{file} lies beside no {SETTINGS}: name its task, as in --task digits/mlp"
        )
    with reading(path):
        return read_json(path)


def _source_of(document: Any, path: Path) -> TaskSource:
    """Return the task or model that the search of a settings.json was for."""
    with reading(path):
        if isinstance(document, dict) and "task" not in document:
            raise SettingsError(f"{path} names no task; give one, as in --task digits/mlp")
        known = {field.name for field in fields(TaskSource)}
        if isinstance(document, dict):  # it holds more
            document = {name: value for name, value in document.items() if name in known}
        return read_fields(TaskSource, document)


def _asked_of(document: Any) -> str:
    """Return the model or task that the command asked for, "" where the document does not say."""
    asked = document.get(ASKED) if isinstance(document, dict) else None
    named = [asked.get(name) for name in ("model", "task")] if isinstance(asked, dict) else []
    return next((name for name in named if isinstance(name, str)), "")
