"""Writers stopped at any step, by a kill or an error of the disk: old content or new, and whole."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import random
import resource
import shutil
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

import rlquant
from rlquant import EvaluationStore, RlquantError, tasks
from rlquant.file_group import current
from rlquant.score import Measurement
from rlquant.tabular.table_file import write_table
from rlquant.testing import random_table
from rlquant_agents import search_problem, write_report
from rlquant_agents.policies.agent_training import train_agent
from rlquant_experiments.faults import toys
from rlquant_experiments.faults.campaign import Broken, Fault, Trial, require
from rlquant_experiments.faults.forks import ended, in_fork
from rlquant_experiments.faults.toys import files_of

REFUSED, RAW = 3, 4
"""Exit codes of a writer that raised an `RlquantError`, or anything else."""

_STEPS = (
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.truncate",
    "sqlite3.connect",
)
_IGNORED = (".part", ".lock", "-wal", "-shm", ".csv.tmp")


@dataclass(frozen=True, slots=True)
class Writer:
    """Something that writes files into a folder.

    Attributes:
        name: as trials call it.
        write: writes a version of the content, 0 or 1, over what is there.
        state: tells what is there, the same for equal content; by default a hash of all files.
        whole: whether all files change at once, so that no mixture may be seen.
        tidies: whether it clears its folder, which is its own, of what killed writes left.
    """

    name: str
    write: Callable[[Path, int], object]
    state: Callable[[Path], Any] | None = None
    whole: bool = True
    tidies: bool = False


def _contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.blake2b(path.read_bytes()).hexdigest()
        for path in files_of(folder)
        if not path.name.endswith(_IGNORED) and "tfevents" not in path.name
    }


def _save(folder: Path, version: int) -> None:
    config = toys.CONFIG if version else rlquant.QuantizationConfig(toys.CONFIG.choices[2:])
    network = rlquant.quantize(toys.network(), config, toys.data(40, 1), calibration_samples=40)
    rlquant.save(network, folder / "x.rlq")


def _table(folder: Path, version: int) -> None:
    write_table(random_table(2, 3, seed=version), folder / "x.rlt")


def _onnx(folder: Path, version: int) -> None:
    inputs = toys.data(2 + version, seed=1)[0]
    rlquant.export_onnx(toys.quantized(), inputs, folder / "x.onnx", dynamic_batch=False)


def _put(folder: Path, version: int) -> None:
    with closing(EvaluationStore(folder / "x.sqlite")) as store:
        for bits in (2, 4, 8)[: 1 + 2 * version]:
            config = rlquant.QuantizationConfig((rlquant.LayerChoice("first", bits),))
            store.put("problem", config, Measurement(0.1 * bits, 0.5, 50), 0.1)


def _stored(folder: Path) -> list[Any]:
    with closing(EvaluationStore(folder / "x.sqlite")) as store:
        configs = [
            rlquant.QuantizationConfig((rlquant.LayerChoice("first", bits),)) for bits in (2, 4, 8)
        ]
        return [store.get("problem", config) for config in configs]


def _agent(folder: Path, version: int) -> None:
    problem = toys.tabular_problem()
    train_agent(
        {"toy": problem}, [problem.budget], folder=folder / "agent", episodes=4 + 4 * version
    )


def _agent_files(folder: Path) -> dict[str, str]:
    """Return the agent's files as a reader finds them."""
    names = ("agent.json", "policy.safetensors", "optimizer.safetensors")
    found = {name: current(folder / "agent", name) for name in names}
    return {
        name: hashlib.blake2b(path.read_bytes()).hexdigest() if path.exists() else "missing"
        for name, path in found.items()
    }


def _run(folder: Path, version: int) -> None:
    search_problem(
        toys.tabular_problem(), searcher="random", evaluations=3 + 3 * version, out=folder / "run"
    )


def _run_results(folder: Path) -> dict[str, str]:
    """Return what a search wrote, without what tells of times."""
    timed = ("result.json", "evaluations.csv", "report.html")
    found = _contents(folder)
    return {name: digest for name, digest in found.items() if not name.endswith(timed)}


