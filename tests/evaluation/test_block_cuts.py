"""Networks that torch.fx cannot trace: cut between blocks they give what the whole gives."""

from __future__ import annotations

import logging
import re
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from block_networks import HAND_MADE, HUGGING_FACE, REFUSED, Stack, main, words
from layer_choices import CHOICES
from rlquant import EvaluationSettings
from rlquant.config import LayerChoice, QuantizationConfig
from rlquant.copying.network_copy import copy_network
from rlquant.evaluation.block_cuts import BlockPieces, cut_blocks
from rlquant.evaluation.evaluator import Evaluator
from rlquant.evaluation.segments import CannotCut
from rlquant.forward_pass import run
from rlquant.layers import LayerFacts, find_layers
from rlquant.samples import Samples
from rlquant.space import for_layer
from small_networks import fresh

NAMES = (*HAND_MADE, *HUGGING_FACE)
LIMITS = (0, 3_000, 20_000, 2**30)


class Recording:
    """An objective that keeps every output."""

    name = "recording"

    def __init__(self) -> None:
        self.outputs: list[Tensor] = []

    def __call__(self, outputs: Any, targets: Tensor) -> tuple[Tensor, Tensor]:
        self.outputs.append(main(outputs).clone())
        return self.outputs[-1].double().sum(), torch.zeros(())

    def check(self, outputs: Any, targets: Tensor) -> None:
        pass


@cache
def made(name: str) -> tuple[nn.Module, tuple[LayerFacts, ...], Samples, Samples]:
    if name in HUGGING_FACE:
        pytest.importorskip("transformers")
    network = fresh(HAND_MADE.get(name) or HUGGING_FACE[name])
    named = name in HUGGING_FACE
    calibration, validation = words(9, named=named), words(13, named=named)
    return network, find_layers(network, calibration.first(2).inputs), calibration, validation


def evaluator_of(name: str, prefix_bytes: int = 2**30, batch_size: int = 5) -> Evaluator:
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
    few = [draw(st.sampled_from(CHOICES)) for _ in range(2)]
    configs: list[tuple[LayerChoice, ...]] = []
    for _ in range(draw(st.integers(2, 5))):
        start = draw(st.sampled_from(configs)) if configs else ()
        chosen = list(start[: draw(st.integers(0, len(layers)))])
        chosen += [for_layer(draw(st.sampled_from(few)), f.name) for f in layers[len(chosen) :]]
        configs.append(tuple(choice.canonical() for choice in chosen))
    return [QuantizationConfig(config) for config in configs]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_outputs_are_those_of_the_network_that_is_built(name: str, data: st.DataObject) -> None:
    limit, batch_size = data.draw(st.sampled_from(LIMITS)), data.draw(st.sampled_from((4, 13)))
    evaluator = evaluator_of(name, limit, batch_size)
    assert isinstance(evaluator.incremental.pieces, BlockPieces)
    walk = data.draw(walks(name))
    hints = data.draw(st.lists(st.booleans(), min_size=len(walk), max_size=len(walk)))
    for place, (config, hint) in enumerate(zip(walk, hints, strict=True)):
        following = walk[place + 1] if hint and place + 1 < len(walk) else None
        evaluator.objective = Recording()
        evaluator.measure(config, following=following)
        built = evaluator.build(config)
        with torch.no_grad():
            expected = [main(run(built, batch.inputs)) for batch in evaluator.batches]
        assert all(map(torch.equal, evaluator.objective.outputs, expected))
        assert 0 <= evaluator.incremental.trie.bytes <= limit


@pytest.mark.parametrize("name", NAMES)
def test_every_block_but_the_last_ends_a_segment(name: str) -> None:
    pieces = evaluator_of(name).incremental.pieces
    blocks = {"stack": 3, "in-place": 2 + 1, "two lists": 2 + 2, "llama": 3, "bert": 3}[name]
    assert len(pieces.segments) == blocks
    names = [facts.name for facts in made(name)[1]]
    assert [layer for segment in pieces.segments for layer in segment.decided] == names


def test_blocks_before_a_change_are_not_run_again() -> None:
    evaluator = evaluator_of("stack")
    names = [facts.name for facts in made("stack")[1]]
    first = [LayerChoice(name, 4) for name in names]
    second = [*first[:-3], *(LayerChoice(name, 2) for name in names[-3:])]
    calls: dict[str, int] = {}
    for name, module in evaluator._modules.items():

        def hook(module: nn.Module, args: Any, name: str = name) -> None:
            calls[name] = calls.get(name, 0) + 1

        module.register_forward_pre_hook(hook)
    evaluator.measure(QuantizationConfig(tuple(first)))
    assert calls == dict.fromkeys(names, 1 + 3)  # calibration, and three batches
    calls.clear()
    evaluator.measure(QuantizationConfig(tuple(second)))
    # hooks see `embedding` and `gate` answer; what they compute is not run either
    assert calls == dict.fromkeys(["embedding", "gate", *names[-3:]], 4)


def test_only_the_last_outputs_take_memory() -> None:
    pieces = evaluator_of("llama").incremental.pieces
    sizes = [sum((segment.held or {}).values()) for segment in pieces.segments]
    assert sizes == [5 * 8 * 4] * 2 + [0]


def test_an_encoder_s_outputs_stay_for_a_decoder() -> None:
    pieces = evaluator_of("two lists").incremental.pieces
    held = [segment.held or {} for segment in pieces.segments]
    assert held[1].keys() < held[2].keys()


@pytest.mark.parametrize(("build", "reason"), REFUSED.items(), ids=lambda v: getattr(v, "name", ""))
def test_what_depends_on_more_is_refused(build: type[nn.Module], reason: str) -> None:
    network = copy_network(fresh(build))
    batch = words(6, named=False)
    layers = [facts.name for facts in find_layers(network, batch.first(2).inputs)]
    with pytest.raises(CannotCut, match=re.escape(reason)):
        cut_blocks(network, layers, [], batch)


def test_a_network_is_left_as_it_was() -> None:
    network = copy_network(fresh(Stack))
    batch = words(6, named=False)
    before = [vars(module).copy() for module in network.modules()]
    layers = [facts.name for facts in find_layers(network, batch.first(2).inputs)]
    cut_blocks(network, layers, [], batch)
    assert [vars(module) for module in network.modules()] == before


def test_nothing_is_said_where_a_network_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "rlquant"):
        evaluator_of("stack")
    assert not [r for r in caplog.records if "whole network" in r.getMessage()]
