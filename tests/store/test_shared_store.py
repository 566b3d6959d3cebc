"""One store for several threads and processes, some of which are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.score import Measurement
from rlquant.store.store import EvaluationStore
from stored import MEASURED, config


def test_many_may_make_the_same_file_at_the_same_time(tmp_path: Path) -> None:
    errors: list[Exception] = []

    def work(path: Path, bits: int, barrier: threading.Barrier) -> None:
        store = EvaluationStore(path)
        barrier.wait()
        try:
            store.put("p", config(bits), MEASURED, 0.1)
        except Exception as error:
            errors.append(error)
        store.close()

    for attempt in range(10):
        path, barrier = tmp_path / f"{attempt}.db", threading.Barrier(6)
        threads = [threading.Thread(target=work, args=(path, i + 1, barrier)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert EvaluationStore(path).count() == 6


def test_threads_may_share_one_store(tmp_path: Path) -> None:
    store = EvaluationStore(tmp_path / "store.db")
    assert store.count() == 0  # opened by this thread
    barrier = threading.Barrier(4)
    errors: list[Exception] = []

    def work(first: int) -> None:
        barrier.wait()
        try:
            for bits in range(first, first + 4):
                store.put("p", config(bits), MEASURED, 0.1)
                assert store.get("p", config(bits)) == MEASURED
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in (1, 5, 9, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.count("p") == 16
    store.close()  # the connections of all threads
    assert store.count("p") == 16


def test_two_processes_write_to_one_file(tmp_path: Path) -> None:
    code = """
import sys
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.score import Measurement
from rlquant.store.sqlite_file import SqliteFile
from rlquant.store.store import EvaluationStore
store = EvaluationStore(sys.argv[1])
for number in range(int(sys.argv[2]), int(sys.argv[2]) + 100):
    choice = LayerChoice(f"layer{number}", 3)
    store.put("p", QuantizationConfig((choice,)), Measurement(float(number), 0.5, 10), 0.1)
"""
    path = tmp_path / "store.db"
    commands = [[sys.executable, "-c", code, str(path), start] for start in ("0", "50")]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for command in commands]
    for process in running:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()
    store = EvaluationStore(path)
    assert store.count("p") == 150
    for number in (0, 75, 149):
        found = store.get("p", QuantizationConfig((LayerChoice(f"layer{number}", 3),)))
        assert found == Measurement(float(number), 0.5, 10)


def test_what_was_written_survives_a_killed_process(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.score import Measurement
from rlquant.store.sqlite_file import SqliteFile
from rlquant.store.store import EvaluationStore
store = EvaluationStore(sys.argv[1])
store.put("p", QuantizationConfig((LayerChoice("conv", 3),)), Measurement(0.25, 0.75, 200), 0.1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "store.db"
    ran = subprocess.run([sys.executable, "-c", code, str(path)], env=dict(os.environ))
    assert ran.returncode == -9
    assert EvaluationStore(path).get("p", config(3)) == MEASURED
