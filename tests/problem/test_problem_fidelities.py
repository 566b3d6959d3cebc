"""Problems whose configurations are trained: scores, files, fingerprints, lower fidelities."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

import rlquant
from problems import bits, problem
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.cost.budget import Budget
from rlquant.errors import SettingsError
from rlquant.space import TRAINING_SPACE, SearchSpace
from rlquant.store.store import EvaluationStore
from rlquant.training.settings import TRAINED, TUNED, TrainSettings
from small_networks import NETWORKS, Mlp, fresh, samples_of, trained
from training_runs import outputs_of, same
from tuned_problems import MISSION, counting_trainings, mixed_mlp, shared, tuned

# --- scores and files


@pytest.mark.parametrize("name", ["mlp", "conv"])
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_the_scored_network_is_the_one_that_is_built_saved_and_loaded(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = shared(name)
    option = st.integers(0, len(made.feasible.options) - 1)
    indices = data.draw(st.lists(option, min_size=len(made.layers), max_size=len(made.layers)))
    config = made.feasible.config(indices)
    score, measured, network = made.evaluate(config), made.build(config), made.build(config)
    assert same(measured, network)  # the second one is trained again
    loss = 0.0
    with torch.no_grad():
        for batch in made.validation.batches(made.evaluation.batch_size):
            outputs = network(*batch.inputs)
            loss += float(cross_entropy(outputs, batch.targets, reduction="sum"))
    assert score.loss == loss / 50
    path = tmp_path_factory.mktemp("files") / "network.rlq"
    assert rlquant.save(network, path) == path.stat().st_size == score.size_bytes
    loaded = rlquant.load(path, fresh(NETWORKS[name].build, seed=9))
    assert torch.equal(outputs_of(loaded, name), outputs_of(network, name))


def test_fidelities_have_settings_and_a_space_of_their_own() -> None:
    for fidelity, wanted in (("tuned", TUNED), ("trained", TRAINED)):
        made = problem(fidelity=fidelity)
        assert made.plan is not None
        assert made.plan.settings == wanted
        assert made.space == TRAINING_SPACE
        assert made.float_score.fidelity == fidelity
    assert problem().plan is None
    assert problem().space == SearchSpace()


def test_a_short_run_keeps_no_more_samples_than_it_looks_at() -> None:
    data = samples_of("mlp", 200, seed=1)
    short = tuned(train_data=data, training=TrainSettings(steps=3, batch_size=16))
    long = tuned(train_data=data, training=TrainSettings(epochs=1, batch_size=16))
    assert short.plan is not None
    assert long.plan is not None
    assert (len(short.plan.samples), len(long.plan.samples)) == (48, 200)


def test_training_is_worth_something() -> None:
    network = trained("conv")
    config = QuantizationConfig(
        tuple(LayerChoice(f.name, 2, method="ternary") for f in shared("conv").layers)
    )
    loss = {
        fidelity: problem("conv", network, fidelity=fidelity).evaluate(config).loss
        for fidelity in ("calibrated", "tuned")
    }
    assert loss["tuned"] < loss["calibrated"]


def test_a_cold_start_is_measured_as_one() -> None:
    """A run that moves nothing shows where it begins: nearer to the float outputs, or not."""
    still = TrainSettings(
        steps=1, batch_size=16, learning_rate=0, scale_rate=0, point_rate=0, bias_rate=0
    )
    network = trained("conv")
    config = QuantizationConfig(
        tuple(LayerChoice(f.name, 2, method="ternary") for f in shared("conv").layers)
    )
    warm, cold = (
        problem("conv", network, fidelity="tuned", training=still, warm_start=start)
        .evaluate(config)
        .loss
        for start in (True, False)
    )
    assert warm < cold
    high = problem("conv", network, fidelity="trained", warm_start=False)
    low = problem("conv", network, fidelity="tuned", warm_start=False)
    assert high.at_fidelity("tuned").fingerprint == low.fingerprint


def test_the_long_run_trains_too() -> None:
    made = tuned(fidelity="trained", training=TrainSettings(epochs=1, batch_size=16))
    score = made.evaluate(mixed_mlp())
    assert score.fidelity == "trained"
    assert made.build(mixed_mlp()) is not None
    assert score != tuned().evaluate(mixed_mlp())


def test_a_score_does_not_depend_on_what_was_asked_before() -> None:
    one, other = tuned(), tuned()
    others = [bits(2, 2, 2, method="distilled"), bits(3, 3, 3, points="learned")]
    scores = one.evaluate_many([*others, mixed_mlp()])
    assert other.evaluate_many([mixed_mlp(), *reversed(others)]) == scores[::-1]


# --- canonical configurations


def test_equal_canonical_forms_are_one_training() -> None:
    made = tuned()
    with counting_trainings() as measured:
        made.evaluate(bits(2, 2, 2, method="ternary"))
        made.evaluate(bits(8, 3, 5, method="ternary", rounding="stochastic", points="kmeans"))
        assert measured.call_count == 1
        made.evaluate(bits(3, 3, 3, points="quantile"))
        made.evaluate(bits(3, 3, 3, points="learned"))
        made.evaluate(bits(3, 3, 3, points="quantile", method="distilled"))
        made.evaluate(bits(3, 3, 3, points="learned", method="distilled"))
        assert measured.call_count == 5
    canonical = made.canonical(bits(8, 3, method="ternary", rounding="stochastic"))
    assert list(canonical) == [
        LayerChoice("first", 2, method="ternary"),
        LayerChoice("second", 2, method="ternary"),
        LayerChoice("last", 32, method="float"),
    ]


def test_ternary_has_one_option_whatever_its_bits() -> None:
    options = tuned().feasible.options
    assert len(options) == 1 + 2 * 7 * 2 * 7
    assert sum(option.method == "ternary" for option in options) == 1


# --- fingerprints and stores


def test_what_decides_a_training_is_in_the_fingerprint() -> None:
    data = samples_of("mlp", 300, seed=1)
    later = (data[0].clone(), data[1])
    later[0][100:] += 1.0  # what calibration does not see
    teacher = fresh(Mlp, seed=3)
    variants: list[dict[str, Any]] = [
        {},
        {"fidelity": "trained"},
        {"training": TrainSettings(steps=8, batch_size=17)},
        {"training": TrainSettings(steps=9, batch_size=16)},
        {"training": TrainSettings(steps=8, batch_size=16, distillation_weight=0.5)},
        {"training": TrainSettings(steps=8, batch_size=16, ternary_sparsity=0.5)},
        {"training": TrainSettings(steps=40, batch_size=16)},
        {"training": TrainSettings(steps=40, batch_size=16), "train_data": later},
        {"teacher": teacher},
        {"teacher": fresh(Mlp, seed=4)},
        {"seed": 1},
        {"warm_start": False},
    ]
    prints = [tuned(**{"train_data": data, **variant}).fingerprint for variant in variants]
    assert len(set(prints)) == len(prints)
    assert tuned(train_data=data).fingerprint == prints[0]
    assert tuned(train_data=data, teacher=copy.deepcopy(teacher)).fingerprint == prints[8]


def test_what_decides_no_training_is_not_in_the_fingerprint() -> None:
    data = samples_of("mlp", 300, seed=1)
    beyond = (data[0].clone(), data[1])
    beyond[0][200:] += 1.0  # 8 steps of 16 samples are 128
    assert tuned(train_data=data).fingerprint == tuned(train_data=beyond).fingerprint
    assert tuned(space=SearchSpace(bits=(2, 3))).fingerprint == tuned().fingerprint
    assert tuned(budget=Budget.bops(1e9)).fingerprint == tuned().fingerprint


def test_a_calibrated_fingerprint_knows_nothing_of_training() -> None:
    plain, trained_one = problem(space=MISSION).fingerprint, tuned().fingerprint
    with mock.patch("rlquant.problem.measuring.TRAINING_VERSION", 99):
        assert problem(space=MISSION).fingerprint == plain
        assert tuned().fingerprint != trained_one


def test_fidelities_are_stored_apart_in_one_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    problems = [
        problem(space=MISSION, store=path),
        tuned(store=path),
        tuned(store=path, training=TrainSettings(steps=9, batch_size=16)),
        tuned(store=path, fidelity="trained"),
    ]
    scores = [made.evaluate(mixed_mlp()) for made in problems]
    assert EvaluationStore(path).count() == 4
    assert all(EvaluationStore(path).count(made.fingerprint) == 1 for made in problems)
    with counting_trainings() as measured:
        assert tuned(store=path).evaluate(mixed_mlp()) == scores[1]
        assert tuned(store=path, fidelity="trained").evaluate(mixed_mlp()) == scores[3]
    measured.assert_not_called()


# --- lower fidelities


def test_down_is_allowed_and_is_the_problem_that_would_be_made_there(tmp_path: Path) -> None:
    data = samples_of("mlp", 64, seed=1)
    common: dict[str, Any] = {"train_data": data, "space": MISSION, "store": tmp_path / "store.db"}
    high = problem(fidelity="trained", **common)
    for fidelity in ("tuned", "calibrated"):
        lower = high.at_fidelity(fidelity)  # type: ignore[arg-type]
        made = problem(fidelity=fidelity, **common)
        assert lower.fingerprint == made.fingerprint
        assert lower.fidelity == lower.float_score.fidelity == fidelity
        assert lower.float_score == made.float_score
        assert lower.space == made.space
        assert lower.feasible.options == made.feasible.options
        assert lower.budget is high.budget
    tuned_one = high.at_fidelity("tuned")
    assert tuned_one.at_fidelity("calibrated").fingerprint == problem(**common).fingerprint
    assert tuned_one.evaluate(mixed_mlp()) == problem(fidelity="tuned", **common).evaluate(
        mixed_mlp()
    )
    assert high.at_fidelity("trained") is high


def test_up_and_elsewhere_is_refused() -> None:
    for made, fidelity in (
        (problem(), "tuned"),
        (problem(), "trained"),
        (tuned(), "trained"),
        (tuned(), "best"),
    ):
        words = rf"fidelity='{fidelity}' is above this problem's, '{made.fidelity}'"
        with pytest.raises(SettingsError, match=words):
            made.at_fidelity(fidelity)  # type: ignore[arg-type]


def test_the_higher_problem_is_left_as_it_is() -> None:
    made, plain = tuned(), bits(4, 4, 4)
    before, trained_plain = made.evaluate(mixed_mlp()), made.evaluate(plain)
    lower = made.at_fidelity("calibrated")
    assert lower.evaluate(mixed_mlp()) != before
    assert lower.evaluate(plain) == problem(space=MISSION).evaluate(plain) != trained_plain
    assert made.fidelity == "tuned"
    assert made.evaluate(mixed_mlp()) == before
    assert made.space == MISSION
