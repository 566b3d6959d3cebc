"""The test set is measured by the same arithmetic as an evaluation, on a copy."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from rlquant import measure
from rlquant.errors import DataError, NetworkError
from small_networks import samples_of, trained

TEST = samples_of("mlp", 96, 2)


def test_measure_is_the_mean_over_all_samples() -> None:
    network = trained("mlp")
    inputs, targets = TEST
    measured = measure(network, TEST, batch_size=7)
    with torch.inference_mode():
        outputs = network(inputs)
    assert measured.loss == pytest.approx(float(functional.cross_entropy(outputs, targets)))
    assert measured.accuracy == pytest.approx(float((outputs.argmax(1) == targets).double().mean()))
    assert measured.samples == 96


def test_measure_leaves_the_network_as_it_is() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2), nn.Dropout(0.9)).train()
    data = torch.randn(64, 3) + 5, torch.arange(64) % 2
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first, second = measure(network, data), measure(network, data, batch_size=64)
    assert first.loss == pytest.approx(second.loss)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_what_cannot_be_measured_is_refused() -> None:
    data = torch.zeros(4, 6), torch.zeros(4).long()
    with pytest.raises(NetworkError, match=r"network is 'mlp'; give a trained torch.nn.Module"):
        measure("mlp", data)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"data: the network does not run on its first samples, in"):
        measure(nn.Linear(7, 3), data)
    with pytest.raises(DataError, match=r"labels reach from 0 to 7, the network has 6 outputs"):
        measure(nn.Linear(6, 6), (data[0], torch.tensor([0, 1, 2, 7])))


def test_a_network_without_parameters_is_measured() -> None:
    assert measure(nn.Identity(), (torch.zeros(4, 6), torch.zeros(4).long())).samples == 4
