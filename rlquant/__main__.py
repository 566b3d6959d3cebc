"""The command `rlquant`, also as `python -m rlquant`: runs the command that its first word names.

Help, version and wrong words are answered before anything is loaded that takes seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pkgutil import resolve_name
from typing import NamedTuple

from rlquant.errors import RlquantError, SettingsError, unknown_name
from rlquant.escaping import printable
from rlquant.finished_run import finished_run
from rlquant.version import installed_version


class Command(NamedTuple):
    """A command: where its function `main(argv)` is, and what it does."""

    place: str
    does: str


COMMANDS = {
    "search": Command(
        "rlquant_agents.cli.search:main",
        "find how each layer of a task's network should be quantized, within a budget",
    ),
    "report": Command(
        "rlquant_agents.cli.report:main",
        "make the report of a search again, with other searches in it",
    ),
    "export": Command(
        "rlquant_agents.cli.export:main",
        "write the network of a search as an ONNX file for a deployment target",
    ),
    "eval": Command(
        "rlquant_agents.cli.eval:main",
        "measure the network of a search again, and compare with the stored scores",
    ),
    "train-agent": Command(
        "rlquant_agents.cli.train_agent:main",
        "train one PPO agent on one or several tasks and budgets",
    ),
    "profile-latency": Command(
        "rlquant_agents.cli.profile_latency:main",
        "measure how long each layer takes here, for latency budgets",
    ),
    "store": Command(
        "rlquant_agents.cli.store:main",
        "show, merge and prune the stores that keep evaluations",
    ),
}
"""By name. The commands stand above this package, so that they are named, not imported."""

COMPLETION = "rlquant_agents.cli.completion:script"
SHELLS = ("bash", "zsh", "fish")

HELP = f"""\
usage: rlquant COMMAND [OPTIONS]

Find how each layer of a trained network should be quantized, under a budget that is kept.

commands:
{"".join(f"  {name:<17}{command.does}" + chr(10) for name, command in COMMANDS.items())}
options:
  --help           show this; after a command, all of its options
  --version        show the version
  --completion SHELL
                   print what completes commands and options in bash, zsh or fish

Every command but store takes its options from a YAML file too: --config run.yaml; flags win
over it.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code.

    Args:
        argv: arguments, without the program's name; those of the process by default.

    Returns:
        0 where all is done, 1 for bad input (one line on standard error says what is wrong), 130
        for Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except RlquantError as error:
        sys.stderr.write(f"error: {printable(str(error))}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130


def _run(words: list[str]) -> int:
    match words:
        case [] | ["-h" | "--help"]:
            sys.stdout.write(HELP)
        case ["--version"]:
            sys.stdout.write(f"rlquant {installed_version()}\n")
        case ["--completion", shell] if shell in SHELLS:
            sys.stdout.write(resolve_name(COMPLETION)(shell))
        case ["--completion", *_]:
            raise SettingsError(f"--completion needs a shell: {', '.join(SHELLS)}")
        case [name, *arguments]:
            if name not in COMMANDS:
                raise unknown_name("command", name, COMMANDS)
            if name == "search" and _answered(arguments):
                return 0
            return int(resolve_name(COMMANDS[name].place)(arguments))
    return 0


def _answered(arguments: list[str]) -> bool:
    """Say what the same search said when it ended, where that still holds."""
    found = finished_run(arguments)
    if found is None:
        return False
    folder, run = found
    sys.stdout.write(
        f"finished before, nothing is computed; the answer of\n{printable(str(folder))}\n"
        f"(to search again, remove that folder or give another --out)\n"
        f"{printable(run.said, lines=True)}\n"
    )
    return True


if __name__ == "__main__":
    sys.exit(main())
