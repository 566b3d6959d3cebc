"""The problem: scores, what is remembered, what identifies it, and what it refuses."""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from problems import ROOT, bits, counting, problem, wide_problem
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.cost.budget import Budget
from rlquant.cost.latency import LatencyTable
from rlquant.errors import (
    BudgetError,
    FileFormatError,
    UnknownNameError,
)
from rlquant.evaluation_settings import Calibrate, EvaluationSettings
from rlquant.network.modules import quantized_weight
from rlquant.objective import Classification
from rlquant.problem.live import QuantizationProblem
from rlquant.score import Score
from rlquant.space import SearchSpace
from rlquant.store.store import EvaluationStore
from small_networks import (
    CLASSES,
    FEATURES,
    NETWORKS,
    Mlp,
    TwoInputsNet,
    fresh,
    samples,
    samples_of,
    trained,
)

# --- scores


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_score_is_that_of_the_network_that_is_built(name: str, data: st.DataObject) -> None:
    made = wide_problem(name)
    option = st.integers(0, len(made.feasible.options) - 1)
    indices = data.draw(st.lists(option, min_size=len(made.layers), max_size=len(made.layers)))
    config = made.feasible.config(indices)
    score = made.evaluate(config)
    network = made.build(config)
    loss, correct, stored = 0.0, 0, 0
    with torch.no_grad():
        for batch in made.validation.batches(made.evaluation.batch_size):
            outputs = network(*batch.inputs)
            loss += float(nn.functional.cross_entropy(outputs, batch.targets, reduction="sum"))
            correct += int((outputs.argmax(dim=1) == batch.targets).sum())
    assert score.loss == (loss / 50 if math.isfinite(loss) else math.inf)
    assert score.accuracy == correct / 50
    for facts in made.layers:
        found = quantized_weight(network.get_submodule(facts.name))
        stored += 32 * facts.parameters if found is None else found.tensor.size_bits()
    assert score.average_bits == stored / sum(facts.parameters for facts in made.layers)


def test_a_score_by_hand() -> None:
    made = problem()
    score = made.evaluate(bits(2, 4, 8, activation_bits=4))
    assert score.average_bits == (48 * 2 + 64 * 4 + 24 * 8 + (8 + 8 + 3) * 16) / 136
    assert score.bops == (48 * 2 + 64 * 4 + 24 * 8) * 4
    assert score.size_ratio == score.size_bytes / made.costs.size.float_bytes
    assert (score.samples, score.fidelity, score.latency) == (50, "calibrated", None)


def test_layers_that_are_kept_count_as_float() -> None:
    whole = problem().float_score
    assert whole.average_bits == 32
    assert whole.bops == 136 * 32 * 32
    part = problem(space=SearchSpace(exclude=("second",)))
    assert [facts.name for facts in part.layers] == ["first", "last"]
    assert part.float_score.average_bits == 32
    assert part.float_score.bops == whole.bops
    config = QuantizationConfig((LayerChoice("first", 2), LayerChoice("last", 2)))
    assert part.evaluate(config).bops == 64 * 32 * 32 + (48 + 24) * 2 * 32


def test_the_float_network_is_scored_as_it_is() -> None:
    made = problem("conv", trained("conv"))
    outputs = made.network(*made.validation.inputs)
    loss = float(nn.functional.cross_entropy(outputs, made.validation.targets).detach())
    assert made.float_score.loss == pytest.approx(loss)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("calibrate", get_args(Calibrate))
def test_calibration_leaves_the_float_network_as_it_is(name: str, calibrate: Calibrate) -> None:
    made = problem(name, trained(name), calibrate=calibrate)
    kept = tuple(LayerChoice(f.name, 32, method="float") for f in made.layers)
    assert made.evaluate(QuantizationConfig(kept)).loss == made.float_score.loss
    assert ("calibrate=" in str(made.notes)) is (calibrate != "auto")


def test_many_are_scored_in_the_order_given() -> None:
    made = problem()
    configs = [bits(8, 8, 8), bits(2, 2, 2), bits(8, 8, 8)]
    assert made.evaluate_many(iter(configs)) == [made.evaluate(config) for config in configs]
    assert made.evaluate_many([]) == []


def test_a_configuration_over_the_budget_is_scored_too() -> None:
    made = problem(budget=Budget.average_bits(5.0))
    score = made.evaluate(bits(8, 8, 8))
    assert score.average_bits > 5.0
    assert score == problem().evaluate(bits(8, 8, 8))
    assert not made.feasible.fits(made.feasible.indices(bits(8, 8, 8, points="clipped")))


