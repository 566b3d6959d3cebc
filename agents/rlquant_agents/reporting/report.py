"""The one call: a search's folder in, its report out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlquant.arguments import explained
from rlquant.errors import FileFormatError, SettingsError
from rlquant.files import write_file
from rlquant.paths import PathLike, path_of
from rlquant_agents.reporting.run_files import REPORT, UNIFORM, RunFiles, read_run
from rlquant_agents.reporting.summary import Runs
from rlquant_agents.reporting.text import text
from rlquant_agents.search.run_settings import differences

if TYPE_CHECKING:
    from rlquant_agents.reporting.figures import Figures

SHARED = ("problem", "budget", "space", "fidelity")
"""The settings that runs share whose losses can be compared."""


@dataclass(frozen=True)
class Report:
    """A search, told.

    Attributes:
        html: the page, which needs nothing beside it.
        text: a screenful for the terminal.
    """

    html: str
    text: str


@explained
def make_report(folder: PathLike, against: Sequence[PathLike] = ()) -> Report:
    """Tell a search from the files in its folder; the same files give the same report.

    The baselines that `rlquant search` ran beside it are in it, and its test metrics.

    Args:
        folder: what a search wrote, its `out`.
        against: folders of other searches of the same problem, to compare with.

    Raises:
        FileFormatError: a folder holds no search that has ended, or a file that is damaged.
        SettingsError: a search of another problem, no path, or no list of them.
        StorageError: a file cannot be read.
    """
    if isinstance(against, (str, bytes, os.PathLike)):
        raise SettingsError(f"against={str(against)[:80]!r}: give a list of folders")
    run = read_run(folder)
    others = list(_baselines(run))
    known = [other.folder.resolve() for other in others]
    for path in against:
        other = read_run(path)
        _require_same_problem(run, other)
        if other.folder.resolve() not in known:
            others.append(other)
    runs = {run.name: run}
    for other in others:
        if other.settings["searcher"] != UNIFORM or not run.is_uniform(other.config):
            runs[_new_name(other, runs)] = other  # else it is the reference, which is listed once
    return _told(runs, _figures(runs))


@explained
def write_report(
    folder: PathLike, against: Sequence[PathLike] = (), out: PathLike | None = None
) -> Report:
    """Make a report and write its page.

    Args:
        folder: what a search wrote, its `out`.
        against: folders of other searches of the same problem, to compare with.
        out: the file; by default `report.html` in the folder.

    Raises:
        FileFormatError, SettingsError: see `make_report`.
        StorageError: a file cannot be read or written.
    """
    target = path_of("folder", folder) / REPORT if out is None else path_of("out", out)
    report = make_report(folder, against)
    write_file(target, report.html)
    return report


def write_run(folder: PathLike) -> None:
    """Write the report of a finished search into its folder, and the figures as PNG beside it.

    Raises:
        FileFormatError, SettingsError, StorageError: see `write_report`.
    """
    from rlquant_agents.reporting.figure_files import png  # matplotlib imports slowly

    run = read_run(folder)
    runs = {run.name: run}
    figures = _figures(runs)
    told = _told(runs, figures)  # before the PNGs, whose layout would stay
    for name, figure in figures.items():
        figure.set_layout_engine("none")  # the page has laid it out; again would take as long
        write_file(run.folder / f"{name}.png", png(figure))
    write_file(run.folder / REPORT, told.html)


def _figures(runs: Runs) -> Figures:
    from rlquant_agents.reporting.figures import run_figures  # matplotlib imports slowly

    return run_figures(runs)


def _told(runs: Runs, figures: Figures) -> Report:
    from rlquant_agents.reporting.page import page  # matplotlib imports slowly

    return Report(page(runs, figures), text(runs))


def _baselines(run: RunFiles) -> Iterator[RunFiles]:
    """Yield the searches that the same command ran, unless somebody touched their folders."""
    for folder in run.baselines:
        with suppress(FileFormatError):
            other = read_run(folder)
            same = not differences(run.settings, other.settings, SHARED)
            if same and run.tested(other.settings["searcher"], other.outcome.score):
                yield other


def _require_same_problem(run: RunFiles, other: RunFiles) -> None:
    """Raise `SettingsError` where two runs differ in what they searched."""
    differ = differences(run.settings, other.settings, SHARED)
    if differ:
        words = ", ".join(
            f"{name} is {there!r} there and {here!r} here" for name, here, there in differ
        )
        raise SettingsError(
            f"{other.folder} cannot be compared with {run.folder}: {words}; give runs of the same "
            f"network, data, budget, space and fidelity"
        )


def _new_name(run: RunFiles, taken: dict[str, RunFiles]) -> str:
    """Return the name of a run, with its folder, then numbered, where others are called so."""
    name = run.name
    if name in taken:
        name = f"{name} ({run.folder.resolve().name})"
    names = [name, *(f"{name} {number}" for number in range(2, len(taken) + 2))]
    return next(each for each in names if each not in taken)
