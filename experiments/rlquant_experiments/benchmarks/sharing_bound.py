"""The bound of prefix sharing: every distinct prefix run once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from rlquant.evaluation.cuts import Traced
from rlquant.evaluation.evaluator import Evaluator


def bound_of_sharing(rows: Sequence[Sequence[object]], times: Sequence[float]) -> float:
    """Return the cost of all layers of all configurations over that of the distinct prefixes.

    Args:
        rows: each configuration's decisions in execution order.
        times: of each layer, in the same order.
    """
    distinct: list[set[tuple[object, ...]]] = [set() for _ in times]
    for row in rows:
        for depth in range(len(times)):
            distinct[depth].add(tuple(row[: depth + 1]))
    needed = sum(len(prefixes) * t for prefixes, t in zip(distinct, times, strict=True))
    return len(rows) * sum(times) / needed


def clock_layers(evaluator: Evaluator) -> list[float]:
    """Have an evaluator add up the seconds that it runs for each searched layer; return them."""
    stages, pieces = evaluator.incremental.stages, evaluator.incremental.pieces
    assert isinstance(pieces, Traced)
    places = [max(0, stage.decisions - 1) for stage in stages]
    clock = [0.0] * (places[-1] + 1)

    def timed(run: Callable[..., Any], place: int) -> Callable[..., Any]:
        def clocked(*values: Any) -> Any:
            start = time.perf_counter()
            found = run(*values)
            clock[place] += time.perf_counter() - start
            return found

        return clocked

    timed_runs = tuple(timed(run, place) for run, place in zip(pieces.runs, places, strict=True))
    evaluator.incremental.pieces = replace(pieces, runs=timed_runs)
    return clock
