"""A progress bar of one training run."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from tqdm import tqdm

from rlquant.escaping import printable
from rlquant_agents.search.callbacks import BAR


class TrainingProgressBar:
    """A watcher that shows steps, rate, time left and the loss on standard error.

    Args:
        title: what is trained.
        shown: False shows nothing.
    """

    def __init__(self, title: str, *, shown: bool = True) -> None:
        self._title, self._shown = title, shown
        self._bar: tqdm[object] | None = None

    def __enter__(self) -> TrainingProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, step: int, figures: Mapping[str, float]) -> None:
        """Show how far the run is; it is never ended."""
        if self._bar is None:
            total = step + int(figures["steps_left"])
            hidden = not self._shown
            self._bar = tqdm(
                total=total, desc=printable(self._title), bar_format=BAR, disable=hidden
            )
        self._bar.set_postfix_str(f"loss {figures['loss']:.4f}", refresh=False)
        self._bar.update(step - self._bar.n)
