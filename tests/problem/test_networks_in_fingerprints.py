"""Networks in fingerprints: the code of their classes and functions counts."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rlquant.objective import as_objective
from rlquant.problem.code_facts import library
from rlquant.problem.fingerprint import describe_objective, fingerprint


def hashed(judge: Any) -> str:
    return fingerprint(describe_objective(as_objective(judge)))


NETWORK = """
import torch
from torch import nn
SLOPE = 0.1
def activation(x):
    return torch.where(x > 0, x, SLOPE * x)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
    def forward(self, x):
        return self.more(activation(self.layer(x)))
    def more(self, x):
        return 2 * x
torch.manual_seed(0)
net = Net()
"""


def of_network(source: str, monkeypatch: pytest.MonkeyPatch) -> str:
    module = types.ModuleType("nets")
    monkeypatch.setitem(sys.modules, "nets", module)
    exec(source, module.__dict__)
    return fingerprint(module.net)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SLOPE = 0.1", "SLOPE = 0.2"),
        ("x > 0", "x > 1"),
        ("return 2 * x", "return 3 * x"),
        ("self.layer(x)", "-self.layer(x)"),
        ("net = Net()", "net = Net()\nnet.forward = lambda x: net.layer(x)"),
        ("net = Net()", "net = Net()\nnet.forward = torch.no_grad()(net.more)"),
        ("net = Net()", "net = Net()\nnet.layer.forward = activation"),
    ],
)
def test_the_code_of_networks_counts(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    with torch.random.fork_rng():
        plain = of_network(NETWORK, monkeypatch)
        assert plain == of_network(NETWORK, monkeypatch)
        changed = NETWORK.replace(old, new)
        assert plain != of_network(changed, monkeypatch) == of_network(changed, monkeypatch)


def test_functions_of_one_name_on_a_network_are_told_apart() -> None:
    def net(factor: int) -> nn.Module:
        source = f"def forward(x): return {factor} * x"
        place: dict[str, Any] = {"__name__": "mine"}
        exec(source, place)
        made = nn.Identity()
        made.forward = place["forward"]
        return made

    assert fingerprint(net(1)) == fingerprint(net(1)) != fingerprint(net(2))


def test_what_torch_writes_for_a_traced_network_counts() -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    class Thrice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 3

    prints = [fingerprint(torch.fx.symbolic_trace(kind())) for kind in (Twice, Thrice, Twice)]
    assert prints[0] == prints[2] != prints[1]


def test_objects_of_the_users_classes_count_with_their_attributes() -> None:
    class Helper:
        __slots__ = ("k",)

        def __init__(self, k: int) -> None:
            self.k = k

    class Plain:
        def __init__(self, k: int) -> None:
            self.k = k

    for kind in (Helper, Plain):
        assert fingerprint(kind(1)) == fingerprint(kind(1)) != fingerprint(kind(2))


def test_arrays_and_what_becomes_one_count_with_their_contents() -> None:
    class Table:
        __module__ = "torch.mine"  # as if it were of a library

        def __init__(self, *numbers: float) -> None:
            self.numbers = numbers

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.array(self.numbers)

    assert fingerprint(Table(1, 2)) == fingerprint(Table(1, 2)) != fingerprint(Table(1, 3))
    different = [np.zeros((2, 3)), np.zeros((3, 2)), np.array(["a"]), np.array(["a"], object)]
    assert len({fingerprint(array) for array in different}) == 4


@pytest.mark.parametrize("installed", [True, False])
def test_a_library_counts_by_its_name_wherever_it_was_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    file = tmp_path / "large" / "__init__.py"
    if installed:  # as `pip install --target` leaves it
        (tmp_path / "large-1.0.dist-info").mkdir()
    module = types.ModuleType("large")
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "large", module)
    assert (library("large.part") is not None) is installed
