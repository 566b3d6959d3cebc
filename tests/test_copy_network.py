"""Copies of networks: independent, and without the values that will be written anyway."""

from __future__ import annotations

import torch

from rlquant.layers import copy_network
from small_networks import NETWORKS, ConvNet, TiedNet, fresh


def test_only_unset_parameters_may_differ() -> None:
    network = fresh(NETWORKS["conv"].build).to(memory_format=torch.channels_last)
    copied = copy_network(network, unset=[network.stem.weight, network.classifier.bias])
    assert isinstance(copied, ConvNet)
    assert not copied.training
    before = network.state_dict()
    for name, value in copied.state_dict(keep_vars=True).items():
        assert not value.requires_grad
        assert value.data_ptr() != before[name].data_ptr()
        assert value.stride() == before[name].stride()
        if name not in ("stem.weight", "classifier.bias"):
            assert torch.equal(value, before[name]), name
    assert network.training
    assert network.stem.weight.requires_grad


def test_tied_parameters_stay_tied() -> None:
    network = fresh(TiedNet)
    copied = copy_network(network, unset=(p for p in network.parameters()))
    assert copied.logits.weight is copied.words.weight
    assert copied.words.weight is not network.words.weight
