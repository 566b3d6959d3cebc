"""Record the results of fixed searches, or say how two records differ.

Run in the project's folder. To show that a change leaves results as they were, record before and
after it: python scripts/reference_results.py record new.json, then compare old.json new.json.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro

from rlquant.files import write_file
from rlquant_agents.cli.terminal import say
from rlquant_experiments.reference.record import record
from rlquant_experiments.reference.results import differences


def write_record(out: tyro.conf.Positional[Path]) -> int:
    """Write the results of this commit to a JSON file; takes some minutes.

    Args:
        out: the file.
    """
    write_file(out, json.dumps(record(), indent=1) + "\n")
    return 0


def compare(old: tyro.conf.Positional[Path], new: tyro.conf.Positional[Path]) -> int:
    """Say that two records are equal, or list what differs; exit code 1 where anything does.

    Args:
        old: the earlier record.
        new: the later one.
    """
    first, second = (json.loads(path.read_text()) for path in (old, new))
    found = list(differences(first["results"], second["results"]))
    say("\n".join(found) if found else f"equal: {first['commit']} and {second['commit']}")
    return 1 if found else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    commands: dict[str, Any] = {"record": write_record, "compare": compare}
    return int(tyro.extras.subcommand_cli_from_dict(commands, args=argv, description=__doc__))
