"""The page on many workers: efficiencies, regret by batch, and what was measured here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, median

import numpy as np

from rlquant.escaping import markdown_table
from rlquant.files import write_file
from rlquant_agents.reporting.figure_files import png
from rlquant_agents.search.curves import Curve
from rlquant_experiments.comparison.report_file import Report, image, made_by
from rlquant_experiments.comparison.stratum import Stratum
from rlquant_experiments.scaling.measured import Evaluated, Measured, Timed, Times
from rlquant_experiments.scaling.quality import (
    TARGET,
    evaluations_to,
    mean_regret,
    regrets,
    variants,
)
from rlquant_experiments.scaling.scaling_figures import scaling_figure
from rlquant_experiments.scaling.settings import ScalingSettings
from rlquant_experiments.scaling.simulated import BATCHES, Simulated, simulated
from rlquant_experiments.scaling.speedup import Speedup, speedups

DEFAULT = 2
"""The default batch is so many times the number of workers."""
INTRODUCTION = """# Many workers

What more workers bring to a search, and what asking for many configurations at once costs
it. No cluster was at hand: beyond a few processes of one machine everything is an event
simulation, with evaluation times and overheads that were measured. Efficiency is the share
of the workers' time in which they evaluate; 1 is linear."""
MODEL = """## What is simulated

One process proposes configurations, sends them, and takes and records their answers, one
after the other; workers take them in this order. Evaluations take what those of real
searches took, drawn with replacement; {share:.0%} of them are stragglers, which take
{slowdown:g} times as long and count as work. A search in batches proposes the next batch
when all answers to the last one are there, so that what it finds is a function of seed and
batch alone; rlquant searches so. An asynchronous one proposes one more configuration at
each answer, with two for each worker on their way; what it finds depends on timing, and
rlquant has none. Either makes {rounds} evaluations for each worker. The network of a
cluster is not in it.

{sources}"""
QUALITY = """## What is found, by batch

`{searcher}` on {tables} at {budget:g} average bits, {seeds} seeds each, {evaluations}
evaluations. Regret is 1 at the best uniform configuration and 0 at the optimum. Means over
seeds and tables, with standard errors; a run that does not get to {target:g} counts with
all its evaluations."""
RULE = """## Which batch for how many workers

Both together: how many times as fast a search comes to a regret of {target:g} as one worker
whose batch is 1, wherever searches with that batch were run. Times of the simulation, evaluations
of the tables above. The default batch is twice the number of workers."""
HERE = """## Measured here

On {cores} cores, while {load:.1f} processes on average ran or wanted to: CPU seconds are
nearly those of a quiet machine, wall-clock seconds are not.

- A task that does nothing takes {latency:.1f} ms of CPU, of the worker and of the process that
  asks; between two answers of one worker lie {gap:.1f} ms (wall clock).
- An evaluation of {task} by a worker takes the process that searches {handling:.1f} ms of CPU:
  asking, lease and store (SQLite), answer, callbacks.

CPU time in which the searcher proposes a batch, mean over the searches of one seed:"""
SLEEPING = """Searches whose evaluations sleep {each:g} s, so that no core is wanted: what
processes, queue and batches of 2 x workers leave."""
REAL = """Evaluations of {task}, each of which takes {each} of CPU, in this process and by workers,
{count} at a time and in turn, {rounds} times, all weights quantized before. Rates are of the
median round, ratios the median of those of each round:"""


def write_page(
    settings: ScalingSettings,
    measured: Measured,
    strata: Sequence[Stratum],
    command: Sequence[str],
) -> str:
    """Write the page, its figure and what was measured to every report; return its text."""
    found = simulated(settings, measured)
    curves = {
        variant.label: mean_regret(strata, variant.label, settings.evaluations)
        for variant in variants(settings)
    }
    parts = [
        INTRODUCTION,
        made_by(command, 1),
        image("efficiency against workers, and regret by batch", ""),
        _efficiency_tables(found),
        MODEL.format(
            share=settings.stragglers,
            slowdown=settings.slowdown,
            rounds=settings.rounds,
            sources="\n".join(_source(times) for times in measured.all_times),
        ),
        _quality(settings, strata, curves),
        _rule(settings, found, strata),
        _measured_here(measured),
    ]
    figures = {"": png(scaling_figure(found, curves))}
    text = Report("\n\n".join(parts) + "\n", figures).write(settings.reports)
    for report in settings.reports:
        write_file(report.with_suffix(".json"), json.dumps(asdict(measured), indent=1) + "\n")
    return text


def _source(times: Times) -> str:
    least, most = min(times.seconds), max(times.seconds)
    return (
        f"- {times.name}: {len(times.seconds)} evaluations of {_seconds(least)} to {_seconds(most)}"
    )


