"""What is known of configurations: asked in the best order, remembered, stored, or scanned past."""

from __future__ import annotations

import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from problems import bits, counting, problem
from rlquant.evaluation.evaluator import Evaluator
from rlquant.evaluation.order import sharing_order
from rlquant.problem.measurements import Answer, Measurements
from rlquant.score import Measurement
from rlquant.store.store import EvaluationStore

ALL = [bits(*widths) for widths in itertools.product((2, 4), repeat=3)]


def measurements(store: EvaluationStore | None = None) -> Measurements:
    made = problem()
    return Measurements(made._measurements.measuring, made.fingerprint, store)


@pytest.fixture
def store(tmp_path: Path) -> EvaluationStore:
    return EvaluationStore(tmp_path / "evaluations.sqlite")


def test_what_was_measured_is_remembered() -> None:
    known = measurements()
    with counting() as measured:
        first = known.get(ALL[0])
        assert known.get(ALL[0]) is first
    assert measured.call_count == 1


def test_what_is_in_the_store_is_not_measured(store: EvaluationStore) -> None:
    first = measurements(store).get(ALL[0])
    with counting() as measured:
        assert measurements(store).get(ALL[0]) == first
    assert measured.call_count == 0


def test_unknown_is_what_is_not_remembered_each_once_in_the_order_given() -> None:
    known = measurements()
    known.get(ALL[1])
    asked = [ALL[3], ALL[1], ALL[0], ALL[3]]
    assert known.unknown(asked) == [ALL[3], ALL[0]]
    known.take(ALL[3], Answer(Measurement(1.0, 0.5, 50), 0.1, None))
    assert known.unknown(asked) == [ALL[0]]
    assert known.get(ALL[3]) == Measurement(1.0, 0.5, 50)


def test_another_process_answers_what_get_would_and_this_one_keeps_it(
    store: EvaluationStore,
) -> None:
    known, alone = measurements(store), measurements()
    assert known.recall(ALL[0]) is None
    answer = known.sent(same_machine=False).answer(known.question(ALL[0]))
    assert answer.measured == alone.get(ALL[0])
    assert known.recall(ALL[0]) is None
    known.take(ALL[0], answer)
    assert known.recall(ALL[0]) == measurements(store).recall(ALL[0]) == answer.measured


def test_another_process_is_told_what_it_is_probably_asked_next() -> None:
    known = measurements()
    assert known.question(ALL[0]).following is None
    ordered = [ALL[i] for i in known.expect(ALL)]
    following = [known.question(config, ahead=3).following for config in ordered]
    assert following == [*ordered[3:], None, None, None]
    assert [known.question(config).following for config in ordered] == [*ordered[1:], None]
    with counting() as measured:
        known.sent(same_machine=True).answer(known.question(ordered[0], ahead=3))
    assert measured.call_args.args[-1] == ordered[3]


def test_threads_may_measure_at_the_same_time() -> None:
    alone, shared = measurements(), measurements()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(shared.get, ALL)) == [alone.get(config) for config in ALL]


def test_what_is_expected_is_ordered_by_what_it_shares() -> None:
    known = measurements()
    mixed = [ALL[i] for i in (5, 0, 6, 2, 1)]
    order = known.expect(mixed)
    assert order == sharing_order([config.choices for config in mixed])
    assert sorted(order) == list(range(5))
    assert known.expect([]) == []


def test_each_measurement_hears_what_follows() -> None:
    known = measurements()
    order = known.expect(ALL[:3])
    ordered = [ALL[i] for i in order]
    with counting() as measured:
        for config in ordered:
            known.get(config)
    assert [call.args[1] for call in measured.call_args_list] == ordered
    assert [call.args[3] for call in measured.call_args_list] == [*ordered[1:], ordered[-1]]


def test_what_is_expected_changes_no_number() -> None:
    known, plain = measurements(), measurements()
    order = known.expect(ALL)
    found = {i: known.get(ALL[i]) for i in order}
    assert [found[i] for i in range(len(ALL))] == [plain.get(config) for config in ALL]


def test_a_scan_measures_in_its_order_and_remembers_nothing(store: EvaluationStore) -> None:
    known, plain = measurements(store), measurements()
    with counting() as measured:
        scanned = list(known.scan(iter(ALL[:4])))
    assert [call.args[1] for call in measured.call_args_list] == ALL[:4]
    following = [call.kwargs["following"] for call in measured.call_args_list]
    assert following == [*ALL[1:4], ALL[3]]
    assert scanned == [plain.get(config) for config in ALL[:4]]
    assert known.unknown(ALL[:4]) == ALL[:4]
    assert store.count() == 0
    assert list(known.scan(iter(()))) == []


def test_a_scan_measures_no_further_than_it_is_read() -> None:
    with counting() as measured:
        scan = measurements().scan(iter(ALL))
        assert measured.call_count == 0
        next(scan)
        assert measured.call_count == 1


def test_another_store_begins_with_nothing_and_shares_the_evaluator(
    store: EvaluationStore,
) -> None:
    known = measurements()
    first = known.get(ALL[0])
    other = known.with_store(store)
    assert other.evaluator is known.evaluator
    assert other.unknown(ALL[:1]) == ALL[:1]
    assert other.get(ALL[0]) == first
    assert store.count(known.fingerprint) == 1
    assert known.with_store(None).store is None
    assert known.unknown(ALL[:1]) == []  # itself it forgets nothing


def test_another_process_knows_the_same_and_makes_its_own_evaluator() -> None:
    known = measurements()
    first = known.get(ALL[0])
    known.expect(ALL)
    sent = pickle.loads(pickle.dumps(known))
    assert sent.unknown(ALL[:1]) == []
    assert sent.get(ALL[0]) == first
    assert sent.get(ALL[1]) == known.get(ALL[1])
    assert sent.evaluator is not known.evaluator
    assert isinstance(sent.evaluator, Evaluator)