def _report(folder: Path, version: int) -> None:
    if not (folder / "run").exists():
        _run(folder, 0)
    write_report(folder / "run", out=folder / f"page{version}.html")


def _task(folder: Path, version: int) -> None:
    settings = tasks.float_training.FloatTrainSettings(epochs=1 + version)
    tasks.load("digits/mlp", cache=folder, settings=settings)


def kept_networks(folder: Path) -> dict[str, dict[str, str]]:
    """Return a hash of each tensor of each network that is kept.

    Of whole files the hash would differ: safetensors writes its metadata in random order.
    """
    return {
        path.name: {
            name: hashlib.blake2b(tensor.numpy().tobytes()).hexdigest()
            for name, tensor in sorted(load_file(path).items())
        }
        for path in folder.rglob("*.safetensors")
    }


WRITERS: tuple[Writer, ...] = (
    Writer("save", _save),
    Writer("write_table", _table),
    Writer("export_onnx", _onnx),
    Writer("EvaluationStore.put", _put, _stored, whole=False),
    Writer("train_agent", _agent, _agent_files, tidies=True),
    Writer("search into a folder", _run, _run_results, whole=False, tidies=True),
    Writer("network that is kept", _task, kept_networks, tidies=True),
)


@dataclass(frozen=True, slots=True)
class CrashPoints:
    """Stops one writer at one step in one way, then looks, and writes again."""

    writers: tuple[Writer, ...] = WRITERS
    name: str = "crash-points"
    promise: str = (
        "a writer that is killed, or fails, at any of its steps leaves old or new content whole; "
        "an error of the disk is an RlquantError; writing again succeeds"
    )
    share: float = 2.0
    limit: float = 120.0

    def trial(self, seed: int) -> Trial:
        """Return the crash that a seed decides."""
        writer = self.writers[seed % len(self.writers)]
        draw = random.Random(seed)
        way = draw.choice(list(WAYS))
        return Trial(f"{writer.name}, {way}", seed, partial(_try, writer, way, draw))


class _Stop:
    """Stops its process at a step that changes files below a folder; a hook of a forked child."""

    def __init__(self, folder: Path, at: int, way: Callable[[], None]) -> None:
        self.steps = 0
        self._folder, self._at, self._way = str(folder), at, way
        self._synced: set[tuple[int, int]] = set()
        self._counting = True

    def install(self) -> None:
        """Begin to count; `os.fsync` raises no event and is wrapped."""
        sys.addaudithook(self._hook)
        fsync: Callable[[Any], None] = os.fsync

        def counted(descriptor: Any) -> None:
            self._step()
            fsync(descriptor)
            found = os.fstat(descriptor)
            self._synced.add((found.st_dev, found.st_ino))

        setattr(os, "fsync", counted)  # noqa: B010 - its type names the parameter

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._counting or event not in _STEPS or isinstance(arguments[0], int):
            return
        if event in ("os.remove", "os.rmdir") and self._way not in (_kill, _lose_power):
            return  # what cannot be removed stays, and nobody is to blame
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & 0o1103):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if path.startswith(self._folder):
            if event == "os.rename" and self._way is _lose_power:
                self._lose(path)
            try:
                self._step()
            except OSError as error:  # what SQLite makes of one
                if event == "sqlite3.connect":
                    raise sqlite3.OperationalError(str(error)) from error
                raise

    def _lose(self, path: str) -> None:
        """Empty a file that is renamed without having been synced, as a power loss may."""
        found = os.stat(path)
        if self.steps + 1 == self._at - 1 and (found.st_dev, found.st_ino) not in self._synced:
            self._counting = False
            os.truncate(path, 0)
            self._counting = True

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self._at:
            self._way()


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _lose_power() -> None:
    _kill()


def _fail(number: int) -> Callable[[], None]:
    def fail() -> None:
        raise OSError(number, os.strerror(number))

    return fail


