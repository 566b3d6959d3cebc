"""Evaluation in several processes, each of which has the problem once."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

from rlquant.config import QuantizationConfig
from rlquant.errors import whole_number
from rlquant.process_pool import run_in_processes
from rlquant.score import Measurement, Score

CHUNKS_EACH = 4
"""A process gets about so many chunks: few, so that neighbours stay together, but balanced."""


class Evaluates(Protocol):
    """What other processes need: something that can be pickled and that scores."""

    def evaluate(self, config: QuantizationConfig) -> Score:
        """Score a configuration."""


def measure_with_workers(
    problem: Evaluates, configs: Sequence[QuantizationConfig], workers: int
) -> Generator[tuple[int, Measurement], None, None]:
    """Measure configurations in processes of their own; see `run_in_processes`.

    Args:
        problem: evaluates. What a process needs besides (an evaluator, a connection to the store)
            it makes itself, on first use.
        configs: in the order that shares most: each process gets neighbours.
        workers: processes.

    Yields:
        Positions in `configs` with their measurements, each once, in the order of completion.
    """
    count = whole_number("workers", workers, 1)
    chunk = max(1, len(configs) // (CHUNKS_EACH * count))
    return run_in_processes(_measure, problem, configs, count, chunk)


def _measure(problem: Evaluates, config: QuantizationConfig) -> Measurement:
    try:
        score = problem.evaluate(config)
    except Exception as error:
        error.add_note(f"while evaluating {config.to_json()}")
        raise
    return Measurement(score.loss, score.accuracy, score.samples, metrics=score.metrics)
