"""Layers that do not answer to their weights are refused by name, before anything is scored."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

import rlquant
from rlquant import Budget, EvaluationSettings, LayerChoice, QuantizationConfig, QuantizationProblem
from rlquant.errors import NetworkError
from rlquant.responsiveness import require_responsive, same_outputs
from small_networks import NETWORKS, fresh, samples_of

CONFIG = QuantizationConfig((LayerChoice("first", 4),))


def data(samples: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(samples)
    return torch.randn(samples, 6, generator=draw), torch.arange(samples) % 3


class Cached(nn.Linear):
    """Computes with a copy of its weight."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.weight_cache = self.weight.detach().clone()

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight_cache, self.bias)


class CachedLater(nn.Linear):
    """Computes with the weight of its first pass."""

    def forward(self, input: Tensor) -> Tensor:
        if not hasattr(self, "kept"):
            self.kept = self.weight.detach().t().clone()
        return input @ self.kept + self.bias


class Viewed(nn.Linear):
    """Computes with a view of its weight, which evaluations do not write to."""

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.view = self.weight.detach()

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.view, self.bias)


class Registered(nn.Linear):
    """Looks its weight up where parametrizations take it away."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self._parameters["weight"], self.bias)  # type: ignore[arg-type]


class Net(nn.Module):
    """A network whose first layer is of some class."""

    def __init__(self, cls: Callable[..., nn.Module] = nn.Linear) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = cls(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        return self.last(torch.relu(self.first(x)))


def overruled() -> Net:
    """Make a network where a hook puts something else in the place of the layer's output."""
    network = Net()
    network.first.register_forward_hook(lambda module, args, output: torch.ones_like(output))
    return network


def packed() -> bytes:
    return rlquant.pack(rlquant.quantize(Net(), CONFIG))


SILENT: dict[str, Callable[[], Net]] = {
    "cached": lambda: Net(Cached),
    "cached in the first pass": lambda: Net(CachedLater),
    "view": lambda: Net(Viewed),
    "overruled by a hook": overruled,
}
USES: dict[str, Callable[[nn.Module], object]] = {
    "find_layers": lambda network: rlquant.find_layers(network, data(2)[0]),
    "problem": lambda network: QuantizationProblem(
        network,
        data(30),
        data(20),
        budget=Budget.average_bits(6),
        evaluation=EvaluationSettings(calibration_samples=20, batch_size=10),
    ),
    "quantize": lambda network: rlquant.quantize(network, CONFIG),
    "quantize and calibrate": lambda network: rlquant.quantize(
        network, CONFIG, data(30), calibration_samples=20
    ),
    "train": lambda network: rlquant.train(network, CONFIG, data(30)),
    "unpack": lambda network: rlquant.unpack(
        rlquant.pack(rlquant.quantize(Net(), CONFIG)), network
    ),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("make", SILENT.values(), ids=SILENT)
def test_a_silent_layer_is_refused_by_name(
    make: Callable[[], Net], use: Callable[[nn.Module], object]
) -> None:
    with pytest.raises(NetworkError, match="layer 'first': it gives the same outputs") as caught:
        use(make())
    assert len(str(caught.value)) <= 500


def test_a_view_of_a_weight_sees_the_quantized_one() -> None:
    network = Aside()
    config = QuantizationConfig((LayerChoice("first", 1),))
    quantized = rlquant.quantize(network, config)
    for values in (quantized, rlquant.unpack(rlquant.pack(quantized), network)):
        assert isinstance(values, Aside)
        assert torch.equal(values.views[0], values.first.weight)


def test_a_layer_that_cannot_be_parametrized_is_refused_by_name() -> None:
    words = "layer 'first': .*run again, it fails: KeyError"
    with pytest.raises(NetworkError, match=words):
        USES["find_layers"](Net(Registered))


class ByClass(nn.Module):
    """Runs what is exactly a Linear layer, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6)])

    def forward(self, x: Tensor) -> Any:
        for layer in self.body:
            if type(layer) is nn.Linear:
                x = layer(x)
        return x


class Aside(nn.Module):
    """Uses a view of a layer's weight beside the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 6), nn.Linear(6, 3)
        self.views = [self.first.weight.detach()]

    def forward(self, x: Tensor) -> Any:
        return self.last(self.first(x) + x @ self.views[0])


@pytest.mark.parametrize(("make", "names"), [(ByClass, "'body.0', 'body.1'"), (Aside, "'first'")])
def test_weights_that_are_used_in_another_way_are_refused(
    make: Callable[[], nn.Module], names: str
) -> None:
    words = re.escape(f"layers {names}: the network gives other outputs when their weights are p")
    with pytest.raises(NetworkError, match=words):
        USES["find_layers"](make())


class Functional(nn.Module):
    """Hands its parameters to a function that puts them in by name."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 3))
        self.given = dict(self.body.named_parameters())

    def forward(self, x: Tensor) -> Any:
        return torch.func.functional_call(self.body, self.given, (x,))


def test_a_network_that_does_not_run_with_parametrizations_is_refused() -> None:
    with pytest.raises(NetworkError, match="does not run when its layers' weights are exchanged"):
        USES["find_layers"](Functional())


class Unusual(nn.Module):
    """Layers that answer although it is hard to see: on zeros, on no rows, twice, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.dead, self.expert, self.twice = (nn.Linear(6, 6) for _ in range(3))
        self.standardised = Standardised(6, 6)
        self.constant = nn.Linear(6, 3)
        nn.init.zeros_(self.constant.weight)

    def forward(self, x: Tensor) -> Any:
        x = x + self.dead(torch.zeros_like(x))
        self.expert(x[:0])
        x = self.standardised(self.twice(self.twice(x)))
        return self.constant(x.mul_(2))


class Standardised(nn.Linear):
    """Takes the mean of its weights away and divides by their deviation."""

    def forward(self, input: Tensor) -> Tensor:
        weight = (self.weight - self.weight.mean()) / self.weight.std()
        return linear(input.sub_(1), weight, self.bias)


def test_layers_that_answer_are_taken() -> None:
    assert len(rlquant.find_layers(Unusual(), data(2)[0])) == 5


class Drawing(Net):
    """Draws random numbers in every pass, and counts its passes."""

    calls = 0

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return super().forward(nn.functional.dropout(x, 0.5)) + self.calls


def test_random_networks_and_those_with_a_memory_answer_too() -> None:
    network = Drawing()
    before = torch.get_rng_state()
    require_responsive(network, (data(2)[0],), ["first", "last"])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", NETWORKS)
def test_ordinary_networks_answer(name: str) -> None:

    network = fresh(NETWORKS[name].build)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    names = [facts.name for facts in rlquant.find_layers(network, samples_of(name, 2)[0])]
    assert names
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_outputs_are_the_same_bit_for_bit() -> None:
    nan = torch.tensor([1.0, torch.nan])
    assert same_outputs({"a": nan, "b": 1}, {"a": nan.clone(), "b": 2})
    assert not same_outputs(nan, torch.tensor([1.0, 2.0]))
    assert not same_outputs(torch.tensor(1.0), torch.tensor(1.0 + 1e-7))
    assert not same_outputs(torch.zeros(2), torch.zeros(3))
    assert not same_outputs((nan,), (nan, nan))
    assert not same_outputs(nan, 3)
