"""Cutting a network: the pieces do what the whole does, or the cut is refused with the reason."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from cut_networks import CUTTABLE, UNCUTTABLE, Computing, InPlaceNet, Plain, Preamble
from rlquant.copying.network_copy import copy_network
from rlquant.evaluation.cuts import Traced, cut
from rlquant.evaluation.segments import CannotCut, Whole, tensors_of
from rlquant.layers import find_layers
from rlquant.samples import Samples
from small_networks import FEATURES, IMAGE, NETWORKS, fresh, samples, samples_of

ALL = {name: (kind.build, None) for name, kind in NETWORKS.items()} | CUTTABLE


def made(name: str) -> tuple[nn.Module, Samples]:
    build, shape = ALL[name]
    inputs, labels = samples_of(name, 24) if shape is None else samples(24, shape)
    return copy_network(fresh(build)), Samples((inputs,), labels)


def pieces_of(
    network: nn.Module, batch: Samples, calibrated: Sequence[str] = ()
) -> tuple[list[str], Traced]:
    layers = [facts.name for facts in find_layers(network, batch.first(2).inputs)]
    return layers, cut(network, layers, calibrated, [batch, batch.first(5)])


def run(pieces: Traced, values: Any, first: int = 0) -> Any:
    for step in pieces.runs[first:]:
        values = step(*values)
    return values


@pytest.mark.parametrize("name", ALL)
def test_there_is_a_cut_before_every_layer(name: str) -> None:
    network, batch = made(name)
    layers, pieces = pieces_of(network, batch)
    segments = pieces.segments
    assert [s.decided for s in segments if s.decided] == [(layer,) for layer in layers]
    assert len(segments) - len(layers) == (not segments[0].decided)


@pytest.mark.parametrize("name", ALL)
def test_a_piece_may_be_run_again_on_what_crossed_its_cut(name: str) -> None:
    network, batch = made(name)
    _, pieces = pieces_of(network, batch)
    with torch.no_grad():
        expected = network(*batch.inputs)
        crossing: list[Any] = [batch.inputs]
        for step in pieces.runs:
            crossing.append(step(*crossing[-1]))
        before = [[t.clone() for t in tensors_of(values)] for values in crossing[:-1]]
        for first in range(len(pieces.runs)):
            for _ in range(2):
                taken = crossing[first] if first else batch.inputs
                assert torch.equal(run(pieces, taken, first), expected)
    for values, copies in zip(crossing[1:-1], before[1:], strict=True):
        assert all(map(torch.equal, tensors_of(values), copies))


def test_segments_run_the_modules_of_the_network_itself() -> None:
    network, batch = made("in-place")
    _, pieces = pieces_of(network, batch)
    assert isinstance(network, InPlaceNet)
    network.classifier.weight.data.zero_()
    network.classifier.bias.data.fill_(3.0)
    with torch.no_grad():
        assert torch.equal(run(pieces, batch.inputs), torch.full((24, 3), 3.0))


def test_work_before_the_first_layer_is_a_segment_of_its_own() -> None:
    network, batch = made("preamble")
    assert isinstance(network, Preamble)
    layers, pieces = pieces_of(network, batch)
    assert pieces.segments[0].decided == ()
    assert pieces.segments[0].layers == ()
    assert layers == ["first", "second", "last"]


def test_what_is_held_at_a_cut_counts_each_storage_once() -> None:
    network, batch = made("in-place")
    layers, pieces = pieces_of(network, batch)
    image = 4 * 6 * IMAGE[1] * IMAGE[2]
    by_layer = {"".join(s.decided): s.held for s in pieces.segments}
    assert by_layer["stem"] is not None
    assert list(by_layer["stem"].values()) == [image]
    # the block's input and what conv1 made of it both live before conv2
    assert by_layer["conv1"] is not None
    assert list(by_layer["conv1"].values()) == [image, image]
    assert by_layer["stem"].keys() <= by_layer["conv1"].keys()
    assert layers[0] == "stem"


def test_inputs_that_cross_a_cut_are_held_as_every_pass_has_its_own() -> None:
    network = copy_network(nn.Sequential(nn.Flatten(), nn.Linear(FEATURES, 3)))
    _, pieces = pieces_of(network, Samples((torch.randn(24, 2, 3),), torch.zeros(24)))
    assert pieces.segments[0].held == {0: 4 * FEATURES}


def test_modules_that_are_calibrated_are_no_further_cut_into() -> None:
    network, batch = made("conv")
    _, pieces = pieces_of(network, batch, ["stem_norm"])
    assert any("stem_norm" in segment.modules for segment in pieces.segments)


@pytest.mark.parametrize(
    ("build", "reason"), UNCUTTABLE.items(), ids=lambda v: getattr(v, "__name__", "")
)
def test_what_cannot_be_vouched_for_is_refused(build: type[Plain], reason: str) -> None:
    network = copy_network(fresh(build))
    inputs, labels = samples(24)
    with torch.random.fork_rng(), pytest.raises(CannotCut, match=re.escape(reason)):
        cut(network, ["first", "last"], [], [Samples((inputs,), labels)])


def test_a_default_that_is_computed_with_takes_its_value() -> None:
    network = copy_network(fresh(Computing))
    inputs, labels = samples(24)
    pieces = cut(network, ["first", "last"], [], [Samples((inputs,), labels)])
    with torch.no_grad():
        assert torch.equal(run(pieces, (inputs,)), network(inputs))


def test_the_whole_network_is_one_segment() -> None:
    network, batch = made("mlp")
    pieces = Whole(network, ("first", "second", "last"))
    (segment,) = pieces.segments
    with torch.no_grad():
        assert torch.equal(pieces.run(0, batch, (), {}), network(*batch.inputs))
    assert segment.decided == ("first", "second", "last")
    assert {"first", "second", "last"} <= segment.modules
