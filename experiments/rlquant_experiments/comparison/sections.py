"""The section of a report for one problem under one budget: tables, words, and rows for a CSV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

import rlquant
from rlquant.escaping import csv_text, markdown_table
from rlquant_experiments.comparison.held_out import paired_differences
from rlquant_experiments.comparison.report_file import image
from rlquant_experiments.comparison.runs import Run
from rlquant_experiments.comparison.stratum import Stratum

FLOOR = "random"
"""The searcher that every other should be below."""


def section(stratum: Stratum, marks: Sequence[int], end: str, chosen: str) -> list[str]:
    """Return the Markdown of a stratum, in paragraphs.

    Args:
        stratum: with its runs.
        marks: numbers of evaluations at which the best loss, or the regret, is shown.
        end: of the file name of the figure.
        chosen: the searcher that each other is compared with.
    """
    title = str(stratum.budget)
    notes = dict.fromkeys(f"{run.searcher}: {n}." for run in stratum.every_run() for n in run.notes)
    return [
        f"## {title[0].upper()}{title[1:]}",
        *_scale_words(stratum),
        summary_table(stratum),
        f"{_measure_words(stratum)}, mean over the runs:",
        progress_table(stratum, marks),
        image(f"{_measure_words(stratum).lower()} against evaluations", end),
        verdict(stratum, chosen),
        *held_out_section(stratum, chosen),
        *notes,
    ]


def _measure_words(stratum: Stratum) -> str:
    return "Best validation loss" if stratum.scale is None else "Regret"


def _scale_words(stratum: Stratum) -> list[str]:
    """Say where the two ends of the regrets lie, and what a probe says of the table."""
    if stratum.scale is None:
        return []
    ends = {"Optimum": stratum.scale.optimum, "Uniform": stratum.scale.uniform}
    words = [f"{k}: loss {s.loss:.4f}, accuracy {s.accuracy:.4f}." for k, s in ends.items()]
    return [" ".join([*words, str(rlquant.probe(stratum.problem).shares[0])])]


def summary_table(stratum: Stratum) -> str:
    """Return a Markdown table of the searchers, best first; means over their runs."""
    rows = [_summary(stratum, label, stratum.runs[label]) for label in stratum.ranked()]
    return markdown_table(tuple(rows[0]), [tuple(row.values()) for row in rows], "lr")


def _summary(stratum: Stratum, label: str, runs: Sequence[Run]) -> dict[str, str]:
    losses = [run.score.loss for run in runs]
    tests = [run.test for run in runs if run.test is not None]
    row = {
        "searcher": label,
        "runs": str(len(runs)),
        "validation loss, mean": f"{stratum.mean_loss(label):.4f}",
        "range": f"{min(losses):.4f} to {max(losses):.4f}" if len(runs) > 1 else "",
        "validation accuracy": f"{fmean(run.score.accuracy for run in runs):.4f}",
    }
    if tests:
        row["test loss"] = f"{fmean(test.loss for test in tests):.4f}"
        row["test accuracy"] = f"{fmean(test.accuracy for test in tests):.4f}"
    if stratum.scale is not None:
        found = sum(loss == stratum.scale.optimum.loss for loss in losses)
        row["optimum found"] = f"{found} of {len(runs)}"
    row |= {
        "average bits": f"{fmean(run.score.average_bits for run in runs):.3f}",
        "evaluations": f"{fmean(len(run.curve) for run in runs):.0f}",
        "episodes": f"{fmean(run.episodes for run in runs):.0f}",
        "seconds": f"{fmean(run.seconds for run in runs):.1f}",
    }
    if tests:
        seconds = sum(run.seconds for run in runs)
        share = sum(run.evaluator_seconds for run in runs) / seconds if seconds else 0.0
        row["evaluator's share"] = f"{100 * share:.0f} %"
    return row


def progress_table(stratum: Stratum, marks: Sequence[int]) -> str:
    """Return a Markdown table of the mean best loss, or regret, after so many evaluations."""
    rows = [
        (label, *(_or_none_yet(stratum.mean_at(label, mark)) for mark in marks))
        for label in stratum.ranked()
    ]
    return markdown_table(("searcher", *(f"after {mark}" for mark in marks)), rows, "lr")


def _or_none_yet(value: float) -> str:
    return "none yet" if math.isnan(value) else f"{value:.4f}"


def held_out_section(stratum: Stratum, chosen: str) -> list[str]:
    """Return how the chosen searcher's networks differ from each other's on the test images."""
    found = {k: [run.held_out for run in of if run.held_out] for k, of in stratum.runs.items()}
    if not found.get(chosen):
        return []
    rows = []
    for label in stratum.ranked():
        if label != chosen and found[label]:
            loss, accuracy = paired_differences(found[chosen], found[label])
            rows.append((label, loss.words(4, signed=True), accuracy.words(4, signed=True)))
    words = (
        f"Test images, which no search saw and nothing was chosen by: {chosen} less each other "
        f"searcher, image by image and seed by seed, with 95 % intervals over images and seeds:"
    )
    table = markdown_table(("searcher", "test loss", "test accuracy"), rows, "lr")
    return [words, table] if rows else []


def verdict(stratum: Stratum, chosen: str) -> str:
    """Say in words which searchers are below random search, and which the chosen one is below."""
    sentences = []
    ranked, level = stratum.ranked(), {k: stratum.mean_loss(k) for k in stratum.runs}
    if FLOOR in level:
        others = [label for label in ranked if label != FLOOR]
        below = [label for label in others if level[label] < level[FLOOR]]
        rest = [label for label in others if label not in below]
        sentences.append(f"Mean best loss of {FLOOR}: {level[FLOOR]:.4f}.")
        sentences.append(f"Below it: {_listed(below)}. Not below it: {_listed(rest)}.")
    if chosen in level:
        own = level[chosen]
        margins = {n: f"{n} ({100 * (own / level[n] - 1):+.1f} %)" for n in ranked if n != chosen}
        beaten = [margins[label] for label in margins if own < level[label]]
        ahead = [margins[label] for label in margins if own >= level[label]]
        sentences.append(f"{chosen} (mean {own:.4f}) is below {_listed(beaten)}.")
        sentences.append(f"It is not below {_listed(ahead)}.")
    return " ".join(sentences)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def runs_csv(strata: Sequence[Stratum], marks: Sequence[int]) -> str:
    """Return one row for each run of each budget; regrets at the marks where they are known."""
    rows = [_csv_row(stratum, run, marks) for stratum in strata for run in stratum.every_run()]
    return csv_text([tuple(rows[0]), *(tuple(row.values()) for row in rows)])


def _csv_row(stratum: Stratum, run: Run, marks: Sequence[int]) -> dict[str, object]:
    score, scale, test = run.score, stratum.scale, run.test
    row: dict[str, object] = {
        "budget": str(stratum.budget),
        "searcher": run.searcher,
        "seed": run.seed,
        "loss": score.loss,
    }
    if scale is not None:
        row |= {"optimum": scale.optimum.loss, "uniform": scale.uniform.loss}
    if test is not None:
        row |= {"accuracy": score.accuracy}
        row |= {"test_loss": test.loss, "test_accuracy": test.accuracy}
    row |= {"average_bits": score.average_bits, "size_bytes": score.size_bytes}
    row |= {"evaluations": len(run.curve), "episodes": run.episodes}
    row["seconds"] = round(run.seconds, 3)
    if test is not None:
        row["evaluator_seconds"] = round(run.evaluator_seconds, 3)
    row["stopped"] = run.stopped
    if scale is not None:
        regrets = scale.regret(run.curve)
        row |= {f"regret_{m}": float(regrets[min(m, len(regrets)) - 1]) for m in marks}
    return row
