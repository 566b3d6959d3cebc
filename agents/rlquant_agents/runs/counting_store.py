"""A store that knows what this process computed, for honest times of searches."""

from __future__ import annotations

from collections.abc import Sequence

from rlquant import EvaluationStore, QuantizationConfig
from rlquant.evaluation.looks import Look
from rlquant.paths import PathLike
from rlquant.score import Measurement


class CountingStore(EvaluationStore):
    """An evaluation store that counts what was computed rather than answered.

    Attributes:
        computed: evaluations computed, also in part, since this object was made.
        seconds: time they took.
    """

    def __init__(self, path: PathLike) -> None:
        super().__init__(path)
        self.computed = 0
        self.seconds = 0.0

    def put(
        self,
        problem: str,
        config: QuantizationConfig,
        measured: Measurement | None,
        seconds: float,
        looks: Sequence[Look] | None = None,
    ) -> None:
        """Record an evaluation and count it."""
        super().put(problem, config, measured, seconds, looks)
        self.computed += 1
        self.seconds += seconds
