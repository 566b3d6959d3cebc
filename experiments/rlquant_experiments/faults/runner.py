"""Runs a campaign: hands trials to processes, watches over them, and counts."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path

from rlquant_experiments.faults.campaign import Part
from rlquant_experiments.faults.figures import Figures, Finding, Tally
from rlquant_experiments.faults.worker import Order, Outcome, serve

PARTS = "rlquant_experiments.faults.parts"
SEEDS_OF_A_CAMPAIGN = 1_000_000
"""Trial seeds between two campaign seeds: more than a campaign has trials of one part."""
STARTING = 300.0
"""Seconds that a process may take for its imports."""
LOOK = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a campaign ends, and on how much of the machine it runs.

    Attributes:
        seconds: of the campaign; trials that run then are stopped and not counted.
        trials: of each part at most; None for no limit.
        workers: processes.
        seed: decides the seeds of all trials.
    """

    seconds: float
    trials: int | None = None
    workers: int = 2
    seed: int = 0


Told = Callable[[Figures, Finding | None], None]
"""Told after every trial, and where there is one of a new kind, of the finding."""


def run_campaign(
    names: Sequence[str],
    limits: Limits,
    out: Path,
    told: Told = lambda figures, finding: None,
    first: int | None = None,
    place: str = PARTS,
) -> Figures:
    """Try the parts until time or trials are used up, or Ctrl-C.

    Args:
        names: of the parts; each gets its share of the time.
        limits: when it ends.
        out: folder for what findings leave behind; its `work` is removed in the end.
        told: what to do after each trial.
        first: seed of the first trial of each part; by default the campaign's own.
        place: module whose PARTS are meant.
    """
    campaign = _Campaign(place, names, limits, out.resolve(), told, first)
    try:
        campaign.run()
    except KeyboardInterrupt:
        campaign.figures.interrupted = True
    finally:
        campaign.close()
    return campaign.figures


@dataclass(slots=True)
class _Worker:
    """A process, and the trial that it runs."""

    process: multiprocessing.process.BaseProcess
    connection: Connection
    order: Order | None = None
    name: str = ""
    since: float = 0.0
    ready: bool = False


class _Campaign:
    def __init__(
        self,
        place: str,
        names: Sequence[str],
        limits: Limits,
        out: Path,
        told: Told,
        first: int | None,
    ) -> None:
        known: Mapping[str, Part] = import_module(place).PARTS
        parts = {name: known[name] for name in names}
        self._place, self._parts, self._limits, self._told = place, parts, limits, told
        self._work, self._kept = out / "work", out / "findings"
        self._work.mkdir(parents=True, exist_ok=True)
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        start = limits.seed * SEEDS_OF_A_CAMPAIGN if first is None else first
        self._next = dict.fromkeys(parts, start)
        self._last = dict.fromkeys(
            parts, start + (SEEDS_OF_A_CAMPAIGN if limits.trials is None else limits.trials)
        )
        self._spent = dict.fromkeys(parts, 0.0)
        self._started = time.perf_counter()
        self.figures = Figures(limits.seed, {n: Tally(p.promise) for n, p in parts.items()})

    def run(self) -> None:
        """Hand out trials and collect outcomes until the end."""
        self._workers = [self._start() for _ in range(self._limits.workers)]
        for worker in self._workers:
            self._give(worker)
        while any(worker.order for worker in self._workers):
            self.figures.seconds = time.perf_counter() - self._started
            if self.figures.seconds >= self._limits.seconds:
                break
            busy = [worker.connection for worker in self._workers if worker.order]
            ready = wait(busy, timeout=LOOK)
            for index, worker in enumerate(self._workers):
                if worker.connection in ready:
                    self._receive(index, worker)
                elif worker.order and time.perf_counter() - worker.since > self._limit(worker):
                    self._end(worker)
                    self._count(
                        worker, Outcome(worker.name, "it does not end", self._limit(worker))
                    )
                    self._replace(index)

    def close(self) -> None:
        """End all processes and remove what they worked on."""
        self.figures.seconds = time.perf_counter() - self._started
        for worker in self._workers:
            self._end(worker)
        shutil.rmtree(self._work, ignore_errors=True)

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=serve, args=(theirs, self._place, self._work), daemon=False
        )
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _replace(self, index: int) -> None:
        self._workers[index] = self._start()
        self._give(self._workers[index])

    def _give(self, worker: _Worker) -> None:
        """Hand out the next trial of the part that is furthest behind its share, if any is left."""
        worker.order = None
        left = [name for name in self._parts if self._next[name] < self._last[name]]
        if not left:
            return
        part = min(left, key=lambda name: self._spent[name] / self._parts[name].share)
        seed = self._next[part]
        self._next[part] += 1
        self._spent[part] += 0.01  # so that parts take turns while their first trials run
        worker.order = Order(part, seed, self._work / f"{part}-{seed}")
        worker.name, worker.since = "", time.perf_counter()
        worker.connection.send(worker.order)

    def _receive(self, index: int, worker: _Worker) -> None:
        try:
            message: str | Outcome = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join(STARTING)
            seconds = time.perf_counter() - worker.since
            code = worker.process.exitcode
            self._count(
                worker, Outcome(worker.name, f"its process ended with code {code}", seconds)
            )
            self._end(worker)
            self._replace(index)
            return
        if isinstance(message, str):
            worker.name, worker.since, worker.ready = message, time.perf_counter(), True
            return
        self._count(worker, message)
        self._give(worker)

    def _limit(self, worker: _Worker) -> float:
        assert worker.order is not None
        return self._parts[worker.order.part].limit if worker.ready else STARTING

    def _count(self, worker: _Worker, outcome: Outcome) -> None:
        order = worker.order
        assert order is not None
        finding = None
        if outcome.fault is not None:
            place = self._kept / order.folder.name
            finding = Finding(order.part, outcome.name, order.seed, outcome.fault, place)
        self._spent[order.part] += outcome.seconds
        new = self.figures.tallies[order.part].add(outcome.seconds, finding)
        if finding is not None and new:
            _keep(finding, order.folder)
        shutil.rmtree(order.folder, ignore_errors=True)
        self._told(self.figures, finding if new else None)

    def _end(self, worker: _Worker) -> None:
        """End a worker and all that its trial started."""
        worker.connection.close()
        if worker.process.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.kill()
        worker.process.join()


def _keep(finding: Finding, folder: Path) -> None:
    """Move what a trial left to where findings are kept, with what is known of it."""
    shutil.rmtree(finding.folder, ignore_errors=True)
    finding.folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.is_dir():
        shutil.move(folder, finding.folder)
    finding.folder.mkdir(exist_ok=True)
    (finding.folder / "finding.txt").write_text(finding.text() + "\n", encoding="utf-8")
