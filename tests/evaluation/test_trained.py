"""Evaluation after training: the network that is measured is the projected one, always the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import rlquant
from rlquant.config import QuantizationConfig
from rlquant.errors import EvaluationStopped
from rlquant.evaluation.looks import Ended, Look
from rlquant.evaluation.measure import run_batches
from rlquant.evaluation.trained import TrainingEvaluator, Watched
from rlquant.objective import Classification
from rlquant.training.watching import FIGURES
from small_networks import NETWORKS, fresh
from training_runs import (
    CHOICES,
    SHORT,
    each,
    float_network,
    group_values,
    hash_of,
    mixed,
    outputs_of,
    same,
    taken,
    trainer,
)

VALIDATION = 50


def evaluator(name: str = "mlp", **other: Any) -> TrainingEvaluator:
    made = trainer(name, **{"warm_start": True, **other})
    objective = other.get("objective", Classification())
    return TrainingEvaluator(made, taken(name, VALIDATION, seed=2).batches(16), objective)


def config_of(name: str) -> QuantizationConfig:
    return mixed(name).canonical("tuned")


@pytest.mark.parametrize("name", CHOICES)
def test_what_is_measured_is_the_network_that_is_built(name: str) -> None:
    made = evaluator(name)
    measured, network = made.measure(config_of(name)), made.build(config_of(name))
    again = made.build(config_of(name))
    assert again is not network  # the first one may be that which was measured
    assert same(again, network)
    samples = taken(name, VALIDATION, seed=2)
    loss, correct = 0.0, 0
    with torch.no_grad():
        for batch in samples.batches(16):
            outputs = network(*batch.inputs)
            loss += float(cross_entropy(outputs, batch.targets, reduction="sum"))
            correct += int((outputs.argmax(dim=1) == batch.targets).sum())
    assert measured.loss == loss / VALIDATION
    assert measured.accuracy == correct / VALIDATION
    assert measured.samples == VALIDATION
    for choice in CHOICES[name]:
        assert group_values(network, choice.layer) <= 2**choice.bits


@pytest.mark.parametrize("name", CHOICES)
def test_nothing_is_carried_over_from_one_evaluation_to_the_next(name: str) -> None:
    made = evaluator(name)
    others = [each(name, 2, method="ternary"), each(name, 2, method="distilled", points="learned")]
    for other in others:
        made.measure(other.canonical("tuned"))
    late, alone = made.build(config_of(name)), evaluator(name).build(config_of(name))
    assert same(late, alone)
    assert made.measure(config_of(name)) == evaluator(name).measure(config_of(name))


def test_a_network_that_was_measured_is_given_away_once_and_for_its_configuration_alone() -> None:
    made, other = evaluator(), each("mlp", 2, method="ternary").canonical("tuned")
    made.measure(config_of("mlp"))
    made.measure(other)
    first = made.build(config_of("mlp"))
    assert same(first, evaluator().build(config_of("mlp")))
    made.measure(config_of("mlp"))
    assert same(made.build(other), evaluator().build(other))
    made.measure(config_of("mlp"))
    spoilt = made.build(config_of("mlp"))
    with torch.no_grad():
        spoilt.get_submodule("last").bias.zero_()  # type: ignore[union-attr, operator]
    assert same(made.build(config_of("mlp")), first)


def test_training_more_steps_is_worth_something() -> None:
    config = each("conv", 2, method="ternary").canonical("trained")
    cold = rlquant.quantize(
        float_network("conv"), config, taken_pair("conv", 48), calibration_samples=48
    )
    validation = taken("conv", VALIDATION, seed=2).batches(16)
    long = replace(SHORT, steps=80, learning_rate=0.02)
    trained = evaluator("conv", settings=long).measure(config)
    assert trained.loss < run_batches(cold, validation, Classification()).loss


def taken_pair(name: str, count: int) -> tuple[Tensor, Tensor]:
    samples = taken(name, count)
    return samples.inputs[0], samples.targets


def test_a_training_that_diverges_is_an_infinite_loss_of_a_network_that_works() -> None:
    wild = replace(SHORT, learning_rate=1e30, scale_rate=1e30, point_rate=1e30, bias_rate=1e30)
    made = evaluator(settings=wild)
    measured = made.measure(config_of("mlp"))
    assert measured.loss == math.inf
    assert 0.0 <= measured.accuracy <= 1.0
    assert measured.samples == VALIDATION
    assert outputs_of(made.build(config_of("mlp")), "mlp").isfinite().all()
    assert evaluator().measure(config_of("mlp")).loss < math.inf  # the next is not harmed


def test_a_training_that_is_ended_has_no_measurement() -> None:
    seen: list[Look] = []

    def end(look: Look) -> bool:
        seen.append(look)
        return True

    made = evaluator()
    with pytest.raises(Ended):
        made.measure(config_of("mlp"), end)
    assert [look.shape for look in seen] == [(1 + len(FIGURES),)]
    assert seen[0][0] == 10
    assert made.measure(config_of("mlp")) == evaluator().measure(config_of("mlp"))


def test_a_watcher_is_told_what_was_looked_at_and_may_end_it() -> None:
    heard: list[tuple[int, Mapping[str, float]]] = []

    def watch(step: int, figures: Mapping[str, float]) -> bool:
        heard.append((step, figures))
        return step >= 20

    watched = Watched(watch)
    assert [watched.ends(np.array([s, 0.5, 0.25, 0.1, 30.0 - s])) for s in (10, 20, 30)] == [
        False,
        True,
        False,  # no steps are left, so there is nothing to end
    ]
    told = {"loss": 0.5, "cross_entropy": 0.25, "learning_rate": 0.1, "steps_left": 20.0}
    assert heard[0] == (10, told)
    with pytest.raises(EvaluationStopped, match="stopped after 30 steps") as raised:
        watched.outcome()
    assert raised.value.steps == 30


def test_the_float_network_is_measured_as_it_is() -> None:
    made = evaluator("conv")
    validation = taken("conv", VALIDATION, seed=2).batches(16)
    assert made.measure_float() == run_batches(float_network("conv"), validation, Classification())


def test_networks_teacher_and_randomness_are_left_alone() -> None:
    network, teacher = fresh(NETWORKS["conv"].build), fresh(NETWORKS["conv"].build, 3)
    before = hash_of(network), hash_of(teacher), torch.get_rng_state()
    evaluator("conv", network=network, teacher=teacher).measure(config_of("conv"))
    assert (hash_of(network), hash_of(teacher)) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])
    parameters = [*network.parameters(), *teacher.parameters()]
    assert all(p.requires_grad and p.grad is None for p in parameters)


class Recording(nn.Module):
    """A teacher that remembers whether it ever ran in training mode or with gradients."""

    bad: list[bool]

    def __init__(self) -> None:
        super().__init__()
        self.inner = fresh(NETWORKS["mlp"].build)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.inner(inputs)
        self.bad.append(self.training or outputs.requires_grad)
        return outputs


def test_the_teacher_answers_in_eval_mode_without_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Recording, "bad", [], raising=False)
    evaluator(teacher=Recording().train()).measure(config_of("mlp"))
    assert Recording.bad
    assert not any(Recording.bad)
    Recording.bad.clear()
    evaluator(teacher=Recording()).measure(each("mlp", method="ternary").canonical("tuned"))
    assert not Recording.bad  # nothing is distilled, so it is not asked
