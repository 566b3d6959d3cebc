"""What `rlquant search` says at its end: tables, notes, files, and commands to go on with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from rlquant_agents.cli.hints import python, rlquant
from rlquant_agents.reporting.run_files import MODEL, REPORT
from rlquant_agents.reporting.summary import in_groups
from rlquant_agents.reporting.text import wrapped
from rlquant_agents.search.result import STOPPED, SearchResult

FILES = {
    MODEL: "the quantized network",
    "model-trained.rlq": "the same configuration, trained",
    REPORT: "all of it on one page, baselines too",
    "comparison.png": "loss of every searcher against evaluations",
    "front.png": "loss against what the budgets limit",
    "recipe.yaml": "the settings, for rlquant search --config",
}
"""Files of a run folder that a person opens: name -> what is in it."""


def conclusion(results: Sequence[SearchResult], out: Path) -> str:
    """Return which searchers agree, their notes, why the search ended, and what lies where.

    Args:
        results: of the searcher, then of the baselines.
        out: the run folder, as it is to be written in commands.
    """
    first = results[0]
    same = in_groups({result.searcher: result.best for result in results})
    lines = [f"the same configuration: {names}" for names in same]
    lines += [line for note in notes(results) for line in wrapped(note)]
    lines += [f"{first.searcher}: {STOPPED[first.stopped]}", "", f"written to {out}:"]
    lines += [f"  {name:<18}{words}" for name, words in FILES.items() if (out / name).exists()]
    folder = quote(str(out))
    lines += ["", "measure the file again, and see the curves:"]
    lines += [f"  {rlquant()} eval {folder}", f"  {python()} -m tensorboard.main --logdir {folder}"]
    return "\n".join(lines)


def _said(names: Sequence[str], note: str) -> str:
    return f"{', '.join(names)}: {note}"


def notes(results: Sequence[SearchResult]) -> list[str]:
    """Return the notes, each once: with the searcher's name unless all searchers have it."""
    found: dict[str, list[str]] = {}
    for result in results:
        for note in result.notes:
            found.setdefault(note, []).append(result.searcher)
    return [
        note if len(names) == len(results) or note.startswith(names[0]) else _said(names, note)
        for note, names in found.items()
    ]
