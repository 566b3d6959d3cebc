"""TensorBoard's view of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rlquant.files import make_folder
from rlquant.paths import PathLike, path_of
from rlquant_agents.search.event_log import EventLog


class TensorBoardTrainingLog:
    """A watcher of a training run that writes every figure as `train/<name>`, by steps taken.

    A folder shows one run: the figures of an earlier one there are replaced.

    Args:
        folder: made where it is missing.

    Raises:
        StorageError: the events cannot be written.
    """

    def __init__(self, folder: PathLike) -> None:
        target = path_of("folder", folder)
        make_folder(target)
        self._log = EventLog(target, "train")
        self._log.cut(0)

    def __call__(self, step: int, figures: Mapping[str, float]) -> None:
        """Write the figures; the run goes on."""
        self._log.add(step, {f"train/{name}": value for name, value in figures.items()})

    def close(self) -> None:
        """Nothing is open between two steps."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
