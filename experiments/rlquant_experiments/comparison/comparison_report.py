"""A comparison as Markdown and CSV."""

from __future__ import annotations

import math
import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from datetime import date
from statistics import fmean

import torch

from rlquant import escaping
from rlquant.escaping import csv_text
from rlquant_experiments.comparison.comparison import Run, Runs, loss_at, mean_loss, ranked, verdict
from rlquant_experiments.comparison.held_out import paired_differences

CSV_COLUMNS = (
    "budget",
    "searcher",
    "seed",
    "loss",
    "accuracy",
    "test_loss",
    "test_accuracy",
    "average_bits",
    "size_bytes",
    "evaluations",
    "episodes",
    "seconds",
    "evaluator_seconds",
    "stopped",
)


def made_by(command: Sequence[str], threads: int) -> str:
    """Return when, how and on what machine a comparison was made."""
    return (
        f"Made on {date.today().isoformat()} by\n\n    {shlex.join(command)}\n\n"
        f"with {os.cpu_count()} cores ({threads} used by torch), Python "
        f"{platform.python_version()}, torch {torch.__version__}."
    )


def section(
    budget: str, runs: Runs, marks: Sequence[int], figure: str, chosen: str = "masked-ppo"
) -> str:
    """Return the Markdown of one budget.

    Args:
        budget: in words.
        runs: all runs under it.
        marks: numbers of evaluations at which the best loss is shown.
        figure: file name of the figure.
        chosen: the searcher that each other is compared with.
    """
    notes = dict.fromkeys(f"{name}: {n}." for name in runs for run in runs[name] for n in run.notes)
    return "\n\n".join(
        [
            f"## {budget[0].upper()}{budget[1:]}",
            summary_table(runs),
            "Best validation loss, mean over the runs:",
            progress_table(runs, marks),
            f"![best validation loss against evaluations]({figure})",
            verdict(runs, chosen),
            *held_out_section(runs, chosen),
            *notes,
        ]
    )


def summary_table(runs: Runs) -> str:
    """Return a Markdown table of the searchers, best first; means over their runs."""
    headings = (
        "searcher",
        "runs",
        "validation loss, mean",
        "range",
        "validation accuracy",
        "test loss",
        "test accuracy",
        "average bits",
        "evaluations",
        "episodes",
        "seconds",
        "evaluator's share",
    )
    rows = []
    for name in ranked(runs):
        of = runs[name]
        losses = [run.score.loss for run in of]
        rows.append(
            (
                name,
                str(len(of)),
                f"{mean_loss(of):.4f}",
                f"{min(losses):.4f} to {max(losses):.4f}" if len(of) > 1 else "",
                f"{fmean(run.score.accuracy for run in of):.4f}",
                f"{fmean(run.test.loss for run in of):.4f}",
                f"{fmean(run.test.accuracy for run in of):.4f}",
                f"{fmean(run.score.average_bits for run in of):.3f}",
                f"{fmean(run.evaluations for run in of):.0f}",
                f"{fmean(run.episodes for run in of):.0f}",
                f"{fmean(run.seconds for run in of):.0f}",
                f"{100 * _evaluator_share(of):.0f} %",
            )
        )
    return markdown_table(headings, rows)


def held_out_section(runs: Runs, chosen: str) -> list[str]:
    """Return how the chosen searcher's networks differ from each other's on the test images."""
    found = {name: [run.held_out for run in of if run.held_out] for name, of in runs.items()}
    if not found.get(chosen):
        return []
    rows = []
    for name in ranked(runs):
        if name != chosen and found[name]:
            loss, accuracy = paired_differences(found[chosen], found[name])
            rows.append((name, loss.words(4, signed=True), accuracy.words(4, signed=True)))
    words = (
        f"Test images, which no search saw and nothing was chosen by: {chosen} less each other "
        f"searcher, image by image and seed by seed, with 95 % intervals over images and seeds:"
    )
    return [words, markdown_table(("searcher", "test loss", "test accuracy"), rows)] if rows else []


def progress_table(runs: Runs, marks: Sequence[int]) -> str:
    """Return a Markdown table of the mean best loss after so many evaluations."""
    rows = [
        (name, *(_loss_words(fmean(loss_at(run.curve, m) for run in runs[name])) for m in marks))
        for name in ranked(runs)
    ]
    return markdown_table(("searcher", *(f"after {mark}" for mark in marks)), rows)


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    return escaping.markdown_table(headings, rows, "l" + "r" * (len(headings) - 1))


def runs_csv(found: Mapping[str, Runs]) -> str:
    """Return one row for each run of each budget."""
    rows: list[Sequence[object]] = [CSV_COLUMNS]
    for budget, runs in found.items():
        for run in (run for name in runs for run in runs[name]):
            score, test = run.score, run.test
            measured = (score.loss, score.accuracy, test.loss, test.accuracy)
            costs = (score.average_bits, score.size_bytes)
            spent = (run.evaluations, run.episodes)
            time = (round(run.seconds, 3), round(run.evaluator_seconds, 3), run.stopped)
            rows.append((budget, run.searcher, run.seed, *measured, *costs, *spent, *time))
    return csv_text(rows)


def _evaluator_share(runs: Sequence[Run]) -> float:
    seconds = sum(run.seconds for run in runs)
    return sum(run.evaluator_seconds for run in runs) / seconds if seconds else 0.0


def _loss_words(loss: float) -> str:
    return "none yet" if math.isnan(loss) else f"{loss:.4f}"
