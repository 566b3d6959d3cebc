"""Incremental evaluation gives what the plain one gives, bit for bit, whatever it remembers."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cut_networks import CUTTABLE, Branching
from layer_choices import CHOICES
from rlquant import EvaluationSettings
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.evaluation.evaluator import Evaluator
from rlquant.evaluation.incremental import LEFT_FOR_GAPS
from rlquant.evaluation.measure import run_batches
from rlquant.layers import LayerFacts, find_layers
from rlquant.samples import Samples
from rlquant.space import for_layer
from rlquant.tasks.networks import build
from small_networks import NETWORKS, fresh, samples, samples_of

DIGITS = {f"digits-{name}": name for name in ("mlp", "cnn", "resnet8", "resnet14")}
LARGEST = "digits-resnet14"
NAMES = (
    *(*NETWORKS, *CUTTABLE, *sorted(set(DIGITS) - {LARGEST})),
    pytest.param(LARGEST, marks=pytest.mark.slow),
)
LIMITS = (0, 1, 3_000, 20_000, 2**30)


class Recording:
    """An objective that keeps every output; its loss is their sum, which any change shows in."""

    name = "recording"

    def __init__(self) -> None:
        self.outputs: list[Tensor] = []

    def __call__(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        self.outputs.append(outputs.clone())
        return outputs.double().sum(), outputs.double().abs().sum()

    def check(self, outputs: Any, targets: Tensor) -> None:
        pass


@cache
def made(name: str) -> tuple[nn.Module, tuple[LayerFacts, ...], Samples, Samples]:
    def taken(count: int) -> Samples:
        if name in DIGITS:
            inputs, labels = samples(count, (1, 8, 8), seed=count)
        elif name in CUTTABLE:
            inputs, labels = samples(count, CUTTABLE[name][1], seed=count)
        else:
            inputs, labels = samples_of(name, count, seed=count)
        return Samples((inputs,), labels)

    if name in DIGITS:
        network = build(DIGITS[name], (1, 8, 8), 3)
    else:
        network = fresh(CUTTABLE[name][0] if name in CUTTABLE else NETWORKS[name].build)
    calibration, validation = taken(20), taken(23)
    return network, find_layers(network, calibration.first(2).inputs), calibration, validation


def evaluator_of(name: str, prefix_bytes: int, batch_size: int = 10) -> Evaluator:
    network, layers, calibration, validation = made(name)
    return Evaluator(
        network,
        layers,
        calibration,
        validation.batches(batch_size),
        Recording(),
        seed=3,
        evaluation=EvaluationSettings(prefix_bytes=prefix_bytes),
    )


@st.composite
def walks(draw: st.DrawFn, name: str) -> list[QuantizationConfig]:
    """Configurations that often agree in their first layers; some are asked for twice."""
    layers = made(name)[1]
    linear = name not in ("words", "transposed")
    few = [draw(st.sampled_from(CHOICES)) for _ in range(2)]
    configs: list[tuple[LayerChoice, ...]] = []
    for _ in range(draw(st.integers(2, 6))):
        start = draw(st.sampled_from(configs)) if configs else ()
        agreed = draw(st.integers(0, len(layers)))
        chosen = list(start[:agreed])
        for facts in layers[len(chosen) :]:
            choice = for_layer(draw(st.sampled_from(few)), facts.name)
            if linear and choice.method != "float" and draw(st.integers(0, 4)) == 0:
                choice = replace(choice, activation_bits=4)
            chosen.append(choice.canonical())
        configs.append(tuple(chosen))
    return [QuantizationConfig(config) for config in configs]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_outputs_are_those_of_the_network_that_is_built(name: str, data: st.DataObject) -> None:
    limit, batch_size = data.draw(st.sampled_from(LIMITS)), data.draw(st.sampled_from((7, 10, 23)))
    evaluator = evaluator_of(name, limit, batch_size)
    walk = data.draw(walks(name))
    hints = data.draw(st.lists(st.booleans(), min_size=len(walk), max_size=len(walk)))
    for place, (config, hint) in enumerate(zip(walk, hints, strict=True)):
        following = walk[place + 1] if hint and place + 1 < len(walk) else None
        evaluator.objective = Recording()
        measured = evaluator.measure(config, following=following)
        plain = Recording()
        assert repr(run_batches(evaluator.build(config), evaluator.batches, plain)) == repr(
            measured
        )
        outputs = zip(evaluator.objective.outputs, plain.outputs, strict=True)
        assert all(a.equal(b) or (a.isnan() == b.isnan()).all() for a, b in outputs)
        assert 0 <= evaluator.incremental.trie.bytes <= limit


def uniform(evaluator: Evaluator, bits: int, **other: int) -> QuantizationConfig:
    """Every layer at `bits`, but the last `other` ones."""
    names = [facts.name for facts in evaluator.layers]
    last = other.get("last", 0)
    widths = [bits] * (len(names) - last) + [other.get("then", bits)] * last
    return QuantizationConfig(tuple(map(LayerChoice, names, widths)))


def calls_of(evaluator: Evaluator, *configs: QuantizationConfig) -> list[dict[str, int]]:
    """Count how often each searched layer runs in each of several measurements."""
    counted: list[dict[str, int]] = []
    for config in configs:
        calls: dict[str, int] = {}
        handles = []
        for name, module in evaluator._modules.items():

            def hook(module: nn.Module, args: Any, name: str = name, c: Any = calls) -> None:
                c[name] = c.get(name, 0) + 1

            handles.append(module.register_forward_pre_hook(hook))
        evaluator.measure(config)
        for handle in handles:
            handle.remove()
        counted.append(calls)
    return counted


def test_only_what_comes_after_a_change_is_run_again() -> None:
    evaluator = evaluator_of("digits-cnn", 2**30)
    first, second, third = calls_of(
        evaluator,
        uniform(evaluator, 4),
        uniform(evaluator, 4, last=2, then=3),
        uniform(evaluator, 4, last=1, then=2),
    )
    runs = 1 + 3  # calibration, and three validation batches
    assert first == dict.fromkeys(("conv1", "conv2", "conv3", "classifier"), runs)
    assert second == {"conv3": runs, "classifier": runs}
    assert third == {"classifier": runs}


def test_with_no_memory_everything_is_run_again() -> None:
    evaluator = evaluator_of("digits-cnn", 0)
    config = uniform(evaluator, 4)
    first, second = calls_of(evaluator, config, config)
    assert first == second == dict.fromkeys(("conv1", "conv2", "conv3", "classifier"), 4)


def test_of_a_known_sequence_only_what_is_shared_is_kept() -> None:
    evaluator = evaluator_of("digits-cnn", 2**30)
    configs = [uniform(evaluator, 4), uniform(evaluator, 4, last=3, then=2)]
    evaluator.measure(configs[0], following=configs[1])
    assert evaluator.incremental.trie.count == 1
    assert evaluator.incremental.trie.longest(configs[1].choices)[0] == 1


def test_a_small_memory_keeps_the_deepest_of_what_is_known_to_come() -> None:
    unlimited = evaluator_of("digits-cnn", 2**30)
    config = uniform(unlimited, 4)
    unlimited.measure(config)
    one = min(sum(held.values()) for held in unlimited.incremental._held[:-1])
    evaluator = evaluator_of("digits-cnn", math.ceil(one / (1 - LEFT_FOR_GAPS)))
    evaluator.measure(config, following=uniform(evaluator, 4, last=1, then=2))
    assert evaluator.incremental.trie.count == 1
    assert evaluator.incremental.trie.longest(config.choices)[0] == 3


def test_calibration_of_what_is_shared_is_that_of_the_configuration() -> None:
    """Statistics of an earlier configuration must not leak through modules that are not run."""
    evaluator = evaluator_of("conv", 2**30)
    two, eight = uniform(evaluator, 2), uniform(evaluator, 8)
    mixed = uniform(evaluator, 2, last=2, then=8)
    alone = evaluator_of("conv", 0).measure(mixed)
    for before in ((two,), (two, eight), (eight, two, eight)):
        fresh_one = evaluator_of("conv", 2**30)
        for config in before:
            fresh_one.measure(config)
        assert fresh_one.measure(mixed) == alone


def test_a_network_that_cannot_be_cut_is_run_whole_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network = fresh(Branching)
    inputs, labels = samples(20)
    taken = Samples((inputs,), labels)
    with caplog.at_level(logging.WARNING, "rlquant"):
        evaluator = Evaluator(
            network,
            find_layers(network, inputs),
            taken,
            [taken],
            Recording(),
            seed=0,
        )
        configs = [uniform(evaluator, bits) for bits in (2, 3)]
        measured = [evaluator.measure(config) for config in configs]
    assert [r.getMessage() for r in caplog.records if "whole network" in r.getMessage()] == [
        "evaluations run the whole network each time, as it can be cut neither at its layers "
        "(torch.fx cannot trace it (TraceError: symbolically traced variables cannot be used as "
        "inputs to control flow)) nor between its blocks (it has no blocks (in an nn.ModuleList or "
        "nn.Sequential) that run once each)"
    ]
    for config, one in zip(configs, measured, strict=True):
        assert run_batches(evaluator.build(config), evaluator.batches, Recording()) == one


def test_an_evaluation_that_is_broken_off_leaves_nothing_behind() -> None:
    class Failing(Recording):
        def __call__(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            raise ZeroDivisionError

    evaluator = evaluator_of("digits-cnn", 2**30)
    config = uniform(evaluator, 4)
    evaluator.objective = Failing()
    with pytest.raises(ZeroDivisionError):
        evaluator.measure(config)
    assert evaluator.incremental.trie.count == 0
    evaluator.objective = Recording()
    measured = evaluator.measure(config)
    assert run_batches(evaluator.build(config), evaluator.batches, Recording()) == measured
    assert not torch.is_inference_mode_enabled()
