"""Evaluations that workers make before a search asks for them, in the order in which it will."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Executor

from rlquant import Problem, QuantizationConfig, Score
from rlquant.errors import WorkerError
from rlquant.executors.workload import Listener
from rlquant.problem.by_workers import evaluations_on

Outcome = Score | WorkerError
"""What became of an evaluation."""


class Ahead:
    """A problem's evaluations by workers, begun together and taken one by one.

    Args:
        problem: what is evaluated.
        executor: has the workers.
        listener: told how busy they are.
    """

    def __init__(self, problem: Problem, executor: Executor, listener: Listener) -> None:
        self._evaluations = evaluations_on(problem, executor, listener)
        self._expected: deque[QuantizationConfig] = deque()
        self._found: dict[QuantizationConfig, Outcome] = {}
        self._arriving: Generator[Outcome, None, None] | None = None

    def begin(
        self, configs: Sequence[QuantizationConfig], incumbent: QuantizationConfig | None
    ) -> None:
        """Have configurations evaluated, all against the same incumbent; what ran before ends."""
        self.end()
        self._expected.extend(configs)
        self._arriving = self._evaluations.scores(configs, incumbent)

    def take(self, config: QuantizationConfig, incumbent: QuantizationConfig | None) -> Outcome:
        """Return the outcome of a configuration when it is there, asking for it if need be."""
        if config not in self._found and config not in self._expected:
            self.begin([config], incumbent)
        assert self._arriving is not None
        while config not in self._found:
            self._found[self._expected.popleft()] = next(self._arriving)
        return self._found.pop(config)

    def end(self) -> None:
        """End what runs, and forget what nobody has taken."""
        if self._arriving is not None:
            self._arriving.close()
        self._expected.clear()
        self._found.clear()
        self._arriving = None

    def close(self) -> None:
        """End what runs, and let go of what workers were sent."""
        self.end()
        self._evaluations.close()
