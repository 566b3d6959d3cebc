"""Benchmark of stores: evaluations that several processes record in one at the same time."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from rlquant import EvaluationStore
from rlquant_experiments.benchmarks.figure import Figure

PROCESSES, EACH, ROUNDS = 4, 500, 3
WAYS = {"plain": 2000.0, "claimed": 500.0, "merged": 2000.0}
"""One by one, each in its own transaction; the same, with a lease before; 100 in a transaction, as
`rlquant store merge` records. With the rows a second that each should reach."""
_RECORD = """
import sys
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
for line in sys.stdin:
    problem, way = line.split()
    if way == "merged":
        rows = [{"problem": problem, "config_key": config.key, "config": config.to_json(),
                 "loss": 0.1, "accuracy": 0.9, "samples": 500, "metrics": "{}",
                 "seconds": 0.1, "recorded_at": 0.0} for config in configs]
        for start in range(0, len(rows), 100):
            store.records.put({"evaluations": rows[start : start + 100]})
    for config in configs if way != "merged" else ():
        if way == "claimed":
            store.claim(problem, [config])
        store.put(problem, config, measured, 0.1)
    print("done", flush=True)
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
    found = []
    for way, target in WAYS.items():
        rates = [_rate(running, way) for _ in range(ROUNDS)]
        detail = f"{EACH} each; {ROUNDS} rounds, {min(rates):,.0f} to {max(rates):,.0f}"
        middle = statistics.median(rates)
        found.append(Figure(f"{name}, {way}", middle, "/s", target, at_least=True, detail=detail))
    for process in running:
        process.communicate()
    return found


def _rate(running: list[subprocess.Popen[str]], way: str) -> float:
    """Return how many evaluations a second all processes record together."""
    start, problem = time.perf_counter(), time.time_ns()
    for number, process in enumerate(running):
        assert process.stdin is not None
        process.stdin.write(f"{problem}-{number} {way}\n")
        process.stdin.flush()
    _answers(running)
    return len(running) * EACH / (time.perf_counter() - start)


def _answers(running: list[subprocess.Popen[str]]) -> None:
    """Wait for a line of each process."""
    for process in running:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError("a process that records has ended, with the error above")
