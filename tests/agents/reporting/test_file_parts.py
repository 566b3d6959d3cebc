"""The bytes of a packed file by part: they add up to the file, whatever was chosen."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import rlquant
from problems import problem
from reported_runs import MIXED, live_problem
from rlquant import Budget, SearchSpace
from rlquant.documents import read_as
from rlquant.errors import FileFormatError
from rlquant_agents.reporting.file_parts import FileParts, _kind
from small_networks import NETWORKS, trained

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_parts_are_the_file_to_the_byte(tmp_path: Path, name: str) -> None:
    inputs = (None,) if name == "words" else (None, 8)  # word numbers are no activations
    space = SearchSpace(
        bits=(1, 3, 8),
        method=("post_training", "ternary", "float"),
        points=("clipped", "affine", "kmeans", "fixed_point"),
        activation_bits=inputs,
        group_size=("channel", 16, "tensor"),
    )
    asked = problem(name, trained(name), space=space, budget=Budget.average_bits(40))
    draw = np.random.default_rng(0)
    for number in range(6):
        config = asked.feasible.config(asked.feasible.sample(draw))
        parts = FileParts.of(asked, config)
        path = tmp_path / f"{number}.rlq"
        assert parts.total == rlquant.save(asked.build(config), path) == path.stat().st_size
        assert sum(parts.by_part().values()) == parts.total
        storage = asked.costs.size.storage
        for choice, layer in zip(config, parts.layers, strict=True):
            assert layer.total == storage[choice.layer].file_bytes(choice)


def test_tensors_are_told_apart_by_what_they_are() -> None:
    asked = live_problem()
    parts = FileParts.of(asked, asked.feasible.config([0] * len(asked.layers)))
    floats = dict(parts.floats)
    # three BatchNorms of 6, 4 and 6 channels; the biases of `grouped` and `classifier`
    assert floats["normalization layers"] == 4 * 4 * (6 + 4 + 6)
    assert floats["biases"] == 4 * (6 + 3)
    assert floats["weights of layers not searched"] == 4 * 6 * 3
    assert set(floats) == {"normalization layers", "biases", "weights of layers not searched"}
    assert MIXED.exclude == ("classifier",)


@pytest.mark.parametrize("norm", [nn.LayerNorm(3), nn.GroupNorm(1, 3), nn.RMSNorm(3)], ids=str)
def test_every_normalisation_is_known(norm: nn.Module) -> None:
    assert _kind(nn.Sequential(norm), "0.weight") == "normalization layers"


def test_they_are_read_back_as_they_were() -> None:
    asked = live_problem()
    parts = FileParts.of(asked, asked.feasible.config([3] * len(asked.layers)))
    assert read_as(FileParts, json.loads(json.dumps(asdict(parts)))) == parts


@pytest.mark.parametrize("header", [-1, 1.5, "7", True])
def test_a_size_that_is_none_is_refused(header: object) -> None:
    with pytest.raises(FileFormatError, match=r"header is .*, use a"):
        read_as(FileParts, {"layers": [], "floats": {}, "header": header})
