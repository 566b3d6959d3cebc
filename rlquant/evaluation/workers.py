"""Evaluation in several processes: each has the problem once, and is replaced where it dies."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from rlquant.config import QuantizationConfig
from rlquant.errors import WorkerError, whole_number
from rlquant.evaluation.worker_process import Evaluates, pack, run_worker
from rlquant.score import Measurement

logger = logging.getLogger(__name__)

CHUNKS_EACH = 4
"""A worker gets about so many chunks: few, so that neighbours stay together, but balanced."""
TRIES = 2
"""A configuration that ended so many processes is given up, and with it the whole evaluation."""
DEAF_TO = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGINT)}
"""What a process that evaluates does not hear; it is killed, and goes with the one it is for."""
PATIENCE = 5.0
"""Seconds in which a process that was told to end must have ended; then it is killed."""


def measure_with_workers(
    problem: Evaluates, configs: Sequence[QuantizationConfig], workers: int
) -> Generator[tuple[int, Measurement], None, None]:
    """Measure configurations in processes of their own, and give each result as it comes.

    The processes are started at the first `next` and have ended when the iterator is exhausted or
    closed. They are spawned, so a script that asks for them must keep what it runs under
    `if __name__ == "__main__":`. Each uses as many threads of torch as this process, so that its
    numbers are this one's to the last bit.

    Args:
        problem: evaluates; it is pickled once and sent to each process. What a process needs
            besides (an evaluator, a connection to the store) it makes itself, on first use.
        configs: in the order that shares most: each process gets neighbours.
        workers: how many processes, at least 1; no more are started than there are chunks.

    Yields:
        Positions in `configs` with their measurements, each once, in the order of completion.

    Raises:
        SettingsError: `workers` is no whole number of at least 1, or the problem cannot be pickled.
        WorkerError: while iterating: a configuration ended the process that measured it twice, or
            processes end before they begin. The first death of each is logged and made good.
        Exception: while iterating: whatever `problem.evaluate` raised, as itself.
    """
    count = whole_number("workers", workers, 1)
    size = max(1, len(configs) // (CHUNKS_EACH * count))
    chunks = [deque(range(i, min(i + size, len(configs)))) for i in range(0, len(configs), size)]
    return _Crew(pack(problem), configs, deque(chunks)).results(min(count, len(chunks)))


@dataclass(eq=False)
class _Worker:
    """A process as this one sees it: our end of its pipe, and what it still has to do."""

    process: BaseProcess
    pipe: Connection
    began: bool = False
    todo: deque[int] = field(default_factory=deque)

    def heard(self) -> tuple[list[tuple[str, Any]], bool]:
        """Return the messages that wait, and whether the process may send more."""
        alive = self.process.is_alive()  # asked first: then the pipe holds all that a dead one sent
        messages = []
        try:
            while self.pipe.poll():
                messages.append(self.pipe.recv())
        except (EOFError, OSError):  # its end was closed, perhaps in the middle of a message
            alive = False
        return messages, alive

    def end(self) -> None:
        """Wait for the end of a process that has none of our work; kill it if it does not come."""
        self.pipe.close()
        self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class _Crew:
    """The processes, and who does what.

    Args:
        problem: pickled.
        configs: all of them.
        chunks: positions that stay together, in order.
    """

    def __init__(
        self, problem: bytes, configs: Sequence[QuantizationConfig], chunks: deque[deque[int]]
    ) -> None:
        self._problem = problem
        self._configs = configs
        self._chunks = chunks
        self._workers: list[_Worker] = []
        self._leaving: list[_Worker] = []
        self._deaths: Counter[int] = Counter()
        self._false_starts = 0

    def results(self, workers: int) -> Generator[tuple[int, Measurement], None, None]:
        """Start `workers` processes and yield what they measure until all is done."""
        try:
            for _ in range(workers):
                self._start()
            while self._workers:
                sources: dict[Any, _Worker] = {w.pipe: w for w in self._workers}
                sources |= {w.process.sentinel: w for w in self._workers}
                for worker in dict.fromkeys(sources[source] for source in wait(sources)):
                    yield from self._attend(worker)
        finally:
            self._stop()

    def _start(self) -> None:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=run_worker, args=(theirs, torch.get_num_threads()), daemon=True
        )
        with _deaf_to_interrupts():
            process.start()
        theirs.close()  # so that the pipe ends with the process
        self._workers.append(_Worker(process, ours))

    def _attend(self, worker: _Worker) -> Iterator[tuple[int, Measurement]]:
        messages, alive = worker.heard()
        for kind, content in messages:
            if kind == "error":
                raise content
            if kind == "measured":
                yield worker.todo.popleft(), content
            elif kind == "problem?":
                self._send(worker, self._problem)
            elif kind == "work?":
                worker.began, self._false_starts = True, 0
        if not alive:
            self._replace(worker)
        elif worker.began and not worker.todo:
            self._give(worker)

    def _give(self, worker: _Worker) -> None:
        """Give a process its next chunk, or let it go."""
        if self._chunks:
            worker.todo = self._chunks.popleft()
            self._send(worker, [self._configs[i] for i in worker.todo])
        else:
            self._workers.remove(worker)
            worker.pipe.close()  # at which it goes
            self._leaving.append(worker)

    def _send(self, worker: _Worker, content: object) -> None:
        with suppress(OSError):  # it has died, which is seen to when its sentinel says so
            worker.pipe.send(content)

    def _replace(self, worker: _Worker) -> None:
        """Put another process in the place of one that died, unless it would die as well."""
        self._workers.remove(worker)
        worker.end()
        how = _how_it_ended(worker.process.exitcode)
        if not worker.began:
            self._false_starts += 1
            if self._false_starts >= TRIES:
                raise WorkerError(
                    f"evaluation processes {how} before they began; a script that uses workers "
                    f"keeps what it runs under `if __name__ == '__main__':`, and each process "
                    f"needs memory of its own for network and data; use workers=1 otherwise"
                )
        if worker.todo:
            number = worker.todo[0]
            self._deaths[number] += 1
            if self._deaths[number] >= TRIES:
                raise WorkerError(
                    f"configuration {number} of {len(self._configs)} twice ended the process that "
                    f"measured it (the last one {how}): use fewer workers where memory is short, "
                    f"or evaluate it alone to see why: {self._configs[number].to_json()}"
                )
            self._chunks.appendleft(worker.todo)
        logger.warning("an evaluation process %s; another one takes its place", how)
        if self._chunks:
            self._start()

    def _stop(self) -> None:
        """End at once whatever still runs."""
        for worker in self._workers:
            worker.process.kill()  # at this moment it heeds nothing else
        for worker in self._workers + self._leaving:
            worker.end()


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Make processes that are started in the block deaf to Ctrl-C and to a closed terminal.

    These reach all processes of a terminal, and a request to end often all of a job. One is to
    answer, by ending the others; here they wait for the end of the block.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # started later, it would take the mask away
    before = signal.pthread_sigmask(signal.SIG_BLOCK, DEAF_TO)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended by itself with exit code {code}"
