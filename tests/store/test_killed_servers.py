"""Processes that share a store while its server is killed again and again: nothing is lost."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from postgres_server import PostgresServer
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.score import Measurement
from rlquant.store.store import EvaluationStore

EVALUATIONS, KILLS = 120, 5

WORK = """
import sys, time
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.score import Measurement
from rlquant.store.store import EvaluationStore
store, left = EvaluationStore(sys.argv[1]), list(range(int(sys.argv[2])))
while left:
    for number in list(left):
        config = QuantizationConfig((LayerChoice(f"layer{number}", 3),))
        if store.get("p", config) is None:
            if not store.claim("p", [config]):
                continue
            if store.get("p", config) is None:
                time.sleep(0.02)  # measures
                print("measured", number, flush=True)
                store.put("p", config, Measurement(float(number), 0.5, 10), 0.02)
                print("recorded", number, flush=True)
            else:
                store.release("p", config)
        left.remove(number)
"""


@pytest.mark.slow
def test_a_server_killed_in_the_middle_loses_nothing_and_nothing_is_measured_twice(
    server: PostgresServer, url: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", WORK, url, str(EVALUATIONS)]
    logs = [tmp_path / f"{number}.log" for number in range(2)]
    running = []
    for log in logs:
        with log.open("wb") as output:
            running += [subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE)]
    watched = EvaluationStore(url)
    for kill in range(KILLS):
        while watched.count() < (kill + 1) * EVALUATIONS // (KILLS + 1):
            assert all(process.poll() in (None, 0) for process in running)
            time.sleep(0.01)
        server.kill()
        server.start()
    for process in running:
        _, complaint = process.communicate(timeout=300)
        assert process.returncode == 0, complaint.decode()
        assert b"trying again for 120 s" in complaint
    lines = [line.split() for log in logs for line in log.read_text().splitlines()]
    recorded = [int(number) for word, number in lines if word == "recorded"]
    measured = [int(number) for word, number in lines if word == "measured"]
    assert sorted(set(recorded)) == list(range(EVALUATIONS))
    assert len(measured) - EVALUATIONS <= KILLS  # but for what was in flight
    assert watched.count() == EVALUATIONS
    for number in range(EVALUATIONS):
        config = QuantizationConfig((LayerChoice(f"layer{number}", 3),))
        assert watched.get("p", config) == Measurement(float(number), 0.5, 10)
    watched.close()
