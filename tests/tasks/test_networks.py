from __future__ import annotations

import pytest
import torch
from torch import nn

from rlquant.errors import UnknownNameError
from rlquant.tasks.networks import NETWORKS, build

FIRST = ["mlp", "cnn", "resnet8", "resnet14", "resnet8-wide"]


def quantizable(network: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    return [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, (1, 8, 8)) for name in NETWORKS] + [(name, (1, 28, 28)) for name in FIRST],
)
def test_forward_and_backward_reach_every_parameter(name: str, shape: tuple[int, int, int]) -> None:
    network = build(name, shape, 10)
    network(torch.rand(4, *shape)).square().sum().backward()
    assert network(torch.rand(4, *shape)).shape == (4, 10)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize(
    ("name", "layers", "weights"),
    [
        ("mlp", 3, 784 * 64 + 64 * 32 + 32 * 10),
        ("cnn", 4, 14_288),
        ("resnet8", 10, 19_464),
        ("resnet14", 16, 43_656),
        ("resnet8-wide", 10, 77_072),
    ],
)
def test_layer_and_weight_counts(name: str, layers: int, weights: int) -> None:
    found = quantizable(build(name, (1, 28, 28), 10))
    assert len(found) == layers
    assert sum(layer.weight.numel() for layer in found) == weights


@pytest.mark.parametrize("name", NETWORKS)
def test_convolutions_have_no_bias_and_their_norm_runs_next(name: str) -> None:
    network = build(name, (1, 8, 8), 10)
    order: list[nn.Module] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            module.register_forward_hook(lambda m, _inputs, _output: order.append(m))
    network(torch.rand(2, 1, 8, 8))
    for convolution, norm in zip(order[::2], order[1::2], strict=True):
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.bias is None
        assert isinstance(norm, nn.BatchNorm2d)


def test_weights_depend_on_the_seed_alone_and_the_global_state_is_left() -> None:
    state = torch.get_rng_state()
    first = build("cnn", (1, 8, 8), 10, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    again, other = build("cnn", (1, 8, 8), 10, seed=3), build("cnn", (1, 8, 8), 10, seed=4)
    assert torch.equal(first.conv1.weight, again.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_an_unknown_network_suggests_the_near_name() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown network 'resnet-8'; did you mean 'resnet8'"
    ):
        build("resnet-8", (1, 8, 8), 10)


@pytest.mark.parametrize(
    ("name", "millions"),  # He et al. 2016, table 6; theirs have shortcuts without weights
    [("resnet20", 0.27), ("resnet32", 0.46), ("resnet44", 0.66), ("resnet56", 0.85)],
)
def test_parameters_on_cifar_as_published(name: str, millions: float) -> None:
    with torch.device("meta"):
        network = build(name, (3, 32, 32), 10)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == pytest.approx(millions * 1e6, rel=0.02)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_takes_the_images_of_every_task(
    name: str, shape: tuple[int, int, int]
) -> None:
    with torch.device("meta"):
        network = build(name, shape, 100)
        assert network(torch.rand(4, *shape)).shape == (4, 100)