WAYS: Mapping[str, Callable[[], None] | None] = {
    "killed": _kill,
    "power lost": _lose_power,
    "disk full": _fail(errno.ENOSPC),
    "failing disk": _fail(errno.EIO),
    "no permission": _fail(errno.EACCES),
    "full in the middle of a file": None,
}
"""How a step ends; None for a limit on the bytes of each file, which stops in the midst of one."""


def _write(writer: Writer, folder: Path, at: int, way: Callable[[], None] | None) -> int:
    """Write version 1 with a stop; return the steps counted or the exit code of what went wrong."""
    stop = _Stop(folder, at, way or _kill)
    if way is None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (at, resource.RLIM_INFINITY))
    else:
        stop.install()
    try:
        writer.write(folder, 1)
    except RlquantError:
        return REFUSED
    except BaseException:
        (folder.parent / f"{folder.name}.traceback").write_text(traceback.format_exc())
        return RAW
    return 0


def _count(writer: Writer, folder: Path) -> int:
    """Write version 1 undisturbed, and tell in a file how many steps that took."""
    stop = _Stop(folder, 0, _kill)
    stop.install()
    writer.write(folder, 1)
    (folder.parent / "steps").write_text(str(stop.steps))
    return 0


@cache
def _undisturbed(writer: Writer, scratch: Path) -> tuple[Any, Any, int, int]:
    """Return the states of both versions, the steps between them and the largest file's bytes."""
    folder = scratch / writer.name.replace(" ", "-") / "files"
    folder.mkdir(parents=True)
    writer.write(folder, 0)
    old = _state(writer, folder)
    shutil.copytree(folder, _old_files(writer, scratch))
    ended(in_fork(partial(_count, writer, folder)))
    steps = int((folder.parent / "steps").read_text())
    largest = max(path.stat().st_size for path in files_of(folder))
    return old, _state(writer, folder), steps, largest


def _old_files(writer: Writer, scratch: Path) -> Path:
    return scratch / writer.name.replace(" ", "-") / "old"


def _state(writer: Writer, folder: Path) -> Any:
    return (writer.state or _contents)(folder)


def _try(writer: Writer, way: str, draw: random.Random, folder: Path) -> Fault:
    scratch = folder.parent / f"crash-points-{os.getpid()}"
    old, new, steps, largest = _undisturbed(writer, scratch)
    files = folder / "files"
    shutil.copytree(_old_files(writer, scratch), files)
    stop = WAYS[way]
    at = draw.randint(1, steps + 1) if stop else draw.randrange(largest)
    child = in_fork(partial(_write, writer, files, at, stop))
    code = ended(child) or 0
    step = f"at step {at} of {steps}" if stop else f"at byte {at:,}"
    try:
        _check(writer, files, old, new, code, killed=stop in (_kill, _lose_power))
    except Broken as broken:
        return f"{writer.name}, {way}: {broken}\n  {step}"
    except RlquantError as error:
        return f"{writer.name}, {way}: afterwards {type(error).__name__}: {error}\n  {step}"
    return None


def _check(writer: Writer, files: Path, old: Any, new: Any, code: int, *, killed: bool) -> None:
    """Raise `Broken` for what a stopped writer left, and where writing again does not help."""
    if code == RAW:
        words = (files.parent / f"{files.name}.traceback").read_text().strip().splitlines()
        raise Broken(f"raw {words[-1]}")
    require(code in (0, REFUSED, -signal.SIGKILL), f"its process ended with code {code}")
    if not killed:
        require(not _leftovers(files), f"it leaves {_leftovers(files)}")
    if writer.whole:
        found = _state(writer, files)
        require(found in (old, new), "neither the old content nor the new one is there whole")
    writer.write(files, 1)
    require(_state(writer, files) == new, "written again, the content is another one")
    if writer.tidies:
        require(not _leftovers(files), f"written again, it leaves {_leftovers(files)}")


def _leftovers(folder: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(path.name for path in files_of(folder) if path.name.endswith(".part"))
    return []
