"""The papers by name, and the one call that reproduces one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rlquant.errors import unknown_name
from rlquant.files import make_folder, write_file
from rlquant_experiments.reproduction.assignment.experiments import assignment
from rlquant_experiments.reproduction.claims import Finding
from rlquant_experiments.reproduction.gupta.experiments import gupta
from rlquant_experiments.reproduction.polino.experiments import polino
from rlquant_experiments.reproduction.report import report, runs_csv
from rlquant_experiments.reproduction.reproduction import Reproduction, Scale, paths
from rlquant_experiments.reproduction.running import run_jobs
from rlquant_experiments.reproduction.ttq.experiments import ttq

PAPERS: Mapping[str, Callable[[Scale], Reproduction]] = {
    "assignment": assignment,
    "gupta": gupta,
    "polino": polino,
    "ttq": ttq,
}
"""What each paper's package offers: a scale in, its experiments out. No data are loaded for it."""


def reproduce(
    paper: str,
    scale: Scale,
    *,
    out: Path,
    work: Path,
    command: Sequence[str],
    progress: bool = True,
) -> Sequence[Finding]:
    """Do the runs that are not done yet, and write `<paper>.md`, `.png` and `.csv`.

    Args:
        paper: a name in `PAPERS`.
        scale: how much to do.
        out: folder of the report.
        work: folder of finished runs; the same call goes on from what it finds there.
        command: that the report says made it.
        progress: show a progress bar.

    Raises:
        UnknownNameError: no paper of this name.
        StorageError: a folder cannot be written.
        FileFormatError: the file of a finished run is damaged.
        DataError: the data of the task are missing.
    """
    if paper not in PAPERS:
        raise unknown_name("paper", paper, PAPERS)
    make_folder(out)  # before hours of runs
    reproduction = PAPERS[paper](scale)
    elsewhere = "" if scale.device == "cpu" else "-" + scale.device.replace(":", "")
    folder = work / f"{paper}-{scale.preset}{elsewhere}"  # other devices, other last digits
    results = run_jobs(reproduction.jobs, folder, progress=progress)
    findings = reproduction.conclude(results)
    from rlquant_agents.reporting.figure_files import png
    from rlquant_experiments.reproduction import figures  # matplotlib imports slowly

    text, picture, table = paths(paper, out)
    write_file(picture, png(figures.panels_figure(reproduction.draw(results))))
    write_file(table, runs_csv(results))
    write_file(text, report(reproduction, results, findings, command=command, figure=picture.name))
    return findings
