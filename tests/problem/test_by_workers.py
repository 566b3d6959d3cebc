"""Evaluations by workers: the same numbers, kept by the process that asks."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from problems import bits, problem
from rlquant import QuantizationConfig, QuantizationProblem, Racing, Score
from rlquant.data import Data
from rlquant.errors import DataError, SettingsError, WorkerError
from rlquant.problem import named_data
from rlquant.problem.by_workers import (
    WorkerEvaluations,
    _Measurements,
    evaluations_on,
    scores_on,
)
from rlquant.problem.measurements import Answer, Question
from rlquant.score import Measurement
from rlquant.tabular.grouped import GroupedProblem
from rlquant.testing import ToyProblem
from small_networks import samples_of


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def drawn(of: QuantizationProblem, count: int) -> list[QuantizationConfig]:
    draw = np.random.default_rng(0)
    return [of.feasible.config(of.feasible.sample(draw)) for _ in range(count)]


def test_workers_measure_what_this_process_does_and_this_one_stores_it(
    tmp_path: Path, threads: ThreadPoolExecutor
) -> None:
    asked, here = problem("conv", store=tmp_path / "store.db"), problem("conv")
    configs = drawn(asked, 6)
    assert asked.evaluate_many(configs, executor=threads) == here.evaluate_many(configs)
    assert asked.store is not None
    assert asked.store.count(asked.fingerprint) == len(set(configs))
    again = problem("conv", store=asked.store)
    with ThreadPoolExecutor(1) as nobody:
        nobody.shutdown()  # what is stored needs no worker
        assert again.evaluate_many(configs, executor=nobody) == here.evaluate_many(configs)


class Noted:
    """Calls that note what two workers are asked, and answer nothing right."""

    workers = 2

    def __init__(self) -> None:
        self.questions: Sequence[Question] = ()

    def completed(
        self, questions: Sequence[Question], chunk: int
    ) -> Generator[tuple[int, Answer], None, None]:
        self.questions = questions
        for place in range(len(questions)):
            yield place, Answer(Measurement(1.0, 0.5, 50), 0.1, None)


def test_of_a_chunk_the_next_follows_and_behind_it_the_workers_next_chunk() -> None:
    known, calls = problem()._measurements, Noted()
    configs = [bits(*widths) for widths in itertools.product((2, 3, 4, 8), repeat=3)]
    ordered = [configs[place] for place in known.expect(configs)]
    asking = _Measurements(known, lambda c: c, lambda c, measured: measured)  # type: ignore[arg-type, return-value]
    assert len(list(WorkerEvaluations(calls, asking).scores(ordered))) == 64  # type: ignore[arg-type]
    following = [question.following for question in calls.questions]
    chunk, places = 4, [*range(64), *[None] * 8]  # 8 chunks for each of two workers
    wanted = [places[at + (1 if (at + 1) % chunk else 1 + chunk)] for at in range(64)]
    assert following == [None if place is None else ordered[place] for place in wanted]


def test_races_by_workers_end_as_they_do_here(threads: ThreadPoolExecutor) -> None:
    asked, here = (problem("conv", racing=Racing()) for _ in range(2))
    incumbent, *others = dict.fromkeys(drawn(asked, 8))
    evaluations = evaluations_on(asked, threads)
    found = list(evaluations.scores(others, incumbent))
    assert found == [here.evaluate(config, None, incumbent) for config in others]
    assert list(evaluations.scores(others, incumbent)) == found  # shown what is known
    evaluations.close()


def test_groups_of_layers_are_evaluated_by_workers_too(threads: ThreadPoolExecutor) -> None:
    grouped = GroupedProblem(problem("conv"), ("*",))
    config = grouped.feasible.config([0] * len(grouped.feasible))
    assert grouped.evaluate_many([config], executor=threads) == [grouped.evaluate(config)]


@dataclass
class Failing(ToyProblem):
    """A toy problem that cannot evaluate some configurations."""

    wrong: str = ""

    def __init__(self, wrong: str) -> None:
        super().__init__(3, 4.0)
        self.wrong = wrong

    def evaluate(self, config: QuantizationConfig) -> Score:
        if config.key == self.wrong:
            raise ValueError("this one is wrong")
        return super().evaluate(config)


def test_an_error_says_what_was_evaluated(threads: ThreadPoolExecutor) -> None:
    configs = [ToyProblem(3, 4.0).feasible.config([i, 0, 0]) for i in range(2)]
    scores = scores_on(Failing(""), configs, threads)
    assert scores == [ToyProblem(3, 4.0).evaluate(config) for config in configs]
    with pytest.raises(ValueError, match="this one is wrong") as caught:
        scores_on(Failing(configs[1].key), configs, threads)
    (note,) = caught.value.__notes__
    assert configs[1].to_json() in note


def test_a_failure_is_raised_after_the_rest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = problem("conv")
    failure = WorkerError("the worker died")
    configs = drawn(asked, 2)

    def completed(calls: object, items: list[object], chunk: int) -> Iterator[tuple[int, object]]:
        yield 0, failure

    monkeypatch.setattr("rlquant.executors.calls.Calls.completed", completed)
    with pytest.raises(WorkerError, match="the worker died"):
        asked.evaluate_many(configs[:1], executor="local:1")


def shifted() -> tuple[Data, Data]:
    return samples_of("conv", 40, seed=1), samples_of("conv", 50, seed=3)


def same() -> tuple[Data, Data]:
    return samples_of("conv", 40, seed=1), samples_of("conv", 50, seed=2)


def test_large_samples_stay_here_and_are_loaded_and_checked_there(
    monkeypatch: pytest.MonkeyPatch, threads: ThreadPoolExecutor
) -> None:
    monkeypatch.setattr(named_data, "LARGE", 1)
    here = problem("conv", racing=Racing())
    configs = drawn(here, 3)
    loading = here.with_data_from(same)
    sent = loading._measurements.sent(same_machine=False)
    assert len(pickle.dumps(sent)) < len(pickle.dumps(here._measurements.sent(same_machine=False)))
    assert sent.measuring.validation is named_data.NONE
    found = loading.with_budget(loading.budget).evaluate_many(configs, executor=threads)
    assert found == problem("conv", racing=Racing()).evaluate_many(configs)
    with pytest.raises(DataError, match=r"validation_data: what a worker loads differs .*RLQUANT"):
        here.with_data_from(shifted).evaluate_many(drawn(here, 4), executor=threads)
    with pytest.raises(SettingsError, match="load=3, use a function"):
        here.with_data_from(3)  # type: ignore[arg-type]
