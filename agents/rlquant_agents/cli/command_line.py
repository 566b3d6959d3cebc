"""Command-line entry points: settings from flags and a file, errors as one line, exit codes."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import TypeVar

import tyro

from rlquant.errors import RlquantError, SettingsError
from rlquant_agents.cli.config_file import CommandSettings, first_flag, read_config, split_config
from rlquant_agents.cli.terminal import PrintableFormatter, say
from rlquant_agents.search.interrupts import signals_interrupt

FAILED, INTERRUPTED = 1, 130


Settings = TypeVar("Settings")


def run_command(
    settings: type[Settings],
    command: Callable[[Settings], int],
    argv: Sequence[str] | None,
    description: str | None,
    *,
    prog: str | None = None,
) -> int:
    """Read the settings from the command line, run, and return the exit code.

    Args:
        settings: a frozen dataclass; its attributes become flags, its docstring their help.
        command: what to do with them; returns the exit code.
        argv: arguments, without the program's name; those of the process by default.
        description: what `--help` begins with.
        prog: how the program is called in `--help`; the script's name by default.

    Returns:
        0 where all is done, 1 for bad input (one line on standard error says what is wrong), 130
        for Ctrl-C.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(message)s"))
    logging.basicConfig(handlers=[handler])
    for package in ("rlquant", "rlquant_envs", "rlquant_agents"):
        logging.getLogger(package).setLevel(logging.INFO)
    arguments = sys.argv[1:] if argv is None else argv
    try:
        with signals_interrupt():
            return command(parse(settings, arguments, description, prog))
    except RlquantError as error:
        say(f"error: {' '.join(str(error).split())}", sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED


def parse(
    settings: type[Settings],
    argv: Sequence[str],
    description: str | None = None,
    prog: str | None = None,
) -> Settings:
    """Return the settings that flags and the file of `--config` give.

    Raises:
        SettingsError: flags that are unknown, missing or wrong.
        FileFormatError: a file with a setting that is unknown or wrong.
        StorageError: the file cannot be read.
        SystemExit: after `--help`.
    """
    flags, default = argv, tyro.MISSING_NONPROP
    if issubclass(settings, CommandSettings):
        file, flags = split_config(argv)
        default = default if file is None else read_config(settings, file)
        first = first_flag(settings)
        if first is not None and flags and not flags[0].startswith("-"):
            flags = [first, *flags]
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            found: Settings = tyro.cli(
                settings, args=flags, description=description, prog=prog, default=default
            )
            return found
    except SystemExit as ended:
        if not ended.code:
            raise
        raise SettingsError(in_one_line(complaint.getvalue())) from None


def in_one_line(complaint: str) -> str:
    """Return what tyro says of wrong flags as a sentence: its box has a part for each thought.

    The first part says what is wrong. Where flags may be meant, later parts explain them, and the
    last one refers to the help.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", complaint)
    parts: list[list[str]] = [[]]
    for line in text.splitlines():
        words = line.strip(" │╭╮╰╯")
        if words and not words.strip("─-"):
            parts.append([])
        elif words and not words.startswith("─"):  # else the title in the border
            parts[-1].append(words)
    if "╭" not in text:  # without Unicode the title is a part of its own
        parts = parts[1:] or parts
    first = " ".join(parts[0]) or " ".join(text.split())
    flags = [line.split()[0] for part in parts[1:-1] for line in part if line.startswith("--")]
    meant = flags if "Perhaps you meant" in text else []
    hint = f"; did you mean {' or '.join(dict.fromkeys(meant))}?" if meant else "; see --help"
    return first.rstrip(".") + hint


def recorded(name: str, argv: Sequence[str] | None) -> list[str]:
    """Return a subcommand of `rlquant` with its arguments, as runs and reports record it."""
    return ["rlquant", name, *(sys.argv[1:] if argv is None else argv)]


def command_of(script: str, argv: Sequence[str] | None) -> list[str]:
    """Return the command that runs a script again.

    Args:
        script: the script's `__file__`.
        argv: its arguments; those of the process by default.
    """
    return ["python", f"scripts/{Path(script).name}", *(sys.argv[1:] if argv is None else argv)]