def _efficiency_tables(found: Sequence[Simulated]) -> str:
    parts = ["## Efficiency"]
    for network in found:
        by_way = network.efficiencies
        headings = ["workers", *by_way]
        counts = list(next(iter(by_way.values())))
        rows = [
            [str(workers), *(f"{by_way[way][workers]:.2f}" for way in by_way)] for workers in counts
        ]
        parts.append(f"{network.network}, {_seconds(network.mean)} an evaluation:")
        parts.append(markdown_table(headings, rows, "r" * len(headings)))
    return "\n\n".join(parts)


def _quality(
    settings: ScalingSettings, strata: Sequence[Stratum], curves: Mapping[str, Curve]
) -> str:
    marks = [mark for mark in (16, 32, 64) if mark < settings.evaluations]
    marks.append(settings.evaluations)
    rows = []
    for label, curve in curves.items():
        needed = evaluations_to(strata, label, settings.evaluations)
        spread = np.concatenate(regrets(strata, label, settings.evaluations))
        errors = spread.std(axis=0) / np.sqrt(len(spread))
        cells = [f"{curve[mark - 1]:.3f} ± {errors[mark - 1]:.3f}" for mark in marks]
        rows.append([label.replace("-", " "), *cells, f"{needed.mean():.0f}"])
    headings = ["", *(f"after {mark}" for mark in marks), f"evaluations to {TARGET:g}"]
    words = QUALITY.format(
        searcher=settings.searcher,
        tables=", ".join(settings.tables),
        budget=settings.budget,
        seeds=settings.seeds,
        evaluations=settings.evaluations,
        target=TARGET,
    )
    return f"{words}\n\n{markdown_table(headings, rows, 'l' + 'r' * (len(headings) - 1))}"


def _rule(settings: ScalingSettings, found: Sequence[Simulated], strata: Sequence[Stratum]) -> str:
    parts = [RULE.format(target=TARGET)]
    for network in found:
        rows = speedups(settings, network, strata)
        parts.append(f"Evaluations of {network.network}; {_behind(rows)}:")
        headings = ["workers", *(f"batch {times} x workers" for times in BATCHES)]
        parts.append(markdown_table(headings, [_cells(row) for row in rows], "r" * len(headings)))
    return "\n\n".join(parts)


def _behind(rows: Sequence[Speedup]) -> str:
    """Return how far the default batch is behind the best one where several were run."""
    default = BATCHES.index(DEFAULT)
    behind = [
        1 - speed / max(s for s in row.by_multiple if s is not None)
        for row in rows
        if (speed := row.by_multiple[default]) is not None
    ]
    return f"the default is at most {max(behind, default=0.0):.0%} behind the best"


def _cells(row: Speedup) -> list[str]:
    return [str(row.workers), *("" if s is None else f"{s:.1f}" for s in row.by_multiple)]


def _measured_here(measured: Measured) -> str:
    proposals = [[str(p.batch), f"{1000 * p.seconds:.0f} ms"] for p in measured.proposals]
    waiting = [_sleeping(timed) for timed in measured.waiting]
    words = HERE.format(
        cores=measured.cores,
        load=measured.load,
        latency=1000 * measured.latency,
        gap=1000 * measured.gap,
        handling=1000 * measured.handling,
        task=measured.handled,
    )
    return "\n\n".join(
        [
            words,
            markdown_table(["batch", "time"], proposals, "rr"),
            SLEEPING.format(each=measured.waiting[0].each),
            markdown_table(["workers", "took", "linear", "efficiency"], waiting, "rrrr"),
            *(part for evaluated in measured.real for part in _real(evaluated)),
        ]
    )


def _real(evaluated: Evaluated) -> tuple[str, str]:
    """Return words and table of a task's evaluations."""
    here, *by_workers = evaluated.timed
    rows = [[_who(here), f"{here.rate:.1f}/s", "", ""]]
    rows += [_by_workers(timed, timed.faster_than(here)) for timed in by_workers]
    each = _seconds(fmean(evaluated.times.seconds))
    words = REAL.format(
        task=evaluated.times.name, each=each, count=here.evaluations, rounds=len(here.seconds)
    )
    return words, markdown_table(["", "rate", "of this process", "efficiency"], rows, "lrrr")


def _by_workers(timed: Timed, ratio: float) -> list[str]:
    efficiency = ratio / timed.workers
    return [_who(timed), f"{timed.rate:.1f}/s", f"{ratio:.2f}", f"{efficiency:.2f}"]


def _sleeping(timed: Timed) -> list[str]:
    linear = timed.evaluations * timed.each / timed.workers
    seconds = median(timed.seconds)
    share = linear / seconds
    return [str(timed.workers), f"{seconds:.1f} s", f"{linear:.1f} s", f"{share:.2f}"]


def _who(timed: Timed) -> str:
    return f"local:{timed.workers}" if timed.workers else "this process"


def _seconds(value: float) -> str:
    return f"{1000 * value:.0f} ms" if value < 0.95 else f"{value:.1f} s"
