"""Benchmark of stores: evaluations that several processes record in one at the same time."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from rlquant import EvaluationStore
from rlquant_experiments.benchmarks.figure import Figure

PROCESSES, EACH, ROUNDS = 4, 500, 3
WAYS = {"plain": 2000.0, "claimed": 500.0, "merged": 2000.0}
"""One by one, each in its own transaction; the same, with a lease before; 100 in a transaction, as
`rlquant store merge` records. With the rows a second that each should reach."""
ALONE = "alone"
"""The same rows by the driver of PostgreSQL alone, whose commits do not wait for the disk."""
_RECORD = """
import sys, time
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.score import Measurement
from rlquant.store.store import EvaluationStore
layers = [f"layer{number}" for number in range(10)]
configs = [
    QuantizationConfig(tuple(LayerChoice(name, 1 + (number >> 2 * place) % 4)
                             for place, name in enumerate(layers)))
    for number in range(int(sys.argv[2]))
]
store, measured = EvaluationStore(sys.argv[1]), Measurement(0.1, 0.9, 500)
print(store.count(), flush=True)

def row(problem, config):
    return {"problem": problem, "config_key": config.key, "config": config.to_json(),
            "loss": 0.1, "accuracy": 0.9, "samples": 500, "metrics": "{}",
            "seconds": 0.1, "recorded_at": 0.0}

def plain(problem):
    for config in configs:
        store.put(problem, config, measured, 0.1)

def claimed(problem):
    for config in configs:
        store.claim(problem, [config])
        store.put(problem, config, measured, 0.1)

def merged(problem):
    rows = [row(problem, config) for config in configs]
    for start in range(0, len(rows), 100):
        store.records.put({"evaluations": rows[start : start + 100]})

def alone(problem):
    import psycopg
    url = sys.argv[1].replace("+psycopg", "", 1)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit TO off")
        for config in configs:
            values = row(problem, config)
            marks = ", ".join(f"%({name})s" for name in values)
            connection.execute(
                f"INSERT INTO evaluations VALUES ({marks}) ON CONFLICT DO NOTHING", values
            )

for line in sys.stdin:
    problem, way = line.split()
    start = time.process_time()
    globals()[way](problem)
    print(time.process_time() - start, flush=True)
"""


def stores(place: str) -> list[Figure]:
    """Count evaluations that are recorded in a second, in each of `WAYS`.

    Args:
        place: of a store, into which the rows go.
    """
    kind = "PostgreSQL" if isinstance(EvaluationStore(place).place, str) else "SQLite"
    name = f"evaluations recorded, {kind}, {PROCESSES} processes"
    command = [sys.executable, "-c", _RECORD, place, str(EACH)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    _answers(running)
    ways = list(WAYS) if kind == "SQLite" else [*WAYS, ALONE]
    rounds = [{way: _round(running, way) for way in ways} for _ in range(ROUNDS)]
    for process in running:
        process.communicate()
    return [_figure(f"{name}, {way}", way, rounds) for way in WAYS]


def _figure(name: str, way: str, rounds: list[dict[str, _Round]]) -> Figure:
    """Return the figure of a way, and how it compares with the driver alone in each round."""
    rates = [found[way].rate for found in rounds]
    cpu = statistics.median(found[way].cpu for found in rounds)
    detail = f"{EACH} each; {ROUNDS} rounds, {min(rates):,.0f} to {max(rates):,.0f}"
    detail += f"; {1000 * cpu:.2f} ms of CPU each, the server's not counted"
    if ALONE in rounds[0]:
        share = statistics.median(found[way].rate / found[ALONE].rate for found in rounds)
        detail += f"; {share:.2f} x the rate of the driver alone"
    middle = statistics.median(rates)
    return Figure(name, middle, "/s", WAYS[way], at_least=True, detail=detail)


@dataclass(frozen=True)
class _Round:
    """How many evaluations a second all processes recorded, and their CPU seconds for each."""

    rate: float
    cpu: float


def _round(running: list[subprocess.Popen[str]], way: str) -> _Round:
    """Have all processes record their evaluations."""
    start, problem = time.perf_counter(), time.time_ns()
    for number, process in enumerate(running):
        assert process.stdin is not None
        process.stdin.write(f"{problem}-{number} {way}\n")
        process.stdin.flush()
    cpu, count = sum(_answers(running)), len(running) * EACH
    return _Round(count / (time.perf_counter() - start), cpu / count)


def _answers(running: list[subprocess.Popen[str]]) -> list[float]:
    """Wait for a number of each process."""
    found = []
    for process in running:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("a process that records has ended, with the error above")
        found.append(float(line))
    return found
