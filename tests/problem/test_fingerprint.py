"""Fingerprints: what they must see of a network and of an objective, and what they must not."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rlquant.objective import Classification, as_objective
from rlquant.problem.fingerprint import describe_objective, fingerprint
from small_networks import NETWORKS, Mlp, fresh

ROOT = Path(__file__).parents[2]


class Scaled(nn.Module):
    """A network whose outputs depend on a plain attribute."""

    def __init__(self, scale: Any) -> None:
        super().__init__()
        self.inner = fresh(Mlp)
        self.scale = scale

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.inner(inputs) * self.scale
        return output


class Buffered(nn.Module):
    """A buffer that no state dictionary holds."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(value), persistent=False)


class Mode(Enum):
    """Two values of a kind."""

    ONE = 1
    TWO = 2


@dataclass
class Options:
    """Options as a dataclass."""

    width: int
    names: list[str] = field(default_factory=list)


def times(k: float) -> Callable[[float], float]:
    return lambda x: x * k


def plus(k: float) -> Callable[[float], float]:
    def add(x: float, more: float = 0.0) -> float:
        return x + k + more

    return add


def first(x: float) -> float:
    return x


def second(x: float) -> float:
    return x


PAIRS: dict[str, tuple[Any, Any]] = {
    "int": (1, 5),
    "float": (1.0, 5.0),
    "type": (1, 1.0),
    "bool": (True, False),
    "none": (None, 0),
    "str": ("a", "b"),
    "tuple": ((1, 2), (2, 1)),
    "kind of sequence": ((1, 2), [1, 2]),
    "set": ({"a", "b"}, {"a", "c"}),
    "dict": ({"a": 1}, {"a": 2}),
    "tensor": (torch.ones(3), torch.zeros(3)),
    "meta tensor": (torch.ones(3, device="meta"), torch.ones(4, device="meta")),
    "sparse tensor": (torch.eye(2).to_sparse(), torch.ones(2, 2).to_sparse()),
    "array": (np.ones(3), np.zeros(3)),
    "number of numpy": (np.int64(3), np.int64(4)),
    "dtype": (torch.float32, torch.float16),
    "enum": (Mode.ONE, Mode.TWO),
    "dataclass": (Options(3), Options(3, ["a"])),
    "namespace": (argparse.Namespace(k=1), argparse.Namespace(k=2)),
    "class": (nn.ReLU, nn.GELU),
    "object": (nn.ReLU(), nn.GELU()),
    "function": (first, second),
    "builtin": (torch.relu, torch.tanh),
    "lambda": (lambda x: x * 2, lambda x: x * 3),
    "closure": (times(1), times(2)),
    "local function": (plus(1), plus(2)),
    "partial": (partial(first, x=1), partial(first, x=2)),
    "method": ("a".join, torch.Generator().seed),
    "bound method": (Options(1).__eq__, Options(2).__eq__),
    "unregistered layers": ([nn.Linear(2, 2)], [nn.Linear(2, 2)]),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_an_attribute_is_seen(kind: str) -> None:
    one, other = (fingerprint(Scaled(value)) for value in PAIRS[kind])
    assert one != other
    assert one == fingerprint(Scaled(PAIRS[kind][0]))


def test_buffers_that_are_not_stored_are_seen() -> None:
    assert fingerprint(Buffered(1.0)) != fingerprint(Buffered(5.0))


def test_the_heads_of_attention_are_seen() -> None:
    one, eight = (fresh(partial(nn.MultiheadAttention, 8, heads)) for heads in (1, 8))
    assert str(one) == str(eight)
    assert fingerprint(one) != fingerprint(eight)


def test_the_class_is_seen() -> None:
    class Other(Mlp):
        """Another forward, the same layers and the same name."""

        def forward(self, inputs: Tensor) -> Tensor:
            return -super().forward(inputs)

    Other.__name__ = "Mlp"
    assert str(fresh(Other)) == str(fresh(Mlp))
    assert fingerprint(fresh(Other)) != fingerprint(fresh(Mlp))


def test_hooks_are_seen() -> None:
    hooked = fresh(Mlp)
    hooked.first.register_forward_hook(lambda module, args, output: 2 * output)
    assert fingerprint(hooked) != fingerprint(fresh(Mlp))
    before = fresh(Mlp)
    before.first.register_forward_pre_hook(lambda module, args: args)
    assert fingerprint(before) != fingerprint(fresh(Mlp))


@pytest.mark.parametrize("name", NETWORKS)
def test_equal_networks_have_equal_fingerprints(name: str) -> None:
    build = NETWORKS[name].build
    assert fingerprint(fresh(build)) == fingerprint(fresh(build)) != fingerprint(fresh(build, 1))


def test_the_counter_of_training_steps_is_not_seen() -> None:
    norm, counted = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    counted.get_buffer("num_batches_tracked").add_(7)
    assert fingerprint(norm) == fingerprint(counted)


def test_what_contains_itself_has_an_end() -> None:
    def circular() -> Any:
        network: Any = Scaled([])
        network.scale.append(network.scale)
        network.inner.first.parent = [network, network.inner]  # a reference without registration
        return network

    assert fingerprint(circular()) == fingerprint(circular()) != fingerprint(Scaled([]))


# --- objectives


class Regularised:
    """An objective with a parameter, always of the same name."""

    name = "regularised"

    def __init__(self, k: float) -> None:
        self.k = k

    def __call__(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return self.k * outputs.square().sum(), outputs.sum()


@dataclass(frozen=True, slots=True)
class Weighted(Classification):
    """An objective as a dataclass with slots."""

    weight: float = 1.0


def judged(outputs: Tensor, targets: Tensor, k: float) -> tuple[Tensor, Tensor]:
    return Regularised(k)(outputs, targets)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Regularised(1), Regularised(100)),
        (Weighted(weight=1.0), Weighted(weight=2.0)),
        (Classification(), Weighted()),
        (Classification(), Classification("other")),
        (partial(judged, k=1.0), partial(judged, k=2.0)),
        (times(1), times(2)),
        (first, second),
    ],
)
def test_objectives_that_judge_otherwise_differ(one: Any, other: Any) -> None:
    a, b = (fingerprint(describe_objective(as_objective(judge))) for judge in (one, other))
    assert a != b
    assert a == fingerprint(describe_objective(as_objective(one)))


