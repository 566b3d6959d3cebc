"""Summary rows of a run, the same on the page and on the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from rlquant import Score
from rlquant_agents.reporting.run_files import RunFiles
from rlquant_agents.reporting.words import budget_in_words, count, decimal, duration, plain_name

Runs = Mapping[str, RunFiles]
"""Runs by the names they have in a report; the one that is reported comes first."""

HEADINGS = (
    "validation loss",
    "accuracy",
    "average bits",
    "bytes",
    "of float bytes",
    "bit-operations",
    "evaluations",
    "time",
)


class Row(NamedTuple):
    """A network in the summary: a reference or a run, a cell for each of `headings`."""

    name: str
    cells: tuple[str, ...]
    ours: bool = False


def headings(run: RunFiles) -> tuple[str, ...]:
    """Return the columns; latency is one where it is the budget."""
    return (*HEADINGS, "latency (ms)") if run.quantity == "latency" else HEADINGS


def rows(runs: Runs) -> list[Row]:
    """Return the references, the other runs, and last the one that is reported."""
    ours, *others = runs.items()
    found = [_row(name, score, ours[1]) for name, score in ours[1].references.items()]
    for name, run in (*others, ours):
        asked = count(run.outcome.evaluations), duration(run.outcome.seconds)
        found.append(_row(name, run.outcome.score, run, *asked, ours=run is ours[1]))
    return found


def _row(
    name: str, score: Score, run: RunFiles, asked: str = "", time: str = "", *, ours: bool = False
) -> Row:
    cells = [
        decimal(score.loss),
        decimal(score.accuracy),
        f"{score.average_bits:.3f}",
        count(score.size_bytes),
        f"{100 * score.size_ratio:.1f} %",
        count(score.bops),
        asked,
        time,
    ]
    if run.quantity == "latency":
        cells.append("" if score.latency is None else f"{1e3 * score.latency:.4g}")
    return Row(name, tuple(cells), ours)


def title(run: RunFiles) -> str:
    """Return what was searched in a few words."""
    return str(run.settings.get("task") or run.facts.name)


def searched(run: RunFiles) -> str:
    """Say what was searched."""
    layers = run.facts.layers
    weights = sum(facts.parameters for facts in layers)
    many = "1 layer" if len(layers) == 1 else f"{len(layers)} layers"
    return (
        f"{title(run)}: {many} with {count(weights)} weights, {len(run.facts.options)} options each"
    )


def facts_of(run: RunFiles) -> list[tuple[str, str]]:
    """Return what else is to be known of a search: terms with what is said of each."""
    settings, outcome = run.settings, run.outcome
    inside = sum(e.candidate for e in run.evaluations)
    facts = [
        ("searched", searched(run)),
        ("budget", budget_in_words(run)),
        ("space", space_in_words(run)),
        ("fidelity", str(settings["fidelity"])),
        ("searcher", f"{settings['searcher']}, seed {settings['seed']}"),
        ("its settings", settings_in_words(run)),
        ("reward", str(settings.get("reward") or "")),
        (
            "evaluations",
            f"{count(outcome.evaluations)} of at most {count(settings['evaluations'])}, "
            f"{count(inside)} of them complete and within the budget; {duration(outcome.seconds)}",
        ),
        ("ended", outcome.stopped),
        ("measured again", _measured_again(run)),
        *(("note", note) for note in outcome.notes),
        ("problem", str(settings["problem"])),
        ("versions", ", ".join(f"{k} {v}" for k, v in settings["versions"].items())),
    ]
    return [(term, words) for term, words in facts if words]


def space_in_words(run: RunFiles) -> str:
    """Say what each layer may be."""
    space = run.settings["space"]
    parts = []
    for head, options in space.items():
        if head == "override":
            parts += [_own_in_words(pattern, given) for pattern, given in options]
        elif isinstance(options, list) and options:
            named = ", ".join(plain_name(option) for option in options)
            parts.append(f"{plain_name(head)} {named}")
    return "; ".join(parts)


def _own_in_words(pattern: str, given: list[tuple[str, list[Any]]]) -> str:
    """Say which options some layers have of their own."""
    words = [f"{plain_name(head)} {', '.join(map(plain_name, options))}" for head, options in given]
    return f"{pattern}: {', '.join(words)}"


def settings_in_words(run: RunFiles) -> str:
    """Say what the searcher was set to."""
    given = run.settings["searcher_settings"]
    return ", ".join(f"{name}={value!r}" for name, value in given.items())


def made_by(run: RunFiles) -> str:
    """Return the command that made the run, or the call where there was no command."""
    command = run.settings.get("command")
    if command:
        return shlex.join(map(str, command)) if isinstance(command, list) else str(command)
    asked = ("searcher", "evaluations", "seed", "reward")
    given = ", ".join(f"{name}={run.settings.get(name)!r}" for name in asked)
    return f"rlquant_agents.search_problem(problem, {given})"


def _measured_again(run: RunFiles) -> str:
    """Say where the delivered loss is not the one of the search, as after `refine`."""
    before, after = run.measured(run.config), run.outcome.score.loss
    if before is None or before == after:
        return ""
    return (
        f"what is delivered has loss {decimal(after)}; the search had measured {decimal(before)} "
        f"for these choices, before the weights were assigned again"
    )
