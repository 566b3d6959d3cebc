"""Command-line entry points: settings from flags, errors as one line, Ctrl-C as code 130."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import tyro

from rlquant import RlquantError
from rlquant_agents.cli.terminal import PrintableFormatter, say
from rlquant_agents.search.interrupts import signals_interrupt

Settings = TypeVar("Settings")

FAILED, INTERRUPTED = 2, 130


def run_command(
    settings: type[Settings],
    command: Callable[[Settings], int],
    argv: Sequence[str] | None,
    description: str | None,
) -> int:
    """Read the settings from the command line, run, and return the exit code.

    Args:
        settings: a frozen dataclass; its attributes become flags, its docstring their help.
        command: what to do with them; returns the exit code.
        argv: arguments, without the program's name; those of the process by default.
        description: what `--help` begins with.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(message)s"))
    logging.basicConfig(handlers=[handler])
    for package in ("rlquant", "rlquant_envs", "rlquant_agents"):
        logging.getLogger(package).setLevel(logging.INFO)
    try:
        with signals_interrupt():
            return command(tyro.cli(settings, args=argv, description=description))
    except RlquantError as error:
        say(f"error: {' '.join(str(error).split())}", sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED


def near(path: Path) -> Path:
    """Return a path as a person would type it here: relative where it lies in this folder."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def command_of(script: str, argv: Sequence[str] | None) -> list[str]:
    """Return the command that a person types to run a script again.

    Args:
        script: the script's `__file__`.
        argv: its arguments; those of the process by default.
    """
    return ["python", f"scripts/{Path(script).name}", *(sys.argv[1:] if argv is None else argv)]
