"""A sequential pass shows each layer what it reads in the float network and behind new weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from block_networks import POSITIONS, WORDS, Stack
from rlquant import EvaluationSettings
from rlquant.copying.network_copy import copy_network
from rlquant.evaluation.evaluator import Evaluator
from rlquant.forward_pass import run
from rlquant.layers import find_layers
from rlquant.network.calibrate import calibrate
from rlquant.network_inputs import first_input
from rlquant.network_kind import is_measured
from rlquant.objective import Classification
from rlquant.samples import Samples
from small_networks import NETWORKS, fresh, samples_of

NAMES = ("stack", "conv", "mlp")


def evaluator_of(name: str, settings: EvaluationSettings) -> Evaluator:
    if name == "stack":
        torch.manual_seed(0)
        words = torch.randint(0, WORDS, (12, POSITIONS), generator=torch.Generator().manual_seed(1))
        network: nn.Module = Stack().eval()
        parts = [
            Samples((words[:6],), torch.zeros(6)),
            Samples((words[6:],), torch.zeros(6).long()),
        ]
    else:
        network = fresh(NETWORKS[name].build).eval()
        parts = []
        for seed in (1, 2):
            inputs, labels = samples_of(name, 8, seed=seed)
            parts.append(Samples((inputs,), labels))
    layers = find_layers(network, parts[0].first(2).inputs)
    return Evaluator(
        network, layers, parts[0], [parts[1]], Classification(), seed=0, evaluation=settings
    )


def inputs_in(network: nn.Module, samples: Samples) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}

    def noter(name: str) -> Any:
        def hook(module: nn.Module, args: Any, keywords: Any) -> None:
            found[name] = first_input(args, keywords).clone()

        return hook

    for name, module in network.named_modules():
        module.register_forward_pre_hook(noter(name), with_kwargs=True)
    with torch.no_grad():
        run(network, samples.inputs)
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prefix_bytes", [None, 2**20], ids=["whole", "cut"])
def test_layers_are_shown_what_they_read(name: str, prefix_bytes: int | None) -> None:
    evaluator = evaluator_of(name, EvaluationSettings(prefix_bytes=prefix_bytes))
    plain, draw = evaluator.network, torch.Generator().manual_seed(3)
    floats = {f.name: plain.get_submodule(f.name).weight.detach() for f in evaluator.layers}
    start = {name: weight + 0.3 * weight.abs().mean() for name, weight in floats.items()}
    names = [f.name for f in evaluator.layers if f.calls == 1]
    names = [name for name in names if is_measured(plain.get_submodule(name))]
    told: list[str] = []
    current = dict(start)

    def assign(group: Sequence[str], given: Tensor, wanted: Tensor) -> Mapping[str, Tensor]:
        network = copy_network(plain)
        for layer, weight in current.items():
            network.get_submodule(layer).weight.data = weight
        calibrate(network, evaluator.reference, evaluator.calibration)
        reached, undisturbed = (inputs_in(n, evaluator.calibration) for n in (network, plain))
        new = {}
        for layer in group:
            assert torch.equal(wanted, undisturbed[layer])
            assert torch.allclose(given, reached[layer], rtol=1e-4, atol=1e-5)
            new[layer] = floats[layer] * (1 + 0.2 * torch.rand((), generator=draw))
        told.extend(group)
        current.update(new)
        return new

    evaluator.assign_in_order(names, start, assign)
    assert sorted(told) == sorted(names)
    for layer, weight in floats.items():
        assert torch.equal(evaluator._weights[layer].data, weight)


def test_layers_that_read_one_tensor_are_assigned_together() -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.out = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.query(x) * self.key(x))

    torch.manual_seed(0)
    samples = Samples((torch.randn(6, 4),), torch.zeros(6).long())
    network = Heads()
    layers = find_layers(network, samples.first(2).inputs)
    evaluator = Evaluator(
        network,
        layers,
        samples,
        [samples],
        Classification(),
        seed=0,
        evaluation=EvaluationSettings(prefix_bytes=None),
    )
    floats = {name: network.get_submodule(name).weight.detach() for name in ("query", "key", "out")}
    groups: list[list[str]] = []

    def assign(group: Sequence[str], given: Tensor, wanted: Tensor) -> Mapping[str, Tensor]:
        groups.append(list(group))
        return {name: floats[name] for name in group}

    evaluator.assign_in_order(list(floats), floats, assign)
    assert groups == [["query", "key"], ["out"]]