# --- processes

CHILD = """
import argparse
import torch
from rlquant.problem.fingerprint import fingerprint
from small_networks import NETWORKS, fresh
network = fresh(NETWORKS["conv"].build)
network.options = argparse.Namespace(names={"a", "b", "c"}, activation=torch.relu, k=0.1)
print(fingerprint(network))
"""


def printed_by(code: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests"), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


LANGUAGE_MODEL = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM
torch.manual_seed(0)
sizes = dict(hidden_size=8, intermediate_size=8, num_attention_heads=2, num_hidden_layers=1)
network = LlamaForCausalLM(LlamaConfig(vocab_size=11, **sizes))
"""


def test_a_language_model_has_the_same_fingerprint_in_another_process() -> None:
    """Its settings for generation hold a hash of themselves."""
    pytest.importorskip("transformers")
    here: dict[str, Any] = {}
    exec(LANGUAGE_MODEL, here)
    there = "from rlquant.problem.fingerprint import fingerprint\nprint(fingerprint(network))"
    assert printed_by(LANGUAGE_MODEL + there) == fingerprint(here["network"])


def test_another_process_has_the_same_fingerprint() -> None:
    network: Any = fresh(NETWORKS["conv"].build)
    network.options = argparse.Namespace(names={"a", "b", "c"}, activation=torch.relu, k=0.1)
    assert printed_by(CHILD) == fingerprint(network)


def test_a_script_is_named_alike_in_a_process_that_it_spawns() -> None:
    def made(module: str) -> Any:
        return type("Here", (), {"__module__": module})()

    assert fingerprint(made("__main__")) == fingerprint(made("__mp_main__"))
    assert fingerprint(made("__main__")) != fingerprint(made("elsewhere"))
