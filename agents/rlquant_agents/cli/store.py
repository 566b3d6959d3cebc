"""What is in an evaluation store: shown, merged into another, and removed.

A store is an SQLite file, such as runs/evaluations.sqlite, or a PostgreSQL database.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from rlquant import EvaluationStore
from rlquant.counted import counted
from rlquant.errors import SettingsError, StorageError
from rlquant.store.upkeep import best_evaluations, merge, named_problem, prune, summaries
from rlquant_agents.cli.command_line import run_command
from rlquant_agents.cli.terminal import rich_table, say, show
from rlquant_agents.reporting.words import decimal

DAY = 86_400.0


def _action(name: str, does: str) -> Any:
    return tyro.conf.subcommand(name, description=does, prefix_name=False)


@dataclass(frozen=True, kw_only=True)
class ListSettings:
    """Which store.

    Attributes:
        store: path of an SQLite file, or postgresql+psycopg://USER@HOST/DATABASE.
    """

    store: Annotated[str, tyro.conf.Positional]


@dataclass(frozen=True, kw_only=True)
class ShowSettings:
    """Which problem of which store.

    Attributes:
        store: path of an SQLite file, or postgresql+psycopg://USER@HOST/DATABASE.
        problem: the beginning of its fingerprint, as `rlquant store list` shows it; may be left
            out where there is one.
        most: evaluations to show, those with the least losses.
    """

    store: Annotated[str, tyro.conf.Positional]
    problem: Annotated[str, tyro.conf.Positional] = ""
    most: int = 10


@dataclass(frozen=True, kw_only=True)
class MergeSettings:
    """Which stores.

    Attributes:
        source: store that is read, a path or a URL.
        target: store that gets what it does not have yet, a path or a URL.
    """

    source: Annotated[str, tyro.conf.Positional]
    target: Annotated[str, tyro.conf.Positional]


@dataclass(frozen=True, kw_only=True)
class PruneSettings:
    """What to remove; it is measured again where somebody asks for it.

    Attributes:
        store: path of an SQLite file, or postgresql+psycopg://USER@HOST/DATABASE.
        problems: beginnings of fingerprints, as `rlquant store list` shows them: everything of
            these goes, or, with --older-than, of these alone.
        older_than: only evaluations that were recorded more than so many days ago.
    """

    store: Annotated[str, tyro.conf.Positional]
    problems: tuple[str, ...] = ()
    older_than: float | None = None


def list_problems(settings: ListSettings) -> int:
    """Show a row for each problem."""
    store = _existing(settings.store)
    rows = [
        (
            found.problem[:16],
            f"{found.evaluations:,}",
            _loss(found.loss),
            f"{found.seconds:,.0f} s",
            _date(found.newest),
        )
        for found in summaries(store)
    ]
    headings = ("problem", "evaluations", "least loss", "took", "newest")
    show(rich_table(counted(store.count(), "evaluation"), headings, rows, "lrrrl"), width=80)
    return 0


def show_problem(settings: ShowSettings) -> int:
    """Show the best evaluations of a problem, and the configuration of the best."""
    if settings.most < 1:
        raise SettingsError(f"--most {settings.most}: use a whole number of at least 1")
    store = _existing(settings.store)
    problem = named_problem(store, settings.problem)
    found = best_evaluations(store, problem, settings.most)
    rows = [
        (
            _loss(each.loss),
            "" if math.isnan(each.accuracy) else f"{each.accuracy:.4f}",
            f"{each.samples:,}",
            f"{each.seconds:.2f} s",
            _date(each.recorded_at),
            each.config.key[:12],
        )
        for each in found
    ]
    headings = ("loss", "accuracy", "samples", "took", "recorded", "configuration")
    title = f"problem {problem[:16]}, {counted(store.count(problem), 'evaluation')}"
    show(rich_table(title, headings, rows, "rrrrll"), width=80)
    if found:
        say(f"the first of them: {found[0].config.to_json()}")
    return 0


def merge_stores(settings: MergeSettings) -> int:
    """Merge one store into another."""
    source, target = _existing(settings.source), EvaluationStore(settings.target)
    if source.place == target.place:
        raise SettingsError(f"{source.name}: a store is not merged into itself; give another")
    added = merge(source, target)
    say(
        f"{counted(added, 'new evaluation')} of {source.name} in {target.name}, which has "
        f"{target.count():,} now"
    )
    return 0


def prune_store(settings: PruneSettings) -> int:
    """Remove evaluations."""
    days = settings.older_than
    if not settings.problems and days is None:
        raise SettingsError("prune: give --problems, --older-than DAYS, or both")
    if days is not None and not 0 <= days < math.inf:
        raise SettingsError(f"--older-than {days}: use a number of days, 0 or more")
    store = _existing(settings.store)
    problems = [named_problem(store, beginning) for beginning in settings.problems]
    gone = prune(store, problems, None if days is None else time.time() - days * DAY)
    say(f"{counted(gone, 'evaluation')} removed, {store.count():,} left")
    return 0


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """What to do.

    Attributes:
        action: with which store.
    """

    action: tyro.conf.OmitArgPrefixes[
        Annotated[ListSettings, _action("list", "Show the problems in a store.")]
        | Annotated[ShowSettings, _action("show", "Show the best evaluations of a problem.")]
        | Annotated[MergeSettings, _action("merge", "Put what one store has into another.")]
        | Annotated[PruneSettings, _action("prune", "Remove evaluations from a store.")]
    ]


ACTIONS: dict[type[Any], Callable[[Any], int]] = {
    ListSettings: list_problems,
    ShowSettings: show_problem,
    MergeSettings: merge_stores,
    PruneSettings: prune_store,
}


def run(settings: StoreSettings) -> int:
    """Do it."""
    return ACTIONS[type(settings.action)](settings.action)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    return run_command(StoreSettings, run, argv, __doc__, prog="rlquant store")


def _existing(place: str) -> EvaluationStore:
    """Return a store that is there: what only looks makes no file."""
    store = EvaluationStore(place)
    if isinstance(store.place, os.PathLike) and not store.place.exists():
        raise StorageError(f"{store.place}: no such store; `rlquant search --store` makes one")
    return store


def _loss(loss: float) -> str:
    return "inf" if math.isinf(loss) else decimal(loss)


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
