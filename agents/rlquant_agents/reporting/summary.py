"""Summary rows of a run, the same on the page and on the terminal."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from rlquant import QuantizationConfig, Score
from rlquant.config import plain_name
from rlquant.counted import counted
from rlquant.documents import read_as
from rlquant_agents.reporting.run_files import UNIFORM, RunFiles
from rlquant_agents.reporting.run_summary import SummaryRow
from rlquant_agents.reporting.words import (
    budget_in_words,
    count,
    decimal,
    duration,
    share,
)

Runs = Mapping[str, RunFiles]
"""Runs by the names they have in a report; the one that is reported comes first."""

TESTED = ("test loss", "test accuracy")
HEADINGS = (
    "validation loss",
    "accuracy",
    *TESTED,
    "average bits",
    "bytes",
    "of float file",
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
    """Return the columns; those of the test set where it was looked at, latency as a budget."""
    found = [heading for heading in HEADINGS if run.summary or heading not in TESTED]
    return (*found, "latency (ms)") if run.quantity == "latency" else tuple(found)


def rows(runs: Runs) -> list[Row]:
    """Return the references, the other runs, what was trained, and last the one reported."""
    (ours, run), *others = runs.items()
    found = [_row(run, name, name, score) for name, score in run.references.items()]
    for name, other in others:
        found.append(_row(run, name, other.settings["searcher"], other.outcome.score, other))
    for row in run.summary:
        if row["evaluations"] is None and row["name"] not in run.references:
            found.append(_row(run, row["name"], row["name"], row["score"]))
    own = _row(run, ours, run.settings["searcher"], run.outcome.score, run)
    return [*found, own._replace(ours=True)]


def _row(
    run: RunFiles, name: str, tested_as: str, score: Score, other: RunFiles | None = None
) -> Row:
    """Return a row of the report of `run`; `other` is the search that found the network."""
    tested = run.tested(tested_as, score)
    asked = None if tested is None else tested["evaluations"]
    if other is not None:
        asked = other.outcome.evaluations
    cells = {
        "validation loss": decimal(score.loss),
        "accuracy": decimal(score.accuracy),
        "test loss": "" if tested is None else _test_loss(tested),
        "test accuracy": "" if tested is None else decimal(tested["test_accuracy"]),
        "average bits": f"{score.average_bits:.3f}",
        "bytes": count(score.size_bytes),
        "of float file": share(score.size_bytes, run.outcome.float_score.size_bytes),
        "bit-operations": count(score.bops),
        "evaluations": "" if asked is None else count(asked),
        "time": "" if other is None else duration(other.outcome.seconds),
        "latency (ms)": "" if score.latency is None else f"{1e3 * score.latency:.4g}",
    }
    return Row(name, tuple(cells[heading] for heading in headings(run)))


def _test_loss(tested: SummaryRow) -> str:
    loss = tested["test_loss"]
    return decimal(math.inf if loss is None else loss)


def same_configurations(runs: Runs) -> list[str]:
    """Return which networks of the summary are one configuration, a sentence's list each."""
    run = next(iter(runs.values()))
    named = {} if run.facts.uniform is None else {UNIFORM: run.facts.uniform[0]}
    return in_groups({**named, **{name: each.config for name, each in runs.items()}})


def in_groups(configs: Mapping[str, QuantizationConfig]) -> list[str]:
    """Return the names of configurations that are equal, those of one joined by commas.

    Examples:
        >>> from rlquant import LayerChoice, QuantizationConfig
        >>> two, three = (QuantizationConfig((LayerChoice("a", bits),)) for bits in (2, 3))
        >>> in_groups({"auto": two, "tpe": three, "random": two})
        ['auto, random']
    """
    names: dict[str, list[str]] = {}
    for name, config in configs.items():
        names.setdefault(config.key, []).append(name)
    return [", ".join(group) for group in names.values() if len(group) > 1]


def title(run: RunFiles) -> str:
    """Return what was searched in a few words."""
    return str(run.settings.get("task") or run.facts.name)


def searched(run: RunFiles) -> str:
    """Say what was searched."""
    layers = run.facts.layers
    weights = sum(facts.parameters for facts in layers)
    many = counted(len(layers), "layer")
    return (
        f"{title(run)}: {many} with {count(weights)} weights, "
        f"{counted(len(run.facts.options), 'option')} each"
    )


def facts_of(runs: Runs) -> list[tuple[str, str]]:
    """Return what else is to be known of a search: terms with what is said of each."""
    run = next(iter(runs.values()))
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
        *(("same configuration", names) for names in same_configurations(runs)),
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
            own = read_as(list[tuple[str, list[tuple[str, list[Any]]]]], options)
            parts += [_own_in_words(pattern, given) for pattern, given in own]
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
