"""Problems whose configurations are trained: runs that end early, other processes, copies."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from problems import ROOT, problem
from rlquant.cost.budget import Budget
from rlquant.errors import EvaluationStopped, NetworkError
from rlquant.score import WORST_REWARD, Score, resolve_reward
from rlquant.store.store import EvaluationStore
from rlquant.training.settings import TrainSettings
from rlquant_agents.search.searcher import make_searcher
from small_networks import Mlp, fresh
from training_runs import outputs_of
from tuned_problems import MISSION, counting_trainings, mixed_mlp, tuned

# --- runs that end early


class NanWhenTrained:
    """Cross-entropy that is NaN wherever there is a gradient to take."""

    name = "nan-when-trained"

    def __call__(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        loss = cross_entropy(outputs, targets, reduction="sum")
        return loss * math.nan if outputs.requires_grad else loss, torch.zeros(())


def test_a_training_that_diverges_is_the_worst_and_a_search_of_such_alone_ends(
    tmp_path: Path,
) -> None:
    made = tuned(objective=NanWhenTrained(), store=tmp_path / "store.db")
    score = made.evaluate(mixed_mlp())
    assert score.loss == math.inf
    assert resolve_reward("log_loss")(score, made.float_score) == WORST_REWARD
    with counting_trainings() as measured:
        assert (
            tuned(objective=NanWhenTrained(), store=tmp_path / "store.db").evaluate(mixed_mlp())
            == score
        )
    measured.assert_not_called()
    with pytest.raises(NetworkError, match="each of the 4 configurations is not finite"):
        make_searcher("random").search(made, evaluations=4, seed=0)
    assert outputs_of(made.build(mixed_mlp()), "mlp").isfinite().all()


def test_a_watched_training_that_is_stopped_is_not_remembered(tmp_path: Path) -> None:
    made = tuned(training=TrainSettings(steps=20, batch_size=16), store=tmp_path / "store.db")
    heard: list[int] = []

    def watch(step: int, figures: Mapping[str, float]) -> bool:
        heard.append(step)
        return len(heard) == 1

    with pytest.raises(EvaluationStopped, match="after 10 steps"):
        made.evaluate(mixed_mlp(), watch)
    assert EvaluationStore(tmp_path / "store.db").count() == 0
    score = made.evaluate(mixed_mlp(), watch)
    assert heard == [10, 10, 20]
    with counting_trainings() as trained:
        assert made.evaluate(mixed_mlp(), watch) == score
    assert trained.call_count == 0
    assert heard == [10, 10, 20, 10, 20]  # told the same again, as it may end it
    unwatched = tuned(training=TrainSettings(steps=20, batch_size=16)).evaluate(mixed_mlp())
    assert unwatched == score


def test_nothing_is_heard_where_nothing_is_trained() -> None:
    made = problem(space=MISSION)
    watch = mock.Mock()
    assert made.evaluate(mixed_mlp(), watch) == problem(space=MISSION).evaluate(mixed_mlp())
    watch.assert_not_called()


# --- processes and copies

CHILD = """
import json, pickle, sys
import torch
from tuned_problems import mixed_mlp, tuned

torch.set_num_threads(1)
with open(sys.argv[1], "rb") as stream:
    sent = pickle.load(stream)
print(json.dumps([(p.fingerprint, p.evaluate(mixed_mlp()).to_json()) for p in (tuned(), sent)]))
"""


def test_another_process_has_the_same_fingerprint_and_score(tmp_path: Path) -> None:
    made = tuned()
    score = made.evaluate(mixed_mlp())
    made = made.with_store(None)
    sent = tmp_path / "problem.pickle"
    sent.write_bytes(pickle.dumps(made))
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, str(sent)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests"), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    for fingerprint, text in json.loads(ran.stdout):
        assert fingerprint == made.fingerprint
        assert Score.from_json(text) == score


def test_a_problem_that_trains_is_copied_and_pickled() -> None:
    made = tuned(teacher=fresh(Mlp, seed=3))
    score = made.evaluate(mixed_mlp())
    assert copy.deepcopy(made) is made
    again = pickle.loads(pickle.dumps(made))
    assert again.fingerprint == made.fingerprint
    with counting_trainings() as measured:
        assert again.evaluate(mixed_mlp()) == score
        measured.assert_not_called()
    again = again.with_store(None)
    assert again.evaluate(mixed_mlp()) == score
    assert again.at_fidelity("calibrated").fingerprint == problem(space=MISSION).fingerprint


def test_another_budget_shares_what_was_trained() -> None:
    made = tuned()
    score = made.evaluate(mixed_mlp())
    with counting_trainings() as measured:
        other = made.with_budget(Budget.average_bits(6.0))
        assert other.evaluate(mixed_mlp()) == score
    measured.assert_not_called()
    assert other.evaluator is made.evaluator
    assert other.plan is made.plan
