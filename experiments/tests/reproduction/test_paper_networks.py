from __future__ import annotations

import pytest
import torch
from torch import nn

import rlquant
from rlquant import LayerChoice, QuantizationConfig, find_layers
from rlquant.tasks.networks import build
from rlquant_experiments.reproduction.networks.registration import (
    PAPER_NETWORKS,
    register_paper_networks,
)

register_paper_networks()

KINDS = (
    "gupta-mlp",
    "gupta-cnn-mnist",
    "gupta-cnn-cifar",
    "polino-teacher",
    "polino-student3",
    "wrn-10-2",
)
"""One network or more of each builder, and no big one."""
CIFAR = (3, 32, 32)


def parameters(name: str, shape: tuple[int, int, int], classes: int = 10) -> int:
    with torch.device("meta"):
        network = build(name, shape, classes)
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("name", "classes", "millions", "tolerance"),
    [
        # Polino et al. 2018
        ("polino-teacher", 10, 5.3, 0.01),
        ("polino-student1", 10, 1.0, 0.01),
        ("polino-student2", 10, 0.3, 0.06),
        ("polino-student3", 10, 0.1, 0.12),
        # Zagoruyko and Komodakis 2016, and Polino et al. 2018
        ("wrn-28-10", 10, 36.5, 0.005),
        ("wrn-28-10", 100, 36.5, 0.005),
        ("wrn-22-8", 100, 17.2, 0.005),
        ("wrn-16-10", 100, 17.2, 0.005),
    ],
)
def test_parameters_on_cifar_as_published(
    name: str, classes: int, millions: float, tolerance: float
) -> None:
    assert parameters(name, CIFAR, classes) == pytest.approx(millions * 1e6, rel=tolerance)


def test_parameters_of_guptas_networks() -> None:
    assert parameters("gupta-mlp", (1, 28, 28)) == 785 * 1000 + 1001 * 1000 + 1001 * 10
    convolutions = 8 * 26 + 16 * (8 * 25 + 1)
    assert parameters("gupta-cnn-mnist", (1, 28, 28)) == convolutions + 785 * 128 + 129 * 10
    convolutions = 64 * (3 * 25 + 1) + 2 * 64 * (64 * 25 + 1)
    assert parameters("gupta-cnn-cifar", CIFAR) == convolutions + 1025 * 10


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), CIFAR])
@pytest.mark.parametrize("name", PAPER_NETWORKS)
def test_every_network_takes_the_images_of_every_task(
    name: str, shape: tuple[int, int, int]
) -> None:
    with torch.device("meta"):
        network = build(name, shape, 100)
        assert network(torch.rand(4, *shape)).shape == (4, 100)


@pytest.mark.parametrize("name", KINDS)
def test_all_layers_are_found_and_nothing_is_done_in_place(name: str) -> None:
    network = build(name, (1, 8, 8), 10)
    assert not any(getattr(module, "inplace", False) for module in network.modules())
    expected = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    found = find_layers(network, torch.rand(2, 1, 8, 8))
    assert sorted(layer.name for layer in found) == sorted(expected)
    assert found[-1].name == "classifier"


def test_where_a_batchnorm_follows_at_once() -> None:
    def followed(name: str) -> list[str]:
        found = find_layers(build(name, (1, 8, 8), 10), torch.rand(2, 1, 8, 8))
        return [layer.name for layer in found if layer.normalized]

    assert followed("gupta-cnn-cifar") == []
    assert followed("polino-student3") == ["conv1", "conv2", "conv3", "conv4", "hidden1"]
    assert followed("wrn-10-2") == ["conv", *(f"stage{n}.0.conv1" for n in (1, 2, 3))]


def test_the_teacher_drops_out_and_the_students_do_not() -> None:
    def rates(name: str) -> list[float]:
        modules = build(name, CIFAR, 10).modules()
        return [m.p for m in modules if isinstance(m, nn.Dropout | nn.Dropout2d)]

    assert rates("polino-teacher") == [0.2, 0.3, 0.35, 0.4, 0.4]
    assert rates("polino-student1") == rates("polino-student3") == []


@pytest.mark.parametrize("name", ["gupta-cnn-mnist", "polino-student3", "wrn-10-2"])
def test_a_quantized_network_gives_nearly_the_same_at_8_bits(name: str) -> None:
    network = build(name, (1, 8, 8), 10, seed=1)
    inputs = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
    network(inputs)  # gives BatchNorm the statistics that calibration finds again
    network.eval()
    names = [layer.name for layer in find_layers(network, inputs)]
    config = QuantizationConfig(tuple(LayerChoice(n, 8) for n in names))
    data = inputs, torch.zeros(64, dtype=torch.int64)
    quantized = rlquant.quantize(network, config, data, calibration_samples=64)
    with torch.no_grad():
        expected, outputs = network(inputs), quantized(inputs)
    assert (outputs - expected).norm() < 0.05 * expected.norm()
