"""Leases: two that share a store measure nothing twice, and nobody waits for who is gone."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from problems import bits, counting, problem
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.evaluation.evaluator import Evaluator
from rlquant.problem import measurements as measurements_module
from rlquant.problem.measurements import Answer, Measurements
from rlquant.score import Measurement
from rlquant.store import leases as leases_module
from rlquant.store.store import EvaluationStore

MEASURED = Measurement(0.25, 0.75, 200)


def config(bits: int) -> QuantizationConfig:
    return QuantizationConfig((LayerChoice("conv", bits),))


CONFIGS = [config(bits) for bits in range(1, 7)]


@pytest.fixture
def other(store: EvaluationStore) -> Iterator[EvaluationStore]:
    """Return the same store as another process has it."""
    made = EvaluationStore(store.place)
    yield made
    made.close()


def test_what_one_has_claimed_nobody_else_gets(
    store: EvaluationStore, other: EvaluationStore
) -> None:
    assert store.claim("p", CONFIGS[:4]) == CONFIGS[:4]
    assert other.claim("p", CONFIGS[2:]) == CONFIGS[4:]
    assert store.claim("p", CONFIGS) == CONFIGS[:4]  # its own, again
    assert other.claim("q", CONFIGS) == CONFIGS
    assert store.claim("p", []) == []


def test_a_claim_ends_with_put_and_with_release(
    store: EvaluationStore, other: EvaluationStore
) -> None:
    store.claim("p", CONFIGS[:2])
    store.put("p", CONFIGS[0], MEASURED, 0.1)
    store.release("p", CONFIGS[1])
    store.release("p", CONFIGS[2])  # never claimed
    assert other.claim("p", CONFIGS[:3]) == CONFIGS[:3]


def test_a_lease_expires_unless_it_is_kept_alive(
    store: EvaluationStore, other: EvaluationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases_module, "LEASE_SECONDS", 0.2)
    monkeypatch.setattr(leases_module, "HEARTBEAT_SECONDS", 0.05)
    store.claim("p", CONFIGS[:1])
    time.sleep(0.4)
    assert other.claim("p", CONFIGS[:1]) == []
    store.close()
    time.sleep(0.3)
    assert other.claim("p", CONFIGS[:1]) == CONFIGS[:1]


def test_two_that_claim_at_the_same_time_share_what_there_is(
    store: EvaluationStore, other: EvaluationStore
) -> None:
    many = [QuantizationConfig((LayerChoice(f"layer{n}", 4),)) for n in range(600)]
    assert store.claim("p", many[:0]) == other.claim("p", many[:0]) == []
    barrier, found = threading.Barrier(2), list[list[QuantizationConfig]]()

    def work(of: EvaluationStore, configs: list[QuantizationConfig]) -> None:
        barrier.wait()
        found.append(of.claim("p", configs))

    threads = [
        threading.Thread(target=work, args=(store, many)),
        threading.Thread(target=work, args=(other, many[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found[0]) + len(found[1]) == 600
    assert {*found[0], *found[1]} == set(many)


def test_a_killed_process_of_this_machine_holds_nothing(tmp_path: Path) -> None:
    store = EvaluationStore(tmp_path / "s.db")
    code = """
import os, signal, sys
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.store.store import EvaluationStore
claimed = EvaluationStore(sys.argv[1]).claim("p", [QuantizationConfig((LayerChoice("conv", 3),))])
print(len(claimed), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ran = subprocess.run([sys.executable, "-c", code, str(store.place)], capture_output=True)
    assert (ran.returncode, ran.stdout.strip()) == (-9, b"1")
    assert store.claim("p", [config(3)]) == [config(3)]


# --- measurements that share a store

ASKED = [bits(2, 2, 2), bits(4, 2, 4), bits(2, 4, 2), bits(4, 4, 4)]


def measurements(store: EvaluationStore) -> Measurements:
    made = problem()
    return Measurements(made._measurements.measuring, made.fingerprint, store)


@contextmanager
def slow_evaluations(seconds: float) -> Iterator[list[QuantizationConfig]]:
    """Have every evaluation take longer, and note what is measured."""
    measured: list[QuantizationConfig] = []
    real = Evaluator.measure

    def slowly(self: Evaluator, config: QuantizationConfig, *args: object) -> Measurement:
        measured.append(config)
        time.sleep(seconds)
        return real(self, config, *args)  # type: ignore[arg-type]

    with patch.object(Evaluator, "measure", slowly):
        yield measured


def test_two_searches_that_share_a_store_measure_nothing_twice(
    store: EvaluationStore, other: EvaluationStore
) -> None:
    both = [measurements(store), measurements(other)]
    found: dict[int, list[Measurement]] = {}

    def work(place: int) -> None:
        found[place] = [both[place].get(config) for config in ASKED]

    with slow_evaluations(0.02) as measured:
        threads = [threading.Thread(target=work, args=(place,)) for place in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found[0] == found[1]
    assert sorted(map(str, measured)) == sorted(map(str, ASKED))


def test_who_has_waited_long_measures_all_the_same(
    store: EvaluationStore, other: EvaluationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements_module, "PATIENCE", 0.05)
    known = measurements(store)
    assert other.claim(known.fingerprint, ASKED[:1]) == ASKED[:1]
    with counting() as measured:
        known.get(ASKED[0])
    assert measured.call_count == 1


def test_an_evaluation_that_fails_is_let_go(store: EvaluationStore, other: EvaluationStore) -> None:
    known = measurements(store)
    failing = patch.object(Evaluator, "measure", side_effect=ZeroDivisionError)
    with failing, pytest.raises(ZeroDivisionError):
        known.get(ASKED[0])
    assert other.claim(known.fingerprint, ASKED[:1]) == ASKED[:1]


def test_workers_are_not_asked_what_another_search_measures(
    store: EvaluationStore, other: EvaluationStore
) -> None:
    from rlquant.problem.by_workers import WorkerEvaluations, _Measurements

    known, elsewhere = measurements(store), measurements(other)
    asked = list[QuantizationConfig]()

    class InThisProcess:
        workers = 1

        def completed(self, questions, chunk):  # type: ignore[no-untyped-def]
            for place, question in enumerate(questions):
                asked.append(question.config)
                yield place, Answer(Measurement(float(place), 0.5, 50), 0.1, None)

        def close(self) -> None:
            """Do nothing."""

    asking = _Measurements(known, lambda config: config, lambda config, measured: measured.loss)  # type: ignore[arg-type, return-value]
    evaluations = WorkerEvaluations(InThisProcess(), asking)  # type: ignore[arg-type]
    assert elsewhere.claim(ASKED[1:3]) == ASKED[1:3]
    scores = evaluations.scores(ASKED)
    assert next(scores) == 0.0
    answers = threading.Timer(
        0.1,
        lambda: [
            elsewhere.take(config, Answer(Measurement(9.0, 0.5, 50), 0.1, None))
            for config in ASKED[1:3]
        ],
    )
    answers.start()
    assert list(scores) == [9.0, 9.0, 1.0]
    answers.join()
    assert asked == [ASKED[0], ASKED[3]]
    assert elsewhere.claim(ASKED) == ASKED  # all were let go
