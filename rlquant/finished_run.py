"""What a finished command said, found again by its words where nothing has changed since.

A search that is given again answers from its folder, without loading PyTorch. As `make` does, it
compares sizes and times of files: those that the command read, those that it wrote, and its code.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlquant.documents import parse_json, read_as, read_text
from rlquant.errors import RlquantError
from rlquant.files import write_file
from rlquant.version import installed_version

FILE = "finished.json"
RUNS = Path("runs")
"""Where folders are that no flag names."""
DATA = "RLQUANT_DATA"
"""The environment variable that says where data sets are."""

Stamps = dict[str, tuple[int, int] | None]
"""Path -> size and time of change in nanoseconds, None for a file that is not there."""


@dataclass(frozen=True)
class FinishedRun:
    """A command that has ended well.

    Attributes:
        arguments: its words behind "rlquant search".
        circumstances: versions, code and environment that it ran in.
        files: what it read and wrote.
        said: its last words.
    """

    arguments: tuple[str, ...]
    circumstances: dict[str, str]
    files: Stamps
    said: str

    @classmethod
    def of(cls, arguments: Sequence[str], files: Iterable[Path], said: str) -> FinishedRun:
        """Take note of a command that has just ended; `files` are looked at now."""
        return cls(tuple(arguments), circumstances(), stamps(files), said)

    def write(self, folder: Path) -> None:
        """Write it into the folder of the run; `StorageError` where that fails."""
        write_file(folder / FILE, json.dumps(asdict(self), indent=2) + "\n")

    @property
    def holds(self) -> bool:
        """Whether the command would say the same now."""
        return self.circumstances == circumstances() and self.files == stamps(self.files)


def finished_run(arguments: Sequence[str]) -> tuple[Path, FinishedRun] | None:
    """Return the folder of the same command, finished, and what it said; None without one.

    Args:
        arguments: behind "rlquant search", as a person types them.
    """
    for path in _candidates(arguments):
        with suppress(RlquantError, OSError):
            run = read_as(FinishedRun, parse_json(read_text(path)))
            if run.arguments == tuple(arguments) and run.holds:
                return path.parent, run
    return None


def _candidates(arguments: Sequence[str]) -> list[Path]:
    """Return the records that may be of a command: in the folder it names, or below `RUNS`."""
    for place, word in enumerate(arguments):
        flag, equals, value = word.partition("=")
        if flag == "--out":
            named = value if equals else "".join(arguments[place + 1 : place + 2])
            return [Path(named) / FILE]
    return sorted(RUNS.glob(f"*/{FILE}"))


def stamps(files: Iterable[str | Path]) -> Stamps:
    """Return sizes and times of files."""
    found: Stamps = {}
    for path in map(str, files):
        try:
            status = os.stat(path)
            found[path] = status.st_size, status.st_mtime_ns
        except OSError:
            found[path] = None
    return found


def circumstances() -> dict[str, str]:
    """Return what else a command depends on: versions, this code, and where data are."""
    return {
        "rlquant": installed_version(),
        "python": sys.version,
        "code": _newest_code(),
        DATA: os.environ.get(DATA, ""),
    }


def _newest_code() -> str:
    """Return how many source files there are and the time of the newest, of all our packages."""
    times = [
        status.st_mtime_ns
        for folder in _packages()
        for path in folder.rglob("*.py")
        for status in [path.stat()]
    ]
    return f"{len(times)} files, {max(times, default=0)}"


def _packages() -> list[Path]:
    from importlib.util import find_spec

    places: list[Any] = []
    for name in ("rlquant", "rlquant_envs", "rlquant_agents"):
        spec = find_spec(name)
        places += [] if spec is None else spec.submodule_search_locations or []
    return [Path(place) for place in places]
