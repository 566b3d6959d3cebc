"""Searches with workers on one PostgreSQL store, while workers and server are killed (kill -9)."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from postgres_server import PostgresServer
from rlquant.executors.calls import ATTEMPTS
from rlquant.store.store import EvaluationStore

TESTS = Path(__file__).parents[1]
WORKER_KILLS, SERVER_KILLS, WORKERS = 20, 5, 4
ANSWERED = 2
"""Evaluations after which a worker may be killed: one that only starts is left alone."""

SEARCH = """
import hashlib, json, os, sys, time
from pathlib import Path
import torch
from problems import problem
from rlquant import SearchSpace
from rlquant_agents import search_problem

class Noted:
    '''An objective that notes whose outputs it was shown, and by which process.'''

    def __init__(self, log, seconds):
        self.log, self.seconds = log, seconds

    def note(self, what, outputs):
        shown = hashlib.sha256(outputs.numpy().tobytes()).hexdigest()[:16]
        with open(self.log, "a") as log:
            log.write(f"{os.getpid()} {what} {shown}\\n")

    def __call__(self, outputs, targets):
        self.note("begins", outputs)
        time.sleep(self.seconds)
        self.note("ends", outputs)
        right = (outputs.argmax(dim=1) == targets).sum()
        return torch.nn.functional.cross_entropy(outputs, targets, reduction="sum"), right

url, log, seconds, seed, evaluations, executor = sys.argv[1:]
live = problem(
    objective=Noted(log, float(seconds)),
    store=url or None,
    batch_size=50,
    space=SearchSpace(bits=(2, 3, 4, 5, 6, 7, 8)),
)
found = search_problem(
    live, searcher="random", evaluations=int(evaluations), seed=int(seed), batch=8,
    executor=executor or None,
)
computed = live.store.computed if live.store is not None else 0
history = [(e.config.key, e.score.loss) for e in found.history]
print(json.dumps({"history": history, "computed": computed, "notes": found.notes}))
"""


def begun(url: str, log: Path, *arguments: object) -> subprocess.Popen[str]:
    """Start a search; its arguments are seconds of an evaluation, seed, evaluations, executor."""
    command = [sys.executable, "-c", SEARCH, url, str(log), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def answer(search: subprocess.Popen[str], timeout: float) -> dict[str, Any]:
    out, complaint = search.communicate(timeout=timeout)
    assert search.returncode == 0, complaint
    found: dict[str, Any] = json.loads(out)
    return found


def told(disturbed: dict[str, Any], undisturbed: dict[str, Any]) -> str:
    """Return both histories, places that differ marked, and the notes, which say what failed."""
    pairs = enumerate(zip_longest(disturbed["history"], undisturbed["history"]))
    lines = [f"{' ' if a == b else '*'} {place}: {a} | {b}" for place, (a, b) in pairs]
    return "\n".join([*lines, *disturbed["notes"], "|", *undisturbed["notes"]])


def lines(log: Path) -> list[list[str]]:
    """Return process, "begins" or "ends", and whose outputs, in order."""
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def noted(log: Path) -> list[tuple[int, str]]:
    """Return whose outputs were measured, by which process, in order."""
    return [(int(process), shown) for process, what, shown in lines(log) if what == "ends"]


def measuring(log: Path, process: int) -> str | None:
    """Return whose outputs a process measures now, None between two."""
    own = [(what, shown) for found, what, shown in lines(log) if int(found) == process]
    return own[-1][1] if own and own[-1][0] == "begins" else None


@pytest.mark.slow  # starts two processes that search
def test_two_searches_at_once_measure_nothing_twice(url: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    searches = [begun(url, log, 0.02, 0, 24, "") for _ in range(2)]
    one, other = (answer(search, 120) for search in searches)
    assert one["history"] == other["history"]
    assert one["computed"] + other["computed"] == 24
    times = Counter(shown for _, shown in noted(log))
    float_network = [shown for shown, count in times.items() if count > 1]
    assert len(float_network) <= 1  # each process has its own
    assert len(times) == 24 + len(float_network)
    store = EvaluationStore(url)
    assert store.count() == 24
    store.close()


def kill_one(log: Path, spared: Sequence[int], struck: dict[int, str]) -> bool:
    """Kill a worker that has answered, while it measures; False where there is none.

    No configuration is struck oftener than a search tries it, which would fail it as it should.

    Args:
        log: of all searches.
        spared: processes that are no workers.
        struck: what each killed worker was measuring; the new one is added.
    """
    answers = Counter(process for process, _ in noted(log))
    for process, times in answers.items():
        if times < ANSWERED or process in spared or process in struck:
            continue
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGSTOP)  # it measures the same until it is killed
            shown = measuring(log, process)
            if shown is None or list(struck.values()).count(shown) == ATTEMPTS - 1:
                os.kill(process, signal.SIGCONT)
                continue
            os.kill(process, signal.SIGKILL)
            struck[process] = shown
            return True
    return False


@pytest.mark.slow
def test_killed_workers_and_servers_lose_nothing(
    server: PostgresServer, url: str, tmp_path: Path
) -> None:
    log, evaluations, seconds = tmp_path / "log", 50, 0.5
    searches = [begun(url, log, seconds, seed, evaluations, "local:2") for seed in (0, 1)]
    spared, killed = [search.pid for search in searches], dict[int, str]()
    deadline, server_kills, begin = time.monotonic() + 900, 0, time.monotonic()
    while any(search.poll() is None for search in searches):
        assert time.monotonic() < deadline
        struck = len(killed) < WORKER_KILLS and kill_one(log, spared, killed)
        if struck and len(killed) % (WORKER_KILLS // SERVER_KILLS) == 0:
            server.kill()
            server_kills += 1
            time.sleep(0.2)
            server.start()
        time.sleep(seconds)
    taken = time.monotonic() - begin
    found = [answer(search, 10) for search in searches]
    assert (len(killed), server_kills) == (WORKER_KILLS, SERVER_KILLS)

    quiet = [begun("", tmp_path / "quiet", 0.0, seed, evaluations, "") for seed in (0, 1)]
    for disturbed, undisturbed in zip(found, (answer(s, 300) for s in quiet), strict=True):
        assert disturbed["history"] == undisturbed["history"], told(disturbed, undisturbed)
        assert disturbed["notes"] == undisturbed["notes"]
    distinct = {key for each in found for key, _ in each["history"]}
    store = EvaluationStore(url)
    assert store.count() == len(distinct)
    store.close()
    in_flight = WORKER_KILLS + SERVER_KILLS * WORKERS  # a server that crashes forgets its leases
    recorded = sum(each["computed"] for each in found)
    assert 0 <= recorded - len(distinct) <= SERVER_KILLS * WORKERS
    float_network = noted(tmp_path / "quiet")[0][1]
    times = Counter(shown for _, shown in noted(log) if shown != float_network)
    again = sum(times.values()) - len(distinct)
    assert 0 <= again <= in_flight
    logging.getLogger(__name__).info(
        "%d configurations in %.0f s, %d workers and %d servers killed: %d measured again",
        *(len(distinct), taken, len(killed), server_kills, again),
    )
