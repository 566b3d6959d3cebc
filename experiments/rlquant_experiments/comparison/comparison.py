"""Finished runs of several searchers, and in words what their numbers say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from rlquant import Budget, Score
from rlquant.documents import named_rows, number, read_text
from rlquant.documents.csv_rows import MOST_BYTES
from rlquant.files import reading
from rlquant.score import Measurement
from rlquant_agents.search.curves import Curve, running_best
from rlquant_experiments.comparison.held_out import HeldOut


@dataclass(frozen=True, eq=False)
class Run:
    """A finished search.

    Attributes:
        searcher: its label.
        seed: its seed.
        score: of the best configuration, on the validation data.
        test: of the same network on data that no search saw.
        curve: best loss after each evaluation.
        episodes: configurations asked for, known ones included.
        seconds: what the search takes where no evaluation is known before.
        stopped: why it ended.
        notes: what it wants the reader to know.
        evaluator_seconds: how many of the seconds are the evaluator's.
        held_out: the test measurement, image by image.
    """

    searcher: str
    seed: int
    score: Score
    test: Measurement
    curve: Curve
    episodes: int
    seconds: float
    stopped: str
    notes: tuple[str, ...] = ()
    evaluator_seconds: float = 0.0
    held_out: HeldOut | None = None

    @property
    def evaluations(self) -> int:
        """Evaluations used."""
        return len(self.curve)


Runs = Mapping[str, Sequence[Run]]
"""The runs of each searcher, by its name."""


def read_best_losses(table: Path) -> Curve:
    """Return the best loss after each evaluation out of an `evaluations.csv`.

    Raises:
        FileFormatError: the line that is damaged.
        StorageError: the file cannot be read.
    """
    with reading(table):
        rows = named_rows(read_text(table, MOST_BYTES), ("feasible", "final", "loss", "value"))
        return running_best(
            (
                row["feasible"] == row["final"] == "True",
                number(row["loss"], "loss"),
                number(row["value"], "value"),
            )
            for _, row in rows
        )


def mean_loss(runs: Sequence[Run]) -> float:
    """Return the mean over runs of the best validation loss."""
    return fmean(run.score.loss for run in runs)


def ranked(runs: Runs) -> list[str]:
    """Return the searchers, the lowest mean loss first."""
    return sorted(runs, key=lambda name: mean_loss(runs[name]))


def violations(runs: Runs, budget: Budget) -> list[Run]:
    """Return the runs whose result is above the budget: there must be none."""
    every = (run for of in runs.values() for run in of)
    return [run for run in every if getattr(run.score, budget.quantity) > budget.limit]


def loss_at(curve: Curve, evaluations: int) -> float:
    """Return the best loss after `evaluations`; the last one where the run ended before."""
    return float(curve[min(evaluations, len(curve)) - 1])


def verdict(runs: Runs, agent: str = "masked-ppo", floor: str = "random") -> str:
    """Say in words which searchers are below random search, and whom the agent beats.

    Args:
        runs: all runs under one budget.
        agent: the searcher that is compared with each other one.
        floor: the baseline that every search should beat.
    """
    sentences = []
    if floor in runs:
        level = mean_loss(runs[floor])
        others = [name for name in ranked(runs) if name != floor]
        below = [name for name in others if mean_loss(runs[name]) < level]
        rest = [name for name in others if name not in below]
        sentences.append(f"Mean best loss of {floor}: {level:.4f}.")
        sentences.append(f"Below it: {_list(below)}. Not below it: {_list(rest)}.")
    if agent in runs:
        own = mean_loss(runs[agent])
        rivals = [name for name in ranked(runs) if name != agent]
        beaten = [name for name in rivals if own < mean_loss(runs[name])]
        ahead = [name for name in rivals if name not in beaten]
        sentences.append(f"{agent} (mean {own:.4f}) beats {_margins(beaten, runs, own)}.")
        sentences.append(f"It does not beat {_margins(ahead, runs, own)}.")
    return " ".join(sentences)


def _margins(names: Sequence[str], runs: Runs, own: float) -> str:
    """List names with how far the agent's mean loss lies from theirs."""
    return _list([f"{n} ({100 * (own / mean_loss(runs[n]) - 1):+.1f} %)" for n in names])


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"
