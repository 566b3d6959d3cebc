"""Commands stopped at random moments and given again: the results of an undisturbed run."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from rlquant_agents.policies.saved_agent import from_agent, read_record
from rlquant_experiments.faults.campaign import Broken, Fault, Trial, require
from rlquant_experiments.faults.forks import ended, in_fork
from rlquant_experiments.faults.toys import files_of

SCRIPTS = Path(__file__).parents[3] / "scripts"
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LONGEST = 240.0
"""Seconds that a command may take, on a busy machine."""

_TIMED = {"seconds", "seconds_beside_evaluations", "computed", "versions", "recorded_at"}
"""What tells of the way and not of the result."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command that writes.

    Attributes:
        script: in the folder scripts.
        arguments: on a task of seconds.
        results: tells what it wrote, the same for the same results.
        needs: the command whose results it reads.
        share: how often it is tried, beside the others.
    """

    script: str
    arguments: str
    results: Callable[[Path], Any]
    needs: str | None = None
    share: float = 1.0


# --- what was written


def files(folder: Path) -> dict[str, Any]:
    """Return the contents of all files of results, without what tells of times."""
    readers: Mapping[str, Callable[[Path], Any]] = {
        ".json": _document,
        ".csv": _rows,
        ".sqlite": _stored,
        ".rlq": Path.read_bytes,
        ".rlt": Path.read_bytes,
        ".partial": Path.read_bytes,
    }
    return {
        path.relative_to(folder).as_posix(): readers[path.suffix](path)
        for path in files_of(folder)
        if path.suffix in readers and not path.name.endswith(".lock")
    }


def _document(path: Path) -> Any:
    return _untimed(json.loads(path.read_text(encoding="utf-8")))


def _untimed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _untimed(v) for k, v in value.items() if k not in _TIMED}
    return [_untimed(each) for each in value] if isinstance(value, list) else value


def _rows(path: Path) -> list[dict[str, str]]:
    found = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    keys = [row.get("key") for row in found]
    require(None in keys or len(set(keys)) == len(keys), f"{path.name} has a row twice")
    return [{k: v for k, v in row.items() if k not in _TIMED} for row in found]


def _stored(path: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(evaluations)")]
        kept = ", ".join(name for name in columns if name not in _TIMED)
        return sorted(database.execute(f"SELECT {kept} FROM evaluations"), key=repr)


def search_results(folder: Path) -> dict[str, Any]:
    """Return the files of a search, and which values TensorBoard has twice."""
    loader = import_module("tensorboard.backend.event_processing.event_file_loader")

    seen: Counter[tuple[str, str, int]] = Counter()
    for path in files_of(folder):
        if "tfevents" in path.name:
            for event in loader.EventFileLoader(str(path)).Load():
                tags = {value.tag for value in event.summary.value}
                seen.update((path.parent.name, tag, event.step) for tag in tags)
    return files(folder) | {"TensorBoard's values": [key for key, n in seen.items() if n > 1]}


def agent_results(folder: Path) -> Any:
    """Return what two trainings have in common: a resumed one draws again."""
    from_agent(folder / "agent")
    answers = json.loads((folder / "agent" / "answers.json").read_text())
    record = read_record(folder / "agent")
    return record.heads, record.trained_on, [answer["budget"] for answer in answers]


def latency_results(folder: Path) -> Any:
    """Return the rows of a latency table without the times."""
    rows = _rows(folder / "latency.csv")
    return [{k: v for k, v in row.items() if k != "standard_error"} for row in rows]


def report_results(folder: Path) -> Any:
    """Return the page."""
    return (folder / "page.html").read_text(encoding="utf-8")


_SMALL = "--task digits/mlp --validation-samples 200 --calibration-samples 100 --no-progress"
_SEARCH = f"{_SMALL} --evaluations 10 --budget 3 --out runs/a --searcher"
COMMANDS: Mapping[str, Command] = {
    "search": Command("search.py", f"{_SEARCH} tpe --baselines random", search_results, share=3),
    "search, racing": Command(
        "search.py", f"{_SEARCH} random --racing --baselines tpe", search_results, share=3
    ),
    "train_agent": Command(
        "train_agent.py",
        "--tasks digits/mlp --bits 2 4 --episodes 24 --budgets 3 --checkpoint-every 8 "
        "--out agent --store store.sqlite --no-progress",
        agent_results,
    ),
    "enumerate": Command(
        "enumerate.py", f"{_SMALL[:-14]} --bits 2 4 8 --out t.rlt", files, share=2
    ),
    "report": Command("report.py", "runs/a --out page.html", report_results, needs="search"),
    "profile_latency": Command(
        "profile_latency.py",
        "--task digits/mlp --rounds 1 --out latency.csv --no-progress",
        latency_results,
        share=0.3,
    ),
}


@dataclass(frozen=True, slots=True)
class Kills:
    """Stops a command one to three times, then lets it end."""

    name: str = "kills"
    promise: str = (
        "a command that is stopped at any moment by SIGKILL, SIGTERM, SIGINT or SIGHUP, and then "
        "given again, ends with the results of an undisturbed run: no row twice, nothing lost, "
        "nothing left that blocks"
    )
    share: float = 4.0
    limit: float = 4 * LONGEST

    def trial(self, seed: int) -> Trial:
        """Return the kills that a seed decides."""
        draw = random.Random(seed)
        (name,) = draw.choices(list(COMMANDS), [command.share for command in COMMANDS.values()])
        return Trial(name, seed, partial(_try, name, draw))


def _try(name: str, draw: random.Random, folder: Path) -> Fault:
    command = COMMANDS[name]
    scratch = folder.parent / f"kills-{os.getpid()}"
    expected, seconds, needed = _undisturbed(command, scratch)
    work = folder / "files"
    if needed is None:
        work.mkdir()
    else:
        shutil.copytree(needed, work)
    told = []
    try:
        for _ in range(draw.choice((1, 1, 2, 3))):
            number, after = draw.choice(SIGNALS), draw.uniform(0.0, 1.05 * seconds)
            code = _stopped(command, work, number, after)
            told.append(f"{number.name} after {after:.2f} s (exit code {code})")
            allowed = (0, 130, 128 + number, -number)
            require(code in allowed, f"exit code {code}: {_last_words(folder)}")
        code = ended(in_fork(partial(_main, command, work)), LONGEST)
        require(code == 0, f"given again, exit code {code}: {_last_words(folder)}")
        _compare(command.results(work), expected)
        left = [path.name for path in files_of(work) if path.name.endswith(".part")]
        require(not left, f"it leaves {left}")
    except (Broken, OSError, ValueError, KeyError) as error:
        words = str(error) if isinstance(error, Broken) else repr(error)
        return f"{name}: {words}\n  {command.script} {command.arguments}\n  {'; '.join(told)}"
    return None


def _stopped(command: Command, work: Path, number: signal.Signals, after: float) -> int | None:
    """Begin a command, send it a signal and return its exit code."""
    child = in_fork(partial(_main, command, work))
    code = ended(child, after)
    if code is None:
        os.kill(child, number)
        code = ended(child, LONGEST)
        if code is None:
            os.kill(child, signal.SIGKILL)
            ended(child)
            raise Broken(f"it runs on after {number.name}")
    return code


def _main(command: Command, work: Path) -> int:
    """Run the command in its folder, its output in a file beside that."""
    os.chdir(work)
    log = os.open(work.parent / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    return int(_script(command.script).main(command.arguments.split()))


def _last_words(folder: Path) -> str:
    lines = (folder / "output.txt").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no word"


def _compare(found: Any, expected: Any) -> None:
    """Raise `Broken` that names what differs."""
    if found == expected:
        return
    if not isinstance(found, dict):
        raise Broken("other results than an undisturbed run")
    names = sorted({*found, *expected}, key=str)
    differ = [name for name in names if found.get(name) != expected.get(name)]
    raise Broken(f"other results than an undisturbed run in {', '.join(differ)}")


@cache
def _script(name: str) -> Any:
    """Return a script as a module, with what commands load late."""
    import_module("rlquant_agents.reporting.page")
    import_module("tensorboard")
    stem = f"script_{name.removesuffix('.py')}"
    specification = importlib.util.spec_from_file_location(stem, SCRIPTS / name)
    assert specification is not None
    assert specification.loader is not None
    module = sys.modules[stem] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@cache
def _undisturbed(command: Command, scratch: Path) -> tuple[Any, float, Path | None]:
    """Return results and seconds of an undisturbed run, and the folder of what it needs."""
    place = scratch / f"{command.script}-{len(list(scratch.glob('*')))}"
    place.mkdir(parents=True)
    work, needed = place / "files", None
    if command.needs is None:
        work.mkdir()
    else:
        _undisturbed(COMMANDS[command.needs], scratch)
        (done,) = scratch.glob(f"{COMMANDS[command.needs].script}-*/done-{command.needs}")
        needed = done.parent / "files"
        shutil.copytree(needed, work)
    _script(command.script)
    started = time.perf_counter()
    code = ended(in_fork(partial(_main, command, work)), LONGEST)
    if code != 0:
        raise RuntimeError(f"{command.script} fails undisturbed: {_last_words(place)}")
    seconds = time.perf_counter() - started
    name = next(name for name, each in COMMANDS.items() if each is command)
    (place / f"done-{name}").touch()
    return command.results(work), seconds, needed