def test_a_network_broken_by_quantization_has_an_infinite_loss(tmp_path: Path) -> None:
    class Ratio(nn.Module):
        """One symmetric bit, -1 or 0, leaves nothing of positive weights: 0 / 0."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(FEATURES, CLASSES, bias=False)
            self.inner.weight.data.abs_().add_(0.1)

        def forward(self, inputs: Tensor) -> Tensor:
            hidden: Tensor = self.inner(inputs.abs() + 1)
            return hidden / hidden.sum(dim=1, keepdim=True)

    network, store = fresh(Ratio), tmp_path / "store.db"
    config = QuantizationConfig((LayerChoice("inner", 1),))
    assert problem(network=network, store=store).evaluate(config).loss == math.inf
    with counting() as measured:
        assert problem(network=network, store=store).evaluate(config).loss == math.inf
    measured.assert_not_called()


def test_a_score_has_the_latency_of_its_budget() -> None:
    rows: dict[tuple[str, str, int | None, int, int | None], float] = {
        ("linear", shape, None, width, None): width / 1000
        for shape in ("8x6", "8x8", "3x8")
        for width in (2, 8)
    }
    made = problem(budget=Budget.latency(0.012, LatencyTable(rows)), space=SearchSpace(bits=(2, 8)))
    assert made.evaluate(bits(2, 2, 8)).latency == 0.012
    assert made.float_score.latency is None  # the table need not know float layers
    assert made.feasible.count() == pytest.approx(4)
    with pytest.raises(
        BudgetError, match="no row for layer 'first': kind=linear, shape=8x6, bits=4"
    ):
        made.evaluate(bits(4, 2, 2))
    with pytest.raises(BudgetError, match=r"no row for layer 'first': .*bits=4"):
        problem(budget=made.budget, space=SearchSpace(bits=(2, 4)))


def test_the_latency_of_kept_layers_counts() -> None:
    rows: dict[tuple[str, str, int | None, int, int | None], float] = {
        ("linear", "8x6", None, 2, None): 0.001,
        ("linear", "3x8", None, 2, None): 0.002,
        ("linear", "8x8", None, 32, None): 0.01,
    }
    space = SearchSpace(bits=(2,), exclude=("second",))
    made = problem(budget=Budget.latency(0.02, LatencyTable(rows)), space=space)
    score = made.evaluate(made.feasible.config([0, 0]))
    assert score.latency == made.feasible.cost.value(made.feasible.smallest) == 0.013
    with pytest.raises(BudgetError, match=r"smallest reachable is 0\.013"):
        made.with_budget(Budget.latency(0.012, LatencyTable(rows)))


def test_a_network_of_two_inputs_is_scored() -> None:
    def data(count: int, seed: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
        (left, targets), (right, _) = samples(count, seed=seed), samples(count, seed=seed + 1)
        return (left, right), targets

    made = problem(network=fresh(TwoInputsNet), train_data=data(40, 1), validation_data=data(50, 3))
    assert [facts.name for facts in made.layers] == ["left", "right", "classifier"]
    config = made.feasible.config([0, 1, 2])
    outputs = made.build(config)(*made.validation.inputs)
    loss = float(nn.functional.cross_entropy(outputs, made.validation.targets))
    assert made.evaluate(config).loss == pytest.approx(loss)


# --- canonical configurations


def test_layers_that_are_not_named_are_kept_and_order_does_not_matter() -> None:
    made = problem()
    kept = LayerChoice("second", 32, method="float")
    config = QuantizationConfig((LayerChoice("last", 4), LayerChoice("first", 2)))
    canonical = made.canonical(config)
    assert list(canonical) == [LayerChoice("first", 2), kept, LayerChoice("last", 4)]
    assert made.canonical(canonical) == canonical
    assert made.evaluate(config) == made.evaluate(canonical)


def test_equal_canonical_forms_are_one_evaluation() -> None:
    made = problem()
    with counting() as measured:
        made.evaluate(bits(3, 3, 3, points="quantile"))
        made.evaluate(bits(3, 3, 3, points="learned", method="distilled"))
        made.evaluate(bits(3, 3, 3, points="quantile", method="distilled"))
        assert measured.call_count == 1
        made.evaluate(bits(3, 3, 3, method="ternary"))
        made.evaluate(bits(8, 2, 5, method="ternary", rounding="stochastic"))
        assert measured.call_count == 2


def test_an_unknown_layer_gets_the_nearest_name() -> None:
    config = QuantizationConfig((LayerChoice("frist", 4),))
    for use in (problem().evaluate, problem().build):
        with pytest.raises(UnknownNameError, match="unknown searched layer 'frist'; did you mean"):
            use(config)
    kept = problem(space=SearchSpace(exclude=("second",)))
    with pytest.raises(UnknownNameError, match="unknown searched layer 'second'"):
        kept.evaluate(QuantizationConfig((LayerChoice("second", 4),)))


def test_a_calibrated_problem_offers_nothing_that_needs_training() -> None:
    space = SearchSpace(method=("post_training", "distilled"), points=("learned", "quantile"))
    made = problem(space=space)
    assert made.space.method == ("post_training",)
    assert made.space.points == ("quantile",)
    assert len(made.feasible.options) == len(space.bits)


# --- what is remembered


def test_nothing_is_measured_twice() -> None:
    made = problem()
    with counting() as measured:
        first = made.evaluate(bits(4, 4, 4))
        assert made.evaluate(bits(4, 4, 4)) == first
        assert measured.call_count == 1


def test_another_budget_shares_everything_but_the_limit() -> None:
    made = problem()
    with counting() as measured:
        score = made.evaluate(bits(4, 4, 4))
        other = made.with_budget(Budget.average_bits(6.5))
        assert other.evaluate(bits(4, 4, 4)) == score
        other.evaluate(bits(5, 4, 4))
        made.evaluate(bits(5, 4, 4))
        assert measured.call_count == 2
    assert other.fingerprint == made.fingerprint
    assert other.evaluator is made.evaluator
    assert (made.budget.limit, other.budget.limit) == (32, 6.5)
    assert other.feasible.count() < made.feasible.count()


def test_the_budget_of_a_score_keeps_its_configuration() -> None:
    made = problem()
    config = bits(2, 4, 8, points="clipped")
    score = made.evaluate(config)
    for budget in (
        Budget.average_bits(score.average_bits),
        Budget.size_bytes(score.size_bytes),
        Budget.size_ratio(score.size_ratio),
        Budget.bops(score.bops),
    ):
        kept = made.with_budget(budget).feasible
        assert kept.fits(kept.indices(config))
        assert kept.spent(kept.indices(config)) == kept.limit


def test_a_store_answers_for_what_it_has_seen(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    configs = [bits(4, 4, 4), bits(2, 2, 2)]
    with counting() as measured:
        scores = problem(store=path).evaluate_many(configs)
        assert measured.call_count == 2
        assert problem(store=EvaluationStore(path)).evaluate_many(configs) == scores
        assert problem(budget=Budget.bops(1e9), store=str(path)).evaluate_many(configs) == scores
        assert measured.call_count == 2
        problem(store=path, seed=1).evaluate_many(configs)  # another problem
        assert measured.call_count == 4
    assert EvaluationStore(path).count() == 4
    assert EvaluationStore(path).count(problem().fingerprint) == 2


def test_a_store_can_be_given_later(tmp_path: Path) -> None:
    made = problem()
    score = made.evaluate(bits(4, 4, 4))
    with counting() as measured:
        stored = made.with_store(tmp_path / "store.db")
        assert stored.evaluate(bits(4, 4, 4)) == score
        assert measured.call_count == 1  # so the store has it too
        assert stored.with_store(None).evaluate(bits(4, 4, 4)) == score
    assert EvaluationStore(tmp_path / "store.db").count(made.fingerprint) == 1
    assert made.store is None


def test_a_damaged_store_is_said_to_be_before_anything_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"something else" * 100)
    with counting() as measured, pytest.raises(FileFormatError, match=r"store.db: damaged or no"):
        problem(store=path).evaluate(bits(4, 4, 4))
    measured.assert_not_called()


# --- what identifies a problem


def test_what_a_score_depends_on_is_in_the_fingerprint() -> None:
    class Named(Classification):
        """Another objective by name."""

    train, validation = samples_of("mlp", 40, seed=1), samples_of("mlp", 50, seed=2)
    moved = fresh(Mlp)
    moved.second.bias.data[0] += 1e-3
    variants: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"network": fresh(Mlp, seed=1)},
        {"network": moved},
        {"network": nn.Sequential(fresh(Mlp))},
        {"train_data": (train[0] + 1e-3, train[1])},
        {"validation_data": (validation[0] + 1e-3, validation[1])},
        {"validation_data": (validation[0], validation[1].flip(0))},
        {"validation_samples": 49},
        {"calibration_samples": 39},
        {"batch_size": 17},
        {"activation_range": "minmax"},
        {"calibrate": "none"},
        {"objective": Named("another name")},
        {"space": SearchSpace(exclude=("second",))},
    ]
    prints = [problem(**variant).fingerprint for variant in variants]
    assert len(set(prints)) == len(prints)


def test_another_forward_of_the_same_name_has_another_fingerprint(tmp_path: Path) -> None:
    def scaled(k: float) -> nn.Module:
        class Scaled(Mlp):
            """The same class, layers and weights in every description."""

            def forward(self, inputs: Tensor) -> Tensor:
                return k * super().forward(inputs)

        return fresh(Scaled)

    one, five = (problem(network=scaled(k), store=tmp_path / "store.db") for k in (1, 5))
    assert one.fingerprint == problem(network=scaled(1)).fingerprint != five.fingerprint
    assert one.evaluate(bits(4, 4, 4)).loss != five.evaluate(bits(4, 4, 4)).loss


def test_what_no_score_depends_on_is_not_in_the_fingerprint(tmp_path: Path) -> None:
    first = problem().fingerprint
    assert problem().fingerprint == first
    assert problem(budget=Budget.bops(1e9)).fingerprint == first
    assert problem(space=SearchSpace(bits=(2, 3), points=("kmeans",))).fingerprint == first
    assert problem(store=tmp_path / "store.db").fingerprint == first
    assert problem(network=fresh(Mlp).train()).fingerprint == first


CHILD = """
import json, pickle, sys
import torch
from rlquant.config import QuantizationConfig
from test_problem import problem

