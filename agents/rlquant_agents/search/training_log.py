"""TensorBoard's view of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from rlquant.files import about


class TensorBoardTrainingLog:
    """A watcher of a training run that writes every figure as `train/<name>`, by steps taken.

    Use it as a context manager, or close it: TensorBoard writes late.

    Raises:
        StorageError: the events cannot be written; it may show on closing only.
    """

    def __init__(self, folder: str | Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # imports slowly

        self._folder = Path(folder)
        with about(self._folder):
            self._writer = SummaryWriter(str(self._folder))

    def __call__(self, step: int, figures: Mapping[str, float]) -> None:
        """Write the figures; the run goes on."""
        with about(self._folder):
            for name, value in figures.items():
                self._writer.add_scalar(f"train/{name}", value, step)

    def close(self) -> None:
        """Close the event file."""
        with about(self._folder):
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
