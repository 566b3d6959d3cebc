"""What racing saves, and how often it gives up a configuration that would have won."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from rlquant import QuantizationProblem
from rlquant_agents.result import SearchResult
from rlquant_agents.searcher import make_searcher

Progress = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True)
class RacedSeed:
    """One seed, searched with whole evaluations and with racing.

    Attributes:
        seed: of both searches.
        whole_seconds: of the search with whole evaluations.
        raced_seconds: of the search with racing.
        whole_loss: the best loss that the first found.
        raced_loss: the best loss that the second found, on all samples.
        samples_seen: share of the validation samples that the second saw.
        given_up: evaluations that it gave up.
        wrongly: of these, those whose loss on all samples is below that of their rival.
    """

    seed: int
    whole_seconds: float
    raced_seconds: float
    whole_loss: float
    raced_loss: float
    samples_seen: float
    given_up: int
    wrongly: int


def study_racing(
    whole: QuantizationProblem,
    raced: QuantizationProblem,
    searcher: str,
    evaluations: int,
    seeds: Sequence[int],
    progress: Progress = iter,
) -> list[RacedSeed]:
    """Search both problems with every seed, neither knowing anything before.

    Args:
        whole: evaluates on all samples.
        raced: the same with racing.
        searcher: a name.
        evaluations: of each search.
        seeds: of the searches.
        progress: wraps the seeds.
    """
    for problem in (whole, raced):  # not part of the first search
        problem.evaluator.measure_float()
    found = []
    for seed in progress(seeds):
        first = whole.with_store(None)
        start = time.perf_counter()
        plain = make_searcher(searcher).search(first, evaluations, seed)
        middle = time.perf_counter()
        second = raced.with_store(None)
        result = make_searcher(searcher).search(second, evaluations, seed)
        end = time.perf_counter()
        given_up, wrongly = _checked(result, second)
        seen = [e.score.samples for e in result.history]
        found.append(
            RacedSeed(
                seed,
                middle - start,
                end - middle,
                plain.score.loss,
                result.score.loss,
                fmean(seen) / len(raced.validation),
                given_up,
                wrongly,
            )
        )
    return found


def _checked(result: SearchResult, problem: QuantizationProblem) -> tuple[int, int]:
    """Return how many evaluations were given up, and how many of them wrongly."""
    best = None
    given_up = wrongly = 0
    for evaluation in result.history:
        if evaluation.score.partial:
            assert best is not None
            given_up += 1
            wrongly += problem.evaluate(evaluation.config).loss < best.score.loss
        elif evaluation.candidate and (best is None or evaluation.value > best.value):
            best = evaluation
    return given_up, wrongly


def racing_markdown(found: Sequence[RacedSeed]) -> str:
    """Return the table of the seeds, and what it says."""
    lines = [
        "| seed | seconds, whole | seconds, racing | ratio | best loss, whole | best loss, racing "
        "| samples seen | given up | wrongly |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        lines.append(
            f"| {one.seed} | {one.whole_seconds:.1f} | {one.raced_seconds:.1f} | "
            f"{one.whole_seconds / one.raced_seconds:.2f} | {one.whole_loss:.4f} | "
            f"{one.raced_loss:.4f} | {100 * one.samples_seen:.0f} % | {one.given_up} | "
            f"{one.wrongly} |"
        )
    ratio = sum(o.whole_seconds for o in found) / sum(o.raced_seconds for o in found)
    given_up, wrongly = sum(o.given_up for o in found), sum(o.wrongly for o in found)
    lines += [
        "",
        f"Searches with racing were {ratio:.2f} x faster, the searcher's own computation included. "
        f"Of {given_up} configurations that were given up, {wrongly} would have beaten their rival "
        f"on all samples ({100 * wrongly / max(1, given_up):.2f} %). Best loss, mean over "
        f"{len(found)} seeds: whole {_mean(o.whole_loss for o in found)}, racing "
        f"{_mean(o.raced_loss for o in found)}.",
    ]
    return "\n".join(lines)


def _mean(values: Iterable[float]) -> str:
    numbers = list(values)
    spread = f" (standard deviation {stdev(numbers):.4f})" if len(numbers) > 1 else ""
    return f"{fmean(numbers):.4f}{spread}"