torch.set_num_threads(1)
config = QuantizationConfig.from_json(sys.argv[1])
with open(sys.argv[2], "rb") as stream:
    sent = pickle.load(stream)
said = [(p.fingerprint, p.evaluate(config).to_json()) for p in (problem("conv"), sent)]
print(json.dumps(said))
"""


def test_another_process_has_the_same_fingerprint_and_score(tmp_path: Path) -> None:
    made = problem("conv")
    config = made.feasible.config([0, 1, 2, 3, 4])
    score = made.evaluate(config)
    sent = tmp_path / "problem.pickle"
    sent.write_bytes(pickle.dumps(made))
    folders = f"{ROOT / 'tests'}{os.pathsep}{Path(__file__).parent}"
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, config.to_json(), str(sent)],
        env=os.environ | {"PYTHONPATH": folders, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    for fingerprint, text in json.loads(ran.stdout):
        assert fingerprint == made.fingerprint
        assert Score.from_json(text) == score


# --- processes and copies


def test_a_problem_crosses_processes_with_its_scores(tmp_path: Path) -> None:
    made = problem("conv", trained("conv"), store=tmp_path / "store.db")
    config = made.feasible.config([1] * 5)
    score = made.evaluate(config)
    again = pickle.loads(pickle.dumps(made))
    assert again.fingerprint == made.fingerprint
    assert again.layers == made.layers
    assert again.float_score == made.float_score
    with counting() as measured:
        assert again.evaluate(config) == score
        assert measured.call_count == 0
        other = made.feasible.config([2] * 5)
        assert again.evaluate(other) == made.evaluate(other)
        assert measured.call_count == 1  # the second found it in the store


def test_a_deep_copy_is_the_problem_itself() -> None:
    made = problem()
    assert copy.deepcopy(made) is made
    assert copy.deepcopy({"problem": made})["problem"] is made


# --- the user's things stay as they are


def test_the_users_network_and_data_are_left_alone() -> None:
    network = fresh(NETWORKS["conv"].build).train()
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    train, validation = samples_of("conv", 40, seed=1), samples_of("conv", 50, seed=2)
    kept = [tensor.clone() for tensor in (*train, *validation)]
    made = problem("conv", network, train_data=train, validation_data=validation)
    score = made.evaluate(made.feasible.config([0] * 5))
    assert all(torch.equal(state[key], tensor) for key, tensor in network.state_dict().items())
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(kept, (*train, *validation), strict=True))
    for tensor in (*network.parameters(), train[0], validation[0]):
        tensor.data.zero_()  # and what happens to them later does not matter
    again = made.with_store(None)
    assert again.evaluate(made.feasible.config([0] * 5)) == score


def test_layers_that_never_run_are_left_out() -> None:
    network = fresh(Mlp)
    network.spare = nn.Linear(2, 2)
    made = problem(network=network)
    assert [facts.name for facts in made.layers] == ["first", "second", "last"]
    assert made.evaluate(bits(4, 4, 4)).size_bytes > problem().evaluate(bits(4, 4, 4)).size_bytes


# --- samples of sensitivities


@pytest.mark.parametrize(("count", "own"), [(64 + 70, 64), (64 + 20, 20), (64 + 19, 0), (64, 0)])
def test_sensitivities_are_measured_on_what_neither_quantizers_nor_searches_see(
    count: int, own: int
) -> None:
    train, validation = samples_of("mlp", count, seed=1), samples_of("mlp", 20, seed=2)
    made = QuantizationProblem(
        fresh(Mlp),
        train,
        validation,
        budget=Budget.average_bits(8.0),
        evaluation=EvaluationSettings(calibration_samples=64),
    )
    expected = train[0][64 : 64 + own] if own else validation[0]
    assert torch.equal(made.unfitted.inputs[0], expected)  # type: ignore[index]
